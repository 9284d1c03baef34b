//! What a proxy asks for: written by its administrator, never by its clients.
//!
//! The same text, in the form of a query, comes in one of two places. A proxy that is given a
//! whole URL says it there: `/authorize?keyspace=crm&scopes=read:contacts`. A proxy that appends
//! the client's path and query (Envoy) says it in the header [`HEADER`]. Each route reads one of
//! the two and ignores the other, for the other is the client's.
//!
//! A mistake here must not open a door, so an unknown or doubled name and an empty value are
//! refused: `scope=` for `scopes=` would otherwise ask for nothing, and so would `scopes=`.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use model::key::scope::ScopeQuery;
use quick_cache::sync::Cache;
use url::form_urlencoded;

use super::credential::{MAX_SOURCES, Source};

/// Where a proxy that appends the client's path says what it asks for.
pub(super) const HEADER: &str = "x-doorbell-authorize";
/// Proxies between the client and the one that asks, at the most.
const MAX_HOPS: usize = 16;
const MAX_LIMITS: usize = 16;
/// Texts that are remembered, of either kind, and the longest of them.
const MAX_KNOWN: usize = 1_024;
const MAX_KNOWN_BYTES: usize = 2 * 1_024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The id or uid of the keyspace that guards this API.
    pub keyspace: String,
    pub environment: Option<String>,
    pub scopes: Option<ScopeQuery>,
    /// Where a key may stand.
    pub sources: Vec<Source>,
    /// Which entry of `X-Forwarded-For` is the client, counted from the right: what the proxy
    /// that asks has written itself is the first.
    pub hops: usize,
    pub cost: u64,
    /// Limits to count besides the automatic ones.
    pub limits: Vec<String>,
    pub compat: Compat,
    /// Whether to send `X-RateLimit-*` beside the standard headers.
    pub legacy_headers: bool,
    /// The proxy appended the client's path: one that follows our word on what to remove.
    pub path_is_clients: bool,
}

/// What the proxy can make of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Compat {
    /// It passes any answer on.
    #[default]
    Any,
    /// It understands 401 and 403 alone; the true status is in `X-Auth-Status`.
    Nginx,
}

/// Why the settings are no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadSettings {
    #[error("`keyspace` is missing")]
    NoKeyspace,
    #[error("`{0}` is not a setting")]
    Unknown(String),
    #[error("`{0}` is set twice")]
    Doubled(String),
    #[error("`{name}` is not right: {why}")]
    Value { name: &'static str, why: String },
    #[error("the header {HEADER} is missing or stands twice")]
    Header,
}

/// Settings that were read before, by their text: a proxy sends the same with every request.
/// Only what is right is kept.
#[derive(Debug)]
pub(crate) struct KnownSettings {
    by_query: Cache<String, Arc<Settings>>,
    /// Of proxies that append the client's path and query.
    by_header: Cache<String, Arc<Settings>>,
}

impl KnownSettings {
    pub fn new() -> Self {
        Self { by_query: Cache::new(MAX_KNOWN), by_header: Cache::new(MAX_KNOWN) }
    }

    pub(super) fn of_query(&self, query: &str) -> Result<Arc<Settings>, BadSettings> {
        known(&self.by_query, query, || Settings::parse(query))
    }

    /// Those of a proxy that appends the client's path and query.
    pub(super) fn of_headers(&self, headers: &HeaderMap) -> Result<Arc<Settings>, BadSettings> {
        let line = line(headers)?;
        let read = || Ok(Settings { path_is_clients: true, ..Settings::parse(line)? });
        known(&self.by_header, line, read)
    }
}

fn known(
    cache: &Cache<String, Arc<Settings>>,
    text: &str,
    read: impl FnOnce() -> Result<Settings, BadSettings>,
) -> Result<Arc<Settings>, BadSettings> {
    if let Some(settings) = cache.get(text) {
        return Ok(settings);
    }
    let settings = Arc::new(read()?);
    if text.len() <= MAX_KNOWN_BYTES {
        cache.insert(text.to_owned(), settings.clone());
    }
    Ok(settings)
}

