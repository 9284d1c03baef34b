//! A PostgreSQL of the run's own, that may be stopped. The driver goes on meanwhile: every command
//! is waited for without blocking.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::Outcome;
use crate::measure::unix_nanos;
use crate::server::free_port;

const FOLDERS: &str = "/usr/lib/postgresql";
/// PostgreSQL does not run as root.
const USER: &str = "postgres";
const CUT: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
    where backend_type = 'client backend' and pid <> pg_backend_pid()";

pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    as_user: bool,
}

impl Cluster {
    pub async fn start() -> Outcome<Self> {
        let id = Command::new("id").arg("-u").output().await?;
        let cluster = Self {
            programs: programs()?,
            folder: std::env::temp_dir().join(format!("doorbell-outages-{}", unix_nanos())),
            port: free_port()?,
            as_user: id.stdout.trim_ascii() == b"0",
        };
        std::fs::create_dir(&cluster.folder)?;
        if cluster.as_user {
            run(Command::new("chown").arg(USER).arg(&cluster.folder)).await?;
        }
        let data = cluster.data();
        let init = ["-U", "doorbell", "-A", "trust", "-E", "UTF8", "--no-locale", "-D"];
        run(cluster.program("initdb").args(init).arg(&data)).await?;
        cluster.start_again().await?;
        Ok(cluster)
    }

    pub fn url(&self) -> String {
        format!("postgres://doorbell@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns when it accepts connections.
    pub async fn start_again(&self) -> Outcome<()> {
        let settings = format!(
            "-c port={} -c listen_addresses=127.0.0.1 -c unix_socket_directories={}",
            self.port,
            self.folder.display()
        );
        let mut command = self.program("pg_ctl");
        command.args(["start", "-w", "-t", "60", "-o", &settings, "-l"]);
        command.arg(self.folder.join("server.log")).arg("-D").arg(self.data());
        run(&mut command).await
    }

    /// `fast` says goodbye, `immediate` is as good as a crash.
    pub async fn stop(&self, how: &str) -> Outcome<()> {
        let mut command = self.program("pg_ctl");
        run(command.args(["stop", "-w", "-m", how, "-D"]).arg(self.data())).await
    }

    pub async fn cut_connections(&self) -> Outcome<()> {
        run(Command::new("psql").args(["-X", "-q", "-d", &self.url(), "-c", CUT])).await
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if self.as_user {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let program = self.program("pg_ctl");
        let mut command = std::process::Command::new(program.as_std().get_program());
        command.args(program.as_std().get_args()).current_dir(&self.folder);
        let data = self.data();
        command.args(["stop", "-w", "-m", "immediate", "-D"]).arg(data).stdout(Stdio::null());
        let stopped = command.status();
        if let Err(error) = stopped.and_then(|_| std::fs::remove_dir_all(&self.folder)) {
            eprintln!("{} is left behind: {error}", self.folder.display());
        }
    }
}

/// Of the newest version there is.
fn programs() -> Outcome<PathBuf> {
    let versions = std::fs::read_dir(FOLDERS).map_err(|_| "no PostgreSQL server programs here")?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let newest = folders.filter(|folder| folder.join("initdb").exists()).max_by_key(version);
    newest.ok_or_else(|| "no PostgreSQL server programs here".into())
}

fn version(bin: &PathBuf) -> u32 {
    let name = Path::new(bin).parent().and_then(Path::file_name);
    name.and_then(|name| name.to_string_lossy().parse().ok()).unwrap_or(0)
}

async fn run(command: &mut Command) -> Outcome<()> {
    // What it starts keeps what it prints to: a pipe would never end.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().await?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{:?} failed: {status}", command.as_std().get_program()).into()),
    }
}
