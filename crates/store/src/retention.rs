//! How long an app keeps what grows, where it is not as the instance says.

use model::AppId;
use model::audit::{Actor, Change};
use model::retention::{Override, Retention};
use serde_json::json;
use sqlx::FromRow;

use crate::db::on;
use crate::{Result, Store, audit};

const FIND: &str =
    "select app_id, payload_days, attempt_days, message_days from retention where app_id = $1";
const LIST: &str = "select app_id, payload_days, attempt_days, message_days from retention \
    where app_id > $1 order by app_id limit $2";
const SET: &str = "insert into retention (app_id, payload_days, attempt_days, message_days) \
    values ($1, $2, $3, $4) on conflict (app_id) do update set \
    payload_days = excluded.payload_days, attempt_days = excluded.attempt_days, \
    message_days = excluded.message_days";
pub(crate) const DELETE_OF_APP: &str = "delete from retention where app_id = $1";
/// Apps read at a time.
const PAGE: i64 = 500;

#[derive(FromRow)]
struct Row {
    app_id: String,
    payload_days: Option<i32>,
    attempt_days: Option<i32>,
    message_days: Option<i32>,
}

impl Row {
    fn own(&self) -> Override {
        let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
        Override {
            payload_days: days(self.payload_days),
            attempt_days: days(self.attempt_days),
            message_days: days(self.message_days),
        }
    }
}

/// What an app says, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppRetention {
    pub own: Override,
    pub in_effect: Retention,
}

impl Store {
    /// Of the instance.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.0.retention
    }

    /// # Errors
    /// When the database fails.
    pub async fn app_retention(&self, app: AppId) -> Result<AppRetention> {
        let row: Option<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(FIND).bind(app.as_str()).fetch_optional(c).await
        })?;
        let own = row.map(|row| row.own()).unwrap_or_default();
        Ok(AppRetention { own, in_effect: self.retention().with(&own) })
    }

    /// # Errors
    /// When the database fails.
    pub async fn set_app_retention(&self, app: AppId, own: &Override, by: &Actor) -> Result<()> {
        let mut tx = self.db().begin().await?;
        let before: Option<Row> = on!(&mut tx, c => {
            sqlx::query_as(FIND).bind(app.as_str()).fetch_optional(&mut **c).await
        })?;
        let days = |days: Option<u32>| days.map(crate::rows::small);
        if *own == Override::default() {
            on!(&mut tx, c => sqlx::query(DELETE_OF_APP)
                .bind(app.as_str()).execute(&mut **c).await.map(drop))?;
        } else {
            on!(&mut tx, c => sqlx::query(SET)
                .bind(app.as_str())
                .bind(days(own.payload_days))
                .bind(days(own.attempt_days))
                .bind(days(own.message_days))
                .execute(&mut **c).await.map(drop))?;
        }
        let change = Change {
            action: "app.set_retention",
            target: app.to_string(),
            app_id: Some(app),
            before: Some(json!(before.map(|row| row.own()).unwrap_or_default())),
            after: Some(json!(own)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await
    }

    /// Every app that differs from the instance.
    pub(crate) async fn own_retentions(&self) -> Result<Vec<(AppId, Override)>> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let rows: Vec<Row> = on!(self.db().reader(), c => {
                sqlx::query_as(LIST).bind(&after).bind(PAGE).fetch_all(c).await
            })?;
            for row in &rows {
                found.push((crate::rows::id(&row.app_id)?, row.own()));
            }
            match rows.into_iter().last() {
                Some(last) => after = last.app_id,
                None => return Ok(found),
            }
        }
    }
}
