//! Edits: somebody read an endpoint, changed some of it, and saves it, while others did the same.
//!
//! What an edit did not change keeps the value that is stored by then: an endpoint that was
//! disabled in between because its receiver is gone stays disabled.

use model::endpoint::Endpoint;

/// What is stored now, with what somebody changed of what they had seen.
pub(crate) fn merged(seen: &Endpoint, wished: &Endpoint, stored: &Endpoint) -> Endpoint {
    let mut merged = stored.clone();
    macro_rules! take_changed {
        ($($field:ident),+ $(,)?) => {$(
            if wished.$field != seen.$field {
                merged.$field = wished.$field.clone();
            }
        )+};
    }
    take_changed!(
        uid,
        url,
        description,
        throttle_rate,
        max_in_flight,
        metadata,
        headers,
        disabled,
        paused_at,
        retry_schedule,
        body_signature,
    );
    if wished.filter.event_types != seen.filter.event_types {
        merged.filter.event_types.clone_from(&wished.filter.event_types);
    }
    if wished.filter.channels != seen.filter.channels {
        merged.filter.channels.clone_from(&wished.filter.channels);
    }
    // Whoever is disabled already, by a receiver that is gone for instance, is not so again.
    if let (Some(_), Some(before)) = (&merged.disabled, &stored.disabled)
        && seen.disabled.is_none()
    {
        merged.disabled = Some(before.clone());
    }
    merged.updated_at = wished.updated_at.max(stored.updated_at);
    merged
}

#[cfg(test)]
mod tests {
    use model::endpoint::{Disabled, DisabledReason};
    use model::{AppId, EndpointId, Entropy, Timestamp};

    use super::*;

    fn endpoint() -> Endpoint {
        let (now, entropy) = (Timestamp(5), Entropy::seeded(1));
        Endpoint {
            id: EndpointId::new(now, &entropy),
            app_id: AppId::new(now, &entropy),
            uid: None,
            url: "https://one.example/".to_owned(),
            description: String::new(),
            filter: Default::default(),
            throttle_rate: None,
            max_in_flight: None,
            metadata: Default::default(),
            headers: Default::default(),
            disabled: None,
            paused_at: None,
            retry_schedule: None,
            body_signature: None,
            created_at: now,
            updated_at: now,
        }
    }

    fn gone() -> Option<Disabled> {
        Some(Disabled::new(Timestamp(7), DisabledReason::Gone))
    }

    #[test]
    fn what_was_not_touched_stays_as_it_became() {
        let seen = endpoint();
        let wished = Endpoint { url: "https://two.example/".to_owned(), ..seen.clone() };
        let stored = Endpoint { disabled: gone(), throttle_rate: Some(3), ..seen.clone() };
        let expected = Endpoint { url: wished.url.clone(), ..stored.clone() };
        assert_eq!(merged(&seen, &wished, &stored), expected);
    }

    #[test]
    fn what_was_touched_is_as_wished() {
        let seen = Endpoint { disabled: gone(), paused_at: Some(Timestamp(6)), ..endpoint() };
        let wished = Endpoint { disabled: None, updated_at: Timestamp(9), ..seen.clone() };
        assert_eq!(merged(&seen, &wished, &seen), wished);
        let resumed = Endpoint { paused_at: None, ..seen.clone() };
        assert_eq!(merged(&seen, &resumed, &seen), resumed);
    }

    #[test]
    fn the_first_reason_to_be_disabled_counts() {
        let seen = endpoint();
        let by_hand = Some(Disabled::new(Timestamp(8), DisabledReason::ByHand));
        let wished = Endpoint { disabled: by_hand, ..seen.clone() };
        let stored = Endpoint { disabled: gone(), ..seen.clone() };
        assert_eq!(merged(&seen, &wished, &stored).disabled, gone());
    }
}
