//! The load: publishers that go on whatever they are answered, readers that ask every kind of
//! question, and a tally of all answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::client::{Answer, Connection, Peer, Question};
use crate::job::message_id;
use crate::measure::unix_nanos;
use crate::options::OutageOptions;
use crate::payload;
use crate::rig::{Rig, message_path};

const PUBLISH: &str = "publish";
const READERS: usize = 6;
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(20);
const PAUSE_OF_READERS: Duration = Duration::from_millis(10);
/// No answer may take longer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
const MAX_SHOWN: usize = 12;

pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<Outcome<()>>,
}

struct Shared {
    peer: Peer,
    publish_path: http::Uri,
    reads: Vec<Read>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    ids: Mutex<Vec<String>>,
    tally: Mutex<Tally>,
}

/// A question that changes nothing but a limit.
struct Read {
    name: &'static str,
    method: Method,
    path: String,
    body: Bytes,
    authorization: Option<HeaderValue>,
}

/// All answers, by the question and the status.
#[derive(Default)]
pub struct Tally {
    answers: BTreeMap<(&'static str, u16), u64>,
    /// Neither success nor a polite refusal.
    pub wrong: u64,
    shown: Vec<String>,
}

impl Load {
    pub async fn start(
        rig: &mut Rig,
        app: &str,
        endpoint: &str,
        outages: &OutageOptions,
    ) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            peer: rig.peer()?,
            publish_path: message_path(app).parse()?,
            reads: reads(rig, app, endpoint).await?,
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            ids: Mutex::default(),
            tally: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..outages.publishers {
            tasks.spawn(shared.clone().publish_all());
        }
        for first in 0..READERS {
            tasks.spawn(shared.clone().read_all(first));
        }
        Ok(Self { shared, tasks })
    }

    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends the load: what was acknowledged, and all answers.
    pub async fn finish(&mut self) -> Outcome<(Vec<String>, Tally)> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            done??;
        }
        Ok((take(&self.shared.ids), take(&self.shared.tally)))
    }
}

fn take<T: Default>(what: &Mutex<T>) -> T {
    std::mem::take(&mut *what.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Every kind of read: rows, lists, sums, the two questions about a key, and who asks.
async fn reads(rig: &mut Rig, app: &str, endpoint: &str) -> Outcome<Vec<Read>> {
    #[derive(Deserialize)]
    struct Made {
        token: String,
    }
    let keyspace = json!({"uid": "outages", "name": "Outages", "prefix": "out"});
    rig.api.post::<serde_json::Value>("/api/v1/keyspace", keyspace).await?;
    let limit =
        json!({"name": "all", "limit": 1_000_000_000, "windowMs": 60_000, "mode": "strict"});
    let key = json!({"keyspace": "outages", "name": "reader", "limits": [limit]});
    let key: Made = rig.api.post(&format!("/api/v1/app/{app}/key"), key).await?;
    let get = |name, path: String| Read {
        name,
        method: Method::GET,
        path,
        body: Bytes::new(),
        authorization: None,
    };
    let question = json!({"key": key.token, "keyspace": "outages"}).to_string();
    let shown = HeaderValue::from_str(&format!("Bearer {}", key.token))?;
    let in_app = format!("/api/v1/app/{app}");
    Ok(vec![
        get("app", in_app.clone()),
        get("apps", "/api/v1/app".to_owned()),
        get("endpoint", format!("{in_app}/endpoint/{endpoint}")),
        get("statistics", format!("{in_app}/endpoint/{endpoint}/stats")),
        get("messages", format!("{in_app}/msg?limit=5")),
        get("attempts", format!("{in_app}/attempt/endpoint/{endpoint}?limit=5")),
        get("deliveries", format!("{in_app}/delivery?limit=5")),
        get("keys", format!("{in_app}/key")),
        get("whoami", "/api/v1/auth/whoami".to_owned()),
        get("health", "/api/v1/health".to_owned()),
        Read {
            method: Method::POST,
            body: question.into(),
            ..get("verify", "/api/v1/key/verify".to_owned())
        },
        Read {
            authorization: Some(shown),
            ..get("authorize", "/api/v1/authorize?keyspace=outages".to_owned())
        },
    ])
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn publish_all(self: Arc<Self>) -> Outcome<()> {
        let mut connection = None;
        while self.goes_on() {
            let mut body = String::with_capacity(2 * payload::PAYLOAD_BYTES);
            payload::write_message(&mut body, unix_nanos());
            let question = Question {
                method: Method::POST,
                path: self.publish_path.clone(),
                body: Bytes::from(body),
                authorization: None,
            };
            match self.ask(&mut connection, PUBLISH, question).await {
                Some(answer) if answer.status.is_success() => {
                    let id = message_id(&answer.body)?;
                    self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                _ => sleep(PAUSE_AFTER_REFUSAL).await,
            }
        }
        Ok(())
    }

    async fn read_all(self: Arc<Self>, first: usize) -> Outcome<()> {
        let mut connection = None;
        let mut turn = first;
        while self.goes_on() {
            let read = &self.reads[turn % self.reads.len()];
            let question = Question {
                method: read.method.clone(),
                path: read.path.parse()?,
                body: read.body.clone(),
                authorization: read.authorization.clone(),
            };
            self.ask(&mut connection, read.name, question).await;
            sleep(PAUSE_OF_READERS).await;
            turn += 1;
        }
        Ok(())
    }

    /// Asks, and counts what is answered. The server is never away: no answer is a wrong one.
    async fn ask(
        &self,
        slot: &mut Option<Connection>,
        name: &'static str,
        question: Question,
    ) -> Option<Answer> {
        let asked = async {
            let connection = match slot {
                Some(connection) => connection,
                None => slot.insert(Connection::open(&self.peer).await?),
            };
            connection.send(question).await
        };
        let asked = timeout(ANSWER_DEADLINE, asked).await;
        let answer = asked.unwrap_or_else(|_| Err("no answer in time".into()));
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) => {
                tally.count(name, &answer);
                Some(answer)
            }
            Err(error) => {
                tally.wrong(format!("{name}: {error}"));
                *slot = None;
                None
            }
        }
    }
}

impl Tally {
    fn count(&mut self, name: &'static str, answer: &Answer) {
        *self.answers.entry((name, answer.status.as_u16())).or_default() += 1;
        let refusals = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        let is_polite =
            refusals.contains(&answer.status) && answer.headers.contains_key(RETRY_AFTER);
        if !answer.status.is_success() && !is_polite {
            let body = String::from_utf8_lossy(&answer.body);
            self.wrong(format!("{name}: {} {body}", answer.status));
        }
    }

    fn wrong(&mut self, what: String) {
        self.wrong += 1;
        if self.shown.len() < MAX_SHOWN {
            eprintln!("wrong: {what}");
            self.shown.push(what);
        }
    }

    pub fn print(&self) {
        for ((name, status), count) in &self.answers {
            println!("  {:<42}{count}", format!("{name} {status}"));
        }
        for what in &self.shown {
            println!("  wrong: {what}");
        }
    }
}
