//! Errors of sockets and of HTTP, told apart and put into words.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::attempt::ErrorKind;

use super::Failure;

/// "20 s", or "200 ms" when it is no whole number of seconds.
pub(super) fn human(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

pub(super) fn dial(error: &io::Error, address: SocketAddr) -> Failure {
    use io::ErrorKind as Io;
    let (kind, message) = match error.kind() {
        Io::ConnectionRefused => (ErrorKind::Connect, format!("connection refused by {address}")),
        Io::ConnectionReset | Io::ConnectionAborted => {
            (ErrorKind::Connect, format!("connection reset by {address} while connecting"))
        }
        Io::TimedOut => (ErrorKind::ConnectTimeout, format!("{address} does not answer")),
        Io::HostUnreachable | Io::NetworkUnreachable => {
            (ErrorKind::Connect, format!("{address} is unreachable"))
        }
        // Out of file descriptors or of local ports: nothing the receiver could mend.
        Io::AddrNotAvailable | Io::AddrInUse | Io::OutOfMemory | Io::QuotaExceeded => {
            (ErrorKind::Internal, format!("could not open a connection: {error}"))
        }
        _ if is_out_of_files(error) => {
            (ErrorKind::Internal, format!("could not open a connection: {error}"))
        }
        _ => (ErrorKind::Connect, format!("could not connect to {address}: {error}")),
    };
    Failure::new(kind, message)
}

fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// An exchange that broke after the connection stood.
pub(super) fn exchange(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        return Failure::new(ErrorKind::Protocol, "the answer's headers are too many or too large");
    }
    if error.is_parse() {
        return Failure::new(ErrorKind::Protocol, format!("the answer is not HTTP: {error}"));
    }
    if let Some(cause) = source::<io::Error>(error) {
        return broken(cause);
    }
    if let Some(cause) = source::<h2::Error>(error) {
        let kind = if cause.is_remote() { ErrorKind::Reset } else { ErrorKind::Protocol };
        return Failure::new(kind, format!("HTTP/2: {cause}"));
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return closed();
    }
    match source::<hyper::Error>(error) {
        Some(cause) => exchange(cause),
        None => Failure::new(ErrorKind::Protocol, format!("the answer is not HTTP: {error}")),
    }
}

fn broken(error: &io::Error) -> Failure {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::UnexpectedEof => closed(),
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => {
            Failure::new(ErrorKind::Reset, "the receiver reset the connection")
        }
        Io::InvalidData | Io::InvalidInput => {
            Failure::new(ErrorKind::Protocol, format!("the answer is not HTTP: {error}"))
        }
        _ => Failure::new(ErrorKind::Reset, format!("the connection broke: {error}")),
    }
}

fn closed() -> Failure {
    let message = "the receiver closed the connection before the answer was complete";
    Failure::new(ErrorKind::Reset, message)
}

/// The first cause of this type under an error.
fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(human(Duration::from_secs(20)), "20 s");
        assert_eq!(human(Duration::from_millis(1500)), "1500 ms");
    }

    #[test]
    fn a_shortage_of_our_own_is_not_the_receivers_fault() {
        let address = SocketAddr::from(([203, 0, 113, 7], 443));
        let kind = |code| dial(&io::Error::from_raw_os_error(code), address).kind;
        assert_eq!(kind(24), ErrorKind::Internal); // EMFILE
        assert_eq!(kind(99), ErrorKind::Internal); // EADDRNOTAVAIL
        assert_eq!(kind(111), ErrorKind::Connect); // ECONNREFUSED
        assert_eq!(kind(113), ErrorKind::Connect); // EHOSTUNREACH
        assert_eq!(kind(110), ErrorKind::ConnectTimeout); // ETIMEDOUT
    }
}
