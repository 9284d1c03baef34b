//! Portals: links for people in a product's own pages.

use serde_json::json;
use testkit::{TOKEN, on_both};

use crate::world::{Ask, World};

const HOUR_MS: u64 = 3_600_000;

on_both! {
    async fn a_link_carries_its_token_where_no_server_sees_it(world: World) {
        let app = world.app().await;
        let path = format!("/auth/app-portal-access/{app}");
        let access = world.owner("POST", &path, json!({"featureFlags": ["x"]})).await;
        let (url, token) = (access.text("url"), access.text("token"));
        assert_eq!(url, format!("https://doorbell.example/portal/{app}#token={token}"));
        assert_eq!(access.headers["cache-control"], "no-store");
        assert_eq!(world.get(&token, "/app").await.ids(), [app.to_string()]);
        let whoami = world.get(&token, "/auth/whoami").await;
        assert_eq!(whoami.json["kind"], "portal");
        assert_eq!(whoami.json["appId"], app.to_string());
        assert_eq!(whoami.json["permissionSource"], "SvixJwt");
    }

    async fn a_link_lasts_as_long_as_was_asked_for(world: World) {
        let app = world.app().await;
        let hour = world.portal(app, json!({"expiry": 3_600})).await;
        let week = world.portal(app, json!({})).await;
        world.advance_ms(HOUR_MS - 1_000);
        assert_eq!(world.get(&hour, "/app").await.status, 200);
        world.advance_ms(1_000);
        assert_eq!(world.get(&hour, "/app").await.status, 401);
        world.advance_ms(7 * 24 * HOUR_MS - 2 * HOUR_MS);
        assert_eq!(world.get(&week, "/app").await.status, 200);
        world.advance_ms(HOUR_MS);
        assert_eq!(world.get(&week, "/app").await.status, 401);
        let path = format!("/auth/app-portal-access/{app}");
        for bad in [json!({"expiry": 60}), json!({"expiry": 9_999_999}), json!({"capabilities": ["Root"]})] {
            assert_eq!(world.owner("POST", &path, bad.clone()).await.status, 422, "{bad}");
        }
    }

    async fn an_application_can_come_along(world: World) {
        let wish = json!({"application": {"name": "New", "uid": "ignored"}});
        let access = world.owner("POST", "/auth/app-portal-access/new-one", wish).await;
        let token = access.text("token");
        assert_eq!(world.get(&token, "/app/new-one").await.json["name"], "New");
        let none = world.owner("POST", "/auth/app-portal-access/none", json!({})).await;
        assert_eq!(none.status, 404);
    }

    async fn sessions_end_by_name_together_and_alone(world: World) {
        let (app, other) = (world.app().await, world.app().await);
        let a = world.portal(app, json!({"sessionId": "a"})).await;
        let b = world.portal(app, json!({"sessionId": "b"})).await;
        let c = world.portal(app, json!({})).await;
        let foreign = world.portal(other, json!({"sessionId": "a"})).await;
        let good = async |token: &str| world.get(token, "/app").await.status == 200;
        for token in [&a, &b, &c, &foreign] {
            assert!(good(token).await);
        }
        let expire = |wish| {
            let path = format!("/auth/app/{app}/expire-all");
            let world = &world;
            async move { world.owner("POST", &path, wish).await.status }
        };
        assert_eq!(expire(json!({"sessionIds": ["a"]})).await, 204);
        assert!(!good(&a).await && good(&b).await && good(&c).await && good(&foreign).await);

        assert_eq!(world.ask(Ask::new("POST", "/auth/logout").token(&c)).await.status, 204);
        assert!(good(&b).await && !good(&c).await);

        assert_eq!(expire(json!({"expiry": 60})).await, 204);
        assert!(good(&b).await);
        world.advance_ms(60_000);
        assert!(!good(&b).await && good(&foreign).await);
        assert_eq!(expire(json!({"expiry": 9_999_999})).await, 422);
    }

    async fn what_a_published_client_sends_is_understood(world: World) {
        let app = world.app().await;
        let path = format!("/auth/app-portal-access/{app}");
        let ask = || Ask::new("POST", &path).token(TOKEN);
        // No body at all, as some clients send it, and each POST with a key.
        let bare = world.ask(ask().header("idempotency-key", "auto_1")).await;
        let again = world.ask(ask().header("idempotency-key", "auto_1")).await;
        assert_eq!(bare.text("token"), again.text("token"));
        let expire = Ask::new("POST", format!("/auth/app/{app}/expire-all")).token(TOKEN);
        assert_eq!(world.ask(expire).await.status, 204);
        assert_eq!(world.get(&bare.text("token"), "/app").await.status, 401);
    }
}
