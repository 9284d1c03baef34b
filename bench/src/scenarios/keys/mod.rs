//! API keys: what a verification costs, and what must hold while keys are revoked, rotated,
//! flooded with junk, or read again after a restart.
//!
//! Everything that has a wire is measured over it, with the release server. What no wire tells
//! (CPU of one verification, runs of the password hash, reads of the database) is measured in
//! this process with the crates that the server is made of (`local`).

pub mod core;
pub mod http;
pub mod junk;
mod local;
pub mod restart;
pub mod revocation;
pub mod rotation;
mod seed;

use crate::Outcome;
use crate::options::{Database, Options};
use crate::rig::Rig;
use crate::server::Environment;

/// Of the closed loops.
const CONNECTIONS: usize = 64;
const VERIFY: &str = "/api/v1/key/verify";
const RETRY_SCHEDULE: &str = "0s,1s";
/// bcrypt at its cheapest: keys are minted by the ten thousand here, and no verification waits
/// for it at any cost.
const HASH_COST: u32 = 4;
/// So long after its end a secret, or after its revocation a key, may still be found good.
const PROMISED_MS: i64 = 1_000;

async fn rig(options: &Options, database: Database) -> Outcome<Rig> {
    Rig::start_with(options, database, RETRY_SCHEDULE, environment()).await
}

fn environment() -> Environment {
    vec![("DOORBELL_KEY_HASH_COST", HASH_COST.to_string())]
}
