//! Every role over every route: the table is what really happens.
//!
//! What a caller should be answered follows from the rule of the route and from what the caller
//! may, both read here without the code that decides. The bodies are empty objects and the ids
//! are nobody's, so that an admitted request ends in 200, 404 or 422, and changes nothing.

use api::access::Rule;
use model::access::{Permission, Permissions, Role};
use serde_json::json;
use testkit::on_both;

use crate::world::{Ask, Operation, World, nobodys, operations};

/// Somebody who calls, and what they may.
struct Cast {
    name: String,
    token: Option<String>,
    /// Another token of theirs, to log out with.
    leaving: Option<String>,
    instance: Permissions,
    in_app: Permissions,
    /// Whether the token is good at all.
    known: bool,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Unauthorized,
    Forbidden,
    Admitted,
}

impl Cast {
    fn new(name: &str, token: String, instance: Permissions, in_app: Permissions) -> Self {
        let leaving = Some(token.clone());
        Self { name: name.to_owned(), token: Some(token), leaving, instance, in_app, known: true }
    }

    fn leaving_with(self, token: String) -> Self {
        Self { leaving: Some(token), ..self }
    }

    fn expected(&self, rule: Rule) -> Outcome {
        let allowed = match rule {
            Rule::Open => return Outcome::Admitted,
            _ if !self.known => return Outcome::Unauthorized,
            Rule::Anybody => true,
            Rule::On(permission) => self.instance.has(permission),
            Rule::In(permission) | Rule::Within(permission) => {
                self.instance.has(permission) || self.in_app.has(permission)
            }
        };
        if allowed { Outcome::Admitted } else { Outcome::Forbidden }
    }
}

const fn outcome(status: u16) -> Outcome {
    match status {
        401 => Outcome::Unauthorized,
        403 => Outcome::Forbidden,
        _ => Outcome::Admitted,
    }
}

/// What takes away what the other routes need comes last.
fn order(operation: &Operation) -> u8 {
    match (operation.method.as_str(), operation.path.as_str()) {
        (_, "/auth/app/{app}/expire-all") => 1,
        ("DELETE", "/app/{app}") => 2,
        _ => 0,
    }
}

async fn walk(world: &World, cast: &Cast, app: model::AppId, routes: &[Operation]) -> usize {
    let mut wrong = Vec::new();
    for operation in routes {
        let path = operation.path_with(|name| match name {
            "app" => app.to_string(),
            name => nobodys(name),
        });
        let mut ask = Ask::new(&operation.method, path);
        let leaves = operation.path == "/auth/logout";
        ask.token.clone_from(if leaves { &cast.leaving } else { &cast.token });
        if operation.method != "GET" && operation.method != "DELETE" {
            ask = ask.body(json!({}));
        }
        let answer = world.ask(ask).await;
        let expected = match (operation.path.as_str(), cast.expected(operation.rule())) {
            // Open to everybody, and an empty object is no good login.
            ("/auth/refresh" | "/auth/login", _) => continue,
            (_, expected) => expected,
        };
        if outcome(answer.status) != expected || answer.status >= 500 {
            let route = format!("{} {}", operation.method, operation.path);
            wrong.push(format!(
                "{route}: {} instead of {expected:?}: {}",
                answer.status, answer.json
            ));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", cast.name, wrong.join("\n"));
    routes.len()
}

on_both! {
    async fn every_role_on_every_route(world: World) {
        let mut routes = operations();
        routes.sort_by_key(order);
        let mut cells = 0;

        let nobody = |name: &str, token: Option<String>| Cast {
            name: name.to_owned(),
            leaving: token.clone(),
            token,
            instance: Permissions::NONE,
            in_app: Permissions::NONE,
            known: false,
        };
        let app = world.app().await;
        cells += walk(&world, &nobody("nobody", None), app, &routes).await;
        let junk = "dbl_live_junk".to_owned();
        cells += walk(&world, &nobody("junk", Some(junk)), app, &routes).await;

        for role in Role::ALL {
            let app = world.app().await;
            let token = world.service_token(None, role).await;
            let name = format!("{} of the instance", role.as_str());
            let cast = Cast::new(&name, token, role.permissions(), Permissions::NONE);
            cells += walk(&world, &cast, app, &routes).await;

            let app = world.app().await;
            let token = world.service_token(Some(app), role).await;
            let name = format!("{} of the app", role.as_str());
            let cast = Cast::new(&name, token, Permissions::NONE, role.permissions());
            cells += walk(&world, &cast, app, &routes).await;

            let app = world.app().await;
            let email = format!("{}@example.org", role.as_str());
            let user = world.user(&email, None).await;
            world.member(app, &user, role).await;
            let name = format!("{} as a member", role.as_str());
            let token = world.session(&email).await;
            let cast = Cast::new(&name, token, Permissions::NONE, role.permissions())
                .leaving_with(world.session(&email).await);
            cells += walk(&world, &cast, app, &routes).await;
        }

        let app = world.app().await;
        let email = "both@example.org";
        let user = world.user(email, Some(Role::Publisher)).await;
        world.member(app, &user, Role::Viewer).await;
        let token = world.session(email).await;
        let (instance, in_app) = (Role::Publisher.permissions(), Role::Viewer.permissions());
        let cast = Cast::new("publisher, and viewer of the app", token, instance, in_app)
            .leaving_with(world.session(email).await);
        cells += walk(&world, &cast, app, &routes).await;

        for (wish, permissions) in portals() {
            let app = world.app().await;
            let token = world.portal(app, wish.clone()).await;
            let name = format!("portal {wish}");
            let cast = Cast::new(&name, token, Permissions::NONE, permissions)
                .leaving_with(world.portal(app, wish).await);
            cells += walk(&world, &cast, app, &routes).await;
        }
        assert!(cells > 20 * routes.len() && routes.len() > 80, "{cells} cells");
    }
}

fn portals() -> Vec<(serde_json::Value, Permissions)> {
    use Permission as P;
    let base = Permissions::of(&[
        P::AppsRead,
        P::EndpointsRead,
        P::EventTypesRead,
        P::MessagesRead,
        P::TasksRead,
    ]);
    let secret = Permissions::of(&[P::SecretsRead, P::SecretsWrite]);
    let endpoint = Permissions::of(&[P::EndpointsWrite]).and(secret);
    let attempts = Permissions::of(&[P::DeliveriesWrite]);
    let keys = Permissions::of(&[P::KeysRead, P::KeysWrite, P::KeyspacesRead]);
    vec![
        (json!({}), base.and(endpoint).and(attempts)),
        (json!({"readOnly": true, "capabilities": ["ManageEndpoint"]}), base),
        (json!({"capabilities": ["ViewBase"]}), base),
        (json!({"capabilities": ["CreateAttempts"]}), base.and(attempts)),
        (json!({"capabilities": ["ViewBase", "ViewEndpointSecret"]}), base.with(P::SecretsRead)),
        (json!({"capabilities": ["ViewBase", "ManageKeys"]}), base.and(keys)),
    ]
}
