//! A delivery's state in the words of the delivery contract: 0 success, 1 pending, 2 fail,
//! 3 sending, 4 canceled.

use model::Timestamp;
use model::attempt::Attempt;
use model::delivery::{Delivery, State};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::DeliveryRow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Success = 0,
    /// Not tried yet.
    Pending = 1,
    Fail = 2,
    /// Tried, and going to be tried again.
    Sending = 3,
    Canceled = 4,
}

const LIVING: &[State] = &[State::Queued, State::Leased];

impl Status {
    const ALL: [Self; 5] =
        [Self::Success, Self::Pending, Self::Fail, Self::Sending, Self::Canceled];

    #[must_use]
    pub const fn of(delivery: &Delivery) -> Self {
        match delivery.state {
            State::Succeeded => Self::Success,
            State::Failed => Self::Fail,
            State::Canceled => Self::Canceled,
            State::Queued | State::Leased if delivery.attempts == 0 => Self::Pending,
            State::Queued | State::Leased => Self::Sending,
        }
    }

    #[must_use]
    pub const fn of_attempt(attempt: &Attempt) -> Self {
        if attempt.succeeded() { Self::Success } else { Self::Fail }
    }

    /// As a client sees it that may not know `canceled`.
    #[must_use]
    pub fn shown(self, expanded: bool) -> Self {
        if self == Self::Canceled && !expanded { Self::Fail } else { self }
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Fail => "fail",
            Self::Sending => "sending",
            Self::Canceled => "canceled",
        }
    }

    /// The deliveries that are shown with this status.
    #[must_use]
    pub const fn wanted(self, expanded: bool) -> Wanted {
        match self {
            Self::Success => Wanted { states: &[State::Succeeded], tried: None },
            Self::Pending => Wanted { states: LIVING, tried: Some(false) },
            Self::Fail if expanded => Wanted { states: &[State::Failed], tried: None },
            Self::Fail => Wanted { states: &[State::Failed, State::Canceled], tried: None },
            Self::Sending => Wanted { states: LIVING, tried: Some(true) },
            Self::Canceled => Wanted { states: &[State::Canceled], tried: None },
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(*self as u8)
    }
}

/// From a query: the number or the text.
impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let named = |status: &Self| status.text() == text || (*status as u8).to_string() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            serde::de::Error::custom(
                "status is 0 (success), 1 (pending), 2 (fail), 3 (sending) or 4 (canceled)",
            )
        })
    }
}

impl utoipa::PartialSchema for Status {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .enum_values(Some(Self::ALL.map(|status| status as u8)))
            .description(Some("0 success, 1 pending, 2 fail, 3 sending, 4 canceled"))
            .into()
    }
}

impl utoipa::ToSchema for Status {}

/// Which deliveries a list shall have.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// None means all.
    pub states: &'static [State],
    /// Whether there was an attempt.
    pub tried: Option<bool>,
}

impl Wanted {
    pub const ALL: Self = Self { states: &[], tried: None };

    #[must_use]
    pub const fn in_state(state: State) -> Self {
        let states: &'static [State] = match state {
            State::Queued => &[State::Queued],
            State::Leased => &[State::Leased],
            State::Succeeded => &[State::Succeeded],
            State::Failed => &[State::Failed],
            State::Canceled => &[State::Canceled],
        };
        Self { states, tried: None }
    }

    #[must_use]
    pub fn has(&self, delivery: &Delivery) -> bool {
        let state = self.states.is_empty() || self.states.contains(&delivery.state);
        state && self.tried.is_none_or(|tried| tried == (delivery.attempts > 0))
    }
}

/// The delivery that tells how a message stands at an endpoint, out of all it had there: one
/// that succeeded, else the newest that lives, else the newest.
#[must_use]
pub fn telling<'a>(
    deliveries: impl IntoIterator<Item = &'a DeliveryRow>,
) -> Option<&'a DeliveryRow> {
    deliveries.into_iter().max_by_key(|row| {
        let delivery = &row.delivery;
        let rank = match delivery.state {
            State::Succeeded => 2,
            State::Queued | State::Leased => 1,
            State::Failed | State::Canceled => 0,
        };
        (rank, delivery.created_at, delivery.id)
    })
}

/// When a delivery is tried next, as far as its own schedule says.
#[must_use]
pub fn next_attempt(delivery: &Delivery) -> Option<Timestamp> {
    (delivery.state == State::Queued).then_some(delivery.due_at)
}

#[cfg(test)]
mod tests {
    use model::delivery::Trigger;
    use model::{AppId, DeliveryId, EndpointId, Entropy, MessageId};

    use super::*;

    fn row(state: State, attempts: u32, created_at: i64) -> DeliveryRow {
        let (now, entropy) = (Timestamp(1_000), Entropy::seeded(1));
        let delivery = Delivery {
            id: DeliveryId::new(&MessageId::new(now, &entropy), &entropy),
            app_id: AppId::new(now, &entropy),
            endpoint_id: EndpointId::new(now, &entropy),
            state,
            trigger: Trigger::Scheduled,
            due_at: now,
            lease_until: None,
            attempts,
            parent_id: None,
            root_id: None,
            depth: 0,
            replay_id: None,
            created_at: Timestamp(created_at),
            settled_at: None,
        };
        DeliveryRow {
            delivery,
            event_type: None,
            last_status: None,
            last_error: None,
            replay_of: None,
            changed: false,
        }
    }

    #[test]
    fn every_delivery_is_wanted_by_the_status_it_is_shown_with_and_no_other() {
        for state in State::ALL {
            for attempts in [0, 1] {
                let delivery = row(state, attempts, 0).delivery;
                for expanded in [false, true] {
                    let shown = Status::of(&delivery).shown(expanded);
                    for status in Status::ALL {
                        let wanted = status.wanted(expanded).has(&delivery);
                        let canceled = state == State::Canceled && status == Status::Canceled;
                        assert_eq!(wanted, status == shown || canceled, "{state:?} {status:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_message_stands_as_its_best_delivery() {
        let told = |rows: &[DeliveryRow]| {
            telling(rows).map(|row| (row.delivery.state, row.delivery.created_at.0))
        };
        let (failed, queued) = (row(State::Failed, 3, 1), row(State::Queued, 0, 2));
        let (done, canceled) = (row(State::Succeeded, 1, 0), row(State::Canceled, 0, 9));
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[failed.clone(), canceled.clone()]), Some((State::Canceled, 9)));
        assert_eq!(
            told(&[failed.clone(), queued.clone(), canceled.clone()]),
            Some((State::Queued, 2))
        );
        assert_eq!(told(&[failed, queued, done, canceled]), Some((State::Succeeded, 0)));
    }
}
