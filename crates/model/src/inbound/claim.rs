//! What the headers of a request claim, in one shape for every scheme: the signed text is a
//! prefix and the body, and there are signatures over it.

use aws_lc_rs::digest;

use super::key::{base64, from_base64, is_among};
use super::{Headers, Key, Layer, MAX_SIGNATURES, Scheme};

const TAG_BYTES: usize = 32;
const MAX_ID_BYTES: usize = 256;
/// Milliseconds are read too: the tolerance refuses them, and says so.
const MAX_TIMESTAMP_S: i64 = 100_000_000_000_000;

pub(super) struct Claim<'a> {
    scheme: Scheme,
    /// The sender's id, where it is signed.
    id: Option<&'a str>,
    pub timestamp_s: Option<i64>,
    /// What is signed before the body.
    pub prefix: String,
    pub tags: Vec<Vec<u8>>,
    /// Ed25519.
    pub signatures: Vec<Vec<u8>>,
}

type Refusal = (Layer, String);

impl<'a> Claim<'a> {
    pub fn read(scheme: Scheme, headers: &Headers<'a>) -> Result<Self, Refusal> {
        match scheme {
            Scheme::Webhook => standard(scheme, "webhook", headers),
            Scheme::Svix => standard(scheme, "svix", headers),
            Scheme::Stripe => stripe(headers),
            Scheme::Github => github(headers),
            Scheme::Shopify => shopify(headers),
        }
    }

    pub fn is_of(&self, key: &Key, body: &[u8]) -> bool {
        match key.tag(&self.prefix, body) {
            Some(tag) => is_among(&tag, &self.tags),
            None => self
                .signatures
                .iter()
                .any(|signature| key.has_signed(&self.prefix, body, signature)),
        }
    }

    /// As [`Claim::is_of`], where many are tried: of the costly signatures only the first.
    pub fn seems_of(&self, key: &Key, body: &[u8]) -> bool {
        match key.tag(&self.prefix, body) {
            Some(tag) => is_among(&tag, &self.tags),
            None => {
                let first = self.signatures.first();
                first.is_some_and(|signature| key.has_signed(&self.prefix, body, signature))
            }
        }
    }

    /// What a repetition is known by. An id that is not signed could be changed by whoever repeats
    /// the request; then it is what was signed.
    pub fn known_by(&self, body: &[u8]) -> String {
        if let Some(id) = self.id {
            return id.to_owned();
        }
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.prefix.as_bytes());
        context.update(body);
        base64(context.finish())
    }

    /// Whether the key is of a kind that one of the signatures was made with.
    pub fn could_be_of(&self, key: &Key) -> bool {
        if key.is_hmac() { !self.tags.is_empty() } else { !self.signatures.is_empty() }
    }

    /// Why none of the keys can be the one.
    pub fn lacks(&self, keys: &[Key]) -> String {
        if keys.is_empty() {
            return "there is no secret to verify with".to_owned();
        }
        let (there, wanted) = match (self.tags.is_empty(), self.signatures.is_empty()) {
            (true, true) => return "it has no signature of a version that is known".to_owned(),
            (false, _) => ("v1 (HMAC)", "whsec_"),
            (true, false) => ("v1a (Ed25519)", "whpk_"),
        };
        let scheme = self.scheme.as_str();
        format!("the signature of {scheme} is {there}; it needs a secret that begins with {wanted}")
    }
}

fn need<'a>(headers: &Headers<'a>, name: &str) -> Result<&'a str, Refusal> {
    match headers.get(name) {
        None => Err((Layer::Header, format!("the header {name} is missing"))),
        Some("") => Err((Layer::Format, format!("{name} is empty"))),
        Some(value) => Ok(value),
    }
}

fn bad(detail: impl Into<String>) -> Refusal {
    (Layer::Format, detail.into())
}

fn seconds(name: &str, text: &str) -> Result<i64, Refusal> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| is_plain && *seconds <= MAX_TIMESTAMP_S);
    seconds.ok_or_else(|| bad(format!("{name} is not a number of seconds")))
}

