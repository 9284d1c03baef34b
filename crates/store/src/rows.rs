//! From columns to words, and back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use model::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Result, StoreError};

pub(crate) fn corrupt(what: &'static str, why: impl Display) -> StoreError {
    StoreError::Corrupt { what, why: why.to_string() }
}

pub(crate) fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|error| corrupt("id", error))
}

pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt("JSON", error))
}

/// An absent list is an empty one.
pub(crate) fn list(text: Option<&str>) -> Result<Vec<String>> {
    text.map_or_else(|| Ok(Vec::new()), json)
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| corrupt("JSON", error))
}

/// An empty list is stored as null.
pub(crate) fn to_list(list: &[String]) -> Result<Option<String>> {
    if list.is_empty() { Ok(None) } else { to_json(&list).map(Some) }
}

pub(crate) type Map = BTreeMap<String, String>;

pub(crate) fn moment(ms: Option<i64>) -> Option<Timestamp> {
    ms.map(Timestamp)
}

pub(crate) fn ms(moment: Option<Timestamp>) -> Option<i64> {
    moment.map(|moment| moment.0)
}

/// A figure that the schema keeps signed and that is never negative.
pub(crate) fn count(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

pub(crate) fn small(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
