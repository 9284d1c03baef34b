//! Endpoints that have been waiting with a long queue do not keep out the ones that come later.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppId, EndpointId};
use store::{After, NewMessage};
use testkit::test_store::new_message;
use testkit::{TestStore, on_both};

use crate::world::{publish_all, settle};

const ENDPOINTS: usize = 200;
/// Each tenth endpoint has this many deliveries, the others one.
const LONG: usize = 50;
const WAIT_MS: u64 = 60_000;

/// Publishes `n` messages that are due in [`WAIT_MS`], only to this endpoint.
async fn queue(db: &TestStore, app: AppId, endpoint: EndpointId, n: usize) {
    let message = NewMessage {
        deliver_at: Some(db.clock.now().plus_ms(WAIT_MS)),
        only_endpoint: Some(endpoint),
        ..new_message(app)
    };
    publish_all(db, vec![message; n]).await;
}

on_both! {
    async fn old_queues_do_not_keep_out_young_ones(db: TestStore) {
        let (app, mut started) = (db.app().await, db.started());
        let (mut long, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        for n in 0..ENDPOINTS {
            let endpoint = db.endpoint(app).await;
            if n % 10 == 0 {
                queue(&db, app, endpoint, LONG).await;
                long.insert(endpoint);
            } else {
                waiting.insert(endpoint);
            }
        }
        db.advance_ms(1);
        for endpoint in &waiting {
            queue(&db, app, *endpoint, 1).await;
        }
        db.advance_ms(WAIT_MS);
        let short = waiting.len();
        let mut served: BTreeMap<EndpointId, usize> = BTreeMap::new();
        let mut of_long_queues_before = None;
        loop {
            if waiting.is_empty() {
                let total: usize = served.values().sum();
                of_long_queues_before.get_or_insert(total - short);
            }
            let claimed = db.claim().await.unwrap();
            if claimed.count == 0 {
                break;
            }
            for lease in started.now() {
                let endpoint = lease.route.endpoint.id;
                assert!(settle(&db, &lease, 200, After::Succeeded).await);
                waiting.remove(&endpoint);
                *served.entry(endpoint).or_default() += 1;
            }
            db.advance_ms(1);
        }
        let (before, all) = (of_long_queues_before.unwrap(), long.len() * LONG);
        assert!(before < all / 2, "{before} of {all} came before the last of the short queues");
        assert_eq!(served.len(), ENDPOINTS);
        for (endpoint, count) in served {
            assert_eq!(count, if long.contains(&endpoint) { LONG } else { 1 });
        }
    }
}
