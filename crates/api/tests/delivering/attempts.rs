//! Attempts in lists and alone, and how messages stand at endpoints after them.

use model::AttemptId;
use model::attempt::ErrorKind;
use serde_json::{Value, json};
use store::After;

use crate::both;
use crate::world::{Outcome, World, no_such};

both!(
    an_attempt_is_shown_whole,
    lists_are_narrowed_by_every_filter,
    an_erased_response_is_gone_for_good,
    foreign_attempts_do_not_exist,
    a_message_stands_at_an_endpoint_as_its_best_delivery,
    pages_of_messages_repeat_none,
    destinations_are_listed_once,
);

const GOOD: Outcome = Outcome::Answered(200, "thanks");
const BAD: Outcome = Outcome::Answered(503, "busy");

/// What is expected of the first attempt of a fresh delivery, as far as the ids do not tell.
fn shown(id: AttemptId, endpoint: &str, ours: &Value) -> Value {
    let mut attempt = json!({
        "id": id,
        "msgId": id.message_id(),
        "endpointId": endpoint,
        "deliveryId": id.delivery_id(),
        "number": 1,
        "url": "https://hook.example.com/hook",
        "triggerType": 0,
        "responseCut": false,
        "responseDurationMs": 25,
        "timestamp": "2026-11-24T08:00:00.000Z",
        "requestHeaders": {"webhook-id": id.message_id()},
        "responseHeaders": {"set-cookie": "a=1, b=2"},
        "address": "203.0.113.7",
        "timing": {
            "resolveUs": null,
            "connectUs": null,
            "tlsUs": null,
            "firstByteUs": null,
            "totalUs": 25_000,
        },
    });
    attempt.as_object_mut().unwrap().extend(ours.as_object().unwrap().clone());
    attempt
}

async fn an_attempt_is_shown_whole(world: World) {
    let app = world.app("crm").await;
    let hook = world.endpoint(app, "hook").await;
    let mut expected = Vec::new();
    for (outcome, ours) in [
        (
            GOOD,
            json!({
                "status": 0, "statusText": "success", "response": "thanks", "responseStatusCode": 200,
                "errorKind": null, "error": null,
            }),
        ),
        (
            BAD,
            json!({
                "status": 2, "statusText": "fail", "response": "busy", "responseStatusCode": 503,
                "errorKind": "status", "error": "answered 503",
            }),
        ),
        (
            Outcome::NotAnswered(ErrorKind::Connect, "connection refused"),
            json!({
                "status": 2, "statusText": "fail", "response": "", "responseStatusCode": 0,
                "errorKind": "connect", "error": "connection refused",
            }),
        ),
    ] {
        let message = world.publish("crm", json!({})).await;
        let id = world.settle(&world.fresh().await, outcome, After::Failed).await;
        let attempt = shown(id, hook.id.as_str(), &ours);
        let path = format!("/app/crm/msg/{message}/attempt/{id}");
        assert_eq!(world.get(&path).await.whole(), (200, attempt.clone()));
        let list = json!({
            "data": [attempt],
            "done": true,
            "iterator": format!("001795507200000.{id}"),
            "prevIterator": format!("-001795507200000.{id}"),
        });
        let path = format!("/app/crm/attempt/msg/{message}");
        assert_eq!(world.get(&path).await.whole(), (200, list));
        expected.push((id.to_string(), attempt));
    }
    expected.sort_by(|(one, _), (two, _)| two.cmp(one));
    let expected: Vec<Value> = expected.into_iter().map(|(_, attempt)| attempt).collect();
    let all = world.get("/app/crm/attempt/endpoint/hook").await.ok();
    assert_eq!(all["data"], json!(expected));
    // With its message, or without any content.
    let path = "/app/crm/attempt/endpoint/hook?limit=1&with_msg=true";
    let with = &world.get(path).await.ok()["data"][0];
    let message = world.get(&format!("/app/crm/msg/{}", with["msgId"].as_str().unwrap())).await;
    assert_eq!(with["msg"], message.ok());
    let bare = &world.get(&format!("{path}&with_content=false")).await.ok()["data"][0];
    assert_eq!((&bare["response"], &bare["msg"]["payload"]), (&json!(""), &json!({})));
}

