use http::Method;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::World;

const MINUTE_MS: u64 = 60_000;

on_both! {
    async fn every_answer_says_why(world: World) {
        let key = world.key(json!({
            "scopes": ["read:contacts"], "ipAllow": ["192.0.2.0/24"], "owner": "acme",
            "metadata": {"plan": "gold"},
        })).await;
        let here = |mut question: Value| {
            question["address"] = json!("192.0.2.7");
            question
        };
        let verdict = world.verdict(&key.token, here(json!({"scopes": "read:contacts"}))).await;
        assert_eq!((&verdict["valid"], &verdict["code"]), (&json!(true), &json!("VALID")));
        assert_eq!((&verdict["keyId"], &verdict["owner"]), (&json!(key.id), &json!("acme")));
        assert_eq!(verdict["metadata"]["plan"], "gold");
        assert_eq!(verdict["environment"], "live");

        for (question, code, because) in [
            (json!({}), "IP_NOT_ALLOWED", "address"),
            (json!({"address": "198.51.100.1"}), "IP_NOT_ALLOWED", "198.51.100.1"),
            (here(json!({"environment": "test"})), "WRONG_ENV", "live"),
            (
                here(json!({"scopes": "read:contacts AND delete:contacts"})),
                "INSUFFICIENT_SCOPE",
                "delete:contacts",
            ),
            (here(json!({"keyspace": "none"})), "NOT_FOUND", ""),
        ] {
            let verdict = world.verdict(&key.token, question).await;
            assert_eq!((&verdict["valid"], &verdict["code"]), (&json!(false), &json!(code)));
            let reason = verdict["reason"].as_str().unwrap();
            assert!(!reason.is_empty() && reason.contains(because), "{code}: {reason}");
        }
        assert_eq!(world.code("nonsense").await, "MALFORMED");
    }

    async fn a_field_that_nobody_knows_opens_no_door(world: World) {
        let key = world.key(json!({})).await;
        for (name, value) in [
            ("scope", json!("delete:contacts")),
            ("method", json!("GET")),
            ("path", json!("/contacts")),
            ("tags", json!(["a"])),
        ] {
            let question = json!({"key": key.token, (name): value});
            let reply = world.ask(Method::POST, "/key/verify", question.clone()).await;
            assert_eq!(reply.status, 422, "{name}");
            assert!(reply.json["detail"][0]["msg"].to_string().contains(name), "{reply:?}");
            let many = json!({"keys": [question]});
            assert_eq!(world.ask(Method::POST, "/key/verify-batch", many).await.status, 422);
        }
    }

    async fn scopes_are_an_expression(world: World) {
        let key = world.key(json!({"roles": ["editor"], "scopes": ["docs.*"]})).await;
        for (scopes, code) in [
            ("read:contacts", "VALID"),
            ("docs.read and (write:contacts or delete:contacts)", "VALID"),
            ("NOT delete:contacts", "VALID"),
            ("delete:contacts OR other", "INSUFFICIENT_SCOPE"),
            ("NOT docs.read", "INSUFFICIENT_SCOPE"),
        ] {
            let verdict = world.verdict(&key.token, json!({"scopes": scopes})).await;
            assert_eq!(verdict["code"], code, "{scopes}: {}", verdict["reason"]);
        }
        let wrong = json!({"key": key.token, "scopes": "read:contacts AND"});
        let reply = world.ask(Method::POST, "/key/verify", wrong).await;
        assert_eq!((reply.status, &reply.json["detail"][0]["loc"][1]), (422, &json!("scopes")));
    }

    async fn a_limit_is_counted_and_a_refused_request_is_not(world: World) {
        let limits = json!([{"name": "minute", "limit": 3, "windowMs": MINUTE_MS}]);
        let key = world.key(json!({"limits": limits, "scopes": ["read:contacts"]})).await;
        let dry = world.verdict(&key.token, json!({"consume": false})).await;
        assert_eq!(dry["limits"][0]["remaining"], 3);
        let refused = world.verdict(&key.token, json!({"scopes": "write:contacts"})).await;
        assert_eq!(refused["code"], "INSUFFICIENT_SCOPE");

        let two = world.verdict(&key.token, json!({"cost": 2})).await;
        assert_eq!((&two["code"], &two["limits"][0]["remaining"]), (&json!("VALID"), &json!(1)));
        let too_much = world.verdict(&key.token, json!({"cost": 2})).await;
        assert_eq!(too_much["code"], "RATE_LIMITED");
        assert!(too_much["reason"].as_str().unwrap().contains("minute"), "{}", too_much["reason"]);
        assert!(too_much["retryAfterMs"].as_u64().unwrap() <= MINUTE_MS + 1_000);
        assert_eq!(world.code(&key.token).await, "VALID", "the refused one was counted");
        assert_eq!(world.code(&key.token).await, "RATE_LIMITED");

        world.clock.advance_to(world.clock.now().plus_ms(2 * MINUTE_MS));
        assert_eq!(world.code(&key.token).await, "VALID");
    }

    async fn a_limit_that_is_asked_for_by_name(world: World) {
        let limits = json!([
            {"name": "export", "limit": 1, "windowMs": MINUTE_MS, "automatic": false},
        ]);
        let key = world.key(json!({"limits": limits})).await;
        for _ in 0..3 {
            assert_eq!(world.code(&key.token).await, "VALID");
        }
        let export = json!({"limits": ["export"]});
        assert_eq!(world.verdict(&key.token, export.clone()).await["code"], "VALID");
        assert_eq!(world.verdict(&key.token, export).await["code"], "RATE_LIMITED");
        let unknown = json!({"limits": [{"name": "nothing", "cost": 2}]});
        let verdict = world.verdict(&key.token, unknown).await;
        assert_eq!(verdict["unknownLimits"], json!(["nothing"]));
    }

    async fn statuses_where_they_are_wanted(world: World) {
        let limits = json!([{"name": "minute", "limit": 1, "windowMs": MINUTE_MS}]);
        let key = world.key(json!({"limits": limits})).await;
        let ask = async |question: Value| {
            world.ask(Method::POST, "/key/verify?status=mapped", question).await
        };
        let good = ask(json!({"key": key.token})).await;
        assert_eq!((good.status, &*good.headers["ratelimit-policy"]), (200, "\"minute\";q=1;w=60"));
        let limited = ask(json!({"key": key.token})).await;
        assert_eq!((limited.status, &limited.json["code"]), (429, &json!("RATE_LIMITED")));
        assert!(limited.headers["retry-after"].parse::<u64>().unwrap() >= 1);
        assert_eq!(ask(json!({"key": key.token, "scopes": "x"})).await.status, 403);
        assert_eq!(ask(json!({"key": "nonsense"})).await.status, 401);
    }

    async fn many_at_once(world: World) {
        let key = world.key(json!({})).await;
        let questions = json!([{"key": key.token}, {"key": "nonsense"}, {"key": key.token}]);
        let answers = world.made("/key/verify-batch", json!({"keys": questions})).await;
        let codes: Vec<&Value> =
            answers["data"].as_array().unwrap().iter().map(|answer| &answer["code"]).collect();
        assert_eq!(codes, ["VALID", "MALFORMED", "VALID"]);
        let many = json!({"keys": vec![json!({"key": "nonsense"}); 101]});
        assert_eq!(world.ask(Method::POST, "/key/verify-batch", many).await.status, 422);
    }

    async fn a_key_as_an_oauth_token(world: World) {
        let key = world.key(json!({
            "scopes": ["read:contacts"], "roles": ["editor"], "owner": "acme",
            "expiresAt": "2026-11-24T09:00:00Z",
        })).await;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let path = "/api/v1/key/introspect";
        let ask = async |body: String| {
            world.call(Method::POST, path, &form, body.into_bytes()).await
        };
        let active = ask(format!("token={}&token_type_hint=access_token", key.token)).await;
        let answer = &active.json;
        assert_eq!((active.status, &answer["active"]), (200, &json!(true)));
        assert_eq!(answer["scope"], "read:contacts write:contacts");
        assert_eq!((&answer["username"], &answer["sub"]), (&json!("acme"), &json!(key.id)));
        assert_eq!((&answer["aud"], &answer["exp"]), (&json!("crm"), &json!(1_795_510_800)));

        let inactive = ask("token=nonsense".to_owned()).await;
        assert_eq!((inactive.status, inactive.json), (200, json!({"active": false})));
        assert_eq!(ask("token=a&token=b".to_owned()).await.status, 400);
    }
}
