//! Housekeeping: what was done, and when the next turn is.

pub mod get;
pub mod run;

use model::Timestamp;
use serde::Serialize;
use store::{ChoreRun, ChoreState, Report, Sizes};
use utoipa::ToSchema;

use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HousekeepingOut {
    chores: Vec<ChoreOut>,
    /// Of the last thirty days, the newest first.
    runs: Vec<ChoreRunOut>,
    sizes: SizesOut,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChoreOut {
    /// `partitions`, `payloads`, `attempts`, `messages`, `audit` or `upkeep`.
    chore: &'static str,
    /// Null: as soon as somebody comes to it.
    next_at: Option<Moment>,
    /// Somebody asked for it: quiet hours do not matter.
    asked: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChoreRunOut {
    chore: String,
    started_at: Moment,
    duration_ms: u64,
    /// Rows deleted or payloads erased; of a dropped partition an estimate.
    rows: u64,
    /// Partitions made or dropped.
    partitions: Vec<String>,
    /// Files written before anything was deleted.
    archives: Vec<String>,
    before: Option<SizesOut>,
    after: Option<SizesOut>,
    notes: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SizesOut {
    database_bytes: u64,
    /// SQLite: in the file, but not in use.
    free_bytes: u64,
    /// PostgreSQL: the largest, with their indexes.
    tables: Vec<TableSizeOut>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TableSizeOut {
    name: String,
    bytes: i64,
}

impl From<Sizes> for SizesOut {
    fn from(sizes: Sizes) -> Self {
        let tables = sizes.tables.into_iter();
        Self {
            database_bytes: sizes.database_bytes,
            free_bytes: sizes.free_bytes,
            tables: tables
                .map(|table| TableSizeOut { name: table.name, bytes: table.bytes })
                .collect(),
        }
    }
}

impl From<ChoreState> for ChoreOut {
    fn from(state: ChoreState) -> Self {
        let next_at: Option<Timestamp> = state.next_at;
        Self { chore: state.chore.as_str(), next_at: next_at.map(Moment), asked: state.asked }
    }
}

impl From<ChoreRun> for ChoreRunOut {
    fn from(run: ChoreRun) -> Self {
        let Report { rows, partitions, archives, before, after, notes, error } = run.report;
        Self {
            chore: run.chore,
            started_at: Moment(run.started_at),
            duration_ms: run.duration_ms,
            rows,
            partitions,
            archives,
            before: before.map(Into::into),
            after: after.map(Into::into),
            notes,
            error,
        }
    }
}
