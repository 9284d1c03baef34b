//! Every way we know to spell a forbidden address, tried on the policy, and what must still pass.
//!
//! The corpus is generated: each sample address in each spelling. The same corpus passes under a
//! policy that allows everything, which proves that each refusal comes from the ranges and not from
//! a spelling that fails to parse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod spellings;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use model::target::{TargetPolicy, TargetRefusal};
use proptest::prelude::*;

use spellings::{LOCAL_NAMES, PUBLIC, carriers, forbidden_urls, host, v4_spellings};

#[test]
fn every_spelling_of_every_forbidden_address_is_refused() {
    let policy = TargetPolicy::default();
    let everything: TargetPolicy = "0.0.0.0/0, ::/0".parse().unwrap();
    let mut tried = BTreeSet::new();

    for (address, url) in forbidden_urls() {
        match policy.judge_url(&url) {
            Err(TargetRefusal::Literal { address: seen, .. }) => assert_eq!(seen, address, "{url}"),
            other => panic!("{url} was judged {other:?}"),
        }
        assert!(
            everything.judge_url(&url).is_ok(),
            "{url} is refused for its spelling, which proves nothing"
        );
        assert!(
            matches!(policy.judge_address(address), Err(TargetRefusal::Resolved { .. })),
            "{address}"
        );
        tried.insert(url);
    }
    assert!(tried.len() >= 400, "the corpus shrank to {}", tried.len());
}

#[test]
fn local_names_pass_only_when_loopback_is_allowed() {
    let open: TargetPolicy = "127.0.0.1".parse().unwrap();
    let open_v6: TargetPolicy = "::1/128".parse().unwrap();
    let elsewhere: TargetPolicy = "10.0.0.0/8".parse().unwrap();
    for name in LOCAL_NAMES {
        let url = format!("http://{name}/hook");
        assert!(
            matches!(TargetPolicy::default().judge_url(&url), Err(TargetRefusal::LocalName(_))),
            "{url}"
        );
        assert!(matches!(elsewhere.judge_url(&url), Err(TargetRefusal::LocalName(_))), "{url}");
        assert!(open.judge_url(&url).is_ok(), "{url}");
        assert!(open_v6.judge_url(&url).is_ok(), "{url}");
    }
}

#[test]
fn parsers_disagree_about_these_and_the_connected_host_is_judged() {
    let policy = TargetPolicy::default();
    for url in [
        "http://1.1.1.1 &@10.0.0.2# @3.3.3.3/",
        "http://127.1.1.1:80\\@1.1.1.1:80/",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@[::1]/",
        "http:\\\\127.0.0.1\\",
        "http://\u{ff11}27.0.0.1/",
        "  \u{1}http://127.0.0.1/\u{1f} ",
    ] {
        assert!(matches!(policy.judge_url(url), Err(TargetRefusal::Literal { .. })), "{url}");
    }
    assert!(
        policy
            .judge_url("http://1.1.1.1\\@127.0.0.1/")
            .is_ok_and(|url| url.host_str() == Some("1.1.1.1"))
    );
}

#[test]
fn public_addresses_pass() {
    let policy = TargetPolicy::default();
    for text in PUBLIC {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(policy.judge_address(address), Ok(()), "{address}");
        let url = format!("https://{}/hook", host(address));
        assert!(policy.judge_url(&url).is_ok(), "{url}");
    }
}

#[test]
fn ordinary_urls_pass_unchanged() {
    let policy = TargetPolicy::default();
    for url in [
        "https://example.com/",
        "http://example.com/webhooks?token=a%20b",
        "https://user:pa%3Ass@example.com:8443/a/b;c=d?e=f&g",
        "https://xn--bcher-kva.example/",
        "https://localhost.example.com/",
        "https://notlocalhost/",
        "https://10.example.com/",
        "https://receiver/",
        "https://a_b.example.com./",
        "https://[2606:4700:4700::1111]:8080/x",
    ] {
        assert_eq!(policy.judge_url(url).map(String::from), Ok(url.to_owned()));
    }
}

#[test]
fn what_is_stored_is_normalised() {
    let policy = TargetPolicy::default();
    let stored = |text| policy.judge_url(text).map(String::from);
    assert_eq!(
        stored("HTTPS://Bücher.Example:443/a b#top"),
        Ok("https://xn--bcher-kva.example/a%20b".to_owned())
    );
    assert_eq!(stored("http://134744072/"), Ok("http://8.8.8.8/".to_owned()));
}

