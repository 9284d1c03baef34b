//! `doorbell user create`: a person who may log in. The server may be running.

use std::io::{self, BufRead, IsTerminal};

use keys::passwords::{PasswordCost, Passwords};
use model::UserId;
use model::access::{MAX_PASSWORD_BYTES, Role, User, normal_email, password_fault};

use crate::assembly::{self, Opened, StartError};
use crate::config::Config;

/// A line of standard input that is longer is no password.
const MAX_LINE_BYTES: u64 = MAX_PASSWORD_BYTES as u64 + 2;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a user; the password is the first line of standard input
    Create {
        /// Their address for mail
        #[arg(long)]
        email: String,
        #[arg(long, default_value = "")]
        name: String,
        /// owner, admin, developer, viewer or publisher, on the whole instance
        #[arg(long)]
        role: Option<Role>,
    },
    /// Give a user another password, from standard input; every session of theirs ends
    Password {
        #[arg(long)]
        email: String,
    },
}

pub async fn run(command: Command, config: Config) -> Result<(), StartError> {
    let (Command::Create { email, .. } | Command::Password { email }) = &command;
    let email = normal_email(email)
        .ok_or_else(|| StartError::Other(format!("`{email}` is no address for mail")))?;
    let password = read_password()?;
    let opened = assembly::open(&config).await?;
    assembly::prepare(&opened.store, config.database.migrate).await?;
    let passwords = Passwords::new(PasswordCost::default(), opened.entropy.clone())?;
    let hash = passwords.hash(&password).await?;
    match command {
        Command::Create { name, role, .. } => {
            create(&opened, New { email, name, role, hash }).await?;
        }
        Command::Password { .. } => change(&opened, &email, &hash).await?,
    }
    opened.store.close().await;
    Ok(())
}

struct New {
    email: String,
    name: String,
    role: Option<Role>,
    hash: String,
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
async fn create(opened: &Opened, new: New) -> Result<(), StartError> {
    let now = opened.store.clock().now();
    let user = User {
        id: UserId::new(now, &opened.entropy),
        email: new.email,
        name: new.name,
        role: new.role,
        enabled: true,
        created_at: now,
        updated_at: now,
    };
    if !opened.store.insert_user(&user, &new.hash, &assembly::operator()).await? {
        return Err(StartError::Other(format!("{} is a user already", user.email)));
    }
    println!("{}", user.id);
    Ok(())
}

async fn change(opened: &Opened, email: &str, hash: &str) -> Result<(), StartError> {
    let found = opened.store.user_by_email(email).await?;
    let (user, _) = found.ok_or_else(|| StartError::Other(format!("there is no user {email}")))?;
    opened.store.set_password(user.id, hash, &assembly::operator()).await?;
    Ok(())
}

/// Whether the terminal shows what is typed. One that cannot hide it shows it.
fn echo(shown: bool) {
    let _ = std::process::Command::new("stty").arg(if shown { "echo" } else { "-echo" }).status();
}

/// The first line of standard input; people are asked for it.
fn read_password() -> Result<String, StartError> {
    let is_person = io::stdin().is_terminal();
    if is_person {
        eprint!("Password: ");
        echo(false);
    }
    let mut line = String::new();
    let read = io::Read::take(io::stdin().lock(), MAX_LINE_BYTES).read_line(&mut line);
    if is_person {
        echo(true);
        eprintln!();
    }
    read?;
    let password = line.trim_end_matches(['\n', '\r']);
    match password_fault(password) {
        Some(fault) => Err(StartError::Other(format!("the password {fault}"))),
        None => Ok(password.to_owned()),
    }
}