async fn lists_are_narrowed_by_every_filter(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let first = world.publish("crm", json!({"channels": ["eu"], "tags": ["one"]})).await;
    let lease = world.fresh().await;
    let due = world.clock.now().plus_ms(1_000);
    let failed = world.settle(&lease, BAD, After::RetryAt(due)).await;
    world.pass_ms(1_000);
    let retried = world.settle(&world.claimed().await, GOOD, After::Succeeded).await;
    world.pass_ms(1_000);
    world.publish("crm", json!({"eventType": "property.sold", "tags": ["two"]})).await;
    let unanswered = Outcome::NotAnswered(ErrorKind::Timeout, "no answer within 20 s");
    let other = world.settle(&world.fresh().await, unanswered, After::Failed).await;
    let [failed, retried, other] = [failed, retried, other].map(|id| id.to_string());
    let [failed, retried, other] = [&failed, &retried, &other].map(String::as_str);
    for (query, expected) in [
        ("", vec![other, retried, failed]),
        ("?order=ascending", vec![failed, retried, other]),
        ("?status=0", vec![retried]),
        ("?status=success", vec![retried]),
        ("?status=2", vec![other, failed]),
        ("?status=1", vec![]),
        ("?status=3", vec![]),
        ("?status=4&expanded_statuses=true", vec![]),
        ("?status_code_class=200", vec![retried]),
        ("?status_code_class=500", vec![failed]),
        ("?channel=eu", vec![retried, failed]),
        ("?tag=two", vec![other]),
        ("?event_types=property.sold,x", vec![other]),
        ("?event_types[]=contact.created", vec![retried, failed]),
        ("?before=2026-11-24T08:00:01Z", vec![failed]),
        ("?after=2026-11-24T08:00:01Z", vec![other]),
        ("?limit=2", vec![other, retried]),
    ] {
        let path = format!("/app/crm/attempt/endpoint/hook{query}");
        assert_eq!(world.get(&path).await.ids(), expected, "{query}");
        let of_first: Vec<&str> = expected.into_iter().filter(|id| *id != other).collect();
        if query != "?limit=2" {
            let path = format!("/app/crm/attempt/msg/{first}{query}");
            assert_eq!(world.get(&path).await.ids(), of_first, "{query}");
        }
    }
    world.endpoint(app, "idle").await;
    let at = |endpoint: &str| format!("/app/crm/attempt/msg/{first}?endpoint_id={endpoint}");
    assert_eq!(world.get(&at("hook")).await.ids(), [retried, failed]);
    assert_eq!(world.get(&at("idle")).await.ids(), [""; 0]);
    assert_eq!(world.get(&at("nobody")).await.whole(), no_such("endpoint"));
    for wrong in ["status=5", "status=failed", "status_code_class=201", "after=1", "limit=x"] {
        let answer = world.get(&format!("/app/crm/attempt/endpoint/hook?{wrong}")).await;
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["query"])));
    }
    let page = world.get("/app/crm/attempt/endpoint/hook?limit=2").await.ok();
    let iterator = page["iterator"].as_str().unwrap();
    let next = format!("/app/crm/attempt/endpoint/hook?limit=2&iterator={iterator}");
    assert_eq!(world.get(&next).await.ids(), [failed]);
}

async fn an_erased_response_is_gone_for_good(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let message = world.publish("crm", json!({})).await;
    let id = world.settle(&world.fresh().await, BAD, After::Failed).await;
    let path = format!("/app/crm/msg/{message}/attempt/{id}");
    assert_eq!(world.get(&path).await.ok()["response"], "busy");
    assert_eq!(world.delete(&format!("{path}/content")).await.whole(), (204, Value::Null));
    let shown = world.get(&path).await.ok();
    assert_eq!((&shown["response"], &shown["responseStatusCode"]), (&json!(""), &json!(503)));
}

