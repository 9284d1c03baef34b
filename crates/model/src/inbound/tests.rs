use proptest::prelude::*;

use super::reformat::{Style, reformat};
use super::*;

/// The published vector of the Standard Webhooks libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SENT_S: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// The published Ed25519 vector over the same.
const PUBLIC_KEY: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ED25519: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

/// The published vector of Stripe's own libraries.
const STRIPE_SECRET: &str = "webhook_secret";
const STRIPE_HEADER: &str = "t=1533204620,\
    v1=2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7,\
    v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef";
const STRIPE_BODY: &[u8] = br#"{
  "id": "evt_123",
  "object": "event",
  "account": "acct_123",
  "api_version": "2017-05-25",
  "created": 1533204620,
  "data": {
    "object": {
      "id": "cus_123",
      "object": "customer",
      "created": 123456789,
      "email": "test@stripe.com",
      "livemode": false,
      "metadata": {}
    }
  },
  "livemode": false,
  "pending_webhooks": 1,
  "request": {
    "id": "req_123",
    "idempotency_key": "idempotency-key-123"
  },
  "type": "customer.created"
}
"#;

/// The vector in GitHub's documentation.
const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const GITHUB_HEADER: &str =
    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const GITHUB_BODY: &[u8] = b"Hello, World!";

/// Computed with `openssl dgst -sha256 -hmac hush -binary | base64`.
const SHOPIFY_HEADER: &str = "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I=";
const SHOPIFY_BODY: &[u8] = br#"{"id":820982911946154508}"#;

const fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

fn standard<'a>(signature: &'a str, timestamp: &'a str) -> Headers<'a> {
    [("Webhook-Id", ID), ("Webhook-Timestamp", timestamp), ("Webhook-Signature", signature)]
        .into_iter()
        .collect()
}

fn ask<'a>(headers: &'a Headers<'a>, body: &'a [u8], now_s: i64) -> Question<'a> {
    Question { scheme: None, headers, body, tolerance_s: DEFAULT_TOLERANCE_S, now: at(now_s) }
}

fn key(scheme: Scheme, secret: &str) -> Key {
    Key::parse(scheme, secret).unwrap()
}

fn judge(headers: &Headers<'_>, body: &[u8], secret: &str) -> Result<Accepted, Rejected> {
    let keys = [key(Scheme::Webhook, secret)];
    ask(headers, body, SENT_S).judge(&keys, &[])
}

