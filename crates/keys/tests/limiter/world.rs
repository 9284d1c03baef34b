//! Nodes around one Redis, and a Redis that can be killed.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use keys::limiter::{Limiter, LimiterOptions, Outcome, RedisState, SubjectKey, Take};
use model::key::limit::{Limit, Mode, Subject, WhenDown};
use model::{Clock, Timestamp};
use tokio::process::{Child, Command};

pub const START: Timestamp = Timestamp(1_800_000_000_000);
pub const MINUTE: u64 = 60_000;
/// Long enough that a busy machine is not taken for a Redis that is down.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The Redis that all tests share; without one they have nothing to test.
pub fn redis_url() -> Option<String> {
    let url = std::env::var("DOORBELL_TEST_REDIS_URL").ok();
    if url.is_none() {
        println!("not run: DOORBELL_TEST_REDIS_URL is not set (scripts/test-services sets it)");
    }
    url
}

pub fn limit(name: &str, limit: u64, mode: Mode) -> Limit {
    Limit {
        name: name.into(),
        limit,
        window_ms: MINUTE,
        subject: Subject::Key,
        mode,
        when_down: WhenDown::LocalShare,
        automatic: true,
    }
}

/// Somebody whom no other test counts.
pub fn somebody() -> SubjectKey {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    SubjectKey::named(&[&std::process::id().to_string(), &count.to_string()])
}

/// Nodes with one clock that only the test moves.
pub struct Nodes {
    pub clock: Clock,
    pub living: Arc<AtomicU32>,
    pub nodes: Vec<Limiter>,
}

impl Nodes {
    pub fn new(redis_url: &str, count: u32, timeout: Duration) -> Self {
        let clock = Clock::manual(START);
        let living = Arc::new(AtomicU32::new(count));
        let options = LimiterOptions {
            redis_url: Some(redis_url.into()),
            nodes: living.clone(),
            redis_timeout: timeout,
            ..LimiterOptions::new(clock.clone())
        };
        let node = || Limiter::new(options.clone()).expect("an address");
        Self { clock, living, nodes: std::iter::repeat_with(node).take(count as usize).collect() }
    }

    pub fn advance_to(&self, ms: u64) {
        self.clock.advance_to(START.plus_ms(ms));
    }

    pub async fn tick(&self) {
        for node in &self.nodes {
            node.tick().await;
        }
    }

    /// Ticks until all nodes know that Redis answers: a broken connection is noticed, then made
    /// anew.
    pub async fn until_up(&self) {
        let all_up = async {
            while self.nodes.iter().any(|node| node.health().redis != RedisState::Up) {
                self.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, all_up).await.expect("redis is found again");
    }

    pub async fn take(&self, node: usize, limit: &Limit, who: SubjectKey, cost: u64) -> Outcome {
        self.nodes[node].take(&[Take { limit, subject: who, cost }], true).await
    }

    pub async fn peek(&self, node: usize, limit: &Limit, who: SubjectKey) -> Outcome {
        self.nodes[node].take(&[Take { limit, subject: who, cost: 1 }], false).await
    }

    /// How many of `count` requests are allowed now.
    pub async fn burst(&self, node: usize, limit: &Limit, who: SubjectKey, count: u64) -> u64 {
        let mut allowed = 0;
        for _ in 0..count {
            allowed += u64::from(self.take(node, limit, who, 1).await.allowed);
        }
        allowed
    }

    pub fn degraded(&self) -> u64 {
        self.nodes.iter().map(|node| node.health().degraded).sum()
    }

    pub fn questions(&self) -> u64 {
        self.nodes.iter().map(|node| node.health().redis_questions).sum()
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

/// A Redis of the test's own.
pub struct OwnRedis {
    port: u16,
    child: Child,
}

impl OwnRedis {
    pub async fn start() -> Self {
        let port = free_port();
        Self { port, child: spawn(port).await }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// At the same place, with nothing in it.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port).await;
    }

    /// A process that is there and does not answer.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let done = std::process::Command::new("kill").args(["-s", signal, &id]).status();
        assert!(done.expect("kill").success());
    }
}

/// Returns when it says that it accepts connections.
async fn spawn(port: u16) -> Child {
    spawn_with(&["--port", &port.to_string()]).await
}

/// A Redis that listens as the arguments say.
pub async fn spawn_with(listening: &[&str]) -> Child {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let mut child = Command::new("redis-server")
        .args(listening)
        .args(["--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "no", "--daemonize", "no"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.contains("Ready to accept connections") {
                return;
            }
        }
        panic!("redis-server ended");
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("redis-server starts");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}
