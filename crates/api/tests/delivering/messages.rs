//! Messages, read back, erased, foretold, explained and sent again.

use model::Timestamp;
use model::endpoint::{Disabled, DisabledReason};
use serde_json::{Value, json};
use store::After;
use testkit::by;

use crate::both;
use crate::world::{Outcome, START, World, no_such};

both!(
    a_list_is_narrowed_by_every_filter,
    a_list_is_walked_page_by_page,
    an_erased_payload_is_gone_for_good,
    foreign_messages_do_not_exist,
    a_precheck_knows_whether_anybody_would_listen,
    an_explanation_says_why_not,
    a_resend_is_a_new_delivery_of_its_own,
    a_resend_that_would_send_nothing_is_refused,
);

async fn a_list_is_narrowed_by_every_filter(world: World) {
    world.app("crm").await;
    let created = world.publish("crm", json!({"channels": ["eu", "vip"], "tags": ["one"]})).await;
    world.pass_ms(1_000);
    let deleted =
        world.publish("crm", json!({"eventType": "contact.deleted", "tags": ["two"]})).await;
    world.pass_ms(1_000);
    let sold =
        world.publish("crm", json!({"eventType": "property.sold", "channels": ["us"]})).await;
    let (created, deleted, sold) = (created.as_str(), deleted.as_str(), sold.as_str());
    for (query, expected) in [
        ("", vec![sold, deleted, created]),
        ("?order=ascending", vec![created, deleted, sold]),
        ("?event_types=contact.created,property.sold", vec![sold, created]),
        ("?event_types=contact.created&event_types=property.sold", vec![sold, created]),
        ("?event_types[]=contact.created&event_types[]=property.sold", vec![sold, created]),
        ("?event_types%5B0%5D=contact.deleted", vec![deleted]),
        ("?event_types=contact", vec![]),
        ("?channel=eu", vec![created]),
        ("?channel=us", vec![sold]),
        ("?channel=u", vec![]),
        ("?tag=two", vec![deleted]),
        ("?before=2026-11-24T08:00:01Z", vec![created]),
        ("?after=2026-11-24T08:00:01Z", vec![sold]),
        ("?after=2026-11-24T08:00:00Z&before=2026-11-24T08:00:02Z", vec![deleted]),
        ("?after=2026-11-24T09:00:00%2B01:00", vec![sold, deleted]),
        ("?limit=1", vec![sold]),
        ("?unknown=1&with_content=true&expanded_statuses=true", vec![sold, deleted, created]),
    ] {
        assert_eq!(world.get(&format!("/app/crm/msg{query}")).await.ids(), expected, "{query}");
    }
    let whole = world.get("/app/crm/msg?event_types=contact.created&with_content=false").await;
    let message = json!({
        "id": created,
        "eventType": "contact.created",
        "payload": {},
        "eventId": null,
        "channels": ["eu", "vip"],
        "tags": ["one"],
        "deliverAt": null,
        "timestamp": "2026-11-24T08:00:00.000Z",
        "outcome": "no_match",
    });
    let list = json!({
        "data": [message], "done": true, "iterator": created, "prevIterator": format!("-{created}"),
    });
    assert_eq!(whole.whole(), (200, list));
    let wrong = world.get("/app/crm/msg?before=yesterday").await;
    assert_eq!((wrong.status, &wrong.json()["detail"][0]["loc"]), (422, &json!(["query"])));
}

async fn a_list_is_walked_page_by_page(world: World) {
    world.app("crm").await;
    let mut published = Vec::new();
    for n in 0..5 {
        published.push(world.publish("crm", json!({"payload": n})).await);
        world.pass_ms(1);
    }
    published.reverse();
    let (mut walked, mut iterator) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/app/crm/msg?limit=2&iterator={iterator}")).await;
        walked.extend(page.ids());
        let page = page.json();
        iterator = page["iterator"].as_str().expect("an iterator").to_owned();
        if page["done"] == true {
            break;
        }
        let next = world.get(&format!("/app/crm/msg?limit=2&iterator={iterator}")).await;
        let back = next.json()["prevIterator"].as_str().expect("a way back").to_owned();
        let back = world.get(&format!("/app/crm/msg?limit=2&iterator={back}")).await;
        assert_eq!(back.json()["data"], page["data"]);
    }
    assert_eq!(walked, published);
    world.app("empty").await;
    let empty = json!({"data": [], "done": true, "iterator": null, "prevIterator": null});
    assert_eq!(world.get("/app/empty/msg").await.whole(), (200, empty));
}

