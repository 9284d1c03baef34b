//! Create, read, update, delete; and whose endpoints they are.

use axum::http::Method;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{World, no_such};
use crate::{taken, with};

/// An endpoint with nothing but a URL, as it is answered.
fn plain(id: &Value, url: &str) -> Value {
    json!({
        "id": id,
        "url": url,
        "description": "",
        "uid": null,
        "disabled": false,
        "disabledReason": null,
        "disabledNote": null,
        "disabledAt": null,
        "pausedAt": null,
        "eventTypes": null,
        "filterTypes": null,
        "channels": null,
        "throttleRate": null,
        "rateLimit": null,
        "maxInFlight": null,
        "retrySchedule": null,
        "bodySignature": null,
        "metadata": {},
        "createdAt": "2026-11-24T08:00:00.000Z",
        "updatedAt": "2026-11-24T08:00:00.000Z",
        "version": 1,
    })
}

/// Everything that can be wished for, old names left out.
fn everything() -> Value {
    json!({
        "url": "https://example.com/hook",
        "description": "All contacts",
        "uid": "contacts",
        "disabled": false,
        "eventTypes": ["contact.*", "property.updated"],
        "channels": ["eu"],
        "throttleRate": 50,
        "maxInFlight": 4,
        "retrySchedule": [0, 0.5, 5, 15],
        "bodySignature": {"header": "X-Hub-Signature-256"},
        "metadata": {"team": "sales"},
    })
}

