use proptest::prelude::*;

use super::*;

/// Published vectors of the Standard Webhooks libraries: secret, id, seconds, body, signature.
const HMAC_VECTORS: [(&str, &str, i64, &str, &str); 2] = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553,
        r#"{"email":"test@example.com","username":"test_user"}"#,
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
];

/// The published Ed25519 vector, for the id, time and body of the first HMAC vector.
const KEY_PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const SEED: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
const PUBLIC_KEY: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ED25519_SIGNATURE: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

const ID: &str = "msg_1";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn signer(text: &str) -> Signer {
    Signer::new(&Secret::parse(text).unwrap())
}

fn some_signer(seed: u64) -> Signer {
    let entropy = Entropy::seeded(seed);
    match seed % 2 {
        0 => Signer::new(&Secret::generate_hmac(&entropy)),
        _ => Signer::new(&Secret::generate_ed25519(&entropy)),
    }
}

#[test]
fn published_hmac_vectors() {
    for (secret, id, timestamp_s, body, expected) in HMAC_VECTORS {
        let mut signature = String::from("kept ");
        signer(secret).sign_into(id, timestamp_s, body.as_bytes(), &mut signature);
        assert_eq!(signature, format!("kept {expected}"));
    }
}

#[test]
fn published_ed25519_vector() {
    let (_, id, timestamp_s, body, _) = HMAC_VECTORS[0];
    for text in [KEY_PAIR, SEED] {
        let secret = Secret::parse(text).unwrap();
        let header = signature_header(&[Signer::new(&secret)], id, timestamp_s, body.as_bytes());
        assert_eq!(header, ED25519_SIGNATURE);
        assert_eq!(secret.public_key_text().as_deref(), Some(PUBLIC_KEY));
        assert_eq!(secret.to_text(), KEY_PAIR);
    }
}

/// Expected value computed with `openssl dgst -sha256 -hmac`.
#[test]
fn body_hmac_uses_the_decoded_secret() {
    let secret = format!("whsec_{}", STANDARD.encode("a key of at least 24 bytes"));
    assert_eq!(
        signer(&secret).body_hmac_hex(b"hello").as_deref(),
        Some("sha256=d9476816d6ca2411608d00d234c61d1be3234e09ef6f9e100f55666b7aa4d65f")
    );
    assert_eq!(signer(KEY_PAIR).body_hmac_hex(b"hello"), None);
}

#[test]
fn secrets_are_read_with_and_without_prefix_and_padding() {
    let padded = format!("whsec_{}", STANDARD.encode([7; 25]));
    let bare = padded.strip_prefix("whsec_").unwrap();
    for text in [&padded, bare, padded.trim_end_matches('='), bare.trim_end_matches('=')] {
        assert_eq!(Secret::parse(text).unwrap().to_text(), padded, "{text}");
    }
}

#[test]
fn secrets_of_the_wrong_kind_or_size_are_refused() {
    let hmac =
        |length: usize| Secret::parse(&format!("whsec_{}", STANDARD.encode(vec![1; length])));
    assert!(hmac(24).is_ok() && hmac(75).is_ok());
    assert_eq!(hmac(23).unwrap_err(), SecretError::HmacLength(23));
    assert_eq!(hmac(76).unwrap_err(), SecretError::HmacLength(76));
    assert_eq!(Secret::parse("").unwrap_err(), SecretError::HmacLength(0));

    for text in ["whsec_%", "hwsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_ MfKQ", "whsec_-_-_"] {
        assert_eq!(Secret::parse(text).unwrap_err(), SecretError::NotBase64, "{text}");
    }
    assert_eq!(Secret::parse(PUBLIC_KEY).unwrap_err(), SecretError::PublicKey);

    let other_half = KEY_PAIR.replace("X0dR", "aaaa");
    for text in ["whsk_", "whsk_%", "whsk_AAAA", &KEY_PAIR[..80], &other_half] {
        assert_eq!(Secret::parse(text).unwrap_err(), SecretError::NotAKeyPair, "{text}");
    }
}

#[test]
fn debug_output_hides_the_secret() {
    for text in [HMAC_VECTORS[0].0, KEY_PAIR] {
        let secret = Secret::parse(text).unwrap();
        let shown = format!("{secret:?} {:?}", Signer::new(&secret));
        assert!(shown.contains("redacted") && !shown.contains(&text[6..12]), "{shown}");
        assert!(!shown.contains(char::is_numeric) || text == KEY_PAIR, "{shown}");
    }
}

#[test]
fn generated_secrets_differ_and_can_be_read_back() {
    let entropy = Entropy::seeded(1);
    let texts = [
        Secret::generate_hmac(&entropy).to_text(),
        Secret::generate_hmac(&entropy).to_text(),
        Secret::generate_ed25519(&entropy).to_text(),
        Secret::generate_ed25519(&entropy).to_text(),
    ];
    for (position, text) in texts.iter().enumerate() {
        assert!(!texts[..position].contains(text));
        assert_eq!(&Secret::parse(text).unwrap().to_text(), text);
    }
    assert_eq!(texts[0].len(), "whsec_".len() + 44);
}

