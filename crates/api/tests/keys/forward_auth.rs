use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use testkit::databases::FromDatabase;
use testkit::server::Reply;
use testkit::{TestDatabase, on_both};

use crate::world::World;

const IDENTITY: [&str; 9] = [
    "x-consumer-id",
    "x-consumer-custom-id",
    "x-consumer-username",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-key-id",
    "x-key-env",
    "x-key-scopes",
    "x-doorbell-identity",
];

async fn asked(world: &World, target: &str, headers: &[(&str, &str)]) -> Reply {
    world.bare(Method::GET, &format!("/api/v1/authorize{target}"), headers).await
}

/// A server that trusts no proxy.
struct Wary(World);

impl FromDatabase for Wary {
    async fn from_database(database: TestDatabase) -> Self {
        Self(World::with(database, &[]).await)
    }
}

on_both! {
    async fn whom_nobody_trusts_speaks_for_itself_alone(wary: Wary) {
        let Wary(world) = wary;
        let elsewhere = world.key(json!({"ipAllow": ["192.0.2.0/24"]})).await;
        let here = world.key(json!({"ipAllow": ["127.0.0.0/8"]})).await;
        let settings = ("x-doorbell-authorize", "keyspace=crm");
        let forged = ("x-forwarded-for", "192.0.2.1");
        for target in ["?keyspace=crm", "?keyspace=crm&hops=2", "/contacts", "/"] {
            let shown = [("x-api-key", &*elsewhere.token), settings, forged];
            assert_eq!(asked(&world, target, &shown).await.status, 401, "{target}");
            let shown = [("x-api-key", &*here.token), settings, forged];
            let reply = asked(&world, target, &shown).await;
            assert_eq!((reply.status, &*reply.headers["x-key-id"]), (200, &*here.id), "{target}");
            assert_eq!(reply.headers["x-doorbell-identity"], "", "signed for a stranger");
        }
    }

    async fn a_good_key_is_let_through_with_its_identity(world: World) {
        let key = world.key(json!({"owner": "Zoë", "roles": ["editor"]})).await;
        let bearer = format!("Bearer {}", key.token);
        let query = "?keyspace=crm&scopes=read:contacts+AND+write:contacts&environment=live";
        let reply = asked(&world, query, &[("authorization", &bearer)]).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        let header = |name: &str| reply.headers[name].as_str();
        assert_eq!(header("x-key-id"), key.id);
        assert_eq!(header("x-consumer-custom-id"), "Zo%C3%AB");
        assert_eq!(header("x-consumer-groups"), "editor");
        assert_eq!(header("x-key-scopes"), "read:contacts write:contacts");
        assert_eq!(header("x-auth-status"), "200");
        assert!(!reply.headers.values().any(|value| value.contains(&key.token)));
        for method in [Method::POST, Method::DELETE, Method::OPTIONS, Method::HEAD] {
            let target = format!("/api/v1/authorize{query}");
            let reply = world.bare(method, &target, &[("authorization", &bearer)]).await;
            assert_eq!(reply.status, 200);
        }
    }

    async fn the_signed_identity_can_be_checked(world: World) {
        let key = world.key(json!({"owner": "acme", "scopes": ["read:contacts"]})).await;
        let token = [("x-api-key", &*key.token)];
        let reply = asked(&world, "?keyspace=crm", &token).await;
        let passport = &reply.headers["x-doorbell-identity"];
        let public = world.bare(Method::GET, "/.well-known/jwks.json", &[]).await.json;
        let public = URL_SAFE_NO_PAD.decode(public["keys"][0]["x"].as_str().unwrap()).unwrap();
        let (signed, signature) = passport.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, public);
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());

        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((&claims["sub"], &claims["aud"]), (&json!(key.id), &json!("crm")));
        assert_eq!((&claims["owner"], &claims["scope"]), (&json!("acme"), &json!("read:contacts")));
        let now = world.clock.now().0 / 1_000;
        let exp = claims["exp"].as_i64().unwrap();
        assert!((60..=90).contains(&(exp - now)), "{exp} {now}");
    }

    async fn refusals_look_alike_and_name_nobody(world: World) {
        let revoked = world.key(json!({})).await;
        world.made(&revoked.path("/revoke"), json!({})).await;
        let disabled = world.key(json!({"enabled": false})).await;
        let other_env = world.key(json!({"environment": "test"})).await;
        let elsewhere = world.key(json!({"ipAllow": ["192.0.2.0/24"]})).await;
        let mut bodies = Vec::new();
        let keys = [revoked, disabled, other_env, elsewhere];
        for token in keys.iter().map(|key| &*key.token).chain(["nonsense"]) {
            let headers = [("x-api-key", token), ("x-forwarded-for", "192.0.2.1, 198.51.100.1")];
            let reply = asked(&world, "?keyspace=crm&environment=live", &headers).await;
            assert_eq!(reply.status, 401, "{token}");
            for name in IDENTITY {
                assert_eq!(reply.headers[name], "", "{name}");
            }
            bodies.push(reply.bytes);
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "refusals can be told apart");
    }

    async fn the_clients_address_is_counted_from_the_right(world: World) {
        let key = world.key(json!({"ipAllow": ["192.0.2.0/24"]})).await;
        let forwarded = [("x-api-key", &*key.token), ("x-forwarded-for", "192.0.2.1, 10.0.0.1")];
        assert_eq!(asked(&world, "?keyspace=crm", &forwarded).await.status, 401);
        assert_eq!(asked(&world, "?keyspace=crm&hops=2", &forwarded).await.status, 200);
        assert_eq!(asked(&world, "?keyspace=crm&hops=3", &forwarded).await.status, 401);
    }

    async fn nginx_is_told_what_it_understands(world: World) {
        let limits = json!([{"name": "minute", "limit": 1, "windowMs": 60_000}]);
        let key = world.key(json!({"limits": limits})).await;
        let token = [("x-api-key", &*key.token)];
        assert_eq!(asked(&world, "?keyspace=crm&compat=nginx", &token).await.status, 200);
        let limited = asked(&world, "?keyspace=crm&compat=nginx&legacy=false", &token).await;
        assert_eq!((limited.status, &*limited.headers["x-auth-status"]), (403, "429"));
        let wait = &limited.headers["retry-after"];
        assert!((60..=61).contains(&wait.parse::<u64>().unwrap()), "{wait}");
        assert_eq!(limited.headers["ratelimit"], format!("\"minute\";r=0;t={wait}"));
        assert!(!limited.headers.contains_key("x-ratelimit-limit"));
        let limited = asked(&world, "?keyspace=crm", &token).await;
        assert_eq!((limited.status, &*limited.headers["x-ratelimit-remaining"]), (429, "0"));
    }

    async fn the_holder_of_a_good_key_hears_what_is_missing(world: World) {
        let key = world.key(json!({"scopes": ["read:contacts"]})).await;
        let token = [("x-api-key", &*key.token)];
        let reply = asked(&world, "?keyspace=crm&scopes=delete:contacts", &token).await;
        assert_eq!((reply.status, &*reply.headers["x-key-id"]), (403, ""));
        let challenge = &reply.headers["www-authenticate"];
        assert_eq!(challenge, "Bearer error=\"insufficient_scope\", scope=\"delete:contacts\"");
    }

    async fn settings_that_are_not_right_open_nothing(world: World) {
        let key = world.key(json!({})).await;
        let token = [("x-api-key", &*key.token)];
        for query in ["", "?scopes=a", "?keyspace=crm&scope=a", "?keyspace=crm&scopes=",
            "?keyspace=crm&environment=", "?keyspace=crm&scopes=a+AND"] {
            assert_eq!(asked(&world, query, &token).await.status, 400, "{query}");
        }
        assert_eq!(asked(&world, "?keyspace=none", &token).await.status, 401);
    }

    async fn a_proxy_that_appends_the_clients_path(world: World) {
        let key = world.key(json!({})).await;
        let settings = ("x-doorbell-authorize", "keyspace=crm&in=x-api-key,query:k");
        let shown = [("x-api-key", &*key.token), settings];
        let targets = ["/", "/contacts", "/contacts/7/?keyspace=none", "//", "/?keyspace=none"];
        for target in targets {
            let reply = asked(&world, target, &shown).await;
            assert_eq!(reply.status, 200, "{target}: {}", reply.json);
            assert_eq!(reply.headers["x-envoy-auth-headers-to-remove"], "x-api-key");
        }
        let in_query = asked(&world, &format!("/contacts?k={}", key.token), &[settings]).await;
        assert_eq!(in_query.status, 200);
        // The client's own query never says what is asked.
        let unset = [("x-api-key", &*key.token)];
        for target in ["/?keyspace=crm", "/contacts?keyspace=crm"] {
            assert_eq!(asked(&world, target, &unset).await.status, 400, "{target}");
        }
        // And where the query is the proxy's, the header is the client's.
        assert_eq!(asked(&world, "?keyspace=none", &shown).await.status, 401);
    }

    async fn usage_is_seen_afterwards(world: World) {
        let key = world.key(json!({})).await;
        let headers = [
            ("x-api-key", &*key.token),
            ("x-forwarded-for", "6.6.6.6, 192.0.2.9"),
            ("user-agent", "curl/8"),
        ];
        assert_eq!(asked(&world, "?keyspace=crm&cost=3", &headers).await.status, 200);
        assert_eq!(asked(&world, "?keyspace=crm&scopes=x", &headers).await.status, 403);
        world.keys.settle_usage().await;
        let usage = world.read(&key.path("/usage")).await;
        assert_eq!(usage["totals"], json!({"VALID": 1, "INSUFFICIENT_SCOPE": 1}));
        let good = usage["data"].as_array().unwrap().iter().find(|row| row["outcome"] == "VALID");
        assert_eq!(good.unwrap()["cost"], 3);
        let last = &usage["lastUse"];
        assert_eq!((&last["address"], &last["userAgent"]), (&json!("192.0.2.9"), &json!("curl/8")));
        let len = |field: &str| usage[field].as_array().unwrap().len();
        assert_eq!(len("latencyBoundsUs") + 1, len("latency"));

        let long = key.path("/usage?since=2026-01-01T00:00:00Z");
        assert_eq!(world.ask(Method::GET, &long, Value::Null).await.status, 422);
    }
}
