//! A Redis that speaks TLS, and nothing else.

use std::path::{Path, PathBuf};

use keys::limiter::{Limiter, LimiterOptions, Take};
use model::Clock;
use model::key::limit::Mode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::process::Child;

use crate::world::{PATIENCE, START, free_port, limit, redis_url, somebody, spawn_with};

struct TlsRedis {
    url: String,
    /// PEM of the authority that signed its certificate.
    authority: String,
    _child: Child,
    _folder: TempDir,
}

impl TlsRedis {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = authority();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let authority = authority.as_ref().pem();
        let certificate = file(folder.path(), "certificate.pem", &certificate.pem());
        let key = file(folder.path(), "key.pem", &key.serialize_pem());
        let ca = file(folder.path(), "authority.pem", &authority);
        let port = free_port();
        let child = spawn_with(&[
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate.display().to_string(),
            "--tls-key-file",
            &key.display().to_string(),
            "--tls-ca-cert-file",
            &ca.display().to_string(),
            "--tls-auth-clients",
            "no",
        ])
        .await;
        let url = format!("rediss://127.0.0.1:{port}");
        Self { url, authority, _child: child, _folder: folder }
    }

    /// Whether Redis counts for a node that trusts this authority.
    async fn counts_for(&self, url: &str, authority: Option<&str>) -> bool {
        let options = LimiterOptions {
            redis_url: Some(url.to_owned()),
            redis_ca: authority.map(|pem| pem.as_bytes().to_vec()),
            redis_timeout: PATIENCE,
            ..LimiterOptions::new(Clock::manual(START))
        };
        let node = Limiter::new(options).expect("an address");
        let limit = limit("a", 10, Mode::Strict);
        let outcome =
            node.take(&[Take { limit: &limit, subject: somebody(), cost: 1 }], true).await;
        assert!(outcome.allowed, "by Redis, or as this node's share");
        !outcome.is_degraded()
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

#[tokio::test]
async fn redis_over_tls_is_trusted_by_its_authority_alone() {
    if redis_url().is_none() {
        return;
    }
    let redis = TlsRedis::start().await;
    let wrong = authority();
    assert!(redis.counts_for(&redis.url, Some(&redis.authority)).await);
    assert!(!redis.counts_for(&redis.url, Some(&wrong.as_ref().pem())).await, "another authority");
    assert!(!redis.counts_for(&redis.url, None).await, "those of this machine");
    let plain = redis.url.replace("rediss:", "redis:");
    assert!(!redis.counts_for(&plain, Some(&redis.authority)).await, "without TLS");
    let other_name = redis.url.replace("127.0.0.1", "localhost");
    assert!(!redis.counts_for(&other_name, Some(&redis.authority)).await, "another name");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_at_once() {
    let options = LimiterOptions {
        redis_url: Some("rediss://127.0.0.1".to_owned()),
        redis_ca: Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
        ..LimiterOptions::new(Clock::manual(START))
    };
    assert!(Limiter::new(options).is_err());
}
