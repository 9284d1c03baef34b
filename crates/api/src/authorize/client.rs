//! Who asked the proxy, and for what, as the proxy tells it.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::access::parse_address;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Entries of `X-Forwarded-For` that are looked at.
const MAX_ENTRIES: usize = 64;

/// The client's address, as a proxy that is believed tells it: the `hops`-th entry of `X-Forwarded-For` from the right.
///
/// The entries on the left are the client's own words. With fewer entries than hops somebody went
/// around a proxy: there is no address then, and a key with an allow-list is refused.
pub(super) fn address(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    entries
        .take(MAX_ENTRIES)
        .nth(hops.checked_sub(1)?)
        .and_then(|entry| parse_address(entry.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(lines: &[&str], hops: usize) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        address(&headers, hops).map(|address| address.to_string())
    }

    #[test]
    fn trusted_proxies_are_counted_from_the_right() {
        let spoofed = ["6.6.6.6, 192.0.2.1, 10.0.0.1"];
        assert_eq!(client(&spoofed, 1).as_deref(), Some("10.0.0.1"));
        assert_eq!(client(&spoofed, 2).as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["6.6.6.6", "192.0.2.1"], 1).as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["6.6.6.6", "192.0.2.1"], 2).as_deref(), Some("6.6.6.6"));
    }

    #[test]
    fn no_address_is_better_than_a_wrong_one() {
        assert_eq!(client(&[], 1), None);
        assert_eq!(client(&["192.0.2.1"], 2), None);
        assert_eq!(client(&["192.0.2.1"], 0), None);
        assert_eq!(client(&["192.0.2.1, unknown"], 1), None);
    }

    #[test]
    fn every_way_to_write_an_address() {
        for (text, address) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(client(&[text], 1).as_deref(), Some(address), "{text}");
        }
    }
}
