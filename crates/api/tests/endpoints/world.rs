//! The router in process, on a database of the test's own, with a clock that the test moves.
//! There is no engine: a test takes the leases itself.

use std::ops::Deref;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use http_body_util::BodyExt;
use model::endpoint::Endpoint;
use serde_json::{Value, json};
use store::{AppRef, Lease, Store};
use testkit::access;
use testkit::databases::FromDatabase;
use testkit::test_store::Started;
use testkit::{TOKEN, TestDatabase, TestStore};
use tokio::sync::Mutex;
use tower::ServiceExt;

pub struct World {
    store: TestStore,
    router: Router,
    started: Mutex<Started>,
}

impl Deref for World {
    type Target = TestStore;

    fn deref(&self) -> &TestStore {
        &self.store
    }
}

impl FromDatabase for World {
    async fn from_database(database: TestDatabase) -> Self {
        let store = TestStore::from_database(database).await;
        let limit = 64 * 1024;
        let state = access::state(&store, |parts| parts.options.max_payload_bytes = limit).await;
        let router = api::router::router(state);
        let started = Mutex::new(store.started());
        Self { store, router, started }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    bytes: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("an answer is UTF-8")
    }

    /// Null for an empty body.
    pub fn json(&self) -> Value {
        if self.bytes.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.bytes).expect("an answer is JSON")
    }

    pub fn whole(&self) -> (u16, Value) {
        (self.status, self.json())
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        self.json()
    }

    /// The ids of a list, in order.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        let list = self.ok();
        let data = list["data"].as_array().expect("a list");
        data.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

impl World {
    pub async fn call(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(body.into())
            .expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("routers never fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), bytes }
    }

    /// A request as it is: status, `cache-control` and body.
    pub async fn ask(&self, request: Request<Body>) -> (u16, Option<String>, Value) {
        let response = self.router.clone().oneshot(request).await.expect("routers never fail");
        let (parts, body) = response.into_parts();
        let cache = parts.headers.get(header::CACHE_CONTROL);
        let cache = cache.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = body.collect().await.expect("a body").to_bytes();
        (parts.status.as_u16(), cache, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PUT, path, body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, Body::empty()).await
    }

    /// An application that is called so.
    pub async fn app_called(&self, uid: &str) {
        self.post("/app", &json!({"name": uid, "uid": uid})).await.ok();
    }

    /// Publishes a message into an app; answers its id.
    pub async fn publish(&self, app: &str) -> String {
        let body = json!({"eventType": "contact.created", "payload": {"n": 1}});
        let message = self.post(&format!("/app/{app}/msg"), &body).await.ok();
        message["id"].as_str().expect("an id").to_owned()
    }

    /// The endpoint `mine` of the application `one` as it is stored.
    pub async fn stored(&self) -> Endpoint {
        let app = Store::app(&self.store, &AppRef::new("one")).await.unwrap().unwrap();
        self.endpoint_in_app(app.id, "mine").await.unwrap().unwrap()
    }

    /// The leases of all deliveries that start here now: fresh ones, and what is due.
    pub async fn starting(&self) -> Vec<Lease> {
        self.claim().await.expect("a claim");
        self.started.lock().await.now()
    }

    /// The lease of the only delivery that starts here now.
    pub async fn only_starting(&self) -> Lease {
        let [lease] = self.starting().await.try_into().expect("one delivery starts");
        lease
    }
}

/// What any id that leads nowhere is answered with.
pub fn no_such(what: &str) -> (u16, Value) {
    let problem = json!({
        "type": "urn:doorbell:problem:not_found",
        "title": "There is no such thing",
        "status": 404,
        "code": "not_found",
        "detail": format!("No such {what}."),
    });
    (404, problem)
}
