//! What happens to keys by the clock: reminders before they expire, renewals by policy with
//! notice before, and the signal that an old secret is still used.
//!
//! Every node that delivers looks once a minute. What it finds it publishes under ids that are
//! the same on every node; only then does it note that it is done, so that a node that dies in
//! between leaves the work to the next look. Of two nodes that renew the same secret one is
//! refused by the key's version.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::key::Key;
use model::key::pepper::Peppers;
use model::key::{RotationPolicy, Tagged};
use model::{KeyId, KeySecretId, KeyspaceId, Timestamp};
use serde_json::json;
use store::operations::event;
use store::{
    ExpiringQuery, Operation, PublishError, RotationDue, RotationNotice, StoreError, UsedInGrace,
    WaitingToken,
};
use tokio::sync::{Mutex, MutexGuard, Notify, watch};

use crate::background::stopped;
use crate::events::{self, Renewed};
use crate::{Keys, KeysError};

/// How often a node looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Reminders come so many days before a key expires.
pub const REMINDER_DAYS: [u64; 3] = [30, 7, 1];
/// A key that was being written during the last look is found by the next one.
const OVERLAP_MS: u64 = 60_000;
/// Rows read, and events published, at one time.
const PAGE: u32 = 250;
/// Secrets renewed by one look: each takes a password hash.
const MAX_RENEWALS: usize = 200;
/// Events remembered as published. Those that are forgotten are published in vain.
const MAX_SAID: usize = 50_000;

/// What kept a look from its end. The next one begins where it was.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

type Result<T, E = ScheduleError> = std::result::Result<T, E>;

/// The ids of events that this process has published. One look at a time holds it.
#[derive(Default)]
pub(crate) struct Schedule(Mutex<HashSet<String>>);

/// One look.
struct Look<'a> {
    keys: &'a Keys,
    said: MutexGuard<'a, HashSet<String>>,
    now: Timestamp,
}

impl Keys {
    /// Looks every minute until `stop`. With a manual clock also at each of its moves.
    pub async fn run_schedule(self, mut stop: watch::Receiver<bool>) {
        let moved = Arc::new(Notify::new());
        let ring = moved.clone();
        self.0.store.clock().on_advance(move || ring.notify_one());
        loop {
            if let Err(error) = self.look_at_schedule().await {
                tracing::error!(%error, "the schedule of keys waits for the next look");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = moved.notified() => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Does and says everything that is due now.
    ///
    /// # Errors
    /// When something could not be done: it is done by the next look.
    pub async fn look_at_schedule(&self) -> Result<()> {
        let said = self.0.schedule.0.lock().await;
        let mut look = Look { keys: self, said, now: self.now() };
        look.remind().await?;
        look.renew().await?;
        look.say_renewed().await?;
        look.say_old_secrets_used().await?;
        self.0.store.end_key_tokens().await?;
        Ok(())
    }
}

impl Look<'_> {
    /// Every reminder whose moment came since the last look, by whichever node.
    async fn remind(&mut self) -> Result<()> {
        let store = &self.keys.0.store;
        let until = self.now;
        if let Some(mark) = store.reminded_until().await?
            && store.has_operations_app().await?
        {
            let since = mark.minus_ms(OVERLAP_MS);
            let next = REMINDER_DAYS.into_iter().skip(1).chain([0]);
            for (days, next_days) in REMINDER_DAYS.into_iter().zip(next) {
                // After a long pause only the nearest one makes sense.
                let since = since.plus_ms(days * DAY_MS).max(until.plus_ms(next_days * DAY_MS));
                self.say_expiring(since, until.plus_ms(days * DAY_MS), Some(days)).await?;
            }
            self.say_expiring(since, until, None).await?;
        }
        Ok(self.keys.0.store.set_reminded_until(until).await?)
    }

    /// Keys that expire after `since` and not after `until`: in so many days, or already.
    async fn say_expiring(
        &mut self,
        since: Timestamp,
        until: Timestamp,
        days: Option<u64>,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let query = ExpiringQuery { since, until, after, limit: PAGE };
            let page = self.keys.0.store.keys_expiring(&query).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.value.id);
            let mut operations = Vec::with_capacity(page.len());
            for row in page {
                let Some(key) = self.believed(row)? else { continue };
                let Some(expires_at) = key.expires_at else { continue };
                operations.push(match days {
                    Some(days) => events::expiring(&key, expires_at, days, self.now),
                    None => events::expired(&key, expires_at),
                });
            }
            self.publish(operations).await?;
        }
    }

    /// Announces renewals, and does those that were announced in time.
    async fn renew(&mut self) -> Result<()> {
        let (mut after, mut renewals) = (None, 0);
        let mut policies = HashMap::new();
        loop {
            let page = self.keys.0.store.keys_rotation_due(self.now, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.value.id);
            let mut news = Vec::new();
            for due in page {
                let Some(due) = self.checked(due, &mut policies).await? else { continue };
                if !due.is_announced {
                    news.push(due);
                    continue;
                }
                if renewals == MAX_RENEWALS {
                    return self.give_notice(news).await;
                }
                renewals += 1;
                self.keys.rotate_by_policy(&due.key, due.policy.grace_ms).await?;
            }
            self.give_notice(news).await?;
        }
    }

