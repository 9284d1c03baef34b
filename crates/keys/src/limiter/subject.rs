//! Who is counted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest::{Context, SHA256};
use model::{AppId, KeyId, KeyspaceId};

/// An IPv6 client has at least a network of so many bits to itself.
const V6_CLIENT_BITS: u32 = 64;

/// Who is counted under a limit's name. Make it once and keep it: owners are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKey {
    Key(KeyId),
    Keyspace(KeyspaceId),
    App(AppId),
    Address(IpAddr),
    /// A digest of a name of any length.
    Named([u8; 16]),
}

impl SubjectKey {
    /// An owner of keys: the same name under another app or keyspace is somebody else.
    #[must_use]
    pub fn owner(keyspace: KeyspaceId, app: Option<AppId>, name: &str) -> Self {
        let app = app.as_ref().map_or("", AppId::as_str);
        Self::named(&["owner", keyspace.as_str(), app, name])
    }

    /// A client by its address: an IPv6 network of 64 bits is one client.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << (128 - V6_CLIENT_BITS));
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }

    /// Anything else, by the parts of its name.
    #[must_use]
    pub fn named(parts: &[&str]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&context.finish().as_ref()[..16]);
        Self::Named(digest)
    }
}

/// As it is written into the names of counters in Redis.
impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Keyspace(id) => id.fmt(f),
            Self::App(id) => id.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Named(digest) => write!(f, "{:032x}", u128::from_be_bytes(*digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_of_two_apps_are_two_subjects() {
        let keyspace: KeyspaceId = format!("ks_{}", "0".repeat(27)).parse().unwrap();
        let app: AppId = format!("app_{}", "0".repeat(27)).parse().unwrap();
        let owner = SubjectKey::owner(keyspace, Some(app), "acme");
        assert_eq!(owner, SubjectKey::owner(keyspace, Some(app), "acme"));
        assert_ne!(owner, SubjectKey::owner(keyspace, None, "acme"));
        assert_ne!(SubjectKey::named(&["ab", "c"]), SubjectKey::named(&["a", "bc"]));
    }

    #[test]
    fn a_client_does_not_become_many_by_its_own_network() {
        let address = |text: &str| SubjectKey::address(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:0:0:9"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
