//! The words of Doorbell and their rules, with no I/O and no async.
//!
//! Every other crate may use this one. Time ([`Clock`]) and randomness ([`Entropy`]) come in as
//! arguments, so that a retry chain of three days runs in a test in milliseconds.

pub mod access;
pub mod app;
pub mod attempt;
pub mod audit;
pub mod breaker;
pub mod clock;
pub mod concurrency;
pub mod delivery;
pub mod endpoint;
pub mod entropy;
pub mod event_type;
pub mod failing;
pub mod filter;
pub mod id;
pub mod inbound;
pub mod json_path;
pub mod key;
pub mod lanes;
pub mod message;
pub mod name;
pub mod oidc;
pub mod replay;
pub mod retention;
pub mod retry;
pub mod secret;
pub mod session;
pub mod signature;
pub mod target;
pub mod task;
pub mod vault;
pub mod window;

pub use clock::{Clock, Timestamp};
pub use entropy::Entropy;
pub use id::{
    AppId, AttemptId, DeliveryId, EndpointId, EventTypeId, KeyId, KeySecretId, KeyspaceId,
    MessageId, ReplayId, SessionId, TaskId, UserId, WindowId,
};
