use std::fmt;

use ipnet::IpNet;
use model::access::Role;

use super::delivery::networks;
use super::format::{Format, list, url, whole, word, yes_or_no};
use super::setting::section;

const MIN_TOKEN_CHARACTERS: usize = 16;
const MAX_PER_MINUTE: u64 = 1_000_000_000;

section! {
    /// Who may call the API, and how often.
    Auth = "auth" {
        /// The first admin token, instead of a generated one. Has no flag: a command line is no place for a secret.
        admin_token: Option<Secret> = "", "DOORBELL_ADMIN_TOKEN", token().optional();
        /// Proxies in front of this server, and those that ask it about keys: what they say of their clients' addresses is believed, and only to them identities are signed.
        trusted_proxies: Vec<IpNet> = "", "DOORBELL_TRUSTED_PROXIES", networks();
        /// Requests of one token per minute; 0: no limit.
        requests_per_token: u64 = "6000000", "DOORBELL_REQUESTS_PER_TOKEN", whole(0..=MAX_PER_MINUTE);
        /// Requests from one address per minute; 0: no limit.
        requests_per_address: u64 = "6000000", "DOORBELL_REQUESTS_PER_ADDRESS", whole(0..=MAX_PER_MINUTE);
        /// Requests from one address per minute whose token is refused or lacks a permission; 0: no limit.
        refusals_per_address: u64 = "600", "DOORBELL_REFUSALS_PER_ADDRESS", whole(0..=MAX_PER_MINUTE);
        /// Messages published into one application per minute; 0: no limit.
        messages_per_app: u64 = "6000000", "DOORBELL_MESSAGES_PER_APP", whole(0..=MAX_PER_MINUTE);
    }
}

section! {
    /// Logging in at an identity provider (OpenID Connect). Without an issuer there is none.
    Oidc = "oidc" {
        /// The provider's issuer, letter by letter as its own documents have it; empty: no provider.
        issuer: Option<String> = "", "DOORBELL_OIDC_ISSUER", issuer().optional();
        /// The id that the provider knows this server by.
        client_id: Option<String> = "", "DOORBELL_OIDC_CLIENT_ID", text().optional();
        /// The secret that belongs to the id; empty: none, the flow is protected by PKCE alone. Has no flag: a command line is no place for a secret.
        client_secret: Option<Secret> = "", "DOORBELL_OIDC_CLIENT_SECRET", secret().optional();
        /// Where the provider sends browsers back to; empty: /api/v1/auth/oidc/callback below the public URL.
        redirect_url: Option<String> = "", "DOORBELL_OIDC_REDIRECT_URL", url(&["https://", "http://"]).optional();
        /// Domains that verified addresses of users must be of; empty: any.
        email_domains: Vec<String> = "", "DOORBELL_OIDC_EMAIL_DOMAINS", domains();
        /// Whether an existing user is found by a verified address the first time. Only for a provider that verifies addresses itself.
        link_by_email: bool = "false", "DOORBELL_OIDC_LINK_BY_EMAIL", yes_or_no();
        /// The role on the instance of users that are made at their first login; empty: none are made.
        default_role: Option<Role> = "", "DOORBELL_OIDC_DEFAULT_ROLE", role().optional();
        /// Whether the provider may be asked without TLS.
        plain_http: bool = "false", "DOORBELL_OIDC_PLAIN_HTTP", yes_or_no();
    }
}

impl Oidc {
    /// Where the provider sends browsers back to.
    pub fn redirect_url(&self, public_url: Option<&str>) -> String {
        let below = |base: &str| format!("{base}/api/v1/auth/oidc/callback");
        self.redirect_url.clone().unwrap_or_else(|| below(public_url.unwrap_or_default()))
    }
}

fn issuer() -> Format<String> {
    url(&["https://", "http://"])
}

fn text() -> Format<String> {
    Format::new("a text", |text| Ok(text.to_owned()))
}

fn secret() -> Format<Secret> {
    text().then(|text| Ok(Secret(text))).secret()
}

fn domains() -> Format<Vec<String>> {
    list("domains with a comma between", |text| match text.contains(['@', ' ', '/']) {
        true => Err("is no domain".to_owned()),
        false => Ok(text.to_lowercase()),
    })
}

fn role() -> Format<Role> {
    word(&[
        ("owner", Role::Owner),
        ("admin", Role::Admin),
        ("developer", Role::Developer),
        ("viewer", Role::Viewer),
        ("publisher", Role::Publisher),
    ])
}

/// A text that debug output does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn token() -> Format<Secret> {
    let format =
        Format::new(format!("at least {MIN_TOKEN_CHARACTERS} visible ASCII characters"), |text| {
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("has a character that a request header cannot carry".to_owned());
            }
            match text.len() {
                MIN_TOKEN_CHARACTERS.. => Ok(Secret(text.to_owned())),
                length => Err(format!("has only {length} characters")),
            }
        });
    format.secret()
}
