//! Addresses that may use a key: a list of networks, where an empty list means everybody.
//!
//! What was written is kept as networks, in order, and compiled to sorted ranges, so that ten
//! thousand entries cost a dozen comparisons. An IPv4 address that comes in an IPv6 coat
//! (`::ffff:192.0.2.1`) is the IPv4 address, on both sides; no IPv6 network permits it otherwise.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Networks in one list.
pub const MAX_ENTRIES: usize = 10_000;

/// The prefix of IPv4-mapped addresses, `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

/// Why a list is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAllowList {
    /// More entries than [`MAX_ENTRIES`].
    #[error("more than {MAX_ENTRIES} entries")]
    TooMany,
    /// This entry is neither an address nor a network.
    #[error("`{0}` is neither an IP address nor a network such as 192.0.2.0/24 or 2001:db8::/32")]
    NotANetwork(String),
}

/// Networks whose addresses may use a key. Empty: every address may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    nets: Vec<IpNet>,
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl AllowList {
    /// # Errors
    /// When there are too many.
    pub fn new(nets: impl IntoIterator<Item = IpNet>) -> Result<Self, BadAllowList> {
        let nets: Vec<IpNet> = nets.into_iter().take(MAX_ENTRIES + 1).map(plain).collect();
        if nets.len() > MAX_ENTRIES {
            return Err(BadAllowList::TooMany);
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in &nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Ok(Self { nets, v4: Ranges::new(v4), v6: Ranges::new(v6) })
    }

    /// Addresses and networks as people write them. Host bits of a network are cleared.
    ///
    /// # Errors
    /// When one is neither, or there are too many.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, BadAllowList> {
        if texts.len() > MAX_ENTRIES {
            return Err(BadAllowList::TooMany);
        }
        let nets = texts.iter().map(|text| network(text.as_ref()));
        Self::new(nets.collect::<Result<Vec<_>, _>>()?)
    }

    /// Whether this address may use the key.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        if self.nets.is_empty() {
            return true;
        }
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// Whether everybody may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// The networks in the order they were given.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.nets
    }
}

impl Serialize for AllowList {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(&self.nets)
    }
}

impl<'de> Deserialize<'de> for AllowList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = <Vec<String>>::deserialize(from)?;
        Self::parse(&texts).map_err(serde::de::Error::custom)
    }
}

fn network(text: &str) -> Result<IpNet, BadAllowList> {
    let text = text.trim();
    let net = match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => text.parse(),
    };
    net.map_err(|_| BadAllowList::NotANetwork(text.chars().take(100).collect()))
}

/// Without host bits, and IPv4 where it is IPv4.
fn plain(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(MAPPED_PREFIX)
        && let Ok(v4) = Ipv4Net::new(address, prefix)
    {
        return IpNet::V4(v4.trunc());
    }
    net.trunc()
}

/// Inclusive ranges, sorted, that do not meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<T>(Box<[(T, T)]>);

impl<T: Copy + Ord> Ranges<T> {
    /// Ranges of networks: of two that meet, one holds the other.
    fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable_by_key(|&(first, last)| (first, std::cmp::Reverse(last)));
        ranges.dedup_by(|inner, outer| inner.1 <= outer.1);
        Self(ranges.into_boxed_slice())
    }

    fn contains(&self, address: T) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= address);
        after.checked_sub(1).is_some_and(|at| address <= self.0[at].1)
    }
}

#[cfg(test)]
mod tests;
