use std::path::PathBuf;

use super::database::ServiceUrl;
use super::format::{Format, path, url};
use super::setting::section;

section! {
    /// Redis, for limits that several processes share. It keeps nothing that is not also elsewhere.
    Redis = "redis" {
        /// Redis server; empty: none.
        url: Option<ServiceUrl> = "", "DOORBELL_REDIS_URL", redis_url().optional();
        /// PEM file with the authority that signed the certificate of a rediss:// server; empty: those that this machine trusts.
        ca: Option<PathBuf> = "", "DOORBELL_REDIS_CA", path().optional();
    }
}

fn redis_url() -> Format<ServiceUrl> {
    let format = url(&["redis://", "rediss://"]).then(|url| match url.contains('#') {
        // The client would take `#insecure` for leave to trust anybody.
        true => Err("has a fragment".to_owned()),
        false => Ok(ServiceUrl::new(url)),
    });
    format.url_with_password()
}
