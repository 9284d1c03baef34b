//! The scopes that a key was granted, compiled for the question "has it this one?".

use std::fmt;

/// A set of scopes with wildcards. Every question costs a binary search or two.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// Whether `*` is among them.
    everything: bool,
    /// Scopes by name, sorted.
    names: Box<[Box<str>]>,
    /// What stands before the `*` of the others (`docs.`), sorted; none begins with another, so
    /// that the one to look at is the nearest below in the order.
    branches: Box<[Box<str>]>,
}

impl Granted {
    /// The set of these scopes; those that are not scopes grant nothing.
    #[must_use]
    pub fn new<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut everything = false;
        let (mut names, mut branches) = (Vec::new(), Vec::new());
        for scope in scopes {
            if super::check_scope(scope).is_err() {
                continue;
            }
            match scope.strip_suffix('*') {
                None => names.push(Box::from(scope)),
                Some("") => everything = true,
                Some(branch) => branches.push(Box::from(branch)),
            }
        }
        names.sort_unstable();
        names.dedup();
        branches.sort_unstable();
        branches.dedup_by(|inner: &mut Box<str>, outer: &mut Box<str>| inner.starts_with(&**outer));
        Self { everything, names: names.into(), branches: branches.into() }
    }

    /// Whether it has this scope; of a wildcard, whether it has any scope below.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        match scope.strip_suffix('*') {
            None => self.everything || self.is_named(scope) || self.is_below_a_branch(scope),
            Some(branch) => self.everything || self.reaches_into(branch),
        }
    }

    /// Whether it grants nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.names.is_empty() && self.branches.is_empty()
    }

    /// The scopes as texts: `*`, names, then wildcards; what a wildcard repeats is left out.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let everything = self.everything.then(|| "*".to_owned());
        let names = self.names.iter().map(|name| name.to_string());
        let branches = self.branches.iter().map(|branch| format!("{branch}*"));
        everything.into_iter().chain(names).chain(branches).collect()
    }

    fn is_named(&self, scope: &str) -> bool {
        self.names.binary_search_by(|name| (**name).cmp(scope)).is_ok()
    }

    fn is_below_a_branch(&self, scope: &str) -> bool {
        self.branch_before(scope)
            .is_some_and(|branch| scope.len() > branch.len() && scope.starts_with(branch))
    }

    /// Whether any scope below `branch` is granted.
    fn reaches_into(&self, branch: &str) -> bool {
        let below = |texts: &[Box<str>]| {
            let after = texts.partition_point(|text| **text <= *branch);
            texts.get(after).is_some_and(|text| text.starts_with(branch))
        };
        let covered = self.branch_before(branch).is_some_and(|wider| branch.starts_with(wider));
        covered || below(&self.names) || below(&self.branches)
    }

    /// The greatest branch that is not after `text`.
    fn branch_before(&self, text: &str) -> Option<&str> {
        let after = self.branches.partition_point(|branch| **branch <= *text);
        Some(&**self.branches.get(after.checked_sub(1)?)?)
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.texts()).finish()
    }
}
