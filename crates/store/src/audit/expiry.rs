//! Entries of the audit log that are too old.
//!
//! They go from the first one on, and the mark `anchor` takes their place: it says where the kept
//! entries begin and what the first of them is chained to. It carries our tag as the head does, so
//! that nobody else can cut the log's beginning off.

use model::audit::{Actor, Change, NOTHING};
use model::retention::Day;
use serde_json::{Value, json};

use super::{Mark, MarkRow, PAGE_AFTER, Row};
use crate::db::{Either, on};
use crate::expiry::{Archived, STEP, Slice, SlicePage};
use crate::{Result, Store, rows};

/// The name of the mark at the last entry that went.
pub(super) const ANCHOR: &str = "anchor";

const OLDEST: &str = "select at from audit order by seq limit 1";
const HASH: &str = "select hash from audit where seq = $1";
const LOCK_ANCHOR: &str = "select seq, hash, tag from audit_mark where name = $1 for update";
const DELETE: &str = "delete from audit where seq <= $1";

impl Row {
    fn archived(&self) -> Result<Archived> {
        let state = |text: &Option<String>| -> Result<Option<Value>> {
            text.as_deref().map(rows::json).transpose()
        };
        let row = json!({
            "seq": self.seq,
            "at": self.at,
            "actorKind": self.actor_kind,
            "actorId": self.actor_id,
            "actorName": self.actor_name,
            "actorAddress": self.actor_address,
            "requestId": self.request_id,
            "action": self.action,
            "target": self.target,
            "appId": self.app_id,
            "before": state(&self.state_before)?,
            "after": state(&self.state_after)?,
            "hash": super::hash_of(&self.hash).map(|hash| model::audit::hex(&hash))?,
        });
        Ok(Archived { table: "audit", json: rows::to_json(&row)? })
    }
}

impl Store {
    /// The oldest day of the log, when the instance keeps it no longer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expired_audit(&self) -> Result<Option<Slice>> {
        let Some(days) = self.retention().audit_days else { return Ok(None) };
        let oldest: Option<i64> = on!(self.db().reader(), c => {
            sqlx::query_scalar(OLDEST).fetch_optional(c).await
        })?;
        let kept_from = Day::kept_from(days, self.now());
        let day = oldest.map(|at| Day::of(model::Timestamp(at)));
        Ok(day.filter(|day| *day < kept_from).map(|day| Slice::Audit { day }))
    }

    /// From the first entry on, up to the first that is not of this day.
    pub(crate) async fn read_audit(
        &self,
        day: Day,
        after: &str,
        with_rows: bool,
    ) -> Result<SlicePage> {
        let found: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(PAGE_AFTER)
            .bind(after.parse().unwrap_or(0_i64)).bind(STEP).fetch_all(c).await)?;
        let ends = day.plus(1).start().0;
        let of_day = found.iter().take_while(|row| row.at < ends).count();
        let is_full = i64::try_from(of_day).unwrap_or(STEP) >= STEP;
        let going = &found[..of_day];
        Ok(SlicePage {
            keys: going.iter().map(|row| row.seq.to_string()).collect(),
            rows: if with_rows {
                going.iter().map(Row::archived).collect::<Result<_>>()?
            } else {
                Vec::new()
            },
            next: going.last().filter(|_| is_full).map(|row| row.seq.to_string()),
        })
    }

    /// That the log's beginning went is an entry of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_audit_expiry(&self, entries: u64) -> Result<()> {
        let change = Change {
            action: "audit.expire",
            target: "audit".to_owned(),
            app_id: None,
            before: None,
            after: Some(json!({ "entries": entries })),
        };
        self.record_audit(&Actor::system("retention"), change).await
    }

    /// Everything up to the last of these.
    pub(crate) async fn delete_audit(&self, seqs: &[String]) -> Result<u64> {
        let last: Option<i64> = seqs.last().and_then(|seq| seq.parse().ok());
        let Some(last) = last else { return Ok(0) };
        let mut tx = self.db().begin().await?;
        // It is there from now on: two processes wait for each other here.
        Mark::new(self, ANCHOR, 0, NOTHING).write(&mut tx, super::INSERT_HEAD).await?;
        let row: Option<MarkRow> = match &mut tx {
            Either::Sqlite(c) => {
                sqlx::query_as(super::HEAD_MARK).bind(ANCHOR).fetch_optional(&mut **c).await?
            }
            Either::Postgres(c) => {
                sqlx::query_as(LOCK_ANCHOR).bind(ANCHOR).fetch_optional(&mut **c).await?
            }
        };
        let anchor = row.map(|row| Mark::of(ANCHOR, row));
        if anchor.is_none_or(|anchor| !anchor.is_ours(self)) {
            return Err(rows::corrupt("audit log", "its anchor was tampered with"));
        }
        let hash: Option<Vec<u8>> = on!(&mut tx, c => {
            sqlx::query_scalar(HASH).bind(last).fetch_optional(&mut **c).await
        })?;
        // Another process was first.
        let Some(hash) = hash else { return Ok(0) };
        let hash = super::hash_of(&hash)?;
        let deleted = on!(&mut tx, c => sqlx::query(DELETE)
            .bind(last).execute(&mut **c).await.map(|done| done.rows_affected()))?;
        Mark::new(self, ANCHOR, last, hash).write(&mut tx, super::MOVE_HEAD).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}
