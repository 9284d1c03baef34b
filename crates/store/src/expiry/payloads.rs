//! Payloads go before their messages do.

use model::MessageId;

use super::{STEP, Scope};
use crate::db::{Either, on};
use crate::{Result, Store, rows};

// Looked for outside the transaction that erases: what was erased before is passed over.
const OLD: &str = "select m.id from message m where m.id > $1 and m.id < $2 \
    and m.payload is not null and m.payload_expires_at is null and $4 = '' \
    and not exists (select 1 from retention r \
    where r.app_id = m.app_id and r.payload_days is not null) order by m.id limit $3";
const OLD_OF_APP: &str = "select m.id from message m where m.app_id = $4 and m.id > $1 \
    and m.id < $2 and m.payload is not null and m.payload_expires_at is null \
    order by m.id limit $3";
const ERASE_SQLITE: &str = "update message set payload = null \
    where id in (select value from json_each($1))";
const ERASE_POSTGRES: &str = "update message set payload = null where id = any($1)";

impl Store {
    /// Erases some payloads that are older than their scope keeps them, going on after `from`.
    /// Answers where to go on, and how many they were; none when nothing was left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_old_payloads(
        &self,
        scope: &Scope,
        from: Option<MessageId>,
    ) -> Result<Option<(MessageId, u64)>> {
        let above = from.map(|id| id.to_string()).unwrap_or_default();
        let below = MessageId::floor(scope.before.start());
        let app = scope.app.map(|app| app.to_string()).unwrap_or_default();
        let sql = if scope.app.is_some() { OLD_OF_APP } else { OLD };
        let ids: Vec<String> = on!(self.db().reader(), c => sqlx::query_scalar(sql)
            .bind(above).bind(below.as_str()).bind(STEP).bind(app)
            .fetch_all(c).await)?;
        let Some(last) = ids.last() else { return Ok(None) };
        let last = rows::id(last)?;
        let mut tx = self.db().begin().await?;
        let erased = match &mut tx {
            Either::Sqlite(c) => {
                let ids = rows::to_json(&ids)?;
                sqlx::query(ERASE_SQLITE).bind(ids).execute(&mut **c).await?.rows_affected()
            }
            Either::Postgres(c) => {
                sqlx::query(ERASE_POSTGRES).bind(ids).execute(&mut **c).await?.rows_affected()
            }
        };
        tx.commit().await?;
        Ok(Some((last, erased)))
    }
}
