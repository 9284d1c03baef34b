//! Three rotations under load, with clients that never change to the new token and clients that
//! change at once.
//!
//! Each key has two clients in closed loops. The new client shows the newest token it was told;
//! the old one goes on with the token before. Nobody may be refused within the grace, and an old
//! token must be refused from one second after the end of its grace on. What was sent before such
//! a moment and answered after it proves nothing and is not judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use model::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::seed::{Seeded, keys_path, seed, verify_body};
use super::{PROMISED_MS, VERIFY, rig};
use crate::Outcome;
use crate::client::{Connection, Peer, expect_success};
use crate::job::is_valid;
use crate::measure::unix_nanos;
use crate::report::Figures;
use crate::rig::Rig;
use crate::scenarios::Bench;

const KEYS: usize = 16;
const ROTATIONS: u64 = 3;
const GRACE_MS: u64 = 2_000;
/// After the end of the grace, so that what comes later than promised is seen.
const AFTERWARDS: Duration = Duration::from_millis(2_500);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ROTATION_DEADLINE: Duration = Duration::from_secs(120);

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = rig(bench.options, bench.database).await?;
    let result = measure(&mut rig, bench.options.verifies).await;
    rig.finish(result.is_ok()).await?;
    bench.note("rotation", 2 * KEYS, result?);
    Ok(())
}

async fn measure(rig: &mut Rig, verifies: u64) -> Outcome<Figures> {
    let seeded = seed(rig, KEYS).await?;
    let asked = Arc::new(AtomicU64::new(0));
    let told: Vec<_> =
        seeded.keys.iter().map(|key| watch::Sender::new(Told::first(&key.token))).collect();
    let mut clients = JoinSet::new();
    for told in &told {
        for whose in [Whose::Old, Whose::New] {
            let client = Client {
                whose,
                told: told.subscribe(),
                asked: asked.clone(),
                seen: Seen::default(),
            };
            clients.spawn(client.run(rig.peer()?));
        }
    }
    for turn in 1..=ROTATIONS {
        rotate_all(rig, &seeded, &told).await?;
        timeout(ROTATION_DEADLINE, grace_is_over(&asked, verifies * turn / ROTATIONS))
            .await
            .map_err(|_| "the verifications between two rotations take too long")?;
    }
    // Clients end when nobody tells them of tokens any more.
    drop(told);
    let mut seen = Seen::default();
    while let Some(client) = clients.join_next().await {
        seen.absorb(&client??);
    }
    Ok(seen.figures())
}

async fn grace_is_over(asked: &AtomicU64, enough: u64) {
    sleep(Duration::from_millis(GRACE_MS) + AFTERWARDS).await;
    while asked.load(Ordering::Relaxed) < enough {
        sleep(LOOK_EVERY).await;
    }
}

async fn rotate_all(rig: &mut Rig, seeded: &Seeded, told: &[watch::Sender<Told>]) -> Outcome<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rotated {
        token: String,
        old_ends_at: String,
    }
    for (key, told) in seeded.keys.iter().zip(told) {
        let path = format!("{}/{}/rotate", keys_path(&seeded.app), key.id);
        let rotated: Rotated = rig.api.post(&path, json!({ "graceMs": GRACE_MS })).await?;
        let old_ends_at =
            Timestamp::parse_rfc3339(&rotated.old_ends_at).ok_or("oldEndsAt is no moment")?;
        told.send_modify(|told| {
            told.old = std::mem::replace(&mut told.new, verify_body(&rotated.token));
            told.old_ends_at = old_ends_at;
        });
    }
    Ok(())
}

/// What the clients of one key know.
#[derive(Clone)]
struct Told {
    old: Bytes,
    old_ends_at: Timestamp,
    new: Bytes,
}