#[test]
fn malformed_urls_say_what_is_wrong() {
    let policy = TargetPolicy::default();
    for (url, text) in [
        ("ftp://example.com/", "http or https"),
        ("file:///etc/passwd", "http or https"),
        ("http+unix://%2fvar%2frun%2fdocker.sock/", "http or https"),
        ("gopher://127.0.0.1:70/", "http or https"),
        ("javascript:alert(1)", "http or https"),
        ("http://", "empty host"),
        ("http://./", "names no host"),
        ("http://../", "names no host"),
        ("example.com", "relative URL"),
        ("", "relative URL"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:65536/", "invalid port"),
        ("http://[fe80::1%25eth0]/", "invalid IPv6"),
        ("http://1.1.1.1.1/", "invalid IPv4"),
        ("http://4294967296/", "invalid IPv4"),
        ("http://exa mple.com/", "invalid international domain name"),
    ] {
        let refusal = policy.judge_url(url).expect_err(url).to_string();
        assert!(refusal.contains(text), "{url}: {refusal}");
    }
}

#[test]
fn length_counts_as_typed_and_as_stored() {
    let policy = TargetPolicy::default();
    let of_length = |length: usize, fill: &str| {
        let start = "https://example.com/";
        format!("{start}{}", fill.repeat((length - start.len()) / fill.len()))
    };
    assert!(policy.judge_url(&of_length(2_048, "a")).is_ok());
    assert_eq!(policy.judge_url(&of_length(2_049, "a")), Err(TargetRefusal::TooLong));
    assert_eq!(policy.judge_url(&of_length(1_000, "é")), Err(TargetRefusal::TooLong));
}

#[test]
fn refusals_tell_what_to_do_and_hide_what_dns_said() {
    let policy = TargetPolicy::default();
    let literal = policy.judge_url("http://10.0.0.5/").unwrap_err().to_string();
    assert_eq!(
        literal,
        "10.0.0.5 is a private address (RFC 1918); \
         ask the operator to allow it with DOORBELL_TARGETS_ALLOW"
    );
    let resolved = policy.judge_address("10.0.0.5".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(
        resolved,
        "the host resolves to a private address (RFC 1918); \
         ask the operator to allow it with DOORBELL_TARGETS_ALLOW"
    );
}

#[test]
fn the_allow_list_opens_exactly_what_it_names() {
    let policy: TargetPolicy =
        " 10.1.2.9/16, 192.168.7.7,fd00:1::/32,::ffff:172.16.0.0/108,".parse().unwrap();
    let judged = |text: &str| policy.judge_address(text.parse().unwrap()).is_ok();
    for open in [
        "10.1.0.0",
        "10.1.255.255",
        "::ffff:10.1.2.3",
        "192.168.7.7",
        "fd00:1::5",
        "172.16.0.1",
        "172.31.255.255",
        "::ffff:172.16.0.1",
    ] {
        assert!(judged(open), "{open} was named");
    }
    for closed in [
        "10.0.255.255",
        "10.2.0.0",
        "192.168.7.6",
        "192.168.7.8",
        "fd00:2::",
        "fd00:0:ffff::",
        "::10.1.2.3",
        "64:ff9b::10.1.2.3",
        "2002:a01:203::",
        "127.0.0.1",
        "::1",
        "::ffff:8.8.8.8",
    ] {
        assert!(!judged(closed), "{closed} was not named");
    }
    assert!(policy.judge_url("http://0xa010203/").is_ok());
    assert!(policy.judge_url("http://0xa020203/").is_err());
}

#[test]
fn naming_all_of_ipv6_does_not_open_ipv4() {
    let policy: TargetPolicy = "::/0".parse().unwrap();
    assert!(policy.judge_address("fd00::1".parse().unwrap()).is_ok());
    for text in ["10.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"] {
        assert!(policy.judge_address(text.parse().unwrap()).is_err(), "{text}");
    }
}

#[test]
fn a_bad_allow_list_is_named() {
    for (list, part) in [
        ("10.0.0.0/8,10.0.0.0/33", "10.0.0.0/33"),
        ("corp.example", "corp.example"),
        ("1.2.3", "1.2.3"),
    ] {
        let error = list.parse::<TargetPolicy>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{part}`")), "{error}");
    }
    assert!(vec!["10.0.0.1"; 257].join(",").parse::<TargetPolicy>().is_err());
    assert!("".parse::<TargetPolicy>().unwrap().allowed().is_empty());
}

proptest! {
    /// Whatever the spelling, the verdict is that of the address.
    #[test]
    fn spelling_never_changes_the_verdict(bits: u32) {
        let policy = TargetPolicy::default();
        let address = Ipv4Addr::from(bits);
        let expected = policy.judge_address(address.into()).is_ok();
        for spelling in v4_spellings(address) {
            let url = format!("http://{spelling}/");
            prop_assert_eq!(policy.judge_url(&url).is_ok(), expected, "{}", url);
        }
    }

    /// No IPv6 form that carries an IPv4 address is a way around the IPv4 ranges.
    #[test]
    fn embedded_ipv4_is_always_refused(bits: u32) {
        let policy = TargetPolicy::default();
        for address in carriers(Ipv4Addr::from(bits)) {
            prop_assert!(policy.judge_address(address.into()).is_err(), "{}", address);
        }
    }

    #[test]
    fn judging_never_panics(text in ".{0,80}", tail in any::<String>()) {
        let policy = TargetPolicy::default();
        let _ = policy.judge_url(&text);
        let _ = policy.judge_url(&format!("http://{text}"));
        let _ = policy.judge_url(&format!("http://{tail}"));
        let _ = text.parse::<TargetPolicy>();
    }

    /// Judging what was stored changes nothing.
    #[test]
    fn a_stored_url_passes_again_unchanged(
        text in "https?://[a-z0-9.%:@-]{1,30}(/[a-zA-Z0-9#?&%é ]{0,20})?",
    ) {
        let policy = TargetPolicy::default();
        if let Ok(url) = policy.judge_url(&text) {
            prop_assert_eq!(policy.judge_url(url.as_str()), Ok(url));
        }
    }
}
