//! The secrets that are alive, for whoever verifies or signs by hand.

use model::signature::Secret;
use model::{AppId, EndpointId};

use super::{LIVE, Row};
use crate::db::on;
use crate::{Result, Store, rows};

const LIVE_OF_OTHERS: &str = "select endpoint_id, created_at, sealed, expires_at from secret \
    where endpoint_id in (select id from endpoint where app_id = $1 and id <> $2) \
    and (expires_at is null or expires_at > $3) order by endpoint_id, created_at desc limit $4";

impl Store {
    /// The secrets that an endpoint signs with now, the newest first.
    ///
    /// # Errors
    /// When the database fails or a secret does not open.
    pub async fn living_secrets(&self, endpoint: EndpointId) -> Result<Vec<Secret>> {
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(LIVE)
            .bind(endpoint.as_str()).bind(self.now().0).fetch_all(c).await)?;
        rows.iter().map(|row| self.secret_of(row)).collect()
    }

    /// The living secrets of an app's other endpoints, `limit` at the most.
    ///
    /// # Errors
    /// When the database fails or a secret does not open.
    pub async fn living_secrets_of_others(
        &self,
        app: AppId,
        endpoint: EndpointId,
        limit: usize,
    ) -> Result<Vec<(EndpointId, Secret)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(LIVE_OF_OTHERS)
            .bind(app.as_str()).bind(endpoint.as_str()).bind(self.now().0).bind(limit)
            .fetch_all(c).await)?;
        rows.iter().map(|row| Ok((rows::id(&row.endpoint_id)?, self.secret_of(row)?))).collect()
    }
}
