//! What an app or endpoint that is gone leaves behind is deleted here, in steps.

use model::task::Task;
use model::{AppId, DeliveryId, EndpointId, MessageId};

use crate::db::{Tx, on};
use crate::{Result, Store, rows};

/// Messages or deliveries deleted in one step.
const STEP: i64 = 500;

const PURGE_DELIVERIES: &str = "select id from delivery where endpoint_id = $1 limit $2";
const PURGE_MESSAGES: &str = "select id from message where app_id = $1 limit $2";
const DELETE_DELIVERY_ATTEMPTS: &str = "delete from attempt where id >= $1 and id < $2";
const DELETE_DELIVERY: &str = "delete from delivery where id = $1";
const DELETE_MESSAGE_DELIVERIES: &str = "delete from delivery where id >= $1 and id < $2";
const DELETE_MESSAGE: &str = "delete from message where id = $1";
const DELETE_USAGE: &str = "delete from usage where endpoint_id = $1";

const DELETE_REPLAYS: &str = "delete from replay where app_id = $1";

impl Store {
    pub(crate) async fn purge_endpoint(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        _app: AppId,
        endpoint: EndpointId,
    ) -> Result<bool> {
        let found: Vec<(String,)> = on!(&mut *tx, c => sqlx::query_as(PURGE_DELIVERIES)
            .bind(endpoint.as_str()).bind(STEP).fetch_all(&mut **c).await)?;
        for (id,) in &found {
            let delivery: DeliveryId = rows::id(id)?;
            let (low, high) = delivery.attempt_range();
            on!(&mut *tx, c => sqlx::query(DELETE_DELIVERY_ATTEMPTS)
                .bind(low).bind(high).execute(&mut **c).await.map(drop))?;
            on!(&mut *tx, c => sqlx::query(DELETE_DELIVERY)
                .bind(id).execute(&mut **c).await.map(drop))?;
            task.progress.done += 1;
        }
        if found.is_empty() {
            on!(&mut *tx, c => sqlx::query(DELETE_USAGE)
                .bind(endpoint.as_str()).execute(&mut **c).await.map(drop))?;
        }
        Ok(found.is_empty())
    }

    pub(crate) async fn purge_app(&self, tx: &mut Tx, task: &mut Task, app: AppId) -> Result<bool> {
        let found: Vec<(String,)> = on!(&mut *tx, c => sqlx::query_as(PURGE_MESSAGES)
            .bind(app.as_str()).bind(STEP).fetch_all(&mut **c).await)?;
        for (id,) in &found {
            let message: MessageId = rows::id(id)?;
            for (sql, (low, high)) in [
                (DELETE_DELIVERY_ATTEMPTS, message.attempt_range()),
                (DELETE_MESSAGE_DELIVERIES, message.delivery_range()),
            ] {
                on!(&mut *tx, c => sqlx::query(sql)
                    .bind(low).bind(high).execute(&mut **c).await.map(drop))?;
            }
            on!(&mut *tx, c => sqlx::query(DELETE_MESSAGE)
                .bind(id).execute(&mut **c).await.map(drop))?;
            task.progress.done += 1;
        }
        if found.is_empty() {
            on!(&mut *tx, c => sqlx::query(DELETE_REPLAYS)
                .bind(app.as_str()).execute(&mut **c).await.map(drop))?;
        }
        Ok(found.is_empty())
    }
}
