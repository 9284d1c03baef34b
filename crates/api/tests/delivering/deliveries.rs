//! Deliveries: listed, explained, canceled.

use model::attempt::ErrorKind;
use model::endpoint::{Disabled, DisabledReason};
use serde_json::{Value, json};
use store::After;
use testkit::by;

use crate::both;
use crate::world::{Outcome, World, no_such};

both!(
    a_list_is_narrowed_by_every_filter,
    statuses_that_span_two_states_are_walked_in_order,
    a_retry_is_explained_with_its_history,
    what_holds_an_endpoint_is_explained,
    only_what_waits_can_be_canceled,
    foreign_deliveries_do_not_exist,
);

const GOOD: Outcome = Outcome::Answered(204, "");
const BAD: Outcome = Outcome::Answered(503, "busy");

async fn a_list_is_narrowed_by_every_filter(world: World) {
    let app = world.app("crm").await;
    let hook = world.endpoint_with(app, "hook", |ep| ep.filter.channels = vec!["eu".into()]).await;
    let all = world.endpoint_with(app, "all", |ep| ep.filter.channels = vec!["us".into()]).await;
    world.publish("crm", json!({"channels": ["eu"], "tags": ["one"]})).await;
    let done = world.fresh().await;
    world.settle(&done, GOOD, After::Succeeded).await;
    world.pass_ms(1_000);
    world.publish("crm", json!({"channels": ["us"], "eventType": "property.sold"})).await;
    let failed = world.fresh().await;
    world.settle(&failed, BAD, After::Failed).await;
    world.pass_ms(1_000);
    world.publish("crm", json!({"channels": ["eu"]})).await;
    let retried = world.fresh().await;
    let unanswered = Outcome::NotAnswered(ErrorKind::Timeout, "too slow");
    let due = world.clock.now().plus_ms(60_000);
    world.settle(&retried, unanswered, After::RetryAt(due)).await;
    world.pass_ms(1_000);
    world.publish("crm", json!({"channels": ["us"]})).await;
    let leased = world.fresh().await;
    let ids = [&done, &failed, &retried, &leased].map(|lease| lease.delivery_id.to_string());
    let [done, failed, retried, leased] = [0, 1, 2, 3].map(|at| ids[at].as_str());
    for (query, expected) in [
        ("", vec![leased, retried, failed, done]),
        ("?order=ascending", vec![done, failed, retried, leased]),
        ("?status=0", vec![done]),
        ("?status=pending", vec![leased]),
        ("?status=2", vec![failed]),
        ("?status=3", vec![retried]),
        ("?status=4", vec![]),
        ("?state=queued", vec![retried]),
        ("?state=leased", vec![leased]),
        ("?state=succeeded", vec![done]),
        ("?endpoint_id=hook", vec![retried, done]),
        ("?endpoint_id=all&state=failed", vec![failed]),
        ("?event_types=property.sold", vec![failed]),
        ("?event_types[0]=property.sold&event_types[1]=contact.created&tag=one", vec![done]),
        ("?channel=us", vec![leased, failed]),
        ("?status_code_class=200", vec![done]),
        ("?status_code_class=500", vec![failed]),
        ("?error=timeout", vec![retried]),
        ("?error=status", vec![failed]),
        ("?before=2026-11-24T08:00:01Z", vec![done]),
        ("?after=2026-11-24T08:00:02Z", vec![leased]),
        ("?limit=2", vec![leased, retried]),
    ] {
        assert_eq!(
            world.get(&format!("/app/crm/delivery{query}")).await.ids(),
            expected,
            "{query}"
        );
    }
    for wrong in ["state=waiting", "error=bad", "status=9", "status_code_class=1"] {
        assert_eq!(world.get(&format!("/app/crm/delivery?{wrong}")).await.status, 422, "{wrong}");
    }
    let nobody = world.get("/app/crm/delivery?endpoint_id=nobody").await;
    assert_eq!(nobody.whole(), no_such("endpoint"));
    let shown = world.get(&format!("/app/crm/delivery/{retried}")).await;
    let expected = json!({
        "id": retried,
        "msgId": shown.json()["msgId"],
        "endpointId": hook.id,
        "eventType": "contact.created",
        "state": "queued",
        "status": 3,
        "statusText": "sending",
        "triggerType": 0,
        "attempts": 1,
        "dueAt": "2026-11-24T08:01:02.000Z",
        "leaseUntil": null,
        "lastStatusCode": null,
        "lastErrorKind": "timeout",
        "parentId": null,
        "rootId": null,
        "depth": 0,
        "replayId": null,
        "replayOf": null,
        "changed": false,
        "createdAt": "2026-11-24T08:00:02.000Z",
        "settledAt": null,
    });
    assert_eq!(shown.whole(), (200, expected));
    assert_eq!(all.app_id, app);
}

