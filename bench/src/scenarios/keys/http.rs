//! Verifications over HTTP against a bare answer of the same server: what the question about a
//! key adds to a request.
//!
//! The three kinds alternate in short turns over the same number of connections of the same
//! driver, and the ratio is the median of the turns' ratios: the machine changes from minute to
//! minute. The CPU of the server per request stands beside it, for the driver is on this machine
//! too and can be what bounds the rates.

use super::{CONNECTIONS, rig, seed};
use crate::Outcome;
use crate::driver::closed_loop;
use crate::job::{Job, Kind};
use crate::measure::{Histogram, median};
use crate::report::Figures;
use crate::rig::Rig;
use crate::scenarios::Bench;

const KEYS: usize = 10_000;
const TURNS: u64 = 5;
const WARM_UP: u64 = 10_000;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = rig(bench.options, bench.database).await?;
    let result = measure(&mut rig, bench.options.verifies / TURNS).await;
    rig.finish(result.is_ok()).await?;
    bench.note("verify-http", CONNECTIONS, result?);
    Ok(())
}

async fn measure(rig: &mut Rig, requests: u64) -> Outcome<Figures> {
    let seeded = seed::seed(rig, KEYS).await?;
    let mut bare = Measured::of(Job::new(rig.peer()?, "/health/live", Kind::Bare)?);
    let mut verify = Measured::of(seeded.verify(rig.peer()?)?);
    let mut authorize = Measured::of(seeded.authorize(rig.peer()?)?);
    for measured in [&mut bare, &mut verify, &mut authorize] {
        closed_loop(&measured.job, CONNECTIONS, WARM_UP).await?.all_accepted()?;
    }
    for _ in 0..TURNS {
        for measured in [&mut bare, &mut verify, &mut authorize] {
            measured.turn(rig, requests).await?;
        }
    }
    Ok(Figures::default()
        .with("bare_per_s", bare.per_s())
        .with("verify_per_s", verify.per_s())
        .with("authorize_per_s", authorize.per_s())
        .with("verify_ratio", verify.ratio_to(&bare))
        .with("authorize_ratio", authorize.ratio_to(&bare))
        .with("bare_cpu_us", bare.cpu_us())
        .with("verify_cpu_us", verify.cpu_us())
        .with("authorize_cpu_us", authorize.cpu_us())
        .with("bare_p99_ms", bare.answer.quantile_ms(0.99))
        .with("verify_p50_ms", verify.answer.quantile_ms(0.5))
        .with("verify_p99_ms", verify.answer.quantile_ms(0.99))
        .with("authorize_p99_ms", authorize.answer.quantile_ms(0.99))
        .with("server_peak_mib", rig.server_peak_mib()?))
}

struct Measured {
    job: Job,
    /// Per second, turn by turn
    rates: Vec<f64>,
    answer: Histogram,
    requests: u64,
    server_cpu_ms: f64,
}

impl Measured {
    fn of(job: Job) -> Self {
        Self { job, rates: Vec::new(), answer: Histogram::new(), requests: 0, server_cpu_ms: 0.0 }
    }

    async fn turn(&mut self, rig: &Rig, requests: u64) -> Outcome<()> {
        let cpu_before = rig.cpu()?;
        let load = closed_loop(&self.job, CONNECTIONS, requests).await?.all_accepted()?;
        self.server_cpu_ms += rig.cpu()?.since(cpu_before).server_ms;
        self.rates.push(load.posts_per_s());
        self.answer.merge(&load.answer);
        self.requests += requests;
        Ok(())
    }

    fn per_s(&self) -> f64 {
        median(self.rates.clone()).unwrap_or(f64::NAN)
    }

    fn ratio_to(&self, bare: &Measured) -> f64 {
        let turns = self.rates.iter().zip(&bare.rates);
        median(turns.map(|(rate, bare)| rate / bare).collect()).unwrap_or(f64::NAN)
    }

    fn cpu_us(&self) -> f64 {
        self.server_cpu_ms * 1e3 / self.requests as f64
    }
}
