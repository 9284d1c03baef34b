//! The plan of a batch: pure decisions between its reads and its writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::delivery::{State, Trigger};
use model::lanes::{Admission, Lanes};
use model::message::Outcome;
use model::retry::RetrySchedule;
use model::{AppId, DeliveryId, EndpointId, MessageId, Timestamp};

use super::ingest::{Answer, Apps, Known, NewMessage, PublishError, Published, Seen};
use crate::routes::AppRoutes;
use crate::{Envelope, Gate, LEASE_MS, Lease, Route, Store};

/// What will be inserted, and what each caller will be told.
pub(crate) struct Plan {
    pub now: Timestamp,
    pub messages: Vec<PlannedMessage>,
    pub deliveries: Vec<PlannedDelivery>,
    /// Leased to this process; their slots are taken.
    pub fresh: Vec<Lease>,
    /// The earliest queued delivery of each endpoint that got one, in id order.
    pub due_by_lane: BTreeMap<EndpointId, Timestamp>,
    /// One for each message of the batch, in order.
    pub answers: Vec<Answer>,
}

pub(crate) struct PlannedMessage {
    pub id: MessageId,
    pub app_id: AppId,
    /// Its place in the batch.
    pub at: usize,
    pub idempotency_key: Option<String>,
    pub outcome: Outcome,
}

pub(crate) struct PlannedDelivery {
    pub id: DeliveryId,
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    pub state: State,
    pub due_at: Timestamp,
}

pub(crate) fn make(
    store: &Store,
    messages: &[&NewMessage],
    apps: &Apps,
    seen: &Seen,
    by_type: &HashMap<String, RetrySchedule>,
) -> Plan {
    let now = store.now();
    let mut lanes = store.0.slots.lock();
    let mut planner = Planner {
        store,
        lanes: &mut lanes,
        by_type,
        seen,
        keys: HashMap::new(),
        event_ids: HashSet::new(),
        plan: Plan {
            now,
            messages: Vec::with_capacity(messages.len()),
            deliveries: Vec::with_capacity(messages.len()),
            fresh: Vec::new(),
            due_by_lane: BTreeMap::new(),
            answers: Vec::with_capacity(messages.len()),
        },
    };
    for (at, message) in messages.iter().enumerate() {
        let answer = match apps.get(message.app.as_str()) {
            Some(app) => planner.message(at, message, app, messages),
            None => Err(PublishError::AppNotFound),
        };
        planner.plan.answers.push(answer);
    }
    planner.plan
}

struct Planner<'a> {
    store: &'a Store,
    lanes: &'a mut Lanes<Lease>,
    by_type: &'a HashMap<String, RetrySchedule>,
    seen: &'a Seen,
    /// Of this batch: idempotency key → place in the batch.
    keys: HashMap<String, usize>,
    event_ids: HashSet<(AppId, String)>,
    plan: Plan,
}

