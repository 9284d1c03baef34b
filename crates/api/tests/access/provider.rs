//! A small identity provider: real HTTP on a free port, and signing keys of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use api::auth::oidc::OidcOptions;
use api::serve::{ServeOptions, serve};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::Clock;
use serde_json::{Value, json};
use testkit::access::fetch;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::{Url, form_urlencoded};

pub const CLIENT: &str = "doorbell & co";
pub const SECRET: &str = "a secret: with +signs";
pub const REDIRECT: &str = "https://doorbell.example/api/v1/auth/oidc/callback";
/// What stands before the key itself in the document of one with 2,048 bits.
const RSA_HEAD: usize = 26;

/// How an ID token is made.
#[derive(Clone, Copy, Debug)]
pub enum Make {
    Signed(Algorithm),
    /// `alg: none`, without a signature.
    Unsigned,
    /// HS256, with the public key that everybody can read as the secret.
    PublicSecret,
    /// By a key that the provider did not publish until now.
    NewKey,
}

struct Code {
    challenge: String,
    claims: Value,
    make: Make,
}

pub struct Script {
    keys: Vec<(&'static str, Algorithm, EncodingKey)>,
    published: usize,
    codes: HashMap<String, Code>,
    pub asked_for_keys: u32,
    pub is_down: bool,
}

#[derive(Clone)]
pub struct Provider {
    pub issuer: String,
    script: Arc<Mutex<Script>>,
    _stop: Arc<watch::Sender<bool>>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let keys = keys();
        let script = Script {
            published: keys.len() - 1,
            keys,
            codes: HashMap::new(),
            asked_for_keys: 0,
            is_down: false,
        };
        let (stop, stopping) = watch::channel(false);
        let provider = Self { issuer, script: Arc::new(Mutex::new(script)), _stop: Arc::new(stop) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/keys", get(jwks))
            .route("/token", post(token))
            .with_state(provider.clone());
        let options = ServeOptions {
            max_connections: 100,
            header_timeout_ms: 5_000,
            tls: None,
            drain_ms: 100,
        };
        tokio::spawn(serve(listener, router, options, stopping));
        provider
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no panic inside")
    }

    pub fn options(&self, clock: &Clock) -> OidcOptions {
        OidcOptions {
            issuer: self.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: Some(SECRET.to_owned()),
            redirect_url: REDIRECT.to_owned(),
            email_domains: Vec::new(),
            link_by_email: true,
            default_role: None,
            plain_http: true,
            fetch: fetch(clock),
        }
    }

    /// Somebody logs in at the page that the browser was sent to: where it is sent back to, below
    /// `/api/v1`.
    pub fn log_in(&self, page: &str, clock: &Clock, make: Make, claims: Value) -> String {
        let page = Url::parse(page).expect("a URL");
        let asked: HashMap<String, String> = page.query_pairs().into_owned().collect();
        assert_eq!(page.path(), "/login");
        assert_eq!(asked["realm"], "one", "what the provider's URL has itself");
        assert_eq!((&*asked["response_type"], &*asked["client_id"]), ("code", CLIENT));
        assert_eq!((&*asked["redirect_uri"], &*asked["code_challenge_method"]), (REDIRECT, "S256"));
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
        let now_s = clock.now().seconds();
        let mut all = json!({
            "iss": self.issuer, "aud": CLIENT, "nonce": asked["nonce"], "sub": "ada-at-home",
            "iat": now_s, "exp": now_s + 300, "email": "ada@example.org", "email_verified": true,
            "name": "Ada Lovelace",
        });
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        let code = format!("code-{}", asked["state"]);
        let challenge = asked["code_challenge"].clone();
        self.script().codes.insert(code.clone(), Code { challenge, claims: all, make });
        let mut back = form_urlencoded::Serializer::new(String::new());
        back.append_pair("code", &code).append_pair("state", &asked["state"]);
        back.append_pair("iss", &self.issuer);
        format!("/auth/oidc/callback?{}", back.finish())
    }
}

fn keys() -> Vec<(&'static str, Algorithm, EncodingKey)> {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let rsa: Pkcs8V1Der = rsa.as_der().expect("a document");
    let point = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let (one, two) =
        (Ed25519KeyPair::generate_pkcs8v1(&random), Ed25519KeyPair::generate_pkcs8v1(&random));
    vec![
        ("rsa", Algorithm::RS256, EncodingKey::from_rsa_der(&rsa.as_ref()[RSA_HEAD..])),
        ("point", Algorithm::ES256, EncodingKey::from_ec_der(point.expect("a key").as_ref())),
        ("one", Algorithm::EdDSA, EncodingKey::from_ed_der(one.expect("a key").as_ref())),
        ("two", Algorithm::EdDSA, EncodingKey::from_ed_der(two.expect("a key").as_ref())),
    ]
}

impl Script {
    fn public(&self) -> Vec<Value> {
        let jwk = |(id, algorithm, key): &(&'static str, Algorithm, EncodingKey)| {
            let mut jwk = Jwk::from_encoding_key(key, *algorithm).expect("a public key");
            jwk.common.key_id = Some((*id).to_owned());
            serde_json::to_value(jwk).expect("JSON")
        };
        let mut keys: Vec<Value> = self.keys[..self.published].iter().map(jwk).collect();
        keys.push(json!({"kty": "of the future", "kid": "other"}));
        keys
    }

    fn sign(&mut self, make: Make, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (id, algorithm, key) = match make {
            Make::Unsigned => {
                return format!("{}.{}.", part(&json!({"alg": "none"})), part(claims));
            }
            Make::PublicSecret => {
                let public = self.public()[2]["x"].as_str().expect("a key").to_owned();
                let public = URL_SAFE_NO_PAD.decode(public).expect("base64");
                ("one", Algorithm::HS256, EncodingKey::from_secret(&public))
            }
            Make::NewKey => {
                self.published = self.keys.len();
                self.keys[3].clone()
            }
            Make::Signed(algorithm) => {
                let found = self.keys.iter().find(|(_, known, _)| *known == algorithm);
                found.expect("a key").clone()
            }
        };
        let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &key).expect("a token")
    }
}

async fn document(State(provider): State<Provider>) -> (StatusCode, Json<Value>) {
    let issuer = &provider.issuer;
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/login?realm=one"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
    });
    let is_down = provider.script().is_down;
    (if is_down { StatusCode::BAD_GATEWAY } else { StatusCode::OK }, Json(document))
}

async fn jwks(State(provider): State<Provider>) -> Json<Value> {
    let mut script = provider.script();
    script.asked_for_keys += 1;
    Json(json!({ "keys": script.public() }))
}

/// Takes a code once, from the client itself, with the verifier that belongs to it.
async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let basic = STANDARD.encode("doorbell+%26+co:a+secret%3A+with+%2Bsigns");
    assert_eq!(headers["authorization"], format!("Basic {basic}"));
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!((&*form["grant_type"], &*form["redirect_uri"]), ("authorization_code", REDIRECT));
    let mut script = provider.script();
    let Some(code) = script.codes.remove(&form["code"]) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
    };
    let shown =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(shown), code.challenge);
    let token = script.sign(code.make, &code.claims);
    (StatusCode::OK, Json(json!({"token_type": "Bearer", "access_token": "x", "id_token": token})))
}
