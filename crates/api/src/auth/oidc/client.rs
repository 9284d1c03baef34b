//! Asking the provider: its documents, which are remembered, and the ID token for a code.

use axum::http::{Method, Request, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::oidc::id_token::{self, BadIdToken, Expected, Person, ProviderKeys};
use model::oidc::{Login, Provider};
use model::{Clock, Timestamp};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::OidcOptions;

/// How long the provider's documents are believed.
const FRESH_MS: u64 = 60 * 60 * 1_000;
/// A token with a key that we do not know has us ask for the keys again, but no more often.
const KEYS_AGAIN_MS: u64 = 30 * 1_000;
/// While the provider does not answer, nobody waits for it again so soon.
const FAILED_MS: u64 = 5 * 1_000;
const FORM: &str = "application/x-www-form-urlencoded";

/// Why there is nobody to log in.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the provider does not answer as it should: {0}")]
    Provider(String),
    #[error("the provider does not take the code: {0}")]
    Code(StatusCode),
    #[error("the ID token is not good: {0}")]
    Token(#[from] BadIdToken),
}

#[derive(Debug)]
pub(super) struct Client {
    options: OidcOptions,
    /// One at a time asks for the documents; the others wait for what it gets.
    known: Mutex<Known>,
}

/// What is known of the provider, and since when.
#[derive(Debug, Default)]
struct Known {
    documents: Option<(Provider, ProviderKeys)>,
    at: Timestamp,
    failed_at: Option<Timestamp>,
}

impl Client {
    pub fn new(options: &OidcOptions) -> Self {
        Self { options: options.clone(), known: Mutex::default() }
    }

    /// # Errors
    /// When its document is not remembered and cannot be had.
    pub async fn provider(&self, clock: &Clock) -> Result<Provider, AskError> {
        Ok(self.documents(clock, FRESH_MS).await?.0)
    }

    /// Whom the provider names for a code that a browser brought.
    ///
    /// # Errors
    /// When it names nobody, or cannot be asked.
    pub async fn person(
        &self,
        code: &str,
        login: &Login,
        clock: &Clock,
    ) -> Result<Person, AskError> {
        let (provider, keys) = self.documents(clock, FRESH_MS).await?;
        let token = self.id_token(&provider, code, login).await?;
        let OidcOptions { issuer, client_id, .. } = &self.options;
        let expected = Expected { issuer, client_id, nonce: &login.nonce };
        match id_token::check(&token, &keys, &expected, clock.now()) {
            Err(BadIdToken::UnknownKey) => {
                let (_, keys) = self.documents(clock, KEYS_AGAIN_MS).await?;
                Ok(id_token::check(&token, &keys, &expected, clock.now())?)
            }
            checked => Ok(checked?),
        }
    }

    /// What is remembered, if it is not older than this.
    async fn documents(
        &self,
        clock: &Clock,
        max_age_ms: u64,
    ) -> Result<(Provider, ProviderKeys), AskError> {
        let mut known = self.known.lock().await;
        let now = clock.now();
        if let Some(documents) = &known.documents
            && now.since_ms(known.at) < max_age_ms
        {
            return Ok(documents.clone());
        }
        if known.failed_at.is_some_and(|at| now.since_ms(at) < FAILED_MS) {
            return Err(AskError::Provider("it did not a moment ago".to_owned()));
        }
        match self.ask_for_documents().await {
            Ok(documents) => {
                let newer = Known { documents: Some(documents), at: now, failed_at: None };
                *known = newer;
                known.documents.clone().ok_or_else(|| AskError::Provider(String::new()))
            }
            Err(why) => {
                known.failed_at = Some(clock.now());
                Err(AskError::Provider(why))
            }
        }
    }

    async fn ask_for_documents(&self) -> Result<(Provider, ProviderKeys), String> {
        let OidcOptions { issuer, plain_http, .. } = &self.options;
        let document = self.get(&Provider::document_url(issuer)).await?;
        let provider = Provider::read(&document, issuer, *plain_http);
        let provider = provider.map_err(|why| format!("its discovery document: {why}"))?;
        let keys = self.get(&provider.jwks_uri).await?;
        let keys = ProviderKeys::read(&keys).ok_or("its keys are no JWKS")?;
        Ok((provider, keys))
    }

    async fn get(&self, url: &str) -> Result<Bytes, String> {
        let request = Request::get(url).header(header::ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(|error| format!("{url}: {error}"))?;
        let response = self.options.fetch.send(request).await;
        let response = response.map_err(|why| format!("{url}: {why}"))?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(format!("{url} answered {status}")),
        }
    }

    async fn id_token(
        &self,
        provider: &Provider,
        code: &str,
        login: &Login,
    ) -> Result<String, AskError> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        let request = self.code_request(provider, code, login).map_err(AskError::Provider)?;
        let response: Response<Bytes> =
            self.options.fetch.send(request).await.map_err(AskError::Provider)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_client_error() => return Err(AskError::Code(status)),
            status => return Err(AskError::Provider(format!("its tokens: {status}"))),
        }
        let tokens: Result<Tokens, _> = serde_json::from_slice(response.body());
        let unreadable = |error| AskError::Provider(format!("its tokens: {error}"));
        Ok(tokens.map_err(unreadable)?.id_token)
    }

    fn code_request(
        &self,
        provider: &Provider,
        code: &str,
        login: &Login,
    ) -> Result<Request<Bytes>, String> {
        let OidcOptions { client_id, client_secret, redirect_url, .. } = &self.options;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_url)
            .append_pair("code_verifier", &login.verifier);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&provider.token_endpoint)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, FORM);
        match client_secret {
            Some(secret) if !provider.wants_secret_in_body() => {
                request = request.header(header::AUTHORIZATION, basic(client_id, secret));
            }
            secret => {
                form.append_pair("client_id", client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret);
                }
            }
        }
        request.body(Bytes::from(form.finish())).map_err(|error| error.to_string())
    }
}

/// Both are escaped first, as RFC 6749 §2.3.1 has it.
fn basic(client_id: &str, secret: &str) -> String {
    let escaped = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", escaped(client_id), escaped(secret));
    format!("Basic {}", STANDARD.encode(pair))
}