impl Told {
    fn first(token: &str) -> Self {
        let body = verify_body(token);
        Self { old: body.clone(), old_ends_at: Timestamp::NEVER, new: body }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Old,
    New,
}

struct Client {
    whose: Whose,
    told: watch::Receiver<Told>,
    asked: Arc<AtomicU64>,
    seen: Seen,
}

impl Client {
    async fn run(mut self, peer: Peer) -> Outcome<Seen> {
        let mut connection = Connection::open(&peer).await?;
        let path: Uri = VERIFY.parse()?;
        while self.told.has_changed().is_ok() {
            let told = self.told.borrow_and_update().clone();
            let body = match self.whose {
                Whose::Old => told.old,
                Whose::New => told.new,
            };
            let sent_at = now();
            let verdict = expect_success(VERIFY, connection.post(&path, body).await?)?;
            let asked = Asked { sent_at, heard_at: now(), is_valid: is_valid(&verdict) };
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.whose {
                Whose::New => self.seen.new_client(&asked),
                Whose::Old => self.seen.old_client(&asked, told.old_ends_at),
            }
        }
        Ok(self.seen)
    }
}

struct Asked {
    sent_at: Timestamp,
    heard_at: Timestamp,
    is_valid: bool,
}

#[derive(Default)]
struct Seen {
    verifies: u64,
    refused_in_grace: u64,
    old_refused: u64,
    valid_after_1_s: u64,
    /// Of answers that an old token is good, the latest after its end
    last_valid_ms: u64,
}

impl Seen {
    fn new_client(&mut self, asked: &Asked) {
        self.verifies += 1;
        self.refused_in_grace += u64::from(!asked.is_valid);
    }

    fn old_client(&mut self, asked: &Asked, ends_at: Timestamp) {
        self.verifies += 1;
        let promised_at = Timestamp(ends_at.0.saturating_add(PROMISED_MS));
        if asked.is_valid {
            self.last_valid_ms = self.last_valid_ms.max(asked.heard_at.since_ms(ends_at));
            self.valid_after_1_s += u64::from(asked.sent_at > promised_at);
        } else {
            self.old_refused += 1;
            self.refused_in_grace += u64::from(asked.heard_at < ends_at);
        }
    }

    fn absorb(&mut self, other: &Seen) {
        self.verifies += other.verifies;
        self.refused_in_grace += other.refused_in_grace;
        self.old_refused += other.old_refused;
        self.valid_after_1_s += other.valid_after_1_s;
        self.last_valid_ms = self.last_valid_ms.max(other.last_valid_ms);
    }

    fn figures(&self) -> Figures {
        Figures::default()
            .with("verifies", self.verifies as f64)
            .with("rotations", ROTATIONS as f64)
            .with("refused_in_grace", self.refused_in_grace as f64)
            .with("old_refused_after_it", self.old_refused as f64)
            .with("last_valid_after_it_ms", self.last_valid_ms as f64)
            .with("valid_after_1_s", self.valid_after_1_s as f64)
    }
}

/// Driver and server read the same clock.
fn now() -> Timestamp {
    Timestamp(i64::try_from(unix_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp(10_000);

    fn seen(sent_ms: i64, heard_ms: i64, is_valid: bool) -> [u64; 2] {
        let mut seen = Seen::default();
        let asked = Asked { sent_at: Timestamp(sent_ms), heard_at: Timestamp(heard_ms), is_valid };
        seen.old_client(&asked, END);
        [seen.refused_in_grace, seen.valid_after_1_s]
    }

    #[test]
    fn only_what_is_certain_is_held_against_the_server() {
        assert_eq!(seen(9_000, 9_999, false), [1, 0], "refused within the grace");
        assert_eq!(seen(9_999, 10_001, false), [0, 0], "the end came on the way");
        assert_eq!(seen(10_500, 10_501, true), [0, 0], "within the second");
        assert_eq!(seen(10_999, 11_500, true), [0, 0], "sent within the second");
        assert_eq!(seen(11_001, 11_002, true), [0, 1]);
        assert_eq!(seen(11_001, 11_002, false), [0, 0]);
    }
}