#[test]
fn the_published_vectors_of_every_scheme_are_good() {
    let sent = SENT_S.to_string();
    let svix = [("svix-id", ID), ("svix-timestamp", &sent), ("svix-signature", SIGNATURE)];
    let stripe = [("Stripe-Signature", STRIPE_HEADER)];
    let github = [("X-Hub-Signature-256", GITHUB_HEADER)];
    let shopify = [("X-Shopify-Hmac-SHA256", SHOPIFY_HEADER)];
    let cases: [(Scheme, Headers<'_>, &[u8], &str, i64); 6] = [
        (Scheme::Webhook, standard(SIGNATURE, &sent), BODY, SECRET, SENT_S),
        (Scheme::Webhook, standard(ED25519, &sent), BODY, PUBLIC_KEY, SENT_S),
        (Scheme::Svix, svix.into_iter().collect(), BODY, SECRET, SENT_S),
        (Scheme::Stripe, stripe.into_iter().collect(), STRIPE_BODY, STRIPE_SECRET, 1_533_204_720),
        (Scheme::Github, github.into_iter().collect(), GITHUB_BODY, GITHUB_SECRET, 5),
        (Scheme::Shopify, shopify.into_iter().collect(), SHOPIFY_BODY, "hush", 5),
    ];
    for (scheme, headers, body, secret, now_s) in cases {
        let wrong = key(scheme, "whsec_AAAA");
        let keys = [wrong, key(scheme, secret)];
        let accepted = ask(&headers, body, now_s).judge(&keys, &[]).unwrap();
        assert_eq!((accepted.scheme, accepted.key), (scheme, 1));
        let changed = [body, b"!"].concat();
        let rejected = ask(&headers, &changed, now_s).judge(&keys, &[]).unwrap_err();
        assert_eq!((rejected.layer, rejected.hints), (Layer::Signature, vec![]), "{scheme:?}");
    }
}

#[test]
fn what_is_signed_here_is_good_here_and_as_published() {
    let sent = SENT_S.to_string();
    let to_sign = |scheme, body| ToSign { scheme, id: ID, timestamp_s: SENT_S, body };
    let made = to_sign(Scheme::Webhook, BODY).headers(&[key(Scheme::Webhook, SECRET)]).unwrap();
    let expected =
        [("webhook-id", ID), ("webhook-timestamp", &*sent), ("webhook-signature", SIGNATURE)];
    assert_eq!(made, expected.map(|(name, value)| (name, value.to_owned())));
    let keys = [key(Scheme::Github, GITHUB_SECRET)];
    let made = to_sign(Scheme::Github, GITHUB_BODY).headers(&keys).unwrap();
    assert_eq!(made, [("x-hub-signature-256", GITHUB_HEADER.to_owned())]);
    for scheme in Scheme::ALL {
        let keys = [key(scheme, SECRET), key(scheme, "whsec_c2VjcmV0")];
        let made = to_sign(scheme, BODY).headers(&keys).unwrap();
        let headers: Headers<'_> = made.iter().map(|(name, value)| (*name, &**value)).collect();
        let accepted = ask(&headers, BODY, SENT_S).judge(&keys[..1], &[]).unwrap();
        assert_eq!(accepted.scheme, scheme);
    }
    let public = [key(Scheme::Webhook, PUBLIC_KEY)];
    assert_eq!(to_sign(Scheme::Webhook, BODY).headers(&public), Err(CannotSign::PublicKey));
    assert_eq!(to_sign(Scheme::Webhook, BODY).headers(&[]), Err(CannotSign::NoKey));
}

#[test]
fn the_layer_that_fails_is_told() {
    let sent = SENT_S.to_string();
    let layer = |headers: Headers<'_>| judge(&headers, BODY, SECRET).unwrap_err();
    let none = layer(Headers::default());
    assert_eq!((none.layer, none.scheme), (Layer::Header, None));
    let sha1 = layer([("x-hub-signature", "sha1=00")].into_iter().collect());
    assert_eq!(sha1.hints, [Hint::OnlySha1]);
    let no_id = layer([("webhook-signature", SIGNATURE)].into_iter().collect());
    assert_eq!((no_id.layer, &*no_id.detail), (Layer::Header, "the header webhook-id is missing"));
    for (signature, timestamp) in [
        (SIGNATURE, "yesterday"),
        (SIGNATURE, "+1614265330"),
        (SIGNATURE, "1614265330.5"),
        ("", &sent),
        ("v1", &sent),
        ("v1,%%%", &sent),
        ("v1,AAAA", &sent),
        (&format!("{SIGNATURE}  {SIGNATURE}"), &sent),
        (&vec![SIGNATURE; MAX_SIGNATURES + 1].join(" "), &sent),
    ] {
        assert_eq!(layer(standard(signature, timestamp)).layer, Layer::Format, "{signature}");
    }
    for (name, header) in [
        ("stripe-signature", "v1=00"),
        ("stripe-signature", "t=1533204620"),
        ("stripe-signature", "t=1533204620,v1=zz"),
        (
            "stripe-signature",
            "t=x,v1=2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7",
        ),
        ("x-hub-signature-256", "sha1=00"),
        ("x-hub-signature-256", "sha256=00"),
        ("x-shopify-hmac-sha256", "AAAA"),
    ] {
        let rejected = layer([(name, header)].into_iter().collect());
        assert_eq!(rejected.layer, Layer::Format, "{name}: {header}");
    }
    let unknown = layer(standard("v9,AAAA", &sent));
    assert_eq!(unknown.layer, Layer::Secret);
    let asymmetric = layer(standard(ED25519, &sent));
    assert_eq!(asymmetric.layer, Layer::Secret);
    assert!(asymmetric.detail.ends_with("whpk_"), "{}", asymmetric.detail);
}

#[test]
fn a_timestamp_is_good_up_to_the_tolerance_in_both_directions() {
    let sent = SENT_S.to_string();
    let headers = standard(SIGNATURE, &sent);
    let keys = [key(Scheme::Webhook, SECRET)];
    for now_s in [SENT_S - 300, SENT_S, SENT_S + 300] {
        let accepted = ask(&headers, BODY, now_s).judge(&keys, &[]).unwrap();
        assert_eq!(accepted.timestamp_s, Some(SENT_S));
        assert_eq!(accepted.remember_until, at(SENT_S + 301));
    }
    for (now_s, direction) in [(SENT_S - 301, "ahead of"), (SENT_S + 301, "behind")] {
        let rejected = ask(&headers, BODY, now_s).judge(&keys, &[]).unwrap_err();
        assert_eq!((rejected.layer, rejected.hints), (Layer::Timestamp, vec![Hint::OnlyTimestamp]));
        assert!(rejected.detail.contains(&format!("301 s {direction}")), "{}", rejected.detail);
    }
    let millis = format!("{sent}000");
    let rejected = judge(&standard(SIGNATURE, &millis), BODY, SECRET).unwrap_err();
    assert_eq!((rejected.layer, rejected.hints), (Layer::Timestamp, vec![Hint::Milliseconds]));
}

#[test]
fn hints_name_what_was_done_to_the_body() {
    let signed: &[u8] = b"{\"a\": [1.50, {\"b\\\"\": \"x, y:\\u00e9\"}], \"c\": {}}";
    let two_lines: &[u8] = b"one\r\ntwo";
    let arrived: [(&[u8], Vec<u8>, BodyChange); 8] = [
        (signed, [signed, b"\n"].concat(), BodyChange::NewlineAdded),
        (b"text\n", b"text".to_vec(), BodyChange::NewlineRemoved),
        (two_lines, b"one\ntwo".to_vec(), BodyChange::LineEndsToLf),
        (b"one\ntwo", two_lines.to_vec(), BodyChange::LineEndsToCrLf),
        (signed, [b"\xef\xbb\xbf", signed].concat(), BodyChange::MarkAdded),
        (signed, reformat(signed, Style::Compact).unwrap(), BodyChange::FromSpaced),
        (b"{\"a\":1}", b"{ \"a\" : 1 }".to_vec(), BodyChange::FromCompact),
        (
            b"{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}",
            b"{\"a\":[1],\"b\":{}}".to_vec(),
            BodyChange::FromIndented,
        ),
    ];
    for (signed, arrived, change) in arrived {
        let keys = [key(Scheme::Webhook, SECRET)];
        let to_sign = ToSign { scheme: Scheme::Webhook, id: ID, timestamp_s: SENT_S, body: signed };
        let made = to_sign.headers(&keys).unwrap();
        let headers: Headers<'_> = made.iter().map(|(name, value)| (*name, &**value)).collect();
        let rejected = ask(&headers, &arrived, SENT_S).judge(&keys, &[]).unwrap_err();
        assert_eq!((rejected.layer, rejected.hints), (Layer::Body, vec![Hint::Body(change)]));
    }
}

#[test]
fn hints_name_a_secret_that_is_misread_or_another() {
    let sent = SENT_S.to_string();
    let headers = standard(SIGNATURE, &sent);
    let (wrong, right) = (key(Scheme::Webhook, "whsec_AAAA"), key(Scheme::Webhook, SECRET));
    let asked = ask(&headers, BODY, SENT_S);
    let rejected =
        asked.judge(std::slice::from_ref(&wrong), &[wrong.clone(), right.clone()]).unwrap_err();
    assert_eq!((rejected.layer, rejected.hints), (Layer::Secret, vec![Hint::OtherSecret(1)]));

    // As text, with and without its prefix, and the other way round.
    for misread in [SECRET, SECRET.trim_start_matches("whsec_")] {
        let keys = [key(Scheme::Github, misread)];
        let made = ToSign { scheme: Scheme::Github, id: "", timestamp_s: 0, body: BODY }
            .headers(&keys)
            .unwrap();
        let headers: Headers<'_> = made.iter().map(|(name, value)| (*name, &**value)).collect();
        let stored = [Key::of(&crate::signature::Secret::parse(SECRET).unwrap())];
        let rejected = ask(&headers, BODY, SENT_S).judge(&stored, &[]).unwrap_err();
        assert_eq!((rejected.layer, rejected.hints), (Layer::Secret, vec![Hint::SecretMisread]));
    }
}

#[test]
fn what_is_not_signed_is_no_part_of_what_a_repetition_is_known_by() {
    let (one, two) = ("v1=".to_owned() + &"0".repeat(64), STRIPE_HEADER);
    let known = |header: &str| {
        let headers: Headers<'_> = [("stripe-signature", header)].into_iter().collect();
        let keys = [key(Scheme::Stripe, STRIPE_SECRET)];
        ask(&headers, STRIPE_BODY, 1_533_204_620).judge(&keys, &[]).unwrap().id
    };
    assert_eq!(known(two), known(&format!("{one},{two}")));
}

#[test]
fn bad_secrets_are_refused() {
    let bad = |text: &str| Key::parse(Scheme::Webhook, text).unwrap_err();
    assert_eq!(bad(""), BadKey::Empty);
    assert_eq!(bad("whsec_%"), BadKey::NotBase64);
    assert_eq!(bad("whpk_AAAA"), BadKey::NotAPublicKey);
    assert_eq!(bad(&"a".repeat(1_025)), BadKey::TooLong);
    assert!(matches!(bad("whsk_AAAA"), BadKey::NotAKeyPair(_)));
    assert_eq!(format!("{:?}", key(Scheme::Github, "hush")), "Key(redacted)");
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(
        header in "[ -~]{0,60}",
        timestamp in "[0-9]{0,25}",
        body in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        for scheme in Scheme::ALL {
            let mut headers = standard(&header, &timestamp);
            headers.0.push((scheme.signature_header(), &header));
            let question = Question { scheme: Some(scheme), ..ask(&headers, &body, SENT_S) };
            prop_assert!(question.judge(&[key(scheme, SECRET)], &[]).is_err());
        }
    }

    #[test]
    fn written_anew_json_means_the_same(value in json()) {
        let text = serde_json::to_vec(&value).unwrap();
        for style in [Style::Compact, Style::Spaced, Style::Indented] {
            let other = reformat(&text, style).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<serde_json::Value>(&other).unwrap(), &value);
            prop_assert_eq!(reformat(&other, Style::Compact).unwrap(), text.clone());
        }
        let indented = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(reformat(&text, Style::Indented).unwrap(), indented);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        "[ -~\n\"\\\\]{0,8}".prop_map(serde_json::Value::String),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            prop::collection::btree_map("[a-z]{0,4}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
