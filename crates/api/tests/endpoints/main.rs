//! Endpoints and event types, driven through the API's router.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod breaker;
mod event_types;
mod examples;
mod fields;
mod headers;
mod lifecycle;
mod operational_webhooks;
mod secret_life;
mod secrets;
mod signatures;
mod switching;
mod tasks;
mod world;

use serde_json::{Value, json};

/// A 422 for this field.
fn invalid(field: &str, msg: &str) -> (u16, Value) {
    let problem = json!({
        "type": "urn:doorbell:problem:validation_error",
        "title": "Some fields are not valid",
        "status": 422,
        "code": "validation_error",
        "detail": [{"loc": ["body", field], "msg": msg, "type": "value_error"}],
    });
    (422, problem)
}

/// A 409 for a name that something else has.
fn taken(detail: &str) -> (u16, Value) {
    let problem = json!({
        "type": "urn:doorbell:problem:conflict",
        "title": "Something else has this name",
        "status": 409,
        "code": "conflict",
        "detail": detail,
    });
    (409, problem)
}

/// `before` with these fields in the place of its own.
fn with(before: &Value, changes: Value) -> Value {
    let mut after = before.clone();
    let fields = after.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    after
}
