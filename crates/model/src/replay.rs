//! A replay: deliveries made from earlier ones, by somebody and for a reason.
//!
//! Each delivery that a replay makes names its parent, and the root of its chain. A parent exists
//! before its child and is never changed, so a chain has no circle; [`MAX_DEPTH`] bounds its
//! length.
//!
//! A replay of many is done by a background task, step by step. Where it goes on is a set of
//! [`Walk`]s over deliveries in the order of their ids: one over all endpoints, and one for each
//! endpoint that could not keep up with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::attempt::ErrorKind;
use crate::audit::Actor;
use crate::filter::pattern_matches;
use crate::task::Task;
use crate::{AppId, DeliveryId, EndpointId, ReplayId, TaskId, Timestamp};

/// Links of a chain below its root.
pub const MAX_DEPTH: u32 = 100;
/// Endpoints that one replay names.
pub const MAX_ENDPOINTS: usize = 100;
/// Characters of a reason, and of a text that is looked for.
pub const MAX_TEXT_LEN: usize = 256;
/// Deliveries a second at the most.
pub const MAX_RATE: u32 = 10_000;

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One message, to one endpoint.
    Resend,
    /// What failed at an endpoint and did not succeed otherwise.
    Recover,
    /// What an endpoint never got.
    Missing,
    /// Everything that matches.
    Bulk,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Resend, Self::Recover, Self::Missing, Self::Bulk];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Recover => "recover",
            Self::Missing => "missing",
            Self::Bulk => "bulk",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).unwrap_or(Self::Bulk)
    }
}

/// Who replays what, and why; how far it is, its task knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    pub id: ReplayId,
    pub app_id: AppId,
    pub kind: Kind,
    pub by: Actor,
    pub reason: Option<String>,
    /// None for a single resend.
    pub task_id: Option<TaskId>,
    /// None also when the task is no longer kept.
    pub task: Option<Task>,
    pub created_at: Timestamp,
}

/// Whether a replay carries the id of the message it repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageIdWish {
    /// The same id, so that receivers recognise what they had.
    #[default]
    Keep,
    /// A message of its own, so that receivers take it for new.
    Renew,
}

impl MessageIdWish {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Renew => "renew",
        }
    }
}

/// What a task replays, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// None in tasks from before there were replays.
    #[serde(default)]
    pub replay_id: Option<ReplayId>,
    #[serde(flatten)]
    pub selection: Selection,
    #[serde(default)]
    pub options: Options,
    /// How many were selected when it began, as far as that was counted.
    #[serde(default)]
    pub selected: Option<Counted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    pub rate_per_s: Option<u32>,
    pub message_id: MessageIdWish,
}

/// A count that may have stopped early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub count: u64,
    /// There are at least so many.
    pub capped: bool,
}

/// Which deliveries, or messages, of an app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    pub app_id: AppId,
    /// None means all of the app.
    #[serde(default, alias = "endpoint_id", deserialize_with = "one_or_many")]
    pub endpoints: Vec<EndpointId>,
    /// Published at this moment or later.
    pub since: Timestamp,
    /// Published before this moment.
    pub until: Timestamp,
    /// Names or patterns; none means all.
    #[serde(default)]
    pub event_types: Vec<String>,
    #[serde(default)]
    pub channel: Option<String>,
    #[serde(default)]
    pub tag: Option<String>,
    /// Delivery state code; only deliveries in this state.
    #[serde(default)]
    pub state: Option<i16>,
    /// 100 to 500: only deliveries whose last answer was of this class.
    #[serde(default)]
    pub status_code_class: Option<u16>,
    /// Only deliveries whose last attempt failed so.
    #[serde(default)]
    pub error: Option<ErrorKind>,
    /// Only where the payload or a response holds this text.
    #[serde(default)]
    pub text: Option<String>,
}

impl Selection {
    /// Everything of an app in a span of time.
    #[must_use]
    pub const fn new(app_id: AppId, since: Timestamp, until: Timestamp) -> Self {
        Self {
            app_id,
            endpoints: Vec::new(),
            since,
            until,
            event_types: Vec::new(),
            channel: None,
            tag: None,
            state: None,
            status_code_class: None,
            error: None,
            text: None,
        }
    }

    /// The same, of one endpoint.
    #[must_use]
    pub fn at(self, endpoint: EndpointId) -> Self {
        Self { endpoints: vec![endpoint], ..self }
    }

    /// The only endpoint, if there is but one.
    #[must_use]
    pub fn only_endpoint(&self) -> Option<EndpointId> {
        match self.endpoints[..] {
            [endpoint] => Some(endpoint),
            _ => None,
        }
    }

