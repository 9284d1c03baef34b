//! The addresses that are not the public internet: one table, read top to bottom; the first match
//! names the range.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// One blocked range; the name completes the sentence "this address is …".
pub(super) struct Range {
    pub net: IpNet,
    pub name: &'static str,
}

#[rustfmt::skip]
pub(super) const BLOCKED: &[Range] = &[
    v4([0, 0, 0, 0], 8,           "an address of this network (0.0.0.0/8)"),
    v4([10, 0, 0, 0], 8,          "a private address (RFC 1918)"),
    v4([100, 64, 0, 0], 10,       "a carrier-grade NAT address (RFC 6598)"),
    v4([127, 0, 0, 0], 8,         "a loopback address"),
    v4([168, 63, 129, 16], 32,    "the host service of a cloud provider"),
    v4([169, 254, 0, 0], 16,      "a link-local address"),
    v4([172, 16, 0, 0], 12,       "a private address (RFC 1918)"),
    v4([192, 0, 0, 0], 24,        "a protocol assignment (192.0.0.0/24)"),
    v4([192, 0, 2, 0], 24,        "a documentation address (RFC 5737)"),
    v4([192, 88, 99, 0], 24,      "a 6to4 relay address (RFC 7526)"),
    v4([192, 168, 0, 0], 16,      "a private address (RFC 1918)"),
    v4([198, 18, 0, 0], 15,       "a benchmarking address (RFC 2544)"),
    v4([198, 51, 100, 0], 24,     "a documentation address (RFC 5737)"),
    v4([203, 0, 113, 0], 24,      "a documentation address (RFC 5737)"),
    v4([224, 0, 0, 0], 4,         "a multicast address"),
    v4([255, 255, 255, 255], 32,  "the broadcast address"),
    v4([240, 0, 0, 0], 4,         "a reserved address (240.0.0.0/4)"),

    v6([0, 0, 0, 0, 0, 0, 0, 0], 128,           "the unspecified address"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128,           "a loopback address"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96,            "an IPv4-compatible address (::/96)"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96,       "an IPv4-mapped address (::ffff:0:0/96)"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96,       "an IPv4-translated address (::ffff:0:0:0/96)"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96,    "a NAT64 address (64:ff9b::/96)"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48,    "a local NAT64 address (64:ff9b:1::/48)"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 8,             "a reserved address (::/8)"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64,        "a discard address (100::/64)"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32,       "a Teredo address (2001::/32)"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23,       "a protocol assignment (2001::/23)"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32,   "a documentation address (2001:db8::/32)"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16,       "a 6to4 address (2002::/16)"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20,       "a documentation address (3fff::/20)"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16,       "a segment routing address (5f00::/16)"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7,        "a unique local address (fc00::/7)"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10,       "a link-local address"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10,       "a site-local address (fec0::/10)"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8,        "a multicast address"),
];

const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const ISATAP: &str = "an ISATAP address (RFC 5214)";
const UNASSIGNED: &str = "outside the global unicast range (2000::/3)";

/// The name of the range that blocks `address`, or `None` for an address of the public internet.
pub(super) fn blocked(address: IpAddr) -> Option<&'static str> {
    if let Some(range) = BLOCKED.iter().find(|range| range.net.contains(&address)) {
        return Some(range.name);
    }
    match address {
        IpAddr::V6(v6) if is_isatap(v6) => Some(ISATAP),
        IpAddr::V6(v6) if !GLOBAL_UNICAST.contains(&v6) => Some(UNASSIGNED),
        _ => None,
    }
}

/// An ISATAP interface id tunnels to the IPv4 address in its last 32 bits, whatever the prefix.
fn is_isatap(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    matches!(segments[4], 0x0000 | 0x0200) && segments[5] == 0x5efe
}

const fn v4(octets: [u8; 4], prefix: u8, name: &'static str) -> Range {
    let [a, b, c, d] = octets;
    Range { net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)), name }
}

