//! `doorbell pepper`: the pepper of API keys. Rotating it needs no token and refuses no key.

use crate::assembly::{self, StartError};
use crate::config::Config;
use crate::secrets;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Add a pepper to the secrets file; the ones before stay in it
    Rotate,
    /// Say what still stands under an older pepper
    Report,
}

pub async fn run(command: Command, config: Config) -> Result<(), StartError> {
    match command {
        Command::Rotate => rotate(&config),
        Command::Report => report(&config).await,
    }
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
fn rotate(config: &Config) -> Result<(), StartError> {
    let entropy = model::Entropy::system()?;
    let version = secrets::rotate_pepper(&config.server.data_dir, &entropy)?;
    println!("Pepper {version} is in the secrets file: back the file up.");
    println!("Give every process of this instance the file, then restart them all.");
    println!("`doorbell pepper report` says how far it is.");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
async fn report(config: &Config) -> Result<(), StartError> {
    let opened = assembly::open(config).await?;
    opened.store.check_schema().await?;
    let version = opened.peppers.version();
    let behind = opened.store.rows_behind(version).await?;
    opened.store.close().await;
    println!("The newest pepper is {version}. Under an older one:");
    for (what, rows) in [
        ("keyspaces", behind.keyspaces),
        ("keys", behind.keys),
        ("secrets", behind.secrets),
        ("owners", behind.owners),
        ("password hashes (made anew at the next use)", behind.hashes),
    ] {
        println!("  {rows:>8}  {what}");
    }
    Ok(())
}
