use std::fmt;
use std::path::Path;

use super::format::{Format, hide_password, url, whole, yes_or_no};
use super::setting::section;

section! {
    /// The database that holds everything.
    Database = "database" {
        /// SQLite file or PostgreSQL database; empty: a SQLite file in the data folder.
        url: Option<ServiceUrl> = "", "DOORBELL_DATABASE_URL", database_url().optional();
        /// Connections for reading, besides those that write.
        read_connections: u32 = "4", "DOORBELL_DATABASE_READ_CONNECTIONS", whole(1..=1000);
        /// Whether pending migrations are applied at start; if not, a pending one stops the start.
        migrate: bool = "true", "DOORBELL_DATABASE_MIGRATE", yes_or_no();
    }
}

/// The URL of a database or of Redis; its debug output leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The whole URL, password included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", hide_password(&self.0))
    }
}

const SQLITE_FILE: &str = "doorbell.sqlite";

/// The URL of the SQLite file in the data folder.
pub fn sqlite_url(data_dir: &Path) -> String {
    let path = data_dir.join(SQLITE_FILE).display().to_string();
    // The only characters that a SQLite URL would read as something else than a part of the path.
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{path}")
}

fn database_url() -> Format<ServiceUrl> {
    url(&["sqlite:", "postgres://", "postgresql://"])
        .then(|url| Ok(ServiceUrl::new(url)))
        .url_with_password()
}
