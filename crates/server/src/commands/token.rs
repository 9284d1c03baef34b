//! `doorbell token create`: a new access token, printed once. The server may be running.

use crate::assembly::{self, StartError};
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make an admin token and print it
    Create {
        /// What the token is for
        #[arg(long, default_value = "made by hand")]
        name: String,
    },
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
pub async fn run(command: Command, config: Config) -> Result<(), StartError> {
    let Command::Create { name } = command;
    let opened = assembly::open(&config).await?;
    assembly::prepare(&opened.store, config.database.migrate).await?;
    let token = model::token::generate(&opened.entropy);
    opened.store.insert_token(&name, &opened.pepper.hash(&token)).await?;
    println!("{token}");
    opened.store.close().await;
    Ok(())
}
