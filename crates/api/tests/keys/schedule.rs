//! What happens to keys by the clock, seen from outside.

use http::Method;
use serde_json::{Value, json};
use store::{AppRef, MessageQuery};
use testkit::on_both;
use testkit::server::PATIENCE;

use crate::world::World;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Waits for one event of this type, and answers it.
async fn heard(world: &World, event_type: &str) -> Value {
    let app = world.store.app(&AppRef::new("operations")).await.unwrap().unwrap();
    let mut query = MessageQuery { with_content: true, ..MessageQuery::default() };
    query.filter.event_types.push(event_type.to_owned());
    let hearing = async {
        loop {
            let messages = world.store.messages_in_app(app.id, &query).await.unwrap().data;
            if let [message] = &messages[..] {
                return serde_json::from_slice(message.payload.as_ref().unwrap()).unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, hearing).await.expect("it is said")
}

fn advance(world: &World, days: u64) {
    world.clock.advance_to(world.clock.now().plus_ms(days * DAY_MS));
}

on_both! {
    async fn what_a_policy_renewed_is_collected_once(world: World) {
        for uid in ["operations", "two"] {
            world.made("/app", json!({"name": uid, "uid": uid})).await;
        }
        let rotation =
            json!({"intervalMs": 90 * DAY_MS, "graceMs": 10 * DAY_MS, "noticeMs": 7 * DAY_MS});
        let key = world.key(json!({"rotation": rotation})).await;
        let collect = async |path: &str| world.ask(Method::POST, path, Value::Null).await;
        let reply = collect(&key.path("/collect")).await;
        assert_eq!((reply.status, &reply.json["code"]), (409, &json!("nothing_to_collect")));

        advance(&world, 83);
        let due = heard(&world, "key.rotation_due").await;
        assert_eq!(due["data"]["keyId"], json!(key.id));
        advance(&world, 7);
        let rotated = heard(&world, "key.rotated").await;
        assert_eq!(rotated["data"]["byPolicy"], json!(true));

        let foreign = format!("/app/two/key/{}/collect", key.id);
        assert_eq!(collect(&foreign).await.status, 404);
        let reply = collect(&key.path("/collect")).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        let token = reply.json["token"].as_str().unwrap();
        assert_eq!(world.code(token).await, "VALID");
        assert_eq!(world.verdict(&key.token, json!({})).await["superseded"], true);
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(collect(&key.path("/collect")).await.status, 409);
        advance(&world, 10);
        assert_eq!(world.code(&key.token).await, "ROTATED_OUT");
        assert_eq!(world.code(token).await, "VALID");
    }
}
