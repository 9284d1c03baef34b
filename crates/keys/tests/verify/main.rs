//! Keys over real stores, on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod codes;
mod follow;
mod import;
mod junk;
mod peppers;
mod rotate;
mod schedule;
mod stale;
mod tampering;
mod usage;
mod world;
mod writing;
