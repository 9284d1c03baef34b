//! The `doorbell` binary.

mod assembly;
mod commands;
mod config;
mod lock;
mod logging;
mod secrets;
mod tls;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::run(commands::CommandLine::parse())
}
