//! Publishing, settling and claiming at the same time, over the same lanes: nobody waits for
//! somebody who waits for him.

use std::sync::atomic::{AtomicBool, Ordering};

use store::{After, Lease, Store};
use testkit::test_store::attempt;
use testkit::{TestStore, on_both};
use tokio::task::JoinSet;

use crate::world::publish;

const ENDPOINTS: usize = 24;
const PUBLISHERS: usize = 4;
const BATCHES: usize = 20;
const MESSAGES: usize = 2;

/// Settles together what was handed over together.
async fn settle_all(store: &Store, leases: Vec<Lease>) -> usize {
    let mut settling = JoinSet::new();
    for lease in leases {
        let store = store.clone();
        settling.spawn(async move {
            let made = attempt(&lease, store.clock().now(), Some(200));
            store.settle(lease.settlement(Some(made), After::Succeeded)).await.unwrap()
        });
    }
    let settled = settling.join_all().await;
    assert!(settled.iter().all(|ours| *ours), "a lease was lost");
    settled.len()
}

on_both! {
    async fn a_throttled_app_is_published_to_while_it_is_claimed_from(db: TestStore) {
        let app = db.app_with(|app| app.throttle_rate = Some(100_000)).await;
        let mut started = db.started();
        for _ in 0..ENDPOINTS {
            db.endpoint(app).await;
        }
        let published = AtomicBool::new(false);
        let publisher = async || {
            for _ in 0..BATCHES {
                publish(&db, app, MESSAGES).await;
            }
        };
        let publishing = async {
            tokio::join!(publisher(), publisher(), publisher(), publisher());
            published.store(true, Ordering::SeqCst);
        };
        let delivering = async {
            let mut delivered = 0;
            loop {
                let over = published.load(Ordering::SeqCst);
                let claimed = db.claim().await.unwrap();
                delivered += settle_all(&db, started.now()).await;
                if over && claimed.next_due.is_none() {
                    return delivered;
                }
                db.advance_ms(1);
            }
        };
        let ((), delivered) = tokio::join!(publishing, delivering);
        assert_eq!(delivered, PUBLISHERS * BATCHES * MESSAGES * ENDPOINTS);
    }
}