on_both! {
    async fn what_is_created_is_read_back(world: World) {
        world.app_called("one").await;
        let url = "https://example.com/";
        let created = world.post("/app/one/endpoint", &json!({"url": "https://EXAMPLE.com"})).await;
        let id = &created.ok()["id"];
        assert_eq!(created.whole(), (201, plain(id, url)));

        let path = format!("/app/one/endpoint/{}", id.as_str().unwrap());
        assert_eq!(world.get(&path).await.whole(), (200, plain(id, url)));

        let full = world.post("/app/one/endpoint", &everything()).await.ok();
        let mut expected = with(&plain(&full["id"], url), everything());
        expected["filterTypes"] = expected["eventTypes"].clone();
        expected["rateLimit"] = json!(50);
        assert_eq!(full, expected);
        assert_eq!(world.get("/app/one/endpoint/contacts").await.whole(), (200, expected));
    }

    async fn what_is_read_can_be_written_back(world: World) {
        world.app_called("one").await;
        let created = world.post("/app/one/endpoint", &everything()).await.ok();
        let path = format!("/app/one/endpoint/{}", created["id"].as_str().unwrap());
        assert_eq!(world.put(&path, &created).await.whole(), (200, created.clone()));
        assert_eq!(world.patch(&path, &created).await.whole(), (200, created.clone()));
        assert_eq!(world.get(&path).await.whole(), (200, created));
    }

    async fn put_creates_under_the_uid_and_then_updates(world: World) {
        world.app_called("one").await;
        let wish = json!({"url": "https://example.com/a"});
        let created = world.put("/app/one/endpoint/mine", &wish).await;
        let id = &created.ok()["id"];
        let expected = with(&plain(id, "https://example.com/a"), json!({"uid": "mine"}));
        assert_eq!(created.whole(), (201, expected.clone()));

        world.advance_ms(1_000);
        let later = json!({"updatedAt": "2026-11-24T08:00:01.000Z"});
        let again = world.put("/app/one/endpoint/mine", &wish).await;
        assert_eq!(again.whole(), (200, with(&expected, later)));

        let path = format!("/app/one/endpoint/{}", id.as_str().unwrap());
        let without_uid = world.put(&path, &wish).await;
        assert_eq!(without_uid.ok()["uid"], Value::Null);
        assert_eq!(world.get("/app/one/endpoint/mine").await.whole(), no_such("endpoint"));
    }

    async fn null_clears_and_absent_stays(world: World) {
        world.app_called("one").await;
        let created = world.post("/app/one/endpoint", &everything()).await.ok();
        let path = format!("/app/one/endpoint/{}", created["id"].as_str().unwrap());
        assert_eq!(world.patch(&path, &json!({})).await.whole(), (200, created.clone()));

        let one = world.patch(&path, &json!({"throttleRate": 7})).await;
        let changed = with(&created, json!({"throttleRate": 7, "rateLimit": 7}));
        assert_eq!(one.whole(), (200, changed));

        let clear = json!({
            "description": null,
            "uid": null,
            "eventTypes": null,
            "channels": null,
            "throttleRate": null,
            "maxInFlight": null,
            "retrySchedule": null,
            "bodySignature": null,
            "metadata": null,
        });
        let cleared = plain(&created["id"], "https://example.com/hook");
        assert_eq!(world.patch(&path, &clear).await.whole(), (200, cleared.clone()));
        assert_eq!(world.get(&path).await.whole(), (200, cleared));
    }

    async fn a_uid_is_taken_once_per_app(world: World) {
        world.app_called("one").await;
        world.app_called("two").await;
        let wish = json!({"url": "https://example.com/", "uid": "mine"});
        assert_eq!(world.post("/app/one/endpoint", &wish).await.status, 201);
        assert_eq!(world.post("/app/two/endpoint", &wish).await.status, 201);

        let taken = taken("Another endpoint of the application has this uid.");
        assert_eq!(world.post("/app/one/endpoint", &wish).await.whole(), taken);
        let other = json!({"url": "https://example.com/", "uid": "other"});
        assert_eq!(world.post("/app/one/endpoint", &other).await.status, 201);
        let uid = json!({"uid": "mine"});
        assert_eq!(world.patch("/app/one/endpoint/other", &uid).await.whole(), taken);
        assert_eq!(world.put("/app/one/endpoint/other", &wish).await.whole(), taken);
    }

    async fn what_is_deleted_is_gone(world: World) {
        world.app_called("one").await;
        world.put("/app/one/endpoint/mine", &json!({"url": "https://example.com/"})).await.ok();
        let deleted = world.delete("/app/one/endpoint/mine").await;
        assert_eq!((deleted.status, deleted.text()), (204, ""));
        assert_eq!(world.get("/app/one/endpoint/mine").await.whole(), no_such("endpoint"));
        assert_eq!(world.delete("/app/one/endpoint/mine").await.whole(), no_such("endpoint"));

        let tasks = world.get("/background-task").await.ok();
        assert_eq!(tasks["data"][0]["task"], "application.purge_content");
        let again = world.put("/app/one/endpoint/mine", &json!({"url": "https://example.com/"})).await;
        assert_eq!(again.status, 201);
    }

    async fn an_endpoint_of_another_app_does_not_exist(world: World) {
        world.app_called("one").await;
        world.app_called("two").await;
        let url = json!({"url": "https://example.com/"});
        let foreign = world.post("/app/two/endpoint", &url).await.ok()["id"].clone();
        let foreign = foreign.as_str().unwrap();
        let unknown = "ep_0000000000000000000000000aa";
        let body = json!({
            "url": "https://example.com/",
            "headers": {},
            "eventType": "contact.created",
            "since": "2026-11-24T07:00:00Z",
        });
        let calls = [
            (Method::GET, ""),
            (Method::PUT, ""),
            (Method::PATCH, ""),
            (Method::GET, "/secret"),
            (Method::POST, "/secret/rotate"),
            (Method::GET, "/headers"),
            (Method::PUT, "/headers"),
            (Method::PATCH, "/headers"),
            (Method::GET, "/stats"),
            (Method::POST, "/send-example"),
            (Method::POST, "/recover"),
            (Method::POST, "/replay-missing"),
            (Method::POST, "/bulk-replay"),
            (Method::POST, "/pause"),
            (Method::POST, "/resume"),
            (Method::DELETE, ""),
        ];
        for (method, rest) in calls {
            for id in [foreign, unknown] {
                let path = format!("/app/one/endpoint/{id}{rest}");
                let answer = world.call(method.clone(), &path, body.to_string()).await;
                assert_eq!(answer.whole(), no_such("endpoint"), "{method} {path}");
            }
        }
        assert!(world.get("/app/one/endpoint").await.ids().is_empty());
        let still = world.get(&format!("/app/two/endpoint/{foreign}")).await;
        assert_eq!(still.whole(), (200, plain(&json!(foreign), "https://example.com/")));
    }

    async fn lists_are_paged_newest_first(world: World) {
        world.app_called("one").await;
        world.app_called("two").await;
        let mut ids = Vec::new();
        for app in ["one", "two", "one", "one"] {
            world.advance_ms(1);
            let url = json!({"url": "https://example.com/"});
            let created = world.post(&format!("/app/{app}/endpoint"), &url).await.ok();
            if app == "one" {
                ids.insert(0, created["id"].as_str().unwrap().to_owned());
            }
        }
        let first = world.get("/app/one/endpoint?limit=2").await;
        assert_eq!(first.ids(), ids[..2]);
        assert_eq!(first.ok()["done"], false);
        let iterator = first.ok()["iterator"].as_str().unwrap().to_owned();
        let last = world.get(&format!("/app/one/endpoint?limit=2&iterator={iterator}")).await;
        assert_eq!(last.ids(), ids[2..]);
        assert_eq!(last.ok()["done"], true);
        ids.reverse();
        assert_eq!(world.get("/app/one/endpoint?order=ascending").await.ids(), ids);
    }

    async fn pausing_and_resuming_can_be_repeated(world: World) {
        world.app_called("one").await;
        let created = world.put("/app/one/endpoint/mine", &json!({"url": "https://e.com/"})).await.ok();
        world.advance_ms(1_000);
        let moment = "2026-11-24T08:00:01.000Z";
        let paused = with(&created, json!({"pausedAt": moment, "updatedAt": moment}));
        for _ in 0..2 {
            let answer = world.post("/app/one/endpoint/mine/pause", &json!({})).await;
            assert_eq!(answer.whole(), (200, paused.clone()));
            world.advance_ms(1_000);
        }
        let message = world.publish("one").await;
        assert!(world.starting().await.is_empty(), "it is held");

        let resumed = with(&created, json!({"updatedAt": "2026-11-24T08:00:03.000Z"}));
        for _ in 0..2 {
            let answer = world.post("/app/one/endpoint/mine/resume", &json!({})).await;
            assert_eq!(answer.whole(), (200, resumed.clone()));
            world.advance_ms(1_000);
        }
        let lease = world.only_starting().await;
        assert_eq!(lease.envelope.message_id.to_string(), message, "it was not dropped");
    }

    async fn disabling_remembers_since_when(world: World) {
        world.app_called("one").await;
        let created = world.put("/app/one/endpoint/mine", &json!({"url": "https://e.com/"})).await.ok();
        let off = json!({"disabled": true});
        let disabled = with(
            &created,
            json!({
                "disabled": true,
                "disabledReason": "by_hand",
                "disabledAt": "2026-11-24T08:00:00.000Z",
            }),
        );
        assert_eq!(world.patch("/app/one/endpoint/mine", &off).await.whole(), (200, disabled.clone()));
        world.advance_ms(1_000);
        let later = json!({"updatedAt": "2026-11-24T08:00:01.000Z"});
        let again = world.patch("/app/one/endpoint/mine", &off).await;
        assert_eq!(again.whole(), (200, with(&disabled, later.clone())));

        let on = world.patch("/app/one/endpoint/mine", &json!({"disabled": false})).await;
        assert_eq!(on.whole(), (200, with(&created, later)));
    }
}
