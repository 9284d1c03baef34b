//! Walks the chain of the audit log from its first entry, or the anchor before it, to its head.

use model::audit::{Hash, NOTHING};

use super::expiry::ANCHOR;
use super::{HEAD, HEAD_MARK, Mark, MarkRow, PAGE_AFTER, Row};
use crate::db::on;
use crate::operations::{Operation, event};
use crate::{Result, Store};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Entries checked with one read.
const PAGE: i64 = 100;
/// Retention may cut the log's beginning off while it is walked along: so often it begins again.
const MAX_WALKS: usize = 5;

/// What a walk along the chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Entries that are as they were written, from the first one that is kept on.
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
        let verdict = self.walk_from_anchor().await?;
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

    async fn walk_from_anchor(&self) -> Result<AuditVerdict> {
        let mut anchor = self.audit_mark(ANCHOR).await?;
        for _ in 0..MAX_WALKS {
            let verdict = self.walk_audit(anchor).await?;
            let now = self.audit_mark(ANCHOR).await?;
            let seq = |mark: Option<Mark>| mark.map_or(0, |mark| mark.seq);
            if verdict.broken_at.is_none() || seq(now) == seq(anchor) {
                return Ok(verdict);
            }
            anchor = now;
        }
        self.walk_audit(anchor).await
    }

    async fn walk_audit(&self, anchor: Option<Mark>) -> Result<AuditVerdict> {
        let mut walk = Walk::after(anchor);
        if anchor.is_some_and(|anchor| !anchor.is_ours(self)) {
            return Ok(walk.broken());
        }
        let before = self.audit_mark(HEAD).await?;
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
        let after = self.audit_mark(HEAD).await?;
        let reached = before.is_none_or(|head| head.is_ours(self) && head.seq <= walk.last);
        let covered = match after {
            Some(head) => head.is_ours(self) && walk.is_covered_by(&head),
            None => walk.last == 0 && anchor.is_none(),
        };
        Ok(if reached && covered { walk.whole() } else { walk.broken() })
    }

    async fn audit_mark(&self, name: &'static str) -> Result<Option<Mark>> {
        let row: Option<MarkRow> = on!(self.db().reader(), c => {
            sqlx::query_as(HEAD_MARK).bind(name).fetch_optional(c).await
        })?;
        Ok(row.map(|row| Mark::of(name, row)))
    }
}

/// How far the chain is sound.
struct Walk {
    /// The entry before the first one.
    start: i64,
    last: i64,
    hash: Hash,
}

impl Walk {
    fn after(anchor: Option<Mark>) -> Self {
        let (last, hash) = anchor.map_or((0, NOTHING), |anchor| (anchor.seq, anchor.hash));
        Self { start: last, last, hash }
    }

    /// Goes on to the next entry if it is the right one.
    fn step(&mut self, store: &Store, row: &Row) -> bool {
        let hash = store.0.audit.link(&self.hash, &row.record());
        let is_next = row.seq == self.last + 1 && row.hash == hash;
        if is_next {
            *self = Self { last: row.seq, hash, ..*self };
        }
        is_next
    }

    fn is_covered_by(&self, head: &Mark) -> bool {
        head.seq > self.last || (head.seq == self.last && head.hash == self.hash)
    }

    fn whole(self) -> AuditVerdict {
        AuditVerdict { entries: self.last - self.start, hash: self.hash, broken_at: None }
    }

    fn broken(self) -> AuditVerdict {
        let broken_at = Some(self.last + 1);
        AuditVerdict { entries: self.last - self.start, hash: self.hash, broken_at }
    }
}
