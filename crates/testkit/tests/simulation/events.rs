//! What can happen on a day besides answers, and when it does.

use std::ops::RangeInclusive;

use engine::maintenance::tasks::Next;
use engine::maintenance::{lease_rescue, tasks, windows};
use model::breaker::{Event as Move, Thresholds};
use model::endpoint::{Disabled, DisabledReason, Endpoint};
use model::replay::{Kind, Selection};
use model::window::{Interval, Plan, Scope, Window};
use model::{AppId, EndpointId, Timestamp, WindowId};
use rusqlite::Row;
use store::{BreakerOf, NewReplay, Resend};
use testkit::{START, by};

use crate::checker::{Held, Reason, Verdict};
use crate::day::Day;
use crate::engine::Node;
use crate::network::Reply;
use crate::world::{DAY_MS, HOUR_MS};

#[derive(Debug)]
pub enum Event {
    Publish {
        app: AppId,
        key: String,
        times: u32,
    },
    Answer {
        node: u64,
        flight: u64,
        app: AppId,
        reply: Reply,
    },
    Rescue,
    Crash,
    Start,
    /// A process stands still for a while, and then goes on as if nothing had been.
    Stall,
    Pause,
    Resume(AppId, EndpointId),
    Disable,
    Enable(AppId, EndpointId),
    OpenBreaker,
    CloseBreaker(AppId, EndpointId),
    Window,
    Windows,
    Resend,
    Replay,
    Tasks,
    Flush,
    Cancel,
    Sabotage,
}

/// An event, and how often it happens on a day.
type Occasion = (fn() -> Event, RangeInclusive<u64>);

const OCCASIONS: [Occasion; 11] = [
    (|| Event::Rescue, 4..=6),
    (|| Event::Crash, 0..=4),
    (|| Event::Stall, 0..=4),
    (|| Event::Pause, 0..=3),
    (|| Event::Disable, 0..=1),
    (|| Event::OpenBreaker, 0..=1),
    (|| Event::Window, 0..=2),
    (|| Event::Resend, 0..=6),
    (|| Event::Replay, 0..=1),
    (|| Event::Flush, 2..=4),
    (|| Event::Cancel, 0..=3),
];
const PUBLISHINGS: RangeInclusive<u64> = 3..=8;
const MAX_BURST: u64 = 2;

impl Day {
    /// Draws the day's events.
    pub fn draw(&mut self) {
        for (event, times) in OCCASIONS {
            for _ in 0..self.chance.between(*times.start(), *times.end()) {
                let at = self.chance.below(DAY_MS);
                self.after(at, event());
            }
        }
        if self.sabotage.is_some() {
            for hour in 1..24 {
                self.after(hour * HOUR_MS, Event::Sabotage);
            }
        }
        for n in 0..self.chance.between(*PUBLISHINGS.start(), *PUBLISHINGS.end()) {
            let at = self.chance.below(DAY_MS);
            let app = self.chance.pick(&self.apps).0;
            for m in 0..self.chance.between(1, MAX_BURST) {
                let key = format!("{n}-{m}");
                self.after(at, Event::Publish { app, key, times: 0 });
            }
        }
    }

    pub async fn happen(&mut self, event: Event) -> Verdict {
        match event {
            Event::Publish { app, key, times } => return self.publish(app, key, times).await,
            Event::Answer { node, flight, app, reply } => {
                return self.answer(node, flight, app, reply).await;
            }
            Event::Rescue => self.rescue().await,
            Event::Crash => {
                if let Some(at) = self.any_node() {
                    self.crash(at);
                }
            }
            Event::Start => self.start().await,
            Event::Stall => self.stall(),
            Event::Pause => {
                let (app, endpoint) = self.any_receiver();
                self.pause(app, endpoint).await;
            }
            Event::Resume(app, endpoint) => self.free(app, endpoint, Reason::Paused).await,
            Event::Disable => {
                let (app, endpoint) = self.any_receiver();
                self.disable(app, endpoint).await;
            }
            Event::Enable(app, endpoint) => self.free(app, endpoint, Reason::Disabled).await,
            Event::OpenBreaker => self.open_breaker().await,
            Event::CloseBreaker(app, endpoint) => self.close_breaker(app, endpoint).await,
            Event::Window => self.begin_window().await,
            Event::Windows => {
                if let Some(at) = self.any_node() {
                    windows::advance(self.nodes[at].store.clone()).await.unwrap();
                }
            }
            Event::Resend => self.resend().await,
            Event::Replay => self.replay().await,
            Event::Tasks => self.tasks().await,
            Event::Flush => {
                if let Some(at) = self.any_node() {
                    self.nodes[at].deliverer.flush_outcomes().await.unwrap();
                }
            }
            Event::Cancel => self.cancel().await,
            Event::Sabotage => {
                let now = self.now();
                if let Some(sabotage) = self.sabotage {
                    sabotage.at_large(&self.database, now);
                    self.ring(now);
                }
            }
        }
        Ok(())
    }

