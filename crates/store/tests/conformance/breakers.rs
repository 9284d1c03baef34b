use model::breaker::{Event, Figures, Override, State, Thresholds, Trip};
use model::delivery::State as DeliveryState;
use model::{AppId, EndpointId, Timestamp};
use store::{After, AuditQuery, BreakerOf, Gate, Hold, LEASE_MS, Store};
use testkit::by;
use testkit::test_store::Started;
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, delivery_of, pages, publish, raw, settle};

fn trip() -> Trip {
    let figures = Figures { attempts: 12, failures: 10, ..Figures::default() };
    Trip { reason: "10 attempts in a row failed".to_owned(), figures }
}

/// Lets an event that began in this era move a breaker; answers the state it is in then, if it did.
async fn moved(
    db: &TestStore,
    store: &Store,
    (app, endpoint): (AppId, EndpointId),
    era: i64,
    event: Event,
) -> Option<State> {
    let endpoint = db.endpoint_in_app(app, endpoint.as_str()).await.unwrap().unwrap();
    let thresholds = Thresholds { jitter_percent: 0, ..Thresholds::default() };
    let of = BreakerOf { endpoint: &endpoint, thresholds: &thresholds, era: Some(era), by: None };
    store.move_breaker(&of, event).await.unwrap().map(|breaker| breaker.state)
}

async fn by_hand(db: &TestStore, (app, endpoint): (AppId, EndpointId), event: Event) -> bool {
    let endpoint = db.endpoint_in_app(app, endpoint.as_str()).await.unwrap().unwrap();
    let thresholds = Thresholds::default();
    let actor = by();
    let of =
        BreakerOf { endpoint: &endpoint, thresholds: &thresholds, era: None, by: Some(&actor) };
    db.move_breaker(&of, event).await.unwrap().is_some()
}

/// Settles what is leased and answers how many that were.
async fn settle_all(db: &TestStore, started: &mut Started) -> usize {
    let leases = started.now();
    for lease in &leases {
        assert!(settle(db, lease, 200, After::Succeeded).await);
    }
    leases.len()
}

