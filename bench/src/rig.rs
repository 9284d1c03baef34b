//! What every scenario stands on: a fresh database, a server on it, a sink, and the instruments.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::{Api, Peer};
use crate::job::{Job, Kind};
use crate::measure::unix_nanos;
use crate::options::{Database, Options};
use crate::server::{Environment, Server, ServerSettings, free_port};
use crate::sink::Sink;
use crate::{Outcome, postgres, process};

/// How long the last deliveries of a run may take to arrive.
pub const ARRIVAL_DEADLINE: Duration = Duration::from_secs(60);

pub struct Rig {
    pub settings: ServerSettings,
    pub server: Server,
    pub sink: Sink,
    pub api: Api,
    postmaster: Option<u32>,
    /// Last, so that it is dropped after the server that uses it
    made: Option<MadeDatabase>,
}

/// A PostgreSQL database that lives as long as its run.
struct MadeDatabase {
    admin_url: String,
    name: String,
    url: String,
}

impl MadeDatabase {
    fn make(options: &Options, database: Database, name: &str) -> Outcome<Option<Self>> {
        if database == Database::Sqlite {
            return Ok(None);
        }
        let admin_url = options.postgres_url()?;
        Ok(Some(Self {
            url: postgres::create_database(&admin_url, name)?,
            admin_url,
            name: name.to_owned(),
        }))
    }
}

impl Drop for MadeDatabase {
    fn drop(&mut self) {
        if let Err(error) = postgres::drop_database(&self.admin_url, &self.name) {
            eprintln!("{} is left behind: {error}", self.name);
        }
    }
}

/// CPU spent so far, in milliseconds.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub server_ms: f64,
    pub database_ms: f64,
}

impl Cpu {
    pub fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            server_ms: self.server_ms - earlier.server_ms,
            database_ms: self.database_ms - earlier.database_ms,
        }
    }
}

impl Rig {
    pub async fn start(
        options: &Options,
        database: Database,
        retry_schedule: &str,
    ) -> Outcome<Self> {
        Self::start_with(options, database, retry_schedule, Vec::new()).await
    }

    /// As `start`, with further settings.
    pub async fn start_with(
        options: &Options,
        database: Database,
        retry_schedule: &str,
        environment: Environment,
    ) -> Outcome<Self> {
        let name = format!("doorbell_bench_{}", unix_nanos());
        let dir = work_dir(options)?.join(&name);
        fs::create_dir_all(&dir)?;
        let made = MadeDatabase::make(options, database, &name)?;
        let settings = ServerSettings {
            binary: options.server.clone(),
            database_url: match &made {
                Some(made) => made.url.clone(),
                None => format!("sqlite:{}", dir.join("bench.db").display()),
            },
            data_dir: dir,
            port: free_port()?,
            retry_schedule: retry_schedule.to_owned(),
            environment,
        };
        let postmaster = made.as_ref().map(|made| postgres::postmaster(&made.url)).transpose()?;
        let server = settings.start().await?;
        Ok(Self {
            api: Api::open(&settings.peer()?).await?,
            sink: Sink::start().await?,
            settings,
            server,
            made,
            postmaster,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.settings.data_dir
    }

    /// Stops the server and removes what the run left behind. After a failure it stays, to be
    /// looked into.
    pub async fn finish(mut self, succeeded: bool) -> Outcome<()> {
        self.server.stop().await?;
        if !succeeded {
            eprintln!("database and log stay in {}", self.dir().display());
            if let Some(made) = self.made.take() {
                eprintln!("database {} stays", made.name);
                std::mem::forget(made);
            }
            return Ok(());
        }
        Ok(fs::remove_dir_all(self.dir())?)
    }

    pub fn peer(&self) -> Outcome<Peer> {
        self.settings.peer()
    }

    /// Publishing one message per request into `app`.
    pub fn publish(&self, app: &str) -> Outcome<Job> {
        Job::new(self.peer()?, &message_path(app), Kind::Message)
    }

    pub fn publish_batches(&self, app: &str, size: u64) -> Outcome<Job> {
        Job::new(self.peer()?, &format!("{}/batch", message_path(app)), Kind::Batch(size))
    }

    pub fn cpu(&self) -> Outcome<Cpu> {
        Ok(Cpu {
            server_ms: process::cpu_ms(self.server.pid)?,
            database_ms: self.postmaster.map_or(Ok(0.0), process::family_cpu_ms)?,
        })
    }

    pub fn server_peak_mib(&self) -> Outcome<f64> {
        process::peak_mib(self.server.pid)
    }

    pub fn database_peak_mib(&self) -> Outcome<f64> {
        self.postmaster.map_or(Ok(0.0), process::family_peak_mib)
    }
}

pub fn message_path(app: &str) -> String {
    format!("/api/v1/app/{app}/msg")
}

/// The work folder, as an absolute path: the server runs in another one.
pub fn work_dir(options: &Options) -> Outcome<PathBuf> {
    fs::create_dir_all(&options.work_dir)?;
    Ok(fs::canonicalize(&options.work_dir)?)
}
