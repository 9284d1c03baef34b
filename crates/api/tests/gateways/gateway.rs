//! A real proxy as a child process, with the configuration that is handed to users: only its ports
//! are others.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use tempfile::TempDir;

use crate::client::send;

/// The ports in the files under `deploy/gateways`.
const DOORBELL: &str = "8071";
const API: &str = "3000";
const GATEWAY: &str = "8080";
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// How one proxy is started.
pub struct Kind {
    pub name: &'static str,
    /// Names its program, where it is not in the path.
    pub variable: &'static str,
    /// Files of its folder.
    pub files: &'static [&'static str],
    /// What the program is called with, in a folder with the files.
    pub arguments: &'static [&'static str],
    /// Shows a client its limits while they are not used up.
    pub shows_limits: bool,
    /// Tells us the address of a client on the same machine as it is.
    pub tells_loopback: bool,
}

pub struct Gateway {
    pub kind: &'static Kind,
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Gateway {
    /// Starts it between clients and these two, and waits until it accepts.
    pub async fn start(kind: &'static Kind, doorbell: SocketAddr, api: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let ports = [(DOORBELL, doorbell), (API, api), (GATEWAY, address)];
        for file in kind.files {
            let source = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../deploy/gateways")
                .join(kind.name)
                .join(file);
            let text = std::fs::read_to_string(&source).expect("a configuration");
            std::fs::write(folder.path().join(file), with_ports(&text, &ports)).expect("a file");
        }
        let wrapper = "daemon off; pid nginx.pid; error_log stderr; events {}\n\
                       http { access_log off; include doorbell.conf; }\n";
        std::fs::write(folder.path().join("nginx.conf"), wrapper).expect("a file");
        let log = || std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(program(kind))
            .args(kind.arguments.iter().map(|text| text.replace("{folder}", &shown(&folder))))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log()))
            .stderr(Stdio::from(log()))
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", kind.name));
        let mut gateway = Self { kind, address, child, folder };
        gateway.until_ready().await;
        gateway
    }

    async fn until_ready(&mut self) {
        let ready = async {
            let mut tries = tokio::time::interval(BETWEEN_TRIES);
            // Some listen before they have read what they guard.
            while !refuses(self.address).await {
                if let Ok(Some(status)) = self.child.try_wait() {
                    panic!("{} ended ({status}): {}", self.kind.name, self.log());
                }
                tries.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, ready).await.is_err() {
            panic!("{} does not listen: {}", self.kind.name, self.log());
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Whether it asks Doorbell: without a key the answer is no.
async fn refuses(address: SocketAddr) -> bool {
    let answer = send(address, Method::GET, "/", &[], "").await;
    answer.is_some_and(|answer| answer.status == 401)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // SIGTERM, so that a master takes its workers with it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn shown(folder: &TempDir) -> String {
    folder.path().display().to_string()
}

/// The proxy's program; without it the test fails and says how to get it.
fn program(kind: &Kind) -> PathBuf {
    if let Some(path) = std::env::var_os(kind.variable) {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(kind.name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{} is missing: run `make test`, or `scripts/test-services cargo test`", kind.name)
    })
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// Replaces port numbers that stand alone.
fn with_ports(text: &str, ports: &[(&str, SocketAddr)]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[start..].chars().take_while(char::is_ascii_digit).count();
        let number = &rest[start..start + digits];
        let known = ports.iter().find(|(port, _)| *port == number);
        replaced.push_str(&rest[..start]);
        match known {
            Some((_, address)) => replaced.push_str(&address.port().to_string()),
            None => replaced.push_str(number),
        }
        rest = &rest[start + digits..];
    }
    replaced + rest
}
