//! A target: what can be worked out about an endpoint's URL before anything is sent to it.
//!
//! The engine prepares one per endpoint version and sends to it many times, so nothing here is
//! parsed, escaped or encoded twice. The host stays a parsed [`Host`]: an address literal never
//! reaches the resolver, a name never skips it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use url::{Host, Position, Url};

/// The body of every request: whole, known in length, shared without a copy.
pub(super) type Payload = Full<Bytes>;

/// Headers that frame a message or belong to one hop. They are ours alone: a tenant who could set
/// one could smuggle a second request past a proxy, or have an answer compressed.
const OURS: [HeaderName; 11] = [
    header::HOST,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::ACCEPT_ENCODING,
];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    #[error("the URL names no host")]
    NoHost,
    #[error("the scheme is not http or https")]
    Scheme,
    #[error("the URL cannot be written into a request: {0}")]
    Unsendable(String),
}

/// Whoever shares an origin may share a connection.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub(super) origin: Arc<Origin>,
    pub(super) shard_hash: u64,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// The name the certificate must carry; none over plain HTTP.
    pub(super) server_name: Option<ServerName<'static>>,
    host_header: HeaderValue,
    /// As HTTP/1.1 writes it: path and query.
    path: Uri,
    /// As HTTP/2 writes it: scheme, authority, path and query.
    absolute: Uri,
    authorization: Option<HeaderValue>,
}

impl Target {
    pub fn new(url: &Url) -> Result<Self, BadTarget> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadTarget::Scheme),
        };
        let host = url.host().ok_or(BadTarget::NoHost)?.to_owned();
        let port = url.port_or_known_default().ok_or(BadTarget::Scheme)?;
        let server_name = if tls { Some(server_name(&host)?) } else { None };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let path = sendable(&url[Position::BeforePath..Position::AfterQuery]);
        let origin = Arc::new(Origin { tls, host: host.to_string(), port });
        Ok(Self {
            shard_hash: hash_of(&origin),
            origin,
            host,
            port,
            server_name,
            host_header: HeaderValue::from_str(&authority).map_err(unsendable)?,
            absolute: format!("{}://{authority}{path}", url.scheme())
                .parse()
                .map_err(unsendable)?,
            path: path.parse().map_err(unsendable)?,
            authorization: authorization(url),
        })
    }

    /// The caller's headers, with those that are ours set right.
    pub(super) fn dress(&self, mut headers: HeaderMap, body_bytes: usize) -> HeaderMap {
        for name in OURS {
            headers.remove(name);
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body_bytes));
        if let Some(authorization) = &self.authorization {
            headers.entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        headers
    }

    pub(super) fn http1_request(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Request<Payload> {
        headers.insert(header::HOST, self.host_header.clone());
        request(method, self.path.clone(), headers, body)
    }

    pub(super) fn http2_request(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Request<Payload> {
        headers.remove(header::HOST);
        request(method, self.absolute.clone(), headers, body)
    }
}

fn request(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Request<Payload> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// A trailing dot is part of a name in DNS and of no name in a certificate.
fn server_name(host: &Host<String>) -> Result<ServerName<'static>, BadTarget> {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_owned();
            ServerName::try_from(name).map_err(unsendable)
        }
        Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
    }
}

/// URLs may hold a few characters that a request line may not.
fn sendable(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for character in path.chars() {
        match character {
            '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => {
                text.push_str(&format!("%{:02X}", character as u32));
            }
            _ => text.push(character),
        }
    }
    text
}

fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair = percent_decoded(url.username());
    pair.push(b':');
    pair.extend(percent_decoded(url.password().unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| after.first_chunk::<2>().and_then(hex_byte)).flatten();
        match escaped {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

fn hex_byte(digits: &[u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

fn hash_of(origin: &Origin) -> u64 {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    hasher.finish()
}

fn unsendable(error: impl ToString) -> BadTarget {
    BadTarget::Unsendable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(&Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn the_host_header_names_a_port_only_when_it_must() {
        assert_eq!(target("https://example.com:443/a").host_header, "example.com");
        assert_eq!(target("https://example.com:8443/a").host_header, "example.com:8443");
        assert_eq!(target("http://[::1]:80/").host_header, "[::1]");
        assert_eq!(target("http://[::1]:81/").host_header, "[::1]:81");
    }

    #[test]
    fn every_printable_character_of_a_url_can_be_sent() {
        let printable: String = (' '..='~').filter(|character| *character != '#').collect();
        let target = target(&format!("http://example.com/{printable}?{printable}#away"));
        assert!(target.path.path().starts_with("/%20!%22$%&'()*+,-./0"));
        assert!(!target.path.to_string().contains("away"));
        assert_eq!(target.absolute.path(), target.path.path());
    }

    #[test]
    fn user_and_password_become_an_authorization_header() {
        let with = |url| target(url).authorization.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(with("https://example.com/"), None);
        // Aladdin:open sesame, the example of RFC 7617.
        let expected = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
        assert_eq!(with("https://Aladdin:open%20sesame@example.com/"), expected);
        // An escaped line break stays inside the encoded text.
        let expected = format!("Basic {}", STANDARD.encode("a\r\nb:c%"));
        assert_eq!(with("https://a%0d%0ab:c%25@example.com/"), Some(expected));
    }

    #[test]
    fn framing_headers_are_ours() {
        let mut given = HeaderMap::new();
        given.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        given.insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        given.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        given.insert("x-kept", HeaderValue::from_static("1"));
        let target = target("http://example.com/");
        let request = target.http1_request(
            Method::POST,
            target.dress(given, 5),
            Bytes::from_static(b"12345"),
        );
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-kept", "content-length", "host"]);
        assert_eq!(request.headers()[header::CONTENT_LENGTH], "5");
    }
}
