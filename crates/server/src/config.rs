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
mod breaker;
mod database;
mod delivery;
pub mod example;
mod flags;
mod format;
mod housekeeping;
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

use model::secret::BadSecretPolicy;

pub use auth::{Auth, Oidc};
pub use breaker::Breaker;
pub use database::Database;
pub use delivery::{Delivery, HeaderStyle};
pub use flags::Flags;
pub use housekeeping::Housekeeping;
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
    pub oidc: Oidc,
    pub keys: Keys,
    pub delivery: Delivery,
    pub breaker: Breaker,
    pub publish: Publish,
    pub housekeeping: Housekeeping,
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
        let oidc = Oidc::read(reader);
        let keys = Keys::read(reader);
        let delivery = Delivery::read(reader);
        let breaker = Breaker::read(reader);
        let publish = Publish::read(reader);
        let housekeeping = Housekeeping::read(reader);
        let log = Log::read(reader);
        Some(Self {
            server: server?,
            database: database?,
            redis: redis?,
            auth: auth?,
            oidc: oidc?,
            keys: keys?,
            delivery: delivery?,
            breaker: breaker?,
            publish: publish?,
            housekeeping: housekeeping?,
            log: log?,
        })
    }

    /// The rules that concern two settings.
    fn check_together(&self, reader: &mut Reader) {
        if self.server.tls_cert.is_some() != self.server.tls_key.is_some() {
            reader.conflict("server.tls_cert", "server.tls_key", "must be set both or not at all");
        }
        self.check_secret_policy(reader);
        if self.breaker.open_ms > self.breaker.open_max_ms {
            let rule = "the first must not be longer than the second";
            reader.conflict("breaker.open_ms", "breaker.open_max_ms", rule);
        }
        if self.delivery.connect_timeout_ms > self.delivery.timeout_ms {
            let rule = "the first must not be longer than the second";
            reader.conflict("delivery.connect_timeout_ms", "delivery.timeout_ms", rule);
        }
        self.check_oidc(reader);
    }

    /// An identity provider that is only half described would leave nobody a way in.
    fn check_oidc(&self, reader: &mut Reader) {
        let oidc = &self.oidc;
        if oidc.issuer.is_some() != oidc.client_id.is_some() {
            reader.conflict("oidc.issuer", "oidc.client_id", "must be set both or not at all");
        }
        let Some(issuer) = &oidc.issuer else { return };
        if oidc.redirect_url.is_none() && self.server.public_url.is_none() {
            let rule = "one of them must be set, for the provider to send browsers back to";
            reader.conflict("oidc.redirect_url", "server.public_url", rule);
        }
        if issuer.starts_with("http:") && !oidc.plain_http {
            let rule = "the issuer must be https, unless the second is true";
            reader.conflict("oidc.issuer", "oidc.plain_http", rule);
        }
    }

    /// The authority of the Redis server's certificate, if it is named.
    pub fn redis_ca(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(path) = &self.redis.ca else { return Ok(None) };
        let read = std::fs::read(path);
        read.map(Some).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    }

    fn check_secret_policy(&self, reader: &mut Reader) {
        let policy = self.delivery.secret_policy();
        let Some(Err(error)) = policy.map(|policy| policy.check()) else { return };
        let (setting, rule) = match error {
            BadSecretPolicy::GraceSeconds => (
                "delivery.secret_grace_seconds",
                "a grace must not be longer than the time between rotations",
            ),
            BadSecretPolicy::NoticeDays | BadSecretPolicy::EveryDays => (
                "delivery.secret_notice_days",
                "a notice must be shorter than the time between rotations",
            ),
        };
        reader.conflict(setting, "delivery.secret_rotation_days", rule);
    }

    /// The database to open: the one that is set, or else a SQLite file in the data folder.
    pub fn database_url(&self) -> String {
        match &self.database.url {
            Some(url) => url.as_str().to_owned(),
            None => database::sqlite_url(&self.server.data_dir),
        }
    }
}
