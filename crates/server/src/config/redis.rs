use super::database::ServiceUrl;
use super::format::{Format, url};
use super::setting::section;

section! {
    /// Redis, for limits that several processes share. It keeps nothing that is not also elsewhere.
    Redis = "redis" {
        /// Redis server; empty: none.
        url: Option<ServiceUrl> = "", "DOORBELL_REDIS_URL", redis_url().optional();
    }
}

fn redis_url() -> Format<ServiceUrl> {
    url(&["redis://"]).then(|url| Ok(ServiceUrl::new(url))).url_with_password()
}