impl Planner<'_> {
    fn message(
        &mut self,
        at: usize,
        message: &NewMessage,
        app: &AppRoutes,
        batch: &[&NewMessage],
    ) -> Answer {
        let key = self.seen.digests.get(&at).cloned();
        if let Some(earlier) = self.earlier(message, key.as_deref(), batch) {
            return earlier;
        }
        if let Some(event_id) = &message.event_id {
            let stored =
                self.seen.by_event_id.contains_key(&(app.app_id.to_string(), event_id.clone()));
            if stored || !self.event_ids.insert((app.app_id, event_id.clone())) {
                return Err(PublishError::EventIdTaken);
            }
        }
        if let Some(key) = &key {
            self.keys.insert(key.clone(), at);
        }
        let id = MessageId::new(self.plan.now, &self.store.0.entropy);
        let outcome = self.fan_out(id, message, app);
        self.plan.messages.push(PlannedMessage {
            id,
            app_id: app.app_id,
            at,
            idempotency_key: key,
            outcome,
        });
        Ok(Published { id, created_at: self.plan.now, outcome, repeated: false })
    }

    /// The answer that the same idempotency key got before, in the store or in this batch.
    fn earlier(
        &self,
        message: &NewMessage,
        key: Option<&str>,
        batch: &[&NewMessage],
    ) -> Option<Answer> {
        let key = key?;
        if let Some(known) = self.seen.by_key.get(key) {
            return Some(known.answer_for(message));
        }
        let first = *self.keys.get(key)?;
        let answer = self.plan.answers.get(first)?.clone();
        if !same_message(batch.get(first)?, message) {
            return Some(Err(PublishError::IdempotencyMismatch));
        }
        Some(answer.map(|published| Published { repeated: true, ..published }))
    }

    fn fan_out(&mut self, id: MessageId, message: &NewMessage, app: &AppRoutes) -> Outcome {
        let mut outcome = Outcome::NoMatch;
        let mut envelope = None;
        for route in &app.routes {
            if !wanted(route, message) {
                continue;
            }
            if route.endpoint.disabled.is_some() {
                if outcome == Outcome::NoMatch {
                    outcome = Outcome::AllDisabled;
                }
                continue;
            }
            outcome = Outcome::FannedOut;
            let envelope = envelope.get_or_insert_with(|| {
                Arc::new(Envelope {
                    message_id: id,
                    event_type: message.event_type.clone(),
                    payload: Some(message.payload.clone()),
                    content_type: message.content_type.clone(),
                })
            });
            self.delivery(route, message, envelope);
        }
        outcome
    }

    fn delivery(&mut self, route: &Arc<Route>, message: &NewMessage, envelope: &Arc<Envelope>) {
        let now = self.plan.now;
        let id = DeliveryId::new(&envelope.message_id, &self.store.0.entropy);
        let delay = self.store.first_delay_ms(route, &message.event_type, self.by_type);
        let due = now.plus_ms(delay).max(message.deliver_at.unwrap_or(now));
        let endpoint = &route.endpoint;
        let may_start = due <= now
            && self.store.0.delivers
            && route.gate(now) == Gate::Open
            && !route.drains
            && route.throttle_rate.is_none();
        let held_bytes = message.payload.len();
        let admission = if may_start {
            self.lanes.admit(&endpoint.id, self.store.0.slots.cap(route), held_bytes, now)
        } else {
            Admission::Full
        };
        let (state, due_at) = if admission == Admission::Full {
            let earliest = self.plan.due_by_lane.entry(endpoint.id).or_insert(due);
            *earliest = due.min(*earliest);
            (State::Queued, due)
        } else {
            let until = now.plus_ms(LEASE_MS);
            self.plan.fresh.push(Lease {
                delivery_id: id,
                route: route.clone(),
                envelope: envelope.clone(),
                attempts: 0,
                trigger: Trigger::Scheduled,
                until,
                probe: false,
                admission,
                held_bytes,
            });
            (State::Leased, until)
        };
        self.plan.deliveries.push(PlannedDelivery {
            id,
            app_id: endpoint.app_id,
            endpoint_id: endpoint.id,
            state,
            due_at,
        });
    }
}

fn wanted(route: &Route, message: &NewMessage) -> bool {
    match &message.only_endpoint {
        Some(only) => route.endpoint.id == *only,
        None => route.endpoint.filter.wants(&message.event_type, &message.channels),
    }
}

fn same_message(one: &NewMessage, two: &NewMessage) -> bool {
    one.event_type == two.event_type
        && one.payload == two.payload
        && one.event_id == two.event_id
        && one.content_type == two.content_type
        && one.channels == two.channels
        && one.tags == two.tags
        && one.deliver_at == two.deliver_at
}

impl Known {
    fn answer_for(&self, message: &NewMessage) -> Answer {
        let list = |text: &Option<String>| crate::rows::list(text.as_deref()).unwrap_or_default();
        let same = self.event_type == message.event_type
            && self.payload.as_ref().is_none_or(|payload| *payload == message.payload)
            && self.event_id == message.event_id
            && self.content_type == message.content_type
            && list(&self.channels) == message.channels
            && list(&self.tags) == message.tags
            && self.deliver_at == message.deliver_at.map(|at| at.0);
        let Ok(id) = self.id.parse() else { return Err(PublishError::IdempotencyMismatch) };
        if !same {
            return Err(PublishError::IdempotencyMismatch);
        }
        Ok(Published {
            id,
            created_at: Timestamp(self.created_at),
            outcome: Outcome::from_code(self.outcome),
            repeated: true,
        })
    }
}

impl Plan {
    /// Drops what another process inserted first under the same event id or idempotency key.
    /// Its callers are asked to come back: the next look-up finds the other's message.
    pub fn drop_missed(&mut self, store: &Store, missed: &HashSet<MessageId>) {
        for answer in &mut self.answers {
            if matches!(answer, Ok(published) if missed.contains(&published.id)) {
                let why = "another request with the same id is being written".to_owned();
                *answer = Err(PublishError::Unavailable(why));
            }
        }
        let is_kept = |lease: &Lease| !missed.contains(&lease.envelope.message_id);
        store.0.slots.withdraw(self.fresh.iter().filter(|lease| !is_kept(lease)));
        self.fresh.retain(is_kept);
    }
}
