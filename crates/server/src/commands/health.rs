//! `doorbell health`: asks the running server whether it is well. For container health checks.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::assembly::StartError;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(3);
/// The status line is all that is read.
const MAX_ANSWER: u64 = 64;

pub async fn check(config: Config) -> Result<(), StartError> {
    if config.server.tls_cert.is_some() {
        return reach(&config).await.map(drop);
    }
    let status = tokio::time::timeout(TIMEOUT, ask(&config)).await;
    let status = status.map_err(|_| StartError::Other("no answer in time".to_owned()))??;
    let code = status.split(' ').nth(1).unwrap_or_default();
    if code.starts_with('2') {
        return Ok(());
    }
    Err(StartError::Other(format!(
        "the server answers {}",
        status.lines().next().unwrap_or("nothing")
    )))
}

/// A server with a certificate is asked no more than whether it accepts connections.
async fn reach(config: &Config) -> Result<TcpStream, StartError> {
    let address = reachable(&config.server.listen);
    let connected = tokio::time::timeout(TIMEOUT, TcpStream::connect(&address)).await;
    let connected =
        connected.map_err(|_| StartError::Other(format!("{address} does not answer")))?;
    connected.map_err(|error| StartError::Other(format!("{address}: {error}")))
}

async fn ask(config: &Config) -> Result<String, StartError> {
    let mut stream = reach(config).await?;
    let request = "GET /api/v1/health HTTP/1.1\r\nhost: doorbell\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A server that listens on every address is asked on its own.
fn reachable(listen: &str) -> String {
    listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
}
