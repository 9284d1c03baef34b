//! Scopes: what a key was granted, and what a request asks for.
//!
//! A granted scope is a name (`read:contacts`), everything below a name (`docs.*`, `read:*`), or
//! everything (`*`); [`Granted`] compiles those of a key once. A request asks with a
//! [`ScopeQuery`]: names joined by NOT, AND and OR, which bind in that order, with parentheses.
//! A wildcard in a query asks for any scope below it.

mod explain;
mod granted;
mod parse;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::explain::Explanation;
pub use self::granted::Granted;

/// Bytes of a query.
pub const MAX_LEN: usize = 1_000;
/// Parentheses and NOTs within each other.
pub const MAX_DEPTH: usize = 32;
/// Bytes of one scope.
pub const MAX_SCOPE_LEN: usize = 128;

/// Words that mean something in a query, in any case, and so cannot be scopes.
const OPERATORS: [&str; 3] = ["AND", "OR", "NOT"];

/// Why a text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScope {
    /// No text, or too much.
    #[error("a scope has 1 to {MAX_SCOPE_LEN} characters")]
    Length,
    /// A character that no scope has.
    #[error("a scope is of A-Z, a-z, 0-9, `_`, `:`, `.`, `/` and `-`")]
    Alphabet,
    /// A `*` somewhere else than alone or at the end of a name.
    #[error("`*` stands alone or after the last `.` or `:` of a scope")]
    Wildcard,
    /// A word of the query language.
    #[error("AND, OR and NOT are words of scope queries")]
    Reserved,
}

/// Checks a scope that is granted.
///
/// # Errors
/// When it is none.
pub fn check_scope(scope: &str) -> Result<(), BadScope> {
    if scope.is_empty() || scope.len() > MAX_SCOPE_LEN {
        return Err(BadScope::Length);
    }
    if !scope.bytes().all(is_scope_byte) {
        return Err(BadScope::Alphabet);
    }
    if OPERATORS.iter().any(|word| word.eq_ignore_ascii_case(scope)) {
        return Err(BadScope::Reserved);
    }
    match scope.strip_suffix('*') {
        None if scope.contains('*') => Err(BadScope::Wildcard),
        None | Some("") => Ok(()),
        Some(above) if above.len() > 1 && above.ends_with(['.', ':']) && !above.contains('*') => {
            Ok(())
        }
        Some(_) => Err(BadScope::Wildcard),
    }
}

const fn is_scope_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b':' | b'.' | b'/' | b'-' | b'*')
}

/// Why a text is not a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}, at character {}", at + 1)]
pub struct BadScopeQuery {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// What a request asks of a key's scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeQuery {
    /// As it was written.
    text: Box<str>,
    root: Node,
}

/// A query's tree. Its depth is bounded by [`MAX_DEPTH`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// A scope by name, or with a wildcard.
    Scope(Box<str>),
    Not(Box<Node>),
    /// Two or more.
    And(Vec<Node>),
    /// Two or more.
    Or(Vec<Node>),
}

impl ScopeQuery {
    /// # Errors
    /// When the text is too long, nested too deep, or not in the grammar.
    pub fn parse(text: &str) -> Result<Self, BadScopeQuery> {
        Ok(Self { root: parse::query(text)?, text: text.into() })
    }

    /// Whether these scopes are what is asked for. Nothing is allocated.
    #[must_use]
    pub fn is_satisfied_by(&self, granted: &Granted) -> bool {
        self.root.is_satisfied_by(granted)
    }

    /// The same with its reasons.
    #[must_use]
    pub fn explain(&self, granted: &Granted) -> Explanation {
        explain::explain(self, granted)
    }
}

impl Node {
    fn is_satisfied_by(&self, granted: &Granted) -> bool {
        match self {
            Self::Scope(scope) => granted.has(scope),
            Self::Not(inner) => !inner.is_satisfied_by(granted),
            Self::And(all) => all.iter().all(|node| node.is_satisfied_by(granted)),
            Self::Or(any) => any.iter().any(|node| node.is_satisfied_by(granted)),
        }
    }
}

impl fmt::Display for ScopeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ScopeQuery {
    type Err = BadScopeQuery;

    fn from_str(text: &str) -> Result<Self, BadScopeQuery> {
        Self::parse(text)
    }
}

impl Serialize for ScopeQuery {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ScopeQuery {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
