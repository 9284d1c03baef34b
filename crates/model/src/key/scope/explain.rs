//! Why a query is satisfied, or what would have to change.

use super::{Granted, Node, ScopeQuery};

/// The answer to a query with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the scopes are what is asked for.
    pub satisfied: bool,
    /// Scopes that would have to be granted; of alternatives, those of the one that wants least.
    pub missing: Vec<String>,
    /// The same in words for a developer.
    pub text: String,
}

pub(super) fn explain(query: &ScopeQuery, granted: &Granted) -> Explanation {
    let Gap { missing, excess } = gap(&query.root, true, granted);
    let satisfied = missing.is_empty() && excess.is_empty();
    let text = match (missing.as_slice(), excess.as_slice()) {
        ([], []) => format!("the scopes satisfy `{query}`"),
        (missing, []) => format!("`{query}` is asked; missing: {}", list(missing)),
        ([], excess) => format!("`{query}` is asked; too much: {}", list(excess)),
        (missing, excess) => {
            format!("`{query}` is asked; missing: {}; too much: {}", list(missing), list(excess))
        }
    };
    Explanation { satisfied, missing: missing.into_iter().map(str::to_owned).collect(), text }
}

/// What stands between the granted scopes and an answer.
#[derive(Default)]
struct Gap<'a> {
    missing: Vec<&'a str>,
    /// Granted, but a NOT does not want it.
    excess: Vec<&'a str>,
}

impl<'a> Gap<'a> {
    fn is_closed(&self) -> bool {
        self.missing.is_empty() && self.excess.is_empty()
    }

    /// What a grant can close is preferred.
    fn size(&self) -> (usize, usize) {
        (self.excess.len(), self.missing.len())
    }

    fn and(mut self, other: Self) -> Self {
        add(&mut self.missing, other.missing);
        add(&mut self.excess, other.excess);
        self
    }

    fn of(scope: &'a str, wanted: bool) -> Self {
        if wanted {
            Self { missing: vec![scope], ..Self::default() }
        } else {
            Self { excess: vec![scope], ..Self::default() }
        }
    }
}

/// The gap until `node` is `wanted`: true or false.
fn gap<'a>(node: &'a Node, wanted: bool, granted: &Granted) -> Gap<'a> {
    let nodes = match node {
        Node::Scope(scope) if granted.has(scope) == wanted => return Gap::default(),
        Node::Scope(scope) => return Gap::of(scope, wanted),
        Node::Not(inner) => return gap(inner, !wanted, granted),
        Node::And(nodes) | Node::Or(nodes) => nodes,
    };
    let gaps = nodes.iter().map(|node| gap(node, wanted, granted));
    if matches!(node, Node::And(_)) == wanted {
        return gaps.fold(Gap::default(), Gap::and);
    }
    gaps.min_by_key(|gap| (!gap.is_closed(), gap.size())).unwrap_or_default()
}

fn add<'a>(to: &mut Vec<&'a str>, scopes: Vec<&'a str>) {
    for scope in scopes {
        if !to.contains(&scope) {
            to.push(scope);
        }
    }
}

fn list(scopes: &[&str]) -> String {
    scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", ")
}
