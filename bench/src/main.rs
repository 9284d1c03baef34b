//! Our own load driver and sink, and the torture test.
//!
//! The driver (this process) publishes, the sink (this binary again, as a child) receives, and
//! `doorbell` runs between them as a third process, driven through HTTP and environment variables
//! only, so what is measured is what an operator would run. What no wire tells of keys is measured
//! in this process with the crates of the server (`scenarios::keys::local`); nothing else of it is
//! used here.
//! Every speed is a ratio to the floor, which is the same driver posting straight into the same
//! sink, and every run ends by comparing the acknowledged ids with those that arrived.
#![allow(clippy::disallowed_methods, reason = "reading the clock is what a bench is for")]
#![allow(clippy::print_stdout, reason = "the table on standard output is the product")]

mod bars;
mod client;
mod driver;
mod expired;
mod job;
mod measure;
mod options;
mod outages;
mod payload;
mod postgres;
mod process;
mod report;
mod rig;
mod scenarios;
mod server;
mod sink;
mod torture;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::options::{Cli, Command};

/// The server's, for what is measured in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A bench stops at the first thing that goes wrong and says what it was.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("doorbell-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread each for driver and sink: they are to cost little and the same in every scenario.
fn run(cli: Cli) -> Outcome<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Cli { options, command } = cli;
    match command {
        Command::Sink => runtime.block_on(sink::serve()).map(|()| true),
        Command::Torture(torture) => runtime.block_on(torture::run(&options, &torture)),
        Command::Outages(outages) => runtime.block_on(outages::run(options, &outages)),
        Command::All => runtime.block_on(scenarios::run(&options, &scenarios::Scenario::ALL)),
        Command::One(scenario) => runtime.block_on(scenarios::run(&options, &[scenario])),
    }
}
