use std::collections::BTreeMap;

use model::delivery::Trigger;
use model::endpoint::Disabled;
use model::filter::Filter;
use model::message::Outcome;
use model::{AppId, DeliveryId, EndpointId, Entropy, MessageId};

use super::*;

/// 2026-11-24T08:26:52.345Z
const NOW: Timestamp = Timestamp(1_795_508_812_345);
const SOON: Timestamp = Timestamp(NOW.0 + 60_000);
const EARLIER: Timestamp = Timestamp(NOW.0 - 60_000);

/// A delivery that is due now, at an endpoint that nothing holds.
struct Case {
    row: DeliveryRow,
    endpoint: Option<Endpoint>,
    message: Option<Message>,
    hold_until: Option<Timestamp>,
    windows: Option<WindowHold>,
    breaker: Option<Breaker>,
    ahead: u32,
}

impl Case {
    fn new(state: State, attempts: u32) -> Self {
        let entropy = Entropy::seeded(1);
        let (app_id, endpoint_id) = (AppId::new(NOW, &entropy), EndpointId::new(NOW, &entropy));
        let message_id = MessageId::new(EARLIER, &entropy);
        let delivery = Delivery {
            id: DeliveryId::new(&message_id, &entropy),
            app_id,
            endpoint_id,
            state,
            trigger: Trigger::Scheduled,
            due_at: NOW,
            lease_until: (state == State::Leased).then_some(SOON),
            attempts,
            parent_id: None,
            root_id: None,
            depth: 0,
            replay_id: None,
            created_at: EARLIER,
            settled_at: state.is_final().then_some(NOW),
        };
        let (last_status, last_error) =
            if attempts > 0 { (Some(503), Some(ErrorKind::Status)) } else { (None, None) };
        Self {
            row: DeliveryRow {
                delivery,
                event_type: None,
                last_status,
                last_error,
                replay_of: None,
                changed: false,
            },
            endpoint: Some(endpoint(app_id, endpoint_id)),
            message: Some(message(app_id, message_id)),
            hold_until: None,
            windows: None,
            breaker: None,
            ahead: 0,
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            now: NOW,
            row: &self.row,
            endpoint: self.endpoint.as_ref(),
            message: self.message.as_ref(),
            attempts: &[],
            schedule_len: 13,
            hold_until: self.hold_until,
            windows: self.windows.as_ref(),
            breaker: self.breaker.as_ref(),
            ahead: self.ahead,
        }
    }

    fn codes(&self) -> Vec<&'static str> {
        reasons(self.facts()).into_iter().map(|reason| reason.code).collect()
    }

    fn summary(&self) -> String {
        Reason::summary(&reasons(self.facts()))
    }
}

fn endpoint(app_id: AppId, id: EndpointId) -> Endpoint {
    Endpoint {
        id,
        app_id,
        uid: None,
        url: "https://example.com/hook".to_owned(),
        description: String::new(),
        filter: Filter::default(),
        throttle_rate: None,
        max_in_flight: None,
        metadata: BTreeMap::new(),
        headers: BTreeMap::new(),
        disabled: None,
        paused_at: None,
        retry_schedule: None,
        body_signature: None,
        created_at: EARLIER,
        updated_at: EARLIER,
    }
}

fn message(app_id: AppId, id: MessageId) -> Message {
    Message {
        id,
        app_id,
        event_type: "contact.created".to_owned(),
        event_id: None,
        payload: Some("{}".into()),
        content_type: None,
        channels: Vec::new(),
        tags: Vec::new(),
        deliver_at: None,
        outcome: Outcome::FannedOut,
        created_at: EARLIER,
        payload_expires_at: None,
        replay_of: None,
        changed: false,
    }
}

