//! Limits of use: at most so much in any window of so many milliseconds.

mod window;

use serde::{Deserialize, Serialize};

pub use window::{Cell, MAX_CELLS, MAX_FIGURE, Quota, SUB_WINDOWS, Window};

/// One named limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// Stable: changing the figures keeps what was counted under the name.
    pub name: String,
    /// How much, at most.
    pub limit: u64,
    /// In which time, milliseconds.
    pub window_ms: u64,
    /// Who shares it.
    #[serde(default)]
    pub subject: Subject,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub when_down: WhenDown,
    /// Counted on every verification; otherwise only where a request names it.
    #[serde(default = "automatic")]
    pub automatic: bool,
}

const fn automatic() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    #[default]
    Key,
    Owner,
    Keyspace,
}

/// How exact a limit is when several nodes count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every request is counted in Redis; never over.
    Strict,
    /// Nodes take small shares ahead; at most 1 % over. Strict below 100 per window.
    #[default]
    Leased,
    /// Each node counts for itself.
    Local,
}

/// What a limit does when Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDown {
    /// Each node grants its part: the limit divided by the living nodes.
    #[default]
    LocalShare,
    Open,
    Closed,
}
