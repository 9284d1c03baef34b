//! Sealing everything anew under the version in use, in small steps: a background task.
//!
//! A step reads some rows in the order of their keys and changes those that are under another
//! version, each only if it still is what was read. On PostgreSQL rows that somebody else works on
//! are left out. A pass over everything that leaves something behind is followed by another: a
//! process that hears late of the new version may have sealed under the old one meanwhile.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use model::task::{Task, TaskStatus};
use sqlx::FromRow;

use super::byte;
use crate::db::{Tx, on};
use crate::{
    Result, Step, Store, answers, endpoints, key_imports, key_tokens, rows, secrets, users,
};

/// Rows looked at in one step.
const STEP: i64 = 200;
/// Between two passes.
const PAUSE_MS: u64 = 5_000;
/// Passes until it is given up: what is left then does not open, and the log says what it is.
const MAX_PASSES: u32 = 100;
/// Before the sealed secret of an import.
const IMPORT_PREFIX: &str = "hmac-sha256:";

/// One table with a sealed column. `key` is its primary key, as text.
struct Place {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    update: &'static str,
    count: &'static str,
    /// Where a value belongs.
    context: fn(&str) -> String,
}

macro_rules! place {
    ($name:literal, $table:literal, $key:literal, $sealed:literal, $context:expr) => {
        Place {
            name: $name,
            sqlite: place!(@select $table, $key, $sealed, ""),
            postgres: place!(@select $table, $key, $sealed, " for update skip locked"),
            update: concat!(
                "update ", $table, " set ", $sealed, " = $2 where ", $key, " = $1 and ", $sealed,
                " = $3"
            ),
            count: concat!(
                "select substr(", $sealed, ", 1, 1) as version, count(*) as n from ", $table,
                " where ", $sealed, " is not null group by substr(", $sealed, ", 1, 1)"
            ),
            context: $context,
        }
    };
    (@select $table:literal, $key:literal, $sealed:literal, $lock:literal) => {
        concat!(
            "select ", $key, " as key, ", $sealed, " as sealed from ", $table, " where ", $key,
            " > $1 order by ", $key, " limit $2", $lock
        )
    };
}

const PLACES: [Place; 4] = [
    place!("endpoint headers", "endpoint", "id", "headers", endpoints::headers_context),
    place!("remembered answers", "answer", "key", "sealed", answers::context),
    place!("passwords", "\"user\"", "id", "password", users::password_context),
    place!("waiting tokens", "key_token", "secret_id", "sealed", key_tokens::context),
];

const SECRETS: &str = "select endpoint_id, created_at, sealed, expires_at from secret \
    where (endpoint_id, created_at) > ($1, $2) order by endpoint_id, created_at limit $3";
const SECRETS_FREE: &str = "select endpoint_id, created_at, sealed, expires_at from secret \
    where (endpoint_id, created_at) > ($1, $2) order by endpoint_id, created_at limit $3 \
    for update skip locked";
const UPDATE_SECRET: &str = "update secret set sealed = $3 \
    where endpoint_id = $1 and created_at = $2 and sealed = $4";
const COUNT_SECRETS: &str = "select substr(sealed, 1, 1) as version, count(*) as n from secret \
    group by substr(sealed, 1, 1)";
const IMPORTS: &str = "select id, import_kinds from keyspace where import_kinds is not null \
    and id > $1 order by id limit $2";
const UPDATE_IMPORT: &str =
    "update keyspace set import_kinds = $2 where id = $1 and import_kinds = $3";

/// How many values of one kind are under which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedUnder {
    pub what: &'static str,
    /// Version and number, the oldest first.
    pub versions: Vec<(u8, i64)>,
}

impl SealedUnder {
    #[must_use]
    pub fn of(&self, version: u8) -> i64 {
        self.versions.iter().filter(|(of, _)| *of == version).map(|(_, n)| n).sum()
    }

    fn add(&mut self, version: u8, n: i64) {
        match self.versions.iter_mut().find(|(of, _)| *of == version) {
            Some((_, sum)) => *sum += n,
            None => self.versions.push((version, n)),
        }
        self.versions.sort_unstable();
    }
}

#[derive(FromRow)]
struct Sealed {
    key: String,
    sealed: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct Count {
    version: Vec<u8>,
    n: i64,
}

/// Where a pass is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursor {
    pass: u32,
    /// When the pass begins.
    not_before: i64,
    place: usize,
    /// The last that was looked at.
    key: String,
}

