use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::id_token::{BadIdToken, Expected, MAX_SKEW_S, ProviderKeys, check};
use super::*;

const ISSUER: &str = "https://id.example";
const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct Signer {
    private: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
        let document = document.unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self {
            private: EncodingKey::from_ed_der(document.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one"})
    }

    fn sign(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.kid = Some("one".to_owned());
        let now_s = NOW.seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": "us", "sub": "ada", "nonce": "n", "iat": now_s,
            "exp": now_s + 300, "email": "ada@example.org", "email_verified": true,
        });
        change(&mut claims);
        jsonwebtoken::encode(&header, &claims, &self.private).unwrap()
    }
}

fn keys(jwks: &[Value]) -> ProviderKeys {
    ProviderKeys::read(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

fn judge(token: &str, keys: &ProviderKeys) -> Result<id_token::Person, BadIdToken> {
    check(token, keys, &Expected { issuer: ISSUER, client_id: "us", nonce: "n" }, NOW)
}

#[test]
fn every_claim_counts() {
    let signer = Signer::new();
    let keys = keys(&[json!({"kty": "unheard of"}), signer.jwk()]);
    let with = |name: &'static str, value: Value| {
        judge(&signer.sign(|claims| claims[name] = value), &keys).map(|person| person.subject)
    };
    assert_eq!(with("more", json!(1)), Ok("ada".to_owned()));
    assert_eq!(with("aud", json!(["us"])), Ok("ada".to_owned()));
    assert_eq!(with("azp", json!("us")), Ok("ada".to_owned()));
    let now_s = NOW.seconds();
    assert_eq!(with("exp", json!(now_s - MAX_SKEW_S + 1)), Ok("ada".to_owned()));
    for (name, value, why) in [
        ("iss", json!("https://id.example/"), BadIdToken::Refused),
        ("aud", json!("them"), BadIdToken::Refused),
        ("aud", json!([]), BadIdToken::Refused),
        ("aud", json!(["us", "them"]), BadIdToken::OtherParty),
        ("azp", json!("them"), BadIdToken::OtherParty),
        ("nonce", json!("m"), BadIdToken::Nonce),
        ("nonce", Value::Null, BadIdToken::Nonce),
        ("exp", json!(now_s - MAX_SKEW_S), BadIdToken::Time),
        ("exp", json!("never"), BadIdToken::Refused),
        ("iat", json!(now_s + MAX_SKEW_S + 1), BadIdToken::Time),
        ("nbf", json!(now_s + MAX_SKEW_S + 1), BadIdToken::Time),
        ("sub", json!(""), BadIdToken::Subject),
        ("sub", json!("x".repeat(256)), BadIdToken::Subject),
    ] {
        assert_eq!(with(name, value.clone()), Err(why), "{name} {value}");
    }
}

#[test]
fn only_known_keys_and_algorithms_are_taken() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let good = signer.sign(|_| ());
    let ours = keys(&[signer.jwk()]);
    assert!(judge(&good, &ours).is_ok());
    assert_eq!(judge(&stranger.sign(|_| ()), &ours), Err(BadIdToken::Refused));
    let mut other = signer.jwk();
    other["kid"] = json!("two");
    assert_eq!(judge(&good, &keys(&[other])), Err(BadIdToken::UnknownKey));
    for (name, value) in [("use", "enc"), ("alg", "RS256"), ("crv", "X25519"), ("kty", "oct")] {
        let mut unfit = signer.jwk();
        unfit[name] = json!(value);
        assert_eq!(judge(&good, &keys(&[unfit])), Err(BadIdToken::UnknownKey), "{name}");
    }
    // The public key as the secret of a MAC, and no signature at all.
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let claims: Value = json!({"iss": ISSUER, "aud": "us", "sub": "ada"});
    let secret = EncodingKey::from_secret(&signer.public);
    let forged = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    assert_eq!(judge(&forged, &ours), Err(BadIdToken::Algorithm));
    let body = good.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    assert_eq!(judge(&format!("{none}.{body}."), &ours), Err(BadIdToken::Algorithm));
    assert_eq!(judge("", &ours), Err(BadIdToken::Malformed));
    assert_eq!(judge(&"A".repeat(20_000), &ours), Err(BadIdToken::Malformed));
}

#[test]
fn an_address_is_verified_only_when_the_provider_says_so() {
    let signer = Signer::new();
    let keys = keys(&[signer.jwk()]);
    for (said, verified) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(1), false),
        (Value::Null, false),
    ] {
        let token = signer.sign(|claims| claims["email_verified"] = said.clone());
        assert_eq!(judge(&token, &keys).unwrap().email_verified, verified, "{said}");
    }
}

#[test]
fn a_discovery_document_is_of_its_issuer_and_names_safe_places() {
    let document = |issuer: &str, scheme: &str| {
        json!({
            "issuer": issuer,
            "authorization_endpoint": "https://id.example/auth?realm=a",
            "token_endpoint": format!("{scheme}://id.example/token"),
            "jwks_uri": "https://id.example/keys",
        })
        .to_string()
    };
    let read = |text: &str, plain| Provider::read(text.as_bytes(), ISSUER, plain);
    assert!(read(&document(ISSUER, "https"), false).is_ok());
    assert!(read(&document(ISSUER, "http"), true).is_ok());
    assert!(matches!(read(&document(ISSUER, "http"), false), Err(BadProvider::NotHttps(_))));
    assert!(matches!(read(&document(ISSUER, "file"), true), Err(BadProvider::NotHttps(_))));
    let other = read(&document("https://evil.example", "https"), false);
    assert_eq!(other, Err(BadProvider::OtherIssuer("https://evil.example".to_owned())));
    assert!(matches!(read("{}", false), Err(BadProvider::Unreadable(_))));
    let url = Provider::document_url("https://id.example/realms/a/");
    assert_eq!(url, "https://id.example/realms/a/.well-known/openid-configuration");
}

#[test]
fn the_challenge_is_the_one_of_rfc_7636() {
    let login = Login {
        verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
        ..Login::begin(NOW, &Entropy::seeded(1))
    };
    assert_eq!(login.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let other = Login::begin(NOW, &Entropy::seeded(2));
    assert_ne!(login.state, other.state);
    assert!(!format!("{login:?}").contains(&login.state));
}
