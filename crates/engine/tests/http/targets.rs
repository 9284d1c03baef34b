//! No connection is made to an address that may not be called, however it is reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::http::{HttpClient, HttpOptions, Resolver};
use model::attempt::ErrorKind;
use testkit::receiver::{Receiver, Reply};

use crate::{answered, client_with, failed, options, post};

fn client_of(allow: &str, addresses: &'static [&'static str]) -> HttpClient {
    let resolver = Resolver::fixed(|_| addresses.iter().map(|ip| ip.parse().unwrap()).collect());
    client_with(HttpOptions { policy: allow.parse().unwrap(), resolver, ..options() })
}

async fn assert_refused(client: &HttpClient, url: &str) {
    let sent = post(client, url).await;
    assert_eq!(sent.address, None, "{url}");
    assert_eq!(failed(sent).kind, ErrorKind::TargetRefused, "{url}");
}

#[tokio::test]
async fn loopback_is_refused_by_literal_and_by_name() {
    let receiver = Receiver::start().await;
    let client = client_of("", &["127.0.0.1"]);
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "a.test"] {
        assert_refused(&client, &receiver.url_of(host, "/")).await;
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_refusal_names_the_address_only_when_the_url_did() {
    let client = client_of("", &["10.1.2.3"]);
    let message = failed(post(&client, "http://10.1.2.3/").await).message;
    assert!(message.contains("10.1.2.3"), "{message}");
    let message = failed(post(&client, "http://a.test/").await).message;
    assert!(!message.contains("10.1.2.3"), "{message}");
}

#[tokio::test]
async fn the_allow_list_opens_what_it_names() {
    let receiver = Receiver::start().await;
    let client = client_of("127.0.0.0/8", &["127.0.0.1"]);
    answered(post(&client, &receiver.url("/")).await);
    answered(post(&client, &receiver.url_of("a.test", "/")).await);
    assert_eq!(receiver.connections(), 2);
    assert_refused(&client, "http://10.0.0.1/").await;
}

#[tokio::test]
async fn one_refused_address_refuses_the_whole_answer() {
    let receiver = Receiver::start().await;
    let mixed: [&[&str]; 3] = [
        &["127.0.0.1", "10.0.0.1"],
        &["127.0.0.1", "fd00::1"],
        &["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "169.254.169.254"],
    ];
    for addresses in mixed {
        let client = client_of("127.0.0.0/8", addresses);
        assert_refused(&client, &receiver.url_of("mixed.test", "/")).await;
    }
    assert_eq!(receiver.connections(), 0);
}

/// The name means an allowed address when it is looked at, and the protected one ever after.
#[tokio::test]
async fn a_name_that_changes_its_meaning_gains_nothing() {
    let receiver = Receiver::start().await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = lookups.clone();
    let resolver = Resolver::fixed(move |_| {
        let last: u8 = if counted.fetch_add(1, Ordering::SeqCst) == 0 { 2 } else { 1 };
        vec![IpAddr::from([127, 0, 0, last])]
    });
    let policy = "127.0.0.2/32".parse().unwrap();
    let client = client_with(HttpOptions { policy, resolver, ..options() });
    let url = receiver.url_of("rebind.test", "/");

    // Judged as 127.0.0.2, and dialled as nothing else: nobody listens there.
    let sent = post(&client, &url).await;
    assert_eq!(sent.address, Some([127, 0, 0, 2].into()));
    assert_eq!(failed(sent).kind, ErrorKind::Connect);
    assert_eq!(lookups.load(Ordering::SeqCst), 1, "one attempt asks once");
    for _ in 0..3 {
        assert_refused(&client, &url).await;
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let receiver = Receiver::start().await;
    let client = client_of("127.0.0.0/8", &["127.0.0.2", "127.0.0.3", "127.0.0.1"]);
    let sent = post(&client, &receiver.url_of("a.test", "/")).await;
    assert_eq!(sent.address, Some([127, 0, 0, 1].into()));
    assert!(sent.timing.resolve_us.is_some());
    answered(sent);
}

#[tokio::test]
async fn no_more_than_three_addresses_are_tried() {
    let receiver = Receiver::start().await;
    let client = client_of("127.0.0.0/8", &["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"]);
    let failure = failed(post(&client, &receiver.url_of("a.test", "/")).await);
    assert_eq!(failure.kind, ErrorKind::Connect);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_refused_address_is_not_followed() {
    let receiver = Receiver::start().await;
    let inside = Receiver::start().await;
    receiver.script([Reply::redirect(&inside.url("/metadata"))]);
    let client = client_of("127.0.0.0/8", &[]);
    assert_eq!(answered(post(&client, &receiver.url("/")).await).status, 302);
    assert_eq!(inside.connections(), 0);
}
