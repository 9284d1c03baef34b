//! The thresholds of breakers that apps and endpoints have of their own.

use model::audit::{Actor, Change};
use model::breaker::{Override, Thresholds};
use model::{AppId, EndpointId};
use serde_json::json;

use super::DELETE_OWN;
use crate::db::on;
use crate::{Result, Store, apps, audit, rows};

const OWN: &str = "select thresholds from breaker_threshold where owner_id = $1 and app_id = $2";
const SET_OWN: &str = "insert into breaker_threshold (owner_id, app_id, thresholds) \
    values ($1, $2, $3) on conflict (owner_id) do update set thresholds = excluded.thresholds";

/// Thresholds in effect, and what of them is the owner's own.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnThresholds {
    pub own: Override,
    pub in_effect: Thresholds,
}

impl Store {
    /// Of the instance.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.0.thresholds
    }

    /// # Errors
    /// When the database fails.
    pub async fn app_thresholds(&self, app: AppId) -> Result<OwnThresholds> {
        let own = self.own_thresholds(app, app.as_str()).await?;
        Ok(OwnThresholds { in_effect: self.0.thresholds.with(&own), own })
    }

    /// # Errors
    /// When the database fails.
    pub async fn endpoint_thresholds(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> Result<OwnThresholds> {
        let wider = self.app_thresholds(app).await?.in_effect;
        let own = self.own_thresholds(app, endpoint.as_str()).await?;
        Ok(OwnThresholds { in_effect: wider.with(&own), own })
    }

    async fn own_thresholds(&self, app: AppId, owner: &str) -> Result<Override> {
        let own: Option<(String,)> = on!(self.db().reader(), c => sqlx::query_as(OWN)
            .bind(owner).bind(app.as_str()).fetch_optional(c).await)?;
        own.map_or_else(|| Ok(Override::default()), |(text,)| rows::json(&text))
    }

    /// Sets the thresholds that an app, or one of its endpoints, has of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_thresholds(
        &self,
        app: AppId,
        endpoint: Option<EndpointId>,
        own: &Override,
        by: &Actor,
    ) -> Result<()> {
        let owner = endpoint.as_ref().map_or(app.as_str(), EndpointId::as_str);
        let mut tx = self.db().begin().await?;
        apps::touch(&mut tx, app).await?;
        let before: Option<(String,)> = on!(&mut tx, c => sqlx::query_as(OWN)
            .bind(owner).bind(app.as_str()).fetch_optional(&mut **c).await)?;
        let before: Option<Override> = before.map(|(text,)| rows::json(&text)).transpose()?;
        if *own == Override::default() {
            on!(&mut tx, c => sqlx::query(DELETE_OWN)
                .bind(owner).execute(&mut **c).await.map(drop))?;
        } else {
            on!(&mut tx, c => sqlx::query(SET_OWN)
                .bind(owner).bind(app.as_str()).bind(rows::to_json(own)?)
                .execute(&mut **c).await.map(drop))?;
        }
        let change = Change {
            action: "breaker.set_thresholds",
            target: owner.to_owned(),
            app_id: Some(app),
            before: Some(json!(before.unwrap_or_default())),
            after: Some(json!(own)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await
    }
}
