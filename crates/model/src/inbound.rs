//! Webhooks that somebody else received: is the signature good, and if not, what is wrong?
//!
//! Whoever asks hands over the headers and the body as they arrived, and the secrets that are
//! believed to be right ([`Key`]). The headers become a [`claim::Claim`], the same for every
//! [`Scheme`]: what was signed besides the body, and with which signatures. [`Question::judge`]
//! then looks at one layer after the other (header, format, timestamp, secret, signature) and
//! stops at the first that fails. When no signature matches, [`hints`] tries what usually went
//! wrong on the way: a body that was formatted anew, a secret that was read the wrong way or that
//! belongs to somebody else.
//!
//! What must always hold: signatures are compared in constant time; a hint never makes a
//! signature good; and whatever arrives, no more is computed than the named maxima allow.

mod claim;
mod hints;
mod key;
mod reformat;
mod sign;

use std::str::FromStr;

use crate::Timestamp;
use claim::Claim;
pub use hints::{BodyChange, Hint, MAX_HINT_BODY_BYTES};
pub use key::{BadKey, Key};
pub use sign::{CannotSign, ToSign};

/// Secrets that one request may be verified with.
pub const MAX_KEYS: usize = 16;
/// Others that are tried to say what went wrong.
pub const MAX_OTHER_KEYS: usize = 100;
/// Signatures that one header may hold.
pub const MAX_SIGNATURES: usize = 16;
pub const MAX_TOLERANCE_S: u64 = 7 * 24 * 60 * 60;
/// Requests without a timestamp are remembered for this long.
pub const DEFAULT_TOLERANCE_S: u64 = crate::signature::TOLERANCE_S;

/// How a sender signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Webhook,
    /// The same in headers that begin with `svix-`.
    Svix,
    /// `stripe-signature: t=…,v1=…`.
    Stripe,
    /// `x-hub-signature-256: sha256=…` over the body alone.
    Github,
    /// `x-shopify-hmac-sha256`, base64, over the body alone.
    Shopify,
}

impl Scheme {
    pub const ALL: [Self; 5] =
        [Self::Webhook, Self::Svix, Self::Stripe, Self::Github, Self::Shopify];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Svix => "svix",
            Self::Stripe => "stripe",
            Self::Github => "github",
            Self::Shopify => "shopify",
        }
    }

    #[must_use]
    pub const fn signature_header(self) -> &'static str {
        match self {
            Self::Webhook => "webhook-signature",
            Self::Svix => "svix-signature",
            Self::Stripe => "stripe-signature",
            Self::Github => "x-hub-signature-256",
            Self::Shopify => "x-shopify-hmac-sha256",
        }
    }

    /// Whether the key is the bytes that the secret is the base64 of, or its text.
    #[must_use]
    pub const fn has_encoded_secrets(self) -> bool {
        matches!(self, Self::Webhook | Self::Svix)
    }

    /// The scheme whose signature is among the headers.
    #[must_use]
    pub fn of(headers: &Headers<'_>) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| headers.get(scheme.signature_header()).is_some())
    }
}

impl FromStr for Scheme {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.as_str() == text);
        found.ok_or("one of webhook, svix, stripe, github, shopify is wanted")
    }
}

/// Headers as they arrived; names in any case.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a>(Vec<(&'a str, &'a str)>);

impl<'a> FromIterator<(&'a str, &'a str)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.trim(), value.trim())).collect())
    }
}

impl<'a> Headers<'a> {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// Where a verification stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A header that the scheme needs is missing.
    Header,
    /// A header cannot be read.
    Format,
    /// Too old, or of the future.
    Timestamp,
    /// It was signed with another secret, or there is none that could have been used.
    Secret,
    /// The body is not the one that was signed.
    Body,
    /// Nothing matches: the secret differs, or something was changed on the way.
    Signature,
    /// It is good, and was accepted before.
    Replay,
}

