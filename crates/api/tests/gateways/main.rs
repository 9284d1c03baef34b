//! Real proxies, with the configurations that are handed to users, in front of a small API.
//!
//! Every proxy walks the same journey. What is asserted of the API's side is what counts: a
//! request that should not pass must not arrive there at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod gateway;
mod scene;

use http::Method;
use model::Entropy;
use model::key::token;
use testkit::databases::run_test;
use testkit::receiver::Received;

use crate::gateway::Kind;
use crate::scene::Scene;

const NGINX: Kind = Kind {
    name: "nginx",
    variable: "DOORBELL_TEST_NGINX",
    files: &["doorbell.conf"],
    arguments: &["-p", "{folder}", "-c", "nginx.conf"],
    shows_limits: true,
    tells_loopback: true,
};

const CADDY: Kind = Kind {
    name: "caddy",
    variable: "DOORBELL_TEST_CADDY",
    files: &["Caddyfile"],
    arguments: &["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
    shows_limits: true,
    tells_loopback: true,
};

const HAPROXY: Kind = Kind {
    name: "haproxy",
    variable: "DOORBELL_TEST_HAPROXY",
    files: &["haproxy.cfg", "doorbell.lua"],
    arguments: &["-f", "haproxy.cfg"],
    shows_limits: true,
    tells_loopback: true,
};

const TRAEFIK: Kind = Kind {
    name: "traefik",
    variable: "DOORBELL_TEST_TRAEFIK",
    files: &["traefik.yml", "dynamic.yml"],
    arguments: &["--configFile=traefik.yml"],
    shows_limits: false,
    tells_loopback: true,
};

const ENVOY: Kind = Kind {
    name: "envoy",
    variable: "DOORBELL_TEST_ENVOY",
    files: &["envoy.yaml"],
    arguments: &["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"],
    shows_limits: true,
    // It writes its own address in the place of one on the loopback.
    tells_loopback: false,
};

const ENVOY_GRPC: Kind = Kind {
    files: &["envoy-grpc.yaml"],
    arguments: &["-c", "envoy-grpc.yaml", "--disable-hot-restart", "--concurrency", "1"],
    // Over gRPC it tells the address of the connection as it is.
    tells_loopback: true,
    ..ENVOY
};

macro_rules! journeys {
    ($($name:ident: $kind:expr;)+) => {
        $(#[test]
        fn $name() {
            run_test(walk(&$kind));
        })+
    };
}

journeys! {
    nginx: NGINX;
    caddy: CADDY;
    haproxy: HAPROXY;
    traefik: TRAEFIK;
    envoy: ENVOY;
    envoy_grpc: ENVOY_GRPC;
}

/// Over HTTP `keys` asks the same; over gRPC it takes a proxy.
#[test]
fn a_proxy_that_nobody_named_gets_no_signature() {
    run_test(async {
        let scene = Scene::start(&ENVOY_GRPC, &[]).await;
        assert_eq!(scene.get("/contacts", "good").await.status, 204, "{}", scene.gateway.log());
        let seen = scene.api.next().await;
        assert_eq!(seen.header("x-key-id"), Some(scene.id("good")));
        assert_eq!(seen.header("x-doorbell-identity"), Some(""));
    });
}

async fn walk(kind: &'static Kind) {
    let mut scene = Scene::start(kind, &["127.0.0.1/32"]).await;
    allowed(&scene).await;
    nothing_of_an_identity_comes_from_the_client(&scene).await;
    no_key_no_entry(&scene).await;
    the_client_cannot_say_what_is_asked(&scene).await;
    a_missing_scope(&scene).await;
    limited(&scene).await;
    addresses(&scene).await;
    nobody_passes_without_doorbell(&mut scene).await;
}

async fn allowed(scene: &Scene) {
    let headers = [("authorization", &*scene.bearer("good")), ("content-type", "text/plain")];
    let answer = scene.send(Method::POST, "/contacts?page=2", &headers, "a body").await;
    assert_eq!(answer.status, 204, "{}", scene.gateway.log());
    let seen = scene.api.next().await;
    assert_eq!((&*seen.method, &*seen.path), ("POST", "/contacts?page=2"));
    assert_eq!(seen.body, b"a body");
    assert_eq!(seen.header("authorization"), None, "the key went on to the API");
    assert_eq!(seen.header("x-key-id"), Some(scene.id("good")));
    assert_eq!(seen.header("x-credential-identifier"), Some(scene.id("good")));
    assert_eq!(seen.header("x-consumer-custom-id"), Some("acme"));
    assert_eq!(seen.header("x-key-env"), Some("live"));
    assert_eq!(seen.header("x-key-scopes"), Some("read:contacts"));
    let passport = seen.header("x-doorbell-identity").expect("a signed identity");
    assert_eq!(passport.split('.').count(), 3, "{passport}");
    if scene.gateway.kind.shows_limits {
        assert_eq!(answer.header("ratelimit-policy"), Some("\"minute\";q=100;w=60"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some("99"));
    }

    let header = [("x-api-key", scene.bearer("unlimited").replace("Bearer ", ""))];
    let header = header.each_ref().map(|(name, value)| (*name, &**value));
    let answer = scene.send(Method::GET, "/contacts", &header, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("ratelimit"), None, "a key without limits has nothing to show");
    assert_eq!(answer.header("x-ratelimit-limit"), None);
    assert_eq!(scene.api.next().await.header("x-api-key"), None, "the key went on to the API");
}

async fn nothing_of_an_identity_comes_from_the_client(scene: &Scene) {
    let spoofed = [
        ("authorization", &*scene.bearer("unlimited")),
        ("X-Key-Id", "key_of_somebody_else"),
        ("x-key-scopes", "*"),
        ("X-Consumer-ID", "app_of_somebody_else"),
        ("X-CONSUMER-CUSTOM-ID", "boss"),
        ("x-consumer-username", "boss"),
        ("x-consumer-groups", "admin"),
        ("x-credential-identifier", "boss"),
        ("x-doorbell-identity", "a.b.c"),
    ];
    let answer = scene.send(Method::GET, "/contacts", &spoofed, "").await;
    assert_eq!(answer.status, 204);
    let seen = scene.api.next().await;
    assert_eq!(values(&seen, "x-key-id"), [scene.id("unlimited")]);
    assert_eq!(values(&seen, "x-key-scopes"), ["read:contacts"]);
    assert_eq!(values(&seen, "x-credential-identifier"), [scene.id("unlimited")]);
    assert!(values(&seen, "x-doorbell-identity").iter().all(|text| text.len() > 100));
    // This key has no owner and no roles: what it does not have is empty or absent.
    for name in ["x-consumer-custom-id", "x-consumer-username", "x-consumer-groups"] {
        assert!(values(&seen, name).iter().all(|value| value.is_empty()), "{name}: {seen:?}");
    }
    assert!(values(&seen, "x-consumer-id").iter().all(|id| id.starts_with("app_")));
    assert!(!values(&seen, "x-consumer-id").contains(&"app_of_somebody_else"));
}

fn values<'a>(seen: &'a Received, name: &str) -> Vec<&'a str> {
    let lines = seen.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| value.as_str()).collect()
}

