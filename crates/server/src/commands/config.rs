//! `doorbell config check` and `doorbell config example`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, Flags, Sources, Value, example};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print every setting in force and its origin, or everything that is wrong
    Check,
    /// Print config.example.toml
    Example {
        /// Write config.example.toml and .env.example into the working directory instead
        #[arg(long)]
        write: bool,
    },
}

pub fn run(command: Command, flags: Flags) -> io::Result<ExitCode> {
    match command {
        Command::Check => check(flags),
        Command::Example { write } => example(write),
    }
}

fn check(flags: Flags) -> io::Result<ExitCode> {
    let sources = Sources::gather(flags, std::env::vars_os(), Path::new(""));
    match config::load(&sources) {
        Ok(loaded) => print(&loaded.values).map(|()| ExitCode::SUCCESS),
        Err(problems) => {
            eprintln!("{problems}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print(values: &[Value]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut section = "";
    for value in values {
        if value.setting.section != section {
            section = value.setting.section;
            writeln!(out, "[{section}]")?;
        }
        writeln!(out, "  {:<24}{:<48} {}", value.setting.key, value.shown(), value.origin)?;
    }
    Ok(())
}

fn example(write: bool) -> io::Result<ExitCode> {
    let files = example::files();
    if !write {
        let [(_, toml), _] = &files;
        io::stdout().write_all(toml.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, text) in &files {
        std::fs::write(name, text)?;
        eprintln!("wrote {name}");
    }
    Ok(ExitCode::SUCCESS)
}