/// The places of the table, then secrets, then imports.
const SECRETS_PLACE: usize = PLACES.len();
const IMPORTS_PLACE: usize = SECRETS_PLACE + 1;

impl Cursor {
    fn parse(text: Option<&str>) -> Self {
        text.and_then(Self::read).unwrap_or_default()
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        Some(Self {
            pass: parts.next()?.parse().ok()?,
            not_before: parts.next()?.parse().ok()?,
            place: parts.next()?.parse().ok()?,
            key: parts.next()?.to_owned(),
        })
    }

    fn to_text(&self) -> String {
        format!("{}:{}:{}:{}", self.pass, self.not_before, self.place, self.key)
    }
}

/// What a step did with a place.
struct Looked {
    resealed: u64,
    /// The last key, while there may be more.
    last: Option<String>,
}

impl Store {
    /// How everything that is sealed is divided among the versions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_under(&self) -> Result<Vec<SealedUnder>> {
        let mut all = Vec::with_capacity(PLACES.len() + 2);
        let places = PLACES.iter().map(|place| (place.name, place.count));
        for (what, sql) in places.chain([("signing secrets", COUNT_SECRETS)]) {
            let counts: Vec<Count> = on!(self.db().reader(), c => {
                sqlx::query_as(sql).fetch_all(c).await
            })?;
            let mut under = SealedUnder { what, versions: Vec::new() };
            for count in counts {
                under.add(byte(&count.version)?, count.n);
            }
            all.push(under);
        }
        let mut imports = SealedUnder { what: "secrets of imports", versions: Vec::new() };
        for (_, kinds) in self.import_kinds().await? {
            for sealed in kinds.iter().filter_map(|kind| import_of(kind)) {
                imports.add(byte(&sealed)?, 1);
            }
        }
        all.push(imports);
        Ok(all)
    }

    /// Values that are not under the version in use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sealed_behind(&self) -> Result<i64> {
        let newest = self.newest_vault_version().await?;
        let behind = |under: &SealedUnder| {
            under.versions.iter().filter(|(of, _)| *of != newest).map(|(_, n)| n).sum::<i64>()
        };
        Ok(self.sealed_under().await?.iter().map(behind).sum())
    }

    /// One step of the task.
    pub(crate) async fn reseal_step(&self, tx: &mut Tx, task: &mut Task) -> Result<Step> {
        let mut cursor = Cursor::parse(task.progress.cursor.as_deref());
        if cursor.not_before > self.now().0 {
            return Ok(Step::Wait(Timestamp(cursor.not_before)));
        }
        let newest = self.newest_vault_version().await?;
        if self.0.vault.seals_under() != newest {
            // This process has not heard of it yet.
            return Ok(Step::Wait(self.now().plus_ms(PAUSE_MS)));
        }
        let looked = match cursor.place {
            SECRETS_PLACE => self.reseal_secrets(tx, &cursor.key).await?,
            IMPORTS_PLACE => self.reseal_imports(tx, &cursor.key).await?,
            place => {
                self.reseal_place(tx, &PLACES[place.min(PLACES.len() - 1)], &cursor.key).await?
            }
        };
        task.progress.done += looked.resealed;
        cursor = match looked.last {
            Some(key) => Cursor { key, ..cursor },
            None => Cursor { place: cursor.place + 1, key: String::new(), ..cursor },
        };
        if cursor.place <= IMPORTS_PLACE {
            task.progress.cursor = Some(cursor.to_text());
            return Ok(Step::Moved);
        }
        self.end_pass(task, cursor.pass + 1).await
    }

    async fn end_pass(&self, task: &mut Task, passes: u32) -> Result<Step> {
        let behind = self.sealed_behind().await?;
        task.progress.cursor = None;
        if behind == 0 {
            task.status = TaskStatus::Finished;
        } else if passes >= MAX_PASSES {
            task.status = TaskStatus::Failed;
            task.progress.error = Some(format!("{behind} values are left: they do not open"));
        } else {
            let not_before = self.now().plus_ms(PAUSE_MS).0;
            let next = Cursor { pass: passes, not_before, ..Cursor::default() };
            task.progress.cursor = Some(next.to_text());
        }
        Ok(Step::Moved)
    }

    /// None when it is under that version already, or does not open, which the log says.
    fn resealed(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.vault.reseal(context, sealed).unwrap_or_else(|error| {
            tracing::error!(%error, context, "a sealed value is left as it is");
            None
        })
    }

    async fn reseal_place(&self, tx: &mut Tx, place: &Place, after: &str) -> Result<Looked> {
        let found: Vec<Sealed> = match tx {
            Tx::Sqlite(c) => {
                sqlx::query_as(place.sqlite).bind(after).bind(STEP).fetch_all(&mut **c).await?
            }
            Tx::Postgres(c) => {
                sqlx::query_as(place.postgres).bind(after).bind(STEP).fetch_all(&mut **c).await?
            }
        };
        let mut resealed = 0;
        for row in &found {
            let Some(before) = &row.sealed else { continue };
            let new = self.resealed(&(place.context)(&row.key), before);
            let Some(new) = new else { continue };
            resealed += on!(&mut *tx, c => sqlx::query(place.update)
                .bind(&row.key).bind(new).bind(before)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        }
        Ok(Looked { resealed, last: found.into_iter().next_back().map(|row| row.key) })
    }

    async fn reseal_secrets(&self, tx: &mut Tx, after: &str) -> Result<Looked> {
        let (endpoint, created_at) = after.rsplit_once('/').unwrap_or(("", "0"));
        let created_at: i64 = created_at.parse().unwrap_or(0);
        let found: Vec<secrets::Row> = match tx {
            Tx::Sqlite(c) => {
                sqlx::query_as(SECRETS)
                    .bind(endpoint)
                    .bind(created_at)
                    .bind(STEP)
                    .fetch_all(&mut **c)
                    .await?
            }
            Tx::Postgres(c) => {
                sqlx::query_as(SECRETS_FREE)
                    .bind(endpoint)
                    .bind(created_at)
                    .bind(STEP)
                    .fetch_all(&mut **c)
                    .await?
            }
        };
        let mut resealed = 0;
        for row in &found {
            let context = secrets::context(&row.endpoint_id, row.created_at);
            let Some(new) = self.resealed(&context, &row.sealed) else { continue };
            resealed += on!(&mut *tx, c => sqlx::query(UPDATE_SECRET)
                .bind(&row.endpoint_id).bind(row.created_at).bind(new).bind(&row.sealed)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        }
        let last = found.last().map(|row| format!("{}/{}", row.endpoint_id, row.created_at));
        Ok(Looked { resealed, last })
    }

    async fn reseal_imports(&self, tx: &mut Tx, after: &str) -> Result<Looked> {
        let found: Vec<(String, String)> = on!(&mut *tx, c => sqlx::query_as(IMPORTS)
            .bind(after).bind(STEP).fetch_all(&mut **c).await)?;
        let mut resealed = 0;
        for (id, text) in &found {
            let kinds: Vec<String> = rows::json(text)?;
            let mut new = Vec::with_capacity(kinds.len());
            for kind in &kinds {
                new.push(self.resealed_import(rows::id(id)?, kind));
            }
            if new == kinds {
                continue;
            }
            resealed += on!(&mut *tx, c => sqlx::query(UPDATE_IMPORT)
                .bind(id).bind(rows::to_json(&new)?).bind(text)
                .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        }
        Ok(Looked { resealed, last: found.into_iter().next_back().map(|(id, _)| id) })
    }

    fn resealed_import(&self, keyspace: model::KeyspaceId, kind: &str) -> String {
        let Some(sealed) = import_of(kind) else { return kind.to_owned() };
        let new = self.resealed(&key_imports::context(keyspace), &sealed);
        let text = |new: Vec<u8>| format!("{IMPORT_PREFIX}{}", STANDARD.encode(new));
        new.map_or_else(|| kind.to_owned(), text)
    }
}

/// The sealed secret in the text of an import's kind.
fn import_of(kind: &str) -> Option<Vec<u8>> {
    STANDARD.decode(kind.strip_prefix(IMPORT_PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back() {
        let cursor = Cursor { pass: 2, not_before: 9, place: 4, key: "ep_1/17:x".to_owned() };
        assert_eq!(Cursor::parse(Some(&cursor.to_text())), cursor);
        assert_eq!(Cursor::parse(None), Cursor::default());
        assert_eq!(Cursor::parse(Some("rubbish")), Cursor::default());
    }
}
