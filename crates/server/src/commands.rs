//! The commands of the `doorbell` binary, one file each.

mod audit;
mod config;
mod health;
mod migrate;
mod openapi;
mod pepper;
mod serve;
mod token;
mod user;
mod vault;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::assembly::StartError;
use crate::config::{self as settings, Config, Flags, Sources};
use crate::logging;

/// Delivers webhooks: signed, retried, recorded and explained.
#[derive(Debug, Parser)]
#[command(name = "doorbell", version)]
pub struct CommandLine {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Manage service tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Manage users
    #[command(subcommand)]
    User(user::Command),
    /// Look after the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Rotate the pepper of API keys
    #[command(subcommand)]
    Pepper(pepper::Command),
    /// Tell whether a received webhook is signed well, and if not, what is wrong
    Verify(verify::Arguments),
    /// Rotate the master key, under which everything at rest is sealed
    #[command(subcommand)]
    Vault(vault::Command),
    /// Print the OpenAPI document
    Openapi,
    /// Ask the running server whether it is well
    Health,
    /// Look at the settings
    #[command(subcommand)]
    Config(config::Command),
}

/// Runs the command that the arguments name.
pub fn run(line: CommandLine) -> ExitCode {
    let flags = line.flags;
    let done = match line.command.unwrap_or(Command::Serve) {
        Command::Config(command) => {
            return config::run(command, flags).unwrap_or_else(|e| fail(&e));
        }
        Command::Verify(arguments) => {
            return verify::run(&arguments).unwrap_or_else(|e| fail(&e));
        }
        Command::Openapi => openapi::print(),
        Command::Serve => with_config(flags, serve::serve),
        Command::Migrate => with_config(flags, migrate::migrate),
        Command::Token(command) => with_config(flags, |config| token::run(command, config)),
        Command::User(command) => with_config(flags, |config| user::run(command, config)),
        Command::Audit(command) => with_config(flags, |config| audit::run(command, config)),
        Command::Pepper(command) => with_config(flags, |config| pepper::run(command, config)),
        Command::Vault(command) => with_config(flags, |config| vault::run(command, config)),
        Command::Health => with_config(flags, health::check),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("doorbell: {error}");
    ExitCode::FAILURE
}

/// Reads the settings, starts logging, and runs a command that works with both.
fn with_config<F>(flags: Flags, command: impl FnOnce(Config) -> F) -> Result<(), StartError>
where
    F: Future<Output = Result<(), StartError>>,
{
    let sources = Sources::gather(flags, std::env::vars_os(), Path::new(""));
    let loaded =
        settings::load(&sources).map_err(|problems| StartError::Other(problems.to_string()))?;
    logging::start(&loaded.config.log);
    // One provider for everything, chosen before anything can ask for another.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(command(loaded.config));
    // After a fault the store's writer may still be running; a clean stop has closed it.
    runtime.shutdown_background();
    done
}
