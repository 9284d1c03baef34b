//! The text that a key's holder shows: `{prefix}_{environment}_{43 random}{6 checksum}`.
//!
//! The random part is 256 bits in base62 and the checksum is the CRC-32 of everything before it,
//! so that mistyped and invented tokens are refused without a look at anything, and scanners can
//! tell a leaked token from a lookalike. The only separator is `_`: a double click selects all.

use std::fmt;

use crate::Entropy;

/// The longest token, which is also what bcrypt reads of its input.
pub const MAX_LEN: usize = 72;
/// The longest prefix.
pub const MAX_PREFIX_LEN: usize = 16;
/// The longest name of an environment.
pub const MAX_ENVIRONMENT_LEN: usize = 8;
/// Prefix and environment together: what [`MAX_LEN`] leaves.
pub const MAX_NAMES_LEN: usize = MAX_LEN - SECRET_LEN - 2;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const RANDOM_LEN: usize = 43;
/// 62^6 > 2^32.
const CHECKSUM_LEN: usize = 6;
const SECRET_LEN: usize = RANDOM_LEN + CHECKSUM_LEN;
/// Shown of the random part, so that people recognise a key.
const SHOWN_LEN: usize = 4;
/// RFC 8959: a token may be written as a URI.
const URI_SCHEME: &str = "secret-token:";

/// A token taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The token itself, without the URI scheme: what lookups and hashes are made of.
    pub token: &'a str,
    /// Its keyspace's prefix.
    pub prefix: &'a str,
    /// Its key's environment.
    pub environment: &'a str,
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({}_{}_…)", self.prefix, self.environment)
    }
}

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter or longer than every token.
    #[error("no token has this length")]
    Length,
    /// Not prefix, environment and secret with `_` between them, or in other characters.
    #[error("it does not read prefix_environment_secret")]
    Shape,
    /// Mistyped, cut or invented.
    #[error("the checksum at its end is wrong")]
    Checksum,
}

/// Why a prefix or an environment cannot be part of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShape {
    /// The prefix.
    #[error("a prefix is 1 to {MAX_PREFIX_LEN} of a-z and 0-9, and begins with a letter")]
    Prefix,
    /// The environment.
    #[error("an environment is 1 to {MAX_ENVIRONMENT_LEN} of a-z and 0-9")]
    Environment,
    /// Each is right, but tokens would be too long.
    #[error("prefix and environment have more than {MAX_NAMES_LEN} characters together")]
    TooLong,
}

/// Checks what tokens of a keyspace begin with: once for each of its environments.
///
/// # Errors
/// When tokens could not be made of them.
pub fn check_shape(prefix: &str, environment: &str) -> Result<(), BadShape> {
    let begins_right = prefix.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !begins_right || !is_name(prefix, MAX_PREFIX_LEN) {
        return Err(BadShape::Prefix);
    }
    if !is_name(environment, MAX_ENVIRONMENT_LEN) {
        return Err(BadShape::Environment);
    }
    if prefix.len() + environment.len() > MAX_NAMES_LEN {
        return Err(BadShape::TooLong);
    }
    Ok(())
}

/// A new token of names that [`check_shape`] lets pass.
#[must_use]
pub fn mint(prefix: &str, environment: &str, entropy: &Entropy) -> String {
    let mut token = String::with_capacity(MAX_LEN);
    token.push_str(prefix);
    token.push('_');
    token.push_str(environment);
    token.push('_');
    for _ in 0..RANDOM_LEN {
        token.push(digit(entropy.below(62)));
    }
    let checksum = checksum(token.as_bytes());
    token.extend(checksum.map(char::from));
    token
}

/// Takes a shown text apart, if it can be a token. The cost is bounded whatever is shown, and
/// nothing is allocated.
///
/// # Errors
/// When it is not the text of a token.
pub fn check(text: &str) -> Result<Parts<'_>, Malformed> {
    let token = bare(text);
    if !(SECRET_LEN + 4..=MAX_LEN).contains(&token.len()) {
        return Err(Malformed::Length);
    }
    let (names, secret) = token.rsplit_once('_').ok_or(Malformed::Shape)?;
    let (prefix, environment) = names.split_once('_').ok_or(Malformed::Shape)?;
    let is_secret = secret.len() == SECRET_LEN && secret.bytes().all(|c| c.is_ascii_alphanumeric());
    if !is_secret || check_shape(prefix, environment).is_err() {
        return Err(Malformed::Shape);
    }
    let (covered, shown) = token.as_bytes().split_at(token.len() - CHECKSUM_LEN);
    if checksum(covered) != shown {
        return Err(Malformed::Checksum);
    }
    Ok(Parts { token, prefix, environment })
}

/// The token without the `secret-token:` of RFC 8959.
#[must_use]
pub fn bare(text: &str) -> &str {
    match text.split_at_checked(URI_SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(URI_SCHEME) => token,
        _ => text,
    }
}

/// What may be shown of a token: its names and the first four characters of its secret. Of a text
/// in another format, its first four characters.
#[must_use]
pub fn start(text: &str) -> &str {
    let token = bare(text);
    let secret_at = check(token).map_or(0, |parts| parts.token.len() - SECRET_LEN);
    let end = token[secret_at..].char_indices().nth(SHOWN_LEN);
    end.map_or(token, |(at, _)| &token[..secret_at + at])
}

fn is_name(text: &str, max_len: usize) -> bool {
    (1..=max_len).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// CRC-32 (ISO-HDLC) in base62, most significant digit first.
fn checksum(covered: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(covered);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for place in digits.iter_mut().rev() {
        *place = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

fn digit(value: u64) -> char {
    char::from(ALPHABET[usize::try_from(value % 62).unwrap_or(0)])
}

#[cfg(test)]
mod tests;