const fn v6(segments: [u16; 8], prefix: u8, name: &'static str) -> Range {
    let [a, b, c, d, e, f, g, h] = segments;
    Range {
        net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_every_range_are_blocked() {
        for range in BLOCKED {
            for end in [range.net.network(), range.net.broadcast()] {
                assert!(blocked(end).is_some(), "{end} of {}", range.net);
            }
        }
    }

    #[test]
    fn every_range_can_be_named() {
        for (position, range) in BLOCKED.iter().enumerate() {
            let hidden_by =
                BLOCKED[..position].iter().find(|earlier| earlier.net.contains(&range.net));
            assert!(hidden_by.is_none(), "{} hides behind a wider range", range.net);
        }
    }

    /// Where one range lies in a wider one, only the name tells them apart.
    #[test]
    fn the_narrowest_range_gives_the_name() {
        for (address, name) in [
            ("255.255.255.254", "a reserved address (240.0.0.0/4)"),
            ("255.255.255.255", "the broadcast address"),
            ("::", "the unspecified address"),
            ("::1", "a loopback address"),
            ("::2", "an IPv4-compatible address (::/96)"),
            ("::ffff:ffff", "an IPv4-compatible address (::/96)"),
            ("::1:0:0", "a reserved address (::/8)"),
            ("::fffe:ffff:ffff", "a reserved address (::/8)"),
            ("::ffff:0.0.0.0", "an IPv4-mapped address (::ffff:0:0/96)"),
            ("::ffff:255.255.255.255", "an IPv4-mapped address (::ffff:0:0/96)"),
            ("::fffe:ffff:ffff:ffff", "a reserved address (::/8)"),
            ("::ffff:0:0.0.0.0", "an IPv4-translated address (::ffff:0:0:0/96)"),
            ("::ffff:0:255.255.255.255", "an IPv4-translated address (::ffff:0:0:0/96)"),
            ("::ffff:1:0:0", "a reserved address (::/8)"),
            ("64:ff9b::", "a NAT64 address (64:ff9b::/96)"),
            ("64:ff9b::ffff:ffff", "a NAT64 address (64:ff9b::/96)"),
            ("64:ff9b::1:0:0", "a reserved address (::/8)"),
            ("64:ff9b:1::", "a local NAT64 address (64:ff9b:1::/48)"),
            ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "a local NAT64 address (64:ff9b:1::/48)"),
            ("64:ff9b:2::", "a reserved address (::/8)"),
            ("ff:ffff::", "a reserved address (::/8)"),
            ("100::", "a discard address (100::/64)"),
            ("100::ffff:ffff:ffff:ffff", "a discard address (100::/64)"),
            ("100:0:0:1::", UNASSIGNED),
            ("2001:0:ffff::", "a Teredo address (2001::/32)"),
            ("2001:1::", "a protocol assignment (2001::/23)"),
            ("5eff:ffff::", UNASSIGNED),
            ("5f00::", "a segment routing address (5f00::/16)"),
            ("5f00:ffff::", "a segment routing address (5f00::/16)"),
            ("5f01::", UNASSIGNED),
            ("fbff:ffff::", UNASSIGNED),
            ("fc00::", "a unique local address (fc00::/7)"),
            ("fdff:ffff::", "a unique local address (fc00::/7)"),
            ("fe00::", UNASSIGNED),
            ("fe7f:ffff::", UNASSIGNED),
            ("fe80::", "a link-local address"),
            ("febf:ffff::", "a link-local address"),
            ("fec0::", "a site-local address (fec0::/10)"),
            ("feff:ffff::", "a site-local address (fec0::/10)"),
            ("ff00::", "a multicast address"),
            ("ffff::", "a multicast address"),
        ] {
            assert_eq!(blocked(address.parse().unwrap()), Some(name), "{address}");
        }
    }

    #[test]
    fn isatap_is_blocked_under_any_prefix() {
        for text in ["2606:4700::5efe:a00:1", "2606:4700::200:5efe:a00:1", "2a00:1::5efe:127.0.0.1"]
        {
            assert_eq!(blocked(text.parse().unwrap()), Some(ISATAP), "{text}");
        }
        assert_eq!(blocked("2606:4700::1:5efe:a00:1".parse().unwrap()), None);
        assert_eq!(blocked("2606:4700::200:5eff:a00:1".parse().unwrap()), None);
    }

    #[test]
    fn ipv6_outside_global_unicast_is_blocked() {
        for text in ["200::1", "1fff::1", "4000::1", "5eff::1", "8000::1", "fbff::1", "fe00::1"] {
            assert_eq!(blocked(text.parse().unwrap()), Some(UNASSIGNED), "{text}");
        }
    }
}