/// The one header with settings.
fn line(headers: &HeaderMap) -> Result<&str, BadSettings> {
    let mut lines = headers.get_all(HeaderName::from_static(HEADER)).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().map_err(|_| BadSettings::Header),
        _ => Err(BadSettings::Header),
    }
}

impl Settings {
    fn parse(query: &str) -> Result<Self, BadSettings> {
        let mut given = Given::read(query)?;
        let settings = Self {
            keyspace: given.take("keyspace")?.ok_or(BadSettings::NoKeyspace)?,
            environment: given.take("environment")?,
            scopes: given
                .take("scopes")?
                .map(|text| ScopeQuery::parse(&text))
                .transpose()
                .map_err(|why| bad("scopes", why.to_string()))?,
            sources: given
                .take("in")?
                .map_or_else(|| Ok(Source::usual()), |text| sources(&text))?,
            hops: given.number("hops", 1, MAX_HOPS)?,
            cost: given.number("cost", 1, u64::from(u32::MAX))?,
            limits: given.take("limits")?.map_or_else(|| Ok(Vec::new()), |text| limits(&text))?,
            compat: match given.take("compat")?.as_deref() {
                None => Compat::Any,
                Some("nginx") => Compat::Nginx,
                Some(_) => return Err(bad("compat", "it can be nginx")),
            },
            legacy_headers: match given.take("legacy")?.as_deref() {
                None | Some("true") => true,
                Some("false") => false,
                Some(_) => return Err(bad("legacy", "it can be true or false")),
            },
            path_is_clients: false,
        };
        match given.0.pop() {
            Some((name, _)) => Err(BadSettings::Unknown(name)),
            None => Ok(settings),
        }
    }
}

/// What was said and not yet understood.
struct Given(Vec<(String, String)>);

impl Given {
    fn read(query: &str) -> Result<Self, BadSettings> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(BadSettings::Doubled(name.into_owned()));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// An empty value is refused: a variable that somebody forgot to set would ask for nothing.
    fn take(&mut self, name: &'static str) -> Result<Option<String>, BadSettings> {
        let Some(at) = self.0.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(at);
        match value.trim() {
            "" => Err(bad(name, "it is empty")),
            value => Ok(Some(value.to_owned())),
        }
    }

    /// A whole number from 1; 1 if not given.
    fn number<N>(&mut self, name: &'static str, least: N, most: N) -> Result<N, BadSettings>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.take(name)? else { return Ok(least) };
        match text.parse() {
            Ok(number) if number >= least && number <= most => Ok(number),
            _ => Err(bad(name, format!("it can be a whole number from {least} to {most}"))),
        }
    }
}

fn sources(text: &str) -> Result<Vec<Source>, BadSettings> {
    let sources: Result<Vec<Source>, String> = text.split(',').map(Source::parse).collect();
    let sources = sources.map_err(|why| bad("in", why))?;
    if sources.len() > MAX_SOURCES {
        return Err(bad("in", format!("at most {MAX_SOURCES} places")));
    }
    Ok(sources)
}

fn limits(text: &str) -> Result<Vec<String>, BadSettings> {
    let limits: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if limits.iter().any(String::is_empty) {
        return Err(bad("limits", "a name is empty"));
    }
    if limits.len() > MAX_LIMITS {
        return Err(bad("limits", format!("at most {MAX_LIMITS} names")));
    }
    Ok(limits)
}

