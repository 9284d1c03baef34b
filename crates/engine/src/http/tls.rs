//! TLS towards receivers: versions 1.2 and 1.3, the platform's roots, HTTP/2 offered by ALPN.
//!
//! The cryptography is named here and not taken from a process-wide default, so that no other
//! library of the process can change it or be missing.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::SetupError;

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Whom to trust: the platform's roots (Mozilla's where the platform has none), and these.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    pub extra: Vec<CertificateDer<'static>>,
}

pub(super) fn connector(roots: &Roots, http2: bool) -> Result<TlsConnector, SetupError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(roots, &provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    if http2 {
        config.alpn_protocols.push(ALPN_HTTP2.to_vec());
    }
    config.alpn_protocols.push(ALPN_HTTP1.to_vec());
    Ok(TlsConnector::from(Arc::new(config)))
}

fn verifier(
    roots: &Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SetupError> {
    match Verifier::new(provider.clone()) {
        Ok(platform) if roots.extra.is_empty() => return Ok(Arc::new(platform)),
        Ok(_) => {
            let extra = roots.extra.iter().cloned();
            return Ok(Arc::new(Verifier::new_with_extra_roots(extra, provider.clone())?));
        }
        Err(error) => {
            tracing::warn!(%error, "no platform certificates; using the built-in ones of Mozilla");
        }
    }
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in &roots.extra {
        store.add(root.clone())?;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build();
    Ok(verifier.map_err(|error| SetupError::Roots(error.to_string()))?)
}

/// What went wrong in a handshake, for people.
pub(super) fn explain(error: &io::Error) -> String {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "TLS: the connection was closed during the handshake".into()
            }
            io::ErrorKind::ConnectionReset => {
                "TLS: the connection was reset during the handshake".into()
            }
            _ => format!("TLS: {error}"),
        };
    };
    match cause {
        Error::InvalidCertificate(problem) => format!("TLS: {}", explain_certificate(problem)),
        Error::InvalidMessage(_) => "TLS: what answered on this port does not speak TLS".into(),
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        ) => "TLS: the receiver shares no protocol version or cipher with us".into(),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "TLS: the receiver does not serve this name".into()
        }
        other => format!("TLS: {other}"),
    }
}

fn explain_certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate not valid yet".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate is for another name".into()
        }
        CertificateError::UnknownIssuer => {
            "certificate is not signed by a trusted authority, or the chain is incomplete".into()
        }
        CertificateError::Revoked => "certificate revoked".into(),
        other => format!("certificate refused: {other}"),
    }
}
