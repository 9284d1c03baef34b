use http::Method;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::World;

on_both! {
    async fn a_key_of_another_application_is_not_there(world: World) {
        world.made("/app", json!({"name": "Two", "uid": "two"})).await;
        let key = world.key(json!({"owner": "acme"})).await;
        let path = |below: &str| format!("/app/two/key/{}{below}", key.id);
        for (method, path) in [
            (Method::GET, path("")),
            (Method::PATCH, path("")),
            (Method::DELETE, path("")),
            (Method::POST, path("/revoke")),
            (Method::POST, path("/rotate")),
            (Method::POST, path("/enable")),
            (Method::POST, path("/disable")),
            (Method::GET, path("/secret")),
            (Method::POST, path("/secret/end-grace")),
            (Method::GET, path("/usage")),
        ] {
            let reply = world.ask(method.clone(), &path, json!({})).await;
            assert_eq!(reply.status, 404, "{method} {path}");
            assert_eq!(reply.json["code"], "not_found");
        }
        assert_eq!(world.read("/app/two/key").await["data"], json!([]));
        let bulk = json!({"owner": "acme", "action": "delete"});
        assert_eq!(world.made("/app/two/key/bulk", bulk).await["matched"], 0);
        assert_eq!(world.code(&key.token).await, "VALID");
    }

    async fn a_token_of_one_application_sees_only_its_keys(world: World) {
        world.made("/app", json!({"name": "Two", "uid": "two"})).await;
        let wish = json!({"keyspace": "doorbell", "name": "two's own", "scopes": ["keys:*"]});
        let token = world.made("/app/two/key", wish).await;
        let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
        let key = world.key(json!({})).await;
        let question = json!({"key": key.token}).to_string();
        let verdict = world.called(&bearer, "/api/v1/key/verify", question).await;
        assert_eq!((verdict.status, &verdict.json["code"]), (200, &json!("NOT_FOUND")));

        // It makes keys of its application, but no token that may do more than itself.
        let own = json!({"keyspace": "crm", "name": "mine"}).to_string();
        assert_eq!(world.called(&bearer, "/api/v1/app/two/key", own).await.status, 201);
        let more = json!({"keyspace": "doorbell", "name": "more", "scopes": ["*"]}).to_string();
        assert_eq!(world.called(&bearer, "/api/v1/app/two/key", more).await.status, 403);
        let roles = json!({"keyspace": "doorbell", "name": "more", "roles": ["owner"]}).to_string();
        assert_eq!(world.called(&bearer, "/api/v1/app/two/key", roles).await.status, 403);
        let foreign = world.called(&bearer, "/api/v1/app/one/key", Value::Null.to_string()).await;
        assert_eq!(foreign.status, 404);
    }
}
