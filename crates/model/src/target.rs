//! Which URLs and addresses Doorbell may call.
//!
//! Tenants choose the URLs, so every URL is hostile until judged. Two guards share one policy. The
//! API judges the *text* when an endpoint is saved and stores the URL that
//! [`TargetPolicy::judge_url`] returns, never the text. The sender judges every *address* a name
//! resolves to with [`TargetPolicy::judge_address`] and connects to that very address and no other,
//! so a DNS answer that changes between the two gains nothing.
//!
//! What must always hold: the host is judged after parsing, because `2130706433`, `0177.1`,
//! `①②⑦.1` and `%31%32%37.1` are all 127.0.0.1; nothing but the operator's allow list opens a
//! blocked range; and a refusal tells which range an address lies in, never whether anything
//! answers there.

mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

/// Longest URL accepted, as given and as stored.
pub const MAX_URL_BYTES: usize = 2_048;

/// Most networks an operator may allow.
pub const MAX_ALLOWED_NETWORKS: usize = 256;

const ASK_OPERATOR: &str = "ask the operator to allow it with DOORBELL_TARGETS_ALLOW";

/// Why a target may not be called. The text tells the caller what to do; a tenant may read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefusal {
    #[error("the URL is longer than {MAX_URL_BYTES} bytes; shorten it")]
    TooLong,
    #[error("this is not a valid URL ({0}); write it as https://host/path")]
    Invalid(#[from] url::ParseError),
    #[error("the scheme is not http or https; write the URL as https://host/path")]
    Scheme,
    #[error("the URL names no host; write it as https://host/path")]
    EmptyHost,
    #[error("port 0 cannot be called; name the port the receiver listens on")]
    PortZero,
    #[error("{0} names the machine Doorbell runs on; {ASK_OPERATOR}")]
    LocalName(String),
    /// The URL itself spells the address, so naming it reveals nothing.
    #[error("{address} is {range}; {ASK_OPERATOR}")]
    Literal { address: IpAddr, range: &'static str },
    /// Found by DNS: the address stays unnamed, so that no tenant reads our resolver through it.
    #[error("the host resolves to {range}; {ASK_OPERATOR}")]
    Resolved { range: &'static str },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    #[error("`{0}` is neither an address nor a network in CIDR form such as 10.0.0.0/8")]
    NotANetwork(String),
    #[error("more than {MAX_ALLOWED_NETWORKS} networks; join neighbours into larger ones")]
    TooMany,
}

/// The rules of one instance: the fixed blocked ranges, opened by exactly the networks that the
/// operator named.
#[derive(Debug, Clone, Default)]
pub struct TargetPolicy {
    allow: Vec<IpNet>,
}

impl TargetPolicy {
    pub fn new(allow: Vec<IpNet>) -> Result<Self, AllowListError> {
        if allow.len() > MAX_ALLOWED_NETWORKS {
            return Err(AllowListError::TooMany);
        }
        Ok(Self { allow: allow.into_iter().map(unmap).collect() })
    }

    /// The networks opened on purpose, for the line that announces them at start.
    pub fn allowed(&self) -> &[IpNet] {
        &self.allow
    }

    /// Judges a URL as typed and returns the form to store: normalised and without a fragment.
    ///
    /// A host *name* passes here whatever it resolves to: what it means is known at connect.
    pub fn judge_url(&self, text: &str) -> Result<Url, TargetRefusal> {
        if text.len() > MAX_URL_BYTES {
            return Err(TargetRefusal::TooLong);
        }
        let mut url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetRefusal::Scheme);
        }
        if url.port() == Some(0) {
            return Err(TargetRefusal::PortZero);
        }
        match url.host() {
            None => return Err(TargetRefusal::EmptyHost),
            Some(Host::Domain(name)) => self.judge_name(name)?,
            Some(Host::Ipv4(address)) => self.judge_literal(address.into())?,
            Some(Host::Ipv6(address)) => self.judge_literal(address.into())?,
        }
        url.set_fragment(None);
        // Escaping can triple the length.
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(TargetRefusal::TooLong);
        }
        Ok(url)
    }

    /// Judges one resolved address, immediately before the connection to it.
    pub fn judge_address(&self, address: IpAddr) -> Result<(), TargetRefusal> {
        match self.blocked_range(address) {
            Some(range) => Err(TargetRefusal::Resolved { range }),
            None => Ok(()),
        }
    }

    fn judge_literal(&self, address: IpAddr) -> Result<(), TargetRefusal> {
        match self.blocked_range(address) {
            Some(range) => Err(TargetRefusal::Literal { address, range }),
            None => Ok(()),
        }
    }

    fn judge_name(&self, name: &str) -> Result<(), TargetRefusal> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return Err(TargetRefusal::EmptyHost);
        }
        let local = name == "localhost" || name.ends_with(".localhost");
        if local && !self.allows_loopback() {
            return Err(TargetRefusal::LocalName(name));
        }
        Ok(())
    }

    fn blocked_range(&self, address: IpAddr) -> Option<&'static str> {
        if self.allows(address) {
            return None;
        }
        ranges::blocked(address)
    }

    /// A mapped address reaches its IPv4 host, so the IPv4 networks decide about it.
    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.iter().any(|network| network.contains(&address))
    }

    fn allows_loopback(&self) -> bool {
        self.allows(Ipv4Addr::LOCALHOST.into()) || self.allows(Ipv6Addr::LOCALHOST.into())
    }
}

/// Reads the operator's comma-separated list; a bare address is a network of one.
impl FromStr for TargetPolicy {
    type Err = AllowListError;

    fn from_str(text: &str) -> Result<Self, AllowListError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(parse_network).collect::<Result<Vec<_>, _>>()?;
        Self::new(networks)
    }
}

fn parse_network(part: &str) -> Result<IpNet, AllowListError> {
    if let Ok(network) = part.parse::<IpNet>() {
        return Ok(network.trunc());
    }
    match part.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => Err(AllowListError::NotANetwork(part.to_owned())),
    }
}

/// Turns `::ffff:10.0.0.0/104` into 10.0.0.0/8, so that the mapped form too opens what it names.
fn unmap(network: IpNet) -> IpNet {
    let Some(prefix) = network.prefix_len().checked_sub(96) else {
        return network;
    };
    match network.network().to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new(address, prefix).map_or(network, IpNet::V4),
        IpAddr::V6(_) => network,
    }
}
