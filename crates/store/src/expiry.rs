//! What has grown too old, and goes: attempts, messages with all that is theirs, and entries of
//! the audit log.
//!
//! It goes in [`Slice`]s of one day. Whoever does it reads a slice page by page, writes the rows
//! to an archive if there is one, and deletes what it read. A slice says exactly which rows it
//! has, so that none is deleted that was not read. Every transaction is short: on SQLite all
//! writes wait for it. Whole partitions of attempts are not deleted but dropped
//! (`partitions.rs`).

mod attempts;
mod messages;
mod payloads;

use model::retention::{Day, Override};
use model::{AppId, EndpointId, Timestamp};

use crate::{Result, Store};

/// Rows that one page has and one transaction deletes, but for what one message has more.
pub(crate) const STEP: i64 = 200;

/// What is kept for a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Payloads,
    Attempts,
    Messages,
}

/// Whose rows: those of one app, or of all apps that do not say otherwise. What is older than the
/// start of `before` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    pub app: Option<AppId>,
    pub before: Day,
}

/// Rows of one day that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Of messages of that day, whoever's they are that does not say otherwise.
    Attempts {
        day: Day,
        before: Day,
    },
    /// Of that day at one endpoint, of an app with times of its own.
    EndpointAttempts {
        app: AppId,
        endpoint: EndpointId,
        day: Day,
    },
    /// Messages of that day whose deliveries were all over at `as_of`.
    Messages {
        app: Option<AppId>,
        day: Day,
        as_of: Timestamp,
    },
    Audit {
        day: Day,
    },
}

/// One row for an archive, as JSON without a line's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub table: &'static str,
    pub json: String,
}

#[derive(Debug, Default)]
pub struct SlicePage {
    /// What [`Store::delete_from_slice`] deletes.
    pub keys: Vec<String>,
    /// Empty unless asked for.
    pub rows: Vec<Archived>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

impl Slice {
    #[must_use]
    pub const fn day(&self) -> Day {
        match self {
            Self::Attempts { day, .. }
            | Self::EndpointAttempts { day, .. }
            | Self::Messages { day, .. }
            | Self::Audit { day } => *day,
        }
    }

    /// Tells the slices of one day apart.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        match self {
            Self::EndpointAttempts { endpoint, .. } => Some(endpoint.to_string()),
            Self::Messages { app, .. } => app.map(|app| app.to_string()),
            Self::Attempts { .. } | Self::Audit { .. } => None,
        }
    }
}

impl Store {
    /// Whose rows are too old since when; the instance first. Apps that say nothing, and what is
    /// kept for ever, are not among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scopes(&self, kept: Kept) -> Result<Vec<Scope>> {
        type Own = fn(&Override) -> Option<u32>;
        let instance = self.retention();
        let (instance, own): (_, Own) = match kept {
            Kept::Payloads => (instance.payload_days, |own| own.payload_days),
            Kept::Attempts => (instance.attempt_days, |own| own.attempt_days),
            Kept::Messages => (instance.message_days, |own| own.message_days),
        };
        let now = self.now();
        let scope = |app, days| Scope { app, before: Day::kept_from(days, now) };
        let mut scopes: Vec<Scope> = instance.map(|days| scope(None, days)).into_iter().collect();
        for (app, retention) in self.own_retentions().await? {
            scopes.extend(own(&retention).map(|days| scope(Some(app), days)));
        }
        Ok(scopes)
    }

    /// From when on somebody keeps attempts; none when somebody keeps all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts_kept_from(&self) -> Result<Option<Day>> {
        let scopes = self.scopes(Kept::Attempts).await?;
        let instance_forgets = self.retention().attempt_days.is_some();
        let oldest = scopes.iter().map(|scope| scope.before).min();
        Ok(oldest.filter(|_| instance_forgets))
    }

    /// The slices of a scope's oldest day that has not been dealt with; `after` is the last that
    /// was. None when nothing is left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_slice(
        &self,
        kept: Kept,
        scope: &Scope,
        after: Option<&Slice>,
    ) -> Result<Option<Slice>> {
        match (kept, scope.app) {
            (Kept::Payloads, _) => Ok(None),
            (Kept::Attempts, None) => self.next_day_of_attempts(scope, after).await,
            (Kept::Attempts, Some(app)) => self.next_endpoint_day(app, scope, after).await,
            (Kept::Messages, _) => self.next_day_of_messages(scope, after).await,
        }
    }

    /// Some rows of a slice, going on after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_slice(
        &self,
        slice: &Slice,
        after: Option<&str>,
        with_rows: bool,
    ) -> Result<SlicePage> {
        let after = after.unwrap_or_default();
        match slice {
            Slice::Attempts { day, before } => {
                self.read_attempts(*day, *before, after, with_rows).await
            }
            Slice::EndpointAttempts { app, endpoint, day } => {
                self.read_endpoint_attempts((*app, *endpoint), *day, after, with_rows).await
            }
            Slice::Messages { app, day, as_of } => {
                self.read_messages(*app, *day, *as_of, (after, with_rows)).await
            }
            Slice::Audit { day } => self.read_audit(*day, after, with_rows).await,
        }
    }

    /// Deletes what was read. Answers how many rows went.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_from_slice(&self, slice: &Slice, keys: &[String]) -> Result<u64> {
        if keys.is_empty() {
            return Ok(0);
        }
        match slice {
            Slice::Attempts { .. } | Slice::EndpointAttempts { .. } => {
                self.delete_attempts(keys).await
            }
            Slice::Messages { as_of, .. } => self.delete_messages(keys, *as_of).await,
            Slice::Audit { .. } => self.delete_audit(keys).await,
        }
    }
}

/// Bytes as text where they are, in base64 where not.
pub(crate) fn put_bytes(
    row: &mut serde_json::Map<String, serde_json::Value>,
    name: &str,
    bytes: Option<&[u8]>,
) {
    use base64::Engine;
    let Some(bytes) = bytes else { return };
    match std::str::from_utf8(bytes) {
        Ok(text) => row.insert(name.to_owned(), text.into()),
        Err(_) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            row.insert(format!("{name}Base64"), text.into())
        }
    };
}
