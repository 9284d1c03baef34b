use std::collections::HashSet;

use super::*;

const ONE: [u8; PEPPER_LEN] = [1; PEPPER_LEN];
const TWO: [u8; PEPPER_LEN] = [2; PEPPER_LEN];
const THREE: [u8; PEPPER_LEN] = [3; PEPPER_LEN];
const TOKEN: &str = "crm_live_0123";

fn first() -> Peppers {
    Peppers::new((1, ONE), vec![]).unwrap()
}

fn second() -> Peppers {
    Peppers::new((2, TWO), vec![(1, ONE)]).unwrap()
}

fn third() -> Peppers {
    Peppers::new((3, THREE), vec![(2, TWO), (1, ONE)]).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4231, test cases 1, 2, 3 and 6.
#[test]
fn macs_are_those_of_rfc_4231() {
    let large = [0xaa; 131];
    let cases: [(&[u8], &[u8], &str, &str); 4] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c\
             faea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
             8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b\
             2a5ab39dc13814b94e3ab6e101a34f27",
        ),
        (
            &large,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6\
             0c2ef6ab4030fe8296248df163f44952",
        ),
    ];
    for (key, data, sha256, sha384) in cases {
        let key256 = hmac::Key::new(hmac::HMAC_SHA256, key);
        assert_eq!(hex(&mac(&key256, &[data])), sha256);
        let (head, tail) = data.split_at(3);
        assert_eq!(hex(&mac(&key256, &[head, b"", tail])), sha256);
        let key384 = hmac::Key::new(hmac::HMAC_SHA384, key);
        assert_eq!(hex(hmac::sign(&key384, data).as_ref()), sha384);
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 5869, test case 1.
#[test]
fn keys_are_derived_by_the_hkdf_of_rfc_5869() {
    let salt: Vec<u8> = (0x00..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let mut okm = [0; 42];
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&[0x0b; 22]);
    root.expand(&[&info], Len(42)).unwrap().fill(&mut okm).unwrap();
    assert_eq!(
        hex(&okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
}

/// The derivation written out by HMAC alone, as RFC 5869 §2 does: a change of salt, purpose or
/// construction would make every stored lookup worthless.
#[test]
fn the_derivation_is_for_good() {
    let hmac256 = |key: &[u8], data: &[u8]| mac(&hmac::Key::new(hmac::HMAC_SHA256, key), &[data]);
    let root = hmac256(b"doorbell keys", &ONE);
    let lookup_key = hmac256(&root, b"lookup\x01");
    assert_eq!(first().lookup(TOKEN), hmac256(&lookup_key, TOKEN.as_bytes()));
    let cache_key = hmac256(&root, b"cache\x01");
    assert_eq!(first().cache_name(b"x"), hmac256(&cache_key, b"x"));
    let half = hmac256(&root, b"prehash\x01");
    let other_half = hmac256(&root, &[&half[..], b"prehash\x02"].concat());
    let prehash_key = [half, other_half].concat();
    let prehash_key = hmac::Key::new(hmac::HMAC_SHA384, &prehash_key[..48]);
    let expected = STANDARD.encode(hmac::sign(&prehash_key, TOKEN.as_bytes()).as_ref());
    assert_eq!(first().prehash(TOKEN, 1), Some(expected));
}

#[test]
fn each_purpose_and_each_pepper_has_its_own_result() {
    let one = first();
    let other = Peppers::new((1, TWO), vec![]).unwrap();
    let mut seen = HashSet::new();
    for peppers in [&one, &other] {
        let digest = Digest::sha256(TOKEN);
        assert!(seen.insert(peppers.lookup(TOKEN)));
        assert!(seen.insert(peppers.cache_name(TOKEN.as_bytes())));
        assert!(seen.insert(peppers.lookup_of_digest(&digest)));
        assert!(seen.insert(peppers.check_value(1).unwrap()));
    }
    assert_ne!(one.prehash(TOKEN, 1), other.prehash(TOKEN, 1));
    assert_eq!(one.check_value(1), third().check_value(1));
    assert_eq!(one.check_value(2), None);
}

#[test]
fn peppers_are_numbered_without_gaps() {
    let bad = |current, older| Peppers::new(current, older).map(|_| ()).unwrap_err();
    assert_eq!(bad((0, ONE), vec![]), BadPeppers::Gap);
    assert_eq!(bad((2, ONE), vec![]), BadPeppers::Gap);
    assert_eq!(bad((3, ONE), vec![(1, TWO)]), BadPeppers::Gap);
    assert_eq!(bad((2, ONE), vec![(1, TWO), (1, TWO)]), BadPeppers::Gap);
    assert_eq!(bad((1, ONE), vec![(2, TWO)]), BadPeppers::Gap);
    assert_eq!(bad((1, ONE), vec![(1, ONE)]), BadPeppers::Gap);
    let many = |count| (1..count).map(|version| (version, ONE)).collect::<Vec<_>>();
    assert!(Peppers::new((32, ONE), many(32)).is_ok());
    assert_eq!(bad((33, ONE), many(33)), BadPeppers::TooMany);
    assert_eq!(third().version(), 3);
}

#[test]
fn a_lookup_is_carried_on_over_three_peppers_without_its_token() {
    let (one, two, three) = (first(), second(), third());
    let stored = one.lookup(TOKEN);
    let carried = two.upgrade_lookup(1, stored).unwrap();
    assert_ne!(carried, stored);
    assert_eq!(carried, two.lookup(TOKEN));
    assert_eq!(three.upgrade_lookup(2, carried).unwrap(), three.lookup(TOKEN));
    assert_eq!(three.upgrade_lookup(1, stored).unwrap(), three.lookup(TOKEN));
    assert_eq!(three.upgrade_lookup(3, carried), Some(carried));
    for version in [0, 4] {
        assert_eq!(three.upgrade_lookup(version, stored), None);
    }
    assert_eq!(three.older_lookups(TOKEN), [carried, stored]);
    assert!(one.older_lookups(TOKEN).is_empty());
    let digest = Digest::sha512(TOKEN);
    let stored = one.lookup_of_digest(&digest);
    assert_eq!(three.upgrade_lookup(1, stored).unwrap(), three.lookup_of_digest(&digest));
    let older = [two.lookup_of_digest(&digest), stored];
    assert_eq!(three.older_lookups_of_digest(&digest), older);
}

#[test]
fn the_order_of_older_peppers_does_not_matter() {
    let sorted = Peppers::new((3, THREE), vec![(1, ONE), (2, TWO)]).unwrap();
    assert_eq!(sorted.lookup(TOKEN), third().lookup(TOKEN));
    let swapped = Peppers::new((3, THREE), vec![(2, ONE), (1, TWO)]).unwrap();
    assert_ne!(swapped.lookup(TOKEN), third().lookup(TOKEN));
}

#[test]
fn bcrypt_reads_all_of_what_it_is_given() {
    let peppers = third();
    let long = "x".repeat(100);
    let same_to_bcrypt = format!("{}y", &long[..99]);
    for token in ["", TOKEN, &long] {
        let prehash = peppers.prehash(token, 2).unwrap();
        assert_eq!(prehash.len(), PREHASH_LEN);
        assert!(prehash.len() <= crate::key::token::MAX_LEN && !prehash.contains('\0'));
        assert_eq!(prehash, second().prehash(token, 2).unwrap());
        assert_ne!(prehash, peppers.prehash(token, 3).unwrap());
    }
    assert_eq!(long[..72], same_to_bcrypt[..72]);
    assert_ne!(peppers.prehash(&long, 1), peppers.prehash(&same_to_bcrypt, 1));
    assert_eq!(peppers.prehash(TOKEN, 0), None);
    assert_eq!(peppers.prehash(TOKEN, 4), None);
}

#[test]
fn digests_are_those_that_other_systems_kept() {
    let Digest::Sha256(sha256) = Digest::sha256("abc") else { panic!("another kind") };
    assert_eq!(hex(&sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let Digest::Sha512(sha512) = Digest::sha512("abc") else { panic!("another kind") };
    assert!(hex(&sha512).starts_with("ddaf35a193617abacc417349ae204131"));
    let hmac = Digest::hmac_sha256(b"Jefe", "what do ya want for nothing?");
    let Digest::HmacSha256(mac) = hmac else { panic!("another kind") };
    assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/// A dump holds the imported digests; a token that reads like one must not be found by it.
#[test]
fn the_digest_of_a_token_is_not_a_token() {
    let peppers = first();
    let digest = Digest::Sha256(*b"a digest that happens to be text");
    let shown = "sha256:a digest that happens to be text";
    assert_ne!(peppers.lookup(shown), peppers.lookup_of_digest(&digest));
    let Digest::Sha256(bytes) = digest else { panic!("another kind") };
    assert_ne!(
        peppers.lookup_of_digest(&digest),
        peppers.lookup_of_digest(&Digest::HmacSha256(bytes))
    );
}

#[test]
fn debug_output_hides_everything() {
    assert_eq!(format!("{:?}", third()), "Peppers(version 3, redacted)");
    assert_eq!(format!("{:?}", Digest::sha256(TOKEN)), "Digest(sha256:redacted)");
}
