//! The failure budget, over simulated days.

use model::endpoint::DisabledReason;
use model::failing::{Failing, FailureBudget, Tally};
use model::{AppId, EndpointId, Timestamp};
use serde_json::{Value, json};
use store::operations::OPERATIONS_UID;
use store::{After, MessageQuery, Order, Outcomes, PageQuery, Store};
use testkit::{START, TestStore, by, on_both};

use crate::world::{app_with_endpoint, settled};

const HOUR_MS: u64 = 3_600_000;
const BUDGET: FailureBudget =
    FailureBudget { lasts_ms: 120 * HOUR_MS, failures: 3, apart_ms: 12 * HOUR_MS };

fn outcomes(app: AppId, endpoint: EndpointId, tally: Tally) -> Outcomes {
    [(endpoint, (app, tally))].into_iter().collect()
}

async fn fail(store: &Store, app: AppId, endpoint: EndpointId) {
    let mut tally = Tally::default();
    tally.failed(store.clock().now());
    store.note_outcomes(&outcomes(app, endpoint, tally), &BUDGET).await.unwrap();
}

async fn succeed(store: &Store, app: AppId, endpoint: EndpointId) {
    let mut tally = Tally::default();
    tally.succeeded(store.clock().now());
    store.note_outcomes(&outcomes(app, endpoint, tally), &BUDGET).await.unwrap();
}

/// Why the endpoint is disabled, if it is.
async fn disabled(db: &TestStore, app: AppId, endpoint: EndpointId) -> Option<DisabledReason> {
    let endpoint = db.endpoint_in_app(app, endpoint.as_str()).await.unwrap().unwrap();
    endpoint.disabled.map(|disabled| disabled.reason)
}

/// Fails every hour until it is disabled; answers how many hours that took.
async fn fail_until_disabled(db: &TestStore, app: AppId, endpoint: EndpointId) -> u64 {
    let start = db.clock.now();
    for _ in 0..1_000 {
        fail(db, app, endpoint).await;
        if disabled(db, app, endpoint).await.is_some() {
            return db.clock.now().since_ms(start) / HOUR_MS;
        }
        db.advance_ms(HOUR_MS);
    }
    panic!("it is never disabled");
}

/// What was said in the operations app, by moment and type.
pub async fn said(db: &TestStore, operations: AppId) -> Vec<Value> {
    let page = PageQuery { limit: 250, iterator: None, order: Order::Ascending };
    let query = MessageQuery { page, with_content: true, ..MessageQuery::default() };
    let messages = db.messages_in_app(operations, &query).await.unwrap().data;
    let body = |payload: Option<bytes::Bytes>| serde_json::from_slice(&payload.unwrap()).unwrap();
    let mut said: Vec<Value> = messages.into_iter().map(|message| body(message.payload)).collect();
    said.sort_by_key(|event| (event["timestamp"].to_string(), event["type"].to_string()));
    said
}

