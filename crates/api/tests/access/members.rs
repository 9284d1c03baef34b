//! Members of applications.

use model::access::Role;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{Ask, World};

on_both! {
    async fn guessing_at_names_is_answered_from_memory_for_a_moment(world: World) {
        let user = world.user("ada@example.org", None).await;
        world.member(world.app().await, &user, Role::Viewer).await;
        let token = world.session("ada@example.org").await;
        assert_eq!(world.get(&token, "/app/late").await.status, 404);
        let app = world.owner("POST", "/app", json!({"name": "Late", "uid": "late"})).await;
        let wish = json!({"email": "ada@example.org", "role": "viewer"});
        let path = format!("/app/{}/member", app.text("id"));
        world.owner("POST", &path, wish).await.ok();
        assert_eq!(world.get(&token, "/app/late").await.status, 404);
        world.advance_ms(500);
        assert_eq!(world.get(&token, "/app/late").await.status, 200);
    }

    async fn a_member_is_made_changed_and_removed(world: World) {
        let app = world.app().await;
        let ada = world.user("ada@example.org", None).await;
        let token = world.session("ada@example.org").await;
        assert_eq!(world.get(&token, &format!("/app/{app}")).await.status, 404);
        assert_eq!(world.get(&token, "/app").await.status, 403);

        let path = format!("/app/{app}/member");
        let wish = json!({"email": "ADA@example.org", "role": "viewer"});
        let made = world.owner("POST", &path, wish).await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(made.text("userId"), ada.id.to_string());
        assert_eq!(world.get(&token, &format!("/app/{app}")).await.status, 200);
        assert_eq!(world.get(&token, "/app").await.ids(), [app.to_string()]);
        let list = world.owner("GET", &path, Value::Null).await;
        assert_eq!(list.ok()["data"], json!([made.json]));

        let again = json!({"userId": ada.id.to_string(), "role": "developer"});
        assert_eq!(world.owner("POST", &path, again).await.status, 200);
        let one = format!("{path}/{}", ada.id);
        assert_eq!(world.owner("GET", &one, Value::Null).await.text("role"), "developer");
        let patched = world.owner("PATCH", &one, json!({"role": "publisher"})).await;
        assert_eq!(patched.text("role"), "publisher");
        assert_eq!(world.get(&token, &format!("/app/{app}")).await.status, 403);
        assert_eq!(world.owner("DELETE", &one, Value::Null).await.status, 204);
        assert_eq!(world.owner("DELETE", &one, Value::Null).await.status, 404);
        assert_eq!(world.get(&token, &format!("/app/{app}")).await.status, 404);
    }

    async fn no_tenant_becomes_the_app_of_operations(world: World) {
        let app = world.app().await;
        let token = world.service_token(Some(app), Role::Owner).await;
        let path = format!("/app/{app}");
        for (method, wish) in [
            ("PATCH", json!({"uid": "operations"})),
            ("PUT", json!({"name": "One", "uid": "operations"})),
        ] {
            let answer = world.ask(Ask::new(method, &path).token(&token).body(wish.clone())).await;
            assert_eq!(answer.status, 403, "{method}: {answer:?}");
            assert_eq!(world.owner(method, &path, wish).await.status, 200);
            // It may keep the name that it was given.
            let same = json!({"name": "Two", "uid": "operations"});
            let answer = world.ask(Ask::new(method, &path).token(&token).body(same)).await;
            assert_eq!(answer.status, 200, "{method}: {answer:?}");
            world.owner("PATCH", &path, json!({"uid": null})).await.ok();
        }
    }

    async fn nobody_makes_or_touches_what_is_above_them(world: World) {
        let app = world.app().await;
        for (email, role) in
            [("owner@example.org", Role::Owner), ("admin@example.org", Role::Admin)]
        {
            let user = world.user(email, None).await;
            world.member(app, &user, role).await;
        }
        let ada = world.user("ada@example.org", None).await;
        let admin = world.session("admin@example.org").await;
        let path = format!("/app/{app}/member");
        let make = |user: &str, role: &str| {
            let wish = json!({"email": user, "role": role});
            world.ask(Ask::new("POST", &path).token(&admin).body(wish))
        };
        assert_eq!(make("ada@example.org", "owner").await.status, 403);
        assert_eq!(make("ada@example.org", "admin").await.status, 201);
        assert_eq!(make("owner@example.org", "viewer").await.status, 403, "pulled down");
        assert_eq!(make("admin@example.org", "owner").await.status, 403, "pulled up");
        let one = format!("{path}/{}", ada.id);
        let up = Ask::new("PATCH", &one).token(&admin).body(json!({"role": "owner"}));
        assert_eq!(world.ask(up).await.status, 403);
        let members = world.get(&admin, &path).await;
        let owner = members.ok()["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|member| member["role"] == "owner")
            .unwrap()["userId"]
            .as_str()
            .unwrap()
            .to_owned();
        let delete = Ask::new("DELETE", format!("{path}/{owner}")).token(&admin);
        assert_eq!(world.ask(delete).await.status, 403);
    }

    async fn who_is_no_user_becomes_no_member(world: World) {
        let app = world.app().await;
        let path = format!("/app/{app}/member");
        for wish in [
            json!({"email": "nobody@example.org", "role": "viewer"}),
            json!({"userId": "user_x", "role": "viewer"}),
            json!({"role": "viewer"}),
            json!({"email": "nobody@example.org", "userId": "user_x", "role": "viewer"}),
            json!({"email": "nobody@example.org", "role": "root"}),
        ] {
            assert_eq!(world.owner("POST", &path, wish.clone()).await.status, 422, "{wish}");
        }
    }

    async fn a_member_of_several_apps_sees_those(world: World) {
        let ada = world.user("ada@example.org", None).await;
        let mut apps = Vec::new();
        for role in [Role::Viewer, Role::Publisher, Role::Developer, Role::Owner] {
            let app = world.app().await;
            world.member(app, &ada, role).await;
            if role != Role::Publisher {
                apps.push(app.to_string());
            }
        }
        world.app().await;
        apps.sort();
        let token = world.session("ada@example.org").await;
        assert_eq!(world.get(&token, "/app?order=ascending").await.ids(), apps);
        let first = world.get(&token, "/app?order=ascending&limit=2").await;
        assert_eq!(first.ids(), apps[..2]);
        let next = first.text("iterator");
        let second = world.get(&token, &format!("/app?order=ascending&limit=2&iterator={next}")).await;
        assert_eq!(second.ids(), apps[2..]);
        assert_eq!(world.get(&token, "/background-task").await.status, 422);
        let tasks = world.get(&token, &format!("/background-task?app={}", apps[0])).await;
        assert_eq!(tasks.ids(), Vec::<String>::new());
    }
}
