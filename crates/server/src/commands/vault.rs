//! `doorbell vault`: the master key, under which everything at rest is sealed. Rotating it stops
//! nothing: running processes read the new version, and once all know it, everything is sealed
//! anew in the background.

use model::Entropy;
use store::{SealedUnder, Store, VaultDrop};

use crate::assembly::{self, StartError};
use crate::config::Config;
use crate::secrets;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Add a version of the master key to the secrets file; the ones before stay in it
    Rotate,
    /// Say which versions are in use, and how much is sealed under each
    Report,
    /// Take a version that nothing is sealed under out of use and out of the secrets file
    Drop {
        /// As `doorbell vault report` shows it
        version: u8,
    },
}

pub async fn run(command: Command, config: Config) -> Result<(), StartError> {
    match command {
        Command::Rotate => rotate(&config),
        Command::Report => report(&config).await,
        Command::Drop { version } => drop_version(&config, version).await,
    }
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
fn rotate(config: &Config) -> Result<(), StartError> {
    let version = secrets::rotate_vault(&config.server.data_dir, &Entropy::system()?)?;
    println!("Version {version} of the master key is in the secrets file: back the file up.");
    println!("Give every process of this instance the file; each reads it within seconds.");
    println!(
        "When all have it, everything is sealed anew. `doorbell vault report` says how far it is."
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
async fn report(config: &Config) -> Result<(), StartError> {
    let store = open(config).await?;
    let (in_use, under) = (store.vault_versions_in_use().await?, store.sealed_under().await?);
    let (_, newest) = store.vault_version();
    store.close().await;
    let sealing = in_use.last().copied().unwrap_or(newest);
    println!("Version {sealing} of the master key seals.");
    if newest > sealing {
        println!("Version {newest} waits until every process has it.");
    }
    println!("Sealed under version:");
    for SealedUnder { what, versions } in &under {
        let versions: Vec<String> =
            versions.iter().map(|(version, n)| format!("{version}: {n}")).collect();
        let versions = if versions.is_empty() { "-".to_owned() } else { versions.join(", ") };
        println!("  {what:<20}  {versions}");
    }
    for version in in_use.iter().filter(|version| **version != sealing) {
        if under.iter().all(|under| under.of(*version) == 0) {
            println!("Nothing is under version {version}: `doorbell vault drop {version}`.");
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
async fn drop_version(config: &Config, version: u8) -> Result<(), StartError> {
    let store = open(config).await?;
    let dropped = store.drop_vault_version(version, &assembly::operator()).await;
    store.close().await;
    match dropped? {
        VaultDrop::InUse(values) => {
            let why = format!(
                "{values} values are sealed under version {version}: wait for the task that seals them anew"
            );
            return Err(StartError::Other(why));
        }
        VaultDrop::Newest => {
            return Err(StartError::Other(format!("version {version} is the one that seals")));
        }
        VaultDrop::Dropped | VaultDrop::NotThere => {}
    }
    if secrets::drop_vault(&config.server.data_dir, version)? {
        println!("Version {version} is out of the secrets file. Give every process the new file.");
        println!("Backups of the database from before still need it: keep the old file with them.");
    } else {
        println!("The secrets file does not hold version {version}.");
    }
    Ok(())
}

async fn open(config: &Config) -> Result<Store, StartError> {
    let opened = assembly::open(config).await?;
    opened.store.check_schema().await?;
    opened.store.check_instance().await?;
    Ok(opened.store)
}
