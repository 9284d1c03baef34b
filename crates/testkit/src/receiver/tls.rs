//! A receiver's certificate: made for the test, signed by an authority made for the test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// How a receiver presents itself.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Names and addresses in the certificate.
    pub names: Vec<String>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    pub expired: bool,
}

impl Default for Tls {
    fn default() -> Self {
        let names = vec!["127.0.0.1".to_owned(), "receiver.test".to_owned()];
        Self { names, http2: false, expired: false }
    }
}

impl Tls {
    #[must_use]
    pub fn http2() -> Self {
        Self { http2: true, ..Self::default() }
    }

    #[must_use]
    pub fn expired() -> Self {
        Self { expired: true, ..Self::default() }
    }

    pub(super) fn build(self) -> (CertificateDer<'static>, TlsAcceptor) {
        self.try_build()
            .unwrap_or_else(|error| super::fail(&format!("cannot make a certificate: {error}")))
    }

    fn try_build(
        self,
    ) -> Result<(CertificateDer<'static>, TlsAcceptor), Box<dyn std::error::Error>> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut params = CertificateParams::new(self.names)?;
        if self.expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;

        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key(&key))?;
        if self.http2 {
            config.alpn_protocols.push(ALPN_HTTP2.to_vec());
        }
        config.alpn_protocols.push(ALPN_HTTP1.to_vec());
        let root = authority.as_ref().der().clone();
        Ok((root, TlsAcceptor::from(Arc::new(config))))
    }
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
