//! Users of the instance.

use model::access::Role;
use serde_json::json;
use testkit::on_both;

use crate::world::{Ask, PASSWORD, World};

on_both! {
    async fn a_user_is_made_found_changed_and_deleted(world: World) {
        let wish = json!({
            "email": " Ada@Example.ORG", "name": "Ada", "role": "developer", "password": PASSWORD,
            "id": "user_mine", "enabled": false, "createdAt": "1999-01-01T00:00:00Z"
        });
        let made = world.owner("POST", "/user", wish).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.text("id");
        assert_eq!(made.json["email"], "ada@example.org");
        assert_eq!(made.json["enabled"], true, "only the server says so");
        assert!(!made.json.to_string().contains(PASSWORD) && made.json.get("password").is_none());
        let path = format!("/user/{id}");
        assert_eq!(world.owner("GET", &path, json!(null)).await.ok(), &made.json);
        assert_eq!(world.owner("GET", "/user", json!(null)).await.ids(), std::slice::from_ref(&id));

        let patch = json!({"name": "Countess", "role": null});
        let changed = world.owner("PATCH", &path, patch).await;
        assert_eq!(changed.ok()["role"], json!(null));
        assert_eq!(changed.json["name"], "Countess");
        assert_eq!(world.owner("DELETE", &path, json!(null)).await.status, 204);
        assert_eq!(world.owner("GET", &path, json!(null)).await.status, 404);
    }

    async fn what_is_no_user_is_refused(world: World) {
        world.user("ada@example.org", None).await;
        let user = |change: serde_json::Value| {
            let mut user = json!({"email": "b@example.org", "password": PASSWORD});
            user.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            user
        };
        for (wish, status) in [
            (user(json!({"email": "ADA@example.org"})), 409),
            (user(json!({"email": "nowhere"})), 422),
            (user(json!({"password": "short"})), 422),
            (user(json!({"password": "x".repeat(257)})), 422),
            (user(json!({"role": "root"})), 422),
            (user(json!({"name": "a\u{0}b"})), 422),
            (json!({"email": "b@example.org"}), 422),
        ] {
            let answer = world.owner("POST", "/user", wish.clone()).await;
            assert_eq!(answer.status, status, "{wish}: {answer:?}");
        }
    }

    async fn nobody_makes_what_is_above_themselves(world: World) {
        let new = api::access::service::NewServiceToken {
            name: "personnel".to_owned(),
            permissions: model::access::Permissions::of(&[
                model::access::Permission::UsersRead,
                model::access::Permission::UsersWrite,
            ]),
            roles: vec![Role::Viewer],
            app: None,
        };
        let by = testkit::by();
        let token = api::access::service::mint(&world.keys, new, &by).await.unwrap().token;
        let owner = world.user("owner@example.org", Some(Role::Owner)).await;
        let make = |role: &str| {
            let email = format!("{role}-2@example.org");
            let wish = json!({"email": email, "role": role, "password": PASSWORD});
            world.ask(Ask::new("POST", "/user").token(&token).body(wish))
        };
        assert_eq!(make("viewer").await.status, 201);
        for role in ["publisher", "developer", "admin", "owner"] {
            assert_eq!(make(role).await.status, 403, "{role}");
        }
        let path = format!("/user/{}", owner.id);
        for (method, body) in [
            ("PATCH", json!({"password": "another good one"})),
            ("PATCH", json!({"enabled": false})),
            ("DELETE", json!(null)),
        ] {
            let answer = world.ask(Ask::new(method, &path).token(&token).body(body)).await;
            assert_eq!(answer.status, 403, "{method}: {answer:?}");
        }
        world.log_in("owner@example.org").await.ok();
    }

    async fn a_disabled_user_is_out_at_once(world: World) {
        let user = world.user("ada@example.org", Some(Role::Viewer)).await;
        let token = world.session("ada@example.org").await;
        assert_eq!(world.get(&token, "/app").await.status, 200);
        let path = format!("/user/{}", user.id);
        world.owner("PATCH", &path, json!({"enabled": false})).await.ok();
        assert_eq!(world.get(&token, "/app").await.status, 401);
        assert_eq!(world.log_in("ada@example.org").await.status, 401);
        world.owner("PATCH", &path, json!({"enabled": true})).await.ok();
        assert_eq!(world.get(&token, "/app").await.status, 401, "its session is over");
        world.log_in("ada@example.org").await.ok();
    }

    async fn a_new_role_holds_at_once(world: World) {
        let user = world.user("ada@example.org", Some(Role::Viewer)).await;
        let token = world.session("ada@example.org").await;
        let create = || {
            world.ask(Ask::new("POST", "/app").token(&token).body(json!({"name": "new"})))
        };
        assert_eq!(create().await.status, 403);
        let path = format!("/user/{}", user.id);
        world.owner("PATCH", &path, json!({"role": "admin"})).await.ok();
        assert_eq!(create().await.status, 201);
        world.owner("PATCH", &path, json!({"role": null})).await.ok();
        assert_eq!(create().await.status, 403);
    }

    async fn ones_own_password_is_changed_with_the_old_one(world: World) {
        world.user("ada@example.org", None).await;
        let token = world.session("ada@example.org").await;
        let change = |current: &str, new: &str| {
            let wish = json!({"currentPassword": current, "newPassword": new});
            world.ask(Ask::new("POST", "/auth/password").token(&token).body(wish))
        };
        assert_eq!(change("wrong", "another good one").await.status, 422);
        assert_eq!(change(PASSWORD, "short").await.status, 422);
        assert_eq!(change(PASSWORD, "another good one").await.status, 204);
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 401);
        assert_eq!(world.log_in("ada@example.org").await.status, 401);
        let wish = json!({"email": "ada@example.org", "password": "another good one"});
        world.ask(Ask::new("POST", "/auth/login").body(wish)).await.ok();
        let owner = world.owner("POST", "/auth/password", json!({"currentPassword": "", "newPassword": ""}));
        assert_eq!(owner.await.status, 400);
    }
}
