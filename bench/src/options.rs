//! The command line.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::Outcome;
use crate::scenarios::Scenario;

#[derive(Parser)]
#[command(
    name = "doorbell-bench",
    about = "Measures the release binary against the floor of this machine"
)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Every scenario on the chosen databases
    All,
    #[command(flatten)]
    One(Scenario),
    /// Kill -9 under load, again and again; fails if an acknowledged message is lost
    Torture(TortureOptions),
    /// Stop the database, cut its connections, kill and empty Redis, under load; fails if an
    /// acknowledged message is lost, an answer is not polite, or the rate stays away
    Outages(OutageOptions),
    #[command(hide = true)]
    Sink,
}

#[derive(Args)]
pub struct Options {
    /// Databases to measure on
    #[arg(long, global = true, value_delimiter = ',', default_value = "sqlite,postgres")]
    pub database: Vec<Database>,
    /// A PostgreSQL whose user may create databases; each run makes and drops its own
    /// [env: DOORBELL_BENCH_POSTGRES_URL]
    #[arg(long, global = true)]
    pub postgres_url: Option<String>,
    /// The server under measurement
    #[arg(long, global = true, default_value = "target/release/doorbell")]
    pub server: PathBuf,
    /// Where databases and logs are kept during a run; choose the disk to be measured
    #[arg(long, global = true, default_value = "target/doorbell-bench")]
    pub work_dir: PathBuf,
    /// Where the results go as JSON [default: results.json in the work folder]
    #[arg(long, global = true)]
    pub json: Option<PathBuf>,
    /// Rounds of the throughput scenarios, each with its own floor
    #[arg(long, global = true, default_value_t = 1, value_parser = whole::<u32>(1..=100))]
    pub rounds: u32,
    /// Publishers of the closed loops
    #[arg(long, global = true, value_delimiter = ',', default_value = "64,256", value_parser = whole::<usize>(1..=4_096))]
    pub connections: Vec<usize>,
    /// Messages of one closed-loop run
    #[arg(long, global = true, default_value_t = 30_000, value_parser = whole::<u64>(1..=10_000_000))]
    pub load: u64,
    /// Messages of one fan-out run, each to ten endpoints
    #[arg(long, global = true, default_value_t = 3_000, value_parser = whole::<u64>(1..=1_000_000))]
    pub fan_out_load: u64,
    /// Messages due for the dead endpoint of the drain
    #[arg(long, global = true, default_value_t = 100_000, value_parser = whole::<u64>(1..=10_000_000))]
    pub backlog: u64,
    /// Deliveries that are replayed in bulk
    #[arg(long, global = true, default_value_t = 100_000, value_parser = whole::<u64>(1..=10_000_000))]
    pub replays: u64,
    /// The rate that the replay is asked to keep, in deliveries per second; as fast as it goes if
    /// left out
    #[arg(long, global = true, value_parser = whole::<u32>(1..=10_000))]
    pub replay_rate: Option<u32>,
    /// Attempts that expire
    #[arg(long, global = true, default_value_t = 1_000_000, value_parser = whole::<u64>(1..=100_000_000))]
    pub expired: u64,
    /// Length of each phase at a fixed rate
    #[arg(long, global = true, default_value_t = 20, value_parser = whole::<u64>(1..=600))]
    pub seconds: u64,
    /// Endpoints that never answer, in the noisy-neighbour scenario
    #[arg(long, global = true, default_value_t = 1_000, value_parser = whole::<usize>(1..=10_000))]
    pub noisy_endpoints: usize,
    /// Keys in the database when the server is restarted
    #[arg(long, global = true, default_value_t = 100_000, value_parser = whole::<usize>(100..=250_000))]
    pub keys: usize,
    /// Messages sent across the rotations of a signing secret
    #[arg(long, global = true, default_value_t = 100_000, value_parser = whole::<u64>(3..=10_000_000))]
    pub sends: u64,
    /// Verifications of one closed-loop run, and of the rotations
    #[arg(long, global = true, default_value_t = 100_000, value_parser = whole::<u64>(1_000..=100_000_000))]
    pub verifies: u64,
    /// Keys revoked on one of two nodes
    #[arg(long, global = true, default_value_t = 10_000, value_parser = whole::<usize>(16..=100_000))]
    pub revocations: usize,
}

impl Options {
    pub fn postgres_url(&self) -> Outcome<String> {
        let given = self.postgres_url.clone();
        given.or_else(|| std::env::var("DOORBELL_BENCH_POSTGRES_URL").ok()).ok_or_else(|| {
            "PostgreSQL needs --postgres-url or DOORBELL_BENCH_POSTGRES_URL (or choose --database sqlite)".into()
        })
    }
}

#[derive(Args)]
pub struct TortureOptions {
    #[arg(long, default_value_t = 200_000, value_parser = whole::<u64>(1..=10_000_000))]
    pub messages: u64,
    #[arg(long, default_value_t = 20, value_parser = whole::<u32>(0..=1_000))]
    pub kills: u32,
    #[arg(long, default_value_t = 64, value_parser = whole::<usize>(1..=1_024))]
    pub publishers: usize,
    /// Makes the kill points repeatable
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Set as the server's cap on deliveries in flight to the one endpoint: what a kill may repeat
    #[arg(long, default_value_t = 256, value_parser = whole::<u64>(1..=100_000))]
    pub in_flight_cap: u64,
    /// How long the last messages may take to arrive
    #[arg(long, default_value_t = 180, value_parser = whole::<u64>(1..=3_600))]
    pub deadline_s: u64,
}

#[derive(Args)]
pub struct OutageOptions {
    /// Times that the database is stopped and started
    #[arg(long, default_value_t = 10, value_parser = whole::<u32>(0..=1_000))]
    pub stops: u32,
    /// Times that all connections to the database are cut
    #[arg(long, default_value_t = 5, value_parser = whole::<u32>(0..=1_000))]
    pub cuts: u32,
    /// Times that Redis is killed, and as often emptied
    #[arg(long, default_value_t = 3, value_parser = whole::<u32>(0..=1_000))]
    pub redis: u32,
    #[arg(long, default_value_t = 32, value_parser = whole::<usize>(1..=1_024))]
    pub publishers: usize,
    /// How long the last messages may take to arrive
    #[arg(long, default_value_t = 180, value_parser = whole::<u64>(1..=3_600))]
    pub deadline_s: u64,
}

/// Nothing a command line asks for is without a maximum.
fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(range)
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    Sqlite,
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
        })
    }
}
