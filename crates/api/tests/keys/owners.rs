use http::Method;
use serde_json::json;
use testkit::on_both;

use crate::world::World;

const PATH: &str = "/app/one/keyspace/crm/owner/acme";

on_both! {
    async fn one_switch_for_all_keys_of_an_owner(world: World) {
        let (mine, other) = (world.key(json!({"owner": "acme"})).await, world.key(json!({})).await);
        let unwritten = world.read(PATH).await;
        assert_eq!((&unwritten["enabled"], &unwritten["limits"]), (&json!(true), &json!([])));

        world.ok(Method::PUT, PATH, json!({"enabled": false})).await;
        assert_eq!(world.read(PATH).await["enabled"], false);
        assert_eq!(world.code(&mine.token).await, "OWNER_DISABLED");
        assert_eq!(world.code(&other.token).await, "VALID");
        world.ok(Method::PUT, PATH, json!({})).await;
        assert_eq!(world.code(&mine.token).await, "VALID");
    }

    async fn keys_of_an_owner_share_its_limits(world: World) {
        let minute =
            json!({"name": "minute", "limit": 2, "windowMs": 60_000, "subject": "owner"});
        world.ok(Method::PUT, PATH, json!({"limits": [minute]})).await;
        let one = world.key(json!({"owner": "acme"})).await;
        let two = world.key(json!({"owner": "acme"})).await;
        assert_eq!(world.code(&one.token).await, "VALID");
        assert_eq!(world.code(&two.token).await, "VALID");
        assert_eq!(world.code(&one.token).await, "RATE_LIMITED");
        assert_eq!(world.code(&two.token).await, "RATE_LIMITED");
    }
}