async fn statuses_that_span_two_states_are_walked_in_order(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let mut waiting = Vec::new();
    for n in 0..6 {
        // Every other one is held back, so that queued and leased take turns.
        let later = json!({"deliverAt": "2026-11-24T09:00:00Z"});
        world.publish("crm", if n % 2 == 0 { later } else { json!({}) }).await;
        waiting.splice(0..0, world.get("/app/crm/delivery?limit=1").await.ids());
        world.pass_ms(1);
    }
    let (mut walked, mut iterator) = (Vec::new(), String::new());
    loop {
        let path = format!("/app/crm/delivery?status=1&limit=4&iterator={iterator}");
        let page = world.get(&path).await;
        walked.extend(page.ids());
        iterator = page.json()["iterator"].as_str().unwrap().to_owned();
        if page.json()["done"] == true {
            break;
        }
    }
    assert_eq!(walked, waiting);
    let back =
        world.get(&format!("/app/crm/delivery?status=1&limit=4&iterator=-{}", waiting[5])).await;
    assert_eq!(back.ids(), waiting[1..5]);
}

async fn a_retry_is_explained_with_its_history(world: World) {
    let app = world.app("crm").await;
    let hook = world
        .endpoint_with(app, "hook", |ep| {
            ep.retry_schedule = Some("0s,1500ms,1m".parse().expect("a schedule"));
        })
        .await;
    world.publish("crm", json!({})).await;
    let lease = world.fresh().await;
    let due = world.clock.now().plus_ms(1_600);
    let first = world.settle(&lease, BAD, After::RetryAt(due)).await;
    world.pass_ms(2_000);
    let due = world.clock.now().plus_ms(60_000);
    let refused = Outcome::NotAnswered(ErrorKind::Connect, "connection refused");
    let second = world.settle(&world.claimed().await, refused, After::RetryAt(due)).await;
    let text = "Attempt 2 of 3 failed (connect: connection refused); the next is due at \
                2026-11-24T08:01:02.000Z.";
    let expected = json!({
        "summary": text,
        "state": "queued",
        "reasons": [{"code": "retrying", "text": text}],
        "nextAttemptAt": "2026-11-24T08:01:02.000Z",
        "placeInQueue": 0,
        "endpoint": {
            "id": hook.id,
            "url": "https://hook.example.com/hook",
            "disabledAt": null,
            "disabledReason": null,
            "pausedAt": null,
            "holdUntil": null,
        },
        "schedule": [0, 1.5, 60],
        "attempts": [
            {
                "id": first,
                "number": 1,
                "at": "2026-11-24T08:00:00.000Z",
                "statusCode": 503,
                "errorKind": "status",
                "error": "answered 503",
                "nextAfterMs": 2_000,
            },
            {
                "id": second,
                "number": 2,
                "at": "2026-11-24T08:00:02.000Z",
                "statusCode": null,
                "errorKind": "connect",
                "error": "connection refused",
                "nextAfterMs": 60_000,
            },
        ],
    });
    let path = format!("/app/crm/delivery/{}/explain", lease.delivery_id);
    assert_eq!(world.get(&path).await.whole(), (200, expected));
    world.pass_ms(60_000);
    world.settle(&world.claimed().await, BAD, After::Failed).await;
    let end = world.get(&path).await.ok();
    assert_eq!(
        end["summary"],
        "Given up at 2026-11-24T08:01:02.000Z: the schedule's 3 attempts are used up; the last one \
         was answered 503."
    );
    assert_eq!((&end["nextAttemptAt"], &end["placeInQueue"]), (&Value::Null, &Value::Null));
    assert_eq!(end["attempts"][2]["nextAfterMs"], Value::Null);
}

