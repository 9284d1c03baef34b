//! Endpoints that fail, and what is done about it.
//!
//! Processes count in memory what attempts come to, and hand in a tally for each endpoint that
//! fails every few seconds: healthy endpoints are never here. A tally is added to the endpoint's
//! row under its lock, so that several processes add up to one budget; a success on any of them
//! ends it. What a crash loses is a few seconds of failures that come again, or a success: before
//! anything is warned of or disabled, the usage that is settled with every outcome is asked for a
//! success that was not heard of.

use std::collections::BTreeMap;

use model::delivery::State;
use model::failing::{Failing, FailureBudget, Tally, Verdict};
use model::{AppId, EndpointId, Timestamp};
use serde_json::{Map, json};
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::hot::settle::HOUR_MS;
use crate::operations::event;
use crate::{Result, Store, rows};

/// Endpoints whose failing is known to a process.
pub const MAX_FAILING: usize = 10_000;
/// Tallies written in one transaction.
pub const MAX_OUTCOMES: usize = 200;

macro_rules! columns {
    () => {
        "since, last_failure_at, failures, far_apart, far_apart_at, warned"
    };
}

// Writing what is there locks the row until the commit, on both databases.
const LOCK: &str = concat!(
    "update failing set warned = warned where endpoint_id = $1 and app_id = $2 returning ",
    columns!()
);
const ENSURE: &str = concat!(
    "insert into failing (endpoint_id, app_id, ",
    columns!(),
    ") select $1, $2, $3, $3, 0, 0, 0, 0 where exists \
     (select 1 from endpoint where id = $1 and app_id = $2) on conflict (endpoint_id) do nothing"
);
const SAVE: &str = "update failing set since = $2, last_failure_at = $3, failures = $4, \
    far_apart = $5, far_apart_at = $6, warned = $7 where endpoint_id = $1";
const DELETE: &str = "delete from failing where endpoint_id = $1";
pub(crate) const DELETE_OF_APP: &str = "delete from failing where app_id = $1";
const ALL: &str = "select endpoint_id from failing order by since limit $1";
const FIND: &str = concat!(
    "select ",
    columns!(),
    " from failing where endpoint_id = $1 and app_id = $2 and failures > 0"
);
const LAST_SUCCESS: &str = "select max(hour) from usage \
    where endpoint_id = $1 and hour > $2 and state = $3 and deliveries > 0";

#[derive(FromRow)]
struct Row {
    since: i64,
    last_failure_at: i64,
    failures: i64,
    far_apart: i32,
    far_apart_at: i64,
    warned: i32,
}

impl Row {
    /// None for a row that was made just now.
    fn read(self) -> Option<Failing> {
        (self.failures > 0).then(|| Failing {
            since: Timestamp(self.since),
            last_failure_at: Timestamp(self.last_failure_at),
            failures: u64::try_from(self.failures).unwrap_or(0),
            far_apart: rows::count(self.far_apart),
            far_apart_at: Timestamp(self.far_apart_at),
            warned: u8::try_from(self.warned).unwrap_or(0),
        })
    }
}

/// What a process saw, by endpoint: in an order, so that processes lock rows in the same one.
pub type Outcomes = BTreeMap<EndpointId, (AppId, Tally)>;

/// What is to be done once the rows are written.
struct Due {
    endpoint: EndpointId,
    app: AppId,
    failing: Failing,
    verdict: Verdict,
}

impl Store {
    /// Adds tallies to the budgets of their endpoints, at most [`MAX_OUTCOMES`]; warns, and
    /// disables what has used its budget up.
    ///
    /// # Errors
    /// When the database fails. Tallies that were not written can be handed in again.
    pub async fn note_outcomes(&self, outcomes: &Outcomes, budget: &FailureBudget) -> Result<()> {
        let mut due = Vec::new();
        let mut tx = self.db().begin().await?;
        for (endpoint, (app, tally)) in outcomes.iter().take(MAX_OUTCOMES) {
            due.extend(self.add(&mut tx, *endpoint, *app, tally, budget).await?);
        }
        tx.commit().await?;
        for one in due {
            // It stays used up: the next failure tries again.
            if let Err(error) = self.act(&one, budget).await {
                tracing::error!(endpoint = %one.endpoint, %error, "nothing done about a failing endpoint");
            }
        }
        Ok(())
    }

