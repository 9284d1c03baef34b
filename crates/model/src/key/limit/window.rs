//! The arithmetic of one sliding window: never more than the limit in any stretch of its length.
//!
//! What was taken is kept in cells. A cell holds what was taken in one sub-window, a hundredth of
//! the window, and the moment of the last of it; it is counted in full until the window has
//! passed since that moment. So nothing is forgotten early, whatever the arrivals, and at most a
//! sub-window late. A limit below a hundred needs no coarser cells to be small: it has at most
//! one for each use, and is then exact.
//!
//! Because a cell knows its own time, the figures are no part of the state: with another limit or
//! another window what was counted is still counted, by the new figures (only what a shorter
//! window had already let go does not come back).

use std::collections::VecDeque;

use super::Limit;

/// Into how many parts a window is cut.
pub const SUB_WINDOWS: u64 = 100;
/// Cells of one window at the most; only a window that was lengthened reaches it, and then the
/// two oldest become one, counted as long as the newer of them.
pub const MAX_CELLS: usize = 104;
/// Figures above are counted as this: they stay exact in every number format on the way.
pub const MAX_FIGURE: u64 = 1 << 52;

/// The figures of a limit: so much in so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: u64,
    pub window_ms: u64,
}

impl Quota {
    #[must_use]
    pub fn of(limit: &Limit) -> Self {
        Self { limit: limit.limit.min(MAX_FIGURE), window_ms: limit.window_ms.clamp(1, MAX_FIGURE) }
    }

    #[must_use]
    pub fn sub_window_ms(self) -> u64 {
        self.window_ms.div_ceil(SUB_WINDOWS).max(1)
    }
}

/// What was taken in one sub-window, and when the last of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub last_ms: u64,
    pub count: u64,
}

/// What was taken lately. Moments are of any clock that does not go back; where a caller's does,
/// the latest that was seen holds.
#[derive(Clone, Debug, Default)]
pub struct Window {
    cells: VecDeque<Cell>,
    used: u64,
    latest_ms: u64,
}

impl Window {
    /// Takes `cost` if it fits. A cost that does not fit takes nothing.
    #[must_use]
    pub fn take(&mut self, quota: Quota, now_ms: u64, cost: u64) -> bool {
        let fits = self.peek(quota, now_ms, cost);
        if fits {
            self.add(quota, now_ms, cost);
        }
        fits
    }

    /// Whether `cost` would fit.
    #[must_use]
    pub fn peek(&mut self, quota: Quota, now_ms: u64, cost: u64) -> bool {
        self.used(quota, now_ms).saturating_add(cost) <= quota.limit
    }

    #[must_use]
    pub fn remaining(&mut self, quota: Quota, now_ms: u64) -> u64 {
        quota.limit.saturating_sub(self.used(quota, now_ms))
    }

    /// How long until `cost` fits; if it does already, until something more is free; 0 when
    /// nothing is used. What can never fit waits for a whole window.
    #[must_use]
    pub fn reset_ms(&mut self, quota: Quota, now_ms: u64, cost: u64) -> u64 {
        let used = self.used(quota, now_ms);
        let over = used.saturating_add(cost).saturating_sub(quota.limit).max(1);
        let mut freed = 0;
        for cell in &self.cells {
            freed += cell.count;
            if freed >= over {
                return cell.last_ms + quota.window_ms + 1 - self.latest_ms;
            }
        }
        if cost > quota.limit { quota.window_ms } else { 0 }
    }

    /// What is counted now.
    #[must_use]
    pub fn used(&mut self, quota: Quota, now_ms: u64) -> u64 {
        self.latest_ms = self.latest_ms.max(now_ms);
        while let Some(oldest) = self.cells.front()
            && self.latest_ms - oldest.last_ms > quota.window_ms
        {
            self.used -= oldest.count;
            self.cells.pop_front();
        }
        self.used
    }

    /// Counts what was taken elsewhere, fitting or not.
    pub fn add(&mut self, quota: Quota, now_ms: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.latest_ms = self.latest_ms.max(now_ms);
        self.used = self.used.saturating_add(count);
        let (now_ms, part_ms) = (self.latest_ms, quota.sub_window_ms());
        if let Some(newest) = self.cells.back_mut()
            && newest.last_ms / part_ms == now_ms / part_ms
        {
            newest.last_ms = now_ms;
            newest.count = newest.count.saturating_add(count);
            return;
        }
        if self.cells.len() == MAX_CELLS
            && let Some(oldest) = self.cells.pop_front()
            && let Some(next) = self.cells.front_mut()
        {
            next.count = next.count.saturating_add(oldest.count);
        }
        self.cells.push_back(Cell { last_ms: now_ms, count });
    }

    /// Undoes a `take` of `at_ms`. What is no longer counted cannot come back.
    pub fn give_back(&mut self, at_ms: u64, mut count: u64) {
        for cell in self.cells.iter_mut().filter(|cell| cell.last_ms >= at_ms) {
            let back = cell.count.min(count);
            cell.count -= back;
            self.used -= back;
            count -= back;
        }
        self.cells.retain(|cell| cell.count > 0);
    }

    /// Oldest first.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.cells.iter().copied()
    }

    pub fn clear(&mut self) {
        self.cells.clear();
        self.used = 0;
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

#[cfg(test)]
mod tests;
