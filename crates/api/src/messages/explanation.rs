//! Why an endpoint got a message, or did not: facts in, sentences out.

use model::endpoint::Endpoint;
use model::filter::pattern_matches;
use model::message::Message;
use store::DeliveryRow;

use crate::deliveries::explanation::{Reason, attempts_text};
use crate::status::{Status, telling};

/// What is known of a message and an endpoint of the same app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub message: &'a Message,
    pub endpoint: &'a Endpoint,
    /// Of the message, at the endpoint.
    pub deliveries: &'a [DeliveryRow],
}

/// The reasons, the decisive one first.
pub(super) fn reasons(facts: Facts<'_>) -> Vec<Reason> {
    if let Some(row) = telling(facts.deliveries) {
        return vec![got_it(row, facts.deliveries.len())];
    }
    let mut reasons: Vec<Reason> =
        [created_later(facts), other_type(facts), other_channels(facts), was_disabled(facts)]
            .into_iter()
            .flatten()
            .collect();
    if reasons.is_empty() {
        reasons.push(no_longer_known(facts));
    }
    reasons
}

fn got_it(row: &DeliveryRow, count: usize) -> Reason {
    let delivery = &row.delivery;
    let status = Status::of(delivery).text();
    let times = if count == 1 { "one delivery".to_owned() } else { format!("{count} deliveries") };
    Reason::new(
        "delivery_made",
        format!(
            "The message has {times} to this endpoint; {} stands at {status} after {}.",
            delivery.id,
            attempts_text(delivery.attempts)
        ),
    )
}

fn created_later(Facts { message, endpoint, .. }: Facts<'_>) -> Option<Reason> {
    (endpoint.created_at > message.created_at).then(|| {
        let (made, published) = (endpoint.created_at, message.created_at);
        Reason::new(
            "created_later",
            format!(
                "The endpoint was created at {made}, after the message was published at \
                 {published}. Replay what is missing to send it."
            ),
        )
    })
}

fn other_type(Facts { message, endpoint, .. }: Facts<'_>) -> Option<Reason> {
    let (wanted, event_type) = (&endpoint.filter.event_types, &message.event_type);
    let matches = wanted.iter().any(|pattern| pattern_matches(pattern, event_type));
    (!wanted.is_empty() && !matches).then(|| {
        let text = format!(
            "The endpoint does not want the event type {event_type}; it wants {}.",
            wanted.join(", ")
        );
        Reason::new("event_type_filtered", text)
    })
}

fn other_channels(Facts { message, endpoint, .. }: Facts<'_>) -> Option<Reason> {
    let (wanted, has) = (&endpoint.filter.channels, &message.channels);
    (!wanted.is_empty() && !has.iter().any(|channel| wanted.contains(channel))).then(|| {
        let has = if has.is_empty() { "no channel".to_owned() } else { has.join(", ") };
        let text = format!(
            "The endpoint wants the channels {}; the message has {has}.",
            wanted.join(", ")
        );
        Reason::new("channel_filtered", text)
    })
}

fn was_disabled(Facts { message, endpoint, .. }: Facts<'_>) -> Option<Reason> {
    let disabled = endpoint.disabled.as_ref()?;
    (disabled.at <= message.created_at).then(|| {
        let text = format!(
            "The endpoint has been disabled since {}; a disabled endpoint gets no new deliveries.",
            disabled.at
        );
        Reason::new("disabled", text)
    })
}

/// The endpoint would get it as it is now.
fn no_longer_known(Facts { message, endpoint, .. }: Facts<'_>) -> Reason {
    if endpoint.updated_at > message.created_at {
        return Reason::new(
            "changed_since",
            format!(
                "The endpoint would get the message as it is now; it was changed at {}, after the \
                 message was published. It was disabled or filtered otherwise before.",
                endpoint.updated_at
            ),
        );
    }
    Reason::new(
        "not_addressed",
        "The message was meant for another endpoint alone, as examples and tests are, or its \
         deliveries were deleted.",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::endpoint::{Disabled, DisabledReason};
    use model::filter::Filter;
    use model::message::Outcome;
    use model::{AppId, EndpointId, Entropy, MessageId, Timestamp};

    use super::*;

    const PUBLISHED: Timestamp = Timestamp(1_795_508_812_345);

    fn message(channels: &[&str]) -> Message {
        let entropy = Entropy::seeded(1);
        Message {
            id: MessageId::new(PUBLISHED, &entropy),
            app_id: AppId::new(PUBLISHED, &entropy),
            event_type: "contact.created".to_owned(),
            event_id: None,
            payload: None,
            content_type: None,
            channels: channels.iter().map(ToString::to_string).collect(),
            tags: Vec::new(),
            deliver_at: None,
            outcome: Outcome::NoMatch,
            created_at: PUBLISHED,
            payload_expires_at: None,
            replay_of: None,
            changed: false,
        }
    }

    /// An endpoint that was made and changed before the message was published.
    fn endpoint(event_types: &[&str], channels: &[&str]) -> Endpoint {
        let (before, entropy) = (PUBLISHED.minus_ms(1_000), Entropy::seeded(2));
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Endpoint {
            id: EndpointId::new(before, &entropy),
            app_id: AppId::new(before, &entropy),
            uid: None,
            url: "https://example.com/hook".to_owned(),
            description: String::new(),
            filter: Filter { event_types: owned(event_types), channels: owned(channels) },
            throttle_rate: None,
            max_in_flight: None,
            metadata: BTreeMap::new(),
            headers: BTreeMap::new(),
            disabled: None,
            paused_at: None,
            retry_schedule: None,
            body_signature: None,
            created_at: before,
            updated_at: before,
        }
    }

    fn codes(message: &Message, endpoint: &Endpoint) -> Vec<&'static str> {
        let facts = Facts { message, endpoint, deliveries: &[] };
        reasons(facts).into_iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn every_filter_is_named() {
        let message = message(&["eu"]);
        assert_eq!(codes(&message, &endpoint(&["property.*"], &[])), ["event_type_filtered"]);
        assert_eq!(codes(&message, &endpoint(&["contact.*"], &["us"])), ["channel_filtered"]);
        assert_eq!(
            codes(&message, &endpoint(&["property.*"], &["us"])),
            ["event_type_filtered", "channel_filtered"]
        );
    }

    #[test]
    fn what_changed_since_is_told_from_what_held_then() {
        let message = message(&[]);
        let mut later = endpoint(&[], &[]);
        (later.created_at, later.updated_at) = (PUBLISHED.plus_ms(1), PUBLISHED.plus_ms(1));
        assert_eq!(codes(&message, &later), ["created_later"]);
        let mut disabled = endpoint(&[], &[]);
        disabled.disabled = Some(Disabled::new(PUBLISHED, DisabledReason::ByHand));
        assert_eq!(codes(&message, &disabled), ["disabled"]);
        let mut changed = endpoint(&[], &[]);
        changed.updated_at = PUBLISHED.plus_ms(1);
        assert_eq!(codes(&message, &changed), ["changed_since"]);
        assert_eq!(codes(&message, &endpoint(&[], &[])), ["not_addressed"]);
    }

    #[test]
    fn sentences_say_what_would_help() {
        let message = message(&[]);
        let endpoint = endpoint(&[], &["eu", "us"]);
        let facts = Facts { message: &message, endpoint: &endpoint, deliveries: &[] };
        let text = &reasons(facts)[0].text;
        assert_eq!(text, "The endpoint wants the channels eu, us; the message has no channel.");
    }
}
