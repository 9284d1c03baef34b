//! (h) A day of attempts expires while messages are published at a fixed rate: how long that takes,
//! how long a publisher waits at the worst, and how large the database is before and after.

use std::cell::Cell;
use std::time::Duration;

use model::MessageId;
use model::retention::Day;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Bench;
use super::phase::Healthy;
use crate::client::Api;
use crate::driver::Published;
use crate::measure::unix_nanos;
use crate::report::Figures;
use crate::rig::Rig;
use crate::{Outcome, expired};

/// The day that expires lies so far back; attempts are kept for 90 days.
const AGE_DAYS: u64 = 100;
/// Publishing goes on in parts of this length until housekeeping is done.
const PART_SECONDS: u64 = 3;
/// Publishing is under way for so long before housekeeping is asked for.
const LEAD: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const MIB: f64 = 1024.0 * 1024.0;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = Rig::start(bench.options, bench.database, "0s,1s,5s").await?;
    let result = measure(bench, &mut rig).await;
    rig.finish(result.is_ok()).await?;
    bench.note("retention", 1, result?);
    Ok(())
}

#[derive(Deserialize)]
struct Housekeeping {
    /// The newest first.
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    chore: String,
    started_at: String,
    duration_ms: f64,
    rows: f64,
    error: Option<String>,
}

async fn measure(bench: &Bench<'_>, rig: &mut Rig) -> Outcome<Figures> {
    let healthy = Healthy::create(rig).await?;
    let app = rig.api.create_app("old").await?;
    let endpoint = rig.api.create_endpoint(&app, &rig.sink.refusing_url("old")).await?;
    let age_ms = AGE_DAYS * 24 * 60 * 60 * 1_000;
    let now = model::Timestamp((unix_nanos() / 1_000_000).try_into()?);
    let day = Day::of(now.minus_ms(age_ms));
    let attempts = expired::Attempts {
        app: &app,
        endpoint: &endpoint,
        low: &MessageId::floor(day.start()).attempt_range().0,
        high: &MessageId::floor(day.plus(1).start()).attempt_range().0,
        day: &day.name(),
        at: day.start().0,
        count: bench.options.expired,
    };
    let url = rig.settings.database_url.clone();
    expired::write(bench.database, &url, &attempts)?;
    let quiet = healthy.phase(rig, bench.options.seconds).await?;
    let before = expired::sizes(bench.database, &url)?;

    rig.sink.forget().await?;
    let started = Instant::now();
    let (published, run) = expire(rig, &healthy).await?;
    let all = started.elapsed();
    let meanwhile = healthy.arrivals(rig, published).await?;
    let after = expired::sizes(bench.database, &url)?;
    Ok(Figures::default()
        .with("attempts", bench.options.expired as f64)
        .with("rows_reported", run.rows)
        .with("expired_ms", run.duration_ms)
        .with("housekeeping_s", all.as_secs_f64())
        .with("quiet_answer_p99_ms", quiet.published.answer.quantile_ms(0.99))
        .with("quiet_answer_max_ms", quiet.published.answer.quantile_ms(1.0))
        .with("answer_p99_ms", meanwhile.published.answer.quantile_ms(0.99))
        .with("answer_max_ms", meanwhile.published.answer.quantile_ms(1.0))
        .with("published_meanwhile", meanwhile.published.posts as f64)
        .with("lost", (quiet.lost + meanwhile.lost) as f64)
        .with("database_mib_before", before.database as f64 / MIB)
        .with("database_mib_after", after.database as f64 / MIB)
        .with("attempts_mib_before", before.attempts as f64 / MIB)
        .with("attempts_mib_after", after.attempts as f64 / MIB))
}

/// Publishes until housekeeping is done, and to the end of the part that is under way then.
async fn expire(rig: &mut Rig, healthy: &Healthy) -> Outcome<(Published, Run)> {
    let is_done = Cell::new(false);
    let publishing = async {
        let mut published = healthy.publish(PART_SECONDS).await?;
        while !is_done.get() {
            published.absorb(healthy.publish(PART_SECONDS).await?);
        }
        Ok(published)
    };
    let expiring = async {
        sleep(LEAD).await;
        // The one of the preparation has been idle for too long.
        rig.api = Api::open(&rig.peer()?).await?;
        rig.api.post_empty("/api/v1/housekeeping/run").await?;
        let run = until_done(rig).await;
        is_done.set(true);
        run
    };
    tokio::try_join!(publishing, expiring)
}

async fn until_done(rig: &mut Rig) -> Outcome<Run> {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let found: Housekeeping = rig.api.get("/api/v1/housekeeping").await?;
        // Upkeep comes last.
        let upkeep = found.runs.iter().find(|run| run.chore == "upkeep");
        let since = upkeep.map(|run| run.started_at.clone()).unwrap_or_default();
        let attempts = found.runs.into_iter().find(|run| run.chore == "attempts" && run.rows > 0.0);
        if let Some(attempts) = attempts.filter(|run| run.started_at <= since) {
            return match attempts.error {
                Some(error) => Err(error.into()),
                None => Ok(attempts),
            };
        }
        sleep(LOOK_EVERY).await;
    }
    Err("housekeeping is not done in time".into())
}