async fn foreign_attempts_do_not_exist(world: World) {
    let app = world.app("crm").await;
    let shop = world.app("shop").await;
    world.endpoint(app, "hook").await;
    world.endpoint(shop, "till").await;
    let message = world.publish("crm", json!({})).await;
    let id = world.settle(&world.fresh().await, GOOD, After::Succeeded).await;
    let other = world.publish("crm", json!({})).await;
    let theirs = world.publish("shop", json!({})).await;
    let unknown = "atmpt_0000000000000000000000000000000000000";
    for path in [
        format!("/app/crm/msg/{other}/attempt/{id}"),
        format!("/app/shop/msg/{theirs}/attempt/{id}"),
        format!("/app/crm/msg/{message}/attempt/{unknown}"),
        format!("/app/crm/msg/{message}/attempt/nonsense"),
    ] {
        assert_eq!(world.get(&path).await.whole(), no_such("attempt"), "{path}");
        let erased = world.delete(&format!("{path}/content")).await;
        assert_eq!(erased.whole(), no_such("attempt"));
    }
    for path in ["/app/shop/attempt/endpoint/hook", "/app/shop/endpoint/hook/msg"] {
        assert_eq!(world.get(path).await.whole(), no_such("endpoint"));
    }
    let path = format!("/app/shop/msg/{message}/attempt/{id}");
    assert_eq!(world.get(&path).await.whole(), no_such("message"));
}

async fn a_message_stands_at_an_endpoint_as_its_best_delivery(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let list = "/app/crm/endpoint/hook/msg";
    let stands = async |query: &str| {
        let list = world.get(&format!("{list}{query}")).await.ok();
        let data = list["data"].as_array().unwrap();
        let rows = data
            .iter()
            .map(|row| json!([row["id"], row["status"], row["statusText"], row["nextAttempt"]]));
        rows.collect::<Vec<_>>()
    };
    let id = world.publish("crm", json!({"tags": ["one"]})).await;
    let lease = world.fresh().await;
    assert_eq!(stands("").await, [json!([id, 1, "pending", null])]);
    let due = world.clock.now().plus_ms(5_000);
    world.settle(&lease, BAD, After::RetryAt(due)).await;
    let sending = json!([id, 3, "sending", "2026-11-24T08:00:05.000Z"]);
    for query in ["", "?status=3"] {
        assert_eq!(stands(query).await, std::slice::from_ref(&sending));
    }
    world.pass_ms(5_000);
    world.settle(&world.claimed().await, BAD, After::Failed).await;
    assert_eq!(stands("").await, [json!([id, 2, "fail", null])]);
    world.pass_ms(1);
    world.post(&format!("/app/crm/msg/{id}/endpoint/hook/resend"), &json!({})).await.ok();
    assert_eq!(stands("").await, [json!([id, 1, "pending", "2026-11-24T08:00:05.001Z"])]);
    world.settle(&world.claimed().await, GOOD, After::Succeeded).await;
    assert_eq!(stands("").await, [json!([id, 0, "success", null])]);
    for (query, found) in [
        ("?status=0", true),
        ("?status=1", false),
        ("?tag=one&event_types=contact.created&status_code_class=200", true),
        ("?tag=two", false),
        ("?after=2026-11-24T08:00:00Z", false),
    ] {
        assert_eq!(stands(query).await.len(), usize::from(found), "{query}");
    }
    let whole = &world.get(list).await.ok()["data"][0];
    let mut expected = world.get(&format!("/app/crm/msg/{id}")).await.ok();
    expected["status"] = json!(0);
    expected["statusText"] = json!("success");
    expected["nextAttempt"] = Value::Null;
    assert_eq!(*whole, expected);
    canceled_shows_only_to_who_knows_it(&world).await;
}

