//! Which retry schedule holds for a delivery: the endpoint's, else the event type's, else the
//! instance's.
//!
//! Event types with a schedule of their own are few; they are kept in memory and read again
//! after [`STALE_MS`], or at once after a change made by this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::Timestamp;
use model::retry::RetrySchedule;

use crate::db::on;
use crate::endpoints::schedule;
use crate::{Result, Route, Store};

/// How long another process's change may go unseen.
const STALE_MS: u64 = 5_000;
const MAX_SCHEDULES: i64 = 10_000;

const ALL: &str = "select name, retry_schedule from event_type \
    where retry_schedule is not null limit $1";

type ByType = HashMap<String, RetrySchedule>;

#[derive(Debug)]
pub(crate) struct Schedules {
    instance: RetrySchedule,
    by_type: Mutex<Option<(Timestamp, Arc<ByType>)>>,
}

impl Schedules {
    pub fn new(instance: RetrySchedule) -> Self {
        Self { instance, by_type: Mutex::new(None) }
    }

    pub fn forget(&self) {
        *self.by_type.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn fresh(&self, now: Timestamp) -> Option<Arc<ByType>> {
        let by_type = self.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, schedules) = by_type.as_ref()?;
        (now.since_ms(*read_at) < STALE_MS).then(|| schedules.clone())
    }
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn retry_schedule(&self, route: &Route, event_type: &str) -> Result<RetrySchedule> {
        if let Some(own) = &route.endpoint.retry_schedule {
            return Ok(own.clone());
        }
        let by_type = self.schedules_by_type().await?;
        Ok(by_type.get(event_type).unwrap_or(&self.0.schedules.instance).clone())
    }

    /// How long the first attempt waits.
    pub(crate) fn first_delay_ms(&self, route: &Route, event_type: &str, by_type: &ByType) -> u64 {
        let own = route.endpoint.retry_schedule.as_ref();
        own.or_else(|| by_type.get(event_type))
            .unwrap_or(&self.0.schedules.instance)
            .first_delay_ms()
    }

    pub(crate) async fn schedules_by_type(&self) -> Result<Arc<ByType>> {
        let now = self.now();
        if let Some(fresh) = self.0.schedules.fresh(now) {
            return Ok(fresh);
        }
        let rows: Vec<(String, String)> = on!(self.db().reader(), c => {
            sqlx::query_as(ALL).bind(MAX_SCHEDULES).fetch_all(c).await
        })?;
        let read = rows.into_iter().map(|(name, text)| Ok((name, schedule(&text)?)));
        let read = Arc::new(read.collect::<Result<ByType>>()?);
        let mut by_type = self.0.schedules.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        *by_type = Some((now, read.clone()));
        Ok(read)
    }
}
