//! Checkpoints of SQLite's log, off the writer's path.
//!
//! Left to itself SQLite copies the log into the database inside a commit, every thousand pages,
//! and everybody waits. Here a task of its own copies what is committed while the writer goes on;
//! when the log has grown, the writer copies the little that came in meanwhile, so that the log
//! can start over. Nothing waits for readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::watch;

const EVERY: Duration = Duration::from_millis(100);
/// Pages in the log from which the writer is asked to finish a checkpoint.
const LONG_LOG_PAGES: i32 = 2_000;

const CHECKPOINT: &str = "pragma wal_checkpoint(passive)";

/// What the writer and the checkpointing task tell each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Checkpoints {
    commits: Arc<AtomicU64>,
    finish: Arc<AtomicBool>,
}

impl Checkpoints {
    /// The writer committed something. Finishes a checkpoint if that is due.
    pub fn committed(&self, c: &rusqlite::Connection) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if !self.finish.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = c.query_row(CHECKPOINT, [], |_| Ok(())) {
            tracing::warn!(%error, "checkpoint not finished; the log grows until the next one");
        }
    }

    /// Copies what is committed, again and again, until the store closes.
    pub async fn run(self, pool: SqlitePool, mut closing: watch::Receiver<bool>) {
        let mut seen = 0;
        loop {
            tokio::select! {
                () = super::writer::closed(&mut closing) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let commits = self.commits.load(Ordering::Relaxed);
            if commits == seen {
                continue;
            }
            seen = commits;
            // Whether it was busy, the pages in the log, the pages copied.
            let copied: Result<(i32, i32, i32), _> =
                sqlx::query_as(CHECKPOINT).fetch_one(&pool).await;
            match copied {
                Ok((_, pages, _)) if pages >= LONG_LOG_PAGES => {
                    self.finish.store(true, Ordering::Relaxed);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "no checkpoint"),
            }
        }
    }
}
