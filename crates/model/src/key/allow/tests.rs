use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn list(texts: &[&str]) -> AllowList {
    AllowList::parse(texts).unwrap()
}

fn permits(texts: &[&str], address: &str) -> bool {
    list(texts).permits(address.parse().unwrap())
}

#[test]
fn an_empty_list_is_everybody() {
    assert!(permits(&[], "192.0.2.1"));
    assert!(permits(&[], "2001:db8::1"));
    assert!(AllowList::default().is_empty());
}

#[test]
fn networks_hold_both_their_ends_and_nothing_beside() {
    let texts = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "10.0.0.0/8", "10.1.0.0/16"];
    for inside in [
        "192.0.2.0",
        "192.0.2.255",
        "198.51.100.7",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "10.0.0.0",
        "10.1.255.255",
        "10.2.0.0",
        "10.255.255.255",
    ] {
        assert!(permits(&texts, inside), "{inside}");
    }
    for outside in [
        "192.0.1.255",
        "192.0.3.0",
        "198.51.100.6",
        "198.51.100.8",
        "2001:db7:ffff::",
        "2001:db9::",
        "9.255.255.255",
        "11.0.0.0",
        "::",
    ] {
        assert!(!permits(&texts, outside), "{outside}");
    }
}

#[test]
fn the_whole_of_one_family_is_not_the_other() {
    assert!(permits(&["0.0.0.0/0"], "255.255.255.255"));
    assert!(!permits(&["0.0.0.0/0"], "::1"));
    assert!(permits(&["::/0"], "ffff::1"));
    assert!(!permits(&["::/0"], "192.0.2.1"));
    assert!(!permits(&["::/0"], "::ffff:192.0.2.1"));
}

#[test]
fn a_mapped_address_is_its_ipv4_address_on_both_sides() {
    assert!(permits(&["192.0.2.0/24"], "::ffff:192.0.2.9"));
    assert!(permits(&["::ffff:192.0.2.0/120"], "192.0.2.9"));
    assert!(permits(&["::ffff:192.0.2.9"], "::ffff:192.0.2.9"));
    assert!(!permits(&["::ffff:192.0.2.0/120"], "192.0.3.0"));
    assert_eq!(list(&["::ffff:192.0.2.0/120"]), list(&["192.0.2.0/24"]));
}

#[test]
fn what_is_no_network_is_refused_by_name() {
    for text in ["", "192.0.2.0/33", "192.0.2", "2001:db8::/129", "localhost", "fe80::1%eth0"] {
        let refused = AllowList::parse(&["10.0.0.0/8", text]);
        assert_eq!(refused, Err(BadAllowList::NotANetwork(text.to_owned())));
    }
}

#[test]
fn texts_survive_in_their_order_without_host_bits() {
    let texts = r#"["192.0.2.77/24","2001:db8::/32","10.0.0.1/32"]"#;
    let list: AllowList = serde_json::from_str(texts).unwrap();
    let written = serde_json::to_string(&list).unwrap();
    assert_eq!(written, r#"["192.0.2.0/24","2001:db8::/32","10.0.0.1/32"]"#);
    assert_eq!(serde_json::from_str::<AllowList>(&written).unwrap(), list);
    let error = serde_json::from_str::<AllowList>(r#"["no"]"#).unwrap_err().to_string();
    assert!(error.contains("`no` is neither"), "{error}");
}

#[test]
fn ten_thousand_networks_fit_and_are_told_apart() {
    // Every other address of a range, so that no two become one.
    let even = |at: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + 2 * at));
    let odd = |at: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + 2 * at));
    let count = u32::try_from(MAX_ENTRIES).unwrap();
    let list = AllowList::new((0..count).rev().map(|at| IpNet::from(even(at)))).unwrap();
    assert_eq!(list.networks().len(), MAX_ENTRIES);
    assert_eq!(list.v4.0.len(), MAX_ENTRIES);
    for at in 0..count {
        assert!(list.permits(even(at)) && !list.permits(odd(at)), "{at}");
    }
    assert!(!list.permits(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    let one_more = (0..=count).map(|at| IpNet::from(even(at)));
    assert_eq!(AllowList::new(one_more), Err(BadAllowList::TooMany));
    assert_eq!(AllowList::parse(&vec!["no"; MAX_ENTRIES + 1]), Err(BadAllowList::TooMany));
}

/// Addresses close to each other, so that networks meet, nest and touch.
fn address() -> impl Strategy<Value = IpAddr> {
    let bits = 0u32..64;
    prop_oneof![
        bits.clone().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits << 26))),
        bits.clone().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        bits.clone().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits)))),
        bits.prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped())),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), any::<prop::sample::Index>()).prop_map(|(address, prefix)| {
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = u8::try_from(prefix.index(usize::from(longest) + 1)).unwrap();
        IpNet::new(address, prefix).unwrap()
    })
}

proptest! {
    #[test]
    fn ranges_answer_as_the_networks_do(
        nets in prop::collection::vec(net(), 1..20),
        address in address(),
    ) {
        let list = AllowList::new(nets).unwrap();
        let address = address.to_canonical();
        let expected = list.networks().iter().any(|net| net.contains(&address));
        prop_assert_eq!(list.permits(address), expected);
    }
}
