//! A delivery: one message on its way to one endpoint.
//!
//! ```text
//!             claim / hand-over                2xx
//!   queued ───────────────────────▶ leased ─────────▶ succeeded
//!     ▲  ◀── failed, retry left ─────┤ │ └─────────▶ failed      (schedule used up)
//!     │  ◀── lease ran out, released ┘ └───────────▶ canceled    (asked for, endpoint deleted)
//!     └── also the state of what is held: paused, disabled, scheduled
//! ```

use crate::{AppId, DeliveryId, EndpointId, ReplayId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    pub state: State,
    pub trigger: Trigger,
    /// When it may be tried next; meaningful while it is queued.
    pub due_at: Timestamp,
    pub lease_until: Option<Timestamp>,
    pub attempts: u32,
    /// The delivery this one replays, and the first of that chain.
    pub parent_id: Option<DeliveryId>,
    pub root_id: Option<DeliveryId>,
    /// Steps from the root; 0 for what was published.
    pub depth: u32,
    /// What made it, if it replays another.
    pub replay_id: Option<ReplayId>,
    pub created_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum State {
    Queued = 0,
    Leased = 1,
    Succeeded = 2,
    Failed = 3,
    Canceled = 4,
}

impl State {
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Leased, Self::Succeeded, Self::Failed, Self::Canceled];

    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        match code {
            1 => Self::Leased,
            2 => Self::Succeeded,
            3 => Self::Failed,
            4 => Self::Canceled,
            _ => Self::Queued,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// What made the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Trigger {
    /// A published message.
    Scheduled = 0,
    /// A resend, a replay, or a test.
    Manual = 1,
}

impl Trigger {
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        if code == 1 { Self::Manual } else { Self::Scheduled }
    }
}
