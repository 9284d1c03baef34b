//! (g) A backlog: a dead endpoint (its port refuses) piles up messages while a healthy one goes on
//! being served; then the dead one comes alive and the backlog drains.

use std::time::Duration;

use super::Bench;
use super::phase::{Healthy, Phase};
use crate::Outcome;
use crate::driver::{Published, closed_loop};
use crate::measure::unix_nanos;
use crate::process;
use crate::report::Figures;
use crate::rig::Rig;
use crate::sink::LaneReport;

const LANE: &str = "revived";
const BATCH: u64 = 500;
const CONNECTIONS: usize = 4;
/// Long enough that nothing is given up before the endpoint comes alive.
const QUICK_TRIES: &str = "0s,2s,5s";
const LATER_TRIES: usize = 40;
const LATER_TRY: &str = ",15s";
/// The drain may take this long, and in addition a second for so many messages.
const DRAIN_DEADLINE: Duration = Duration::from_secs(120);
const SLOWEST_DRAIN_PER_S: u64 = 1_000;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let schedule = QUICK_TRIES.to_owned() + &LATER_TRY.repeat(LATER_TRIES);
    let mut rig = Rig::start(bench.options, bench.database, &schedule).await?;
    let result = measure(bench, &mut rig).await;
    rig.finish(result.is_ok()).await?;
    bench.note("drain", CONNECTIONS, result?);
    Ok(())
}

struct Drained {
    lane: LaneReport,
    lost: usize,
    opened_ns: u64,
    meanwhile: Phase,
}

async fn measure(bench: &Bench<'_>, rig: &mut Rig) -> Outcome<Figures> {
    let seconds = bench.options.seconds;
    let healthy = Healthy::create(rig).await?;
    let quiet = healthy.phase(rig, seconds).await?;

    let app = rig.api.create_app("dead").await?;
    let url = rig.sink.refusing_url(LANE);
    rig.api.create_endpoint(&app, &url).await?;
    let job = rig.publish_batches(&app, BATCH)?;
    let backlog = closed_loop(&job, CONNECTIONS, bench.options.backlog).await?.all_accepted()?;
    let under_backlog = healthy.phase(rig, seconds).await?;
    let resident_mib = process::resident_mib(rig.server.pid)?;

    let drained = drain(rig, &healthy, &backlog, seconds).await?;
    let filled_per_s = backlog.acknowledged.len() as f64 / backlog.elapsed.as_secs_f64();
    Ok(figures(&drained, &quiet, &under_backlog)
        .with("backlog", backlog.acknowledged.len() as f64)
        .with("filled_per_s", filled_per_s)
        .with("server_mib_under_backlog", resident_mib)
        .with("server_peak_mib", rig.server_peak_mib()?)
        .with("database_peak_mib", rig.database_peak_mib()?))
}

async fn drain(
    rig: &mut Rig,
    healthy: &Healthy,
    backlog: &Published,
    seconds: u64,
) -> Outcome<Drained> {
    let slowest = Duration::from_secs(backlog.acknowledged.len() as u64 / SLOWEST_DRAIN_PER_S);
    rig.sink.forget().await?;
    rig.sink.watch(LANE, &backlog.acknowledged).await?;
    let opened_ns = unix_nanos();
    rig.sink.open().await?;
    let all_arrived = rig.sink.missing(DRAIN_DEADLINE + slowest);
    let (missing, published) = tokio::try_join!(all_arrived, healthy.publish(seconds))?;
    Ok(Drained {
        lane: rig.sink.report(LANE).await?,
        lost: missing.count,
        opened_ns,
        meanwhile: healthy.arrivals(rig, published).await?,
    })
}

fn figures(drained: &Drained, quiet: &Phase, under_backlog: &Phase) -> Figures {
    let lane = &drained.lane;
    let draining_s = lane.last_ns.saturating_sub(lane.first_ns) as f64 / 1e9;
    let since_opened_s = |at_ns: u64| at_ns.saturating_sub(drained.opened_ns) as f64 / 1e9;
    let lost = drained.lost + under_backlog.lost + drained.meanwhile.lost;
    Figures::default()
        .with("quiet_p99_ms", quiet.arrived.p99_ms)
        .with("p99_ms", under_backlog.arrived.p99_ms)
        .with("p99_while_draining_ms", drained.meanwhile.arrived.p99_ms)
        .with("drained_per_s", lane.distinct as f64 / draining_s)
        .with("first_after_opening_s", since_opened_s(lane.first_ns))
        .with("last_after_opening_s", since_opened_s(lane.last_ns))
        .with("lost", lost as f64)
        .with("duplicates", lane.duplicates() as f64)
}
