//! An app, a keyspace and minted keys, through the API.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::VERIFY;
use crate::Outcome;
use crate::client::{Api, Created, Peer};
use crate::job::{Job, Kind, Shown};
use crate::rig::Rig;

pub const KEYSPACE: &str = "bench";
pub const PREFIX: &str = "bench";
pub const ENVIRONMENT: &str = "live";
const MINTERS: usize = 16;

/// A key with its token, which is told only once.
#[derive(Clone, Deserialize)]
pub struct Minted {
    pub id: String,
    pub token: String,
}

pub struct Seeded {
    pub app: String,
    pub keys: Vec<Minted>,
}

/// Keys in one app and one keyspace, in no order.
pub async fn seed(rig: &mut Rig, count: usize) -> Outcome<Seeded> {
    let app = rig.api.create_app("keys").await?;
    let keyspace = json!({
        "uid": KEYSPACE, "name": "Bench", "prefix": PREFIX, "environments": [ENVIRONMENT],
    });
    rig.api.post::<Created>("/api/v1/keyspace", keyspace).await?;
    let path: Arc<str> = keys_path(&app).into();
    let mut minters = JoinSet::new();
    for minter in 0..MINTERS {
        let share = (minter..count).step_by(MINTERS).count();
        minters.spawn(mint(rig.peer()?, path.clone(), share));
    }
    let mut keys = Vec::with_capacity(count);
    while let Some(minted) = minters.join_next().await {
        keys.extend(minted??);
    }
    Ok(Seeded { app, keys })
}

pub fn keys_path(app: &str) -> String {
    format!("/api/v1/app/{app}/key")
}

async fn mint(peer: Peer, path: Arc<str>, count: usize) -> Outcome<Vec<Minted>> {
    let mut api = Api::open(&peer).await?;
    let mut minted = Vec::with_capacity(count);
    for _ in 0..count {
        let wish = json!({ "keyspace": KEYSPACE, "name": "bench", "scopes": ["read:contacts"] });
        minted.push(api.post(&path, wish).await?);
    }
    Ok(minted)
}

impl Seeded {
    /// Verifies one key after the other.
    pub fn verify(&self, peer: Peer) -> Outcome<Job> {
        let bodies = self.keys.iter().map(|key| Shown::Body(verify_body(&key.token)));
        Ok(Job::new(peer, VERIFY, Kind::GoodKey)?.showing(bodies.collect()))
    }

    /// Asks about one key after the other as a proxy does.
    pub fn authorize(&self, peer: Peer) -> Outcome<Job> {
        let path = format!("/api/v1/authorize?keyspace={KEYSPACE}&scopes=read:contacts");
        let header = |key: &Minted| HeaderValue::from_str(&format!("Bearer {}", key.token));
        let headers: Result<Vec<_>, _> =
            self.keys.iter().map(|key| header(key).map(Shown::Header)).collect();
        Ok(Job::new(peer, &path, Kind::Authorize)?.showing(headers?))
    }
}

pub fn verify_body(token: &str) -> Bytes {
    let scopes = "read:contacts";
    format!(r#"{{"key":"{token}","keyspace":"{KEYSPACE}","scopes":"{scopes}"}}"#).into()
}
