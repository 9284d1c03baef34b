//! Doorbell's own limits.

use api::access::{AccessLimits, LoginLimits};
use serde_json::json;
use testkit::databases::FromDatabase;
use testkit::{TOKEN, TestDatabase, on_both};

use crate::world::{Answer, Ask, PASSWORD, World};

/// With limits that a test reaches.
struct Tight(World);

impl FromDatabase for Tight {
    async fn from_database(database: TestDatabase) -> Self {
        let world = World::with(database, |parts| {
            parts.access.limits = AccessLimits {
                requests_per_token: 30,
                requests_per_address: 40,
                refusals_per_address: 7,
                messages_per_app: 10,
            };
            parts.access.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
            parts.access.login =
                LoginLimits { per_address: 12, per_address_and_account: 3, per_account: 6 };
        });
        Self(world.await)
    }
}

fn is_refused(answer: &Answer) -> bool {
    if answer.status != 429 {
        return false;
    }
    assert_eq!(answer.json["code"], "rate_limited");
    let headers = &answer.headers;
    let retry_after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(retry_after >= 1);
    assert!(headers["ratelimit"].to_str().unwrap().contains(";r=0;t="), "{headers:?}");
    assert!(headers["ratelimit-policy"].to_str().unwrap().contains(";q="), "{headers:?}");
    true
}

async fn log_in(world: &World, email: &str, password: &str, from: &str) -> Answer {
    let wish = json!({"email": email, "password": password});
    world.ask(Ask::new("POST", "/auth/login").body(wish).from(from)).await
}

