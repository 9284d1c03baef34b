//! Usage: how many deliveries of an endpoint ended how, and how many still live.

use model::delivery::State;
use model::{EndpointId, Timestamp};

use crate::Result;
use crate::Store;
use crate::db::on;
use crate::hot::settle::HOUR_MS;

const FINAL: &str = "select state, cast(sum(deliveries) as bigint) from usage \
    where endpoint_id = $1 and hour >= $2 and hour < $3 group by state";
const QUEUED: &str = "select cast(sum(case when attempts = 0 then 1 else 0 end) as bigint), \
    cast(sum(case when attempts > 0 then 1 else 0 end) as bigint) from delivery \
    where endpoint_id = $1 and state = 0";
const LEASED: &str = "select count(*) from delivery where endpoint_id = $1 and state = 1";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub succeeded: u64,
    pub failed: u64,
    pub canceled: u64,
    /// Not tried yet.
    pub pending: u64,
    /// Under way, or tried and waiting for the next try.
    pub sending: u64,
}

impl Store {
    /// Final outcomes whose hour lies in the range, and all that lives now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counts(
        &self,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Counts> {
        let hour = since.0.saturating_sub(since.0.rem_euclid(HOUR_MS));
        let finals: Vec<(i16, i64)> = on!(self.db().reader(), c => sqlx::query_as(FINAL)
            .bind(endpoint.as_str()).bind(hour).bind(until.0).fetch_all(c).await)?;
        let queued: (Option<i64>, Option<i64>) = on!(self.db().reader(), c => {
            sqlx::query_as(QUEUED).bind(endpoint.as_str()).fetch_one(c).await
        })?;
        let leased: i64 = on!(self.db().reader(), c => {
            sqlx::query_scalar(LEASED).bind(endpoint.as_str()).fetch_one(c).await
        })?;
        let of = |state: State| {
            let found = finals.iter().find(|(code, _)| *code == state.code());
            found.map_or(0, |(_, n)| positive(*n))
        };
        Ok(Counts {
            succeeded: of(State::Succeeded),
            failed: of(State::Failed),
            canceled: of(State::Canceled),
            pending: positive(queued.0.unwrap_or(0)),
            sending: positive(queued.1.unwrap_or(0)) + positive(leased),
        })
    }
}

fn positive(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
