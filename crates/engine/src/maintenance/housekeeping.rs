//! Housekeeping: partitions made ahead, what is too old deleted, space given back.
//!
//! Each chore has its own next time in the database; who moves it on does it. Outside quiet hours
//! only partitions are made, unless somebody asked for more. Deletions come in short steps with
//! pauses between them, so that whoever writes hardly waits; what a stop interrupts is gone on
//! with at the next turn.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::Timestamp;
use model::retention::Day;
use model::window::QuietHours;
use store::{Chore, Kept, Partition, Report, Scope, Slice, Store, StoreError};

use super::archive::Archive;

const PARTITIONS_EVERY_MS: u64 = 60 * 60 * 1_000;
const OTHERS_EVERY_MS: u64 = 6 * 60 * 60 * 1_000;
/// After each transaction that deletes, at least; and as long as it took, so that the disk is
/// everybody else's for half of the time.
const PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Deletions make SQLite's log long.
const STEPS_PER_CHECKPOINT: usize = 20;
/// Slices of one scope in one turn, and pages of one slice; the next turn goes on.
const MAX_SLICES: usize = 10_000;
const MAX_PAGES: usize = 1_000_000;

/// How house is kept.
#[derive(Clone, Debug)]
pub struct Housekeeping {
    /// When; the default is at any time.
    pub quiet_hours: QuietHours,
    /// Where what is deleted goes first; none: nowhere.
    pub archive_dir: Option<PathBuf>,
    /// Whether indexes are built anew, on PostgreSQL.
    pub reindex: bool,
    /// How long what was counted of keys by the minute is kept.
    pub key_usage_ms: u64,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("archive: {0}")]
    Archive(#[from] io::Error),
}

/// Does what is due.
///
/// # Errors
/// When the database fails between two chores; what fails within one is reported.
pub async fn turn(store: Store, keeping: Housekeeping) -> Result<(), StoreError> {
    for chore in Chore::ALL {
        let (now, state) = (store.clock().now(), store.chore(chore).await?);
        if !state.asked && state.next_at.is_some_and(|next| next > now) {
            continue;
        }
        if !state.asked && chore != Chore::Partitions && !keeping.quiet_hours.is_quiet(now) {
            if let Some(hours) = keeping.quiet_hours.hours(now) {
                store.take_chore(chore, hours.starts_at).await?;
            }
            continue;
        }
        let every = if chore == Chore::Partitions { PARTITIONS_EVERY_MS } else { OTHERS_EVERY_MS };
        if store.take_chore(chore, now.plus_ms(every)).await? {
            let mut work =
                Work { store: &store, keeping: &keeping, report: Report::default(), steps: 0 };
            if let Err(error) = work.run(chore).await {
                tracing::error!(chore = chore.as_str(), %error, "housekeeping is not done");
                work.report.error = Some(error.to_string());
            }
            store.record_chore(chore, now, &work.report).await?;
        }
    }
    Ok(())
}

/// One chore under way.
struct Work<'a> {
    store: &'a Store,
    keeping: &'a Housekeeping,
    report: Report,
    steps: usize,
}

