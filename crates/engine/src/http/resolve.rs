//! Names to addresses.
//!
//! Both families are always asked for: a name is judged by everything it resolves to, so an answer
//! that hides a private IPv6 address behind a public IPv4 one must be seen whole.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;

use super::SetupError;

/// Answers kept, good and bad together.
const CACHE_ANSWERS_MAX: u64 = 4_096;
/// A longer lifetime is cut, so that a receiver that moved is found again.
const CACHE_TTL_MAX: Duration = Duration::from_secs(300);
/// A name that does not exist may exist soon.
const CACHE_MISS_TTL_MAX: Duration = Duration::from_secs(15);
/// How long one name server gets, and how often it is asked.
const QUERY_TIMEOUT: Duration = Duration::from_millis(1_500);
const QUERY_TRIES: usize = 3;

type Lookup = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

#[derive(Clone)]
pub enum Resolver {
    System(Box<TokioResolver>),
    /// Answers by a function; an empty answer means that the name does not exist.
    Fixed(Arc<Lookup>),
}

impl Resolver {
    /// The machine's name servers and hosts file.
    pub fn system() -> Result<Self, SetupError> {
        let resolver = system().map_err(|error| SetupError::Resolver(error.to_string()))?;
        Ok(Self::System(Box::new(resolver)))
    }

    pub fn fixed(lookup: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self::Fixed(Arc::new(lookup))
    }

    /// Everything the name resolves to, never empty. The error is a sentence for people.
    pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let addresses: Vec<IpAddr> = match self {
            Self::Fixed(lookup) => lookup(name),
            Self::System(resolver) => match resolver.lookup_ip(name).await {
                Ok(found) => found.iter().collect(),
                Err(error) if error.is_no_records_found() => Vec::new(),
                Err(error) => return Err(format!("could not resolve {name}: {error}")),
            },
        };
        if addresses.is_empty() {
            return Err(format!("{name} does not resolve to any address"));
        }
        Ok(addresses)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System(_) => "Resolver::System",
            Self::Fixed(_) => "Resolver::Fixed",
        })
    }
}

fn system() -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = CACHE_ANSWERS_MAX;
    options.positive_max_ttl = Some(CACHE_TTL_MAX);
    options.negative_max_ttl = Some(CACHE_MISS_TTL_MAX);
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_TRIES;
    builder.build()
}
