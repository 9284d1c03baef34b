//! The catalogue of event types.

use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{World, no_such};
use crate::{invalid, taken, with};

fn plain(name: &str) -> Value {
    json!({
        "name": name,
        "description": "",
        "archived": false,
        "deprecated": false,
        "schemas": null,
        "featureFlags": null,
        "featureFlag": null,
        "groupName": null,
        "retrySchedule": null,
        "createdAt": "2026-11-24T08:00:00.000Z",
        "updatedAt": "2026-11-24T08:00:00.000Z",
    })
}

fn everything() -> Value {
    json!({
        "description": "Somebody new",
        "archived": false,
        "deprecated": true,
        "schemas": {"1": {"type": "object", "example": {"id": 7}}},
        "featureFlags": ["beta", "eu"],
        "groupName": "contact",
        "retrySchedule": [0, 1, 0.25],
    })
}

on_both! {
    async fn what_is_created_is_read_back(world: World) {
        let wish = json!({"name": "contact.created", "description": ""});
        let created = world.post("/event-type", &wish).await;
        assert_eq!(created.whole(), (201, plain("contact.created")));
        let read = world.get("/event-type/contact.created").await;
        assert_eq!(read.whole(), (200, plain("contact.created")));
        let again = world.post("/event-type", &wish).await;
        assert_eq!(again.whole(), taken("Another event type has this name."));
        assert_eq!(world.get("/event-type/contact").await.whole(), no_such("event type"));

        let full = with(&everything(), json!({"name": "contact.updated"}));
        let expected = with(&with(&plain("contact.updated"), everything()), json!({"featureFlag": "beta"}));
        assert_eq!(world.post("/event-type", &full).await.whole(), (201, expected.clone()));
        // What is read can be written back.
        let path = "/event-type/contact.updated";
        assert_eq!(world.put(path, &expected).await.whole(), (200, expected.clone()));
        assert_eq!(world.patch(path, &expected).await.whole(), (200, expected));
    }

    async fn put_creates_and_then_replaces(world: World) {
        let path = "/event-type/contact.created";
        let expected = with(&with(&plain("contact.created"), everything()), json!({"featureFlag": "beta"}));
        assert_eq!(world.put(path, &everything()).await.whole(), (201, expected));

        world.advance_ms(1_000);
        let old_flag = json!({"description": "", "featureFlag": "beta"});
        let expected = with(
            &plain("contact.created"),
            json!({
                "featureFlags": ["beta"],
                "featureFlag": "beta",
                "updatedAt": "2026-11-24T08:00:01.000Z",
            }),
        );
        assert_eq!(world.put(path, &old_flag).await.whole(), (200, expected));
        assert_eq!(world.put(path, &json!({})).await.status, 422, "a description is wanted");
    }

    async fn null_clears_and_absent_stays(world: World) {
        let path = "/event-type/contact.created";
        let created = world.put(path, &everything()).await.ok();
        assert_eq!(world.patch(path, &json!({})).await.whole(), (200, created.clone()));
        let changed = world.patch(path, &json!({"description": "New"})).await;
        assert_eq!(changed.whole(), (200, with(&created, json!({"description": "New"}))));
        let clear = json!({
            "description": "",
            "deprecated": false,
            "schemas": null,
            "featureFlags": null,
            "groupName": null,
            "retrySchedule": null,
        });
        let cleared = world.patch(path, &clear).await;
        assert_eq!(cleared.whole(), (200, plain("contact.created")));
    }

    async fn an_archived_one_comes_back_by_creating_it(world: World) {
        let path = "/event-type/contact.created";
        world.put(path, &everything()).await.ok();
        world.advance_ms(1_000);
        let archived = world.delete(path).await;
        assert_eq!((archived.status, archived.text()), (204, ""));
        assert_eq!(world.get(path).await.ok()["archived"], true);

        let wish = json!({"name": "contact.created", "description": "Back"});
        let later = json!({"description": "Back", "updatedAt": "2026-11-24T08:00:01.000Z"});
        let expected = with(&plain("contact.created"), later);
        assert_eq!(world.post("/event-type", &wish).await.whole(), (201, expected.clone()));
        assert_eq!(world.get(path).await.whole(), (200, expected));
    }

    async fn expunging_deletes(world: World) {
        let path = "/event-type/contact.created";
        world.put(path, &everything()).await.ok();
        assert_eq!(world.delete(&format!("{path}?expunge=true")).await.status, 204);
        assert_eq!(world.get(path).await.whole(), no_such("event type"));
        assert_eq!(world.delete(path).await.whole(), no_such("event type"));
    }

    async fn lists_are_by_name_and_leave_out_what_is_not_asked_for(world: World) {
        for name in ["c", "a", "d", "b"] {
            let wish = json!({"description": "", "schemas": {"1": {"title": name}}});
            world.put(&format!("/event-type/{name}"), &wish).await.ok();
        }
        world.delete("/event-type/b").await;

        let page = world.get("/event-type?limit=2&unknown=1").await;
        let expected = json!({
            "data": [plain("a"), plain("c")],
            "done": false,
            "iterator": "c",
            "prevIterator": "-a",
        });
        assert_eq!(page.whole(), (200, expected));
        let last = world.get("/event-type?limit=2&iterator=c&with_content=true").await;
        let expected = json!({
            "data": [with(&plain("d"), json!({"schemas": {"1": {"title": "d"}}}))],
            "done": true,
            "iterator": "d",
            "prevIterator": "-d",
        });
        assert_eq!(last.whole(), (200, expected));

        let all = world.get("/event-type?include_archived=true&order=descending").await.ok();
        let names: Vec<&Value> = all["data"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["d", "c", "b", "a"]);
    }

    async fn bad_fields_are_refused_with_what_is_good(world: World) {
        let name = "must be 1 to 256 characters of A-Z a-z 0-9 . _ -, got \"a b\"";
        let shape = "must be an object of JSON Schema objects by version, \
            such as {\"1\": {\"type\": \"object\"}}";
        let schedule = "must be 1 to 50 delays in seconds, each from 0 to 604800, \
            such as [0, 1, 5, 15], or null for the usual schedule";
        let large = json!({"1": {"title": "x".repeat(256 * 1024)}});
        let size = format!("must be at most 262144 bytes, got {}", large.to_string().len());
        let many = vec!["a"; 65];
        for (field, value, msg) in [
            ("name", json!("a b"), name),
            ("groupName", json!("a b"), name),
            ("featureFlags", json!(["a b"]), name),
            ("featureFlags", json!(many), "must have at most 64 entries"),
            ("description", json!("x".repeat(4_097)), "must be at most 4096 bytes, got 4097"),
            ("schemas", json!({"1": 7}), shape),
            ("schemas", json!([]), shape),
            ("schemas", large, &size),
            ("retrySchedule", json!([]), schedule),
        ] {
            let wish = with(&json!({"name": "a", "description": ""}), json!({field: value}));
            assert_eq!(world.post("/event-type", &wish).await.whole(), invalid(field, msg), "{field}");
        }
        let path = world.put("/event-type/a%20b", &json!({"description": ""})).await;
        assert_eq!(path.whole(), invalid("name", name));
        assert!(world.get("/event-type").await.ok()["data"].as_array().unwrap().is_empty());
    }
}
