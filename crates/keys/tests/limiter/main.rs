//! The limiter against a real Redis, with several limiters standing for as many nodes.
//!
//! Time is a manual clock that Redis follows too, so that minutes of traffic pass in seconds and
//! each arrival is at an exact moment; `live` alone runs on real time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and the traffic shows its figures"
)]

mod live;
mod outage;
mod shared;
mod tls;
mod traffic;
mod world;
