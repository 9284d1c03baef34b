//! Where in a request the caller's key stands.
//!
//! Exactly one key may be shown. Two of them, in one place or in two, are refused: whichever of
//! them we took, somebody on the way might have taken the other.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

pub(super) const MAX_SOURCES: usize = 8;
/// Longer texts are no keys; nothing of ours, and nothing that can be imported.
const MAX_LEN: usize = 512;

/// One place where a key may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `Authorization: Bearer KEY`
    Bearer,
    /// `Authorization: Basic base64(KEY:)`; what follows the colon is ignored.
    Basic,
    /// The named header, as a whole or after a scheme.
    Header { name: HeaderName, scheme: Option<String> },
    /// The named parameter of the client's URL. It ends up in logs: only where asked for.
    Query(String),
}

impl Source {
    pub fn usual() -> Vec<Self> {
        let name = HeaderName::from_static("x-api-key");
        vec![Self::Bearer, Self::Header { name, scheme: None }, Self::Basic]
    }

    /// `bearer`, `basic`, `x-api-key`, `header:NAME`, `header:NAME:SCHEME` or `query:NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("bearer", "") => Ok(Self::Bearer),
            ("basic", "") => Ok(Self::Basic),
            ("x-api-key", "") => Self::header(kind, None),
            ("header", rest) => match rest.split_once(':') {
                Some((name, scheme)) if !scheme.is_empty() => Self::header(name, Some(scheme)),
                _ => Self::header(rest, None),
            },
            ("query", name) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            _ => Err(format!(
                "`{text}` is none of bearer, basic, x-api-key, header:NAME, header:NAME:SCHEME, \
                 query:NAME"
            )),
        }
    }

    fn header(name: &str, scheme: Option<&str>) -> Result<Self, String> {
        let name = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
        Ok(Self::Header { name, scheme: scheme.map(str::to_owned) })
    }

    /// The parameter of the client's URL that the key stands in, if it stands in one.
    pub fn parameter(&self) -> Option<String> {
        match self {
            Self::Query(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The header that the key stands in, if it stands in one.
    pub fn header_name(&self) -> Option<HeaderName> {
        match self {
            Self::Bearer | Self::Basic => Some(header::AUTHORIZATION),
            Self::Header { name, .. } => Some(name.clone()),
            Self::Query(_) => None,
        }
    }
}

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    Nothing,
    Key(Cow<'a, str>),
    /// More than one key, or what cannot be one.
    Unusable,
}

/// Looks at every place; `query` is that of the client's URL.
pub(super) fn find<'a>(sources: &[Source], headers: &'a HeaderMap, query: &'a str) -> Shown<'a> {
    let mut found = Shown::Nothing;
    for source in sources {
        let here = match source {
            Source::Query(name) => in_query(name, query),
            Source::Bearer => in_header(headers, &header::AUTHORIZATION, Some("bearer")),
            Source::Basic => in_basic(headers),
            Source::Header { name, scheme } => in_header(headers, name, scheme.as_deref()),
        };
        found = match (found, here) {
            (found, Shown::Nothing) => found,
            (Shown::Nothing, here) => here,
            _ => return Shown::Unusable,
        };
    }
    match found {
        Shown::Key(key) if key.is_empty() || key.len() > MAX_LEN => Shown::Unusable,
        found => found,
    }
}

/// The value of a header that may stand only once; schemes are compared without case.
fn in_header<'a>(headers: &'a HeaderMap, name: &HeaderName, scheme: Option<&str>) -> Shown<'a> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else { return Shown::Nothing };
    let (None, Ok(text)) = (lines.next(), line.to_str()) else { return Shown::Unusable };
    let Some(scheme) = scheme else {
        let key = text.trim();
        return if key.is_empty() { Shown::Nothing } else { Shown::Key(key.into()) };
    };
    match text.trim().split_once(' ') {
        Some((given, key)) if given.eq_ignore_ascii_case(scheme) => Shown::Key(key.trim().into()),
        _ => Shown::Nothing,
    }
}

fn in_basic(headers: &HeaderMap) -> Shown<'_> {
    let encoded = match in_header(headers, &header::AUTHORIZATION, Some("basic")) {
        Shown::Key(encoded) => encoded,
        other => return other,
    };
    let decoded = STANDARD.decode(encoded.as_bytes()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match text.as_deref().and_then(|text| text.split_once(':')) {
        Some((user, _)) => Shown::Key(user.to_owned().into()),
        None => Shown::Unusable,
    }
}

fn in_query<'a>(name: &str, query: &'a str) -> Shown<'a> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
    match (values.next(), values.next()) {
        (None, _) => Shown::Nothing,
        (Some((_, value)), None) => Shown::Key(value),
        _ => Shown::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    /// The key, `-` for nothing, `!` for what is refused.
    fn found(sources: &str, lines: &[(&'static str, &str)], query: &str) -> String {
        let sources: Vec<Source> = sources.split(',').map(|s| Source::parse(s).unwrap()).collect();
        match find(&sources, &headers(lines), query) {
            Shown::Nothing => "-".to_owned(),
            Shown::Key(key) => key.into_owned(),
            Shown::Unusable => "!".to_owned(),
        }
    }

    const USUAL: &str = "bearer,x-api-key,basic";

    #[test]
    fn every_place() {
        assert_eq!(found(USUAL, &[("authorization", "Bearer k")], ""), "k");
        assert_eq!(found(USUAL, &[("authorization", "bEARER   k ")], ""), "k");
        assert_eq!(found(USUAL, &[("x-api-key", " k ")], ""), "k");
        assert_eq!(found(USUAL, &[("authorization", "basic azp4Og==")], ""), "k");
        assert_eq!(found("header:x-crm", &[("x-crm", "k")], ""), "k");
        assert_eq!(found("header:authorization:ApiKey", &[("authorization", "APIKEY k")], ""), "k");
        assert_eq!(found("query:api_key", &[], "a=1&api_key=k%5F1"), "k_1");
    }

    #[test]
    fn nothing_where_nothing_was_asked_for() {
        assert_eq!(found(USUAL, &[], "api_key=k"), "-");
        assert_eq!(found("bearer", &[("x-api-key", "k")], ""), "-");
        assert_eq!(found(USUAL, &[("authorization", "Digest k")], ""), "-");
        assert_eq!(found(USUAL, &[("x-api-key", "")], ""), "-");
    }

    #[test]
    fn two_keys_are_refused() {
        let bearer = ("authorization", "Bearer k");
        assert_eq!(found(USUAL, &[bearer, ("authorization", "Bearer l")], ""), "!");
        assert_eq!(found(USUAL, &[bearer, bearer], ""), "!");
        assert_eq!(found(USUAL, &[bearer, ("x-api-key", "k")], ""), "!");
        assert_eq!(found("basic", &[bearer, bearer], ""), "!");
        assert_eq!(found("query:k", &[], "k=1&k=2"), "!");
        assert_eq!(found("bearer,query:k", &[bearer], "k=1"), "!");
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        assert_eq!(found(USUAL, &[("authorization", "Bearer ")], ""), "-");
        assert_eq!(found(USUAL, &[("authorization", "Basic !!!")], ""), "!");
        assert_eq!(found(USUAL, &[("authorization", "Basic aw==")], ""), "!");
        assert_eq!(found(USUAL, &[("x-api-key", &"k".repeat(MAX_LEN + 1))], ""), "!");
        assert_eq!(found("query:k", &[], "k="), "!");
    }

    #[test]
    fn a_source_that_is_none() {
        for text in ["", "cookie", "query:", "query", "header:", "header:a b", "bearer:x"] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }
}