fn standard<'a>(scheme: Scheme, family: &str, headers: &Headers<'a>) -> Result<Claim<'a>, Refusal> {
    let id = need(headers, &format!("{family}-id"))?;
    let timestamp = need(headers, &format!("{family}-timestamp"))?;
    let name = scheme.signature_header();
    let header = need(headers, name)?;
    if id.len() > MAX_ID_BYTES {
        return Err(bad(format!("{family}-id is longer than {MAX_ID_BYTES} bytes")));
    }
    let timestamp_s = seconds(&format!("{family}-timestamp"), timestamp)?;
    let (mut tags, mut signatures) = (Vec::new(), Vec::new());
    for signature in split(name, header, ' ')? {
        let parts = signature.split_once(',').filter(|(version, _)| !version.is_empty());
        let read = parts.and_then(|(version, text)| Some((version, from_base64(text)?)));
        let Some((version, bytes)) = read else {
            return Err(bad(format!("{name} is not a list of v1,<base64> with spaces between")));
        };
        match version {
            "v1" if bytes.len() != TAG_BYTES => {
                return Err(bad(format!("{name} holds a v1 signature that is not 32 bytes long")));
            }
            "v1" => tags.push(bytes),
            "v1a" => signatures.push(bytes),
            // A version of the future matches nobody.
            _ => {}
        }
    }
    // What was signed is the text that arrived.
    let prefix = format!("{id}.{timestamp}.");
    let (id, timestamp_s) = (Some(id), Some(timestamp_s));
    Ok(Claim { scheme, id, timestamp_s, prefix, tags, signatures })
}

fn stripe<'a>(headers: &Headers<'a>) -> Result<Claim<'a>, Refusal> {
    let scheme = Scheme::Stripe;
    let name = scheme.signature_header();
    let mut timestamp = None;
    let mut tags = Vec::new();
    for part in split(name, need(headers, name)?, ',')? {
        match part.trim().split_once('=') {
            Some(("t", text)) => timestamp = Some(text),
            Some(("v1", text)) => tags.push(hex_tag(name, text)),
            Some(_) => {}
            None => return Err(bad(format!("{name} is not a list of name=value"))),
        }
    }
    let timestamp = timestamp.ok_or_else(|| bad(format!("{name} has no t=<seconds>")))?;
    let timestamp_s = seconds(&format!("t of {name}"), timestamp)?;
    // One that cannot be read matches nobody; another may.
    let unread = match tags.iter().find(|tag| tag.is_err()) {
        Some(Err(refusal)) => refusal.clone(),
        _ => bad(format!("{name} has no v1=<signature>")),
    };
    let tags: Vec<Vec<u8>> = tags.into_iter().flatten().collect();
    if tags.is_empty() {
        return Err(unread);
    }
    let (prefix, timestamp_s) = (format!("{timestamp}."), Some(timestamp_s));
    Ok(Claim { scheme, id: None, timestamp_s, prefix, tags, signatures: Vec::new() })
}

fn github<'a>(headers: &Headers<'a>) -> Result<Claim<'a>, Refusal> {
    let name = Scheme::Github.signature_header();
    let header = need(headers, name)?;
    let text = header.strip_prefix("sha256=");
    let text = text.ok_or_else(|| bad(format!("{name} does not begin with sha256=")))?;
    let tag = hex_tag(name, text)?;
    Ok(of_body(Scheme::Github, tag))
}

fn shopify<'a>(headers: &Headers<'a>) -> Result<Claim<'a>, Refusal> {
    let name = Scheme::Shopify.signature_header();
    let tag = from_base64(need(headers, name)?).filter(|tag| tag.len() == TAG_BYTES);
    let tag = tag.ok_or_else(|| bad(format!("{name} is not the base64 of 32 bytes")))?;
    Ok(of_body(Scheme::Shopify, tag))
}

/// Signed is the body alone.
fn of_body<'a>(scheme: Scheme, tag: Vec<u8>) -> Claim<'a> {
    let (prefix, tags) = (String::new(), vec![tag]);
    Claim { scheme, id: None, timestamp_s: None, prefix, tags, signatures: Vec::new() }
}

fn split<'a>(name: &str, header: &'a str, by: char) -> Result<Vec<&'a str>, Refusal> {
    let parts: Vec<&str> = header.split(by).take(MAX_SIGNATURES + 1).collect();
    if parts.len() > MAX_SIGNATURES {
        return Err(bad(format!("{name} holds more than {MAX_SIGNATURES} parts")));
    }
    Ok(parts)
}

fn hex_tag(name: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    let wrong = || bad(format!("{name} does not hold a signature of 64 hexadecimal digits"));
    if text.len() != 2 * TAG_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let byte = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    bytes.ok_or_else(wrong)
}
