//! Windows across changes of the clocks in two time zones, overlapping and recurring: what is
//! published before, within and after is started at exactly the computed moments.

use std::collections::HashMap;

use model::window::Scope;
use model::{EndpointId, MessageId, Timestamp};
use store::After;
use testkit::test_store::{Started, new_message};
use testkit::{TestStore, on_both};

use crate::windows::{insert, recurring};
use crate::world::{app_with_endpoint, raw, settle};

const MINUTE_MS: u64 = 60_000;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// When each endpoint is held, in plain words of UTC.
type Holds<'a> = [(EndpointId, Vec<(&'a str, &'a str)>)];

/// How long what was held may take to be drained, and how many start at once.
const DRAIN_MS: u64 = 1_000;
const DRAIN_RATE: u64 = 100;
const STEP: u64 = DRAIN_RATE / 5;

/// What was published when, and started when, of one endpoint.
type Starts = Vec<(Timestamp, Timestamp)>;

/// Outside of holds everything starts the moment it is published. What is held starts when the
/// hold ends, the oldest first, at no more than the rate of a drain; nothing overtakes it.
fn check_starts(starts: &Starts, holds: &[(&str, &str)]) {
    assert!(starts.is_sorted(), "something was overtaken");
    for (from, until) in holds.iter().map(|(from, until)| (at(from), at(until))) {
        let drained = until.plus_ms(DRAIN_MS);
        let held: Vec<_> =
            starts.iter().filter(|(published, _)| (from..drained).contains(published)).collect();
        assert!(held.len() > 4, "the hold from {from} was tried");
        assert_eq!(held[0].1.to_rfc3339(), until.to_rfc3339(), "held since {}", held[0].0);
        for (count, (published, start)) in (1..).zip(&held) {
            assert!((until..drained).contains(start), "{published} started at {start}");
            let allowed = STEP + start.since_ms(until) * DRAIN_RATE / 1_000;
            assert!(count <= allowed, "{count} had started at {start}");
        }
    }
    let is_held = |moment: Timestamp| {
        let holds = holds.iter().map(|(from, until)| at(from)..at(until).plus_ms(DRAIN_MS));
        holds.into_iter().any(|hold| hold.contains(&moment))
    };
    for (published, start) in starts.iter().filter(|(published, _)| !is_held(*published)) {
        assert_eq!(start, published, "nothing held {published}");
    }
}

/// Publishes every 20 minutes, and at the edges of each hold, and lets time pass as a deliverer
/// would. Nothing else moves the windows on.
async fn check(db: &TestStore, app: model::AppId, from: &str, until: &str, holds: &Holds<'_>) {
    let (from, until) = (at(from), at(until));
    let mut published = Vec::new();
    let mut next = from;
    while next < until {
        published.push(next);
        next = next.plus_ms(20 * MINUTE_MS);
    }
    for (from, until) in holds.iter().flat_map(|(_, holds)| holds) {
        for edge in [at(from), at(until)] {
            published.extend([edge.minus_ms(1), edge, edge.plus_ms(1)]);
        }
    }
    published.sort();
    published.dedup();
    let mut started = db.started();
    let mut by_message: HashMap<MessageId, Timestamp> = HashMap::new();
    let mut starts: HashMap<EndpointId, Starts> = HashMap::new();
    let mut count = 0;
    let mut waiting = published.iter().copied().peekable();
    let mut due = None;
    while count < published.len() * holds.len() {
        let next = [waiting.peek().copied(), due].into_iter().flatten().min().expect("all start");
        db.clock.advance_to(next);
        if waiting.next_if_eq(&db.clock.now()).is_some() {
            let message = db.ingest(new_message(app)).await.unwrap();
            by_message.insert(message.id, next);
        }
        due = db.claim().await.unwrap().next_due;
        for lease in leased(db, &mut started).await {
            let endpoint = lease.route.endpoint.id;
            let published = by_message[&lease.envelope.message_id];
            starts.entry(endpoint).or_default().push((published, db.clock.now()));
            assert!(settle(db, &lease, 204, After::Succeeded).await);
            count += 1;
        }
        due = due.filter(|due| *due > db.clock.now());
    }
    for (endpoint, holds) in holds {
        check_starts(&starts[endpoint], holds);
    }
}

