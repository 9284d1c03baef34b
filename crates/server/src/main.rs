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

/// Messages live for milliseconds and cross threads: the system's allocator spends a tenth of
/// the server's time on that (docs/adr/0006).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run(commands::CommandLine::parse())
}