impl Layer {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Format => "format",
            Self::Timestamp => "timestamp",
            Self::Secret => "secret",
            Self::Body => "body",
            Self::Signature => "signature",
            Self::Replay => "replay",
        }
    }
}

/// A request whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub scheme: Scheme,
    /// What a repetition is known by: the sender's id of the event or, where none is signed, the
    /// hash of what is.
    pub id: String,
    pub timestamp_s: Option<i64>,
    /// Which of the keys it was signed with.
    pub key: usize,
    /// Until when it must be remembered for a repetition to be noticed; after that its timestamp
    /// is too old.
    pub remember_until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub scheme: Option<Scheme>,
    pub layer: Layer,
    pub detail: String,
    pub hints: Vec<Hint>,
}

/// A request as it arrived, and what it is judged with.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// None: the one whose header is there.
    pub scheme: Option<Scheme>,
    pub headers: &'a Headers<'a>,
    pub body: &'a [u8],
    pub tolerance_s: u64,
    pub now: Timestamp,
}

impl Question<'_> {
    /// `keys` may have signed it; `others` are only looked at to say what went wrong.
    pub fn judge(&self, keys: &[Key], others: &[Key]) -> Result<Accepted, Rejected> {
        let Some(scheme) = self.scheme.or_else(|| Scheme::of(self.headers)) else {
            return Err(self.without_signature());
        };
        let reject = |layer, detail: String, hints| {
            Err(Rejected { scheme: Some(scheme), layer, detail, hints })
        };
        let claim = match Claim::read(scheme, self.headers) {
            Ok(claim) => claim,
            Err((layer, detail)) => return reject(layer, detail, Vec::new()),
        };
        let signed_with = keys.iter().position(|key| claim.is_of(key, self.body));
        if let Some(off_by_s) = self.outside_tolerance(&claim) {
            let detail = format!(
                "the timestamp is {off_by_s} s {} the clock; at most {} s are accepted",
                if self.is_late(&claim) { "behind" } else { "ahead of" },
                self.tolerance_s
            );
            let hints = hints::of_timestamp(&claim, self, signed_with);
            return reject(Layer::Timestamp, detail, hints);
        }
        if let Some(key) = signed_with {
            return Ok(self.accepted(scheme, &claim, key));
        }
        if !keys.iter().any(|key| claim.could_be_of(key)) {
            return reject(Layer::Secret, claim.lacks(keys), Vec::new());
        }
        let hints =
            hints::look(&claim, self.body, keys, &others[..others.len().min(MAX_OTHER_KEYS)]);
        let (layer, detail) = hints::blame(&hints);
        reject(layer, detail.to_owned(), hints)
    }

    fn accepted(&self, scheme: Scheme, claim: &Claim<'_>, key: usize) -> Accepted {
        let from =
            claim.timestamp_s.map_or(self.now, |seconds| Timestamp(seconds.saturating_mul(1_000)));
        Accepted {
            scheme,
            timestamp_s: claim.timestamp_s,
            key,
            // The last second in which it is accepted is remembered to its end.
            remember_until: from.plus_ms((self.tolerance_s + 1) * 1_000),
            id: claim.known_by(self.body),
        }
    }

    fn outside_tolerance(&self, claim: &Claim<'_>) -> Option<u64> {
        let off_by_s = self.now.seconds().abs_diff(claim.timestamp_s?);
        (off_by_s > self.tolerance_s).then_some(off_by_s)
    }

    fn is_late(&self, claim: &Claim<'_>) -> bool {
        claim.timestamp_s.is_some_and(|seconds| seconds < self.now.seconds())
    }

    fn without_signature(&self) -> Rejected {
        let sha1 = self.headers.get("x-hub-signature").is_some();
        let names = Scheme::ALL.map(Scheme::signature_header).join(", ");
        Rejected {
            scheme: None,
            layer: Layer::Header,
            detail: format!("no header with a signature is there; one of {names} is wanted"),
            hints: if sha1 { vec![Hint::OnlySha1] } else { Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests;