#[test]
fn waiting_for_its_turn() {
    let mut case = Case::new(State::Queued, 0);
    assert_eq!(case.codes(), ["waiting_for_turn"]);
    assert_eq!(
        case.summary(),
        "It has been due since 2026-11-24T08:26:52.345Z and waits for its turn."
    );
    assert_eq!(next_attempt_at(case.facts()), Some(NOW));
    case.ahead = 7;
    assert!(case.summary().ends_with("its turn, behind 7 deliveries of the same endpoint."));
    case.ahead = 1_000;
    assert!(case.summary().ends_with("behind 1000 or more deliveries of the same endpoint."));
}

#[test]
fn scheduled_by_the_publisher_or_by_the_schedule() {
    let mut case = Case::new(State::Queued, 0);
    case.row.delivery.due_at = SOON;
    assert_eq!(case.codes(), ["first_delay"]);
    case.message.as_mut().unwrap().deliver_at = Some(SOON);
    assert_eq!(case.codes(), ["scheduled"]);
    assert_eq!(case.summary(), "The publisher asked for deliverAt 2026-11-24T08:27:52.345Z.");
    assert_eq!(next_attempt_at(case.facts()), Some(SOON));
}

#[test]
fn retrying_tells_what_failed_and_what_is_next() {
    let mut case = Case::new(State::Queued, 3);
    case.row.delivery.due_at = SOON;
    assert_eq!(case.codes(), ["retrying"]);
    assert_eq!(
        case.summary(),
        "Attempt 3 of 13 was answered 503; the next is due at 2026-11-24T08:27:52.345Z."
    );
    (case.row.last_status, case.row.last_error) = (None, Some(ErrorKind::Timeout));
    case.row.delivery.due_at = EARLIER;
    assert_eq!(
        case.summary(),
        "Attempt 3 of 13 failed (timeout); the next has been due since \
         2026-11-24T08:25:52.345Z and waits for its turn."
    );
}

#[test]
fn what_holds_the_endpoint_comes_first_and_leaves_no_next_moment() {
    let mut case = Case::new(State::Queued, 0);
    let held = |case: &Case| (case.codes(), next_attempt_at(case.facts()));
    case.endpoint.as_mut().unwrap().paused_at = Some(EARLIER);
    case.hold_until = Some(Timestamp::NEVER);
    assert_eq!(held(&case), (vec!["endpoint_paused", "waiting_for_turn"], None));
    let disable = |reason| Some(Disabled::new(EARLIER, reason));
    case.endpoint.as_mut().unwrap().disabled = disable(DisabledReason::ByHand);
    assert_eq!(held(&case), (vec!["endpoint_disabled", "waiting_for_turn"], None));
    case.endpoint.as_mut().unwrap().disabled = disable(DisabledReason::Gone);
    assert_eq!(held(&case), (vec!["endpoint_gone", "waiting_for_turn"], None));
    assert_eq!(
        case.summary(),
        "The endpoint was disabled at 2026-11-24T08:25:52.345Z because it answered 410 Gone. The \
         delivery is kept; enable the endpoint to send it."
    );
    case.endpoint = None;
    assert_eq!(held(&case), (vec!["endpoint_deleted", "waiting_for_turn"], None));
}

#[test]
fn a_slowed_endpoint_goes_on_by_itself() {
    let mut case = Case::new(State::Queued, 0);
    case.hold_until = Some(SOON);
    assert_eq!(case.codes(), ["endpoint_slowed", "waiting_for_turn"]);
    assert_eq!(next_attempt_at(case.facts()), Some(SOON));
}

#[test]
fn an_erased_payload_is_told_before_it_fails() {
    let mut case = Case::new(State::Queued, 1);
    case.message.as_mut().unwrap().payload = None;
    assert_eq!(case.codes(), ["payload_erased", "retrying"]);
    let mut failed = Case::new(State::Failed, 2);
    failed.row.last_error = Some(ErrorKind::PayloadGone);
    assert_eq!(failed.codes(), ["payload_erased"]);
}

