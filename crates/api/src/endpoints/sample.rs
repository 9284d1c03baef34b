//! A sample payload of an event type: its schema's own example, else one made from the schema,
//! else one that says what it is.

use model::event_type::EventType;
use serde_json::{Map, Value, json};

/// How deep a made sample goes.
const MAX_DEPTH: usize = 8;

/// None when the schema has no example of this index. Index 0 always gives something.
pub(super) fn of(event_type: &EventType, index: usize) -> Option<Value> {
    let schema = event_type.schemas.as_ref().and_then(newest);
    let own = schema.and_then(|schema| own_example(schema, index));
    if own.is_some() || index > 0 {
        return own;
    }
    let made = schema.map(|schema| made(schema, MAX_DEPTH)).filter(|made| !made.is_null());
    made.or_else(|| Some(json!({"type": event_type.name, "example": true})))
}

/// The schema of the highest version: 10 comes after 9, and names come after numbers.
fn newest(schemas: &Value) -> Option<&Value> {
    let rank =
        |version: &str| (version.parse::<u64>().map_or((1, 0), |n| (0, n)), version.to_owned());
    let versions = schemas.as_object()?.iter();
    versions.max_by_key(|(version, _)| rank(version)).map(|(_, schema)| schema)
}

fn own_example(schema: &Value, index: usize) -> Option<Value> {
    let listed = schema.get("examples").and_then(|examples| examples.get(index));
    let single = schema.get("example").filter(|_| index == 0);
    listed.or(single).cloned()
}

/// A value that the schema describes; null where it does not say.
fn made(schema: &Value, depth: usize) -> Value {
    let given = [schema.get("const"), schema.get("default"), schema.pointer("/enum/0")];
    let given = given.into_iter().flatten().next().cloned();
    if let Some(value) = given.or_else(|| own_example(schema, 0)) {
        return value;
    }
    if depth == 0 {
        return Value::Null;
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => made_object(schema, depth),
        None if schema.get("properties").is_some() => made_object(schema, depth),
        Some("array") => match schema.get("items") {
            Some(items) => json!([made(items, depth - 1)]),
            None => json!([]),
        },
        Some("string") => made_string(schema),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        _ => made_variant(schema, depth),
    }
}

fn made_object(schema: &Value, depth: usize) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let fields = properties.into_iter().flatten();
    let fields = fields.map(|(name, schema)| (name.clone(), made(schema, depth - 1)));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn made_string(schema: &Value) -> Value {
    let text = match schema["format"].as_str() {
        Some("date-time") => "2026-11-24T08:26:00Z",
        Some("date") => "2026-11-24",
        Some("time") => "08:26:00Z",
        Some("email") => "ada@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "example",
    };
    json!(text)
}

fn made_variant(schema: &Value, depth: usize) -> Value {
    let variant = schema.pointer("/oneOf/0").or_else(|| schema.pointer("/anyOf/0"));
    variant.map_or(Value::Null, |variant| made(variant, depth - 1))
}

#[cfg(test)]
mod tests {
    use model::{Entropy, EventTypeId, Timestamp};

    use super::*;

    fn event_type(schemas: Option<Value>) -> EventType {
        EventType {
            id: EventTypeId::new(Timestamp(0), &Entropy::seeded(1)),
            name: "contact.created".to_owned(),
            description: String::new(),
            archived: false,
            deprecated: false,
            schemas,
            feature_flags: None,
            group_name: None,
            retry_schedule: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn own_examples_of_the_newest_version_come_first() {
        let newest = json!({"examples": [{"n": 1}, {"n": 2}], "example": {"n": 3}});
        let schemas = json!({"9": {"example": "old"}, "10": newest});
        let event_type = event_type(Some(schemas));
        assert_eq!(of(&event_type, 0), Some(json!({"n": 1})));
        assert_eq!(of(&event_type, 1), Some(json!({"n": 2})));
        assert_eq!(of(&event_type, 2), None);
    }

    #[test]
    fn without_any_schema_it_says_what_it_is() {
        let plain = json!({"type": "contact.created", "example": true});
        for schemas in [None, Some(json!({})), Some(json!({"1": {}}))] {
            assert_eq!(of(&event_type(schemas), 0), Some(plain.clone()));
        }
        assert_eq!(of(&event_type(None), 1), None);
    }

    #[test]
    fn a_sample_is_made_from_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "id": {"type": "integer", "minimum": 7},
                "at": {"type": "string", "format": "date-time"},
                "kind": {"enum": ["lead", "owner"]},
                "name": {"type": ["string", "null"]},
                "tags": {"type": "array", "items": {"type": "string", "example": "vip"}},
                "address": {"properties": {"city": {"type": "string", "default": "Oslo"}}},
                "contact": {"oneOf": [{"type": "boolean"}, {"type": "string"}]},
                "other": {},
            },
        });
        let sample = of(&event_type(Some(json!({"v1": schema}))), 0);
        let expected = json!({
            "id": 7,
            "at": "2026-11-24T08:26:00Z",
            "kind": "lead",
            "name": "example",
            "tags": ["vip"],
            "address": {"city": "Oslo"},
            "contact": true,
            "other": null,
        });
        assert_eq!(sample, Some(expected));
    }

    #[test]
    fn a_deep_schema_ends() {
        let mut schema = json!({"type": "string"});
        for _ in 0..MAX_DEPTH {
            schema = json!({"type": "array", "items": schema});
        }
        let mut sample = &made(&schema, MAX_DEPTH);
        for _ in 0..MAX_DEPTH {
            sample = &sample[0];
        }
        assert_eq!(*sample, Value::Null);
    }
}
