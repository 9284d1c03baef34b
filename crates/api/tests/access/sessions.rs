//! Logging in, going on, logging out.

use model::access::{SESSION_TOKEN_MS, normal_email};
use serde_json::json;
use testkit::on_both;

use crate::world::{Answer, Ask, PASSWORD, World};

async fn refresh(world: &World, token: &str) -> Answer {
    world.ask(Ask::new("POST", "/auth/refresh").body(json!({"refreshToken": token}))).await
}

on_both! {
    async fn a_login_is_a_session_with_two_tokens(world: World) {
        let user = world.user("ada@example.org", None).await;
        let session = world.log_in(" ADA@example.org").await;
        assert_eq!(session.status, 200, "{session:?}");
        assert_eq!(session.headers["cache-control"], "no-store");
        assert_eq!(session.json["user"]["id"], user.id.to_string());
        let whoami = world.get(&session.text("token"), "/auth/whoami").await;
        assert_eq!(whoami.text("sessionId"), session.text("sessionId"));
        assert_eq!(whoami.json["kind"], "user");
        // What renews a session opens nothing else.
        let refresh_token = session.text("refreshToken");
        assert_eq!(world.get(&refresh_token, "/auth/whoami").await.status, 401);
        assert_eq!(refresh(&world, &session.text("token")).await.status, 401);
    }

    async fn every_wrong_login_gets_the_same_answer(world: World) {
        let user = world.user("ada@example.org", None).await;
        world.owner("PATCH", &format!("/user/{}", user.id), json!({"enabled": false})).await.ok();
        world.user("bob@example.org", None).await;
        let mut answers = Vec::new();
        for (email, password) in [
            ("bob@example.org", "wrong"),
            ("nobody@example.org", PASSWORD),
            ("ada@example.org", PASSWORD),
            ("no address", PASSWORD),
            ("", ""),
            ("bob@example.org", &"x".repeat(100_000)),
        ] {
            let wish = json!({"email": email, "password": password});
            let answer = world.ask(Ask::new("POST", "/auth/login").body(wish)).await;
            assert_eq!(answer.status, 401, "{email}: {answer:?}");
            answers.push(answer.json);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1);
        assert_eq!(normal_email("no address"), None);
    }

    async fn a_token_lasts_a_quarter_of_an_hour(world: World) {
        world.user("ada@example.org", None).await;
        let session = world.log_in("ada@example.org").await;
        let token = session.text("token");
        world.advance_ms(SESSION_TOKEN_MS - 1_000);
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 200);
        world.advance_ms(1_000);
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 401);
        let renewed = refresh(&world, &session.text("refreshToken")).await;
        assert_eq!(world.get(&renewed.text("token"), "/auth/whoami").await.status, 200);
        assert_eq!(renewed.text("sessionId"), session.text("sessionId"));
    }

    async fn a_refresh_token_that_comes_twice_ends_the_session(world: World) {
        world.user("ada@example.org", None).await;
        let other = world.session("ada@example.org").await;
        let first = world.log_in("ada@example.org").await;
        let second = refresh(&world, &first.text("refreshToken")).await;
        let third = refresh(&world, &second.text("refreshToken")).await;
        let token = third.text("token");
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 200);

        assert_eq!(refresh(&world, &first.text("refreshToken")).await.status, 401);
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 401, "the thief's too");
        assert_eq!(refresh(&world, &third.text("refreshToken")).await.status, 401);
        assert_eq!(world.get(&other, "/auth/whoami").await.status, 200, "another session");
    }

    async fn a_refresh_token_of_nobody_is_refused(world: World) {
        world.user("ada@example.org", None).await;
        let session = world.log_in("ada@example.org").await;
        let good = session.text("refreshToken");
        for bad in ["", "dblr_", "x", &good[..good.len() - 1], &format!("{good}A"), &"A".repeat(9_000)] {
            assert_eq!(refresh(&world, bad).await.status, 401, "{bad}");
        }
        refresh(&world, &good).await.ok();
    }

    async fn logging_out_ends_the_session_and_no_other(world: World) {
        world.user("ada@example.org", None).await;
        let (one, two) =
            (world.log_in("ada@example.org").await, world.session("ada@example.org").await);
        let token = one.text("token");
        assert_eq!(world.ask(Ask::new("POST", "/auth/logout").token(&token)).await.status, 204);
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 401);
        assert_eq!(refresh(&world, &one.text("refreshToken")).await.status, 401);
        assert_eq!(world.get(&two, "/auth/whoami").await.status, 200);
    }

    async fn a_session_ended_elsewhere_is_refused_within_a_second(world: World) {
        world.user("ada@example.org", None).await;
        let session = world.log_in("ada@example.org").await;
        let token = session.text("token");
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 200);
        // Another process, with the same database and clock.
        let elsewhere = world.reopen().await;
        let id = session.text("sessionId").parse().unwrap();
        assert!(elsewhere.end_session(id, &testkit::by()).await.unwrap());
        world.advance_ms(1_000);
        assert_eq!(world.get(&token, "/auth/whoami").await.status, 401);
    }

    async fn a_session_opened_elsewhere_is_good_here(world: World) {
        world.user("ada@example.org", None).await;
        let token = world.session("ada@example.org").await;
        let elsewhere = testkit::access::state(&world.reopen().await, |_| ()).await;
        let router = api::router::router(elsewhere);
        let request = axum::http::Request::builder()
            .uri("/api/v1/auth/whoami")
            .header("authorization", format!("Bearer {token}"))
            .body(axum::body::Body::empty())
            .unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    async fn the_log_names_who_came_and_went(world: World) {
        let user = world.user("ada@example.org", None).await;
        let wish = json!({"email": "ada@example.org", "password": PASSWORD});
        let login = Ask::new("POST", "/auth/login").body(wish).from("192.0.2.7");
        let token = world.ask(login).await.text("token");
        let logout = Ask::new("POST", "/auth/logout").token(&token).from("192.0.2.7");
        world.ask(logout.header("x-request-id", "of-the-logout")).await;
        let log = world.audit_log(&store::AuditQuery::default()).await.unwrap().data;
        let seen: Vec<_> = log[..2].iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(seen, ["session.end", "session.begin"]);
        for entry in &log[..2] {
            assert_eq!(entry.actor.id, Some(user.id.to_string()));
            assert_eq!(entry.actor.name, "ada@example.org");
            assert_eq!(entry.actor.address, Some("192.0.2.7".parse().unwrap()));
        }
        assert_eq!(log[0].actor.request_id.as_deref(), Some("of-the-logout"));
        assert!(!format!("{log:?}").contains(PASSWORD));
    }
}
