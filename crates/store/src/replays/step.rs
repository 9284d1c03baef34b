//! One step of a replay: look at the next candidates, make deliveries of those that are meant,
//! and write down how far it is. All of it is one transaction, so that a crash repeats nothing
//! and forgets nothing.
//!
//! Fresh traffic comes first. A replay keeps only a small window of its deliveries in front of an
//! endpoint, queued or under way, and waits until some are settled: the queue is never longer for
//! it, and slots stay free. An endpoint whose window is full is left behind by the walk over all
//! and goes on at its own pace.

use std::collections::{BTreeSet, HashMap};

use model::filter::Filter;
use model::replay::{Course, Kind, MAX_DEPTH, MessageIdWish, Plan, Walk};
use model::task::{Task, TaskStatus};
use model::{EndpointId, MessageId, ReplayId, Timestamp};

use super::candidates::{Candidate, Search, within};
use super::links::{Child, lower_lane};
use crate::db::{Tx, on};
use crate::tasks::Step;
use crate::{Result, Store, rows};

/// Deliveries made in one step.
const MAX_MADE: u64 = 64;
/// Candidates looked at in one read.
const LOOK: i64 = 128;
/// The same when each is searched for a text.
const LOOK_FOR_TEXT: i64 = 32;
/// Deliveries of a replay in front of one endpoint; no more than half of its slots.
const WINDOW: u32 = 32;
/// Endpoints with a walk of their own; when there are more, the walk over all waits.
const MAX_OWN: usize = 64;
/// Of these, so many are looked at in one step.
const MAX_SERVED: usize = 8;

// How much waits for the endpoint, and how much of this replay is under way to it.
const ROOM: &str = "select e.max_in_flight, (select count(*) from (select 1 from delivery q \
    where q.endpoint_id = e.id and q.state = 0 and q.due_at <= $2 limit $3) queued) as queued, \
    (select count(*) from (select 1 from delivery l where l.replay_id = $4 and l.state = 1 \
    and l.endpoint_id = e.id limit $3) leased) as leased from endpoint e where e.id = $1";

#[derive(sqlx::FromRow)]
struct Room {
    max_in_flight: Option<i32>,
    queued: i64,
    leased: i64,
}

impl Store {
    /// Does the next step of a replay; its course is moved on, and its status when it is over.
    pub(crate) async fn step_replay(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        kind: Kind,
        plan: &Plan,
    ) -> Result<Step> {
        let now = self.now();
        let mut course = course_of(task);
        let quota = course.allowed(plan.options.rate_per_s, now, MAX_MADE);
        if quota == 0 {
            return Ok(Step::Wait(course.next_at));
        }
        let Some(filter) = self.filter_for(kind, plan).await? else {
            task.status = TaskStatus::Failed;
            task.progress.error = Some("the endpoint is gone".to_owned());
            return Ok(Step::Moved);
        };
        let search = Search {
            kind,
            selection: &plan.selection,
            filter: &filter,
            replay_id: plan.replay_id,
            begun_at: task.created_at,
        };
        let mut stepper = Stepper {
            store: self,
            search,
            plan,
            quota,
            made: 0,
            now,
            task,
            rooms: HashMap::new(),
            told: BTreeSet::new(),
        };
        let before = (course.looked_at, course.waits_for);
        stepper.go(tx, &mut course).await?;
        let made = stepper.made;
        for endpoint in std::mem::take(&mut stepper.told) {
            lower_lane(tx, endpoint, now).await?;
        }
        course.note_made(made, plan.options.rate_per_s, now);
        let moved = (course.looked_at, course.waits_for) != before || course.is_done();
        if course.is_done() {
            task.status = TaskStatus::Finished;
        }
        task.progress.cursor.clone_from(&course.main.cursor);
        task.progress.course = Some(course);
        Ok(if moved { Step::Moved } else { Step::Crowded })
    }

    /// What the endpoint of a replay wants; none when it is gone.
    async fn filter_for(&self, kind: Kind, plan: &Plan) -> Result<Option<Filter>> {
        let Some(only) = plan.selection.only_endpoint() else { return Ok(Some(Filter::default())) };
        let endpoint = self.endpoint_in_app(plan.selection.app_id, only.as_str()).await?;
        let is_missing = kind == Kind::Missing;
        Ok(endpoint.map(|endpoint| if is_missing { endpoint.filter } else { Filter::default() }))
    }
}

/// Tasks from before there were courses have a cursor.
fn course_of(task: &Task) -> Course {
    task.progress.course.clone().unwrap_or_else(|| {
        let main = Walk { cursor: task.progress.cursor.clone(), ..Walk::default() };
        Course { main, ..Course::default() }
    })
}

struct Stepper<'a> {
    store: &'a Store,
    search: Search<'a>,
    plan: &'a Plan,
    /// How many may be made in this step.
    quota: u64,
    made: u64,
    now: Timestamp,
    task: &'a mut Task,
    /// What each endpoint still takes; none when it is gone.
    rooms: HashMap<EndpointId, Option<u32>>,
    /// Endpoints whose lanes are to be told.
    told: BTreeSet<EndpointId>,
}

/// What became of a candidate.
enum Fate {
    Passed,
    Made,
    NoRoom,
}

