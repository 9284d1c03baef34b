//! The delivering half of the API, driven through its router on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attempts;
mod deliveries;
mod listener;
mod messages;
mod others;
mod publishing;
mod replays;
mod retention;
mod windows;
mod world;
