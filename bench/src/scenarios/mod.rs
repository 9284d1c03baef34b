//! The scenarios, and the order in which they run.
//!
//! Throughput is measured in rounds, each with its own floor, because a shared machine changes from
//! minute to minute; the others carry their own yardstick and run once. Every scenario starts on a
//! fresh database, with a fresh server and a fresh sink.

mod drain;
mod floor;
mod keys;
mod latency;
mod neighbour;
mod phase;
mod replay;
mod retention;
mod secret_rotation;
mod start;
mod throughput;

use std::collections::BTreeMap;

use clap::Subcommand;

use crate::options::{Database, Options};
use crate::report::{self, Row};
use crate::rig::work_dir;
use crate::{Outcome, bars};

#[derive(Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Scenario {
    /// Bare posts from the driver into the sink
    Floor,
    /// Messages that match no endpoint
    Ingest,
    /// Messages to one endpoint, closed loop
    EndToEnd,
    /// Messages to ten endpoints
    FanOut,
    /// 100 messages a second, against one commit and two floor posts
    Latency,
    /// One healthy endpoint beside many that never answer
    Neighbour,
    /// A backlog for a dead endpoint, and its drain
    Drain,
    /// Deliveries replayed in bulk beside new traffic, with a kill -9 in the middle
    Replay,
    /// A day of old attempts expires while messages are published
    Retention,
    /// Time to the first healthy answer, and memory at rest
    Start,
    /// CPU time of one verification from memory, in process
    VerifyCore,
    /// Verifications over HTTP against a bare answer of the same server
    VerifyHttp,
    /// Many keys, a restart, and the time until all verify at full rate
    Restart,
    /// Good keys beside a flood of unknown ones
    Junk,
    /// Keys revoked on one node and verified on another, half of the notifications lost
    Revocation,
    /// Verifications with old and new tokens across three rotations
    Rotation,
    /// Sends verified with old and new signing secrets across three rotations
    SecretRotation,
}

impl Scenario {
    pub const ALL: [Scenario; 17] = [
        Scenario::Floor,
        Scenario::Ingest,
        Scenario::EndToEnd,
        Scenario::FanOut,
        Scenario::Latency,
        Scenario::Neighbour,
        Scenario::Drain,
        Scenario::Retention,
        Scenario::Replay,
        Scenario::Start,
        Scenario::VerifyCore,
        Scenario::VerifyHttp,
        Scenario::Restart,
        Scenario::Junk,
        Scenario::Revocation,
        Scenario::Rotation,
        Scenario::SecretRotation,
    ];

    fn runs_in_rounds(self) -> bool {
        use Scenario::{EndToEnd, FanOut, Floor, Ingest};
        matches!(self, Floor | Ingest | EndToEnd | FanOut)
    }

    /// Memory is the same over both databases; several nodes need PostgreSQL.
    fn runs_on(self, database: Database) -> bool {
        match self {
            Scenario::VerifyCore => database == Database::Sqlite,
            Scenario::Revocation => database == Database::Postgres,
            _ => true,
        }
    }
}

/// One database's part of a run.
pub struct Bench<'a> {
    options: &'a Options,
    database: Database,
    round: u32,
    /// Floor posts per second of this round, by connections
    floors: BTreeMap<usize, f64>,
    rows: Vec<Row>,
}

pub async fn run(options: &Options, scenarios: &[Scenario]) -> Outcome<bool> {
    report::print_heading();
    let mut rows = Vec::new();
    for database in &options.database {
        let mut bench = Bench {
            options,
            database: *database,
            round: 0,
            floors: BTreeMap::new(),
            rows: Vec::new(),
        };
        let result = bench.run_all(scenarios).await;
        rows.append(&mut bench.rows);
        // What was measured before the failure is worth its minutes.
        if let Err(error) = result {
            report::print(&rows);
            return Err(error);
        }
    }
    report::print(&rows);
    bars::print(&options.database, &rows);
    let json = options.json.clone();
    report::write_json(&json.unwrap_or(work_dir(options)?.join("results.json")), &rows)?;
    Ok(true)
}

impl Bench<'_> {
    async fn run_all(&mut self, scenarios: &[Scenario]) -> Outcome<()> {
        let (in_rounds, once): (Vec<Scenario>, Vec<Scenario>) = scenarios
            .iter()
            .filter(|scenario| scenario.runs_on(self.database))
            .partition(|scenario| scenario.runs_in_rounds());
        if !in_rounds.is_empty() {
            for round in 1..=self.options.rounds {
                self.round = round;
                self.floors.clear();
                for scenario in &in_rounds {
                    self.run_one(*scenario).await?;
                }
            }
        }
        self.round = 1;
        for scenario in once {
            self.run_one(scenario).await?;
        }
        Ok(())
    }

    async fn run_one(&mut self, scenario: Scenario) -> Outcome<()> {
        match scenario {
            Scenario::Floor => floor::run(self).await,
            Scenario::Ingest => throughput::ingest(self).await,
            Scenario::EndToEnd => throughput::end_to_end(self).await,
            Scenario::FanOut => throughput::fan_out(self).await,
            Scenario::Latency => latency::run(self).await,
            Scenario::Neighbour => neighbour::run(self).await,
            Scenario::Drain => drain::run(self).await,
            Scenario::Retention => retention::run(self).await,
            Scenario::Replay => replay::run(self).await,
            Scenario::Start => start::run(self).await,
            Scenario::VerifyCore => keys::core::run(self).await,
            Scenario::VerifyHttp => keys::http::run(self).await,
            Scenario::Restart => keys::restart::run(self).await,
            Scenario::Junk => keys::junk::run(self).await,
            Scenario::Revocation => keys::revocation::run(self).await,
            Scenario::Rotation => keys::rotation::run(self).await,
            Scenario::SecretRotation => secret_rotation::run(self).await,
        }
    }

    fn note(&mut self, scenario: &'static str, connections: usize, figures: report::Figures) {
        eprintln!("{} {scenario} {connections} round {}: done", self.database, self.round);
        self.rows.push(Row {
            database: self.database,
            scenario,
            connections,
            round: self.round,
            figures,
        });
    }
}