    async fn add(
        &self,
        tx: &mut Tx,
        endpoint: EndpointId,
        app: AppId,
        tally: &Tally,
        budget: &FailureBudget,
    ) -> Result<Option<Due>> {
        if tally.failures > 0 {
            on!(&mut *tx, c => sqlx::query(ENSURE)
                .bind(endpoint.as_str()).bind(app.as_str()).bind(tally.first_failure_at.0)
                .execute(&mut **c).await.map(drop))?;
        }
        let row: Option<Row> = on!(&mut *tx, c => sqlx::query_as(LOCK)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_optional(&mut **c).await)?;
        let Some(row) = row else { return Ok(None) };
        let Some(mut failing) = Failing::with(row.read(), tally, budget.apart_ms) else {
            delete(tx, endpoint).await?;
            tracing::info!(%endpoint, "fails no more");
            return Ok(None);
        };
        let mut verdict = budget.judge(&failing);
        if verdict != Verdict::default()
            && let Some(success) = last_success(tx, endpoint, failing.since).await?
        {
            failing = begun_after(success, &failing);
            verdict = budget.judge(&failing);
        }
        failing.warned = verdict.warn.unwrap_or(failing.warned);
        save(tx, endpoint, &failing).await?;
        let is_due = tally.failures > 0 && verdict != Verdict::default();
        Ok(is_due.then_some(Due { endpoint, app, failing, verdict }))
    }

    async fn act(&self, due: &Due, budget: &FailureBudget) -> Result<()> {
        let Due { endpoint: id, app, failing, verdict } = due;
        let since = failing.since;
        let found = self.endpoint_in_app(*app, id.as_str()).await?;
        let Some(endpoint) = found.filter(|endpoint| endpoint.disabled.is_none()) else {
            return Ok(());
        };
        if let Some(percent) = verdict.warn {
            let failures = failing.failures;
            tracing::warn!(endpoint = %id, %since, percent, failures, "fails; its budget runs out");
            let mut more = Map::new();
            more.insert("failSince".to_owned(), json!(since.to_rfc3339()));
            more.insert("budgetUsedPercent".to_owned(), json!(percent));
            more.insert("failures".to_owned(), json!(failures));
            let ends_at = since.plus_ms(budget.lasts_ms);
            more.insert("budgetEndsAt".to_owned(), json!(ends_at.to_rfc3339()));
            let what = format!("{id}.{}.{percent}", since.0);
            let at = failing.last_failure_at;
            self.announce(event::ENDPOINT_FAILING, &endpoint, what, at, more).await;
        }
        if verdict.disable && self.disable_failing(*app, *id).await? {
            tracing::warn!(endpoint = %id, %since, "disabled: it used up its failure budget");
        }
        Ok(())
    }

    /// Endpoints that fail, those that have for longest first, at most [`MAX_FAILING`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failing_endpoints(&self) -> Result<Vec<EndpointId>> {
        let limit = i64::try_from(MAX_FAILING).unwrap_or(i64::MAX);
        let found: Vec<(String,)> = on!(self.db().reader(), c => {
            sqlx::query_as(ALL).bind(limit).fetch_all(c).await
        })?;
        found.iter().map(|(id,)| rows::id(id)).collect()
    }

    /// How an endpoint fails; none: it does not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failing(&self, app: AppId, endpoint: EndpointId) -> Result<Option<Failing>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(endpoint.as_str()).bind(app.as_str()).fetch_optional(c).await)?;
        Ok(row.and_then(Row::read))
    }

    pub(crate) async fn failing_since(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<Option<Timestamp>> {
        Ok(self.failing(app, endpoint).await?.map(|failing| failing.since))
    }
}

/// The last hour, later than that of `since`, in which a delivery succeeded.
async fn last_success(
    tx: &mut Tx,
    endpoint: EndpointId,
    since: Timestamp,
) -> Result<Option<Timestamp>> {
    let hour: Option<i64> = on!(tx, c => sqlx::query_scalar(LAST_SUCCESS)
        .bind(endpoint.as_str()).bind(since.0).bind(State::Succeeded.code())
        .fetch_one(&mut **c).await)?;
    Ok(hour.map(Timestamp))
}

/// It failed at the earliest from the end of the hour on in which it last succeeded.
fn begun_after(success_hour: Timestamp, failing: &Failing) -> Failing {
    let hour_ms = u64::try_from(HOUR_MS).unwrap_or(0);
    let since = success_hour.plus_ms(hour_ms).min(failing.last_failure_at);
    Failing { since, ..Failing::begun(failing.last_failure_at) }
}

async fn save(tx: &mut Tx, endpoint: EndpointId, failing: &Failing) -> Result<()> {
    on!(tx, c => sqlx::query(SAVE)
        .bind(endpoint.as_str())
        .bind(failing.since.0)
        .bind(failing.last_failure_at.0)
        .bind(i64::try_from(failing.failures).unwrap_or(i64::MAX))
        .bind(rows::small(failing.far_apart))
        .bind(failing.far_apart_at.0)
        .bind(i32::from(failing.warned))
        .execute(&mut **c).await.map(drop))?;
    Ok(())
}

/// It fails no more, is gone, or gets a new budget.
pub(crate) async fn delete(tx: &mut Tx, endpoint: EndpointId) -> Result<()> {
    on!(tx, c => sqlx::query(DELETE)
        .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
    Ok(())
}