async fn an_erased_payload_is_gone_for_good(world: World) {
    let app = world.app("crm").await;
    let id = world.publish("crm", json!({})).await;
    let erased = world.delete(&format!("/app/crm/msg/{id}/content")).await;
    assert_eq!(erased.whole(), (204, Value::Null));
    assert_eq!(world.store.message_in_app(app, &id).await.unwrap().unwrap().payload, None);
    let shown = world.get(&format!("/app/crm/msg/{id}")).await;
    assert_eq!(shown.ok()["payload"], json!({}));
    let again = world.delete(&format!("/app/crm/msg/{id}/content")).await;
    assert_eq!(again.status, 204);
}

async fn foreign_messages_do_not_exist(world: World) {
    let app = world.app("crm").await;
    world.app("shop").await;
    let endpoint = world.endpoint(app, "hook").await;
    let foreign = world.publish("crm", json!({"eventId": "ours"})).await;
    let unknown = "msg_000000000000000000000000000";
    for id in [foreign.as_str(), "ours", unknown, "nonsense", "%23"] {
        for path in [
            format!("/app/shop/msg/{id}"),
            format!("/app/shop/msg/{id}/explain?endpoint={}", endpoint.id),
            format!("/app/shop/msg/{id}/endpoint"),
            format!("/app/shop/attempt/msg/{id}"),
        ] {
            assert_eq!(world.get(&path).await.whole(), no_such("message"), "{path}");
        }
        let erased = world.delete(&format!("/app/shop/msg/{id}/content")).await;
        assert_eq!(erased.whole(), no_such("message"));
    }
    let resend = |endpoint: &str| format!("/app/shop/msg/{foreign}/endpoint/{endpoint}/resend");
    for endpoint in ["hook", endpoint.id.as_str(), "ep_000000000000000000000000000"] {
        let answer = world.post(&resend(endpoint), &json!({})).await;
        assert_eq!(answer.whole(), no_such("endpoint"));
    }
    for app in ["nobody", "app_000000000000000000000000000"] {
        let answer = world.get(&format!("/app/{app}/msg/{foreign}")).await;
        assert_eq!(answer.whole(), no_such("application"));
    }
    assert_eq!(world.get("/app/shop/msg").await.ids(), [""; 0]);
}

async fn a_precheck_knows_whether_anybody_would_listen(world: World) {
    let app = world.app("crm").await;
    world.endpoint_with(app, "typed", |ep| ep.filter.event_types = vec!["contact.*".into()]).await;
    world
        .endpoint_with(app, "eu", |ep| {
            ep.filter.event_types = vec!["property.sold".into()];
            ep.filter.channels = vec!["eu".into()];
        })
        .await;
    world
        .endpoint_with(app, "off", |ep| {
            ep.disabled = Some(Disabled::new(START, DisabledReason::ByHand));
        })
        .await;
    for (wish, active) in [
        (json!({"eventType": "contact.created"}), true),
        (json!({"eventType": "contact.created", "channels": ["us"]}), true),
        (json!({"eventType": "property.sold"}), false),
        (json!({"eventType": "property.sold", "channels": ["us"]}), false),
        (json!({"eventType": "property.sold", "channels": ["us", "eu"]}), true),
        (json!({"eventType": "lead.lost"}), false),
    ] {
        let answer = world.post("/app/crm/msg/precheck/active", &wish).await;
        assert_eq!(answer.whole(), (200, json!({"active": active})), "{wish}");
    }
    let wrong = world.post("/app/crm/msg/precheck/active", &json!({"eventType": "a b"})).await;
    assert_eq!(wrong.json()["detail"][0]["loc"], json!(["body", "eventType"]));
}