    #[must_use]
    pub fn has_endpoint(&self, endpoint: &EndpointId) -> bool {
        self.endpoints.is_empty() || self.endpoints.contains(endpoint)
    }

    /// Whether a message of this type, with these channels and tags, is meant.
    #[must_use]
    pub fn wants(&self, event_type: &str, channels: &[String], tags: &[String]) -> bool {
        let types = &self.event_types;
        (types.is_empty() || types.iter().any(|pattern| pattern_matches(pattern, event_type)))
            && self.channel.as_ref().is_none_or(|channel| channels.contains(channel))
            && self.tag.as_ref().is_none_or(|tag| tags.contains(tag))
    }
}

impl From<Selection> for Plan {
    fn from(selection: Selection) -> Self {
        Self { replay_id: None, selection, options: Options::default(), selected: None }
    }
}

/// Tasks from before there were replays name one endpoint.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<EndpointId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(EndpointId),
        Many(Vec<EndpointId>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(endpoint) => vec![endpoint],
        OneOrMany::Many(endpoints) => endpoints,
    })
}

/// Where a replay goes on after a step, or a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Course {
    /// Candidates that were looked at.
    pub looked_at: u64,
    /// Selected, and yet not made: the chain was too long, or the endpoint is gone.
    pub skipped: u64,
    /// Nothing more is made before: this is how the rate is kept.
    pub next_at: Timestamp,
    /// Over all endpoints but those of `own`.
    pub main: Walk,
    /// What the walk over all waits for, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<(EndpointId, Timestamp)>,
    /// Endpoints that were left behind, each with a walk of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<EndpointId, Walk>,
    /// The one of these that was served last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<EndpointId>,
}

/// A way over candidates in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Walk {
    /// The last id that was dealt with.
    pub cursor: Option<String>,
    /// The endpoints that the cursor's message was delivered to by now: once each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<EndpointId>,
    pub is_done: bool,
}

impl Course {
    /// Whether an endpoint that takes nothing more now is to be left behind. It gets a moment:
    /// one that moves makes room within it.
    pub fn is_behind(&mut self, endpoint: EndpointId, now: Timestamp) -> bool {
        match self.waits_for {
            Some((waited_for, since)) if waited_for == endpoint => {
                now.since_ms(since) >= PATIENCE_MS
            }
            _ => {
                self.waits_for = Some((endpoint, now));
                false
            }
        }
    }

    /// The endpoints left behind that are served next: in turn, so many at a time.
    #[must_use]
    pub fn next_served(&self, most: usize) -> Vec<EndpointId> {
        let open = |from: Option<EndpointId>, to: Option<EndpointId>| {
            let after = move |id: &EndpointId| from.is_none_or(|from| *id > from);
            let before = move |id: &EndpointId| to.is_none_or(|to| *id <= to);
            let open = self.own.iter().filter(|(_, walk)| !walk.is_done).map(|(id, _)| *id);
            open.filter(move |id| after(id) && before(id))
        };
        let first = open(self.served, None);
        match self.served {
            Some(_) => first.chain(open(None, self.served)).take(most).collect(),
            None => first.take(most).collect(),
        }
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.main.is_done && self.own.values().all(|walk| walk.is_done)
    }

    /// How many may be made now at a rate, and the moment from which on is counted.
    #[must_use]
    pub fn allowed(&self, rate_per_s: Option<u32>, now: Timestamp, most: u64) -> u64 {
        let Some(rate) = rate_per_s else { return most };
        if now < self.next_at {
            return 0;
        }
        (u64::from(rate) * PACE_MS / 1_000).clamp(1, most)
    }

    /// Notes that so many were made: the next come when the rate allows it. Time that passed
    /// unused, in a pause or a crash, is not made up for.
    pub fn note_made(&mut self, made: u64, rate_per_s: Option<u32>, now: Timestamp) {
        let Some(rate) = rate_per_s else { return };
        let from = self.next_at.max(now.minus_ms(PACE_MS));
        self.next_at = from.plus_ms((made * 1_000).div_ceil(u64::from(rate.max(1))));
    }
}

/// How long the walk over all waits for one endpoint.
const PATIENCE_MS: u64 = 100;
/// A replay with a rate makes what is due in so long at once.
const PACE_MS: u64 = 100;

/// A place in a chain: what a child needs of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub id: DeliveryId,
    pub root: DeliveryId,
    pub depth: u32,
}

