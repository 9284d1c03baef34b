//! Two tenants: every id of the other one, on every route, is as if it did not exist.

use std::collections::BTreeMap;

use api::access::Rule;
use model::access::Role;
use model::replay::{Kind, Selection};
use model::{AppId, Timestamp};
use serde_json::{Value, json};
use store::{After, NewReplay};
use testkit::test_store::{Started, attempt};
use testkit::{TOKEN, by, on_both};

use crate::world::{Ask, Operation, World, nobodys, operations};

/// Parameters that name what tenants share, or what each names for itself.
const SHARED: [&str; 3] = ["keyspace", "event_type", "owner"];

/// A tenant with one of everything.
struct Tenant {
    app: AppId,
    uid: String,
    ids: BTreeMap<&'static str, String>,
    /// Tokens that may do everything in the tenant's app, by what kind they are.
    tokens: Vec<(&'static str, String)>,
}

impl Tenant {
    async fn new(world: &World, started: &mut Started, keyspace: &str, name: &str) -> Self {
        let uid = format!("tenant-{name}");
        let app = world.app_with(|app| app.uid = Some(uid.clone())).await;
        let endpoint = world.endpoint_with(app, |it| it.uid = Some(format!("ep-{name}"))).await;
        let message = world.message_with(app, |it| it.event_id = Some(format!("ev-{name}"))).await;
        let lease = started.next().await;
        let attempt = attempt(&lease, world.clock.now(), Some(200));
        let attempt_id = attempt.id;
        let settlement = lease.settlement(Some(attempt), After::Succeeded);
        assert!(world.settle(settlement).await.unwrap());
        let selection = Selection::new(app, Timestamp(0), world.clock.now()).at(endpoint);
        let replay = NewReplay::new(Kind::Recover, selection);
        let replay = world.start_replay(replay, &by()).await.unwrap();
        let task = replay.task.expect("a task");
        let email = format!("{name}@example.org");
        let user = world.user(&email, None).await;
        world.member(app, &user, Role::Owner).await;
        let key = json!({"keyspace": keyspace, "name": name, "owner": format!("owner-{name}")});
        let key = world.owner("POST", &format!("/app/{app}/key"), key).await.text("id");
        let window = json!({"name": name, "startsAt": "2030-01-01T00:00:00Z", "endsAt": "2030-01-02T00:00:00Z"});
        let window = world.owner("POST", &format!("/app/{app}/maintenance-window"), window).await;
        let ids = BTreeMap::from([
            ("window", window.text("id")),
            ("app", app.to_string()),
            ("endpoint", endpoint.to_string()),
            ("msg", message.id.to_string()),
            ("delivery", lease.delivery_id.to_string()),
            ("attempt", attempt_id.to_string()),
            ("task", task.id.to_string()),
            ("replay", replay.id.to_string()),
            ("user", user.id.to_string()),
            ("key", key),
            ("keyspace", keyspace.to_owned()),
            ("owner", format!("owner-{name}")),
            ("event_type", "contact.created".to_owned()),
        ]);
        let portal =
            json!({"capabilities": ["ViewBase", "ManageEndpoint", "CreateAttempts", "ManageKeys"]});
        let tokens = vec![
            ("service token", world.service_token(Some(app), Role::Owner).await),
            ("member", world.session(&email).await),
            ("portal", world.portal(app, portal).await),
        ];
        Self { app, uid, ids, tokens }
    }
}

struct Pair {
    a: Tenant,
    b: Tenant,
}

async fn pair(world: &World) -> Pair {
    let mut started = world.started();
    let wish = json!({"uid": "crm", "name": "CRM", "prefix": "crm", "environments": ["live"]});
    let keyspace = world.owner("POST", "/keyspace", wish).await.text("id");
    let a = Tenant::new(world, &mut started, &keyspace, "a").await;
    let b = Tenant::new(world, &mut started, &keyspace, "b").await;
    Pair { a, b }
}

/// All ways to fill in a route's parameters where at least one is the other tenant's.
fn foreign_paths(operation: &Operation, pair: &Pair) -> Vec<(String, String)> {
    let parameters: Vec<&str> = operation.parameters();
    let own: Vec<&str> = parameters.iter().copied().filter(|name| !SHARED.contains(name)).collect();
    let mut paths = Vec::new();
    for mask in 1_u32..1 << own.len() {
        let foreign = |name: &str| {
            own.iter().position(|own| *own == name).is_some_and(|at| mask & (1 << at) != 0)
        };
        let real = operation.path_with(|name| {
            let tenant = if foreign(name) { &pair.b } else { &pair.a };
            tenant.ids[name].clone()
        });
        let unknown = operation
            .path_with(|name| if foreign(name) { nobodys(name) } else { pair.a.ids[name].clone() });
        if foreign("app") {
            let by_uid = real.replace(pair.b.app.as_str(), &pair.b.uid);
            paths.push((by_uid, unknown.clone()));
        }
        paths.push((real, unknown));
    }
    paths
}

/// What the instance's owner sees of a tenant.
async fn picture(world: &World, tenant: &Tenant) -> Vec<Value> {
    let app = tenant.app;
    let mut seen = Vec::new();
    for path in
        ["", "/endpoint", "/msg", "/delivery", "/key", "/member", "/maintenance-window", "/replay"]
    {
        seen.push(world.get(TOKEN, &format!("/app/{app}{path}")).await.ok().clone());
    }
    let (endpoint, msg) = (&tenant.ids["endpoint"], &tenant.ids["msg"]);
    for path in [
        format!("/app/{app}/endpoint/{endpoint}/secret"),
        format!("/app/{app}/endpoint/{endpoint}/headers"),
        format!("/app/{app}/attempt/msg/{msg}"),
        format!("/background-task/{}", tenant.ids["task"]),
    ] {
        seen.push(world.get(TOKEN, &path).await.ok().clone());
    }
    seen
}

/// A body that the route would take, so that nothing but the id is in the way.
fn body_for(operation: &Operation) -> Value {
    let path = operation.path.as_str();
    match (operation.method.as_str(), path) {
        ("PUT" | "PATCH", "/app/{app}") => json!({"name": "taken over"}),
        (_, path) if path.ends_with("/headers") => json!({"headers": {"x-a": "b"}}),
        ("POST" | "PUT", path) if path.contains("/endpoint") && !path.contains("/msg/") => json!({
            "url": "https://evil.example/", "since": "2026-01-01T00:00:00Z",
            "eventType": "contact.created"
        }),
        ("POST", path) if path.ends_with("/msg/batch") => {
            json!({"messages": [{"eventType": "contact.created", "payload": {}}]})
        }
        ("POST", path) if path.ends_with("/msg") => {
            json!({"eventType": "contact.created", "payload": {}})
        }
        (_, path) if path.contains("/member") => {
            json!({"email": "a@example.org", "role": "viewer"})
        }
        ("POST", "/app/{app}/replay") => json!({"since": "2026-01-01T00:00:00Z"}),
        ("POST", "/app/{app}/key") => json!({"keyspace": "crm", "name": "mine"}),
        ("POST", "/app/{app}/key/bulk") => json!({"owner": "owner-b", "action": "disable"}),
        ("POST", "/app/{app}/key/import") => json!({"keys": []}),
        _ => json!({}),
    }
}

on_both! {
    async fn every_id_of_the_other_tenant_on_every_route(world: World) {
        let pair = pair(&world).await;
        let before = picture(&world, &pair.b).await;
        let mut tried = 0;
        let mut wrong = Vec::new();
        for (kind, token) in &pair.a.tokens {
            for operation in operations() {
                let is_apps = matches!(operation.rule(), Rule::In(_) | Rule::Within(_));
                if !is_apps || operation.parameters().is_empty() {
                    continue;
                }
                for (real, unknown) in foreign_paths(&operation, &pair) {
                    let ask = |path: String| {
                        let ask = Ask::new(&operation.method, path).token(token);
                        let has_body = !matches!(operation.method.as_str(), "GET" | "DELETE");
                        if has_body { ask.body(body_for(&operation)) } else { ask }
                    };
                    let answer = world.ask(ask(real.clone())).await;
                    let expected = world.ask(ask(unknown)).await;
                    tried += 1;
                    // A portal is not allowed everything, and is told so before any id is read.
                    let is_right = answer.status == 404
                        || (*kind == "portal" && answer.status == 403 && !real.contains(pair.b.app.as_str()));
                    if !is_right || (answer.status, &answer.json) != (expected.status, &expected.json) {
                        wrong.push(format!(
                            "{kind}: {} {real}: {} {} but {} {} for an id of nobody's",
                            operation.method, answer.status, answer.json, expected.status, expected.json,
                        ));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(tried > 300, "{tried} tries");
        assert_eq!(picture(&world, &pair.b).await, before, "the other tenant was touched");
    }

    async fn routes_of_the_instance_tell_a_tenant_nothing(world: World) {
        let pair = pair(&world).await;
        for (kind, token) in &pair.a.tokens {
            for operation in operations() {
                if !matches!(operation.rule(), Rule::On(_)) {
                    continue;
                }
                let real = operation.path_with(|name| pair.b.ids[name].clone());
                let unknown = operation.path_with(nobodys);
                let real = world.ask(Ask::new(&operation.method, real).token(token)).await;
                let unknown = world.ask(Ask::new(&operation.method, unknown).token(token)).await;
                assert_eq!(real.status, 403, "{kind}: {} {}", operation.method, operation.path);
                assert_eq!(real.json, unknown.json);
            }
        }
    }

    async fn lists_hold_ones_own(world: World) {
        let pair = pair(&world).await;
        let foreign: Vec<&String> = ["app", "endpoint", "msg", "delivery", "attempt", "task", "user", "key", "replay"]
            .map(|name| &pair.b.ids[name])
            .into();
        for (kind, token) in &pair.a.tokens {
            for operation in operations() {
                let reads = operation.method == "GET"
                    && matches!(operation.rule(), Rule::In(_) | Rule::Within(_));
                if !reads {
                    continue;
                }
                // Ids of the other tenant as filters and as the place to go on from.
                let mut queries = vec![String::new()];
                let b = &pair.b;
                queries.extend(["app", "msg", "delivery", "task", "key", "user", "endpoint"].map(
                    |name| format!("?order=descending&iterator={}~", &b.ids[name]),
                ));
                queries.push(format!(
                    "?app={0}&application={0}&endpoint={1}&endpointId={1}&msg={2}&limit=250",
                    b.app, b.ids["endpoint"], b.ids["msg"]
                ));
                for query in queries {
                    let path = operation.path_with(|name| pair.a.ids[name].clone()) + &query;
                    let answer = world.get(token, &path).await;
                    let text = answer.json["data"].to_string();
                    let found: Vec<_> =
                        foreign.iter().filter(|id| text.contains(id.as_str())).collect();
                    assert!(found.is_empty(), "{kind}: {path}: {found:?} in {text}");
                }
            }
        }
        let own: Vec<String> = vec![pair.a.app.to_string()];
        for (kind, token) in &pair.a.tokens {
            assert_eq!(world.get(token, "/app").await.ids(), own, "{kind}");
        }
    }

    async fn the_same_idempotency_key_is_two_keys(world: World) {
        let pair = pair(&world).await;
        let tokens = [&pair.a, &pair.b].map(|tenant| (tenant.app, &tenant.tokens[0].1));
        let mut answers = Vec::new();
        for (app, token) in tokens {
            let message = json!({
                "eventType": "contact.created", "eventId": "same", "payload": {"of": app.to_string()}
            });
            let ask = Ask::new("POST", format!("/app/{app}/msg")).token(token).body(message);
            let answer = world.ask(ask.header("idempotency-key", "same")).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            answers.push(answer.text("id"));
            let endpoint = json!({"url": "https://receiver.example/"});
            let ask = Ask::new("POST", format!("/app/{app}/endpoint")).token(token).body(endpoint);
            let answer = world.ask(ask.header("idempotency-key", "same")).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            answers.push(answer.text("id"));
        }
        answers.sort();
        answers.dedup();
        assert_eq!(answers.len(), 4);
    }

    async fn an_admitted_name_keeps_its_meaning(world: World) {
        let pair = pair(&world).await;
        let token = &pair.a.tokens[0].1;
        let path = format!("/app/{}", pair.a.uid);
        assert_eq!(world.get(token, &path).await.text("id"), pair.a.app.to_string());
        // The uid moves to the other tenant: within the same moment it may be remembered, but
        // what it leads to is still the caller's own app.
        world.owner("PATCH", &path, json!({"uid": null})).await.ok();
        let taken = json!({"uid": pair.a.uid});
        world.owner("PATCH", &format!("/app/{}", pair.b.app), taken).await.ok();
        let answer = world.get(token, &path).await;
        if answer.status == 200 {
            assert_eq!(answer.text("id"), pair.a.app.to_string());
        }
        world.advance_ms(1_000);
        assert_eq!(world.get(token, &path).await.status, 404);
    }
}
