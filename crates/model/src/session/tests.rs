//! Tokens as attackers make them. The attacker knows the public key and a good token.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::Entropy;

const NOW: Timestamp = Timestamp(1_795_508_812_345);
const ROOT: [u8; ROOT_LEN] = [5; ROOT_LEN];

fn keys() -> SessionKeys {
    SessionKeys::new(&ROOT).unwrap()
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&derive(&ROOT, "session signing")).unwrap()
}

fn sid() -> SessionId {
    SessionId::new(NOW, &Entropy::seeded(1))
}

fn good() -> String {
    keys().sign_short(sid(), "user_x", NOW, NOW.plus_ms(MAX_TOKEN_LIFE_MS)).unwrap()
}

fn part(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

fn claims() -> Value {
    serde_json::to_value(keys().check(&good(), NOW).unwrap()).unwrap()
}

fn header() -> String {
    let text = good().split('.').next().unwrap().to_owned();
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// Signed with the real key, whatever it says: only the form is wrong.
fn signed(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(pair().sign(message.as_bytes()).as_ref());
    format!("{message}.{signature}")
}

fn refused(token: &str) -> bool {
    keys().check(token, NOW).is_err()
}

#[test]
fn a_good_token_says_what_was_signed() {
    let claims = keys().check(&good(), NOW).unwrap();
    assert_eq!((claims.sid, claims.sub.as_str()), (sid(), "user_x"));
    assert!(!refused(&signed(&header(), &self::claims().to_string())));
}

#[test]
fn a_token_has_its_time() {
    let (keys, token) = (keys(), good());
    assert!(keys.check(&token, NOW.plus_ms(SESSION_TOKEN_MS - 1_000)).is_ok());
    assert!(keys.check(&token, NOW.plus_ms(SESSION_TOKEN_MS)).is_err());
    assert!(keys.check(&token, Timestamp(NOW.0 - 4_000)).is_ok());
    assert!(keys.check(&token, Timestamp(NOW.0 - 60_000)).is_err());
    let ends = NOW.plus_ms(1_000);
    let short = keys.sign_short(sid(), "user_x", NOW, ends).unwrap();
    assert!(keys.check(&short, ends).is_err(), "it does not outlive its session");
}

#[test]
fn no_other_header_is_obeyed() {
    let claims = claims().to_string();
    let kid = serde_json::from_str::<Value>(&header()).unwrap()["kid"].clone();
    let with = |change: Value| {
        let mut header: Value = serde_json::from_str(&header()).unwrap();
        let fields = header.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        header.to_string()
    };
    let headers = [
        with(json!({"alg": "none"})),
        with(json!({"alg": "None"})),
        with(json!({"alg": "HS256"})),
        with(json!({"alg": "ES256"})),
        with(json!({"alg": "RS256"})),
        with(json!({"typ": "JWT"})),
        with(json!({"kid": "../../etc/passwd"})),
        with(json!({"kid": "x' or 1=1 --"})),
        with(json!({"jku": "https://evil.example/keys"})),
        with(json!({"x5u": "https://evil.example/chain"})),
        with(json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}})),
        with(json!({"crit": ["b64"], "b64": false})),
        with(json!({"crit": []})),
        with(json!({"zip": "DEF"})),
        format!(r#"{{"typ":"{TYPE}","alg":"EdDSA","kid":"other","kid":{kid}}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"{TYPE}","kid":{kid}}}"#),
        header().replace(',', ", "),
        "{}".to_owned(),
        String::new(),
    ];
    for header in headers {
        assert!(refused(&signed(&header, &claims)), "{header}");
    }
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let pair = pair();
    let public = pair.public_key().as_ref();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n", STANDARD.encode(public));
    for secret in [public, pem.as_bytes()] {
        for header in [header(), header().replace("EdDSA", "HS256")] {
            let message = format!("{}.{}", part(&header), part(&claims().to_string()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()).as_ref());
            assert!(refused(&format!("{message}.{mac}")));
        }
    }
}

#[test]
fn signatures_are_ours_and_whole() {
    let token = good();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let zero = URL_SAFE_NO_PAD.encode([0; 64]);
    let other = SessionKeys::new(&[6; ROOT_LEN]).unwrap();
    let foreign = other.sign_short(sid(), "user_x", NOW, NOW.plus_ms(1_000_000)).unwrap();
    let foreign_signature = foreign.rsplit_once('.').unwrap().1;
    for bad in [
        message.to_owned(),
        format!("{message}."),
        format!("{message}.{zero}"),
        format!("{message}.{foreign_signature}"),
        format!("{message}.{signature}="),
        format!("{message}.{signature}A"),
        format!("{message}.{}", &signature[1..]),
        format!("{message}.{signature}.{signature}"),
        format!(" {token}"),
        format!("{token}\n"),
        foreign,
    ] {
        assert!(refused(&bad), "{bad}");
    }
    // Any one character changed, the last one's unused bits included.
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(refused(&String::from_utf8(changed).unwrap()), "character {at}");
    }
}

#[test]
fn claims_must_be_all_there_and_ours() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims.to_string()
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims.to_string()
    };
    let twice = claims().to_string().replacen('{', r#"{"sid":"sess_other","#, 1);
    let far = NOW.0 / 1_000 + 10 * 365 * 86_400;
    let bad = [
        with("aud", json!("somebody-else")),
        with("aud", json!(["doorbell-api", "somebody-else"])),
        with("iss", json!("https://evil.example")),
        with("exp", json!(far)),
        with("exp", json!(i64::MAX)),
        with("exp", json!("never")),
        with("exp", json!(1.0e300)),
        with("exp", json!(NOW.0 / 1_000)),
        with("nbf", json!(NOW.0 / 1_000 + 60)),
        with("iat", json!(NOW.0 / 1_000 + 60)),
        with("iat", json!(i64::MIN)),
        with("sid", json!("sess_short")),
        with("role", json!("owner")),
        without("exp"),
        without("nbf"),
        without("iat"),
        without("sid"),
        without("sub"),
        without("aud"),
        without("iss"),
        twice,
        "null".to_owned(),
        "[]".to_owned(),
    ];
    for claims in bad {
        assert!(refused(&signed(&header(), &claims)), "{claims}");
    }
}

#[test]
fn a_large_token_is_refused_unread() {
    let mut claims = claims();
    claims["sub"] = json!("x".repeat(MAX_TOKEN_BYTES));
    assert!(refused(&signed(&header(), &claims.to_string())));
    assert!(refused(&"x".repeat(10_000_000)));
}

#[test]
fn a_refresh_token_opens_only_unchanged() {
    let keys = keys();
    let token = keys.refresh_token(sid(), 7);
    assert_eq!(keys.open_refresh(&token), Ok((sid(), 7)));
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(keys.open_refresh(&String::from_utf8(changed).unwrap()).is_err(), "{at}");
    }
    assert!(SessionKeys::new(&[6; ROOT_LEN]).unwrap().open_refresh(&token).is_err());
    for bad in ["", "dblr_", "dblr_AAAA", &good(), &token[1..]] {
        assert!(keys.open_refresh(bad).is_err(), "{bad}");
    }
}
