//! Rows of keys that somebody else wrote: `keys` finds them by their tags, and says so here.

use model::audit::{Actor, Change};
use serde_json::json;

use crate::db::{Tx, on};
use crate::operations::{Operation, as_name, event};
use crate::{Result, Store, audit};

const ACTION: &str = event::KEY_TAMPERED;
/// Nodes find the same row one after the other: it is said once in this time.
const REPEAT_MS: u64 = 60 * 60 * 1_000;

const SAID: &str = "select count(*) from audit where target = $1 and action = $2 and at > $3";

impl Store {
    /// Puts into the audit log that a row does not bear this instance's tag. `row` is the kind
    /// of the row: keyspace, key, secret or owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_tampering(&self, row: &str, id: &str) -> Result<()> {
        let mut tx = self.db().begin().await?;
        if self.is_said(&mut tx, id).await? {
            return Ok(());
        }
        let change = Change {
            action: ACTION,
            target: id.to_owned(),
            app_id: None,
            before: None,
            after: Some(json!({ "row": row })),
        };
        audit::append(self, &mut tx, &Actor::system("keys"), change).await?;
        tx.commit().await?;
        let at = self.now();
        let period = at.0 / i64::try_from(REPEAT_MS).unwrap_or(i64::MAX);
        let operation = Operation {
            event_type: event::KEY_TAMPERED,
            app_id: None,
            event_id: format!("{ACTION}.{row}.{}.{period}", as_name(id)),
            at,
            data: [("row".to_owned(), json!(row)), ("id".to_owned(), json!(id))]
                .into_iter()
                .collect(),
        };
        self.try_publish_operation(operation).await;
        Ok(())
    }

    async fn is_said(&self, tx: &mut Tx, id: &str) -> Result<bool> {
        let since = self.now().minus_ms(REPEAT_MS);
        let said: i64 = on!(&mut *tx, c => sqlx::query_scalar(SAID)
            .bind(id).bind(ACTION).bind(since.0).fetch_one(&mut **c).await)?;
        Ok(said > 0)
    }
}
