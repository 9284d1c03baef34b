//! The day: one queue of events on one clock, and the steps that they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{AppId, Clock, DeliveryId, EndpointId, MessageId, Timestamp};
use store::{AppRef, NewMessage};
use testkit::START;

use crate::chance::Chance;
use crate::checker::{Checker, Held, Reason, Verdict};
use crate::course::Course;
use crate::engine::{Flight, Node, TIMEOUT_MS};
use crate::events::Event;
use crate::network::Reply;
use crate::sabotage::Sabotage;
use crate::world::{self, DAY_MS, Database, HOUR_MS, Receiver};

const MAX_NODES: u64 = 3;
/// A claim is tried at least so often.
const MAX_LOOK_MS: u64 = HOUR_MS;
/// Steps of one seed; more is a loop.
const MAX_STEPS: usize = 50_000;

/// A message that was promised to somebody.
pub struct Promised {
    pub app: AppId,
    pub id: MessageId,
}

pub struct Day {
    pub seed: u64,
    pub sabotage: Option<Sabotage>,
    pub chance: Chance,
    pub clock: Clock,
    pub database: Database,
    pub course: Course,
    pub checker: Checker,
    pub apps: Vec<(AppId, Vec<Receiver>)>,
    pub nodes: Vec<Node>,
    pub next_node: u64,
    queue: BTreeMap<(Timestamp, u64), Event>,
    next_event: u64,
    /// When the queue is looked at next.
    look_at: Timestamp,
    next_flight: u64,
    pub promised: Vec<Promised>,
    /// Idempotency keys and what they were answered with.
    pub keys: BTreeMap<String, MessageId>,
    /// Nothing bad happens any more.
    pub is_over: bool,
}

impl Day {
    pub async fn begin(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let chance = Chance::new(seed, 1);
        let clock = Clock::manual(START);
        let database = Database::fresh();
        let mut nodes = Vec::new();
        let count = chance.between(2, MAX_NODES);
        for number in 0..count {
            nodes.push(Node::start(seed, number, &database.url(), &clock).await);
        }
        let apps = world::apps(&nodes[0].store, &chance).await;
        let mut day = Self {
            seed,
            sabotage,
            clock,
            database,
            course: Course::default(),
            checker: Checker::new(START),
            apps,
            nodes,
            next_node: count,
            queue: BTreeMap::new(),
            next_event: 0,
            look_at: START,
            next_flight: 0,
            promised: Vec::new(),
            keys: BTreeMap::new(),
            is_over: false,
            chance,
        };
        day.draw();
        day
    }

    pub async fn play(&mut self) -> Verdict {
        let evening = START.plus_ms(DAY_MS);
        let mut steps = 0;
        while self.now() < evening && steps < MAX_STEPS {
            self.step(evening).await?;
            steps += 1;
        }
        self.finish().await
    }