on_both! {
    async fn a_token_has_so_many_requests_in_a_minute(tight: Tight) {
        let Tight(world) = tight;
        let other = world.service_token(None, model::access::Role::Viewer).await;
        let mut admitted = 0;
        while !is_refused(&world.get(TOKEN, "/auth/whoami").await) {
            admitted += 1;
        }
        assert_eq!(admitted, 30);
        assert_eq!(world.get(&other, "/auth/whoami").await.status, 200);
        world.advance_ms(61_000);
        assert_eq!(world.get(TOKEN, "/auth/whoami").await.status, 200);
    }

    async fn an_address_has_so_many_requests_whatever_it_shows(tight: Tight) {
        let Tight(world) = tight;
        let other = world.service_token(None, model::access::Role::Viewer).await;
        let ask = |token: &str, from: &str| {
            world.ask(Ask::new("GET", "/auth/whoami").token(token).from(from))
        };
        for _ in 0..20 {
            assert_eq!(ask(TOKEN, "192.0.2.1").await.status, 200);
            assert_eq!(ask(&other, "192.0.2.1").await.status, 200);
        }
        assert!(is_refused(&ask(TOKEN, "192.0.2.1").await));
        assert!(is_refused(&world.ask(Ask::new("GET", "/health/live").from("192.0.2.1")).await));
        assert_eq!(ask(TOKEN, "192.0.2.2").await.status, 200);
    }

    async fn an_address_is_refused_so_often_and_good_tokens_pass(tight: Tight) {
        let Tight(world) = tight;
        let viewer = world.service_token(None, model::access::Role::Viewer).await;
        let ask = |method: &str, path: &str, token: &str| {
            let ask = Ask::new(method, path).token(token).from("203.0.113.7");
            world.ask(if method == "POST" { ask.body(json!({})) } else { ask })
        };
        for n in 0..4 {
            assert_eq!(ask("GET", "/app", &format!("guess-number-{n}")).await.status, 401);
        }
        for _ in 0..2 {
            assert_eq!(ask("POST", "/app", &viewer).await.status, 403);
        }
        assert_eq!(ask("GET", "/nothing", &viewer).await.status, 404);
        assert_eq!(ask("GET", "/authorize?keyspace=x", "guess").await.status, 401);
        assert!(is_refused(&ask("GET", "/authorize?keyspace=x", "guess").await));
        assert!(is_refused(&ask("GET", "/app", "guess-number-9").await));
        assert!(is_refused(&ask("POST", "/app", &viewer).await));
        assert_eq!(ask("GET", "/app", &viewer).await.status, 200);
        let elsewhere = Ask::new("GET", "/app").token("guess-number-9").from("203.0.113.8");
        assert_eq!(world.ask(elsewhere).await.status, 401);
        world.advance_ms(61_000);
        assert_eq!(ask("GET", "/app", "guess-number-9").await.status, 401);
    }

    async fn strangers_at_the_proxys_door_are_counted(tight: Tight) {
        let Tight(world) = tight;
        let ask = |from: &str| world.ask(Ask::new("GET", "/authorize").from(from));
        for _ in 0..40 {
            assert_eq!(ask("192.0.2.1").await.status, 400);
        }
        assert!(is_refused(&ask("192.0.2.1").await));
        assert_eq!(ask("192.0.2.2").await.status, 400);
        for _ in 0..50 {
            assert_eq!(ask("10.0.0.1").await.status, 400, "a trusted proxy asks for many");
        }
    }

    async fn an_app_has_so_many_messages_in_a_minute(tight: Tight) {
        let Tight(world) = tight;
        let (app, other) = (world.app().await, world.app().await);
        let message = json!({"eventType": "contact.created", "payload": {}});
        let publish = |path: String, body: &serde_json::Value| {
            world.ask(Ask::new("POST", path).token(TOKEN).body(body.clone()))
        };
        let batch = json!({"messages": vec![message.clone(); 8]});
        assert_eq!(publish(format!("/app/{app}/msg/batch"), &batch).await.status, 202);
        assert_eq!(publish(format!("/app/{app}/msg"), &message).await.status, 202);
        assert_eq!(publish(format!("/app/{app}/msg"), &message).await.status, 202);
        assert!(is_refused(&publish(format!("/app/{app}/msg"), &message).await));
        assert_eq!(publish(format!("/app/{other}/msg"), &message).await.status, 202);
        assert_eq!(world.get(TOKEN, &format!("/app/{app}")).await.status, 200);
    }

    async fn guessing_is_slow_and_locks_nobody_out(tight: Tight) {
        let Tight(world) = tight;
        world.user("ada@example.org", None).await;
        world.user("bob@example.org", None).await;
        assert_eq!(log_in(&world, "ada@example.org", PASSWORD, "192.0.2.1").await.status, 200);

        // One address guesses three times at one account.
        for _ in 0..3 {
            assert_eq!(log_in(&world, "ada@example.org", "wrong", "203.0.113.1").await.status, 401);
        }
        let refused = log_in(&world, "ada@example.org", PASSWORD, "203.0.113.1").await;
        assert!(is_refused(&refused), "even with the right password: {refused:?}");
        // Many addresses guess at it: unknown ones are shut out together, the user is not.
        for n in 2..20 {
            let from = format!("203.0.113.{n}");
            log_in(&world, "ada@example.org", "wrong", &from).await;
        }
        assert!(is_refused(&log_in(&world, "ada@example.org", "wrong", "203.0.113.99").await));
        assert_eq!(log_in(&world, "ada@example.org", PASSWORD, "192.0.2.1").await.status, 200);
        // Other accounts are not concerned.
        assert_eq!(log_in(&world, "bob@example.org", PASSWORD, "203.0.113.50").await.status, 200);
    }

    async fn an_address_tries_so_many_accounts_and_no_more(tight: Tight) {
        let Tight(world) = tight;
        let mut tried = 0;
        // A client with a network of its own is one client.
        loop {
            let from = format!("2001:db8::{tried}");
            let email = format!("{tried}@example.org");
            if is_refused(&log_in(&world, &email, "wrong", &from).await) {
                break;
            }
            tried += 1;
        }
        assert_eq!(tried, 12);
    }

    async fn unknown_accounts_are_limited_like_known_ones(tight: Tight) {
        let Tight(world) = tight;
        world.user("ada@example.org", None).await;
        for email in ["ada@example.org", "nobody@example.org"] {
            let mut tries = 0;
            while !is_refused(&log_in(&world, email, "wrong", "203.0.113.1").await) {
                tries += 1;
            }
            assert_eq!(tries, 3, "{email}");
        }
    }
}