#[test]
fn a_rotation_signs_with_every_living_secret_newest_first() {
    let (new, old) = (some_signer(1), some_signer(2));
    let header = signature_header(&[new.clone(), old.clone()], ID, NOW.seconds(), b"{}");

    let mut expected = String::new();
    new.sign_into(ID, NOW.seconds(), b"{}", &mut expected);
    expected.push(' ');
    old.sign_into(ID, NOW.seconds(), b"{}", &mut expected);
    assert_eq!(header, expected);
    assert!(header.starts_with("v1a,") && header.contains(" v1,"));

    let timestamp = NOW.seconds().to_string();
    let signed = Signed { id: ID, timestamp: &timestamp, signature: &header, body: b"{}" };
    assert_eq!(verify(&[new], signed, NOW), Ok(()));
    assert_eq!(verify(&[old], signed, NOW), Ok(()));
    assert_eq!(verify(&[some_signer(3)], signed, NOW), Err(VerifyError::NoMatchingSignature));
    assert_eq!(verify(&[], signed, NOW), Err(VerifyError::NoMatchingSignature));
}

#[test]
fn the_timestamp_may_differ_by_the_tolerance_both_ways() {
    for (offset_s, accepted) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)]
    {
        let timestamp_s = NOW.seconds() + offset_s;
        let signature = signature_header(&[some_signer(2)], ID, timestamp_s, b"");
        let timestamp = timestamp_s.to_string();
        let signed = Signed { id: ID, timestamp: &timestamp, signature: &signature, body: b"" };
        let refused = Err(VerifyError::TimestampOutsideTolerance { off_by_s: 301 });
        let expected = if accepted { Ok(()) } else { refused };
        assert_eq!(verify(&[some_signer(2)], signed, NOW), expected, "{offset_s}");
    }
}

#[test]
fn malformed_headers_are_told_from_wrong_signatures() {
    let signature = signature_header(&[some_signer(2)], ID, NOW.seconds(), b"");
    let timestamp = NOW.seconds().to_string();
    let good = Signed { id: ID, timestamp: &timestamp, signature: &signature, body: b"" };
    let judge = |signed| verify(&[some_signer(2)], signed, NOW);
    assert_eq!(judge(good), Ok(()));

    for timestamp in ["", "soon", "1.5", "1e9", " 1700000000", "99999999999999999999"] {
        assert!(matches!(judge(Signed { timestamp, ..good }), Err(VerifyError::BadFormat(_))));
    }
    assert!(matches!(judge(Signed { id: "", ..good }), Err(VerifyError::BadFormat(_))));

    let double_space = format!("{signature}  {signature}");
    let unpadded = signature.trim_end_matches('=').to_owned();
    let too_many = vec![signature.as_str(); MAX_SIGNATURES + 1].join(" ");
    for signature in ["", " ", "v1", ",", "v1,%", &double_space, &unpadded, &too_many] {
        let verdict = judge(Signed { signature, ..good });
        assert!(matches!(verdict, Err(VerifyError::BadFormat(_))), "{signature}: {verdict:?}");
    }

    let future = format!("v9,AAAA {signature}");
    assert_eq!(judge(Signed { signature: &future, ..good }), Ok(()));
    let relabelled = signature.replace("v1,", "v1a,");
    for signature in ["v1,", "v1,AAAA", "v1a,AAAA", "v9,AAAA", &relabelled] {
        let verdict = judge(Signed { signature, ..good });
        assert_eq!(verdict, Err(VerifyError::NoMatchingSignature), "{signature}");
    }
}

#[test]
fn the_timestamp_is_verified_as_it_was_sent() {
    let signature = signature_header(&[some_signer(2)], ID, NOW.seconds(), b"");
    let plus = format!("+{}", NOW.seconds());
    let signed = Signed { id: ID, timestamp: &plus, signature: &signature, body: b"" };
    assert_eq!(verify(&[some_signer(2)], signed, NOW), Err(VerifyError::NoMatchingSignature));
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_any_change_is_noticed(
        seed: u64,
        id in "[a-zA-Z0-9_]{1,40}",
        body in prop::collection::vec(any::<u8>(), 0..2_000),
        at: prop::sample::Index,
    ) {
        let signers = [some_signer(seed), some_signer(seed.wrapping_add(1))];
        let signature = signature_header(&signers[..1], &id, NOW.seconds(), &body);
        let timestamp = NOW.seconds().to_string();
        let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature, body: &body };
        prop_assert_eq!(verify(&signers, signed, NOW), Ok(()));

        let mut changed = body.clone();
        match changed.len() {
            0 => changed.push(0),
            length => changed[at.index(length)] ^= 1,
        }
        let other_id = format!("{id}x");
        let other_time = (NOW.seconds() + 1).to_string();
        for forged in [
            Signed { body: &changed, ..signed },
            Signed { id: &other_id, ..signed },
            Signed { timestamp: &other_time, ..signed },
        ] {
            prop_assert_eq!(verify(&signers, forged, NOW), Err(VerifyError::NoMatchingSignature));
        }
        let stranger = [signers[1].clone()];
        prop_assert_eq!(verify(&stranger, signed, NOW), Err(VerifyError::NoMatchingSignature));
    }

    #[test]
    fn any_secret_of_the_right_size_survives_its_text(
        bytes in prop::collection::vec(any::<u8>(), MIN_HMAC_BYTES..=MAX_HMAC_BYTES),
    ) {
        let text = format!("whsec_{}", STANDARD.encode(bytes));
        prop_assert_eq!(Secret::parse(&text).unwrap().to_text(), text);
    }

    #[test]
    fn reading_never_panics(text: String, header: String, timestamp in "-?[0-9]{1,22}") {
        let _ = Secret::parse(&text);
        let _ = Secret::parse(&format!("whsk_{text}"));
        let signed = Signed { id: &text, timestamp: &timestamp, signature: &header, body: &[] };
        let _ = verify(&[some_signer(1), some_signer(2)], signed, NOW);
    }
}
