use proptest::prelude::*;

use super::*;

fn minted(prefix: &str, environment: &str) -> String {
    mint(prefix, environment, &Entropy::seeded(7))
}

/// A token with this random part and its right checksum.
fn with_random(random: &str) -> String {
    let covered = format!("crm_live_{random}");
    let checksum = checksum(covered.as_bytes()).map(char::from);
    covered.chars().chain(checksum).collect()
}

#[test]
fn the_checksum_is_the_crc_32_that_all_know() {
    assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    // 0xCBF43926 in base 62.
    let value = [3u64, 45, 35, 27, 22, 14].iter().fold(0, |value, digit| value * 62 + digit);
    assert_eq!(value, 0xCBF4_3926);
    assert_eq!(checksum(b"123456789"), *b"3jZRME");
    assert_eq!(checksum(b""), *b"000000");
}

#[test]
fn tokens_are_made_as_they_are_read() {
    let token = minted("crm", "live");
    assert_eq!(token.len(), "crm_live_".len() + 43 + 6);
    let parts = check(&token).unwrap();
    assert_eq!(parts, Parts { token: &token, prefix: "crm", environment: "live" });
    assert_ne!(token, mint("crm", "live", &Entropy::seeded(8)));
    let entropy = Entropy::seeded(7);
    assert_ne!(mint("crm", "live", &entropy), mint("crm", "live", &entropy));
}

#[test]
fn every_digit_occurs_about_as_often_as_the_others() {
    let entropy = Entropy::seeded(1);
    let mut counts = [0u32; 62];
    for _ in 0..1_000 {
        let token = mint("a", "b", &entropy);
        for c in token.bytes().skip("a_b_".len()).take(RANDOM_LEN) {
            counts[ALPHABET.iter().position(|digit| *digit == c).unwrap()] += 1;
        }
    }
    // 43,000 draws, 694 of each expected, standard deviation 26.
    assert!(counts.iter().all(|count| (550..840).contains(count)), "{counts:?}");
}

#[test]
fn the_longest_names_make_the_longest_token() {
    assert_eq!(MAX_NAMES_LEN, 21);
    let (prefix, environment) = ("p".repeat(16), "e".repeat(5));
    assert_eq!(check_shape(&prefix, &environment), Ok(()));
    let token = minted(&prefix, &environment);
    assert_eq!(token.len(), MAX_LEN);
    assert!(check(&token).is_ok());
    assert_eq!(check(&format!("{token}0")), Err(Malformed::Length));
    assert_eq!(check_shape(&prefix, "eeeeee"), Err(BadShape::TooLong));
    assert_eq!(check(&minted(&prefix, "eeeeee")), Err(Malformed::Length));
}

#[test]
fn names_are_short_and_plain() {
    for prefix in ["", "1a", "A", "a-b", "a_b", "é", &"p".repeat(17)] {
        assert_eq!(check_shape(prefix, "live"), Err(BadShape::Prefix), "{prefix}");
    }
    for environment in ["", "Live", "a_b", "a b", "environme"] {
        assert_eq!(check_shape("crm", environment), Err(BadShape::Environment), "{environment}");
    }
    assert_eq!(check_shape("c2", "2"), Ok(()));
}

#[test]
fn every_changed_or_missing_character_is_found() {
    let token = minted("crm", "live");
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        for c in *b"aZ09_-" {
            let before = std::mem::replace(&mut bytes[at], c);
            if before != c {
                let changed = String::from_utf8(bytes.clone()).unwrap();
                assert!(check(&changed).is_err(), "{changed}");
            }
            bytes[at] = before;
        }
        let mut shorter = token.clone();
        shorter.remove(at);
        assert!(check(&shorter).is_err(), "{shorter}");
        assert!(check(&token[..at]).is_err());
    }
}

#[test]
fn texts_of_another_shape_are_refused_although_their_checksum_is_right() {
    assert!(check(&with_random(&"0".repeat(43))).is_ok());
    for random in ["0".repeat(42), "0".repeat(44)] {
        assert_eq!(check(&with_random(&random)), Err(Malformed::Shape));
    }
    for random in ["-".repeat(43), format!("{}_{}", "0".repeat(21), "0".repeat(21))] {
        assert_eq!(check(&with_random(&random)), Err(Malformed::Shape));
    }
    let foreign = with_random(&format!("é{}", "0".repeat(41)));
    assert_eq!(check(&foreign), Err(Malformed::Shape));
    assert_eq!(check(""), Err(Malformed::Length));
    assert_eq!(check(&"_".repeat(60)), Err(Malformed::Shape));
    assert_eq!(check(&"0".repeat(60)), Err(Malformed::Shape));
}

#[test]
fn the_uri_form_is_the_same_token() {
    let token = minted("crm", "live");
    for scheme in ["secret-token:", "Secret-Token:"] {
        let uri = format!("{scheme}{token}");
        assert_eq!(check(&uri).unwrap(), check(&token).unwrap());
        assert_eq!(start(&uri), start(&token));
    }
    assert_eq!(bare("secret-token:"), "");
    assert_eq!(bare("secret-tokén:x"), "secret-tokén:x");
    assert!(check(&format!("secret-token:secret-token:{token}")).is_err());
}

#[test]
fn the_start_tells_four_characters_of_the_secret() {
    let token = minted("crm", "live");
    assert_eq!(start(&token), &token[.."crm_live_".len() + 4]);
    assert_eq!(start("some other token"), "some");
    assert_eq!(start("ééééé"), "éééé");
    assert_eq!(start("ab"), "ab");
}

#[test]
fn debug_output_hides_the_secret() {
    let token = minted("crm", "live");
    assert_eq!(format!("{:?}", check(&token).unwrap()), "Parts(crm_live_…)");
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in ".{0,200}") {
        let _ = start(&text);
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn what_is_minted_is_read(
        prefix in "[a-z][a-z0-9]{0,12}",
        environment in "[a-z0-9]{1,8}",
        seed in any::<u64>(),
    ) {
        let token = mint(&prefix, &environment, &Entropy::seeded(seed));
        let parts = check(&token).unwrap();
        prop_assert_eq!(parts.prefix, prefix);
        prop_assert_eq!(parts.environment, environment);
        prop_assert!(token.len() <= MAX_LEN);
    }

    #[test]
    fn two_swapped_characters_are_found(seed in any::<u64>(), at in 9usize..57) {
        let token = minted_by(seed);
        let mut bytes = token.clone().into_bytes();
        bytes.swap(at, at + 1);
        let swapped = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(check(&swapped).is_ok(), swapped == token);
    }
}

fn minted_by(seed: u64) -> String {
    mint("crm", "live", &Entropy::seeded(seed))
}
