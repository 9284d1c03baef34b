//! What the browser carries from the start of a login to its return: the login's secrets, sealed.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::oidc::{LOGIN_MS, Login};

use super::Oidc;
use crate::problem::{Code, Problem, Result};

const NAME: &str = "doorbell_login";
/// Names for what it is sealed.
const CONTEXT: &str = "oidc login";
const MAX_BYTES: usize = 1_024;

impl Oidc {
    /// The header that gives the browser a login.
    pub(super) fn give(&self, login: &Login) -> Result<HeaderValue> {
        let text = serde_json::to_vec(login).ok();
        let sealed = text.and_then(|text| self.seal.seal(CONTEXT, &text).ok());
        let value = sealed.map(|sealed| URL_SAFE_NO_PAD.encode(sealed));
        let cookie = value.and_then(|value| self.cookie(&value, LOGIN_MS / 1_000));
        cookie.ok_or_else(|| Problem::new(Code::Internal, "The login was not sealed."))
    }

    /// The header that takes it back.
    pub(super) fn take_back(&self) -> Option<HeaderValue> {
        self.cookie("", 0)
    }

    /// `Lax`: the browser shows it when the provider sends it back, and to no page of another
    /// site besides.
    fn cookie(&self, value: &str, seconds: u64) -> Option<HeaderValue> {
        let secure = if self.options.redirect_url.starts_with("https:") { "; Secure" } else { "" };
        let text =
            format!("{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).ok()
    }

    /// The login that the browser carries, if it is one of ours.
    pub(super) fn carried(&self, headers: &HeaderMap) -> Option<Login> {
        let lines = headers.get_all(header::COOKIE).iter();
        let mut cookies = lines.filter_map(|line| line.to_str().ok()).flat_map(|l| l.split(';'));
        let value =
            cookies.find_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='))?;
        if value.len() > MAX_BYTES {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let text = self.seal.open(CONTEXT, &sealed).ok()?;
        serde_json::from_slice(&text).ok()
    }
}