impl Stepper<'_> {
    async fn go(&mut self, tx: &mut Tx, course: &mut Course) -> Result<()> {
        for endpoint in course.next_served(MAX_SERVED) {
            let Some(mut walk) = course.own.remove(&endpoint) else { continue };
            if self.room(tx, endpoint).await? != Some(0) {
                self.walk(tx, course, &mut walk, Some(endpoint)).await?;
            }
            course.own.insert(endpoint, walk);
            course.served = Some(endpoint);
        }
        if course.main.is_done {
            return Ok(());
        }
        let mut main = std::mem::take(&mut course.main);
        let only = self.plan.selection.only_endpoint();
        let walked = self.walk(tx, course, &mut main, only).await;
        course.main = main;
        walked
    }

    /// Goes on from a walk's cursor, as far as one read and the room reach.
    async fn walk(
        &mut self,
        tx: &mut Tx,
        course: &mut Course,
        walk: &mut Walk,
        only: Option<EndpointId>,
    ) -> Result<()> {
        let limit = if self.plan.selection.text.is_some() { LOOK_FOR_TEXT } else { LOOK };
        let cursor = walk.cursor.as_deref();
        let found = self.search.after(&mut within(tx), cursor, only, limit).await?;
        let is_last = i64::try_from(found.len()).unwrap_or(limit) < limit;
        for candidate in found {
            if self.made >= self.quota {
                return Ok(());
            }
            let message = candidate.message_id;
            if walk.cursor.as_deref().and_then(message_of) != Some(message) {
                walk.reached.clear();
            }
            let endpoint = candidate.endpoint_id;
            let is_others = only.is_none() && course.own.contains_key(&endpoint);
            if !is_others && !walk.reached.contains(&endpoint) {
                match self.consider(tx, &candidate, course).await? {
                    Fate::Passed => {}
                    Fate::Made => walk.reached.push(endpoint),
                    Fate::NoRoom if only.is_some() || course.own.len() >= MAX_OWN => return Ok(()),
                    Fate::NoRoom if !course.is_behind(endpoint, self.now) => return Ok(()),
                    Fate::NoRoom => {
                        let cursor = walk.cursor.clone();
                        let own = Walk { cursor, reached: Vec::new(), is_done: false };
                        course.own.insert(endpoint, own);
                    }
                }
            }
            course.looked_at += 1;
            walk.cursor = Some(candidate.cursor);
        }
        walk.is_done = is_last;
        Ok(())
    }

    async fn consider(
        &mut self,
        tx: &mut Tx,
        candidate: &Candidate,
        course: &mut Course,
    ) -> Result<Fate> {
        if !self.search.wants(&mut within(tx), candidate).await? {
            return Ok(Fate::Passed);
        }
        let depth = candidate.parent.map_or(Some(0), |parent| parent.child_depth());
        let (Some(depth), Some(room)) = (depth, self.room(tx, candidate.endpoint_id).await?) else {
            tracing::debug!(message = %candidate.message_id, MAX_DEPTH, "not replayed");
            course.skipped += 1;
            return Ok(Fate::Passed);
        };
        if room == 0 {
            return Ok(Fate::NoRoom);
        }
        let made = self.make(tx, candidate, depth).await?;
        self.rooms.insert(candidate.endpoint_id, Some(room - 1));
        self.told.insert(candidate.endpoint_id);
        self.task.progress.last_delivery = Some(made);
        self.task.progress.done += 1;
        self.made += 1;
        Ok(Fate::Made)
    }

    async fn make(
        &self,
        tx: &mut Tx,
        candidate: &Candidate,
        depth: u32,
    ) -> Result<model::DeliveryId> {
        let app_id = self.plan.selection.app_id;
        let message_id = match self.plan.options.message_id {
            MessageIdWish::Keep => candidate.message_id,
            MessageIdWish::Renew => {
                self.store.copy_message(tx, (app_id, candidate.message_id), None).await?
            }
        };
        let child = Child {
            app_id,
            endpoint_id: candidate.endpoint_id,
            message_id,
            parent: candidate.parent,
            depth,
            replay_id: self.plan.replay_id,
        };
        self.store.insert_child(tx, &child).await
    }

    /// How many more deliveries an endpoint takes now; none when it is gone.
    async fn room(&mut self, tx: &mut Tx, endpoint: EndpointId) -> Result<Option<u32>> {
        if let Some(known) = self.rooms.get(&endpoint) {
            return Ok(*known);
        }
        let replay = self.plan.replay_id;
        let found: Option<Room> = on!(&mut *tx, c => sqlx::query_as(ROOM)
            .bind(endpoint.as_str())
            .bind(self.now.0)
            .bind(i64::from(WINDOW))
            .bind(replay.as_ref().map_or("", ReplayId::as_str))
            .fetch_optional(&mut **c).await)?;
        let room = found.map(|found| {
            let cap = self.store.0.slots.cap_of(found.max_in_flight.map(rows::count));
            let window = (cap / 2).clamp(1, WINDOW);
            let taken = u32::try_from(found.queued + found.leased).unwrap_or(WINDOW);
            window.saturating_sub(taken)
        });
        self.rooms.insert(endpoint, room);
        Ok(room)
    }
}

/// The message of a cursor, which is the id of a delivery or of a message.
fn message_of(cursor: &str) -> Option<MessageId> {
    let delivery: Option<model::DeliveryId> = cursor.parse().ok();
    delivery.map(|id| id.message_id()).or_else(|| cursor.parse().ok())
}
