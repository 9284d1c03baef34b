//! What is published comes back byte for byte, or is refused with a reason.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::both;
use crate::world::{Answer, MAX_PAYLOAD_BYTES, TOKEN, World, no_such};

both!(
    payloads_keep_their_bytes,
    what_is_no_json_is_refused_with_a_reason,
    what_has_another_shape_names_its_fields,
    the_same_key_with_the_same_message_gets_the_same_answer,
    an_event_id_is_used_once,
    raw_content_keeps_its_type,
    every_message_of_a_batch_has_its_own_answer,
    large_payloads_are_refused,
    the_answer_leaves_the_payload_out_when_asked_to,
    an_application_can_come_along,
);

/// No JSON value can hold every payload.
#[derive(Deserialize)]
struct Message<'a> {
    id: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[track_caller]
fn message_of(answer: &Answer) -> (String, &str) {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    let message: Message<'_> = serde_json::from_str(answer.text()).expect("a message");
    (message.id, message.payload.get())
}

fn keyed(key: &str, body: &Value) -> Request<Body> {
    Request::post("/api/v1/app/crm/msg")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn payloads_keep_their_bytes(world: World) {
    let app = world.app("crm").await;
    for payload in [
        r#"{"n":1E400,"m":-0,"x":1.0}"#,
        r#"{"a":1,"a":2,"b":{"a":3,"a":3}}"#,
        "12345678901234567890123456789012345678901234567890",
        r#"{"high":"\ud800","low":"\uDFFF","pair":"\ud83d\ude00"}"#,
        r#""\u0000\u001f""#,
        "{ \"a\" :\t[ 1 ,\r\n 2 ] }",
        r#"{"é":"\u00e9 \/ /","z":1,"a":2}"#,
        "null",
        "[]",
    ] {
        let body = format!(r#"{{"eventType":"contact.created","payload": {payload} }}"#);
        let published = world.call(Method::POST, "/app/crm/msg", body).await;
        let (id, echoed) = message_of(&published);
        assert_eq!(echoed, payload);
        let stored = world.store.message_in_app(app, &id).await.unwrap().unwrap();
        assert_eq!(stored.payload.as_deref(), Some(payload.as_bytes()));
        let read = world.get(&format!("/app/crm/msg/{id}")).await;
        assert_eq!(message_of(&read), (id, payload));
        let list = world.get("/app/crm/msg?limit=1").await;
        assert!(list.text().contains(&format!("\"payload\":{payload},")), "{}", list.text());
        world.pass_ms(1);
    }
}

async fn what_is_no_json_is_refused_with_a_reason(world: World) {
    world.app("crm").await;
    let cases: [(&[u8], &str); 5] = [
        (b"", "EOF while parsing a value at line 1 column 0"),
        (br#"{"eventType":"a","payload":{"#, "EOF while parsing an object at line 1 column 28"),
        (br#"{"eventType":"a","payload":NaN}"#, "expected value at line 1 column 28"),
        (br#"{"eventType":"a","payload":01}"#, "invalid number at line 1 column 29"),
        (
            b"{\"eventType\":\"a\",\"payload\":\"\xff\"}",
            "invalid unicode code point at line 1 column 29",
        ),
    ];
    for (body, reason) in cases {
        let answer = world.call(Method::POST, "/app/crm/msg", body).await;
        let problem = json!({
            "type": "urn:doorbell:problem:invalid_json",
            "title": "The body is not the JSON that is wanted",
            "status": 400,
            "code": "invalid_json",
            "detail": format!("The body is not valid JSON: {reason}."),
        });
        assert_eq!(answer.whole(), (400, problem));
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    }
    assert_eq!(world.get("/app/crm/msg").await.ids(), [""; 0]);
}

async fn what_has_another_shape_names_its_fields(world: World) {
    world.app("crm").await;
    let problem = |loc: Value, msg: &str, kind: &str| {
        let problem = json!({
            "type": "urn:doorbell:problem:validation_error",
            "title": "Some fields are not valid",
            "status": 422,
            "code": "validation_error",
            "detail": [{"loc": loc, "msg": msg, "type": kind}],
        });
        (422, problem)
    };
    let missing = world.post("/app/crm/msg", &json!({"eventType": "a"})).await;
    let text = "missing field `payload` at line 1 column 17";
    assert_eq!(missing.whole(), problem(json!(["body"]), text, "type_error"));
    let spaced = world.post("/app/crm/msg", &json!({"eventType": "a b", "payload": {}})).await;
    let text = "must be 1 to 256 characters of A-Z a-z 0-9 . _ -, got \"a b\"";
    assert_eq!(spaced.whole(), problem(json!(["body", "eventType"]), text, "value_error"));
    let late = json!({"eventType": "a", "payload": {}, "deliverAt": "2028-01-01T00:00:00Z"});
    let late = world.post("/app/crm/msg", &late).await;
    let text = "must lie within a year";
    assert_eq!(late.whole(), problem(json!(["body", "deliverAt"]), text, "value_error"));
}

async fn the_same_key_with_the_same_message_gets_the_same_answer(world: World) {
    world.app("crm").await;
    let message = json!({"eventType": "contact.created", "payload": {"n": 1}});
    let first = world.send(keyed("key-1", &message)).await;
    assert_eq!(first.status, 202);
    world.pass_ms(60_000);
    let again = world.send(keyed("\"key-1\"", &message)).await;
    assert_eq!(again.whole(), first.whole());
    let other = json!({"eventType": "contact.created", "payload": {"n": 2}});
    let other = world.send(keyed("key-1", &other)).await;
    let problem = json!({
        "type": "urn:doorbell:problem:idempotency_mismatch",
        "title": "The key was used for another request",
        "status": 422,
        "code": "idempotency_mismatch",
        "detail": [{
            "loc": ["body"],
            "msg": "This Idempotency-Key was used for another message. Use a new key for a new \
                    message.",
            "type": "idempotency_mismatch",
        }],
    });
    assert_eq!(other.whole(), (422, problem));
    assert_eq!(world.get("/app/crm/msg").await.ids().len(), 1);
    let free = world.send(keyed("key-2", &message)).await;
    assert_ne!(free.ok()["id"], first.ok()["id"]);
}

async fn an_event_id_is_used_once(world: World) {
    world.app("crm").await;
    world.app("shop").await;
    let event = json!({"eventId": "contact-7-created"});
    let id = world.publish("crm", event.clone()).await;
    let body = json!({"eventType": "a", "payload": {}, "eventId": "contact-7-created"});
    let problem = json!({
        "type": "urn:doorbell:problem:event_id_taken",
        "title": "A message with this event id exists",
        "status": 409,
        "code": "event_id_taken",
        "detail": "A message with this eventId exists in the application already.",
    });
    assert_eq!(world.post("/app/crm/msg", &body).await.whole(), (409, problem));
    // Another tenant's event ids are its own.
    let other = world.publish("shop", event).await;
    assert_ne!(id, other);
    let found = world.get("/app/crm/msg/contact-7-created").await;
    assert_eq!(found.ok()["id"], id);
}

async fn raw_content_keeps_its_type(world: World) {
    let app = world.app("crm").await;
    let raw = |params: Value| json!({"transformationsParams": params});
    let csv = json!({"rawPayload": "a,b\r\n1,\"é\"", "headers": {"Content-Type": "text/csv"}});
    let id = world.publish("crm", raw(csv)).await;
    let stored = world.store.message_in_app(app, &id).await.unwrap().unwrap();
    assert_eq!(stored.payload.as_deref(), Some("a,b\r\n1,\"é\"".as_bytes()));
    let shown = json!({
        "id": id,
        "eventType": "contact.created",
        "payload": {},
        "eventId": null,
        "channels": null,
        "tags": null,
        "deliverAt": null,
        "timestamp": "2026-11-24T08:00:00.000Z",
        "contentType": "text/csv",
        "rawPayload": "a,b\r\n1,\"é\"",
        "outcome": "no_match",
    });
    assert_eq!(world.get(&format!("/app/crm/msg/{id}")).await.whole(), (200, shown));
    // Undeclared raw content is JSON, kept as it is.
    let id = world.publish("crm", raw(json!({"rawPayload": "{ \"n\":1.0 }"}))).await;
    let read = world.get(&format!("/app/crm/msg/{id}")).await;
    assert_eq!(message_of(&read), (id, "{ \"n\":1.0 }"));
    let mut body = raw(json!({"rawPayload": "a,b"}));
    body["eventType"] = json!("contact.created");
    body["payload"] = json!({});
    let refused = world.post("/app/crm/msg", &body).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_json")));
}

async fn every_message_of_a_batch_has_its_own_answer(world: World) {
    world.app("crm").await;
    let body = r#"{"messages":[
        {"eventType":"contact.created","payload":{"n":1E400}},
        {"eventType":"contact.created"},
        {"eventType":"contact.created","payload":{},"eventId":"once"},
        {"eventType":"contact.created","payload":{},"eventId":"once"},
        {"eventType":"no good","payload":{}},
        {"eventType":"contact.deleted","payload":[1, 2]}
    ]}"#;
    let answer = world.call(Method::POST, "/app/crm/msg/batch", body).await;
    assert_eq!(answer.status, 202);
    assert!(answer.text().contains(r#""payload":{"n":1E400}"#), "{}", answer.text());
    // No value can hold 1E400: the rest is compared without it.
    let answer: Value = serde_json::from_str(&answer.text().replace("1E400", "1")).unwrap();
    let data = answer["data"].as_array().expect("a list");
    let statuses: Vec<_> = data.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 422, 202, 409, 422, 202]);
    let codes: Vec<_> = data.iter().map(|one| one["problem"]["code"].as_str()).collect();
    let validation = Some("validation_error");
    assert_eq!(codes, [None, validation, None, Some("event_id_taken"), validation, None]);
    let last = &data[5]["message"];
    let expected = json!({
        "id": last["id"],
        "eventType": "contact.deleted",
        "payload": [1, 2],
        "eventId": null,
        "deliverAt": null,
        "timestamp": "2026-11-24T08:00:00.000Z",
    });
    assert_eq!(data[5], json!({"status": 202, "message": expected}));
    assert_eq!(world.get("/app/crm/msg?with_content=false").await.ids().len(), 3);
    for messages in [vec![], vec![json!({}); 1_001]] {
        let refused = world.post("/app/crm/msg/batch", &json!({"messages": messages})).await;
        assert_eq!(refused.json()["detail"][0]["msg"], "must have 1 to 1000 entries");
    }
}

async fn large_payloads_are_refused(world: World) {
    world.app("crm").await;
    let fits = "x".repeat(MAX_PAYLOAD_BYTES - 2);
    world.publish("crm", json!({"payload": fits})).await;
    let large = json!({"eventType": "a", "payload": format!("{fits}x")});
    let problem = json!({
        "type": "urn:doorbell:problem:payload_too_large",
        "title": "The body is too large",
        "status": 413,
        "code": "payload_too_large",
        "detail": "The payload has 65537 bytes; at most 65536 are allowed.",
    });
    assert_eq!(world.post("/app/crm/msg", &large).await.whole(), (413, problem));
    let huge = json!({"eventType": "a", "payload": fits.repeat(8)});
    assert_eq!(world.post("/app/crm/msg", &huge).await.status, 413);
}

async fn the_answer_leaves_the_payload_out_when_asked_to(world: World) {
    world.app("crm").await;
    let body = json!({"eventType": "a", "payload": {"n": 1}, "tags": ["t"], "channels": ["eu"]});
    let answer = world.post("/app/crm/msg?with_content=false", &body).await;
    let expected = json!({
        "id": answer.ok()["id"],
        "eventType": "a",
        "payload": {},
        "eventId": null,
        "channels": ["eu"],
        "tags": ["t"],
        "deliverAt": null,
        "timestamp": "2026-11-24T08:00:00.000Z",
    });
    assert_eq!(answer.whole(), (202, expected));
}

async fn an_application_can_come_along(world: World) {
    let body = json!({"eventType": "a", "payload": {}});
    assert_eq!(world.post("/app/new/msg", &body).await.whole(), no_such("application"));
    let with = json!({"eventType": "a", "payload": {}, "application": {"name": "New"}});
    let id = world.post("/app/new/msg", &with).await.ok()["id"].clone();
    assert_eq!(world.get("/app/new").await.ok()["name"], "New");
    assert_eq!(world.get("/app/new/msg").await.ids(), [id.as_str().unwrap()]);
}
