//! `doorbell audit verify`: walks the audit log. It fails when an entry was changed, removed or
//! added past Doorbell. The server may be running.

use crate::assembly::{self, StartError};
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check that the audit log is as it was written
    Verify,
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
pub async fn run(command: Command, config: Config) -> Result<(), StartError> {
    let Command::Verify = command;
    let opened = assembly::open(&config).await?;
    opened.store.check_schema().await?;
    opened.store.check_instance().await?;
    let verdict = opened.store.verify_audit().await?;
    opened.store.close().await;
    let (entries, hash) = (verdict.entries, model::audit::hex(&verdict.hash));
    println!("sound entries: {entries}; hash of the last: {hash}");
    match verdict.broken_at {
        None => Ok(()),
        Some(seq) => Err(StartError::Other(format!(
            "the audit log was tampered with: entry {seq} is not the one that was written"
        ))),
    }
}
