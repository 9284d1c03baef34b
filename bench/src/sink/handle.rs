//! The driver's hold on the sink's process.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::control::{Expected, Missing};
use super::lane::LaneReport;
use super::serve::Ports;
use super::signatures::{Told, Verified};
use crate::Outcome;
use crate::client::{Connection, Peer, expect_success};

pub struct Sink {
    control: Connection,
    ports: Ports,
    _child: Child,
}

impl Sink {
    pub async fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the sink has no output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let ports: Ports = serde_json::from_str(&line.ok_or("the sink did not start")?)?;
        Ok(Self {
            control: Connection::open(&Peer::local(ports.answering, None)?).await?,
            ports,
            _child: child,
        })
    }

    pub fn peer(&self) -> Outcome<Peer> {
        Peer::local(self.ports.answering, None)
    }

    /// A hook that answers, except the first try of `fail_percent` of the messages.
    pub fn hook_url(&self, lane: &str, fail_percent: u32) -> String {
        format!("http://127.0.0.1:{}/hook/{lane}/{fail_percent}", self.ports.answering)
    }

    /// A hook that accepts and never answers.
    pub fn hanging_url(&self, name: usize) -> String {
        format!("http://127.0.0.1:{}/{name}", self.ports.hanging)
    }

    /// A hook that refuses connections until `open` is called.
    pub fn refusing_url(&self, lane: &str) -> String {
        format!("http://127.0.0.1:{}/hook/{lane}/0", self.ports.refusing)
    }

    pub async fn open(&mut self) -> Outcome<()> {
        self.command("open", "", Bytes::new()).await
    }

    pub async fn hanging(&mut self) -> Outcome<u64> {
        self.command("hanging", "", Bytes::new()).await
    }

    pub async fn forget(&mut self) -> Outcome<()> {
        self.command("forget", "", Bytes::new()).await
    }

    pub async fn report(&mut self, lane: &str) -> Outcome<LaneReport> {
        self.command("report", lane, Bytes::new()).await
    }

    /// Waits until `lane` has answered every one of `ids`; tells what is still missing then.
    pub async fn await_all(
        &mut self,
        lane: &str,
        ids: &[String],
        deadline: Duration,
    ) -> Outcome<Missing> {
        self.watch(lane, ids).await?;
        self.missing(deadline).await
    }

    /// Names what `missing` will wait for. Apart from it, because reading many ids holds the sink up.
    pub async fn watch(&mut self, lane: &str, ids: &[String]) -> Outcome<()> {
        let expected = Expected { lane: lane.to_owned(), ids: ids.to_vec() };
        self.command("watch", "", serde_json::to_vec(&expected)?.into()).await
    }

    pub async fn missing(&mut self, deadline: Duration) -> Outcome<Missing> {
        self.command("missing", &deadline.as_millis().to_string(), Bytes::new()).await
    }

    /// Tells the receivers of a lane with which secrets to verify from now on.
    pub async fn tell(&mut self, lane: &str, told: &Told) -> Outcome<()> {
        self.command("tell", lane, serde_json::to_vec(told)?.into()).await
    }

    pub async fn verified(&mut self) -> Outcome<Verified> {
        self.command("verified", "", Bytes::new()).await
    }

    pub async fn next_generation(&mut self) -> Outcome<()> {
        self.command("next-generation", "", Bytes::new()).await
    }

    pub async fn first_of_generation_ns(&mut self, deadline: Duration) -> Outcome<Option<u64>> {
        let deadline_ms = deadline.as_millis().to_string();
        self.command("first-of-generation", &deadline_ms, Bytes::new()).await
    }

    pub async fn answered_within(&mut self, window: Duration) -> Outcome<u64> {
        self.command("recent", &window.as_millis().to_string(), Bytes::new()).await
    }

    async fn command<T: DeserializeOwned>(
        &mut self,
        command: &str,
        argument: &str,
        body: Bytes,
    ) -> Outcome<T> {
        let path = format!("/control/{command}/{argument}");
        let answer = self.control.post(&path.parse()?, body).await?;
        Ok(serde_json::from_slice(&expect_success(&path, answer)?)?)
    }
}
