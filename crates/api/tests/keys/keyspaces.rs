use http::Method;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{World, keyspace};

on_both! {
    async fn a_keyspace_is_made_changed_and_deleted(world: World) {
        let mut wish = keyspace();
        (wish["uid"], wish["prefix"]) = (json!("billing"), json!("bil"));
        wish["limits"] = json!([{"name": "minute", "limit": 100, "windowMs": 60_000}]);
        wish["ipAllow"] = json!(["192.0.2.0/24"]);
        let made = world.made("/keyspace", wish.clone()).await;
        assert_eq!(made["environments"], json!(["live", "test"]));
        assert_eq!(made["limits"][0]["mode"], "leased");
        assert_eq!(made["limits"][0]["automatic"], true);
        assert_eq!(made["ipAllow"], json!(["192.0.2.0/24"]));

        let id = made["id"].as_str().unwrap();
        assert_eq!(world.read(&format!("/keyspace/{id}")).await, made);
        assert_eq!(world.read("/keyspace/billing").await, made);

        let change = json!({"name": "Billing", "idleExpiryMs": 1_000, "limits": []});
        let changed = world.ok(Method::PATCH, "/keyspace/billing", change).await;
        assert_eq!((&changed["name"], &changed["limits"]), (&json!("Billing"), &json!([])));
        let cleared = json!({"idleExpiryMs": null});
        let cleared = world.ok(Method::PATCH, "/keyspace/billing", cleared).await;
        assert_eq!(cleared["idleExpiryMs"], Value::Null);
        assert_eq!(cleared["roles"], made["roles"]);

        let whole = world.ok(Method::PUT, "/keyspace/billing", wish).await;
        assert_eq!((&whole["name"], &whole["uid"]), (&json!("CRM"), &json!("billing")));

        assert_eq!(world.ask(Method::DELETE, "/keyspace/billing", Value::Null).await.status, 204);
        assert_eq!(world.ask(Method::GET, "/keyspace/billing", Value::Null).await.status, 404);
    }

    async fn put_makes_one_under_the_uid_of_the_path(world: World) {
        let wish = json!({"name": "New", "prefix": "new"});
        let reply = world.ask(Method::PUT, "/keyspace/fresh", wish.clone()).await;
        assert_eq!((reply.status, &reply.json["uid"]), (201, &json!("fresh")));
        assert_eq!(world.ask(Method::PUT, "/keyspace/fresh", wish).await.status, 200);
    }

    async fn what_a_keyspace_refuses(world: World) {
        let taken = world.ask(Method::POST, "/keyspace", keyspace()).await;
        assert_eq!((taken.status, &taken.json["code"]), (409, &json!("conflict")));

        world.key(json!({})).await;
        let in_use = world.ask(Method::DELETE, "/keyspace/crm", Value::Null).await;
        assert_eq!(in_use.status, 409);

        for (field, value) in [
            ("prefix", json!("Has_Capitals")),
            ("environments", json!([])),
            ("limits", json!([{"name": "minute", "limit": 1, "windowMs": 0}])),
            ("uid", json!("ks_looks_like_an_id")),
        ] {
            let mut wish = keyspace();
            wish["uid"] = json!("another");
            wish[field] = value;
            let reply = world.ask(Method::POST, "/keyspace", wish).await;
            assert_eq!(reply.status, 422, "{field}: {}", reply.json);
        }
        let renamed = json!({"uid": "elsewhere"});
        assert_eq!(world.ask(Method::PATCH, "/keyspace/doorbell", renamed).await.status, 422);
        assert_eq!(world.ask(Method::GET, "/keyspace/none", Value::Null).await.status, 404);
        assert_eq!(world.ask(Method::PATCH, "/keyspace/none", json!({})).await.status, 404);
    }

    async fn keyspaces_are_listed_in_pages(world: World) {
        for uid in ["a", "b"] {
            let wish = json!({"name": uid, "uid": uid, "prefix": uid});
            world.clock.advance_to(world.clock.now().plus_ms(1));
            world.made("/keyspace", wish).await;
        }
        let first = world.read("/keyspace?limit=1").await;
        assert_eq!((&first["data"][0]["uid"], &first["done"]), (&json!("b"), &json!(false)));
        let iterator = first["iterator"].as_str().unwrap();
        let second = world.read(&format!("/keyspace?limit=1&iterator={iterator}")).await;
        assert_eq!(second["data"][0]["uid"], "a");
    }
}
