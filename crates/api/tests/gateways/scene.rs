//! An API behind a proxy that asks Doorbell, and some keys for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use testkit::receiver::Receiver;
use testkit::{TestDatabase, TestOptions, TestServer};

use crate::client::{Answer, send};
use crate::gateway::{Gateway, Kind};

pub struct Scene {
    pub gateway: Gateway,
    doorbell: Option<TestServer>,
    pub api: Receiver,
    keys: BTreeMap<&'static str, (String, String)>,
    _database: TestDatabase,
}

impl Scene {
    pub async fn start(kind: &'static Kind, trusted_proxies: &'static [&'static str]) -> Self {
        let database = TestDatabase::sqlite();
        let options = TestOptions { trusted_proxies, ..TestOptions::new(database.url()) };
        let doorbell = TestServer::start(options).await;
        let api = Receiver::start().await;
        let keys = keys(&doorbell).await;
        let gateway = Gateway::start(kind, doorbell.address(), api.address()).await;
        Self { gateway, doorbell: Some(doorbell), api, keys, _database: database }
    }

    pub fn id(&self, key: &str) -> &str {
        &self.keys[key].0
    }

    pub fn bearer(&self, key: &str) -> String {
        format!("Bearer {}", self.keys[key].1)
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// From here on nobody answers the proxy.
    pub async fn lose_doorbell(&mut self) {
        self.doorbell.take().expect("it runs").stop().await;
    }

    /// A request with this key in the usual place.
    pub async fn get(&self, target: &str, key: &str) -> Answer {
        self.send(Method::GET, target, &[("authorization", &self.bearer(key))], "").await
    }

    pub async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = send(self.address(), method, target, headers, body).await;
        answer.unwrap_or_else(|| panic!("no answer; {}", self.gateway.log()))
    }
}

/// Id and token by name.
async fn keys(doorbell: &TestServer) -> BTreeMap<&'static str, (String, String)> {
    post(doorbell, "/app", json!({"name": "One", "uid": "one"})).await;
    let permissions = json!({"read:contacts": "See contacts", "write:contacts": "Change them"});
    let keyspace =
        json!({"name": "CRM", "uid": "crm", "prefix": "crm", "permissions": permissions});
    post(doorbell, "/keyspace", keyspace).await;
    let open = json!({"name": "Open", "uid": "open", "prefix": "open"});
    post(doorbell, "/keyspace", open).await;

    let minute = |limit: u64| json!([{"name": "minute", "limit": limit, "windowMs": 60_000}]);
    let reads = json!(["read:contacts"]);
    let mut keys = BTreeMap::new();
    for (name, fields) in [
        ("good", json!({"scopes": reads, "owner": "acme", "limits": minute(100)})),
        ("unlimited", json!({"scopes": reads})),
        ("weak", json!({"scopes": ["write:contacts"]})),
        ("limited", json!({"scopes": reads, "limits": minute(1)})),
        ("here", json!({"scopes": reads, "ipAllow": ["127.0.0.0/8"]})),
        ("elsewhere", json!({"scopes": reads, "ipAllow": ["203.0.113.0/24"]})),
        ("foreign", json!({"keyspace": "open"})),
    ] {
        let mut wish = json!({"keyspace": "crm", "name": name});
        wish.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let key = post(doorbell, "/app/one/key", wish).await;
        let text = |field: &str| key[field].as_str().expect("a text").to_owned();
        keys.insert(name, (text("id"), text("token")));
    }
    keys
}

async fn post(doorbell: &TestServer, path: &str, body: Value) -> Value {
    let reply = doorbell.post(&format!("/api/v1{path}"), body.to_string()).await;
    assert_eq!(reply.status, 201, "{path}: {}", reply.json);
    reply.json
}
