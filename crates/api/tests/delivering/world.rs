//! The router in process, on a database of the test's own, with a clock that the test moves.
//! There is no engine: a test takes the leases itself and settles them as it likes.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use model::attempt::{Attempt, AttemptDetail, ErrorKind, Timing};
use model::endpoint::Endpoint;
use model::filter::Filter;
use model::retry::RetrySchedule;
use model::signature::Secret;
use model::vault::Vault;
use model::{AppId, AttemptId, Clock, EndpointId, Entropy, Timestamp};
use serde_json::{Value, json};
use store::{After, Lease, Store, StoreOptions};
use testkit::by;
use testkit::test_store::Started;
use testkit::{TestDatabase, access};
use tokio::sync::Mutex;
use tower::ServiceExt;

/// 2026-11-24T08:00:00Z
pub const START: Timestamp = Timestamp(1_795_507_200_000);
pub use testkit::TOKEN;
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

pub struct World {
    pub store: Store,
    pub clock: Clock,
    pub router: Router,
    started: Mutex<Started>,
    /// Goes after the store.
    _database: TestDatabase,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
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

/// What a receiver is made to have done.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Answered(u16, &'static str),
    NotAnswered(ErrorKind, &'static str),
}

impl World {
    pub async fn on(database: TestDatabase) -> Self {
        let (clock, entropy) = (Clock::manual(START), Entropy::seeded(7));
        let options = StoreOptions {
            url: database.url().to_owned(),
            read_connections: 2,
            vault: Vault::new(&[7; model::vault::KEY_LEN], entropy.clone()).expect("a vault"),
            clock: clock.clone(),
            entropy,
            max_in_flight: 64,
            endpoint_max_in_flight: 16,
            retry_schedule: RetrySchedule::default(),
            delivers: true,
            breaker: Default::default(),
            retention: Default::default(),
            secret_policy: None,
        };
        let store = Store::open(options).await.expect("the database opens");
        store.migrate().await.expect("migrations");
        store.join().await.expect("the node joins");
        let limit = MAX_PAYLOAD_BYTES;
        let state = access::state(&store, |parts| parts.options.max_payload_bytes = limit).await;
        let router = api::router::router(state);
        let started = Mutex::new(Started::of(&store));
        Self { store, clock, router, started, _database: database }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("routers never fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub async fn call(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        self.send(request.body(body.into()).expect("a request")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, Body::empty()).await
    }

    /// An application with this uid.
    pub async fn app(&self, uid: &str) -> AppId {
        let app = self.post("/app", &json!({"name": uid, "uid": uid})).await.ok();
        app["id"].as_str().expect("an id").parse().expect("an app id")
    }

    /// An endpoint that wants everything.
    pub async fn endpoint(&self, app: AppId, uid: &str) -> Endpoint {
        self.endpoint_with(app, uid, |_| {}).await
    }

    pub async fn endpoint_with(
        &self,
        app: AppId,
        uid: &str,
        change: impl FnOnce(&mut Endpoint),
    ) -> Endpoint {
        let now = self.clock.now();
        let mut endpoint = Endpoint {
            id: EndpointId::new(now, self.store.entropy()),
            app_id: app,
            uid: Some(uid.to_owned()),
            url: format!("https://{uid}.example.com/hook"),
            description: String::new(),
            filter: Filter::default(),
            throttle_rate: None,
            max_in_flight: None,
            metadata: std::collections::BTreeMap::new(),
            headers: std::collections::BTreeMap::new(),
            disabled: None,
            paused_at: None,
            retry_schedule: None,
            body_signature: None,
            created_at: now,
            updated_at: now,
        };
        change(&mut endpoint);
        let secret = Secret::generate_hmac(self.store.entropy());
        assert!(self.store.insert_endpoint(&endpoint, &secret, &by()).await.expect("an endpoint"));
        endpoint
    }

    /// Publishes `{"n":1}` with these further fields; answers the message's id.
    pub async fn publish(&self, app: &str, more: Value) -> String {
        let mut body = json!({"eventType": "contact.created", "payload": {"n": 1}});
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let message = self.post(&format!("/app/{app}/msg"), &body).await.ok();
        message["id"].as_str().expect("an id").to_owned()
    }

    /// The lease of a delivery that publishing started here at once.
    pub async fn fresh(&self) -> Lease {
        self.started.lock().await.next().await
    }

    /// The lease of the one delivery that is due.
    pub async fn claimed(&self) -> Lease {
        assert_eq!(self.store.claim().await.expect("a claim").count, 1, "one delivery is due");
        self.fresh().await
    }

    /// Settles a lease as if the receiver had done this, 25 ms after the attempt began.
    pub async fn settle(&self, lease: &Lease, outcome: Outcome, after: After) -> AttemptId {
        let attempt = attempt(lease, self.clock.now(), outcome);
        let id = attempt.id;
        let settlement = lease.settlement(Some(attempt), after);
        assert!(self.store.settle(settlement).await.expect("settled"), "the lease is ours");
        id
    }

    pub fn pass_ms(&self, ms: u64) {
        self.clock.advance_to(self.clock.now().plus_ms(ms));
    }
}

fn attempt(lease: &Lease, at: Timestamp, outcome: Outcome) -> Attempt {
    let endpoint = &lease.route.endpoint;
    let number = lease.attempts + 1;
    let (status_code, error, body, said) = match outcome {
        Outcome::Answered(status @ 200..300, body) => (Some(status), None, body, None),
        Outcome::Answered(status, body) => {
            (Some(status), Some(ErrorKind::Status), body, Some(format!("answered {status}")))
        }
        Outcome::NotAnswered(kind, said) => (None, Some(kind), "", Some(said.to_owned())),
    };
    Attempt {
        id: AttemptId::new(&lease.delivery_id, number),
        app_id: endpoint.app_id,
        endpoint_id: endpoint.id,
        number,
        trigger: lease.trigger,
        at,
        duration_ms: 25,
        status_code,
        error,
        response_body: body.as_bytes().to_vec(),
        detail: AttemptDetail {
            url: endpoint.url.clone(),
            request_headers: [("webhook-id", lease.envelope.message_id.as_str())]
                .into_iter()
                .collect(),
            response_headers: [("set-cookie", "a=1"), ("set-cookie", "b=2")].into_iter().collect(),
            address: Some([203, 0, 113, 7].into()),
            error: said,
            response_cut: false,
            timing: Timing { total_us: Some(25_000), ..Timing::default() },
        },
    }
}

/// Makes each function a test on each database.
#[macro_export]
macro_rules! both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[test]
                fn $test() {
                    let world = async || $crate::world::World::on(TestDatabase::sqlite()).await;
                    run_test(async { super::$test(world().await).await });
                }
            )+
            use testkit::databases::{TestDatabase, run_test};
        }
        mod postgres {
            $(
                #[test]
                fn $test() {
                    let world =
                        async || $crate::world::World::on(TestDatabase::postgres().await).await;
                    run_test(async { super::$test(world().await).await });
                }
            )+
            use testkit::databases::{TestDatabase, run_test};
        }
    };
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
