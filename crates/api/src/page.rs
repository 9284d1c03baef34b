//! Pages on the wire: `limit`, `iterator`, `order` in; `data`, `done`, `iterator`,
//! `prevIterator` out.

use serde::{Deserialize, Serialize};
use store::{Order, Page, PageQuery};
use utoipa::{IntoParams, ToSchema};

/// Items of one page at the most, and when no number is asked for.
pub const MAX_LIMIT: u32 = 250;
pub const DEFAULT_LIMIT: u32 = 50;

/// The order of a list.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderIn {
    Ascending,
    Descending,
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageIn {
    /// Items at the most; 1 to 250, 50 if not given.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Where to go on: the `iterator` or `prevIterator` of an earlier page.
    #[serde(default)]
    pub iterator: Option<String>,
    #[serde(default)]
    pub order: Option<OrderIn>,
}

impl PageIn {
    /// `otherwise` is the order when none is asked for.
    #[must_use]
    pub fn query(&self, otherwise: Order) -> PageQuery {
        PageQuery {
            limit: self.limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT),
            iterator: self.iterator.clone(),
            order: match self.order {
                Some(OrderIn::Ascending) => Order::Ascending,
                Some(OrderIn::Descending) => Order::Descending,
                None => otherwise,
            },
        }
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListOut<T> {
    pub data: Vec<T>,
    /// Nothing follows.
    pub done: bool,
    /// Pass it on to get the next page.
    #[schema(required)]
    pub iterator: Option<String>,
    /// Pass it on to get the page before.
    pub prev_iterator: Option<String>,
}

impl<T> ListOut<T> {
    pub fn new<S>(page: Page<S>, out: impl FnMut(S) -> T) -> Self {
        Self {
            data: page.data.into_iter().map(out).collect(),
            done: page.done,
            iterator: page.iterator,
            prev_iterator: page.prev_iterator,
        }
    }
}

/// A page of a list that is in memory as a whole, by the rules of the store's own pages. The
/// list is sorted by its key, lowest first.
pub(crate) fn cut<T>(mut all: Vec<T>, query: &PageQuery, key: impl Fn(&T) -> String) -> Page<T> {
    let iterator = query.iterator.as_deref().filter(|iterator| !iterator.is_empty());
    let backwards = iterator.is_some_and(|iterator| iterator.starts_with('-'));
    let ascending = (query.order == Order::Ascending) != backwards;
    if let Some(from) = iterator.map(|iterator| iterator.trim_start_matches('-')) {
        all.retain(|item| if ascending { *key(item) > *from } else { *key(item) < *from });
    }
    if !ascending {
        all.reverse();
    }
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let more = all.len() > limit;
    all.truncate(limit);
    if backwards {
        all.reverse();
    }
    Page {
        done: !backwards && !more,
        iterator: all.last().map(&key),
        prev_iterator: all.first().map(|item| format!("-{}", key(item))),
        data: all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_memory_is_walked_forth_and_back() {
        for order in [Order::Ascending, Order::Descending] {
            let page = |iterator: Option<String>| {
                let query = PageQuery { limit: 3, iterator, order };
                cut((1..=7).collect(), &query, |n: &u32| format!("{n:03}"))
            };
            let first = page(None);
            let second = page(first.iterator.clone());
            let third = page(second.iterator.clone());
            assert_eq!((first.done, second.done, third.done), (false, false, true));
            assert_eq!([first.data.len(), second.data.len(), third.data.len()], [3, 3, 1]);
            assert_eq!(page(third.prev_iterator).data, second.data);
            assert_eq!(page(second.prev_iterator).data, first.data);
        }
    }
}
