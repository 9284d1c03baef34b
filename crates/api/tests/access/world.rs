//! The router in process, callers of every kind, and the routes of the OpenAPI document.

use std::net::SocketAddr;
use std::ops::Deref;

use api::access::{Peer, ROUTES, Rule};
use api::{ApiParts, AppState};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
use keys::Keys;
use model::AppId;
use model::access::{Member, Role, User};
use serde_json::{Value, json};
use testkit::databases::FromDatabase;
use testkit::{TOKEN, TestDatabase, TestStore, access, by};
use tower::ServiceExt;

pub const PASSWORD: &str = "correct horse battery";

pub struct World {
    store: TestStore,
    pub keys: Keys,
    pub router: Router,
}

impl Deref for World {
    type Target = TestStore;

    fn deref(&self) -> &TestStore {
        &self.store
    }
}

impl FromDatabase for World {
    async fn from_database(database: TestDatabase) -> Self {
        Self::with(database, |_| ()).await
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Answer {
    #[track_caller]
    pub fn ok(&self) -> &Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        &self.json
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        self.ok()[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }

    pub fn ids(&self) -> Vec<String> {
        let data = self.ok()["data"].as_array().expect("a list");
        data.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: String,
    /// Below `/api/v1`.
    pub path: String,
    pub token: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    pub from: Option<SocketAddr>,
}

impl Ask {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self { method: method.to_owned(), path: path.into(), ..Self::default() }
    }

    pub fn token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn from(self, address: &str) -> Self {
        let address = SocketAddr::new(address.parse().expect("an address"), 50_000);
        Self { from: Some(address), ..self }
    }
}

impl World {
    pub async fn with(database: TestDatabase, change: impl FnOnce(&mut ApiParts)) -> Self {
        let store = TestStore::from_database(database).await;
        let state: AppState = access::state(&store, change).await;
        let keys = state.keys.clone();
        Self { store, keys, router: api::router::router(state) }
    }

    pub async fn ask(&self, ask: Ask) -> Answer {
        let mut request =
            Request::builder().method(&*ask.method).uri(format!("/api/v1{}", ask.path));
        if let Some(token) = &ask.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(address) = ask.from {
            request = request.extension(Peer(address));
        }
        let body = ask.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("routers never fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, json }
    }

    /// As the test's own token, which may do everything.
    pub async fn owner(&self, method: &str, path: &str, body: Value) -> Answer {
        let ask = Ask::new(method, path).token(TOKEN);
        self.ask(if body.is_null() { ask } else { ask.body(body) }).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(Ask::new("GET", path).token(token)).await
    }

    /// A user who may log in with [`PASSWORD`].
    pub async fn user(&self, email: &str, role: Option<Role>) -> User {
        let wish = json!({"email": email, "name": "Ada", "role": role, "password": PASSWORD});
        let made = self.owner("POST", "/user", wish).await;
        let id = made.text("id").parse().expect("an id");
        self.store.user(id).await.expect("a database").expect("the user")
    }

    pub async fn member(&self, app: AppId, user: &User, role: Role) {
        let now = self.store.clock.now();
        let member =
            Member { app_id: app, user_id: user.id, role, created_at: now, updated_at: now };
        self.store.put_member(&member, &by()).await.expect("a database");
    }

    pub async fn log_in(&self, email: &str) -> Answer {
        let wish = json!({"email": email, "password": PASSWORD});
        self.ask(Ask::new("POST", "/auth/login").body(wish)).await
    }

    /// A signed token of a new session.
    pub async fn session(&self, email: &str) -> String {
        self.log_in(email).await.text("token")
    }

    pub async fn portal(&self, app: AppId, wish: Value) -> String {
        let path = format!("/auth/app-portal-access/{app}");
        self.owner("POST", &path, wish).await.text("token")
    }

    pub async fn service_token(&self, app: Option<AppId>, role: Role) -> String {
        access::token(&self.keys, app, role).await
    }
}

/// One operation of the OpenAPI document.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: String,
    /// Below `/api/v1`, as in the table.
    pub path: String,
    pub document: Value,
}

impl Operation {
    pub fn rule(&self) -> Rule {
        let found =
            ROUTES.iter().find(|(method, path, _)| *method == self.method && *path == self.path);
        found.unwrap_or_else(|| panic!("{} {} is not in the table", self.method, self.path)).2
    }

    /// The names of the path's parameters, in order.
    pub fn parameters(&self) -> Vec<&str> {
        let parts = self.path.split('/').filter_map(|part| part.strip_prefix('{'));
        parts.map(|part| part.trim_end_matches('}')).collect()
    }

    /// The path with a value for each parameter.
    pub fn path_with(&self, value: impl Fn(&str) -> String) -> String {
        let part = |part: &str| match part.strip_prefix('{') {
            Some(name) => value(name.trim_end_matches('}')),
            None => part.to_owned(),
        };
        self.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}

pub fn operations() -> Vec<Operation> {
    let document: Value =
        serde_json::from_str(&api::router::openapi_json().expect("a document")).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.strip_prefix("/api/v1").expect("all is under /api/v1");
        // It has a door of its own.
        if path == "/authorize" {
            continue;
        }
        for (method, document) in item.as_object().expect("a path") {
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.to_owned(),
                document: document.clone(),
            });
        }
    }
    operations
}

/// An id of each kind that is nobody's.
pub fn nobodys(parameter: &str) -> String {
    let body = "0".repeat(27);
    match parameter {
        "app" => format!("app_{body}"),
        "endpoint" => format!("ep_{body}"),
        "msg" => format!("msg_{body}"),
        "attempt" => format!("atmpt_{}", "0".repeat(37)),
        "delivery" => format!("dlv_{}", "0".repeat(35)),
        "task" => format!("qtask_{body}"),
        "replay" => format!("rpl_{body}"),
        "user" => format!("user_{body}"),
        "key" => format!("key_{body}"),
        "keyspace" => format!("ks_{body}"),
        "window" => format!("mwin_{body}"),
        _ => "nobodys.name".to_owned(),
    }
}
