//! `doorbell migrate`: brings the schema up to date. Several processes may run it at once.

use crate::assembly::{self, StartError};
use crate::config::Config;

#[expect(clippy::print_stdout, reason = "a command's answer")]
pub async fn migrate(config: Config) -> Result<(), StartError> {
    let opened = assembly::open(&config).await?;
    let applied = opened.store.migrate().await?;
    println!("{applied} migrations applied; the schema is up to date");
    opened.store.close().await;
    Ok(())
}