    /// What happens next, but nothing after `until`.
    pub async fn step(&mut self, until: Timestamp) -> Verdict {
        let next = self.queue.first_key_value().map(|(key, _)| *key);
        let at = next.map_or(Timestamp::NEVER, |(at, _)| at);
        if self.look_at.min(at) > until {
            self.clock.advance_to(until);
            return Ok(());
        }
        if self.look_at < at {
            self.clock.advance_to(self.look_at.max(self.now()));
            return self.look().await;
        }
        self.clock.advance_to(at.max(self.now()));
        match next.and_then(|key| self.queue.remove(&key)) {
            Some(event) => self.happen(event).await,
            None => Ok(()),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn after(&mut self, ms: u64, event: Event) {
        self.queue.insert((self.now().plus_ms(ms), self.next_event), event);
        self.next_event += 1;
    }

    /// Something may be due then.
    pub fn ring(&mut self, at: Timestamp) {
        self.look_at = self.look_at.min(at);
    }

    pub fn note(&mut self, what: &'static str, of: impl std::fmt::Display) {
        let now = self.now();
        self.course.note(now, what, of);
    }

    /// Some node that lives; none when all are down.
    pub fn any_node(&self) -> Option<usize> {
        (!self.nodes.is_empty())
            .then(|| usize::try_from(self.chance.below(self.nodes.len() as u64)).unwrap())
    }

    pub fn receiver(&self, endpoint: EndpointId) -> &Receiver {
        let mut all = self.apps.iter().flat_map(|(_, receivers)| receivers);
        all.find(|receiver| receiver.id() == endpoint).unwrap()
    }

    pub fn any_receiver(&self) -> (AppId, EndpointId) {
        let (app, receivers) = self.chance.pick(&self.apps);
        (*app, self.chance.pick(receivers).id())
    }

    /// One node claims what is due.
    async fn look(&mut self) -> Verdict {
        let now = self.now();
        self.look_at = now.plus_ms(MAX_LOOK_MS);
        let Some(at) = self.any_node() else { return Ok(()) };
        let claimed = match self.claim(at).await {
            Ok(claimed) => claimed,
            Err(_) => {
                self.ring(now.plus_ms(200));
                return Ok(());
            }
        };
        let next = claimed.next_due.unwrap_or(Timestamp::NEVER);
        let soon = if claimed.count > 0 { 2 } else { 1_000 };
        self.ring(next.max(now.plus_ms(soon)));
        if claimed.count > 0 {
            let node = self.nodes[at].number;
            self.note("claims", format_args!("{} by node {node}", claimed.count));
        }
        self.start_all(at).await
    }

    async fn claim(&mut self, at: usize) -> Result<store::Claimed, ()> {
        let fails = !self.is_over && self.chance.percent(1);
        if fails {
            self.break_writes("lane");
        }
        let claimed = self.nodes[at].store.claim().await;
        if fails {
            self.mend_writes();
            self.note("failed claims", self.nodes[at].number);
        }
        claimed.map_err(drop)
    }

    /// Starts what was handed over to a node, and what that frees.
    pub async fn start_all(&mut self, at: usize) -> Verdict {
        loop {
            let leases = self.nodes[at].handed_over();
            if leases.is_empty() {
                return Ok(());
            }
            for lease in leases {
                let (id, app) = (lease.delivery_id, lease.route.endpoint.app_id);
                let probe = lease.probe;
                match self.nodes[at].deliver(lease).await {
                    Some(flight) => self.fly(at, app, flight).await?,
                    None => self.note("given back", format_args!("{id} {probe}")),
                }
            }
        }
    }

    /// A request has gone out: when and how is it answered?
    async fn fly(&mut self, at: usize, app: AppId, mut flight: Flight) -> Verdict {
        let now = self.now();
        let node = &self.nodes[at];
        let (number, stalled_until) = (node.number, node.stalled_until);
        let of = &mut flight.of;
        let breaker = self.database.breaker(&of.endpoint);
        let (reply, took) = self.receiver(of.endpoint).reply(&self.chance, now, TIMEOUT_MS);
        of.owner = self.database.stored(&of.delivery).and_then(|stored| stored.owner);
        self.course.note(
            now,
            if of.probe { "probes" } else { "requests" },
            format_args!("{} {} by node {number}", of.delivery, of.attempt),
        );
        let checked = self.checker.sends(of, breaker);
        let arrives = now.plus_ms(took).max(stalled_until).since_ms(now);
        let flight_number = self.next_flight;
        self.next_flight += 1;
        self.after(arrives, Event::Answer { node: number, flight: flight_number, app, reply });
        self.nodes[at].flights.insert(flight_number, flight);
        checked
    }

    /// An answer arrives, unless its node died meanwhile.
    pub async fn answer(&mut self, node: u64, flight: u64, app: AppId, reply: Reply) -> Verdict {
        let Some(at) = self.nodes.iter().position(|one| one.number == node) else { return Ok(()) };
        let Some(flight) = self.nodes[at].flights.remove(&flight) else { return Ok(()) };
        let of = flight.of.clone();
        let before = self.database.stored(&of.delivery);
        if let Some(sabotage) = self.sabotage {
            sabotage.before_settling(&self.database, &of);
        }
        let fails = !self.is_over && self.chance.percent(1);
        if fails {
            self.break_writes("attempt");
        }
        self.nodes[at].answer(flight, reply.clone()).await;
        if fails {
            self.mend_writes();
            self.note("failed settlements", of.delivery);
        }
        let now = self.now();
        if let Some(sabotage) = self.sabotage {
            sabotage.after_settling(&self.database, &of, now);
        }
        let Some(stored) = self.database.stored(&of.delivery) else {
            return Err(format!("lost: {} is gone", of.delivery));
        };
        self.note(
            "answers",
            format_args!("{} {reply:?} {:?} {}", of.delivery, stored.state, stored.due_at.0),
        );
        self.checker.settled(&of, before, stored)?;
        self.checker.ended(&of, &reply, stored, now)?;
        self.ring(now.plus_ms(1).max(stored.due_at));
        if matches!(reply, Reply::Status { status: 410, .. }) {
            self.note_disabled(app, of.endpoint).await;
        }
        self.start_all(at).await
    }

    /// A 410 disables its endpoint, if the attempt was recorded.
    async fn note_disabled(&mut self, app: AppId, endpoint: EndpointId) {
        let Some(node) = self.nodes.first() else { return };
        let found = node.store.endpoint_in_app(app, endpoint.as_str()).await.unwrap();
        if found.is_some_and(|endpoint| endpoint.disabled.is_some()) {
            let (from, until) = (self.now(), Timestamp::NEVER);
            let held = Held { reason: Reason::Disabled, known: from, from, until };
            self.checker.hold(endpoint, held);
            self.note("disabled", endpoint);
        }
    }

    /// Publishes under a key until it is acknowledged.
    pub async fn publish(&mut self, app: AppId, key: String, times: u32) -> Verdict {
        let Some(at) = self.any_node() else {
            self.after(1_000, Event::Publish { app, key, times });
            return Ok(());
        };
        let message = NewMessage {
            app: AppRef::from(app),
            event_type: "contact.created".to_owned(),
            event_id: None,
            payload: Bytes::from(format!(r#"{{"key":"{key}"}}"#)),
            content_type: None,
            channels: Vec::new(),
            tags: Vec::new(),
            deliver_at: None,
            payload_retention_ms: None,
            idempotency_key: Some(key.clone()),
            only_endpoint: None,
        };
        let dice = if self.is_over { 100 } else { self.chance.below(100) };
        if dice < 2 {
            self.break_writes("message");
        }
        let answer = self.nodes[at].store.ingest(message).await;
        if dice < 2 {
            self.mend_writes();
        }
        // Whoever is handed the leases comes right after whoever answers; a claim waits for both.
        let _ = self.nodes[at].store.claim().await;
        let again = self.chance.between(500, 20_000);
        match answer {
            Ok(published) if dice >= 4 => {
                self.note("published", published.id);
                if let Some(earlier) = self.keys.insert(key, published.id)
                    && earlier != published.id
                {
                    return Err(format!("lost: {earlier} was published twice"));
                }
                if !published.repeated || times > 0 {
                    self.promised.push(Promised { app, id: published.id });
                }
            }
            Ok(published) => {
                // Durable, but the answer is lost: perhaps with the whole process.
                self.note("unheard answers", published.id);
                self.after(again, Event::Publish { app, key, times: times + 1 });
                if dice == 3 {
                    self.crash(at);
                    return Ok(());
                }
            }
            Err(error) => {
                assert!(dice < 2, "{error}");
                self.note("failed publishings", &key);
                self.after(again, Event::Publish { app, key, times: times + 1 });
            }
        }
        let now = self.now();
        self.ring(now.plus_ms(2));
        self.start_all(at).await
    }

    /// A process is gone, with all that it knew.
    pub fn crash(&mut self, at: usize) {
        let node = self.nodes.remove(at);
        let now = self.now();
        self.note("crashes", node.number);
        self.checker.disturb_all(now);
        let down = self.chance.between(1_000, HOUR_MS / 2);
        self.after(down, Event::Start);
        self.after(61_000, Event::Rescue);
        drop(node);
    }

    /// Writes to this table fail before they are committed, until they are mended.
    fn break_writes(&mut self, table: &str) {
        let now = self.now();
        self.checker.disturb_all(now);
        self.database.run(&format!("insert into played_fault values ('{table}')"));
        self.after(61_000, Event::Rescue);
    }

    fn mend_writes(&self) {
        self.database.run("delete from played_fault");
    }

    pub fn end(self) -> Course {
        self.course
    }

    /// Of whom a delivery is that was made by hand.
    pub fn made(&mut self, delivery: DeliveryId) {
        self.note("replays", delivery);
        let now = self.now();
        self.ring(now.plus_ms(1));
    }
}