async fn an_explanation_says_why_not(world: World) {
    let app = world.app("crm").await;
    let hook = world.endpoint(app, "hook").await;
    world
        .endpoint_with(app, "sold", |ep| ep.filter.event_types = vec!["property.sold".into()])
        .await;
    let id = world.publish("crm", json!({})).await;
    let lease = world.fresh().await;
    world.settle(&lease, Outcome::Answered(200, "ok"), After::Succeeded).await;
    let explain = |endpoint: &str| format!("/app/crm/msg/{id}/explain?endpoint={endpoint}");
    let got = world.get(&explain("hook")).await;
    let text = format!(
        "The message has one delivery to this endpoint; {} stands at success after one attempt.",
        lease.delivery_id
    );
    let delivery = world.get(&format!("/app/crm/delivery/{}", lease.delivery_id)).await.ok();
    let expected = json!({
        "summary": text,
        "outcome": "fanned_out",
        "reasons": [{"code": "delivery_made", "text": text}],
        "endpoint": {
            "id": hook.id,
            "url": "https://hook.example.com/hook",
            "disabledAt": null,
            "disabledReason": null,
            "pausedAt": null,
            "holdUntil": null,
        },
        "deliveries": [delivery],
    });
    assert_eq!(got.whole(), (200, expected));
    let filtered = world.get(&explain("sold")).await.ok();
    assert_eq!(
        filtered["reasons"],
        json!([{
            "code": "event_type_filtered",
            "text": "The endpoint does not want the event type contact.created; it wants \
                     property.sold.",
        }])
    );
    assert_eq!(filtered["deliveries"], json!([]));
    world.pass_ms(1);
    world.endpoint(app, "late").await;
    let late = world.get(&explain("late")).await.ok();
    assert_eq!(late["reasons"][0]["code"], "created_later");
    assert_eq!(world.get(&explain("nobody")).await.whole(), no_such("endpoint"));
    let unasked = world.get(&format!("/app/crm/msg/{id}/explain")).await;
    assert_eq!(unasked.status, 422);
}

async fn a_resend_is_a_new_delivery_of_its_own(world: World) {
    let app = world.app("crm").await;
    let endpoint = world.endpoint(app, "hook").await;
    let id = world.publish("crm", json!({"eventId": "once"})).await;
    let lease = world.fresh().await;
    let retry_at = world.clock.now().plus_ms(60_000);
    world.settle(&lease, Outcome::Answered(500, ""), After::RetryAt(retry_at)).await;
    world.pass_ms(1);
    let answer = world.post("/app/crm/msg/once/endpoint/hook/resend", &json!({})).await;
    assert_eq!(answer.whole(), (202, json!({})));
    let replay = world.claimed().await;
    assert_eq!(replay.envelope.message_id.as_str(), id);
    let shown = world.get(&format!("/app/crm/delivery/{}", replay.delivery_id)).await;
    let expected = json!({
        "id": replay.delivery_id,
        "msgId": id,
        "endpointId": endpoint.id,
        "eventType": "contact.created",
        "state": "leased",
        "status": 1,
        "statusText": "pending",
        "triggerType": 1,
        "attempts": 0,
        "dueAt": null,
        "leaseUntil": "2026-11-24T08:01:00.001Z",
        "lastStatusCode": null,
        "lastErrorKind": null,
        "parentId": lease.delivery_id,
        "rootId": lease.delivery_id,
        "depth": 1,
        "replayId": shown.json()["replayId"],
        "replayOf": null,
        "changed": false,
        "createdAt": "2026-11-24T08:00:00.001Z",
        "settledAt": null,
    });
    assert_eq!(shown.whole(), (200, expected));
    // The automatic chain goes on as it was.
    let first = world.get(&format!("/app/crm/delivery/{}", lease.delivery_id)).await.ok();
    assert_eq!(
        (&first["state"], &first["dueAt"]),
        (&json!("queued"), &json!(retry_at.to_string()))
    );
}

async fn a_resend_that_would_send_nothing_is_refused(world: World) {
    let app = world.app("crm").await;
    let mut endpoint = world.endpoint(app, "hook").await;
    let id = world.publish("crm", json!({})).await;
    let path = format!("/app/crm/msg/{id}/endpoint/hook/resend");
    endpoint.disabled = Some(Disabled::new(Timestamp(0), DisabledReason::Gone));
    assert!(world.store.update_endpoint(&endpoint, &by()).await.unwrap());
    let disabled = json!({
        "type": "urn:doorbell:problem:endpoint_disabled",
        "title": "The endpoint is disabled",
        "status": 409,
        "code": "endpoint_disabled",
        "detail": "Nothing would be sent: the endpoint is disabled. Enable it first.",
    });
    assert_eq!(world.post(&path, &json!({})).await.whole(), (409, disabled));
    endpoint.disabled = None;
    assert!(world.store.update_endpoint(&endpoint, &by()).await.unwrap());
    world.delete(&format!("/app/crm/msg/{id}/content")).await.ok();
    let erased = json!({
        "type": "urn:doorbell:problem:payload_erased",
        "title": "The payload is no longer kept",
        "status": 409,
        "code": "payload_erased",
        "detail": "There is nothing to send: the message's payload was erased.",
    });
    assert_eq!(world.post(&path, &json!({})).await.whole(), (409, erased));
}
