//! Opening a connection: resolve, judge, dial, shake hands.
//!
//! What must always hold: only an address that was judged is dialled, and one refused address
//! refuses the whole answer. The name is resolved once and never again on the way to the socket,
//! so a DNS answer that changes in between changes nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::Clock;
use model::attempt::ErrorKind;
use model::target::{TargetPolicy, TargetRefusal};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

use super::answer::Trace;
use super::fault::{self, human};
use super::stream::Stream;
use super::wire::{Http1, Http2, Wire};
use super::{Failure, Resolver, Target, tls};

/// Addresses of one name that are tried in one attempt.
const DIALS_MAX: usize = 3;

pub(super) struct Dialer {
    pub policy: TargetPolicy,
    pub resolver: Resolver,
    pub tls: TlsConnector,
    /// For dialling and shaking hands together, and once more for resolving before.
    pub timeout: Duration,
    pub clock: Clock,
}

impl Dialer {
    pub async fn open(&self, target: &Target, trace: &mut Trace) -> Result<Wire, Failure> {
        let addresses = self.judged_addresses(target, trace).await?;
        let opening = self.open_one_of(&addresses, target, trace);
        match timeout(self.timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(self.too_slow(target, trace)),
        }
    }

    async fn judged_addresses(
        &self,
        target: &Target,
        trace: &mut Trace,
    ) -> Result<Vec<IpAddr>, Failure> {
        let name = match &target.host {
            Host::Domain(name) => name,
            Host::Ipv4(address) => return self.judged_literal((*address).into()),
            Host::Ipv6(address) => return self.judged_literal((*address).into()),
        };
        let started = self.clock.elapsed();
        let found = timeout(self.timeout, self.resolver.lookup(name)).await;
        trace.timing.resolve_us = Some(self.since_us(started));
        let found = found.unwrap_or_else(|_| {
            Err(format!("{name} did not resolve within {}", human(self.timeout)))
        });
        let addresses = found.map_err(|message| Failure::new(ErrorKind::Dns, message))?;
        for address in &addresses {
            self.policy.judge_address(*address).map_err(refused)?;
        }
        Ok(by_turns(addresses))
    }

    /// The URL spells this address, so the refusal may name it.
    fn judged_literal(&self, address: IpAddr) -> Result<Vec<IpAddr>, Failure> {
        match self.policy.judge_address(address) {
            Ok(()) => Ok(vec![address]),
            Err(TargetRefusal::Resolved { range }) => {
                Err(refused(TargetRefusal::Literal { address, range }))
            }
            Err(other) => Err(refused(other)),
        }
    }

    async fn open_one_of(
        &self,
        addresses: &[IpAddr],
        target: &Target,
        trace: &mut Trace,
    ) -> Result<Wire, Failure> {
        let tcp = self.dial_one_of(addresses, target.port, trace).await?;
        let address = tcp.ip();
        let stream = self.shake_hands(tcp.stream, target, trace).await?;
        let opened = self.clock.elapsed();
        let wire = if stream.chose_http2() {
            Http2::open(stream, address).await.map(Wire::http2)
        } else {
            Http1::open(stream, address, opened).await.map(Wire::http1)
        };
        wire.map_err(|error| fault::exchange(&error))
    }

    /// Each address gets an equal share of the time, so that a silent one cannot use up all.
    async fn dial_one_of(
        &self,
        addresses: &[IpAddr],
        port: u16,
        trace: &mut Trace,
    ) -> Result<Dialled, Failure> {
        let started = self.clock.elapsed();
        let share = self.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut failure = Failure::new(ErrorKind::Dns, "the name has no address");
        for address in addresses {
            let address = SocketAddr::new(*address, port);
            trace.address = Some(address.ip());
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    trace.timing.connect_us = Some(self.since_us(started));
                    stream.set_nodelay(true).map_err(|error| fault::dial(&error, address))?;
                    return Ok(Dialled { stream, address });
                }
                Ok(Err(error)) => failure = fault::dial(&error, address),
                Err(_) => {
                    let message = format!("no connection to {address} within {}", human(share));
                    failure = Failure::new(ErrorKind::ConnectTimeout, message);
                }
            }
        }
        Err(failure)
    }

    async fn shake_hands(
        &self,
        tcp: TcpStream,
        target: &Target,
        trace: &mut Trace,
    ) -> Result<Stream, Failure> {
        let Some(name) = &target.server_name else { return Ok(Stream::Plain(tcp)) };
        let started = self.clock.elapsed();
        let shaken = self.tls.connect(name.clone(), tcp).await;
        trace.timing.tls_us = Some(self.since_us(started));
        match shaken {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => Err(Failure::new(ErrorKind::Tls, tls::explain(&error))),
        }
    }

    fn too_slow(&self, target: &Target, trace: &Trace) -> Failure {
        let limit = human(self.timeout);
        let message = match trace.address {
            Some(address) => {
                let address = SocketAddr::new(address, target.port);
                format!("no connection to {address} within {limit}")
            }
            None => format!("no connection within {limit}"),
        };
        Failure::new(ErrorKind::ConnectTimeout, message)
    }

    fn since_us(&self, started: Duration) -> u64 {
        super::micros(self.clock.elapsed().saturating_sub(started))
    }
}

struct Dialled {
    stream: TcpStream,
    address: SocketAddr,
}

impl Dialled {
    fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

fn refused(refusal: TargetRefusal) -> Failure {
    Failure::new(ErrorKind::TargetRefused, refusal.to_string())
}

/// The first few addresses, with IPv4 and IPv6 by turns: where one family is broken, the second
/// dial already takes the other.
fn by_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::with_capacity(DIALS_MAX);
    while turns.len() < DIALS_MAX {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            break;
        }
    }
    turns.truncate(DIALS_MAX);
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_three_are_enough() {
        let of =
            |text: &str| text.split(' ').map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(by_turns(of("1.1.1.1 1.1.1.2 1.1.1.3 2::1")), of("1.1.1.1 2::1 1.1.1.2"));
        assert_eq!(by_turns(of("2::1 1.1.1.1")), of("2::1 1.1.1.1"));
        assert_eq!(by_turns(of("2::1 2::2 2::3 2::4")), of("2::1 2::2 2::3"));
        assert_eq!(by_turns(of("1.1.1.1")), of("1.1.1.1"));
    }
}