on_both! {
    async fn an_open_breaker_holds_and_probes_one_at_a_time(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        assert_eq!(moved(&db, &db, of, 0, Event::Tripped(trip())).await, Some(State::Open));
        let until = db.clock.now().plus_ms(30_000);
        publish(&db, of.0, 5).await;
        assert!(started.now().is_empty(), "nothing fresh is started");
        assert_eq!(db.hold_of(of.1).await.unwrap(), Some(until));
        assert_eq!(db.claim().await.unwrap().next_due, Some(until));
        db.advance_ms(30_000);
        let other = db.reopen().await;
        let mut started_there = Started::of(&other);
        assert_eq!(db.claim().await.unwrap().count, 1);
        let probe = started.next().await;
        assert!(probe.probe && probe.route.gate(db.clock.now()) == Gate::Probe);
        assert_eq!((db.claim().await.unwrap().count, other.claim().await.unwrap().count), (0, 0));
        assert_eq!(moved(&db, &db, of, 1, Event::Probing).await, Some(State::HalfOpen));
        assert_eq!(moved(&db, &other, of, 1, Event::Probing).await, None, "it is already");
        assert!(settle(&db, &probe, 500, After::RetryAt(db.clock.now().plus_ms(5_000))).await);
        assert_eq!(moved(&db, &db, of, 1, Event::ProbeFailed(trip())).await, Some(State::Open));
        let until = db.clock.now().plus_ms(60_000);
        assert_eq!(db.hold_of(of.1).await.unwrap(), Some(until), "twice as long");
        db.advance_ms(60_000);
        assert_eq!(other.claim().await.unwrap().count, 1, "any process may probe");
        let probe = started_there.next().await;
        assert_eq!(probe.attempts, 0, "the oldest that is due, not the one that failed");
        assert_eq!(moved(&db, &other, of, 2, Event::Probing).await, Some(State::HalfOpen));
        assert_eq!(moved(&db, &other, of, 1, Event::ProbeSucceeded).await, None, "an earlier era");
        assert_eq!(moved(&db, &other, of, 2, Event::ProbeSucceeded).await, Some(State::Closed));
        // The probe counts for the rate of what follows.
        assert_eq!(db.claim().await.unwrap().count, 0);
        db.advance_ms(200);
        assert!(db.claim().await.unwrap().count > 0);
        settle_all(&db, &mut started).await;
        let states: Vec<_> = db.breaker_changes(of.0, of.1).await.unwrap();
        let states: Vec<_> = states.iter().rev().map(|change| (change.from, change.to)).collect();
        let (closed, open, half) = (State::Closed, State::Open, State::HalfOpen);
        assert_eq!(
            states,
            [(closed, open), (open, half), (half, open), (open, half), (half, closed)]
        );
        other.close().await;
    }

    async fn a_probe_that_is_lost_is_followed_by_another(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        moved(&db, &db, of, 0, Event::Tripped(trip())).await;
        publish(&db, of.0, 3).await;
        db.advance_ms(30_000);
        assert_eq!(db.claim().await.unwrap().count, 1);
        let lost = started.next().await;
        db.abandon(&lost);
        assert_eq!(db.claim().await.unwrap().count, 0, "other processes cannot know");
        db.advance_ms(LEASE_MS);
        assert_eq!(db.claim().await.unwrap().count, 1);
        let probe = started.next().await;
        // It says nothing of the endpoint: another goes out at once.
        assert!(db.settle(probe.settlement(None, After::Released)).await.unwrap());
        db.probe_again(of.0, of.1).await.unwrap();
        assert_eq!(db.claim().await.unwrap().count, 1);
    }

    async fn processes_agree(db: TestStore) {
        let of = app_with_endpoint(&db).await;
        let other = db.reopen().await;
        let (one, two) = tokio::join!(
            moved(&db, &db, of, 0, Event::Tripped(trip())),
            moved(&db, &other, of, 0, Event::Tripped(trip())),
        );
        assert_eq!([one, two].iter().flatten().count(), 1, "one of them opens it");
        let breaker = other.breaker_of(of.0, of.1).await.unwrap();
        assert_eq!((breaker.version, breaker.era, breaker.opened_times), (1, 1, 1));
        assert_eq!(breaker.figures.failures, 10);
        other.close().await;
    }

    async fn by_hand_it_is_open_until_somebody_closes_it(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        let close = || Event::ClosedByHand { reason: "mended".to_owned() };
        assert!(!by_hand(&db, of, close()).await, "it is closed");
        let open = Event::OpenedByHand { until: Timestamp::NEVER, reason: "wait".to_owned() };
        assert!(by_hand(&db, of, open).await);
        publish(&db, of.0, 4).await;
        db.advance_ms(1_000_000_000);
        assert_eq!(db.claim().await.unwrap().next_due, None);
        // Saving the endpoint does not close it.
        db.change(of.0, of.1, |endpoint| endpoint.description = "changed".to_owned()).await;
        assert_eq!(db.claim().await.unwrap().count, 0);
        assert!(by_hand(&db, of, close()).await);
        assert_eq!(db.claim().await.unwrap().count, 4);
        assert!(!started.next().await.probe);
        let log = AuditQuery {
            page: pages(50),
            action: None,
            target: None,
            app: None,
            actor: None,
            since: None,
            until: None,
        };
        let log = db.audit_log(&log).await.unwrap().data;
        let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
        assert!(actions.contains(&"breaker.open") && actions.contains(&"breaker.close"));
        let changes = db.breaker_changes(of.0, of.1).await.unwrap();
        assert_eq!(changes[0].actor.as_deref(), Some(by().name.as_str()));
        assert_eq!((changes[0].reason.as_str(), changes.len()), ("mended", 2));
    }

    async fn a_pause_and_a_breaker_do_not_undo_each_other(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        let now = db.clock.now();
        moved(&db, &db, of, 0, Event::Tripped(trip())).await;
        publish(&db, of.0, 2).await;
        db.change(of.0, of.1, |endpoint| endpoint.paused_at = Some(now)).await;
        db.advance_ms(30_000);
        assert_eq!(db.claim().await.unwrap().count, 0, "paused");
        db.change(of.0, of.1, |endpoint| endpoint.paused_at = None).await;
        assert_eq!(db.claim().await.unwrap().count, 1, "a probe");
        db.change(of.0, of.1, |endpoint| endpoint.paused_at = Some(now)).await;
        moved(&db, &db, of, 1, Event::Probing).await;
        let due = db.clock.now().plus_ms(1_000);
        assert!(settle(&db, &started.next().await, 500, After::RetryAt(due)).await);
        moved(&db, &db, of, 1, Event::ProbeFailed(trip())).await;
        db.advance_ms(3_600_000);
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.next_due), (0, None), "paused still");
        db.change(of.0, of.1, |endpoint| endpoint.paused_at = None).await;
        assert_eq!(db.claim().await.unwrap().count, 1);
    }

    async fn the_gate_says_why(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        publish(&db, of.0, 1).await;
        let lease = started.next().await;
        assert_eq!(lease.route.gate(db.clock.now()), Gate::Open);
        assert!(settle(&db, &lease, 200, After::Succeeded).await);
        moved(&db, &db, of, 0, Event::Tripped(trip())).await;
        publish(&db, of.0, 1).await;
        let now = db.advance_ms(30_000);
        db.claim().await.unwrap();
        let route = started.next().await.route;
        let (until, why) = (now, Hold::Breaker);
        assert_eq!(route.gate(now.minus_ms(1)), Gate::Held { until, why });
        assert_eq!(route.gate(now), Gate::Probe);
        assert_eq!(why.as_str(), "breaker");
    }

    async fn thresholds_are_taken_from_the_narrowest(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        let defaults = Thresholds::default();
        assert_eq!(db.app_thresholds(of.0).await.unwrap().in_effect, defaults);
        let for_app = Override { probes: Some(3), open_ms: Some(5_000), ..Override::default() };
        db.set_thresholds(of.0, None, &for_app, &by()).await.unwrap();
        let own = Override { probes: Some(2), ..Override::default() };
        db.set_thresholds(of.0, Some(of.1), &own, &by()).await.unwrap();
        let found = db.endpoint_thresholds(of.0, of.1).await.unwrap();
        assert_eq!(found.own, own);
        assert_eq!((found.in_effect.probes, found.in_effect.open_ms), (2, 5_000));
        publish(&db, of.0, 1).await;
        let route = started.next().await.route;
        assert_eq!(*route.thresholds, found.in_effect);
        db.set_thresholds(of.0, Some(of.1), &Override::default(), &by()).await.unwrap();
        assert_eq!(db.endpoint_thresholds(of.0, of.1).await.unwrap().in_effect.probes, 3);
        let elsewhere = db.app().await;
        assert_eq!(db.endpoint_thresholds(elsewhere, of.1).await.unwrap().in_effect, defaults);
    }

    async fn as_many_probes_as_are_asked_for(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        let own = Override { probes: Some(3), ..Override::default() };
        db.set_thresholds(of.0, Some(of.1), &own, &by()).await.unwrap();
        moved(&db, &db, of, 0, Event::Tripped(trip())).await;
        publish(&db, of.0, 10).await;
        db.advance_ms(30_000);
        assert_eq!(db.claim().await.unwrap().count, 3);
        assert!(started.now().iter().all(|lease| lease.probe));
    }

    async fn history_is_pruned_and_goes_with_its_endpoint(db: TestStore) {
        let of = app_with_endpoint(&db).await;
        for _ in 0..3 {
            let until = db.clock.now().plus_ms(1);
            by_hand(&db, of, Event::OpenedByHand { until, reason: "x".to_owned() }).await;
            db.advance_ms(1_000);
        }
        let before = db.clock.now().minus_ms(1_500);
        assert!(!db.prune_breaker_changes(before).await.unwrap());
        assert_eq!(db.breaker_changes(of.0, of.1).await.unwrap().len(), 1);
        let elsewhere = db.app().await;
        assert!(db.breaker_changes(elsewhere, of.1).await.unwrap().is_empty());
        assert_eq!(db.breaker_of(elsewhere, of.1).await.unwrap().version, 0);
        assert_eq!(db.breaker_that_holds(of.0, of.1).await.unwrap().unwrap().version, 3);
        let own = Override { probes: Some(3), ..Override::default() };
        db.set_thresholds(of.0, Some(of.1), &own, &by()).await.unwrap();
        assert!(db.delete_endpoint(of.0, of.1, &by()).await.unwrap());
        let left = "select (select count(*) from breaker) + (select count(*) from breaker_change) \
            + (select count(*) from breaker_threshold)";
        assert_eq!(raw::<i64>(&db, left).await, 0);
        let again = app_with_endpoint(&db).await;
        moved(&db, &db, again, 0, Event::Tripped(trip())).await;
        db.set_thresholds(again.0, None, &own, &by()).await.unwrap();
        assert!(db.delete_app(again.0, &by()).await.unwrap());
        assert_eq!(raw::<i64>(&db, left).await, 0);
    }

    async fn what_was_under_way_is_settled_as_ever(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        publish(&db, of.0, 2).await;
        let leases = [started.next().await, started.next().await];
        moved(&db, &db, of, 0, Event::Tripped(trip())).await;
        let later = db.clock.now().plus_ms(5_000);
        assert!(settle(&db, &leases[0], 200, After::Succeeded).await);
        assert!(settle(&db, &leases[1], 500, After::RetryAt(later)).await);
        let row = delivery_of(&db, of.0, &leases[1]).await.delivery;
        assert_eq!((row.state, row.due_at, row.attempts), (DeliveryState::Queued, later, 1));
        db.advance_ms(5_000);
        assert_eq!(db.claim().await.unwrap().count, 0, "not before the breaker lets it");
        db.advance_ms(25_000);
        assert_eq!(db.claim().await.unwrap().count, 1);
        assert_eq!(started.next().await.attempts, 1);
    }

    async fn it_is_announced(db: TestStore) {
        let mut started = db.started();
        let of = app_with_endpoint(&db).await;
        let app = db.app_with(|app| app.uid = Some("operations".to_owned())).await;
        let ear = db.endpoint(app).await;
        moved(&db, &db, of, 0, Event::Tripped(trip())).await;
        let lease = started.next().await;
        assert_eq!(lease.route.endpoint.id, ear);
        assert_eq!(lease.envelope.event_type, "endpoint.breaker.opened");
        by_hand(&db, of, Event::ClosedByHand { reason: "mended".to_owned() }).await;
        let lease = started.next().await;
        assert_eq!(lease.envelope.event_type, "endpoint.breaker.closed");
        let payload = lease.envelope.payload.clone().unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["data"]["endpointId"], of.1.as_str());
        assert_eq!(payload["data"]["byHand"], true);
    }
}
