//! Says when windows start and end, and moves their rows on.
//!
//! What is said has an id that is the same on every node. First it is said, then the row is
//! moved, if it is still as it was read: a node that dies in between leaves the work to the next
//! look, and of two nodes that do the same one changes nothing.

use model::window::{Interval, Scope, Window};
use serde_json::{Map, Value, json};

use super::{Kept, News, Row, columns};
use crate::db::on;
use crate::operations::event;
use crate::{AppRef, Operation, PublishError, Result, Store, rows};

/// Windows that one look deals with.
const MAX_DUE: i64 = 100;

const DUE: &str = concat!(
    "select ",
    columns!(),
    " from maintenance_window where next_at <= $1 order by next_at limit $2"
);
const ADVANCE_IF_UNCHANGED: &str = "update maintenance_window set starts_at = $3, ends_at = $4, \
    announced = $5, next_at = $6, version = version + 1 where id = $1 and version = $2";

impl Store {
    /// Announces what started and ended, and moves the windows concerned to their next
    /// occurrence. Answers how many this node moved; there may be more when it is not none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn advance_windows(&self) -> Result<usize> {
        let now = self.now();
        let due: Vec<Row> = on!(self.db().reader(), c => {
            sqlx::query_as(DUE).bind(now.0).bind(MAX_DUE).fetch_all(c).await
        })?;
        let mut moved = 0;
        for row in due {
            let id = row.id.clone();
            match Kept::try_from(row) {
                Ok(kept) => moved += usize::from(self.advance_window(&kept).await?),
                Err(error) => tracing::error!(%error, id, "a window is not readable"),
            }
        }
        Ok(moved)
    }

    async fn advance_window(&self, kept: &Kept) -> Result<bool> {
        let (window, now) = (&kept.window, self.now());
        let Some(occurrence) = kept.occurrence else { return Ok(false) };
        let is_over = occurrence.ends_at <= now;
        let mut said = Vec::with_capacity(2);
        if !kept.announced {
            said.push(self.started(window, occurrence).await?);
        }
        if is_over {
            said.push(self.ended(window, occurrence).await?);
        }
        if let Err(error) = self.publish_operations(said).await {
            tracing::warn!(%error, window = %window.id, "it is announced at the next look");
            return Ok(false);
        }
        let news = if is_over {
            News::of(window, now)
        } else {
            News { occurrence: Some(occurrence), announced: true }
        };
        self.move_on(kept, news).await
    }

    async fn move_on(&self, kept: &Kept, news: News) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let moved = on!(&mut tx, c => sqlx::query(ADVANCE_IF_UNCHANGED)
            .bind(kept.window.id.as_str())
            .bind(kept.version)
            .bind(rows::ms(news.occurrence.map(|occurrence| occurrence.starts_at)))
            .bind(rows::ms(news.occurrence.map(|occurrence| occurrence.ends_at)))
            .bind(news.announced)
            .bind(rows::ms(news.next_at()))
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(moved > 0)
    }

    /// Of a window that is no longer there to be looked at.
    pub(super) async fn announce_deletion(&self, window: &Window, ended: Interval) {
        let said = match self.ended(window, ended).await {
            Ok(said) => self.publish_operations(vec![said]).await,
            Err(error) => Err(PublishError::Unavailable(error.to_string())),
        };
        if let Err(error) = said {
            tracing::error!(%error, window = %window.id, "the end of a window is not announced");
        }
    }

    async fn started(&self, window: &Window, occurrence: Interval) -> Result<Operation> {
        let event_id = format!("window.started.{}.{}", window.id, occurrence.starts_at.0);
        let at = occurrence.starts_at;
        let data = self.data_of(window, occurrence).await?;
        let app_id = window.scope.app_id();
        Ok(Operation { event_type: event::WINDOW_STARTED, app_id, event_id, at, data })
    }

    async fn ended(&self, window: &Window, occurrence: Interval) -> Result<Operation> {
        let Interval { starts_at, ends_at } = occurrence;
        let event_id = format!("window.ended.{}.{}.{}", window.id, starts_at.0, ends_at.0);
        let data = self.data_of(window, occurrence).await?;
        let app_id = window.scope.app_id();
        Ok(Operation { event_type: event::WINDOW_ENDED, app_id, event_id, at: ends_at, data })
    }

    async fn data_of(&self, window: &Window, occurrence: Interval) -> Result<Map<String, Value>> {
        let app = match window.scope.app_id() {
            Some(app) => self.app(&AppRef::from(app)).await?,
            None => None,
        };
        let endpoint_ids = match &window.scope {
            Scope::Endpoints(_, endpoints) => json!(endpoints),
            Scope::Instance | Scope::App(_) => Value::Null,
        };
        let data = [
            ("windowId", json!(window.id)),
            ("appUid", json!(app.and_then(|app| app.uid))),
            ("endpointIds", endpoint_ids),
            ("name", json!(window.name)),
            ("reason", json!(window.reason)),
            ("startsAt", json!(occurrence.starts_at.to_rfc3339())),
            ("endsAt", json!(occurrence.ends_at.to_rfc3339())),
        ];
        Ok(data.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }
}