    pub async fn rescue(&mut self) {
        let Some(at) = self.any_node() else { return };
        lease_rescue::rescue(self.nodes[at].store.clone()).await.unwrap();
        self.note("rescues", self.nodes[at].number);
        let now = self.now();
        self.checker.disturb_all(now);
        self.ring(now);
    }

    pub async fn start(&mut self) {
        let number = self.next_node;
        self.next_node += 1;
        let node = Node::start(self.seed, number, &self.database.url(), &self.clock).await;
        self.nodes.push(node);
        let now = self.now();
        self.checker.disturb_all(now);
        self.note("starts", number);
        self.ring(now);
    }

    fn stall(&mut self) {
        let Some(at) = self.any_node() else { return };
        let ms = self.chance.between(40_000, 300_000);
        self.nodes[at].stalled_until = self.now().plus_ms(ms);
        let now = self.now();
        self.checker.disturb_all(now.plus_ms(ms));
        self.note("stalls", self.nodes[at].number);
        self.after(61_000, Event::Rescue);
        self.after(ms, Event::Rescue);
    }

    /// An endpoint as it is stored, on a node that lives.
    async fn stored(&self, app: AppId, endpoint: EndpointId) -> Option<(usize, Endpoint)> {
        let at = self.any_node()?;
        let found = self.nodes[at].store.endpoint_in_app(app, endpoint.as_str()).await.unwrap();
        Some((at, found?))
    }

    async fn pause(&mut self, app: AppId, endpoint: EndpointId) {
        let Some((at, seen)) = self.stored(app, endpoint).await else { return };
        let now = self.now();
        let wished = Endpoint { paused_at: Some(now), ..seen.clone() };
        self.nodes[at].store.edit_endpoint(&seen, &wished, &by()).await.unwrap();
        let held = Held { reason: Reason::Paused, known: now, from: now, until: Timestamp::NEVER };
        self.checker.hold(endpoint, held);
        self.note("pauses", endpoint);
        let ms = self.chance.between(60_000, 4 * HOUR_MS);
        self.after(ms, Event::Resume(app, endpoint));
    }

    async fn disable(&mut self, app: AppId, endpoint: EndpointId) {
        let Some((at, seen)) = self.stored(app, endpoint).await else { return };
        let now = self.now();
        let disabled = Disabled { at: now, reason: DisabledReason::ByHand, note: None };
        let wished = Endpoint { disabled: Some(disabled), ..seen.clone() };
        self.nodes[at].store.edit_endpoint(&seen, &wished, &by()).await.unwrap();
        let held =
            Held { reason: Reason::Disabled, known: now, from: now, until: Timestamp::NEVER };
        self.checker.hold(endpoint, held);
        self.note("disabled", endpoint);
        let ms = self.chance.between(60_000, 4 * HOUR_MS);
        self.after(ms, Event::Enable(app, endpoint));
    }

    /// Ends what somebody did to an endpoint.
    pub async fn free(&mut self, app: AppId, endpoint: EndpointId, reason: Reason) {
        let Some((at, seen)) = self.stored(app, endpoint).await else {
            self.after(
                60_000,
                match reason {
                    Reason::Disabled => Event::Enable(app, endpoint),
                    _ => Event::Resume(app, endpoint),
                },
            );
            return;
        };
        let mut wished = seen.clone();
        match reason {
            Reason::Disabled => wished.disabled = None,
            _ => wished.paused_at = None,
        }
        self.nodes[at].store.edit_endpoint(&seen, &wished, &by()).await.unwrap();
        let now = self.now();
        self.checker.free(endpoint, reason, now);
        self.note("freed", format_args!("{endpoint} {reason:?}"));
        self.ring(now);
    }

    async fn move_breaker(&mut self, app: AppId, endpoint: EndpointId, event: Move) -> bool {
        let Some((at, endpoint)) = self.stored(app, endpoint).await else { return false };
        let (thresholds, actor) = (Thresholds::default(), by());
        let of =
            BreakerOf { endpoint: &endpoint, thresholds: &thresholds, era: None, by: Some(&actor) };
        self.nodes[at].store.move_breaker(&of, event).await.unwrap();
        let now = self.now();
        self.checker.disturb(endpoint.id, now);
        self.note("breakers by hand", endpoint.id);
        self.ring(now);
        true
    }

