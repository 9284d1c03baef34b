//! The committed OpenAPI document is what the handlers say, and holds every route of the
//! delivery contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

const HOW_TO_REFRESH: &str = "crates/api/openapi.json is out of date. Refresh it and look at the \
    difference: `cargo run -p doorbell -- openapi > crates/api/openapi.json`, or run this test \
    with UPDATE_OPENAPI=1.";

/// What published clients of the delivery contract call, without the names of parameters.
const CONTRACT: &str = "
    GET POST              /app
    GET PUT PATCH DELETE  /app/{}
    GET POST              /app/{}/endpoint
    GET PUT PATCH DELETE  /app/{}/endpoint/{}
    GET                   /app/{}/endpoint/{}/secret
    POST                  /app/{}/endpoint/{}/secret/rotate
    GET PUT PATCH         /app/{}/endpoint/{}/headers
    GET                   /app/{}/endpoint/{}/stats
    POST                  /app/{}/endpoint/{}/send-example
    POST                  /app/{}/endpoint/{}/recover
    POST                  /app/{}/endpoint/{}/replay-missing
    POST                  /app/{}/endpoint/{}/bulk-replay
    GET                   /app/{}/endpoint/{}/msg
    GET POST              /event-type
    GET PUT PATCH DELETE  /event-type/{}
    GET POST              /app/{}/msg
    POST                  /app/{}/msg/precheck/active
    POST                  /app/{}/msg/expunge-all-contents
    GET                   /app/{}/msg/{}
    DELETE                /app/{}/msg/{}/content
    GET                   /app/{}/msg/{}/endpoint
    POST                  /app/{}/msg/{}/endpoint/{}/resend
    GET                   /app/{}/msg/{}/attempt/{}
    DELETE                /app/{}/msg/{}/attempt/{}/content
    GET                   /app/{}/attempt/endpoint/{}
    GET                   /app/{}/attempt/msg/{}
    GET                   /background-task
    GET                   /background-task/{}
    POST                  /auth/app-portal-access/{}
    POST                  /auth/app/{}/expire-all
    POST                  /auth/logout
    GET                   /auth/whoami
    GET                   /health
";

/// Doorbell's own.
const OWN: &str = "
    POST  /auth/login
    POST  /auth/refresh
    POST  /auth/password
    GET POST          /user
    GET PATCH DELETE  /user/{}
    GET POST          /app/{}/member
    GET PATCH DELETE  /app/{}/member/{}
    POST  /app/{}/msg/batch
    GET   /app/{}/msg/{}/explain
    GET   /app/{}/delivery
    GET   /app/{}/delivery/{}
    GET   /app/{}/delivery/{}/explain
    POST  /app/{}/delivery/{}/cancel
    GET   /app/{}/delivery/{}/chain
    GET POST  /app/{}/replay
    GET   /app/{}/replay/stats
    GET   /app/{}/replay/{}
    POST  /app/{}/replay/{}/pause
    POST  /app/{}/replay/{}/resume
    POST  /app/{}/replay/{}/cancel
    POST  /background-task/{}/pause
    POST  /background-task/{}/resume
    POST  /background-task/{}/cancel
    POST  /app/{}/endpoint/{}/pause
    POST  /app/{}/endpoint/{}/resume
    GET   /retention
    GET PUT               /app/{}/retention
    POST  /app/{}/erasure
    GET   /housekeeping
    POST  /housekeeping/run
    GET   /app/{}/endpoint/{}/secret/history
    POST  /app/{}/endpoint/{}/secret/revoke
    GET PUT DELETE        /app/{}/endpoint/{}/secret/policy
    GET POST              /app/{}/endpoint/{}/secret/check
    GET   /app/{}/endpoint/{}/secret/jwks
    GET   /audit-log
    GET   /audit-log/export
    GET   /audit-log/verify
    GET POST              /keyspace
    GET PUT PATCH DELETE  /keyspace/{}
    GET POST              /app/{}/key
    GET PATCH DELETE      /app/{}/key/{}
    POST  /app/{}/key/bulk
    POST  /app/{}/key/import
    POST  /app/{}/key/{}/revoke
    POST  /app/{}/key/{}/rotate
    POST  /app/{}/key/{}/enable
    POST  /app/{}/key/{}/disable
    GET   /app/{}/key/{}/secret
    POST  /app/{}/key/{}/secret/end-grace
    GET   /app/{}/key/{}/usage
    GET PUT               /app/{}/keyspace/{}/owner/{}
    POST  /key/verify
    POST  /key/verify-batch
    POST  /key/introspect
    POST  /key/revoke-self
    GET   /authorize
    GET   /health/live
    GET   /health/ready
";

fn generated() -> String {
    api::router::openapi_json().expect("a document")
}

fn operations() -> Vec<(String, Value)> {
    let document: Value = serde_json::from_str(&generated()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        let path = path.strip_prefix("/api/v1").expect("all is under /api/v1");
        for (method, operation) in item.as_object().expect("a path") {
            let name = format!("{} {}", method.to_uppercase(), without_names(path));
            operations.push((name, operation.clone()));
        }
    }
    operations
}

/// `/app/{}` of `/app/{app}`.
fn without_names(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn listed(list: &str) -> impl Iterator<Item = String> {
    list.lines().flat_map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let path = words.pop().unwrap_or_default();
        words.into_iter().map(move |method| format!("{method} {path}")).collect::<Vec<_>>()
    })
}

#[test]
fn the_committed_document_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let generated = generated();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &generated).expect("the document is written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{HOW_TO_REFRESH}");
}

#[test]
fn every_route_is_in_it() {
    let has: BTreeSet<String> = operations().into_iter().map(|(name, _)| name).collect();
    let missing: Vec<String> =
        listed(CONTRACT).chain(listed(OWN)).filter(|route| !has.contains(route)).collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for (route, operation) in operations() {
        let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
        assert!(name.starts_with("v1."), "{route}: {name}");
        assert!(names.insert(name.clone()), "{name} is used twice");
    }
}
