//! Settling apart: after the database refused a batch, in halves, until what it refuses is alone
//! and its mates are settled. Alone it is tried once more without the bytes that the receiver
//! chose. What is refused even so is given up: its lease runs out and it is tried again.

use model::attempt::AttemptDetail;
use tokio::sync::oneshot;

use super::Conn;
use super::settle::{self, Job};
use crate::db::Either;
use crate::{Result, Store};

/// Writes a batch through `conn`; answers which settlements still held their lease, and nothing
/// for those that the database does not want.
pub(crate) async fn apply(
    store: &Store,
    conn: &mut Conn<'_>,
    jobs: &[Job],
) -> Result<Vec<Option<bool>>> {
    let mut ours = vec![None; jobs.len()];
    let mut parts: Vec<_> = std::iter::once(0..jobs.len()).collect();
    while let Some(part) = parts.pop() {
        let own = &jobs[part.clone()];
        if let Some(told) = write(store, conn, own).await? {
            for (place, told) in part.zip(told) {
                ours[place] = Some(told);
            }
        } else if let [alone] = own {
            let delivery = alone.settlement.delivery_id;
            tracing::error!(%delivery, "the database refuses an outcome");
            let bare = without_answer(alone)?;
            let told = write(store, conn, std::slice::from_ref(&bare)).await?;
            ours[part.start] = told.and_then(|told| told.first().copied());
        } else {
            let middle = part.start + own.len() / 2;
            parts.extend([middle..part.end, part.start..middle]);
        }
    }
    Ok(ours)
}

/// As [`settle::finish`], where some were refused.
pub(crate) fn finish(store: &Store, jobs: Vec<Job>, ours: &[Option<bool>]) {
    let (mut settled, mut told, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (job, ours) in jobs.into_iter().zip(ours) {
        match ours {
            Some(ours) => {
                settled.push(job);
                told.push(*ours);
            }
            None => refused.push(job),
        }
    }
    settle::finish(store, settled, &told);
    settle::give_up(store, &refused);
}

/// None when the database refuses it; then nothing of it is written.
async fn write(store: &Store, conn: &mut Conn<'_>, jobs: &[Job]) -> Result<Option<Vec<bool>>> {
    savepoint(conn, "savepoint part")?;
    match settle::apply(store, conn, jobs).await {
        Ok(told) => {
            savepoint(conn, "release part")?;
            Ok(Some(told))
        }
        Err(error) if error.is_refusal() => {
            savepoint(conn, "rollback to part; release part")?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// On PostgreSQL each statement stands for itself.
fn savepoint(conn: &mut Conn<'_>, sql: &str) -> Result<()> {
    match conn {
        Either::Sqlite(c) => Ok(c.execute_batch(sql)?),
        Either::Postgres(_) => Ok(()),
    }
}

/// What is ours of it. Nobody waits for its answer: that is given by the job itself.
fn without_answer(job: &Job) -> Result<Job> {
    let mut settlement = job.settlement.clone();
    if let Some(attempt) = &mut settlement.attempt {
        attempt.response_body = Vec::new();
        let url = std::mem::take(&mut attempt.detail.url);
        attempt.detail = AttemptDetail { url, ..AttemptDetail::default() };
    }
    Job::new(settlement, oneshot::channel().0)
}