fn bad(name: &'static str, why: impl Into<String>) -> BadSettings {
    BadSettings::Value { name, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_can_be_said() {
        let settings = Settings::parse(
            "keyspace=crm&environment=live&scopes=read:contacts+AND+(a+OR+b)&in=bearer,query:key\
             &hops=2&cost=5&limits=search,+export&compat=nginx&legacy=false",
        );
        let expected = Settings {
            keyspace: "crm".to_owned(),
            environment: Some("live".to_owned()),
            scopes: ScopeQuery::parse("read:contacts AND (a OR b)").ok(),
            sources: vec![Source::Bearer, Source::Query("key".to_owned())],
            hops: 2,
            cost: 5,
            limits: vec!["search".to_owned(), "export".to_owned()],
            compat: Compat::Nginx,
            legacy_headers: false,
            path_is_clients: false,
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn the_query_is_off_unless_asked_for() {
        let settings = Settings::parse("keyspace=crm").unwrap();
        assert!(!settings.sources.iter().any(|source| matches!(source, Source::Query(_))));
        assert_eq!((settings.hops, settings.cost), (1, 1));
    }

    #[test]
    fn a_mistake_opens_no_door() {
        let refused = [
            ("", BadSettings::NoKeyspace),
            ("keyspace=", bad("keyspace", "it is empty")),
            ("keyspace=crm&scopes=", bad("scopes", "it is empty")),
            ("keyspace=crm&scopes=+", bad("scopes", "it is empty")),
            ("keyspace=crm&environment=", bad("environment", "it is empty")),
            ("keyspace=crm&limits=", bad("limits", "it is empty")),
            ("keyspace=crm&limits=a,,b", bad("limits", "a name is empty")),
            ("keyspace=crm&scopes=a+AND", {
                let why = ScopeQuery::parse("a AND").unwrap_err();
                bad("scopes", why.to_string())
            }),
            ("keyspace=crm&in=", bad("in", "it is empty")),
            ("keyspace=crm&cost=", bad("cost", "it is empty")),
            ("keyspace=crm&scope=admin", BadSettings::Unknown("scope".to_owned())),
            ("keyspace=crm&scopes=a&scopes=b", BadSettings::Doubled("scopes".to_owned())),
            ("keyspace=crm&compat=apache", bad("compat", "it can be nginx")),
            ("keyspace=crm&hops=0", bad("hops", "it can be a whole number from 1 to 16")),
        ];
        for (query, expected) in refused {
            assert_eq!(Settings::parse(query), Err(expected), "{query}");
        }
        assert!(Settings::parse("keyspace=crm&in=cookie").is_err());
    }

    #[test]
    fn one_header_and_only_one() {
        let mut headers = HeaderMap::new();
        let known = KnownSettings::new();
        assert_eq!(known.of_headers(&headers), Err(BadSettings::Header));
        headers.append(HEADER, "keyspace=crm".parse().unwrap());
        assert_eq!(known.of_headers(&headers).unwrap().keyspace, "crm");
        headers.append(HEADER, "keyspace=other".parse().unwrap());
        assert_eq!(known.of_headers(&headers), Err(BadSettings::Header));
    }

    #[test]
    fn what_was_read_is_kept_where_it_was_said() {
        let known = KnownSettings::new();
        let of_query = known.of_query("keyspace=crm&scopes=a").unwrap();
        assert!(Arc::ptr_eq(&of_query, &known.of_query("keyspace=crm&scopes=a").unwrap()));
        assert_ne!(of_query, known.of_query("keyspace=crm&scopes=b").unwrap());
        let mut headers = HeaderMap::new();
        headers.append(HEADER, "keyspace=crm&scopes=a".parse().unwrap());
        let of_header = known.of_headers(&headers).unwrap();
        assert!(of_header.path_is_clients && !of_query.path_is_clients);
        assert!(Arc::ptr_eq(&of_header, &known.of_headers(&headers).unwrap()));
        // A mistake is told each time, and no more of it is kept than of a text that is too long.
        let long = format!("keyspace={}", "c".repeat(MAX_KNOWN_BYTES));
        assert!(known.of_query("keyspace=").is_err() && known.of_query("keyspace=").is_err());
        assert!(known.of_query(&long).is_ok());
        assert_eq!(known.by_query.len(), 2);
    }
}
