//! Logging in at an identity provider.

use axum::http::header;
use jsonwebtoken::Algorithm;
use model::access::Role;
use model::oidc::LOGIN_MS;
use serde_json::{Value, json};
use testkit::{TestDatabase, on_both};

use crate::provider::{Make, Provider};
use crate::world::{Answer, Ask, World};

const GOOD: Make = Make::Signed(Algorithm::RS256);

struct Scene {
    world: World,
    provider: Provider,
}

/// A browser between the start and the return.
struct Browser {
    page: String,
    cookie: String,
}

impl Scene {
    async fn new(
        database: TestDatabase,
        change: impl FnOnce(&mut api::auth::oidc::OidcOptions),
    ) -> Self {
        let provider = Provider::start().await;
        let world = World::with(database, |parts| {
            let mut options = provider.options(parts.store.clock());
            change(&mut options);
            parts.access.oidc = Some(options);
        });
        Self { world: world.await, provider }
    }

    async fn start(&self) -> Browser {
        let answer = self.world.ask(Ask::new("GET", "/auth/oidc/start")).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        let (cookie, attributes) = cookie.split_once(';').unwrap();
        for wanted in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
            assert!(attributes.contains(wanted), "{attributes}");
        }
        let page = answer.headers["location"].to_str().unwrap().to_owned();
        Browser { page, cookie: cookie.to_owned() }
    }

    async fn back(&self, path: &str, cookie: &str) -> Answer {
        self.world.ask(Ask::new("GET", path).header("cookie", format!("a=b; {cookie}"))).await
    }

    /// The whole way.
    async fn log_in(&self, make: Make, claims: Value) -> Answer {
        let Browser { page, cookie } = self.start().await;
        let path = self.provider.log_in(&page, &self.world.clock, make, claims);
        self.back(&path, &cookie).await
    }
}

