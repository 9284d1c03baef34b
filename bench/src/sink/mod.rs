//! The sink: a process of its own that receives deliveries, counts them by message id and times
//! them by the moment their payload carries.
//!
//! `serve` is the child, `Sink` is the driver's hold on it. The child has three ports: one that
//! answers (hooks, the floor, the driver's control calls), one that accepts and never answers, and
//! one that refuses connections until the driver opens it. It ends when its standard input does,
//! so that no sink outlives its driver.

mod control;
mod handle;
mod lane;
mod lanes;
mod serve;
mod signatures;

pub use handle::Sink;
pub use lane::LaneReport;
pub use serve::serve;
pub use signatures::{Told, Verified};
