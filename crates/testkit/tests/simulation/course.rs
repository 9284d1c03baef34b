//! The course of a seed: what happened, in order, with one hash over all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use model::Timestamp;
use testkit::START;

/// Lines that a failing seed prints.
const LAST: usize = 60;

#[derive(Debug, Default)]
pub struct Course {
    lines: Vec<String>,
    hasher: DefaultHasher,
    pub totals: Totals,
}

/// How much happened.
#[derive(Debug, Default)]
pub struct Totals(BTreeMap<&'static str, u64>);

impl Totals {
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, course: &Course) {
        for (what, n) in &course.totals.0 {
            *self.0.entry(what).or_default() += n;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&told.join(", "))
    }
}

impl Course {
    pub fn note(&mut self, now: Timestamp, what: &'static str, of: impl fmt::Display) {
        self.totals.count(what);
        let ms = now.since_ms(START);
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        let line = format!("{h:02}:{m:02}:{s:02}.{ms:03} {what} {of}");
        line.hash(&mut self.hasher);
        self.lines.push(line);
    }

    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub fn last(&self) -> String {
        self.lines[self.lines.len().saturating_sub(LAST)..].join("\n")
    }

    /// Where two courses part.
    pub fn difference(&self, other: &Self) -> String {
        let at = self.lines.iter().zip(&other.lines).position(|(one, two)| one != two);
        let at = at.unwrap_or_else(|| self.lines.len().min(other.lines.len()));
        let before = self.lines[at.saturating_sub(10)..at].join("\n");
        format!("{before}\n- {:?}\n+ {:?}", self.lines.get(at), other.lines.get(at))
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}
