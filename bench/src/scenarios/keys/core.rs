//! What one verification from memory costs, in CPU time of the thread that runs it.
//!
//! In process, on SQLite, over keys in random order: token, index, memory, tags checked before,
//! decision, counting. The clock of the thread's CPU time costs as much as a good part of a
//! verification, so that 16 are measured together and the time is divided; the quantiles are of
//! those means. `single_p99_us` measures each alone, the clock included. A verification from
//! memory never waits, so nothing else runs on the thread between the two readings; what runs
//! beside it (following changes, settling usage) gets its turn in between.

use std::hint::black_box;

use keys::{Keys, KeyspaceFields, NewKey, VerifyRequest};
use model::Entropy;
use model::key::limit::{Limit, Mode, Subject, WhenDown};
use model::key::scope::ScopeQuery;
use tokio::task::JoinSet;

use super::local::{Local, by};
use crate::Outcome;
use crate::measure::{Histogram, thread_cpu_nanos};
use crate::report::Figures;
use crate::rig::work_dir;
use crate::scenarios::Bench;

const KEYS: usize = 10_000;
const MINTERS: usize = 8;
const BATCH: usize = 16;
/// Batches in a row before others on this thread have their turn.
const BATCHES_IN_A_ROW: usize = 64;
const WARM_UP: usize = 20_000;
const LIMIT: u64 = 1_000_000_000;
const MINUTE_MS: u64 = 60_000;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let dir = work_dir(bench.options)?.join(format!("verify_core_{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let local = Local::fresh(format!("sqlite:{}", dir.join("bench.db").display())).await?;
    let result = measure(&local, bench.options.verifies).await;
    local.close().await;
    let figures = result?;
    std::fs::remove_dir_all(dir)?;
    bench.note("verify-core", 0, figures);
    Ok(())
}

async fn measure(local: &Local, verifies: u64) -> Outcome<Figures> {
    let verifies = usize::try_from(verifies)?;
    let plain = mint(local, "plain", Vec::new()).await?;
    let limited = mint(local, "limited", vec![local_limit()]).await?;
    let plain = costs(local, &plain, verifies).await?;
    let limited = costs(local, &limited, verifies).await?;
    Ok(Figures::default()
        .with("p50_us", plain.batched_us(0.5))
        .with("p99_us", plain.batched_us(0.99))
        .with("single_p50_us", plain.single.quantile_ms(0.5) * 1e3)
        .with("single_p99_us", plain.single.quantile_ms(0.99) * 1e3)
        .with("clock_p50_us", clock_us())
        .with("limited_p50_us", limited.batched_us(0.5))
        .with("limited_p99_us", limited.batched_us(0.99))
        .with("verifies", verifies as f64)
        .with("hash_runs", (plain.hash_runs + limited.hash_runs) as f64))
}

fn local_limit() -> Limit {
    Limit {
        name: "requests".to_owned(),
        limit: LIMIT,
        window_ms: MINUTE_MS,
        subject: Subject::Key,
        mode: Mode::Local,
        when_down: WhenDown::LocalShare,
        automatic: true,
    }
}

/// The tokens of so many keys in a keyspace of their own.
async fn mint(local: &Local, keyspace: &str, limits: Vec<Limit>) -> Outcome<Vec<String>> {
    let fields = KeyspaceFields {
        uid: Some(keyspace.to_owned()),
        name: keyspace.to_owned(),
        prefix: keyspace.to_owned(),
        environments: vec!["live".to_owned()],
        limits,
        ..KeyspaceFields::default()
    };
    local.keys.create_keyspace(fields, &by()).await?;
    let mut minters = JoinSet::new();
    for _ in 0..MINTERS {
        minters.spawn(mint_share(local.keys.clone(), keyspace.to_owned()));
    }
    let mut tokens = Vec::with_capacity(KEYS);
    while let Some(minted) = minters.join_next().await {
        tokens.extend(minted??);
    }
    Ok(tokens)
}

async fn mint_share(keys: Keys, keyspace: String) -> Outcome<Vec<String>> {
    let mut tokens = Vec::with_capacity(KEYS / MINTERS);
    for _ in 0..KEYS / MINTERS {
        let new = NewKey {
            keyspace: keyspace.clone(),
            name: "bench".to_owned(),
            scopes: vec!["read:contacts".to_owned(), "docs.*".to_owned()],
            ..NewKey::default()
        };
        tokens.push(keys.create_key(new, &by()).await?.token);
    }
    Ok(tokens)
}

struct Costs {
    /// CPU time of sixteen
    batches: Histogram,
    single: Histogram,
    hash_runs: u64,
}

impl Costs {
    fn batched_us(&self, quantile: f64) -> f64 {
        self.batches.quantile_ms(quantile) * 1e3 / BATCH as f64
    }
}

async fn costs(local: &Local, tokens: &[String], verifies: usize) -> Outcome<Costs> {
    let hash_runs_before = local.keys.stats().hash_runs;
    let mut walk = Walk { local, tokens, scopes: ScopeQuery::parse("read:contacts")?, refused: 0 };
    walk.measure(WARM_UP / BATCH, BATCH).await;
    let batches = walk.measure(verifies / BATCH, BATCH).await;
    let single = walk.measure(verifies / BATCH, 1).await;
    if walk.refused > 0 {
        return Err(format!("{} of the keys were refused or not in memory", walk.refused).into());
    }
    let hash_runs = local.keys.stats().hash_runs - hash_runs_before;
    Ok(Costs { batches, single, hash_runs })
}

struct Walk<'a> {
    local: &'a Local,
    tokens: &'a [String],
    scopes: ScopeQuery,
    refused: u64,
}

impl<'a> Walk<'a> {
    async fn measure(&mut self, batches: usize, size: usize) -> Histogram {
        let mut histogram = Histogram::new();
        for turn in 0..batches {
            if turn % BATCHES_IN_A_ROW == 0 {
                tokio::task::yield_now().await;
            }
            let shown: Vec<&'a String> = (0..size).map(|_| self.any()).collect();
            let before = thread_cpu_nanos();
            for token in shown {
                let request =
                    VerifyRequest { scopes: Some(&self.scopes), ..VerifyRequest::new(token) };
                let verdict = black_box(self.local.keys.verify(request).await);
                self.refused += u64::from(!verdict.is_valid() || !verdict.cached);
            }
            histogram.record(thread_cpu_nanos() - before);
        }
        histogram
    }

    fn any(&self) -> &'a String {
        &self.tokens[any_of(&self.local.entropy, self.tokens.len())]
    }
}

fn any_of(entropy: &Entropy, count: usize) -> usize {
    usize::try_from(entropy.below(count as u64)).unwrap_or(0)
}

/// What reading the clock costs by itself.
fn clock_us() -> f64 {
    let mut histogram = Histogram::new();
    for _ in 0..10_000 {
        let before = thread_cpu_nanos();
        histogram.record(thread_cpu_nanos() - before);
    }
    histogram.quantile_ms(0.5) * 1e3
}
