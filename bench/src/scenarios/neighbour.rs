//! (f) A noisy neighbourhood: many endpoints that accept and never answer, and one healthy
//! endpoint whose latency should not tell.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Bench;
use super::phase::{Healthy, Phase};
use crate::Outcome;
use crate::client::Api;
use crate::driver::{Pace, closed_loop, open_loop};
use crate::job::{Job, Kind};
use crate::report::Figures;
use crate::rig::{Rig, message_path};

/// Due for each endpoint before the measurement starts, so that every lane stays occupied.
const MESSAGES_AHEAD: u64 = 10;
/// Published into the neighbourhood meanwhile.
const NOISE_PER_SECOND: u32 = 100;
const CONNECTIONS: usize = 16;
const HANGING_DEADLINE: Duration = Duration::from_secs(20);

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = Rig::start(bench.options, bench.database, "0s,5s,15s,60s,60s").await?;
    let result = measure(bench, &mut rig).await;
    rig.finish(result.is_ok()).await?;
    bench.note("neighbour", 1, result?);
    Ok(())
}

async fn measure(bench: &Bench<'_>, rig: &mut Rig) -> Outcome<Figures> {
    let seconds = bench.options.seconds;
    let healthy = Healthy::create(rig).await?;
    let quiet = healthy.phase(rig, seconds).await?;

    let paths = create_neighbours(rig, bench.options.noisy_endpoints).await?;
    let ahead = MESSAGES_AHEAD * paths.len() as u64;
    let job = Job::in_turn(rig.peer()?, &paths, Kind::Message)?;
    closed_loop(&job, CONNECTIONS, ahead).await?.all_accepted()?;
    let hanging_before = until_some_hang(rig).await?;
    let cpu_before = rig.cpu()?;
    let noise = open_loop(&job, Pace::lasting(NOISE_PER_SECOND, seconds));
    let (phase, noise) = tokio::try_join!(healthy.phase(rig, seconds), noise)?;
    let cpu = rig.cpu()?.since(cpu_before);
    noise.all_accepted()?;
    Ok(figures(&quiet, &phase)
        .with("hanging_at_start", hanging_before as f64)
        .with("hanging_at_end", rig.sink.hanging().await? as f64)
        .with("server_cpu_cores", cpu.server_ms / 1e3 / seconds as f64)
        .with("server_peak_mib", rig.server_peak_mib()?))
}

fn figures(quiet: &Phase, noisy: &Phase) -> Figures {
    Figures::default()
        .with("quiet_p50_ms", quiet.arrived.p50_ms)
        .with("quiet_p99_ms", quiet.arrived.p99_ms)
        .with("p50_ms", noisy.arrived.p50_ms)
        .with("p99_ms", noisy.arrived.p99_ms)
        .with("max_ms", noisy.arrived.max_ms)
        .with("p99_ratio", noisy.arrived.p99_ms / quiet.arrived.p99_ms)
        .with("acknowledged", noisy.published.acknowledged.len() as f64)
        .with("lost", noisy.lost as f64)
        .with("duplicates", noisy.arrived.duplicates() as f64)
}

/// An app for each endpoint; answers with the paths to publish to.
async fn create_neighbours(rig: &Rig, count: usize) -> Outcome<Vec<String>> {
    let mut creators = JoinSet::new();
    for first in 0..CONNECTIONS.min(count) {
        let mut api = Api::open(&rig.peer()?).await?;
        let urls: Vec<String> =
            (first..count).step_by(CONNECTIONS).map(|name| rig.sink.hanging_url(name)).collect();
        creators.spawn(async move {
            let mut paths = Vec::with_capacity(urls.len());
            for url in urls {
                let app = api.create_app("noisy").await?;
                api.create_endpoint(&app, &url).await?;
                paths.push(message_path(&app));
            }
            Outcome::Ok(paths)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(paths) = creators.join_next().await {
        all.extend(paths??);
    }
    Ok(all)
}

async fn until_some_hang(rig: &mut Rig) -> Outcome<u64> {
    let watch = async {
        loop {
            match rig.sink.hanging().await? {
                0 => sleep(Duration::from_millis(50)).await,
                hanging => return Outcome::Ok(hanging),
            }
        }
    };
    timeout(HANGING_DEADLINE, watch)
        .await
        .map_err(|_| "no delivery reached the hanging endpoints")?
}
