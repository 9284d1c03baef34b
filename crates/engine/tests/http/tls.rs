//! TLS: whom we trust, and how a refusal reads.

use engine::http::{HttpOptions, Resolver, Roots};
use model::attempt::ErrorKind;
use testkit::receiver::{Receiver, Tls};

use crate::{answered, client_with, failed, options, post, trusting};

#[tokio::test]
async fn a_trusted_receiver_is_called_and_its_connection_reused() {
    let receiver = Receiver::start_tls(Tls::default()).await;
    let client = client_with(trusting(&receiver));
    let sent = post(&client, &receiver.url("/")).await;
    assert!(sent.timing.tls_us.is_some());
    answered(sent);
    let sent = post(&client, &receiver.url("/")).await;
    assert!(sent.timing.tls_us.is_none());
    answered(sent);
    assert_eq!(receiver.connections(), 1);
    assert_eq!(receiver.next().await.version, "HTTP/1.1");
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_name_of_the_url() {
    let receiver = Receiver::start_tls(Tls::default()).await;
    let resolver = Resolver::fixed(|_| vec![[127, 0, 0, 1].into()]);
    let client = client_with(HttpOptions { resolver, ..trusting(&receiver) });
    answered(post(&client, &receiver.url_of("receiver.test", "/")).await);
    answered(post(&client, &receiver.url_of("receiver.test.", "/")).await);
    let failure = failed(post(&client, &receiver.url_of("other.test", "/")).await);
    assert_eq!(failure.kind, ErrorKind::Tls);
    assert_eq!(failure.message, "TLS: certificate is for another name");
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let receiver = Receiver::start_tls(Tls::default()).await;
    let failure = failed(post(&client_with(options()), &receiver.url("/")).await);
    assert_eq!(failure.kind, ErrorKind::Tls);
    let expected =
        "TLS: certificate is not signed by a trusted authority, or the chain is incomplete";
    assert_eq!(failure.message, expected);
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn another_receivers_authority_does_not_help() {
    let receiver = Receiver::start_tls(Tls::default()).await;
    let other = Receiver::start_tls(Tls::default()).await;
    let roots = Roots { extra: other.root().into_iter().cloned().collect() };
    let client = client_with(HttpOptions { roots, ..options() });
    assert_eq!(failed(post(&client, &receiver.url("/")).await).kind, ErrorKind::Tls);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let receiver = Receiver::start_tls(Tls::expired()).await;
    let failure = failed(post(&client_with(trusting(&receiver)), &receiver.url("/")).await);
    assert_eq!(failure.kind, ErrorKind::Tls);
    assert_eq!(failure.message, "TLS: certificate expired");
}

#[tokio::test]
async fn a_port_without_tls_is_told_apart() {
    let receiver = Receiver::start().await;
    let url = format!("https://{}/", receiver.address());
    let failure = failed(post(&client_with(options()), &url).await);
    assert_eq!(failure.kind, ErrorKind::Tls);
    assert!(receiver.requests().is_empty());
}