#[test]
fn a_lease_is_under_way_or_has_ended() {
    let mut case = Case::new(State::Leased, 1);
    assert_eq!(case.codes(), ["under_way"]);
    assert_eq!(next_attempt_at(case.facts()), None);
    assert!(case.summary().starts_with("Attempt 2 is under way"));
    case.row.delivery.lease_until = Some(EARLIER);
    assert_eq!(case.codes(), ["lease_ended"]);
}

#[test]
fn every_end_is_told() {
    let mut delivered = Case::new(State::Succeeded, 2);
    (delivered.row.last_status, delivered.row.last_error) = (Some(204), None);
    assert_eq!(
        delivered.summary(),
        "Delivered at 2026-11-24T08:26:52.345Z: attempt 2 was answered 204."
    );
    let used_up = Case::new(State::Failed, 13);
    assert_eq!(used_up.codes(), ["schedule_used_up"]);
    assert_eq!(
        used_up.summary(),
        "Given up at 2026-11-24T08:26:52.345Z: the schedule's 13 attempts are used up; the last \
         one was answered 503."
    );
    assert_eq!(Case::new(State::Failed, 2).codes(), ["given_up"]);
    let canceled = Case::new(State::Canceled, 0);
    assert_eq!(canceled.summary(), "Canceled at 2026-11-24T08:26:52.345Z after no attempt.");
}

#[test]
fn a_replay_names_its_parent() {
    let mut case = Case::new(State::Queued, 0);
    let parent = case.row.delivery.id;
    case.row.delivery.parent_id = Some(parent);
    assert_eq!(case.codes(), ["waiting_for_turn", "replay"]);
    assert_eq!(reasons(case.facts())[1].text, format!("It was made to repeat {parent}."));
}

#[test]
fn a_maintenance_window_is_named_with_its_reason() {
    use model::WindowId;
    use model::window::{Plan, Scope, Window};

    let window = |name: &str, reason: &str| Window {
        id: WindowId::new(NOW, &Entropy::seeded(3)),
        scope: Scope::Instance,
        name: name.to_owned(),
        reason: reason.to_owned(),
        plan: Plan::once(EARLIER, SOON).unwrap(),
        enabled: true,
        ended_at: None,
        created_at: EARLIER,
        updated_at: EARLIER,
    };
    let mut case = Case::new(State::Queued, 0);
    let hold = WindowHold { windows: vec![window("upgrade", "new disks")], until: SOON };
    case.windows = Some(hold);
    assert_eq!(case.codes(), ["maintenance_window", "waiting_for_turn"]);
    assert_eq!(
        case.summary(),
        "Held: maintenance window «upgrade» (new disks) until 2026-11-24T08:27:52.345Z. What waits \
         is sent afterwards."
    );
    assert_eq!(next_attempt_at(case.facts()), Some(SOON));
    case.windows.as_mut().unwrap().windows.push(window("move", ""));
    assert!(
        case.summary().starts_with("Held: maintenance windows «upgrade» (new disks), «move» until")
    );
}

#[test]
fn an_open_breaker_says_why_and_until_when() {
    let mut case = Case::new(State::Queued, 0);
    case.breaker = Some(Breaker {
        state: breaker::State::Open,
        since: NOW,
        until: NOW.plus_ms(30_000),
        reason: "10 attempts in a row failed".to_owned(),
        ..Breaker::default()
    });
    assert_eq!(case.codes()[0], "breaker_open");
    let text = &reasons(case.facts())[0].text;
    let until = NOW.plus_ms(30_000);
    assert_eq!(
        *text,
        format!(
            "Held: the breaker of the endpoint has been open since {NOW}, because: 10 attempts in \
             a row failed; the next probe goes out at {until}."
        )
    );
    assert_eq!(next_attempt_at(case.facts()), Some(until));
    let breaker = case.breaker.as_mut().unwrap();
    breaker.until = Timestamp::NEVER;
    assert_eq!(next_attempt_at(case.facts()), None);
    case.breaker.as_mut().unwrap().state = breaker::State::HalfOpen;
    assert_eq!(case.codes()[0], "breaker_half_open");
}
