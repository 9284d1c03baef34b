//! Maintenance windows: kept, changed, and what they hold.

use model::window::{Interval, MAX_WINDOWS, Plan, RecurrenceParts, Scope, Window};
use model::{AppId, Timestamp, WindowId};
use serde_json::{Value, json};
use store::operations::OPERATIONS_UID;
use store::{After, AuditQuery, MessageQuery, PageQuery, Store};
use testkit::test_store::{Started, new_message};
use testkit::{START, TestStore, by, on_both};

use crate::world::{ODD, app_with_endpoint, claim_all, keys, pages, publish, settle, walk};

const MINUTE_MS: u64 = 60_000;

pub fn window(db: &TestStore, scope: Scope, plan: Plan) -> Window {
    let now = db.clock.now();
    Window {
        id: WindowId::new(now, &db.entropy),
        scope,
        name: "upgrade".to_owned(),
        reason: String::new(),
        plan,
        enabled: true,
        ended_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// From so many minutes after the start of the test's clock until so many.
fn once(from: u64, until: u64) -> Plan {
    let at = |minutes| START.plus_ms(minutes * MINUTE_MS);
    Plan::once(at(from), at(until)).unwrap()
}

pub fn recurring(cron: &str, duration_minutes: u32, time_zone: &str) -> Plan {
    let parts = RecurrenceParts {
        cron: cron.to_owned(),
        duration_minutes,
        time_zone: time_zone.to_owned(),
        from: None,
        until: None,
    };
    Plan::recurring(parts).unwrap()
}

pub async fn insert(db: &TestStore, scope: Scope, plan: Plan) -> Window {
    let window = window(db, scope, plan);
    assert!(db.insert_window(&window, &by()).await.unwrap());
    window
}

fn at_minute(db: &TestStore, minutes: u64) {
    db.clock.advance_to(START.plus_ms(minutes * MINUTE_MS));
}

/// Whether a new message starts at once. What starts is settled.
async fn starts(db: &TestStore, store: &Store, started: &mut Started, app: AppId) -> bool {
    store.ingest(new_message(app)).await.unwrap();
    claim_all(db).await;
    let leases = started.now();
    for lease in &leases {
        assert!(settle(db, lease, 204, After::Succeeded).await);
    }
    !leases.is_empty()
}

async fn claim_all_of(store: &Store) {
    while store.claim().await.unwrap().count > 0 {}
}

async fn count_of_audit(db: &TestStore, action: &str) -> usize {
    let query =
        AuditQuery { page: pages(250), action: Some(action.to_owned()), ..AuditQuery::default() };
    db.audit_log(&query).await.unwrap().data.len()
}

/// What was said in the operations app: type and data, oldest first.
async fn said(db: &TestStore, operations: AppId) -> Vec<(String, Value)> {
    let query = MessageQuery { with_content: true, page: pages(250), ..MessageQuery::default() };
    let messages = db.messages_in_app(operations, &query).await.unwrap().data;
    let read = |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap();
    messages
        .into_iter()
        .map(|message| (message.event_type, read(&message.payload.unwrap())["data"].clone()))
        .collect()
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let other = db.app().await;
        let scopes = [Scope::Instance, Scope::App(app), Scope::Endpoints(app, vec![endpoint])];
        let plans = [once(5, 9), recurring("0 2 * * SUN", 90, "Europe/Berlin"), once(1, 2)];
        for (scope, plan) in scopes.into_iter().zip(plans) {
            let mut made = window(&db, scope, plan);
            made.name = ODD.replace('\0', "");
            made.reason = ODD.to_owned();
            assert!(db.insert_window(&made, &by()).await.unwrap());
            let owner = made.scope.app_id();
            assert_eq!(db.window(owner, made.id).await.unwrap().as_ref(), Some(&made));
            for stranger in [Some(other), owner.map_or(Some(app), |_| None)] {
                assert_eq!(db.window(stranger, made.id).await.unwrap(), None);
                assert!(!db.delete_window(stranger, made.id, &by()).await.unwrap());
            }
            made.name = "changed".to_owned();
            made.plan = recurring("*/30 * * * *", 29, "America/New_York");
            made.enabled = false;
            made.ended_at = Some(Timestamp(7));
            made.updated_at = START.plus_ms(5);
            assert!(db.update_window(&made, &by()).await.unwrap());
            assert_eq!(db.window(owner, made.id).await.unwrap().as_ref(), Some(&made));
            assert!(db.delete_window(owner, made.id, &by()).await.unwrap());
            assert!(!db.update_window(&made, &by()).await.unwrap());
            assert_eq!(db.window(owner, made.id).await.unwrap(), None);
        }
        for action in ["window.create", "window.update", "window.delete"] {
            assert_eq!(count_of_audit(&db, action).await, 3, "{action}");
        }
    }

    async fn lists_are_of_one_app_or_of_the_instance(db: TestStore) {
        let app = db.app().await;
        insert(&db, Scope::App(db.app().await), once(1, 2)).await;
        for owner in [None, Some(app)] {
            let mut expected = Vec::new();
            for _ in 0..7 {
                let scope = owner.map_or(Scope::Instance, Scope::App);
                expected.push(insert(&db, scope, once(1, 2)).await.id.to_string());
            }
            expected.sort();
            walk(&expected, async |query| {
                keys(db.windows(owner, &query).await.unwrap(), |window| window.id.to_string())
            })
            .await;
        }
        assert!(db.delete_app(app, &by()).await.unwrap());
        let left = db.windows(Some(app), &PageQuery::default()).await.unwrap();
        assert!(left.data.is_empty(), "they go with their app");
    }

    async fn there_is_a_limit(db: TestStore) {
        let app = db.app().await;
        for _ in 0..MAX_WINDOWS {
            insert(&db, Scope::App(app), once(1, 2)).await;
        }
        let scopes = [(Scope::App(app), false), (Scope::Instance, true)];
        for (scope, expected) in scopes {
            let one_more = window(&db, scope, once(1, 2));
            assert_eq!(db.insert_window(&one_more, &by()).await.unwrap(), expected);
        }
    }

    async fn it_holds_from_its_first_millisecond_to_its_last(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        assert!(starts(&db, &db, &mut started, app).await, "the routes are in memory");
        insert(&db, Scope::Instance, once(10, 20)).await;
        db.clock.advance_to(START.plus_ms(10 * MINUTE_MS - 1));
        assert!(starts(&db, &db, &mut started, app).await);
        at_minute(&db, 10);
        assert!(!starts(&db, &db, &mut started, app).await);
        db.clock.advance_to(START.plus_ms(20 * MINUTE_MS - 1));
        assert!(!starts(&db, &db, &mut started, app).await);
        let end = START.plus_ms(20 * MINUTE_MS);
        assert_eq!(db.hold_of(endpoint).await.unwrap(), Some(end));
        assert_eq!(db.claim().await.unwrap().next_due, Some(end), "whoever waits knows until when");
        at_minute(&db, 20);
        assert_eq!(claim_all(&db).await, 2, "no chore has run");
        for lease in started.now() {
            assert_eq!(lease.attempts, 0, "no attempt was burnt");
        }
    }

    async fn it_holds_whom_it_concerns(db: TestStore) {
        let mut started = db.started();
        let (app, held) = app_with_endpoint(&db).await;
        let free = db.endpoint(app).await;
        let (neighbour, _) = app_with_endpoint(&db).await;
        insert(&db, Scope::Endpoints(app, vec![held]), once(0, 20)).await;
        publish(&db, app, 1).await;
        claim_all(&db).await;
        let who: Vec<_> = started.now().iter().map(|lease| lease.route.endpoint.id).collect();
        assert_eq!(who, [free]);
        assert!(db.window_hold(app, free).await.unwrap().is_none());
        let hold = db.window_hold(app, held).await.unwrap().unwrap();
        assert_eq!((hold.windows.len(), hold.until), (1, START.plus_ms(20 * MINUTE_MS)));
        insert(&db, Scope::App(app), once(20, 30)).await;
        let hold = db.window_hold(app, held).await.unwrap().unwrap();
        assert_eq!((hold.windows.len(), hold.until), (1, START.plus_ms(30 * MINUTE_MS)));
        assert!(starts(&db, &db, &mut started, neighbour).await);
        at_minute(&db, 25);
        db.endpoint(app).await;
        assert!(!starts(&db, &db, &mut started, app).await, "one that is new is held, too");
        assert!(starts(&db, &db, &mut started, neighbour).await);
    }

    async fn a_change_by_another_process_is_seen_by_the_next_message(db: TestStore) {
        let other = db.reopen().await;
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        assert!(starts(&db, &db, &mut started, app).await);
        for scope in [Scope::Instance, Scope::App(app)] {
            let mut window = window(&db, scope, once(0, 20));
            assert!(other.insert_window(&window, &by()).await.unwrap());
            assert!(!starts(&db, &db, &mut started, app).await);
            window.enabled = false;
            assert!(other.update_window(&window, &by()).await.unwrap());
            assert!(starts(&db, &db, &mut started, app).await);
            window.enabled = true;
            assert!(other.update_window(&window, &by()).await.unwrap());
            assert!(!starts(&db, &db, &mut started, app).await);
            let owner = window.scope.app_id();
            assert!(other.delete_window(owner, window.id, &by()).await.unwrap());
            assert!(starts(&db, &db, &mut started, app).await);
        }
        other.close().await;
    }

    async fn one_that_is_active_is_extended_and_ended(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        for scope in [Scope::Instance, Scope::App(app), Scope::Endpoints(app, vec![endpoint])] {
            let from = db.clock.now().since_ms(START) / MINUTE_MS;
            let mut window = insert(&db, scope, once(from, from + 10)).await;
            assert!(!starts(&db, &db, &mut started, app).await);
            window.plan = once(from, from + 20);
            assert!(db.update_window(&window, &by()).await.unwrap());
            at_minute(&db, from + 10);
            assert_eq!(claim_all(&db).await, 0, "it was extended");
            assert!(window.end(db.clock.now()));
            assert!(db.update_window(&window, &by()).await.unwrap());
            assert_eq!(claim_all(&db).await, 1, "it was ended");
            for lease in started.now() {
                assert!(settle(&db, &lease, 204, After::Succeeded).await);
            }
        }
        assert_eq!(count_of_audit(&db, "window.end").await, 3);
    }

    async fn what_else_holds_goes_on_holding(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let mut window = insert(&db, Scope::App(app), once(0, 10)).await;
        publish(&db, app, 1).await;
        assert_eq!(claim_all(&db).await, 0);
        db.change(app, endpoint, |endpoint| endpoint.paused_at = Some(START)).await;
        assert!(window.end(START));
        assert!(db.update_window(&window, &by()).await.unwrap());
        assert_eq!(claim_all(&db).await, 0, "it is paused");
        at_minute(&db, 5);
        insert(&db, Scope::App(app), once(5, 10)).await;
        db.change(app, endpoint, |endpoint| endpoint.paused_at = None).await;
        assert_eq!(claim_all(&db).await, 0, "another window has begun");
        at_minute(&db, 10);
        assert_eq!(claim_all(&db).await, 1);
    }

    async fn retries_wait_without_being_burnt(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        insert(&db, Scope::App(app), once(1, 10)).await;
        publish(&db, app, 1).await;
        let lease = started.next().await;
        let due = START.plus_ms(2 * MINUTE_MS);
        assert!(settle(&db, &lease, 503, After::RetryAt(due)).await);
        db.clock.advance_to(due);
        assert_eq!(claim_all(&db).await, 0);
        at_minute(&db, 10);
        assert_eq!(claim_all(&db).await, 1);
        assert_eq!(started.next().await.attempts, 1);
    }

    async fn what_piled_up_is_drained_at_its_rate(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        insert(&db, Scope::Instance, once(0, 10)).await;
        let n = 150;
        publish(&db, app, n).await;
        assert_eq!(claim_all(&db).await, 0);
        at_minute(&db, 10);
        let store = db
            .reopen_with(|options| {
                (options.max_in_flight, options.endpoint_max_in_flight) = (500, 400);
            })
            .await;
        let mut started = Started::of(&store);
        let end = db.clock.now();
        let mut count = 0;
        while count < n {
            let claimed = store.claim().await.unwrap();
            for _ in 0..claimed.count {
                let lease = started.next().await;
                assert!(store.settle(lease.settlement(None, After::Succeeded)).await.unwrap());
            }
            count += claimed.count;
            let allowed = 20 + usize::try_from(db.clock.now().since_ms(end)).unwrap() / 10;
            assert!(count <= allowed, "{count} where {allowed} were allowed");
            db.clock.advance_to(claimed.next_due.unwrap_or_default());
        }
        let took_ms = db.clock.now().since_ms(end);
        assert!((1_300..=1_700).contains(&took_ms), "{n} took {took_ms} ms");
        store.ingest(new_message(app)).await.unwrap();
        // Nothing is left to drain: the next look finds it so, and what is new starts at once.
        claim_all_of(&store).await;
        db.advance_ms(1_000);
        started.now();
        store.ingest(new_message(app)).await.unwrap();
        started.next().await;
        store.close().await;
    }

    async fn starts_and_ends_are_said_once_by_however_many(db: TestStore) {
        let other = db.reopen().await;
        let operations = db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        let app = db.app_with(|app| app.uid = Some("crm".to_owned())).await;
        let window = insert(&db, Scope::App(app), recurring("30 8,9 * * *", 15, "UTC")).await;
        assert_eq!(db.advance_windows().await.unwrap(), 0, "nothing has happened");
        let mut moved = 0;
        for minutes in [30, 44, 45, 90, 105] {
            at_minute(&db, minutes);
            for _ in 0..2 {
                let (one, two) = tokio::join!(db.advance_windows(), other.advance_windows());
                moved += one.unwrap() + two.unwrap();
            }
        }
        assert_eq!(moved, 4, "each was moved by one node");
        let said = said(&db, operations).await;
        let types: Vec<&str> = said.iter().map(|(event_type, _)| event_type.as_str()).collect();
        assert_eq!(types, ["window.started", "window.ended", "window.started", "window.ended"]);
        assert_eq!(said[3].1, json!({
            "windowId": window.id, "appId": app, "appUid": "crm", "endpointIds": null,
            "name": "upgrade", "reason": "",
            "startsAt": "2026-11-24T09:30:00.000Z", "endsAt": "2026-11-24T09:45:00.000Z",
        }));
        other.close().await;
    }

    async fn what_was_missed_is_said_and_passed_over(db: TestStore) {
        let operations = db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        insert(&db, Scope::Instance, recurring("30 8 * * *", 15, "UTC")).await;
        insert(&db, Scope::Instance, once(5, 6)).await;
        // Nobody was there for four days.
        at_minute(&db, 4 * 24 * 60);
        assert_eq!(db.advance_windows().await.unwrap(), 2);
        assert_eq!(db.advance_windows().await.unwrap(), 0);
        assert_eq!(said(&db, operations).await.len(), 4);
        at_minute(&db, 4 * 24 * 60 + 30);
        assert_eq!(db.advance_windows().await.unwrap(), 1, "the next one is not missed");
        assert_eq!(said(&db, operations).await.len(), 5);
    }

    async fn one_that_is_ended_or_deleted_is_said_to_have_ended(db: TestStore) {
        let operations = db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        for how in 0..4 {
            let from = db.clock.now().since_ms(START) / MINUTE_MS;
            let before = said(&db, operations).await.len();
            let mut window = insert(&db, Scope::Instance, once(from, from + 10)).await;
            assert_eq!(db.advance_windows().await.unwrap(), 1);
            at_minute(&db, from + 5);
            match how {
                0 => assert!(window.end(db.clock.now())),
                1 => window.enabled = false,
                2 => window.plan = once(from + 50, from + 60),
                _ => assert!(db.delete_window(None, window.id, &by()).await.unwrap()),
            }
            if how < 3 {
                assert!(db.update_window(&window, &by()).await.unwrap());
                assert_eq!(db.advance_windows().await.unwrap(), 1);
            }
            let said = said(&db, operations).await;
            assert_eq!(said.len(), before + 2, "{how}");
            let (event_type, data) = said.last().unwrap();
            assert_eq!(event_type, "window.ended");
            assert_eq!(data["endsAt"], db.clock.now().to_rfc3339());
            assert!(db.delete_window(None, window.id, &by()).await.unwrap() == (how < 3));
            db.advance_ms(MINUTE_MS);
        }
    }

    async fn one_that_is_extended_is_said_to_end_once(db: TestStore) {
        let operations = db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        let mut window = insert(&db, Scope::Instance, once(0, 10)).await;
        assert_eq!(db.advance_windows().await.unwrap(), 1);
        window.plan = once(0, 20);
        assert!(db.update_window(&window, &by()).await.unwrap());
        at_minute(&db, 10);
        assert_eq!(db.advance_windows().await.unwrap(), 0);
        at_minute(&db, 20);
        assert_eq!(db.advance_windows().await.unwrap(), 1);
        let said = said(&db, operations).await;
        assert_eq!(said.len(), 2);
        let Interval { ends_at, .. } = Interval { starts_at: START, ends_at: db.clock.now() };
        assert_eq!(said[1].1["endsAt"], ends_at.to_rfc3339());
    }
}
