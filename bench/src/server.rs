//! The server under measurement: a child process, its settings in the environment.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::client::{Connection, Peer};

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(40);
const HEALTH_PERIOD: Duration = Duration::from_millis(1);
const LOG_TAIL_BYTES: usize = 2_000;
pub const ADMIN_TOKEN: &str = "bench-admin-token-0123456789abcdef0123456789abcdef";

/// Everything needed to start the server, and to start it again after a kill.
#[derive(Clone)]
pub struct ServerSettings {
    pub binary: PathBuf,
    pub data_dir: PathBuf,
    pub database_url: String,
    pub port: u16,
    pub retry_schedule: String,
    /// Settings that are not the server's own defaults
    pub environment: Environment,
}

/// Variables by their names.
pub type Environment = Vec<(&'static str, String)>;

pub struct Server {
    child: Child,
    pub pid: u32,
    /// From the start of the process to its first healthy answer
    pub healthy_after: Duration,
}

impl ServerSettings {
    pub fn peer(&self) -> Outcome<Peer> {
        Peer::local(self.port, Some(ADMIN_TOKEN))
    }

    pub async fn start(&self) -> Outcome<Server> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let started = Instant::now();
        let mut child = self
            .command(&log)?
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", self.binary.display()))?;
        let pid = child.id().ok_or("the server ended at once")?;
        timeout(START_DEADLINE, self.healthy(&mut child))
            .await
            .map_err(|_| format!("the server is not healthy in time: {}", self.log_tail()))??;
        Ok(Server { child, pid, healthy_after: started.elapsed() })
    }

    fn command(&self, log: &File) -> Outcome<Command> {
        let mut command = Command::new(
            std::fs::canonicalize(&self.binary).unwrap_or_else(|_| self.binary.clone()),
        );
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DOORBELL_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.data_dir)
            .env("DOORBELL_DATA_DIR", &self.data_dir)
            .env("DOORBELL_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("DOORBELL_DATABASE_URL", &self.database_url)
            .env("DOORBELL_TARGETS_ALLOW", "127.0.0.0/8")
            .env("DOORBELL_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("DOORBELL_RETRY_SCHEDULE", &self.retry_schedule)
            .env("DOORBELL_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        Ok(command)
    }

    async fn healthy(&self, child: &mut Child) -> Outcome<()> {
        let path = "/api/v1/health".parse()?;
        let peer = self.peer()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the server ended with {status}: {}", self.log_tail()).into());
            }
            if let Ok(mut connection) = Connection::open(&peer).await
                && let Ok(answer) = connection.get(&path).await
                && answer.status.is_success()
            {
                return Ok(());
            }
            sleep(HEALTH_PERIOD).await;
        }
    }

    fn log_path(&self) -> PathBuf {
        self.data_dir.join("server.log")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(LOG_TAIL_BYTES)..];
        String::from_utf8_lossy(tail).into_owned()
    }
}

impl Server {
    /// SIGKILL: nothing is finished, nothing is flushed.
    pub async fn kill_9(&mut self) -> Outcome<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM, and SIGKILL when that takes too long.
    pub async fn stop(&mut self) -> Outcome<()> {
        Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await?;
        match timeout(STOP_DEADLINE, self.child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(Into::into),
            Err(_) => Ok(self.child.kill().await?),
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