on_both! {
    async fn a_good_login_is_a_session(database: TestDatabase) {
        let scene = Scene::new(database, |_| ()).await;
        let user = scene.world.user("ada@example.org", Some(Role::Developer)).await;
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            let session = scene.log_in(Make::Signed(algorithm), json!({})).await;
            assert_eq!(session.text("token").split('.').count(), 3);
            assert_eq!(session.json["user"]["id"], user.id.to_string());
            assert!(session.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
            let whoami = scene.world.get(&session.text("token"), "/auth/whoami").await;
            assert_eq!(whoami.text("id"), user.id.to_string());
        }
        assert_eq!(scene.provider.script().asked_for_keys, 1, "they are remembered");
        // Found by the subject from now on, whatever the address.
        let moved = json!({"email": "new@example.net", "email_verified": false});
        assert_eq!(scene.log_in(GOOD, moved).await.json["user"]["id"], user.id.to_string());
        let log = scene.world.audit_log(&store::AuditQuery::default()).await.unwrap().data;
        let links = log.iter().filter(|entry| entry.action == "user.link_identity");
        assert_eq!(links.count(), 1);
    }

    async fn no_bad_token_logs_anybody_in(database: TestDatabase) {
        let scene = Scene::new(database, |_| ()).await;
        scene.world.user("ada@example.org", Some(Role::Owner)).await;
        let now_s = scene.world.clock.now().seconds();
        for (make, claims) in [
            (GOOD, json!({"nonce": "of another login"})),
            (GOOD, json!({"aud": "another client"})),
            (GOOD, json!({"aud": ["another client", "a third"]})),
            (GOOD, json!({"iss": "https://elsewhere.example"})),
            (GOOD, json!({"exp": now_s - 3_600})),
            (GOOD, json!({"iat": now_s + 3_600})),
            (Make::Unsigned, json!({})),
            (Make::PublicSecret, json!({})),
        ] {
            let answer = scene.log_in(make, claims.clone()).await;
            assert_eq!(answer.status, 401, "{make:?} {claims}: {answer:?}");
        }
        scene.log_in(GOOD, json!({})).await.ok();
    }

    async fn a_login_comes_back_once_to_its_own_browser_and_in_time(database: TestDatabase) {
        let scene = Scene::new(database, |_| ()).await;
        scene.world.user("ada@example.org", None).await;
        let (one, two) = (scene.start().await, scene.start().await);
        let path = scene.provider.log_in(&one.page, &scene.world.clock, GOOD, json!({}));
        for cookie in [two.cookie.as_str(), "", "doorbell_login=", "doorbell_login=AAAA"] {
            assert_eq!(scene.back(&path, cookie).await.status, 401, "{cookie}");
        }
        scene.back(&path, &one.cookie).await.ok();
        assert_eq!(scene.back(&path, &one.cookie).await.status, 401, "a second time");
        // Neither does another code help that state.
        let path = scene.provider.log_in(&one.page, &scene.world.clock, GOOD, json!({}));
        assert_eq!(scene.back(&path, &one.cookie).await.status, 401, "with another code");
        let path = scene.provider.log_in(&two.page, &scene.world.clock, GOOD, json!({}));
        scene.world.advance_ms(LOGIN_MS);
        assert_eq!(scene.back(&path, &two.cookie).await.status, 401, "too late");
        let Browser { page, cookie } = scene.start().await;
        let path = scene.provider.log_in(&page, &scene.world.clock, GOOD, json!({}));
        let path = path.replace("iss=", "iss=https://mixed.up/&was=");
        assert_eq!(scene.back(&path, &cookie).await.status, 401, "by another provider");
    }

    async fn who_is_nobody_here_is_told_so(database: TestDatabase) {
        let scene = Scene::new(database, |options| options.link_by_email = false).await;
        let user = scene.world.user("ada@example.org", None).await;
        // Neither is linked, nor is anybody made.
        assert_eq!(scene.log_in(GOOD, json!({})).await.status, 403);
        assert_eq!(scene.log_in(GOOD, json!({"email": "new@example.org"})).await.status, 403);
        assert_eq!(scene.log_in(GOOD, json!({"email": null})).await.status, 403);
        let identity =
            store::Identity { issuer: scene.provider.issuer.clone(), subject: "ada-at-home".into() };
        let by = testkit::by();
        assert!(scene.world.link_identity(&identity, user.id, &by).await.unwrap());
        scene.log_in(GOOD, json!({})).await.ok();
        let path = format!("/user/{}", user.id);
        scene.world.owner("PATCH", &path, json!({"enabled": false})).await.ok();
        assert_eq!(scene.log_in(GOOD, json!({})).await.status, 403);
        // With the user goes the identity.
        assert!(scene.world.delete_user(user.id, &by).await.unwrap());
        assert_eq!(scene.world.user_by_identity(&identity).await.unwrap(), None);
    }

    async fn an_unverified_address_links_nobody(database: TestDatabase) {
        let scene = Scene::new(database, |options| options.default_role = Some(Role::Viewer)).await;
        scene.world.user("ada@example.org", Some(Role::Owner)).await;
        let unverified = json!({"email_verified": false});
        assert_eq!(scene.log_in(GOOD, unverified).await.status, 403);
    }

    async fn a_user_is_made_when_a_role_is_set(database: TestDatabase) {
        let scene = Scene::new(database, |options| {
            options.default_role = Some(Role::Viewer);
            options.link_by_email = false;
        });
        let scene = scene.await;
        let session = scene.log_in(GOOD, json!({"email": "Ada@Example.org"})).await;
        let user = &session.ok()["user"];
        assert_eq!((&user["email"], &user["role"]), (&json!("ada@example.org"), &json!("viewer")));
        assert_eq!(user["name"], "Ada Lovelace");
        let again = scene.log_in(GOOD, json!({})).await;
        assert_eq!(again.ok()["user"]["id"], user["id"]);
        // Another person with the same address is not her.
        assert_eq!(scene.log_in(GOOD, json!({"sub": "eve"})).await.status, 403);
        for password in ["", "!"] {
            let wish = json!({"email": "ada@example.org", "password": password});
            let answer = scene.world.ask(Ask::new("POST", "/auth/login").body(wish)).await;
            assert_eq!(answer.status, 401);
        }
    }

    async fn a_foreign_domain_stays_outside(database: TestDatabase) {
        let scene = Scene::new(database, |options| {
            options.email_domains = vec!["example.org".to_owned()];
            options.default_role = Some(Role::Viewer);
        });
        let scene = scene.await;
        for claims in [
            json!({"email": "ada@example.com"}),
            json!({"email": "ada@sub.example.org"}),
            json!({"email": "ada@example.org@evil.example"}),
            json!({"email": "ada@example.org", "email_verified": false}),
            json!({"email": null}),
        ] {
            assert_eq!(scene.log_in(GOOD, claims.clone()).await.status, 403, "{claims}");
        }
        scene.log_in(GOOD, json!({"email": "ada@EXAMPLE.org"})).await.ok();
        // Who was let in once is not let in with another address.
        assert_eq!(scene.log_in(GOOD, json!({"email": "ada@example.com"})).await.status, 403);
    }

    async fn new_keys_are_found_and_a_provider_that_is_down_is_told(database: TestDatabase) {
        let scene = Scene::new(database, |_| ()).await;
        scene.world.user("ada@example.org", None).await;
        scene.provider.script().is_down = true;
        let down = scene.world.ask(Ask::new("GET", "/auth/oidc/start")).await;
        assert_eq!((down.status, down.headers["retry-after"].to_str().unwrap()), (503, "5"));
        scene.provider.script().is_down = false;
        scene.world.advance_ms(5_000);
        scene.log_in(GOOD, json!({})).await.ok();
        scene.world.advance_ms(30_000);
        scene.log_in(Make::NewKey, json!({})).await.ok();
        assert_eq!(scene.provider.script().asked_for_keys, 2);
    }

    async fn without_a_provider_there_is_no_such_way(world: World) {
        for path in ["/auth/oidc/start", "/auth/oidc/callback?code=a&state=b"] {
            assert_eq!(world.ask(Ask::new("GET", path)).await.status, 404, "{path}");
        }
    }
}
