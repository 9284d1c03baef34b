//! A node: a store as one process opens it, and a deliverer, taken step by step.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use engine::{Deliverer, DelivererOptions, HeaderStyle};
use http::HeaderValue;
use model::failing::FailureBudget;
use model::vault::{KEY_LEN, Vault};
use model::{Clock, DeliveryId, EndpointId, Timestamp};
use store::{LEASE_MS, Lease, Store, StoreOptions};
use testkit::test_store::{self, Started};
use tokio::sync::oneshot;

use crate::chance::entropy;
use crate::network::{Network, Reply};

/// The longest an attempt may take.
pub const TIMEOUT_MS: u64 = 30_000;
const MAX_IN_FLIGHT: u32 = 16;
const ENDPOINT_MAX_IN_FLIGHT: u32 = 4;

/// A delivery that waits for its answer.
pub struct Flight {
    pub of: Sending,
    future: Pin<Box<dyn Future<Output = ()>>>,
    reply: Option<oneshot::Sender<Reply>>,
}

/// What is known of a delivery that goes out.
#[derive(Clone, Debug)]
pub struct Sending {
    pub node: u64,
    pub delivery: DeliveryId,
    pub endpoint: EndpointId,
    pub attempt: u32,
    pub at: Timestamp,
    pub lease_until: Timestamp,
    pub probe: bool,
    /// How its node is called in the lease; known to who plants a bug.
    pub owner: Option<i64>,
}

impl Sending {
    /// When its lease was given.
    pub const fn leased_at(&self) -> Timestamp {
        Timestamp(self.lease_until.0 - LEASE_MS as i64)
    }
}

pub struct Node {
    pub number: u64,
    pub store: Store,
    pub deliverer: Arc<Deliverer<Network>>,
    network: Network,
    started: Started,
    /// Under way, by the number of their flight.
    pub flights: BTreeMap<u64, Flight>,
    /// It does not hear its answers before then.
    pub stalled_until: Timestamp,
}

impl Node {
    pub async fn start(seed: u64, number: u64, url: &str, clock: &Clock) -> Self {
        let entropy = entropy(seed, 1_000 + number);
        let options = StoreOptions {
            vault: Vault::new(&[7; KEY_LEN], entropy.clone()).unwrap(),
            clock: clock.clone(),
            entropy,
            read_connections: 1,
            max_in_flight: MAX_IN_FLIGHT,
            endpoint_max_in_flight: ENDPOINT_MAX_IN_FLIGHT,
            ..test_store::options(url)
        };
        let store = Store::open(options).await.unwrap();
        let network = Network::new(clock.clone());
        let options = DelivererOptions {
            header_style: HeaderStyle::Webhook,
            user_agent: HeaderValue::from_static("simulation"),
            failure_budget: FailureBudget::default(),
            timeout_ms: TIMEOUT_MS,
        };
        let deliverer = Arc::new(Deliverer::new(store.clone(), network.clone(), options));
        let started = Started::of(&store);
        Self {
            number,
            store,
            deliverer,
            network,
            started,
            flights: BTreeMap::new(),
            stalled_until: Timestamp::ZERO,
        }
    }

    /// What was handed over, in an order that no hash table decides.
    pub fn handed_over(&mut self) -> Vec<Lease> {
        let mut leases = self.started.now();
        leases.sort_by_key(|lease| lease.delivery_id);
        leases
    }

    /// Takes a delivery until it is settled, or waits for its answer.
    pub async fn deliver(&mut self, lease: Lease) -> Option<Flight> {
        let of = Sending {
            node: self.number,
            delivery: lease.delivery_id,
            endpoint: lease.route.endpoint.id,
            attempt: lease.attempts + 1,
            at: self.store.clock().now(),
            lease_until: lease.until,
            probe: lease.probe,
            owner: None,
        };
        let mut future = Box::pin(self.deliverer.clone().deliver(lease));
        let network = &self.network;
        let is_over = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if network.is_parked() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        });
        if is_over.await {
            return None;
        }
        Some(Flight { of, future, reply: self.network.take() })
    }

    /// Lets the answer arrive and the delivery be settled.
    pub async fn answer(&mut self, mut flight: Flight, reply: Reply) {
        if let Some(way) = flight.reply.take() {
            let _ = way.send(reply);
        }
        flight.future.await;
    }
}
