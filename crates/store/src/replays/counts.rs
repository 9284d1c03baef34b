//! Replays in figures: how many would be made, and what became of those that were.

use std::collections::HashSet;

use model::attempt::ErrorKind;
use model::delivery::State;
use model::filter::Filter;
use model::replay::{Counted, Kind, Selection};
use model::{AppId, DeliveryId, EndpointId, MessageId, ReplayId, Timestamp};
use sqlx::FromRow;

use super::candidates::{Candidate, Look, Search};
use crate::db::{Either, on};
use crate::{Result, Store, rows};

/// Up to here a selection is counted exactly.
pub const MAX_COUNTED: u64 = 100_000;
/// Candidates that are looked at for that.
const MAX_LOOKED_AT: u64 = 250_000;
/// Candidates of one read.
const LOOK: i64 = 1_000;
/// What a preview shows.
pub const MAX_SAMPLE: usize = 10;
/// Different errors that are told apart.
const MAX_ERRORS: i64 = 10;
/// Replays that are summed up, the newest.
pub const MAX_SUMMED: i64 = 1_000;

const STATES: &str = "select state, count(*) as n from delivery where replay_id = $1 \
    group by state";
const ERRORS: &str = "select last_error, case when last_error = 1 then last_status end as last_status, \
    count(*) as n, min(id) as example from delivery \
    where replay_id = $1 and state in (0, 1, 3, 4) and last_error is not null \
    group by 1, 2 order by n desc, 1, 2 limit $2";
macro_rules! newest {
    () => {
        "(select id from replay where app_id = $1 and id >= $2 and id < $3 \
         order by id desc limit $4) r join delivery d on d.replay_id = r.id \
         and d.replay_id is not null "
    };
}
const KINDS: &str = "select kind, count(*) as n from (select kind from replay where app_id = $1 \
    and id >= $2 and id < $3 order by id desc limit $4) r group by kind";
const ALL_STATES: &str =
    concat!("select d.state, count(*) as n from ", newest!(), "group by d.state");
const ALL_ERRORS: &str = concat!(
    "select d.last_error, case when d.last_error = 1 then d.last_status end as last_status, \
     count(*) as n, min(d.id) as example from ",
    newest!(),
    "where d.state in (0, 1, 3, 4) and d.last_error is not null \
     group by 1, 2 order by n desc, 1, 2 limit $5"
);

/// What a replay would do.
#[derive(Clone, Debug)]
pub struct Preview {
    pub selected: Counted,
    /// The first ones.
    pub sample: Vec<Candidate>,
}

/// What became of the deliveries that were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    pub succeeded: u64,
    pub failed: u64,
    pub canceled: u64,
    /// Queued or under way.
    pub pending: u64,
    /// The most frequent first.
    pub errors: Vec<RepeatedError>,
}

/// How deliveries failed that were made, and one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedError {
    pub error: ErrorKind,
    pub status: Option<u16>,
    pub count: u64,
    pub example: DeliveryId,
}

/// Many replays together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaySums {
    pub by_kind: Vec<(Kind, u64)>,
    pub counts: ReplayCounts,
}

#[derive(FromRow)]
struct StateRow {
    state: i16,
    n: i64,
}

#[derive(FromRow)]
struct ErrorRow {
    last_error: i16,
    last_status: Option<i32>,
    n: i64,
    example: String,
}