async fn canceled_shows_only_to_who_knows_it(world: &World) {
    let id = world.publish("crm", json!({"deliverAt": "2026-11-24T09:00:00Z"})).await;
    let delivery = world.get("/app/crm/delivery?status=pending").await.ids().remove(0);
    world.post(&format!("/app/crm/delivery/{delivery}/cancel"), &json!({})).await.ok();
    let shown = async |query: &str| {
        let list = world.get(&format!("/app/crm/endpoint/hook/msg{query}")).await.ok();
        let data = list["data"].as_array().unwrap();
        let row = data.iter().find(|row| row["id"] == id.as_str())?;
        Some((row["status"].as_u64()?, row["statusText"].as_str()?.to_owned()))
    };
    let (fail, canceled) = (Some((2, "fail".to_owned())), Some((4, "canceled".to_owned())));
    assert_eq!(shown("").await, fail);
    assert_eq!(shown("?status=2").await, fail);
    assert_eq!(shown("?expanded_statuses=true").await, canceled);
    assert_eq!(shown("?expanded_statuses=true&status=4").await, canceled);
    assert_eq!(shown("?expanded_statuses=true&status=2").await, None);
}

async fn pages_of_messages_repeat_none(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let mut published = Vec::new();
    for n in 0..4 {
        let id = world.publish("crm", json!({})).await;
        world.settle(&world.fresh().await, BAD, After::Failed).await;
        world.pass_ms(1);
        for _ in 0..n {
            world.post(&format!("/app/crm/msg/{id}/endpoint/hook/resend"), &json!({})).await.ok();
        }
        published.push(id);
    }
    let never_resent = published[0].clone();
    for order in ["ascending", "descending"] {
        for limit in 1..=5 {
            let (mut walked, mut iterator) = (Vec::new(), String::new());
            loop {
                let path = format!(
                    "/app/crm/endpoint/hook/msg?order={order}&limit={limit}&iterator={iterator}"
                );
                let page = world.get(&path).await;
                for row in page.ok()["data"].as_array().unwrap() {
                    let status = if row["id"] == never_resent.as_str() { 2 } else { 1 };
                    assert_eq!(row["status"], status);
                }
                walked.extend(page.ids());
                let page = page.json();
                if page["done"] == true {
                    break;
                }
                page["iterator"].as_str().unwrap().clone_into(&mut iterator);
            }
            assert_eq!(walked, published, "{order} {limit}");
        }
        published.reverse();
    }
}

async fn destinations_are_listed_once(world: World) {
    let app = world.app("crm").await;
    let hook = world.endpoint(app, "hook").await;
    world.pass_ms(1);
    let other = world.endpoint(app, "other").await;
    let id = world.publish("crm", json!({})).await;
    for _ in 0..2 {
        let lease = world.fresh().await;
        let outcome = if lease.route.endpoint.id == hook.id { GOOD } else { BAD };
        let after =
            if lease.route.endpoint.id == hook.id { After::Succeeded } else { After::Failed };
        world.settle(&lease, outcome, after).await;
    }
    world.pass_ms(1);
    world.post(&format!("/app/crm/msg/{id}/endpoint/other/resend"), &json!({})).await.ok();
    let path = format!("/app/crm/msg/{id}/endpoint");
    let list = world.get(&path).await;
    assert_eq!(list.ids(), [other.id.as_str(), hook.id.as_str()]);
    let mut expected = world.get("/app/crm/endpoint/hook").await.ok();
    expected["status"] = json!(0);
    expected["statusText"] = json!("success");
    expected["nextAttempt"] = Value::Null;
    assert_eq!(list.json()["data"][1], expected);
    assert_eq!(list.json()["data"][0]["status"], 1);
    assert_eq!(list.json()["data"][0]["nextAttempt"], "2026-11-24T08:00:00.002Z");
    let first = world.get(&format!("{path}?limit=1")).await;
    assert_eq!(first.ids(), [other.id.as_str()]);
    assert_eq!(
        (&first.json()["done"], &first.json()["iterator"]),
        (&json!(false), &json!(other.id))
    );
    assert_eq!(
        world.get(&format!("{path}?limit=1&iterator={}", other.id)).await.ids(),
        [hook.id.as_str()]
    );
}
