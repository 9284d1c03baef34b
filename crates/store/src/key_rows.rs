//! What the tables of keys share: bodies under tags, and statements over many rows.

use model::AppId;
use model::key::Tagged;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use crate::db::Either;
use crate::{Result, rows};

/// A noun as JSON under its tag.
#[derive(FromRow)]
pub(crate) struct TaggedRow {
    pub body: String,
    pub tag: Vec<u8>,
    pub tag_version: i32,
}

impl TaggedRow {
    pub fn read<T: DeserializeOwned>(self) -> Result<Tagged<T>> {
        tagged(rows::json(&self.body)?, &self.tag, self.tag_version)
    }
}

pub(crate) fn tagged<T>(value: T, tag: &[u8], version: i32) -> Result<Tagged<T>> {
    Ok(Tagged { value, tag: digest(tag)?, pepper_version: rows::count(version) })
}

pub(crate) fn digest(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|error| rows::corrupt("digest", error))
}

/// The instance itself is kept as the app without a name, which compares like any other.
pub(crate) fn app_text(app: Option<&AppId>) -> &str {
    app.map_or("", AppId::as_str)
}

pub(crate) fn app_of(text: &str) -> Result<Option<AppId>> {
    if text.is_empty() { Ok(None) } else { rows::id(text).map(Some) }
}

/// One statement in the two spellings of "the rows of the list $1".
pub(crate) struct OverRows {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// `$before` and `$after` enclose the rows: each has a `value`, a JSON array of its columns.
macro_rules! over_rows {
    ($before:expr, $after:expr) => {
        $crate::key_rows::OverRows {
            sqlite: concat!($before, " json_each($1) ", $after),
            postgres: concat!($before, " json_array_elements($1::json) ", $after),
        }
    };
}
pub(crate) use over_rows;

impl OverRows {
    pub const fn of<S, P>(&self, db: &Either<S, P>) -> &'static str {
        match db {
            Either::Sqlite(_) => self.sqlite,
            Either::Postgres(_) => self.postgres,
        }
    }
}

/// The list $1 of rows with one column.
pub(crate) fn one_column(values: impl Iterator<Item = impl Serialize>) -> Result<String> {
    rows::to_json(&values.map(|value| [value]).collect::<Vec<_>>())
}

/// A noun as the audit log shows it.
pub(crate) fn shown(noun: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(noun).map_err(|error| rows::corrupt("JSON", error))
}
