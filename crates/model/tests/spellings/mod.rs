//! The corpus: forbidden and public addresses, and the spellings of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First, last and famous addresses of every blocked IPv4 range.
#[rustfmt::skip]
const FORBIDDEN_V4: &[&str] = &[
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.0.0.5", "10.255.255.255", "100.64.0.0",
    "100.100.100.200", "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.255.255.255",
    "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0",
    "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255", "192.0.2.0", "192.0.2.255",
    "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0",
    "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0",
    "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255",
];

/// First, last and famous addresses of every blocked IPv6 range.
#[rustfmt::skip]
const FORBIDDEN_V6: &[&str] = &[
    "::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:8.8.8.8", "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1", "64:ff9b::", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b::ffff:ffff",
    "64:ff9b:1::", "64:ff9b:1:ffff::a00:1", "64:ff9b:2::1", "ff:ffff::1", "100::",
    "100::ffff:ffff:ffff:ffff", "100:0:0:1::", "200::1", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001::", "2001:0:7f00:1::1", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1::1", "2001:20::1",
    "2001:1ff:ffff::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::",
    "2002:7f00:1::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::",
    "5f00::", "5f00:ffff::1", "fc00::1", "fd00:ec2::254", "fdff:ffff::1", "fe00::1", "fe80::",
    "fe80::1", "febf:ffff::1", "fec0::", "fec0::1", "feff:ffff::1", "ff00::", "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Public addresses, most of them the nearest neighbour of a blocked range.
#[rustfmt::skip]
pub const PUBLIC: &[&str] = &[
    "1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255",
    "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255",
    "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
    "223.255.255.255", "2000::", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::", "2001:4860:4860::8888", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::",
    "2606:4700:4700::1111", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

#[rustfmt::skip]
pub const LOCAL_NAMES: &[&str] = &[
    "localhost", "LOCALHOST", "localhost.", "LocalHost..", "ⓛocalhost", "ｌｏｃａｌｈｏｓｔ",
    "%6c%6fcalhost", "api.localhost", "a.b.LOCALHOST.", "local\thost", "localhost:8080",
    "user:pass@localhost", "localhost。",
];

pub fn forbidden_urls() -> Vec<(IpAddr, String)> {
    let mut urls = Vec::new();
    for text in FORBIDDEN_V4 {
        let address: Ipv4Addr = text.parse().unwrap();
        for spelling in v4_spellings(address) {
            urls.push((address.into(), format!("http://{spelling}/")));
        }
        urls.extend(dressings(text).into_iter().map(|url| (address.into(), url)));
    }
    for text in FORBIDDEN_V6 {
        let address: Ipv6Addr = text.parse().unwrap();
        for spelling in v6_spellings(address) {
            urls.push((address.into(), format!("http://{spelling}/")));
        }
        urls.extend(dressings(&format!("[{text}]")).into_iter().map(|url| (address.into(), url)));
    }
    for text in FORBIDDEN_V4 {
        for address in carriers(text.parse().unwrap()) {
            urls.push((address.into(), format!("http://[{address}]/")));
        }
    }
    urls
}

/// The notations that URL parsers accept for one IPv4 address.
pub fn v4_spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let whole = u32::from(address);
    let low_24 = whole & 0x00ff_ffff;
    let low_16 = whole & 0x0000_ffff;
    let dotted = address.to_string();
    vec![
        format!("{dotted}."),
        format!("{whole}"),
        format!("{whole}."),
        format!("0x{whole:x}"),
        format!("0X{whole:08X}"),
        format!("0x0000{whole:08x}"),
        format!("0{whole:o}"),
        format!("0000{whole:o}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0x{a:04x}.0X{b:04X}.0x{c:04x}.0X{d:04X}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.000{b:o}.000{c:o}.000{d:o}"),
        format!("0x{a:x}.0{b:o}.{c}.{d}"),
        format!("{a}.0x{b:x}.0{c:o}.0x{d:x}"),
        format!("{a}.{low_24}"),
        format!("0x{a:x}.{low_24}"),
        format!("0{a:o}.0x{low_24:x}"),
        format!("{a}.{b}.{low_16}"),
        format!("0{a:o}.0x{b:x}.{low_16}"),
        format!("{a}.{b}.0x{low_16:x}."),
        percent_encoded(&dotted),
        percent_encoded(&format!("0x{whole:x}")),
        mapped(&dotted, fullwidth),
        mapped(&dotted, circled),
        mapped(&dotted, mathematical),
        dotted.replace('.', "。"),
        dotted.replace('.', "．"),
        dotted.replace('.', "｡"),
        dotted.replace('.', "%2e"),
        dotted.replace('.', "%E3%80%82"),
        dotted.replacen('.', "\t.\n", 1),
        format!("\u{ad}{dotted}"),
    ]
}

fn v6_spellings(address: Ipv6Addr) -> Vec<String> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let tail = Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    vec![
        format!("[{address}]"),
        format!("[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}]"),
        format!("[{a:04X}:{b:04X}:{c:04X}:{d:04X}:{e:04X}:{f:04X}:{g:04X}:{h:04X}]"),
        format!("[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{tail}]"),
    ]
}

/// The URL around a host, in forms that have confused parsers.
fn dressings(host: &str) -> Vec<String> {
    vec![
        format!("http://{host}/"),
        format!("HTTPS://{host}"),
        format!("https://{host}:8443/a?b#c"),
        format!("http:{host}/"),
        format!("http:///{host}/"),
        format!("http:\\\\{host}\\x"),
        format!("http://example.com@{host}/"),
        format!("http://user:p%40ss@{host}:80/"),
        format!("http://{host}\\@example.com/"),
        format!("http://{host}?@example.com/"),
        format!("http://{host}#@example.com/"),
        format!(" \t\nht\ttp://{host}/\u{0} "),
    ]
}

/// The IPv6 addresses that carry an IPv4 address somewhere inside.
pub fn carriers(address: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = address.octets();
    let high = u16::from_be_bytes([a, b]);
    let low = u16::from_be_bytes([c, d]);
    vec![
        address.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x0200, 0x5efe, high, low),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x5efe, high, low),
    ]
}

pub fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn mapped(text: &str, digit: fn(u32) -> u32) -> String {
    let swap = |char: char| {
        char.to_digit(10).and_then(|value| char::from_u32(digit(value))).unwrap_or(char)
    };
    text.chars().map(swap).collect()
}

fn fullwidth(value: u32) -> u32 {
    0xff10 + value
}

fn mathematical(value: u32) -> u32 {
    0x1d7d8 + value
}

fn circled(value: u32) -> u32 {
    if value == 0 { 0x24ea } else { 0x245f + value }
}
