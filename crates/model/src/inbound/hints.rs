//! What probably went wrong, found by trying it: the body as it may have been before somebody
//! touched it, a secret as it is often misread, a secret of somebody else.

use std::borrow::Cow;

use super::claim::Claim;
use super::reformat::{Style, reformat};
use super::{Key, Question};

/// Longer bodies are not tried in other forms.
pub const MAX_HINT_BODY_BYTES: usize = 64 * 1024;
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// One thing that would make the signature right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The signature is that of the body in another form.
    Body(BodyChange),
    /// It was made with the same secret, read as text instead of as base64 or the other way.
    SecretMisread,
    /// It was made with another secret that is known: the place among the others.
    OtherSecret(usize),
    /// The rest is good: the request is late, repeated, or one of the clocks is wrong.
    OnlyTimestamp,
    Milliseconds,
    OnlySha1,
}

/// What the body must have looked like when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyChange {
    NewlineAdded,
    NewlineRemoved,
    /// Lines ended in CR LF.
    LineEndsToLf,
    LineEndsToCrLf,
    MarkAdded,
    FromCompact,
    FromSpaced,
    FromIndented,
    /// There was none.
    Empty,
}

impl BodyChange {
    const ALL: [Self; 9] = [
        Self::NewlineAdded,
        Self::NewlineRemoved,
        Self::LineEndsToLf,
        Self::LineEndsToCrLf,
        Self::MarkAdded,
        Self::FromCompact,
        Self::FromSpaced,
        Self::FromIndented,
        Self::Empty,
    ];

    /// The body before the change; none when it could not have been.
    fn undone(self, body: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::NewlineAdded => {
                let short = body.strip_suffix(b"\n")?;
                Some(short.strip_suffix(b"\r").unwrap_or(short).into())
            }
            Self::NewlineRemoved => Some([body, b"\n"].concat().into()),
            Self::LineEndsToLf => {
                let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
                (lines.len() > 1).then(|| lines.join(&b"\r\n"[..]).into())
            }
            Self::LineEndsToCrLf => {
                let is_cr_lf = |at: usize| body[at..].starts_with(b"\r\n");
                let kept = (0..body.len()).filter(|at| !is_cr_lf(*at)).map(|at| body[at]);
                let kept: Vec<u8> = kept.collect();
                (kept.len() < body.len()).then(|| kept.into())
            }
            Self::MarkAdded => body.strip_prefix(UTF8_MARK).map(Cow::from),
            Self::FromCompact => reformat(body, Style::Compact).map(Cow::from),
            Self::FromSpaced => reformat(body, Style::Spaced).map(Cow::from),
            Self::FromIndented => reformat(body, Style::Indented).map(Cow::from),
            Self::Empty => (!body.is_empty()).then(|| Cow::from(&b""[..])),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NewlineAdded => "without the newline at its end",
            Self::NewlineRemoved => "with a newline at its end",
            Self::LineEndsToLf => "with lines that end in CR LF",
            Self::LineEndsToCrLf => "with lines that end in LF",
            Self::MarkAdded => "without the UTF-8 mark at its beginning",
            Self::FromCompact => "as JSON without whitespace",
            Self::FromSpaced => "as JSON with a space after each comma and colon",
            Self::FromIndented => "as JSON indented by two spaces",
            Self::Empty => "when it is empty",
        }
    }
}

impl Hint {
    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Body(change) => match change {
                BodyChange::NewlineAdded => "body_newline_added",
                BodyChange::NewlineRemoved => "body_newline_removed",
                BodyChange::LineEndsToLf | BodyChange::LineEndsToCrLf => "body_line_ends_changed",
                BodyChange::MarkAdded => "body_mark_added",
                BodyChange::FromCompact | BodyChange::FromSpaced | BodyChange::FromIndented => {
                    "body_reformatted"
                }
                BodyChange::Empty => "body_was_empty",
            },
            Self::SecretMisread => "secret_misread",
            Self::OtherSecret(_) => "other_secret",
            Self::OnlyTimestamp => "only_timestamp",
            Self::Milliseconds => "milliseconds",
            Self::OnlySha1 => "only_sha1",
        }
    }

    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Body(change) => format!(
                "the signature matches the body {}: verify the bytes as they arrived",
                change.text()
            ),
            Self::SecretMisread => "the signature was made with this secret read the wrong way: \
                whsec_ secrets of Standard Webhooks are base64, those of other schemes are text"
                .to_owned(),
            Self::OtherSecret(_) => "the signature matches another secret of yours".to_owned(),
            Self::OnlyTimestamp => "the signature is good: the request was late or sent again, or \
                one of the clocks is wrong"
                .to_owned(),
            Self::Milliseconds => "the timestamp is in milliseconds; seconds are wanted".to_owned(),
            Self::OnlySha1 => {
                "only the SHA-1 signature is there; x-hub-signature-256 is sent when \
                the webhook has a secret"
                    .to_owned()
            }
        }
    }
}

pub(super) fn of_timestamp(
    claim: &Claim<'_>,
    question: &Question<'_>,
    signed_with: Option<usize>,
) -> Vec<Hint> {
    let mut hints = Vec::new();
    let as_millis = claim.timestamp_s.map(|millis| millis.div_euclid(1_000));
    let now = question.now.seconds();
    if as_millis.is_some_and(|seconds| now.abs_diff(seconds) <= question.tolerance_s) {
        hints.push(Hint::Milliseconds);
    }
    if signed_with.is_some() {
        hints.push(Hint::OnlyTimestamp);
    }
    hints
}

/// The first thing that fits, the likeliest first.
pub(super) fn look(claim: &Claim<'_>, body: &[u8], keys: &[Key], others: &[Key]) -> Vec<Hint> {
    if keys.iter().any(|key| key.is_misread(&claim.prefix, body, &claim.tags)) {
        return vec![Hint::SecretMisread];
    }
    if body.len() > MAX_HINT_BODY_BYTES {
        return Vec::new();
    }
    if let Some(other) = others.iter().position(|key| claim.seems_of(key, body)) {
        return vec![Hint::OtherSecret(other)];
    }
    let fits = |change: &BodyChange| {
        let before = change.undone(body);
        before.is_some_and(|before| keys.iter().any(|key| claim.seems_of(key, &before)))
    };
    BodyChange::ALL.into_iter().find(fits).map(Hint::Body).into_iter().collect()
}

/// Which layer the hints speak of.
pub(super) fn blame(hints: &[Hint]) -> (super::Layer, &'static str) {
    match hints.first() {
        Some(Hint::Body(_)) => {
            (super::Layer::Body, "the body is not, byte for byte, the one that was signed")
        }
        Some(Hint::SecretMisread | Hint::OtherSecret(_)) => {
            (super::Layer::Secret, "it was not signed with the secret that was given")
        }
        _ => (
            super::Layer::Signature,
            "no signature matches: the secret differs, or the id, the timestamp or the body was \
            changed",
        ),
    }
}
