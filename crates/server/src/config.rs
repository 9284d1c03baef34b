//! Doorbell's settings: where each value comes from, and what it must look like.
//!
//! A setting is declared once, in the file of its section, with its key, variable, default, meaning and format.
//! From that declaration follow the typed field, the command-line flag, the loader, and the two example files
//! at the root of the repository.
//!
//! Every source hands over text. [`Sources::gather`] reads them, a [`Reader`] takes for each setting the text of
//! the highest source that has one (flag, environment, `.env`, TOML file, default) and parses it by the setting's
//! format. What must hold: reading never stops at the first mistake, so that [`load`] names every bad or unknown
//! setting at once, with the place to mend it; and no message shows a secret.

mod auth;
mod database;
mod delivery;
pub mod example;
mod flags;
mod format;
mod keys;
mod log;
mod publish;
mod reader;
mod redis;
mod server;
mod setting;
mod source;
#[cfg(test)]
mod tests;
mod unknown;

pub use auth::Auth;
pub use database::Database;
pub use delivery::{Delivery, HeaderStyle};
pub use flags::Flags;
pub use keys::Keys;
pub use log::{Log, LogFormat};
pub use publish::Publish;
pub use reader::{Problems, Reader, Value};
pub use redis::Redis;
pub use server::Server;
pub use setting::Setting;
pub use source::Sources;

/// Every setting, parsed.
#[derive(Debug)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub redis: Redis,
    pub auth: Auth,
    pub keys: Keys,
    pub delivery: Delivery,
    pub publish: Publish,
    pub log: Log,
}

/// A configuration together with the text and the origin of each value.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub values: Vec<Value>,
}

/// Reads every setting from the sources, or says everything that is wrong with them.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut reader = Reader::new(sources);
    let config = Config::read(&mut reader);
    unknown::report(&mut reader);
    if let Some(config) = &config {
        config.check_together(&mut reader);
    }
    let (values, problems) = reader.finish();
    match config {
        Some(config) if problems.0.is_empty() => Ok(Loaded { config, values }),
        _ => Err(problems),
    }
}

/// Every setting there is, in the order of the sections.
pub fn settings() -> Vec<Setting> {
    let nothing = Sources::default();
    let mut reader = Reader::new(&nothing);
    Config::read(&mut reader);
    reader.finish().0.into_iter().map(|value| value.setting).collect()
}

impl Config {
    fn read(reader: &mut Reader) -> Option<Self> {
        let server = Server::read(reader);
        let database = Database::read(reader);
        let redis = Redis::read(reader);
        let auth = Auth::read(reader);
        let keys = Keys::read(reader);
        let delivery = Delivery::read(reader);
        let publish = Publish::read(reader);
        let log = Log::read(reader);
        Some(Self {
            server: server?,
            database: database?,
            redis: redis?,
            auth: auth?,
            keys: keys?,
            delivery: delivery?,
            publish: publish?,
            log: log?,
        })
    }

    /// The rules that concern two settings.
    fn check_together(&self, reader: &mut Reader) {
        if self.server.tls_cert.is_some() != self.server.tls_key.is_some() {
            reader.conflict("server.tls_cert", "server.tls_key", "must be set both or not at all");
        }
        if self.delivery.connect_timeout_ms > self.delivery.timeout_ms {
            let rule = "the first must not be longer than the second";
            reader.conflict("delivery.connect_timeout_ms", "delivery.timeout_ms", rule);
        }
    }

    /// The database to open: the one that is set, or else a SQLite file in the data folder.
    pub fn database_url(&self) -> String {
        match &self.database.url {
            Some(url) => url.as_str().to_owned(),
            None => database::sqlite_url(&self.server.data_dir),
        }
    }
}