impl Work<'_> {
    async fn run(&mut self, chore: Chore) -> Result<(), Failed> {
        self.report.before = Some(self.store.sizes().await?);
        let done = match chore {
            Chore::Partitions => self.make_partitions().await,
            Chore::Payloads => self.erase_payloads().await,
            Chore::Attempts => self.expire_attempts().await,
            Chore::Messages => self.expire(Kept::Messages).await,
            Chore::Audit => self.expire_audit().await,
            Chore::Upkeep => Ok(self.store.keep_up(self.keeping.reindex, &mut self.report).await?),
        };
        self.report.after = Some(self.store.sizes().await?);
        done
    }

    async fn make_partitions(&mut self) -> Result<(), Failed> {
        self.report.partitions = self.store.make_partitions().await?;
        Ok(())
    }

    async fn erase_payloads(&mut self) -> Result<(), Failed> {
        for scope in self.store.scopes(Kept::Payloads).await? {
            let mut from = None;
            for _ in 0..MAX_PAGES {
                let since = self.store.clock().now();
                let step = self.store.erase_old_payloads(&scope, from).await?;
                let Some((last, erased)) = step else { break };
                self.report.rows += erased;
                from = Some(last);
                self.pause(since).await?;
            }
        }
        Ok(())
    }

    /// Whole partitions first: what is left of a day are other apps' attempts, or late ones.
    async fn expire_attempts(&mut self) -> Result<(), Failed> {
        if let Some(before) = self.store.attempts_kept_from().await? {
            self.drop_partitions(before).await?;
        }
        self.expire(Kept::Attempts).await
    }

    async fn drop_partitions(&mut self, before: Day) -> Result<(), Failed> {
        for partition in self.store.expired_partitions(before).await? {
            if partition.attached && !self.store.detach_partition(&partition).await? {
                let name = &partition.name;
                self.report.notes.push(format!("{name} is in use; it is dropped at the next turn"));
                continue;
            }
            self.archive_partition(&partition).await?;
            self.store.drop_partition(&partition).await?;
            self.report.rows += u64::try_from(partition.rows).unwrap_or(0);
            self.report.partitions.push(partition.name);
        }
        Ok(())
    }

    async fn archive_partition(&mut self, partition: &Partition) -> Result<(), Failed> {
        let Some(dir) = &self.keeping.archive_dir else { return Ok(()) };
        let mut archive = Archive::new(dir, partition.label());
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let page = self.store.read_partition(partition, after.as_deref()).await?;
            archive = archive.write(page.rows).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.report.archives.extend(archive.finish().await?);
        Ok(())
    }

    async fn expire(&mut self, kept: Kept) -> Result<(), Failed> {
        for scope in self.store.scopes(kept).await? {
            self.expire_scope(kept, &scope).await?;
        }
        Ok(())
    }

    async fn expire_scope(&mut self, kept: Kept, scope: &Scope) -> Result<(), Failed> {
        let mut last = None;
        for _ in 0..MAX_SLICES {
            let Some(slice) = self.store.next_slice(kept, scope, last.as_ref()).await? else {
                break;
            };
            self.remove(&slice).await?;
            last = Some(slice);
        }
        Ok(())
    }

    async fn expire_audit(&mut self) -> Result<(), Failed> {
        for _ in 0..MAX_SLICES {
            let Some(slice) = self.store.expired_audit().await? else { break };
            let before = self.report.rows;
            self.remove(&slice).await?;
            if self.report.rows == before {
                break;
            }
        }
        if self.report.rows > 0 {
            self.store.record_audit_expiry(self.report.rows).await?;
        }
        Ok(())
    }

    /// Archives all of a slice, then deletes it.
    async fn remove(&mut self, slice: &Slice) -> Result<(), Failed> {
        self.archive(slice).await?;
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let since = self.store.clock().now();
            let page = self.store.read_slice(slice, after.as_deref(), false).await?;
            if !page.keys.is_empty() {
                self.report.rows += self.store.delete_from_slice(slice, &page.keys).await?;
                self.pause(since).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn archive(&mut self, slice: &Slice) -> Result<(), Failed> {
        let Some(dir) = &self.keeping.archive_dir else { return Ok(()) };
        let owner = slice.owner().map(|owner| format!("-{owner}")).unwrap_or_default();
        let mut archive = Archive::new(dir, slice.day().name() + &owner);
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let page = self.store.read_slice(slice, after.as_deref(), true).await?;
            archive = archive.write(page.rows).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.report.archives.extend(archive.finish().await?);
        Ok(())
    }

    /// After a step that began at `since`.
    async fn pause(&mut self, since: Timestamp) -> Result<(), Failed> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_CHECKPOINT) {
            self.store.checkpoint().await?;
        }
        let took = Duration::from_millis(self.store.clock().now().since_ms(since));
        tokio::time::sleep(took.clamp(PAUSE, MAX_PAUSE)).await;
        Ok(())
    }
}
