//! Pages: keyset on a text key, forwards and backwards.
//!
//! An iterator is the last key of a page; with a leading `-` it walks back. A key that itself
//! begins with `-` or `.` has a `.` put before it. Clients treat iterators as opaque.

/// Items of one page at the most.
pub const MAX_LIMIT: u32 = 250;
pub const DEFAULT_LIMIT: u32 = 50;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    Ascending,
    #[default]
    Descending,
}

#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    pub limit: u32,
    pub iterator: Option<String>,
    pub order: Order,
}

/// One page, in the order asked for.
#[derive(Debug)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Nothing follows.
    pub done: bool,
    pub iterator: Option<String>,
    pub prev_iterator: Option<String>,
}

/// A query resolved to what a statement needs: the bounds of the key and the direction.
#[derive(Debug)]
pub(crate) struct Keyset {
    /// Exclusive bounds.
    pub above: String,
    pub below: String,
    pub ascending: bool,
    backwards: bool,
    limit: usize,
}

/// Sorts after every key.
const LAST: &str = "~";

impl PageQuery {
    pub(crate) fn keyset(&self) -> Keyset {
        let limit = if self.limit == 0 { DEFAULT_LIMIT } else { self.limit.min(MAX_LIMIT) };
        let (key, backwards) = match self.iterator.as_deref() {
            Some(iterator) => match iterator.strip_prefix('-') {
                Some(key) => (Some(key), true),
                None => (Some(iterator), false),
            },
            None => (None, false),
        };
        let ascending = (self.order == Order::Ascending) != backwards;
        let key = key.map(|key| key.strip_prefix('.').unwrap_or(key));
        let key = key.filter(|key| !key.is_empty());
        let (above, below) = match (key, ascending) {
            (Some(key), true) => (key, LAST),
            (Some(key), false) => ("", key),
            (None, _) => ("", LAST),
        };
        Keyset {
            above: above.to_owned(),
            below: below.to_owned(),
            ascending,
            backwards,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }
}

impl Keyset {
    /// Leaves out what is not above `bound`.
    pub fn raise(&mut self, bound: &str) {
        if *self.above < *bound {
            bound.clone_into(&mut self.above);
        }
    }

    /// Leaves out what is not below `bound`.
    pub fn lower(&mut self, bound: &str) {
        if *self.below > *bound {
            bound.clone_into(&mut self.below);
        }
    }

    /// How many rows to ask for: one more than the page, to know whether anything follows.
    pub fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// Makes the page from the rows that the statement found in its own direction.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        if self.backwards {
            rows.reverse();
        }
        Page {
            // Walking back, what follows is where the walk came from.
            done: !self.backwards && !more,
            iterator: rows.last().map(|row| marked(key(row))),
            prev_iterator: rows.first().map(|row| format!("-{}", marked(key(row)))),
            data: rows,
        }
    }
}

/// A key as an iterator that can be told from a way back.
fn marked(key: String) -> String {
    if key.starts_with(['-', '.']) { format!(".{key}") } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a statement does: bounds, direction, limit.
    fn run(keys: &[u32], query: &PageQuery) -> Page<u32> {
        let keyset = query.keyset();
        let text = |n: &u32| format!("{n:03}");
        let mut rows: Vec<u32> = keys
            .iter()
            .copied()
            .filter(|n| text(n) > keyset.above && text(n) < keyset.below)
            .collect();
        rows.sort_unstable();
        if !keyset.ascending {
            rows.reverse();
        }
        rows.truncate(usize::try_from(keyset.fetch()).unwrap());
        keyset.page(rows, text)
    }

    #[test]
    fn walks_forth_and_back_over_the_same_pages() {
        let keys: Vec<u32> = (1..=7).collect();
        for order in [Order::Ascending, Order::Descending] {
            let mut query = PageQuery { limit: 3, iterator: None, order };
            let first = run(&keys, &query);
            query.iterator = first.iterator.clone();
            let second = run(&keys, &query);
            query.iterator = second.iterator.clone();
            let third = run(&keys, &query);
            assert_eq!((first.done, second.done, third.done), (false, false, true));
            assert_eq!(third.data.len(), 1);
            query.iterator = third.prev_iterator;
            assert_eq!(run(&keys, &query).data, second.data);
            query.iterator = second.prev_iterator;
            let back = run(&keys, &query);
            assert_eq!(back.data, first.data);
            assert!(!back.done);
        }
    }
}
