//! What tests stand on: databases of their own, a receiver that can misbehave, and a whole server
//! on port 0 with a clock that the test moves. Nothing here is a mock of a real part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

pub mod access;
pub mod databases;
pub mod receiver;
pub mod server;
pub mod sql;
pub mod test_store;

pub use databases::TestDatabase;
pub use server::{START, TOKEN, TestOptions, TestServer};
pub use test_store::{TestStore, by};
