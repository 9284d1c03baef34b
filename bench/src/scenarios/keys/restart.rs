//! After a restart: how long until verifications over all keys run at full rate again, and that
//! no password hash is run for it.
//!
//! From the start of the process on, the driver verifies random keys in bursts. The rate of the
//! last bursts is the steady one; the first burst that reaches nine tenths of it ends the wait.
//! Then the same database is opened in this process and every key is verified once, for the
//! server does not tell how often it ran the hash. Once a minute at the most a verification is
//! compared with its hash in the background, on purpose: only what is beyond that counts.

use std::time::{Duration, Instant};

use keys::VerifyRequest;
use model::Entropy;

use super::local::Local;
use super::seed::{Seeded, seed};
use super::{CONNECTIONS, rig};
use crate::Outcome;
use crate::driver::closed_loop;
use crate::measure::median;
use crate::process;
use crate::report::Figures;
use crate::rig::Rig;
use crate::scenarios::Bench;

const BURST: u64 = 2_000;
const BURSTS: usize = 60;
/// Verifications in a row before others on the thread have their turn.
const IN_A_ROW: usize = 64;
const SETTLE_TIME: Duration = Duration::from_millis(500);
const FULL_SHARE: f64 = 0.9;
/// In which one verification may be compared with its hash, whatever else happens.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = rig(bench.options, bench.database).await?;
    let result = measure(&mut rig, bench.options.keys).await;
    rig.finish(result.is_ok()).await?;
    bench.note("restart", CONNECTIONS, result?);
    Ok(())
}

async fn measure(rig: &mut Rig, count: usize) -> Outcome<Figures> {
    let began = Instant::now();
    let mut seeded = seed(rig, count).await?;
    let minted_s = began.elapsed().as_secs_f64();
    shuffle(&mut seeded, &Entropy::system()?);
    rig.server.stop().await?;

    let started = Instant::now();
    rig.server = rig.settings.start().await?;
    let healthy_ms = rig.server.healthy_after.as_secs_f64() * 1e3;
    let bursts = verify_in_bursts(rig, &seeded, started).await?;
    let resident_mib = process::resident_mib(rig.server.pid)?;
    rig.server.stop().await?;

    let steady = steady_rate(&bursts);
    let full = bursts.iter().find(|burst| burst.rate >= steady * FULL_SHARE);
    let figures = Figures::default()
        .with("keys", count as f64)
        .with("mint_per_s", count as f64 / minted_s)
        .with("healthy_ms", healthy_ms)
        .with("full_rate_after_ms", full.map_or(f64::INFINITY, |burst| burst.ended_ms))
        .with("first_burst_per_s", bursts.first().map_or(0.0, |burst| burst.rate))
        .with("steady_per_s", steady)
        .with("resident_mib", resident_mib);
    in_process(rig, &seeded, figures).await
}

struct Burst {
    /// Since the start of the process
    ended_ms: f64,
    rate: f64,
}

async fn verify_in_bursts(rig: &Rig, seeded: &Seeded, started: Instant) -> Outcome<Vec<Burst>> {
    let job = seeded.verify(rig.peer()?)?;
    let mut bursts = Vec::with_capacity(BURSTS);
    for burst in 0..BURSTS {
        let job = job.beginning_at(burst as u64 * BURST);
        let load = closed_loop(&job, CONNECTIONS, BURST).await?.all_accepted()?;
        let ended_ms = started.elapsed().as_secs_f64() * 1e3;
        bursts.push(Burst { ended_ms, rate: load.posts_per_s() });
    }
    Ok(bursts)
}

/// Of the second half.
fn steady_rate(bursts: &[Burst]) -> f64 {
    let last = bursts.iter().skip(bursts.len() / 2).map(|burst| burst.rate);
    median(last.collect()).unwrap_or(f64::INFINITY)
}

async fn in_process(rig: &Rig, seeded: &Seeded, figures: Figures) -> Outcome<Figures> {
    let started = Instant::now();
    let local = Local::after(&rig.settings).await?;
    let ready = started.elapsed();
    let warm = verify_all(&local, seeded, started).await;
    let stats = local.keys.stats();
    local.close().await;
    let warm = warm?;
    let sampled = 1 + started.elapsed().as_secs() / SAMPLE_EVERY.as_secs();
    Ok(figures
        .with("keys_start_ms", ready.as_secs_f64() * 1e3)
        .with("all_in_memory_ms", warm.as_secs_f64() * 1e3)
        .with("misses", stats.misses as f64)
        .with("hash_runs", stats.hash_runs as f64)
        .with("hash_runs_beyond_sample", stats.hash_runs.saturating_sub(sampled) as f64))
}

async fn verify_all(local: &Local, seeded: &Seeded, started: Instant) -> Outcome<Duration> {
    let warm = warmed_up(local, seeded.keys.len(), started).await?;
    for (turn, key) in seeded.keys.iter().enumerate() {
        if turn % IN_A_ROW == 0 {
            tokio::task::yield_now().await;
        }
        let verdict = local.keys.verify(VerifyRequest::new(&key.token)).await;
        if !verdict.is_valid() {
            return Err(format!("{} is {}: {}", key.id, verdict.code, verdict.reason).into());
        }
    }
    // What was begun in the background counts.
    tokio::time::sleep(SETTLE_TIME).await;
    Ok(warm)
}

/// When all keys are held.
async fn warmed_up(local: &Local, count: usize, started: Instant) -> Outcome<Duration> {
    const PATIENCE: Duration = Duration::from_secs(60);
    while local.keys.stats().held < count {
        if started.elapsed() > PATIENCE {
            return Err(format!("only {} keys are in memory", local.keys.stats().held).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(started.elapsed())
}

fn shuffle(seeded: &mut Seeded, entropy: &Entropy) {
    for at in (1..seeded.keys.len()).rev() {
        let other = usize::try_from(entropy.below(at as u64 + 1)).unwrap_or(at);
        seeded.keys.swap(at, other);
    }
}
