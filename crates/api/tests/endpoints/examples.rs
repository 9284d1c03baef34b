//! Examples of event types, sent to one endpoint.

use serde_json::{Value, json};
use testkit::on_both;

use crate::invalid;
use crate::world::{World, no_such};

const PATH: &str = "/app/one/endpoint/mine/send-example";

async fn one_endpoint(world: &World, schemas: Value) {
    world.app_called("one").await;
    // It wants something else; examples come all the same.
    let wish = json!({"url": "https://example.com/", "eventTypes": ["property.*"]});
    world.put("/app/one/endpoint/mine", &wish).await.ok();
    world.put("/app/one/endpoint/all", &json!({"url": "https://example.com/"})).await.ok();
    let event_type = json!({"name": "contact.created", "description": "", "schemas": schemas});
    world.post("/event-type", &event_type).await.ok();
}

fn message(id: &Value, payload: Value) -> Value {
    json!({
        "id": id,
        "eventType": "contact.created",
        "payload": payload,
        "eventId": null,
        "channels": null,
        "tags": null,
        "deliverAt": null,
        "timestamp": "2026-11-24T08:00:00.000Z",
    })
}

on_both! {
    async fn an_example_goes_to_this_endpoint_only(world: World) {
        let schemas = json!({"1": {}, "2": {"examples": [{"n": 1}, {"z": 1, "a": 2}]}});
        one_endpoint(&world, schemas).await;
        let wish = json!({"eventType": "contact.created", "exampleIndex": 1});
        let answer = world.post(PATH, &wish).await;
        let id = answer.ok()["id"].clone();
        assert_eq!(answer.whole(), (202, message(&id, json!({"z": 1, "a": 2}))));

        // Nobody else gets it.
        let lease = world.only_starting().await;
        assert_eq!(lease.envelope.payload.as_deref(), Some(&br#"{"z":1,"a":2}"#[..]));
        assert_eq!(json!(lease.envelope.message_id.to_string()), id);
        assert_eq!(lease.route.endpoint.uid.as_deref(), Some("mine"));
    }

    async fn without_a_schema_it_says_what_it_is(world: World) {
        one_endpoint(&world, Value::Null).await;
        let answer = world.post(PATH, &json!({"eventType": "contact.created"})).await;
        let payload = json!({"type": "contact.created", "example": true});
        assert_eq!(answer.whole(), (202, message(&answer.json()["id"], payload)));
    }

    async fn an_unknown_example_is_refused(world: World) {
        one_endpoint(&world, json!({"1": {"examples": [1]}})).await;
        let answer = world.post(PATH, &json!({"eventType": "contact.created", "exampleIndex": 1})).await;
        let why = "must be the index of one of the schema's examples, counted from 0";
        assert_eq!(answer.whole(), invalid("exampleIndex", why));
        let answer = world.post(PATH, &json!({"eventType": "contact.deleted"})).await;
        assert_eq!(answer.whole(), no_such("event type"));
    }

    async fn a_disabled_endpoint_gets_none(world: World) {
        one_endpoint(&world, Value::Null).await;
        world.patch("/app/one/endpoint/mine", &json!({"disabled": true})).await.ok();
        let answer = world.post(PATH, &json!({"eventType": "contact.created"})).await;
        let problem = json!({
            "type": "urn:doorbell:problem:endpoint_disabled",
            "title": "The endpoint is disabled",
            "status": 409,
            "code": "endpoint_disabled",
            "detail": "Nothing would be sent: the endpoint is disabled. Enable it first.",
        });
        assert_eq!(answer.whole(), (409, problem));
    }
}
