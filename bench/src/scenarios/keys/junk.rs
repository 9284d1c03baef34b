//! A flood of well-formed tokens that are of no key, each from another address, beside good keys
//! at a steady rate.
//!
//! The flood has a thread and connections of its own. Three states alternate: the good keys
//! alone, beside the flood at a stated rate, and beside as many *good* requests per second: on a
//! small machine any load moves the others' latency, and the third state tells how much of it is
//! due to the tokens being junk. At the end the flood runs as fast as it is answered. Reads of
//! the database and password hashes are counted in this process, on the same database, with
//! nothing but junk.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keys::{ProbeBudget, VerifyRequest};
use model::Entropy;
use model::key::decide::Code;
use model::key::token;

use super::local::Local;
use super::seed::{ENVIRONMENT, KEYSPACE, PREFIX, Seeded, seed};
use super::{CONNECTIONS, VERIFY, rig};
use crate::Outcome;
use crate::driver::{Pace, Published, closed_loop, open_loop};
use crate::job::{Job, Kind, Shown};
use crate::measure::Histogram;
use crate::report::Figures;
use crate::rig::Rig;
use crate::scenarios::Bench;

const KEYS: usize = 1_000;
const GOOD_PER_SECOND: u32 = 500;
const FLOOD_PER_SECOND: u32 = 2_000;
const TURNS: u64 = 4;
const UNPACED: u64 = 50_000;
/// Junk in a row before others on the thread have their turn.
const IN_A_ROW: usize = 64;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = rig(bench.options, bench.database).await?;
    let result = measure(&mut rig, (bench.options.seconds / TURNS).max(1)).await;
    rig.finish(result.is_ok()).await?;
    bench.note("junk", CONNECTIONS, result?);
    Ok(())
}

async fn measure(rig: &mut Rig, seconds: u64) -> Outcome<Figures> {
    let entropy = Entropy::system()?;
    let seeded = seed(rig, KEYS).await?;
    let good = seeded.verify(rig.peer()?)?;
    closed_loop(&good, CONNECTIONS, KEYS as u64).await?.all_accepted()?;
    let [mut alone, mut beside_junk, mut beside_good] = [(); 3].map(|()| Histogram::new());
    for _ in 0..TURNS {
        alone.merge(&steady(&good, seconds).await?.answer);
        let flood = paced(junk(rig, &entropy, u64::from(FLOOD_PER_SECOND) * seconds)?, seconds);
        beside_junk.merge(&steady_beside(&good, seconds, flood).await?.good.answer);
        let flood = paced(good.beginning_at(KEYS as u64 / 2), seconds);
        beside_good.merge(&steady_beside(&good, seconds, flood).await?.good.answer);
    }
    let flood = Flood { job: junk(rig, &entropy, UNPACED)?, how: How::Unpaced };
    let unpaced = steady_beside(&good, seconds, flood).await?;
    rig.server.stop().await?;
    let p99_ms = |of: &Histogram| of.quantile_ms(0.99);
    let figures = Figures::default()
        .with("alone_p50_ms", alone.quantile_ms(0.5))
        .with("alone_p99_ms", p99_ms(&alone))
        .with("p99_ms", p99_ms(&beside_junk))
        .with("p99_ratio", p99_ms(&beside_junk) / p99_ms(&alone))
        .with("beside_good_p99_ms", p99_ms(&beside_good))
        .with("p99_ratio_to_good", p99_ms(&beside_junk) / p99_ms(&beside_good))
        .with("flood_per_s", f64::from(FLOOD_PER_SECOND))
        .with("unpaced_flood_per_s", unpaced.flood.posts_per_s())
        .with("unpaced_p99_ms", p99_ms(&unpaced.good.answer));
    in_process(rig, &seeded, seconds, figures).await
}

