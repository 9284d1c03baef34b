use std::slice;

use http::Method;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{Made, World};

on_both! {
    async fn a_key_from_its_making_to_its_end(world: World) {
        let fields = json!({"scopes": ["read:contacts"], "owner": "acme", "tags": ["a"]});
        let key = world.key(fields).await;
        assert!(key.token.starts_with("crm_live_"), "{}", key.token);
        assert_eq!(world.code(&key.token).await, "VALID");

        let shown = world.read(&key.path("")).await;
        assert_eq!((&shown["id"], &shown["owner"]), (&json!(key.id), &json!("acme")));
        assert!(!shown.to_string().contains(&key.token), "the token is shown again");

        let renamed = json!({"name": "another", "owner": null, "scopes": ["write:contacts"]});
        let renamed = world.ok(Method::PATCH, &key.path(""), renamed).await;
        assert_eq!((&renamed["name"], &renamed["owner"]), (&json!("another"), &Value::Null));
        assert_eq!(renamed["tags"], json!(["a"]));
        let verdict = world.verdict(&key.token, json!({"scopes": "read:contacts"})).await;
        assert_eq!(verdict["code"], "INSUFFICIENT_SCOPE");

        assert_eq!(world.made(&key.path("/disable"), Value::Null).await["enabled"], false);
        assert_eq!(world.code(&key.token).await, "DISABLED");
        assert_eq!(world.made(&key.path("/enable"), Value::Null).await["enabled"], true);
        assert_eq!(world.code(&key.token).await, "VALID");

        let wish = json!({"reason": "key_compromise", "note": "seen in a log", "wait": true});
        let revoked = world.made(&key.path("/revoke"), wish).await;
        assert_eq!(revoked["revoked"]["reason"], "key_compromise");
        let confirmation = &revoked["confirmation"];
        assert_eq!((&confirmation["nodes"], &confirmation["complete"]), (&json!(1), &json!(true)));
        assert_eq!(world.code(&key.token).await, "REVOKED");

        assert_eq!(world.ask(Method::DELETE, &key.path(""), Value::Null).await.status, 204);
        assert_eq!(world.code(&key.token).await, "NOT_FOUND");
        assert_eq!(world.ask(Method::GET, &key.path(""), Value::Null).await.status, 404);
    }

    async fn a_rotated_key_has_two_tokens_for_a_while(world: World) {
        let old = world.key(json!({"scopes": ["read:contacts"]})).await;
        world.clock.advance_to(world.clock.now().plus_ms(1));
        let rotated = world.made(&old.path("/rotate"), json!({"graceMs": 60_000})).await;
        let new = Made::of(&rotated);
        assert_eq!(new.id, old.id);
        assert_ne!(new.token, old.token);

        let verdict = world.verdict(&old.token, json!({})).await;
        assert_eq!((&verdict["valid"], &verdict["superseded"]), (&json!(true), &json!(true)));
        assert_eq!(verdict["graceEndsAt"], rotated["oldEndsAt"]);
        let verdict = world.verdict(&new.token, json!({})).await;
        assert_eq!((&verdict["valid"], &verdict["superseded"]), (&json!(true), &json!(false)));

        let secrets = world.read(&old.path("/secret")).await;
        let secrets = secrets["data"].as_array().unwrap();
        assert_eq!(secrets.len(), 2);
        assert!(new.token.starts_with(secrets[0]["start"].as_str().unwrap()));
        assert_eq!((&secrets[0]["ended"], &secrets[0]["endsAt"]), (&json!(false), &Value::Null));

        world.clock.advance_to(world.clock.now().plus_ms(60_001));
        assert_eq!(world.code(&old.token).await, "ROTATED_OUT");
        assert_eq!(world.code(&new.token).await, "VALID");
    }

    async fn the_old_token_can_be_ended_early(world: World) {
        let first = world.key(json!({})).await;
        let second = Made::of(&world.made(&first.path("/rotate"), json!({})).await);
        assert_eq!(world.code(&first.token).await, "VALID");
        world.made(&first.path("/secret/end-grace"), Value::Null).await;
        assert_eq!(world.code(&first.token).await, "ROTATED_OUT");

        let wish = json!({"expireOldNow": true});
        let third = Made::of(&world.made(&first.path("/rotate"), wish).await);
        assert_eq!(world.code(&second.token).await, "ROTATED_OUT");
        assert_eq!(world.code(&third.token).await, "VALID");
        let both = json!({"expireOldNow": true, "graceMs": 5});
        assert_eq!(world.ask(Method::POST, &first.path("/rotate"), both).await.status, 422);
        let long = json!({"graceMs": 91_u64 * 24 * 60 * 60 * 1_000});
        assert_eq!(world.ask(Method::POST, &first.path("/rotate"), long).await.status, 422);
    }

    async fn whoever_holds_a_key_may_end_it(world: World) {
        let key = world.key(json!({})).await;
        let path = "/api/v1/key/revoke-self";
        let body = json!({"key": key.token, "note": "found on a bus"}).to_string();
        let reply = world.call(Method::POST, path, &[], body.into_bytes()).await;
        assert_eq!(reply.status, 204, "{}", reply.json);
        assert_eq!(world.code(&key.token).await, "REVOKED");
        let unknown = json!({"key": "crm_live_nonsense"}).to_string();
        assert_eq!(world.call(Method::POST, path, &[], unknown.into_bytes()).await.status, 404);
    }

    async fn keys_are_listed_by_what_they_are(world: World) {
        let acme = world.key(json!({"owner": "acme"})).await;
        let tagged = world.key(json!({"tags": ["ci"]})).await;
        let off = world.key(json!({"enabled": false})).await;
        let list = async |query: &str| {
            let list = world.read(&format!("/app/one/key?{query}")).await;
            let data = list["data"].as_array().unwrap().clone();
            data.iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list("owner=acme").await, slice::from_ref(&acme.id));
        assert_eq!(list("tag=ci").await, [tagged.id]);
        assert_eq!(list("state=disabled").await, [off.id]);
        assert_eq!(list("state=active&keyspace=crm&owner=acme").await, [acme.id]);
        assert_eq!(list("keyspace=crm").await.len(), 3);
        let none = world.ask(Method::GET, "/app/one/key?keyspace=none", Value::Null).await;
        assert_eq!(none.status, 404);
        let wrong = world.ask(Method::GET, "/app/one/key?state=sleeping", Value::Null).await;
        assert_eq!(wrong.status, 422);
    }

    async fn what_a_key_refuses(world: World) {
        for (field, value, status) in [
            ("keyspace", json!("none"), 404),
            ("environment", json!("staging"), 422),
            ("scopes", json!(["not a scope"]), 422),
            ("roles", json!(["nobody"]), 422),
            ("ipAllow", json!(["300.0.0.0/8"]), 422),
            ("expiresAt", json!("yesterday"), 422),
            ("tags", json!(vec!["x"; 33]), 422),
        ] {
            let mut wish = json!({"keyspace": "crm", "name": "a key"});
            wish[field] = value;
            let reply = world.ask(Method::POST, "/app/one/key", wish).await;
            assert_eq!(reply.status, status, "{field}: {}", reply.json);
        }
    }
}
