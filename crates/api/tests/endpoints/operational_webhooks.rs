//! The short way to the endpoints of the operations app.

use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{World, no_such};

const PATH: &str = "/operational-webhook/endpoint";

on_both! {
    async fn nothing_is_there_until_somebody_wants_to_hear(world: World) {
        assert!(world.get(PATH).await.ids().is_empty());
        assert_eq!(world.get(&format!("{PATH}/mine")).await.whole(), no_such("endpoint"));
        let change = json!({"description": "new"});
        assert_eq!(world.patch(&format!("{PATH}/mine"), &change).await.whole(), no_such("endpoint"));
        assert_eq!(world.get("/app/operations").await.status, 404);
    }

    async fn the_first_endpoint_makes_the_app(world: World) {
        let wish = json!({
            "url": "https://example.com/operations",
            "uid": "mine",
            "filterTypes": ["endpoint.disabled"],
        });
        let created = world.post(PATH, &wish).await;
        assert_eq!(created.status, 201);
        let created = created.ok();
        assert_eq!(created["eventTypes"], json!(["endpoint.disabled"]));
        let same = world.get("/app/operations/endpoint/mine").await;
        assert_eq!(same.ok(), created);
        assert_eq!(world.get(&format!("{PATH}/mine")).await.ok(), created);
        assert_eq!(world.get(PATH).await.ids(), [created["id"].as_str().unwrap()]);

        // And something is heard there.
        world.app_called("one").await;
        world.put("/app/one/endpoint/mine", &json!({"url": "https://example.com/"})).await.ok();
        world.post("/app/one/endpoint/mine/disable", &json!({"reason": "moves"})).await.ok();
        let heard = world.get("/app/operations/msg?order=ascending").await.ok();
        let mut types: Vec<&str> =
            heard["data"].as_array().unwrap().iter().map(|event| event["eventType"].as_str().unwrap()).collect();
        types.sort_unstable();
        assert_eq!(types, ["endpoint.created", "endpoint.disabled"]);
        let [lease] = world.starting().await.try_into().expect("the one that was asked for");
        let body: Value = serde_json::from_slice(lease.envelope.payload.as_ref().unwrap()).unwrap();
        assert_eq!((&body["data"]["note"], &body["data"]["appUid"]), (&json!("moves"), &json!("one")));
    }

    async fn all_of_it_can_be_done_there(world: World) {
        let path = format!("{PATH}/mine");
        assert_eq!(world.put(&path, &json!({"url": "https://example.com/"})).await.status, 201);
        assert_eq!(world.put(&path, &json!({"url": "https://example.com/b"})).await.status, 200);
        let patched = world.patch(&path, &json!({"description": "new"})).await.ok();
        assert_eq!((&patched["description"], &patched["url"]), (&json!("new"), &json!("https://example.com/b")));
        let headers = json!({"headers": {"X-Tenant": "7"}});
        assert_eq!(world.put(&format!("{path}/headers"), &headers).await.status, 204);
        let stored = world.get(&format!("{path}/headers")).await.ok();
        assert_eq!(stored["headers"], json!({"X-Tenant": "7"}));
        let secret = world.get(&format!("{path}/secret")).await.ok();
        world.post(&format!("{path}/secret/rotate"), &json!({})).await.ok();
        assert_ne!(world.get(&format!("{path}/secret")).await.ok(), secret);
        assert_eq!(world.delete(&path).await.status, 204);
        assert_eq!(world.get(&path).await.whole(), no_such("endpoint"));
        assert_eq!(world.get("/app/operations").await.status, 200);
    }
}
