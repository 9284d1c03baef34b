//! Walks the chain of the audit log from its first entry to its head.

use model::audit::{Hash, NOTHING};

use super::{HEAD, HEAD_MARK, Mark, MarkRow, PAGE_AFTER, Row};
use crate::db::on;
use crate::operations::{Operation, event};
use crate::{Result, Store};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Entries checked with one read.
const PAGE: i64 = 100;

/// What a walk along the chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Entries that are as they were written, from the first one on.
    pub entries: i64,
    /// The hash of the last of them. Kept elsewhere, it shows whether the log was later replaced
    /// as a whole.
    pub hash: Hash,
    /// The first entry that was changed, removed or added by somebody else.
    pub broken_at: Option<i64>,
}

impl Store {
    /// Checks every entry, in pages; changes that are made meanwhile do no harm. A chain that
    /// does not hold is an operational event, once a day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        let verdict = self.walk_audit().await?;
        if let Some(broken_at) = verdict.broken_at {
            let at = self.now();
            let day = at.0 / DAY_MS;
            let data = [("brokenAt".to_owned(), broken_at.into())];
            let operation = Operation {
                event_type: event::AUDIT_TAMPERED,
                app_id: None,
                event_id: format!("{}.{broken_at}.{day}", event::AUDIT_TAMPERED),
                at,
                data: data.into_iter().collect(),
            };
            self.try_publish_operation(operation).await;
        }
        Ok(verdict)
    }

    async fn walk_audit(&self) -> Result<AuditVerdict> {
        let mut walk = Walk { last: 0, hash: NOTHING };
        let before = self.audit_head().await?;
        loop {
            let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(PAGE_AFTER)
                .bind(walk.last).bind(PAGE).fetch_all(c).await)?;
            if !rows.iter().all(|row| walk.step(self, row)) {
                return Ok(walk.broken());
            }
            if i64::try_from(rows.len()).unwrap_or(PAGE) < PAGE {
                break;
            }
        }
        // Between the two looks the head may have moved on; it never moves back.
        let after = self.audit_head().await?;
        let reached = before.is_none_or(|head| head.is_ours(self) && head.seq <= walk.last);
        let covered = match after {
            Some(head) => head.is_ours(self) && walk.is_covered_by(&head),
            None => walk.last == 0,
        };
        Ok(if reached && covered { walk.whole() } else { walk.broken() })
    }

    async fn audit_head(&self) -> Result<Option<Mark>> {
        let row: Option<MarkRow> = on!(self.db().reader(), c => {
            sqlx::query_as(HEAD_MARK).bind(HEAD).fetch_optional(c).await
        })?;
        Ok(row.map(Mark::of))
    }
}

/// How far the chain is sound.
struct Walk {
    last: i64,
    hash: Hash,
}

impl Walk {
    /// Goes on to the next entry if it is the right one.
    fn step(&mut self, store: &Store, row: &Row) -> bool {
        let hash = store.0.audit.link(&self.hash, &row.record());
        let is_next = row.seq == self.last + 1 && row.hash == hash;
        if is_next {
            *self = Self { last: row.seq, hash };
        }
        is_next
    }

    fn is_covered_by(&self, head: &Mark) -> bool {
        head.seq > self.last || (head.seq == self.last && head.hash == self.hash)
    }

    fn whole(self) -> AuditVerdict {
        AuditVerdict { entries: self.last, hash: self.hash, broken_at: None }
    }

    fn broken(self) -> AuditVerdict {
        let broken_at = Some(self.last + 1);
        AuditVerdict { entries: self.last, hash: self.hash, broken_at }
    }
}