async fn no_key_no_entry(scene: &Scene) {
    let before = scene.api.requests().len();
    let unknown = format!("Bearer {}", token::mint("crm", "live", &Entropy::seeded(9)));
    let bearer = scene.bearer("good");
    let foreign = scene.bearer("foreign");
    let attempts: [&[(&str, &str)]; 5] = [
        &[],
        &[("authorization", "Bearer nonsense")],
        &[("authorization", &unknown)],
        &[("authorization", &foreign)],
        // Two keys, although both are good.
        &[("authorization", &bearer), ("x-api-key", &bearer["Bearer ".len()..])],
    ];
    let mut answers = Vec::new();
    for headers in attempts {
        let answer = scene.send(Method::GET, "/contacts", headers, "").await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        answers.push(answer.bytes);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "refusals can be told apart");
    assert_eq!(scene.api.requests().len(), before, "a refused request arrived");
}

/// The settings are the administrator's: neither the client's query nor its headers change them.
async fn the_client_cannot_say_what_is_asked(scene: &Scene) {
    let before = scene.api.requests().len();
    let bearer = scene.bearer("foreign");
    for target in ["/?keyspace=open", "/contacts?keyspace=open&scopes=", "//?keyspace=open"] {
        for name in ["x-doorbell-authorize", "x-unused"] {
            let headers = [("authorization", &*bearer), (name, "keyspace=open")];
            let answer = scene.send(Method::GET, target, &headers, "").await;
            assert_eq!(answer.status, 401, "{target} {name}");
        }
    }
    assert_eq!(scene.api.requests().len(), before, "a refused request arrived");
}

async fn a_missing_scope(scene: &Scene) {
    let before = scene.api.requests().len();
    let answer = scene.get("/contacts", "weak").await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["code"], "forbidden");
    assert_eq!(scene.api.requests().len(), before, "a refused request arrived");
}

async fn limited(scene: &Scene) {
    assert_eq!(scene.get("/contacts", "limited").await.status, 204);
    scene.api.next().await;
    let before = scene.api.requests().len();
    let answer = scene.get("/contacts", "limited").await;
    assert_eq!(answer.status, 429, "{}", scene.gateway.log());
    assert_eq!(answer.json()["code"], "rate_limited");
    assert_eq!(answer.header("ratelimit-policy"), Some("\"minute\";q=1;w=60"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    let wait: u64 = answer.header("retry-after").expect("a time to wait").parse().unwrap();
    // A window slides on by its parts: the last of them may end a little later.
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(scene.api.requests().len(), before, "a refused request arrived");
}

async fn addresses(scene: &Scene) {
    let spoofed = ("x-forwarded-for", "203.0.113.1");
    let elsewhere = [("authorization", &*scene.bearer("elsewhere")), spoofed];
    let answer = scene.send(Method::GET, "/contacts", &elsewhere, "").await;
    assert_eq!(answer.status, 401, "the client chose its own address");
    if scene.gateway.kind.tells_loopback {
        let here = [("authorization", &*scene.bearer("here")), spoofed];
        assert_eq!(scene.send(Method::GET, "/contacts", &here, "").await.status, 204);
        scene.api.next().await;
    }
}

async fn nobody_passes_without_doorbell(scene: &mut Scene) {
    let before = scene.api.requests().len();
    scene.lose_doorbell().await;
    let answer = scene.get("/contacts", "good").await;
    assert!((500..=503).contains(&answer.status), "{}", answer.status);
    assert_eq!(scene.api.requests().len(), before, "a request that nobody checked arrived");
}