on_both! {
    async fn days_of_failure_are_warned_of_and_end_it(db: TestStore) {
        let operations = db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        let (app, endpoint) = app_with_endpoint(&db).await;
        assert_eq!(fail_until_disabled(&db, app, endpoint).await, 120);
        assert_eq!(disabled(&db, app, endpoint).await, Some(DisabledReason::Failing));
        // Late answers change nothing.
        fail(&db, app, endpoint).await;

        let at = |hours: u64| START.plus_ms(hours * HOUR_MS).to_rfc3339();
        let event = |name: &str, hour: u64, more: Value| {
            let mut data = json!({
                "appId": app, "appUid": null, "endpointId": endpoint, "endpointUid": null,
            });
            data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"type": name, "timestamp": at(hour), "data": data})
        };
        let warning = |percent: u32, hour: u64| {
            event("endpoint.failing", hour, json!({
                "failSince": at(0),
                "budgetUsedPercent": percent,
                "budgetEndsAt": at(120),
                "failures": hour + 1,
            }))
        };
        let end = json!({
            "failSince": at(0), "trigger": "automatic", "reason": "failing", "note": null,
        });
        let expected = [
            event("endpoint.created", 0, json!({})),
            warning(50, 60),
            warning(75, 90),
            event("endpoint.disabled", 120, end),
            warning(100, 120),
        ];
        assert_eq!(said(&db, operations).await, expected);
    }

    async fn a_burst_disables_nothing_however_old(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        for _ in 0..50 {
            fail(&db, app, endpoint).await;
        }
        db.advance_ms(500 * HOUR_MS);
        for _ in 0..50 {
            fail(&db, app, endpoint).await;
        }
        assert_eq!(disabled(&db, app, endpoint).await, None);
        let failing = db.failing(app, endpoint).await.unwrap().unwrap();
        let now = db.clock.now();
        let expected = Failing {
            since: START,
            last_failure_at: now,
            failures: 100,
            far_apart: 2,
            far_apart_at: now,
            warned: 100,
        };
        assert_eq!(failing, expected);
        // The third that is far from the others.
        db.advance_ms(12 * HOUR_MS);
        fail(&db, app, endpoint).await;
        assert_eq!(disabled(&db, app, endpoint).await, Some(DisabledReason::Failing));
    }

    async fn a_success_on_any_node_begins_anew(db: TestStore) {
        let other = db.reopen().await;
        let (app, endpoint) = app_with_endpoint(&db).await;
        for _ in 0..119 {
            fail(&db, app, endpoint).await;
            db.advance_ms(HOUR_MS);
        }
        assert_eq!(other.failing_endpoints().await.unwrap(), [endpoint]);
        succeed(&other, app, endpoint).await;
        assert_eq!(db.failing(app, endpoint).await.unwrap(), None);
        assert_eq!(db.failing_endpoints().await.unwrap(), []);
        succeed(&other, app, endpoint).await;
        db.advance_ms(1);
        assert_eq!(fail_until_disabled(&db, app, endpoint).await, 120);
        other.close().await;
    }

    async fn nodes_add_up_to_one_budget(db: TestStore) {
        let other = db.reopen().await;
        let (app, endpoint) = app_with_endpoint(&db).await;
        for _ in 0..10 {
            tokio::join!(fail(&db, app, endpoint), fail(&other, app, endpoint));
            db.advance_ms(HOUR_MS);
        }
        let failing = db.failing(app, endpoint).await.unwrap().unwrap();
        assert_eq!((failing.since, failing.failures), (START, 20));
        other.close().await;
    }

    async fn a_success_that_was_never_noted_is_found(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        fail(&db, app, endpoint).await;
        // The process that saw it died before it could say so.
        db.advance_ms(50 * HOUR_MS);
        let message = testkit::test_store::new_message(app);
        settled(&db, &mut started, message, 200, After::Succeeded).await;
        let hours_left = fail_until_disabled(&db, app, endpoint).await;
        // It is known to the hour when it succeeded.
        assert_eq!(hours_left, 121);
    }

    async fn an_enabled_endpoint_gets_a_new_budget(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        fail_until_disabled(&db, app, endpoint).await;
        assert!(db.failing(app, endpoint).await.unwrap().is_some());
        db.change(app, endpoint, |endpoint| endpoint.disabled = None).await;
        assert_eq!(db.failing(app, endpoint).await.unwrap(), None);
        assert_eq!(fail_until_disabled(&db, app, endpoint).await, 120);
    }

    async fn nothing_stays_of_what_is_deleted(db: TestStore) {
        let (app, first) = app_with_endpoint(&db).await;
        let second = db.endpoint(app).await;
        fail(&db, app, first).await;
        fail(&db, app, second).await;
        assert!(db.delete_endpoint(app, first, &by()).await.unwrap());
        assert_eq!(db.failing_endpoints().await.unwrap(), [second]);
        // What was under way comes too late.
        fail(&db, app, first).await;
        assert!(db.delete_app(app, &by()).await.unwrap());
        fail(&db, app, second).await;
        assert_eq!(db.failing_endpoints().await.unwrap(), []);
    }

    async fn a_foreign_app_has_nothing_to_do_with_it(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let stranger = db.app().await;
        fail(&db, stranger, endpoint).await;
        assert_eq!(db.failing_endpoints().await.unwrap(), []);
        fail(&db, app, endpoint).await;
        succeed(&db, stranger, endpoint).await;
        assert_eq!(db.failing(stranger, endpoint).await.unwrap(), None);
        let since = db.failing(app, endpoint).await.unwrap().map(|failing| failing.since);
        assert_eq!(since, Some(Timestamp(START.0)));
    }

    async fn an_endless_budget_is_never_used_up(db: TestStore) {
        let endless = FailureBudget { lasts_ms: 0, ..BUDGET };
        let (app, endpoint) = app_with_endpoint(&db).await;
        for _ in 0..50 {
            let mut tally = Tally::default();
            tally.failed(db.clock.now());
            db.note_outcomes(&outcomes(app, endpoint, tally), &endless).await.unwrap();
            db.advance_ms(24 * HOUR_MS);
        }
        assert_eq!(disabled(&db, app, endpoint).await, None);
    }
}
