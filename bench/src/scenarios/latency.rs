//! (e) Latency at a low fixed rate, against what cannot be avoided: one durable commit and two
//! posts (publisher to server, server to endpoint).
//!
//! The yardstick is taken twice: back to back, and paced at the rate of the messages, when caches
//! and cores are as cold as they are for the messages themselves.

use std::time::Duration;

use super::Bench;
use super::phase::{Healthy, PER_SECOND};
use crate::driver::{Pace, closed_loop, open_loop};
use crate::job::{Job, Kind};
use crate::measure::flush_ms;
use crate::options::Database;
use crate::report::Figures;
use crate::rig::Rig;
use crate::{Outcome, postgres};

const FLOOR_POSTS: u64 = 5_000;
const COMMITS: u32 = 300;
const PACED_SECONDS: u64 = 5;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = Rig::start(bench.options, bench.database, "0s,1s,5s").await?;
    let result = measure(bench, &mut rig).await;
    rig.finish(result.is_ok()).await?;
    bench.note("latency", 1, result?);
    Ok(())
}

/// The unavoidable part, in milliseconds.
struct Yardstick {
    commit_ms: f64,
    floor_ms: f64,
}

impl Yardstick {
    fn total_ms(&self) -> f64 {
        self.commit_ms + 2.0 * self.floor_ms
    }
}

async fn measure(bench: &Bench<'_>, rig: &mut Rig) -> Outcome<Figures> {
    let healthy = Healthy::create(rig).await?;
    let tight = back_to_back(bench.database, rig).await?;
    let paced = paced(bench.database, rig).await?;
    let cpu_before = rig.cpu()?;
    let phase = healthy.phase(rig, bench.options.seconds).await?;
    let cpu = rig.cpu()?.since(cpu_before);
    let messages = phase.published.posts as f64;
    let (p50_ms, p99_ms) = (phase.arrived.p50_ms, phase.arrived.p99_ms);
    Ok(Figures::default()
        .with("p50_ms", p50_ms)
        .with("p99_ms", p99_ms)
        .with("ratio", p50_ms / tight.total_ms())
        .with("ratio_paced", p50_ms / paced.total_ms())
        .with("p99_over_p50", p99_ms / p50_ms)
        .with("commit_ms", tight.commit_ms)
        .with("commit_paced_ms", paced.commit_ms)
        .with("floor_ms", tight.floor_ms)
        .with("floor_paced_ms", paced.floor_ms)
        .with("flush_ms", flush_ms(rig.dir(), COMMITS, Duration::ZERO)?)
        .with("answer_p50_ms", phase.published.answer.quantile_ms(0.5))
        .with("max_ms", phase.arrived.max_ms)
        .with("lost", phase.lost as f64)
        .with("duplicates", phase.arrived.duplicates() as f64)
        .with("cpu_ms_per_message", (cpu.server_ms + cpu.database_ms) / messages))
}

async fn back_to_back(database: Database, rig: &Rig) -> Outcome<Yardstick> {
    let job = Job::new(rig.sink.peer()?, "/floor", Kind::Floor)?;
    let posts = closed_loop(&job, 1, FLOOR_POSTS).await?;
    Ok(Yardstick {
        commit_ms: commit_ms(database, rig, 0)?,
        floor_ms: posts.answer.quantile_ms(0.5),
    })
}

async fn paced(database: Database, rig: &Rig) -> Outcome<Yardstick> {
    let job = Job::new(rig.sink.peer()?, "/floor", Kind::Floor)?;
    let posts = open_loop(&job, Pace::lasting(PER_SECOND, PACED_SECONDS)).await?;
    Ok(Yardstick {
        commit_ms: commit_ms(database, rig, 1_000 / PER_SECOND)?,
        floor_ms: posts.answer.quantile_ms(0.5),
    })
}

/// One durable commit: on SQLite the flush it consists of, on PostgreSQL a single-row insert.
fn commit_ms(database: Database, rig: &Rig, pause_ms: u32) -> Outcome<f64> {
    match database {
        Database::Sqlite => flush_ms(rig.dir(), COMMITS, Duration::from_millis(pause_ms.into())),
        Database::Postgres => {
            postgres::commit_ms(&rig.settings.database_url, COMMITS as usize, pause_ms)
        }
    }
}