    /// Only what bears this instance's tags is acted on. None when it does not, or when by its
    /// policy, as it is by now, nothing is to be done yet.
    async fn checked(
        &self,
        due: RotationDue,
        policies: &mut HashMap<KeyspaceId, Option<RotationPolicy>>,
    ) -> Result<Option<Due>> {
        let Some(key) = self.believed(due.key)? else { return Ok(None) };
        let check = Peppers::check_secret;
        let secret = self.keys.ours(due.secret, "secret", check, |secret| secret.id.to_string());
        let Some(secret) = believed(secret)? else { return Ok(None) };
        let policy = match key.rotation {
            Some(policy) => Some(policy),
            None => self.policy_of(key.keyspace_id, policies).await?,
        };
        let Some(policy) = policy else { return Ok(None) };
        let due_at = secret.created_at.plus_ms(policy.interval_ms);
        let is_announced = due.notice.is_some_and(|notice| notice.due_at == due_at);
        if due_at.minus_ms(policy.notice_ms) > self.now || (is_announced && due_at > self.now) {
            return Ok(None);
        }
        Ok(Some(Due { key, secret_id: secret.id, policy, due_at, is_announced }))
    }

    async fn policy_of(
        &self,
        keyspace: KeyspaceId,
        policies: &mut HashMap<KeyspaceId, Option<RotationPolicy>>,
    ) -> Result<Option<RotationPolicy>> {
        if let Some(policy) = policies.get(&keyspace) {
            return Ok(*policy);
        }
        let found = believed(self.keys.keyspace(keyspace.as_str()).await)?;
        let policy = found.and_then(|keyspace| keyspace.rotation);
        policies.insert(keyspace, policy);
        Ok(policy)
    }

    /// Whoever is told has the whole time that the policy promises, however late it is said.
    async fn give_notice(&mut self, news: Vec<Due>) -> Result<()> {
        if news.is_empty() {
            return Ok(());
        }
        let (mut operations, mut notices) = (Vec::new(), Vec::new());
        for due in &news {
            let rotate_at = due.due_at.max(self.now.plus_ms(due.policy.notice_ms));
            operations.push(due.notice(rotate_at, self.now));
            notices.push(RotationNotice {
                key_id: due.key.id,
                secret_id: due.secret_id,
                due_at: due.due_at,
                rotate_at,
            });
        }
        self.publish(operations).await?;
        Ok(self.keys.0.store.note_rotations(&notices).await?)
    }

    /// The renewals by policy whose tokens wait: said here and not where they are done, so that
    /// none is lost with its node.
    async fn say_renewed(&mut self) -> Result<()> {
        let mut after: Option<KeyId> = None;
        loop {
            let page = self.keys.0.store.waiting_key_tokens(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.value.id);
            let mut operations = Vec::with_capacity(page.len());
            for WaitingToken { key, secret_id, created_at, ends_at, old_ends_at } in page {
                let Some(key) = self.believed(key)? else { continue };
                operations.push(events::rotated(Renewed {
                    key: &key,
                    secret_id: secret_id.as_str(),
                    at: created_at,
                    old_ends_at,
                    collect_until: Some(ends_at),
                }));
            }
            self.publish(operations).await?;
        }
    }

    async fn say_old_secrets_used(&mut self) -> Result<()> {
        let mut after: Option<KeySecretId> = None;
        loop {
            let page = self.keys.0.store.secrets_used_in_grace(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.secret_id);
            let mut operations = Vec::with_capacity(page.len());
            for used in page {
                let Some(key) = self.believed(used.key.clone())? else { continue };
                operations.push(old_secret_used(&key, &used, "first"));
                if used.last_used_at >= half(&used) {
                    operations.push(old_secret_used(&key, &used, "half"));
                }
            }
            self.publish(operations).await?;
        }
    }

    /// None when the row is not ours, which is on record then.
    fn believed(&self, row: Tagged<Key>) -> Result<Option<Key>> {
        believed(self.keys.ours(row, "key", Peppers::check_key, |key| key.id.to_string()))
    }

    async fn publish(&mut self, mut operations: Vec<Operation>) -> Result<()> {
        operations.retain(|operation| !self.said.contains(&operation.event_id));
        if operations.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = operations.iter().map(|said| said.event_id.clone()).collect();
        if self.keys.0.store.publish_operations(operations).await? {
            if self.said.len() + ids.len() > MAX_SAID {
                self.said.clear();
            }
            self.said.extend(ids);
        }
        Ok(())
    }
}

/// A renewal whose rows were checked.
struct Due {
    key: Key,
    secret_id: KeySecretId,
    policy: RotationPolicy,
    due_at: Timestamp,
    is_announced: bool,
}

impl Due {
    fn notice(&self, rotate_at: Timestamp, now: Timestamp) -> Operation {
        let what = format!("{}.{}", self.secret_id, self.due_at.0);
        let more = [
            ("secretId", json!(self.secret_id)),
            ("rotatesAt", events::moment(Some(rotate_at))),
            ("graceMs", json!(self.policy.grace_ms)),
        ];
        events::of_key(&self.key, event::KEY_ROTATION_DUE, &what, now, more)
    }
}

/// At the first use of an old secret since there is a new one, and when it is still used in the
/// second half of its grace.
fn old_secret_used(key: &Key, used: &UsedInGrace, when: &str) -> Operation {
    let more = [
        ("secretId", json!(used.secret_id)),
        ("when", json!(when)),
        ("lastUsedAt", events::moment(Some(used.last_used_at))),
        ("endsAt", events::moment(Some(used.ends_at))),
    ];
    let what = format!("{}.{when}", used.secret_id);
    events::of_key(key, event::KEY_OLD_SECRET_USED, &what, used.last_used_at, more)
}

fn half(used: &UsedInGrace) -> Timestamp {
    used.superseded_at.plus_ms(used.ends_at.since_ms(used.superseded_at) / 2)
}

fn believed<T>(row: Result<T, KeysError>) -> Result<Option<T>> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(KeysError::Tampered(_) | KeysError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