    async fn open_breaker(&mut self) {
        let (app, endpoint) = self.any_receiver();
        let ms = self.chance.between(60_000, 2 * HOUR_MS);
        let until = if self.chance.percent(50) { Timestamp::NEVER } else { self.now().plus_ms(ms) };
        let event = Move::OpenedByHand { until, reason: "played".to_owned() };
        if self.move_breaker(app, endpoint, event).await {
            self.after(ms, Event::CloseBreaker(app, endpoint));
        }
    }

    pub async fn close_breaker(&mut self, app: AppId, endpoint: EndpointId) {
        let event = Move::ClosedByHand { reason: "played".to_owned() };
        if !self.move_breaker(app, endpoint, event).await {
            self.after(60_000, Event::CloseBreaker(app, endpoint));
        }
    }

    async fn begin_window(&mut self) {
        let Some(at) = self.any_node() else { return };
        let now = self.now();
        let starts_at = now.plus_ms(self.chance.below(HOUR_MS));
        let ends_at = starts_at.plus_ms(self.chance.between(60_000, 3 * HOUR_MS));
        let (app, endpoint) = self.any_receiver();
        let (scope, endpoints) = if self.chance.percent(50) {
            (Scope::Endpoints(app, vec![endpoint]), vec![endpoint])
        } else {
            let (_, receivers) = self.apps.iter().find(|(id, _)| *id == app).unwrap();
            (Scope::App(app), receivers.iter().map(|receiver| receiver.id()).collect())
        };
        let store = &self.nodes[at].store;
        let window = Window {
            id: WindowId::new(now, store.entropy()),
            scope,
            name: "played".to_owned(),
            reason: String::new(),
            plan: Plan::Once(Interval { starts_at, ends_at }),
            enabled: true,
            ended_at: None,
            created_at: now,
            updated_at: now,
        };
        assert!(store.insert_window(&window, &by()).await.unwrap());
        self.note("windows", window.id);
        for endpoint in endpoints {
            let held = Held { reason: Reason::Window, known: now, from: starts_at, until: ends_at };
            self.checker.hold(endpoint, held);
            self.checker.disturb(endpoint, ends_at);
        }
        for moment in [now, starts_at, ends_at] {
            self.after(moment.since_ms(now) + 1, Event::Windows);
        }
        self.ring(now);
    }

    async fn resend(&mut self) {
        let (Some(at), false) = (self.any_node(), self.promised.is_empty()) else { return };
        let message = self.chance.pick(&self.promised);
        let (app, id) = (message.app, message.id);
        let (_, receivers) = self.apps.iter().find(|(one, _)| *one == app).unwrap();
        let endpoint = self.chance.pick(receivers).id();
        let wish = Resend::new(app, endpoint, id);
        let made = self.nodes[at].store.resend(&wish, &by()).await.unwrap();
        if let Some(made) = made {
            self.made(made);
        }
    }

    async fn replay(&mut self) {
        let Some(at) = self.any_node() else { return };
        let (app, endpoint) = self.any_receiver();
        let selection = Selection::new(app, START, self.now()).at(endpoint);
        let kind = *self.chance.pick(&[Kind::Recover, Kind::Missing, Kind::Bulk]);
        let replay = NewReplay::new(kind, selection);
        let replay = self.nodes[at].store.start_replay(replay, &by()).await.unwrap();
        self.note("bulk replays", replay.id);
        self.after(1, Event::Tasks);
    }

    async fn tasks(&mut self) {
        let Some(at) = self.any_node() else {
            self.after(60_000, Event::Tasks);
            return;
        };
        let now = self.now();
        let next = tasks::round(&self.nodes[at].store).await.unwrap();
        self.note("steps of tasks", format_args!("{next:?}"));
        let ms = match next {
            Next::Now => 20,
            Next::Crowded => 600_000,
            Next::At(at) => at.since_ms(now).max(20),
            Next::Idle => return,
        };
        self.after(ms, Event::Tasks);
        self.ring(now.plus_ms(1));
    }

    /// Somebody does not want a delivery any more that waits.
    async fn cancel(&mut self) {
        let Some(at) = self.any_node() else { return };
        let sql = "select id, app_id, attempts from delivery where state = 0 order by id limit 1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let waiting: Vec<(String, String, u32)> = self.database.all(sql, read);
        let Some((id, app, attempts)) = waiting.first() else { return };
        let (id, app) = (id.parse().unwrap(), app.parse().unwrap());
        let store = &self.nodes[at].store;
        let canceled = store.cancel_delivery_if_queued(app, id, &by()).await.unwrap();
        if canceled == store::Cancel::Canceled {
            let now = self.now();
            self.checker.cancelled(id, *attempts, now);
            self.note("canceled", id);
        }
    }
}
