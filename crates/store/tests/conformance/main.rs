//! Every public method of the store, on both databases, from one body each: a module per noun,
//! and one per hot verb.
//!
//! Statements are constants beside the method that sends them, and each method is called here in
//! all its branches; so every statement of the store is prepared and run on both databases by
//! this binary, and one that a database does not take fails a test by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod answers;
mod apps;
mod attempts;
mod audit;
mod audit_chain;
mod breakers;
mod chains;
mod claim;
mod contention;
mod credentials;
mod deliveries;
mod drains;
mod endpoints;
mod erasures;
mod event_types;
mod failing;
mod fairness;
mod faults;
mod housekeeping;
mod ingest;
mod key_changes;
mod key_schedule;
mod key_secrets;
mod key_usage;
mod key_world;
mod keys;
mod keyspaces;
mod members;
mod messages;
mod migrate;
mod nodes;
mod operations;
mod partitions;
mod purges;
mod replays;
mod retention;
mod routes;
mod secret_rotation;
mod secrets;
mod sessions;
mod settle;
mod tasks;
mod throttle;
mod usage;
mod users;
mod vaults;
mod windows;
mod windows_clock;
mod world;