impl Parent {
    /// The depth of a child; none when the chain is as long as it may be.
    #[must_use]
    pub const fn child_depth(&self) -> Option<u32> {
        if self.depth < MAX_DEPTH { Some(self.depth + 1) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entropy, MessageId};

    fn endpoint() -> EndpointId {
        EndpointId::new(Timestamp(5), &Entropy::seeded(3))
    }

    #[test]
    fn a_rate_is_kept_over_any_pauses() {
        for rate in [1, 3, 7, 10, 50, 999, MAX_RATE] {
            let mut course = Course::default();
            let (mut made, mut waited, start) = (0_u64, 0, Timestamp(1_000_000));
            let mut now = start;
            for step in 0..20_000_u64 {
                let quota = course.allowed(Some(rate), now, 64);
                course.note_made(quota, Some(rate), now);
                made += quota;
                // Uneven looks, and now and then a long pause.
                let pause = if step % 997 == 0 { 5_000 } else { step % 7 };
                waited += u64::from(pause == 5_000) * 5_000;
                now = now.plus_ms(pause);
            }
            let most = now.since_ms(start) * u64::from(rate) / 1_000 + 64;
            assert!(made <= most, "{made} of {most} at {rate}/s");
            let least = (now.since_ms(start) - waited) * u64::from(rate.min(600)) / 1_000;
            assert!(made * 10 >= least * 8, "{made} of {least} at {rate}/s");
        }
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut course = Course::default();
        course.note_made(1_000, None, Timestamp(5));
        assert_eq!(course.allowed(None, Timestamp(5), 64), 64);
    }

    #[test]
    fn a_chain_has_an_end() {
        let id = DeliveryId::new(&MessageId::floor(Timestamp(1)), &Entropy::seeded(1));
        let mut parent = Parent { id, root: id, depth: 0 };
        let mut links = 0;
        while let Some(depth) = parent.child_depth() {
            assert!(depth > parent.depth, "every step leads away from the root");
            parent.depth = depth;
            links += 1;
        }
        assert_eq!(links, MAX_DEPTH);
    }

    #[test]
    fn what_older_tasks_selected_is_still_understood() {
        let app = AppId::new(Timestamp(5), &Entropy::seeded(3));
        let text = format!(
            r#"{{"app_id":"{app}","endpoint_id":"{}","since":1,"until":2,"event_types":["a"]}}"#,
            endpoint()
        );
        let plan: Plan = serde_json::from_str(&text).unwrap();
        let mut selection = Selection::new(app, Timestamp(1), Timestamp(2)).at(endpoint());
        selection.event_types = vec!["a".to_owned()];
        assert_eq!(plan, Plan::from(selection));
        let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(again, plan);
    }

    #[test]
    fn where_it_goes_on_survives_being_written() {
        let walk = Walk { cursor: None, reached: vec![endpoint()], is_done: true };
        let own = BTreeMap::from([(endpoint(), walk.clone())]);
        let course = Course { looked_at: 3, own, main: walk, ..Course::default() };
        let text = serde_json::to_string(&course).unwrap();
        assert_eq!(serde_json::from_str::<Course>(&text).unwrap(), course);
    }

    #[test]
    fn who_stands_still_is_left_behind_and_served_in_turn() {
        let mut course = Course::default();
        let ids: Vec<EndpointId> =
            (0..5).map(|n| EndpointId::new(Timestamp(n), &Entropy::seeded(3))).collect();
        let now = Timestamp(1_000);
        assert!(!course.is_behind(ids[0], now));
        assert!(!course.is_behind(ids[0], now.plus_ms(PATIENCE_MS - 1)));
        assert!(!course.is_behind(ids[1], now.plus_ms(PATIENCE_MS)), "another one");
        assert!(course.is_behind(ids[1], now.plus_ms(2 * PATIENCE_MS)));
        for id in &ids {
            course.own.insert(*id, Walk { is_done: *id == ids[2], ..Walk::default() });
        }
        let mut served = Vec::new();
        for _ in 0..3 {
            let next = course.next_served(2);
            course.served = next.last().copied();
            served.extend(next);
        }
        assert_eq!(served, [ids[0], ids[1], ids[3], ids[4], ids[0], ids[1]]);
    }

    #[test]
    fn selections_take_patterns() {
        let app = AppId::new(Timestamp(5), &Entropy::seeded(3));
        let mut selection = Selection::new(app, Timestamp(1), Timestamp(2));
        assert!(selection.wants("a", &[], &[]));
        selection.event_types = vec!["contact.*".to_owned(), "x".to_owned()];
        assert!(selection.wants("contact.created", &[], &[]) && selection.wants("x", &[], &[]));
        assert!(!selection.wants("contacts", &[], &[]));
        selection.tag = Some("vip".to_owned());
        assert!(!selection.wants("x", &["vip".to_owned()], &[]));
    }
}
