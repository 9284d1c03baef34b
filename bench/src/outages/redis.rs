//! A Redis of the run's own, that may be killed and emptied.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::server::free_port;

const START_DEADLINE: Duration = Duration::from_secs(10);

pub struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    pub async fn start() -> Outcome<Self> {
        let port = free_port()?;
        Ok(Self { port, child: spawn(port).await? })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn kill(&mut self) -> Outcome<()> {
        Ok(self.child.kill().await?)
    }

    /// At the same place, with nothing in it.
    pub async fn restart(&mut self) -> Outcome<()> {
        self.child = spawn(self.port).await?;
        Ok(())
    }

    pub async fn empty(&self) -> Outcome<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"FLUSHALL SYNC\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        match &answer {
            b"+OK\r\n" => Ok(()),
            _ => Err("Redis was not emptied".into()),
        }
    }
}

async fn spawn(port: u16) -> Outcome<Child> {
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "no"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("redis-server is needed and cannot be run: {error}"))?;
    let accepts = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(START_DEADLINE, accepts).await.map_err(|_| "redis-server does not start")?;
    Ok(child)
}
