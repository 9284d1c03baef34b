//! `doorbell token create`: a new service token, printed once. The server may be running.

use api::access::service::{self, NewServiceToken};
use model::access::{Permission, Permissions, Role};
use store::AppRef;

use crate::assembly::{self, Opened, StartError};
use crate::config::Config;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a service token and print it
    Create {
        /// What the token is for
        #[arg(long, default_value = "made by hand")]
        name: String,
        /// owner, admin, developer, viewer or publisher; owner if nothing else is said
        #[arg(long)]
        role: Option<Role>,
        /// A permission besides, such as keys:verify; may be given several times
        #[arg(long)]
        permission: Vec<Permission>,
        /// Only for the application with this id or uid
        #[arg(long)]
        app: Option<String>,
    },
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
pub async fn run(command: Command, config: Config) -> Result<(), StartError> {
    let Command::Create { name, role, permission, app } = command;
    let opened = assembly::open(&config).await?;
    assembly::prepare(&opened.store, config.database.migrate).await?;
    let keys = assembly::keys(&config, &opened).await?;
    let app = match app {
        Some(name) => Some(find_app(&opened, name).await?),
        None => None,
    };
    let role = role.or_else(|| permission.is_empty().then_some(Role::Owner));
    let new = NewServiceToken {
        name,
        app,
        roles: role.into_iter().collect(),
        permissions: Permissions::of(&permission),
    };
    let minted = service::mint(&keys, new, &assembly::operator()).await?;
    println!("{}", minted.token);
    keys.close().await;
    opened.store.close().await;
    Ok(())
}

async fn find_app(opened: &Opened, name: String) -> Result<model::AppId, StartError> {
    let found = opened.store.app(&AppRef::new(&name)).await?;
    let missing = || StartError::Other(format!("there is no application `{name}`"));
    found.map(|app| app.id).ok_or_else(missing)
}