async fn what_holds_an_endpoint_is_explained(world: World) {
    let app = world.app("crm").await;
    let mut hook = world.endpoint_with(app, "hook", |ep| ep.paused_at = Some(ep.created_at)).await;
    for _ in 0..2 {
        world.publish("crm", json!({})).await;
        world.pass_ms(1);
    }
    let ids = world.get("/app/crm/delivery").await.ids();
    let explain = async || world.get(&format!("/app/crm/delivery/{}/explain", ids[0])).await.ok();
    let told = |explained: &Value| {
        let reasons = explained["reasons"].as_array().unwrap();
        let codes: Vec<String> =
            reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect();
        (codes, explained["nextAttemptAt"].clone(), explained["placeInQueue"].clone())
    };
    let codes = |codes: &[&str]| codes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let paused = explain().await;
    let expected = (codes(&["endpoint_paused", "waiting_for_turn"]), Value::Null, json!(1));
    assert_eq!(told(&paused), expected);
    assert_eq!(paused["endpoint"]["pausedAt"], "2026-11-24T08:00:00.000Z");
    assert_eq!(paused["endpoint"]["holdUntil"], Value::Null);
    hook.paused_at = None;
    hook.disabled = Some(Disabled::new(world.clock.now(), DisabledReason::Gone));
    assert!(world.store.update_endpoint(&hook, &by()).await.unwrap());
    let gone = explain().await;
    let expected = (codes(&["endpoint_gone", "waiting_for_turn"]), Value::Null, json!(1));
    assert_eq!(told(&gone), expected);
    assert_eq!(gone["endpoint"]["disabledReason"], "gone");
    hook.disabled = None;
    assert!(world.store.update_endpoint(&hook, &by()).await.unwrap());
    let moment = json!("2026-11-24T08:00:00.001Z");
    assert_eq!(told(&explain().await), (codes(&["waiting_for_turn"]), moment.clone(), json!(1)));
    let message = explain_message(&world).await;
    world.delete(&format!("/app/crm/msg/{message}/content")).await.ok();
    let expected = (codes(&["payload_erased", "waiting_for_turn"]), moment, json!(1));
    assert_eq!(told(&explain().await), expected);
    world.store.delete_endpoint(app, hook.id, &by()).await.unwrap();
    let deleted = explain().await;
    assert_eq!(deleted["reasons"][0]["code"], "endpoint_deleted");
    assert_eq!((&deleted["endpoint"], &deleted["schedule"]), (&Value::Null, &json!([])));
}

/// The newest message.
async fn explain_message(world: &World) -> String {
    world.get("/app/crm/msg?limit=1").await.ids().remove(0)
}

async fn only_what_waits_can_be_canceled(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    world.publish("crm", json!({})).await;
    let lease = world.fresh().await;
    let path = format!("/app/crm/delivery/{}/cancel", lease.delivery_id);
    let refused = |detail: &str| {
        let problem = json!({
            "type": "urn:doorbell:problem:not_cancelable",
            "title": "The delivery cannot be canceled",
            "status": 409,
            "code": "not_cancelable",
            "detail": detail,
        });
        (409, problem)
    };
    let text =
        "An attempt is under way. If it fails, the delivery can be canceled before the next.";
    assert_eq!(world.post(&path, &json!({})).await.whole(), refused(text));
    let due = world.clock.now().plus_ms(1_000);
    world.settle(&lease, BAD, After::RetryAt(due)).await;
    world.pass_ms(500);
    let canceled = world.post(&path, &json!({})).await.ok();
    let facts = ["state", "status", "statusText", "settledAt", "dueAt"].map(|name| &canceled[name]);
    let moment = json!("2026-11-24T08:00:00.500Z");
    let expected = [&json!("canceled"), &json!(4), &json!("canceled"), &moment, &Value::Null];
    assert_eq!(facts, expected);
    world.pass_ms(10_000);
    assert_eq!(world.store.claim().await.unwrap().count, 0, "nothing is sent any more");
    assert_eq!(world.post(&path, &json!({})).await.whole(), refused("It was canceled already."));
    world.publish("crm", json!({})).await;
    let lease = world.fresh().await;
    world.settle(&lease, GOOD, After::Succeeded).await;
    let path = format!("/app/crm/delivery/{}/cancel", lease.delivery_id);
    assert_eq!(world.post(&path, &json!({})).await.whole(), refused("It was delivered already."));
}

async fn foreign_deliveries_do_not_exist(world: World) {
    let app = world.app("crm").await;
    world.app("shop").await;
    world.endpoint(app, "hook").await;
    world.publish("crm", json!({})).await;
    let id = world.fresh().await.delivery_id.to_string();
    let unknown = "dlv_00000000000000000000000000000000000";
    for id in [id.as_str(), unknown, "nonsense"] {
        for path in [format!("/app/shop/delivery/{id}"), format!("/app/shop/delivery/{id}/explain")]
        {
            assert_eq!(world.get(&path).await.whole(), no_such("delivery"), "{path}");
        }
        let cancel = world.post(&format!("/app/shop/delivery/{id}/cancel"), &json!({})).await;
        assert_eq!(cancel.whole(), no_such("delivery"));
    }
    assert_eq!(world.get("/app/shop/delivery").await.ids(), [""; 0]);
    assert_eq!(world.get("/app/shop/delivery?endpoint_id=hook").await.whole(), no_such("endpoint"));
}