/// Everything that is under way, once it was handed over.
async fn leased(db: &TestStore, started: &mut Started) -> Vec<store::Lease> {
    let count: i64 = raw(db, "select count(*) from delivery where state = 1").await;
    let mut leases = Vec::new();
    for _ in 0..count {
        leases.push(started.next().await);
    }
    leases
}

on_both! {
    async fn when_clocks_go_forward(db: TestStore) {
        db.clock.advance_to(at("2027-03-26T12:00:00Z"));
        let (app, one) = app_with_endpoint(&db).await;
        let two = db.endpoint(app).await;
        insert(&db, Scope::Instance, recurring("30 2 * * *", 90, "Europe/Berlin")).await;
        insert(&db, Scope::App(app), recurring("0 22 * * SAT", 120, "America/New_York")).await;
        let last = model::window::Plan::once(at("2027-03-28T03:30:00Z"), at("2027-03-28T05:00:00Z"));
        insert(&db, Scope::Endpoints(app, vec![two]), last.unwrap()).await;
        let friday = ("2027-03-27T01:30:00Z", "2027-03-27T03:00:00Z");
        // 02:30 was left out in Berlin; it happens at 03:00 there, and lasts for 90 minutes,
        // into the evening of New York, which has had its summer time for two weeks.
        let saturday = ("2027-03-28T01:00:00Z", "2027-03-28T04:00:00Z");
        let with_once = ("2027-03-28T01:00:00Z", "2027-03-28T05:00:00Z");
        let sunday = ("2027-03-29T00:30:00Z", "2027-03-29T02:00:00Z");
        let holds = [(one, vec![friday, saturday, sunday]), (two, vec![friday, with_once, sunday])];
        check(&db, app, "2027-03-26T12:00:00Z", "2027-03-29T06:00:00Z", &holds).await;
    }

    async fn when_clocks_go_back(db: TestStore) {
        db.clock.advance_to(at("2027-11-06T00:00:00Z"));
        let (app, one) = app_with_endpoint(&db).await;
        insert(&db, Scope::App(app), recurring("30 1 * * *", 60, "America/New_York")).await;
        insert(&db, Scope::Instance, recurring("0 7 * * *", 30, "Europe/Berlin")).await;
        let holds = [(one, vec![
            ("2027-11-06T05:30:00Z", "2027-11-06T06:30:00Z"),
            // 01:30 came twice in New York; the first counts. Berlin's 07:00 falls into it.
            ("2027-11-07T05:30:00Z", "2027-11-07T06:30:00Z"),
            // From here on New York begins when Berlin has just ended.
            ("2027-11-08T06:00:00Z", "2027-11-08T07:30:00Z"),
        ])];
        check(&db, app, "2027-11-06T00:00:00Z", "2027-11-08T12:00:00Z", &holds).await;
    }

    async fn in_berlins_own_autumn(db: TestStore) {
        db.clock.advance_to(at("2027-10-30T00:00:00Z"));
        let (app, one) = app_with_endpoint(&db).await;
        insert(&db, Scope::Instance, recurring("30 2 * * *", 45, "Europe/Berlin")).await;
        let holds = [(one, vec![
            ("2027-10-30T00:30:00Z", "2027-10-30T01:15:00Z"),
            ("2027-10-31T00:30:00Z", "2027-10-31T01:15:00Z"),
            ("2027-11-01T01:30:00Z", "2027-11-01T02:15:00Z"),
        ])];
        check(&db, app, "2027-10-30T00:00:00Z", "2027-11-01T06:00:00Z", &holds).await;
    }
}