impl Store {
    /// Counts what a replay would make, and shows some of it. Nothing is made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn preview_replay(&self, kind: Kind, selection: &Selection) -> Result<Preview> {
        match self.db() {
            Either::Sqlite(pools) => {
                let mut c = pools.readers.acquire().await?;
                self.preview(&mut Either::Sqlite(&mut *c), kind, selection).await
            }
            Either::Postgres(pool) => {
                let mut c = pool.acquire().await?;
                self.preview(&mut Either::Postgres(&mut *c), kind, selection).await
            }
        }
    }

    async fn preview(
        &self,
        look: &mut Look<'_>,
        kind: Kind,
        selection: &Selection,
    ) -> Result<Preview> {
        let filter = Filter::default();
        let begun_at = self.now();
        let search = Search { kind, selection, filter: &filter, replay_id: None, begun_at };
        let mut preview = Preview { selected: Counted::default(), sample: Vec::new() };
        let mut reached: HashSet<EndpointId> = HashSet::new();
        let mut before: Option<MessageId> = None;
        let (mut cursor, mut looked_at) = (None::<String>, 0);
        loop {
            let only = selection.only_endpoint();
            let found = search.after(look, cursor.as_deref(), only, LOOK).await?;
            let is_last = i64::try_from(found.len()).unwrap_or(LOOK) < LOOK;
            for candidate in found {
                cursor = Some(candidate.cursor.clone());
                looked_at += 1;
                if before.replace(candidate.message_id) != Some(candidate.message_id) {
                    reached.clear();
                }
                let is_new = !reached.contains(&candidate.endpoint_id);
                if is_new && search.wants(look, &candidate).await? {
                    reached.insert(candidate.endpoint_id);
                    preview.add(candidate);
                }
            }
            if is_last {
                return Ok(preview);
            }
            if looked_at >= MAX_LOOKED_AT || preview.selected.count >= MAX_COUNTED {
                preview.selected.capped = true;
                return Ok(preview);
            }
        }
    }

    /// What became of the deliveries that a replay made.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay_counts(&self, replay: ReplayId) -> Result<ReplayCounts> {
        let states: Vec<StateRow> = on!(self.db().reader(), c => sqlx::query_as(STATES)
            .bind(replay.as_str()).fetch_all(c).await)?;
        let errors: Vec<ErrorRow> = on!(self.db().reader(), c => sqlx::query_as(ERRORS)
            .bind(replay.as_str()).bind(MAX_ERRORS).fetch_all(c).await)?;
        ReplayCounts::of(&states, errors)
    }

    /// The same over all replays of an app that were started in a span of time; of the newest
    /// [`MAX_SUMMED`] when there are more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay_sums(
        &self,
        app: AppId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<ReplaySums> {
        let (low, high) = (ReplayId::floor(since), ReplayId::floor(until));
        let kinds: Vec<(String, i64)> = on!(self.db().reader(), c => sqlx::query_as(KINDS)
            .bind(app.as_str()).bind(low.as_str()).bind(high.as_str()).bind(MAX_SUMMED)
            .fetch_all(c).await)?;
        let states: Vec<StateRow> = on!(self.db().reader(), c => sqlx::query_as(ALL_STATES)
            .bind(app.as_str()).bind(low.as_str()).bind(high.as_str()).bind(MAX_SUMMED)
            .fetch_all(c).await)?;
        let errors: Vec<ErrorRow> = on!(self.db().reader(), c => sqlx::query_as(ALL_ERRORS)
            .bind(app.as_str()).bind(low.as_str()).bind(high.as_str()).bind(MAX_SUMMED)
            .bind(MAX_ERRORS).fetch_all(c).await)?;
        let mut by_kind: Vec<(Kind, u64)> =
            kinds.iter().map(|(kind, n)| (Kind::parse(kind), whole(*n))).collect();
        by_kind.sort_by_key(|(kind, _)| kind.as_str());
        Ok(ReplaySums { by_kind, counts: ReplayCounts::of(&states, errors)? })
    }
}

impl Preview {
    fn add(&mut self, candidate: Candidate) {
        self.selected.count += 1;
        if self.sample.len() < MAX_SAMPLE {
            self.sample.push(candidate);
        }
    }
}

impl ReplayCounts {
    fn of(states: &[StateRow], errors: Vec<ErrorRow>) -> Result<Self> {
        let mut counts = Self::default();
        for row in states {
            let count = match State::from_code(row.state) {
                State::Succeeded => &mut counts.succeeded,
                State::Failed => &mut counts.failed,
                State::Canceled => &mut counts.canceled,
                State::Queued | State::Leased => &mut counts.pending,
            };
            *count += whole(row.n);
        }
        for row in errors {
            counts.errors.push(RepeatedError {
                error: ErrorKind::from_code(row.last_error).unwrap_or(ErrorKind::Internal),
                status: row.last_status.and_then(|status| u16::try_from(status).ok()),
                count: whole(row.n),
                example: rows::id(&row.example)?,
            });
        }
        Ok(counts)
    }

    /// All that were made and are still kept.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.succeeded + self.failed + self.canceled + self.pending
    }
}

fn whole(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