/// Unknown tokens, none of them twice.
fn junk(rig: &Rig, entropy: &Entropy, count: u64) -> Outcome<Job> {
    let bodies = (0..count).map(|_| Shown::Body(junk_body(entropy)));
    Ok(Job::new(rig.peer()?, VERIFY, Kind::UnknownKey)?.showing(bodies.collect()))
}

fn junk_body(entropy: &Entropy) -> Bytes {
    let token = token::mint(PREFIX, ENVIRONMENT, entropy);
    let address = any_address(entropy);
    format!(r#"{{"key":"{token}","keyspace":"{KEYSPACE}","address":"{address}"}}"#).into()
}

fn any_address(entropy: &Entropy) -> Ipv4Addr {
    Ipv4Addr::from_bits(entropy.next_u64() as u32)
}

struct Flood {
    job: Job,
    how: How,
}

enum How {
    Paced(Pace),
    Unpaced,
}

fn paced(job: Job, seconds: u64) -> Flood {
    Flood { job, how: How::Paced(Pace::lasting(FLOOD_PER_SECOND, seconds)) }
}

impl Flood {
    async fn run(self) -> Outcome<Published> {
        let flood = match self.how {
            How::Paced(pace) => open_loop(&self.job, pace).await?,
            How::Unpaced => closed_loop(&self.job, CONNECTIONS, UNPACED).await?,
        };
        flood.all_accepted()
    }

    /// On a thread of its own: the driver's own work must not delay the good keys.
    fn run_beside(self) -> tokio::task::JoinHandle<Outcome<Published>> {
        tokio::task::spawn_blocking(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.run())
        })
    }
}

async fn steady(good: &Job, seconds: u64) -> Outcome<Published> {
    open_loop(good, Pace::lasting(GOOD_PER_SECOND, seconds)).await?.all_accepted()
}

struct Beside {
    good: Published,
    flood: Published,
}

async fn steady_beside(good: &Job, seconds: u64, flood: Flood) -> Outcome<Beside> {
    let flood = flood.run_beside();
    let good = steady(good, seconds).await?;
    Ok(Beside { good, flood: flood.await?? })
}

async fn in_process(
    rig: &Rig,
    seeded: &Seeded,
    seconds: u64,
    figures: Figures,
) -> Outcome<Figures> {
    let good = seeded.keys.first().ok_or("no keys")?;
    let local = Local::after(&rig.settings).await?;
    let began = Instant::now();
    let refused = refuse_for(&local, Duration::from_secs(seconds)).await;
    let (took_s, stats) = (began.elapsed().as_secs_f64(), local.keys.stats());
    let is_good = local.keys.verify(VerifyRequest::new(&good.token)).await.is_valid();
    local.close().await;
    if !is_good {
        return Err("a good key is refused after the flood".into());
    }
    // A full budget at the beginning, refilled every second.
    let budget = f64::from(ProbeBudget::default().per_second) * (1.0 + took_s);
    Ok(figures
        .with("in_process_junk_per_s", refused? as f64 / took_s)
        .with("probes", stats.probes as f64)
        .with("probes_over_budget", (stats.probes as f64 - budget).max(0.0))
        .with("hash_runs", stats.hash_runs as f64))
}

/// Nothing but junk, as fast as it is refused; answers how many that were.
async fn refuse_for(local: &Local, time: Duration) -> Outcome<u64> {
    let began = Instant::now();
    let mut refused = 0;
    while began.elapsed() < time {
        for _ in 0..IN_A_ROW {
            let token = token::mint(PREFIX, ENVIRONMENT, &local.entropy);
            let address = Some(any_address(&local.entropy).into());
            let request = VerifyRequest { address, peer: address, ..VerifyRequest::new(&token) };
            let verdict = local.keys.verify(request).await;
            if verdict.code != Code::NotFound {
                return Err(format!("junk is answered with {}", verdict.code).into());
            }
            refused += 1;
        }
        tokio::task::yield_now().await;
    }
    Ok(refused)
}
