//! Keyspaces, keys and the questions about them, through the whole server on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bulk;
mod forward_auth;
mod imports;
mod keyspaces;
mod lifecycle;
mod owners;
mod schedule;
mod tenants;
mod verify;
mod world;
