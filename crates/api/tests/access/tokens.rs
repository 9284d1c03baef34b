//! Service tokens: keys of the built-in keyspace.

use api::access::service::{self, NewServiceToken};
use model::access::{Permission, Permissions, Role};
use model::key::SERVICE_KEYSPACE;
use serde_json::json;
use testkit::{TOKEN, by, on_both};

use crate::world::{Ask, World};

on_both! {
    async fn any_text_is_a_token_that_was_made_one(world: World) {
        for text in ["testsk_AbCdEfGhIjKlMnOpQrStUv.us", "sk_live-with:odd/characters+and=more.eu"] {
            assert_eq!(world.get(text, "/app").await.status, 401);
            let new = NewServiceToken::with_role("chosen", Role::Viewer);
            assert!(service::adopt(&world.keys, new.clone(), text, &by()).await.unwrap());
            assert!(!service::adopt(&world.keys, new, text, &by()).await.unwrap());
            assert_eq!(world.get(text, "/app").await.status, 200, "{text}");
            assert_eq!(world.get(&text[..text.len() - 3], "/app").await.status, 401);
        }
    }

    async fn a_token_is_shown_in_one_way_only(world: World) {
        let ask = |headers: Vec<(&'static str, String)>| {
            let mut ask = Ask::new("GET", "/app");
            ask.headers = headers;
            world.ask(ask)
        };
        let bearer = |text: &str| ("authorization", text.to_owned());
        for good in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}"), format!("BEARER  {TOKEN} ")] {
            assert_eq!(ask(vec![bearer(&good)]).await.status, 200, "{good}");
        }
        for bad in ["", "Bearer", "Bearer ", TOKEN, &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN} x"),
            &format!("Bearer {}", "x".repeat(100_000))] {
            let answer = ask(vec![bearer(bad)]).await;
            assert_eq!(answer.status, 401, "{bad}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        let twice = vec![bearer(&format!("Bearer {TOKEN}")), bearer(&format!("Bearer {TOKEN}"))];
        assert_eq!(ask(twice).await.status, 401);
        assert_eq!(world.ask(Ask::new("GET", format!("/app?token={TOKEN}"))).await.status, 401);
    }

    async fn a_token_may_what_its_scopes_say(world: World) {
        let new = NewServiceToken {
            name: "gateway".to_owned(),
            permissions: Permissions::of(&[Permission::KeysVerify]),
            ..NewServiceToken::default()
        };
        let token = service::mint(&world.keys, new, &by()).await.unwrap().token;
        let verify = Ask::new("POST", "/key/verify").token(&token).body(json!({"key": "x"}));
        assert_eq!(world.ask(verify).await.status, 200);
        assert_eq!(world.get(&token, "/app").await.status, 403);
        let whoami = world.get(&token, "/auth/whoami").await;
        assert_eq!(whoami.json["permissions"], json!(["keys:verify"]));
        assert_eq!(whoami.json["permissionSource"], "GlobalAuthToken");
        assert_eq!(whoami.json["kind"], "token");
    }

    async fn a_key_of_another_keyspace_opens_nothing(world: World) {
        let app = world.app().await;
        let wish = json!({
            "uid": "crm", "name": "CRM", "prefix": "dbl", "environments": ["live"],
            "permissions": {"*": "all"}, "roles": {"owner": ["*"]}
        });
        world.owner("POST", "/keyspace", wish).await.ok();
        let wish = json!({"keyspace": "crm", "name": "x", "roles": ["owner"]});
        let key = world.owner("POST", &format!("/app/{app}/key"), wish).await.text("token");
        assert!(key.starts_with("dbl_live_"));
        assert_eq!(world.get(&key, "/app").await.status, 401);
    }

    async fn an_app_makes_its_own_tokens_but_none_above_itself(world: World) {
        let app = world.app().await;
        let path = format!("/app/{app}/key");
        let developer = world.service_token(Some(app), Role::Developer).await;
        let make = |roles: &[&str], scopes: &[&str]| {
            let wish = json!({
                "keyspace": SERVICE_KEYSPACE, "name": "x", "roles": roles, "scopes": scopes
            });
            world.ask(Ask::new("POST", &path).token(&developer).body(wish))
        };
        let made = make(&["publisher"], &["endpoints:read"]).await;
        assert_eq!(made.status, 201, "{made:?}");
        let token = made.text("token");
        assert_eq!(world.get(&token, &format!("/app/{app}/endpoint")).await.status, 200);
        assert_eq!(world.get(&token, &format!("/app/{app}/msg")).await.status, 403);
        for (roles, scopes) in [
            (&["owner"][..], &[][..]),
            (&["admin"], &[]),
            (&[], &["*"]),
            (&[], &["audit:read"]),
            (&[], &["members:*"]),
            (&["viewer"], &["apps:delete"]),
        ] {
            let answer = make(roles, scopes).await;
            assert_eq!(answer.status, 403, "{roles:?} {scopes:?}: {answer:?}");
        }
        // Nor does it get hold of one that exists.
        let owner = json!({"keyspace": SERVICE_KEYSPACE, "name": "x", "roles": ["owner"]});
        let id = world.owner("POST", &path, owner).await.text("id");
        let rotate = Ask::new("POST", format!("{path}/{id}/rotate")).token(&developer);
        assert_eq!(world.ask(rotate).await.status, 403);
        let id = made.text("id");
        let raise = Ask::new("PATCH", format!("{path}/{id}")).token(&developer);
        let answer = world.ask(raise.body(json!({"roles": ["owner"]}))).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }

    async fn a_disabled_token_comes_back_by_nobody_below_it(world: World) {
        let app = world.app().await;
        let path = format!("/app/{app}/key");
        let developer = world.service_token(Some(app), Role::Developer).await;
        let owner = json!({
            "keyspace": SERVICE_KEYSPACE, "name": "x", "roles": ["owner"], "owner": "ops"
        });
        let made = world.owner("POST", &path, owner).await;
        let (id, token) = (made.text("id"), made.text("token"));
        world.owner("POST", &format!("{path}/{id}/disable"), json!({})).await.ok();
        let bulk = json!({"owner": "ops", "action": "enable"});
        let ask = Ask::new("POST", format!("{path}/bulk")).token(&developer).body(bulk.clone());
        assert_eq!(world.ask(ask).await.status, 403);
        assert_eq!(world.get(&token, "/app").await.status, 401);
        world.owner("POST", &format!("{path}/bulk"), bulk).await.ok();
        assert_eq!(world.get(&token, "/app").await.status, 200);

        let switch = format!("/app/{app}/keyspace/{SERVICE_KEYSPACE}/owner/ops");
        let off = |token: &str| {
            world.ask(Ask::new("PUT", &switch).token(token).body(json!({"enabled": false})))
        };
        assert_eq!(off(&developer).await.status, 403);
        assert_eq!(world.get(&token, "/app").await.status, 200);
        assert_eq!(off(&world.service_token(Some(app), Role::Owner).await).await.status, 200);
        assert_eq!(world.get(&token, "/app").await.status, 401);
    }

    async fn a_portal_hands_out_no_token_of_doorbell(world: World) {
        let app = world.app().await;
        let portal = world.portal(app, json!({"capabilities": ["ManageKeys"]})).await;
        let make = |keyspace: &str| {
            let wish = json!({"keyspace": keyspace, "name": "x", "scopes": []});
            world.ask(Ask::new("POST", format!("/app/{app}/key")).token(&portal).body(wish))
        };
        assert_eq!(make(SERVICE_KEYSPACE).await.status, 403);
        let crm = json!({"name": "CRM", "uid": "crm", "prefix": "crm"});
        world.owner("POST", "/keyspace", crm).await.ok();
        assert_eq!(make("crm").await.status, 201);
    }

    async fn a_new_kind_of_import_changes_the_keyspace(world: World) {
        let app = world.app().await;
        let crm = json!({"name": "CRM", "uid": "crm", "prefix": "crm"});
        world.owner("POST", "/keyspace", crm).await.ok();
        let developer = world.service_token(Some(app), Role::Developer).await;
        let import = |token: &str, digit: &str, kind: &str, length: usize| {
            let one = json!({
                "keyspace": "crm", "name": "old", "kind": kind, "hash": digit.repeat(length),
                "entropyBits": 180,
            });
            let wish = json!({"keys": [one]});
            world.ask(Ask::new("POST", format!("/app/{app}/key/import")).token(token).body(wish))
        };
        assert_eq!(import(&developer, "a", "sha256", 64).await.status, 403);
        let first = import(TOKEN, "a", "sha256", 64).await;
        assert_eq!(first.ok()["data"][0]["error"], json!(null));
        let second = import(&developer, "b", "sha256", 64).await;
        assert_eq!(second.ok()["data"][0]["error"], json!(null));
        assert_eq!(import(&developer, "c", "sha512", 128).await.status, 403);
    }

    async fn no_cache_keeps_a_token(world: World) {
        let app = world.app().await;
        let path = format!("/app/{app}/key");
        let wish = json!({"keyspace": SERVICE_KEYSPACE, "name": "x", "roles": ["viewer"]});
        let post = |path: &str, wish: &serde_json::Value| {
            let ask = Ask::new("POST", path).token(TOKEN).body(wish.clone());
            world.ask(ask.header("idempotency-key", path.len().to_string()))
        };
        let made = post(&path, &wish).await;
        let rotate = format!("{path}/{}/rotate", made.text("id"));
        let answers = [
            post(&path, &wish).await,
            post(&rotate, &json!({})).await,
            post(&rotate, &json!({})).await,
            made,
        ];
        for answer in &answers {
            assert!(answer.text("token").starts_with("dbl_live_"));
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }

    async fn a_revoked_token_is_refused_at_once(world: World) {
        let app = world.app().await;
        let path = format!("/app/{app}/key");
        let wish = json!({"keyspace": SERVICE_KEYSPACE, "name": "x", "roles": ["viewer"]});
        let made = world.owner("POST", &path, wish).await;
        let (id, token) = (made.text("id"), made.text("token"));
        assert_eq!(world.get(&token, "/app").await.status, 200);
        world.owner("POST", &format!("{path}/{id}/revoke"), json!({})).await.ok();
        assert_eq!(world.get(&token, "/app").await.status, 401);
    }

    async fn a_publisher_makes_no_application_by_the_way(world: World) {
        let token = world.service_token(None, Role::Publisher).await;
        let message = json!({
            "eventType": "contact.created", "payload": {}, "application": {"name": "new"}
        });
        let publish = |token: &str| {
            let ask = Ask::new("POST", "/app/new-one/msg").token(token).body(message.clone());
            world.ask(ask)
        };
        assert_eq!(publish(&token).await.status, 403);
        assert_eq!(publish(TOKEN).await.status, 202);
        assert_eq!(publish(&token).await.status, 202);
    }
}
