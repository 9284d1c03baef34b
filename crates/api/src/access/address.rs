//! Where a request comes from: the peer, or whom trusted proxies name.

use std::net::{IpAddr, SocketAddr};

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Entries of `X-Forwarded-For` that are looked at.
const MAX_HOPS: usize = 32;

/// The other end of the connection; whoever accepts it puts it into the request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asks about the keys of others: the other end of the connection itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asker {
    pub address: Option<IpAddr>,
    /// One of our proxies: what it says of its client is believed.
    pub is_trusted: bool,
}

impl Asker {
    pub fn of(extensions: &Extensions, trusted: &[IpNet]) -> Self {
        let Some(Peer(peer)) = extensions.get::<Peer>() else { return Self::default() };
        let address = peer.ip().to_canonical();
        Self { address: Some(address), is_trusted: is_one_of(trusted, address) }
    }
}

fn is_one_of(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The nearest address that is none of our proxies'.
pub(crate) fn of(parts: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
    let Peer(peer) = parts.extensions.get::<Peer>()?;
    Some(nearest(peer.ip().to_canonical(), &parts.headers, trusted))
}

/// Entries are read from the right: each was written by the proxy before it.
fn nearest(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if !is_one_of(trusted, peer) {
        return peer;
    }
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = peer;
    for entry in entries.take(MAX_HOPS) {
        let Some(address) = parse(entry.trim()) else { return nearest };
        nearest = address;
        if !is_one_of(trusted, nearest) {
            break;
        }
    }
    nearest
}

/// With or without a port; a v4 address in v6 form is a v4 address.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        nearest(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        assert_eq!(seen("192.0.2.9", &["6.6.6.6"]), "192.0.2.9");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "192.0.2.1, 10.0.0.2"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(seen("10.0.0.1", &["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
    }
}
