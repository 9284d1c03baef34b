//! Who may do what in Doorbell itself, on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod jwt;
mod limits;
mod members;
mod oidc;
mod portal;
mod provider;
mod roles;
mod routes;
mod sessions;
mod signatures;
mod tenants;
mod tokens;
mod users;
mod world;
