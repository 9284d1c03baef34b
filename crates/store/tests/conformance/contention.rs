//! Publishing, settling and claiming at the same time, over the same lanes: nobody waits for
//! somebody who waits for him.

use std::sync::atomic::{AtomicBool, Ordering};

use store::After;
use testkit::{TestStore, on_both};

use crate::world::{publish, settle};

const ENDPOINTS: usize = 24;
const PUBLISHERS: usize = 4;
const BATCHES: usize = 25;

on_both! {
    async fn a_throttled_app_is_published_to_while_it_is_claimed_from(db: TestStore) {
        let app = db.app_with(|app| app.throttle_rate = Some(1_000)).await;
        let mut started = db.started();
        for _ in 0..ENDPOINTS {
            db.endpoint(app).await;
        }
        let published = AtomicBool::new(false);
        let publisher = async || {
            for _ in 0..BATCHES {
                publish(&db, app, 3).await;
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
                for lease in started.now() {
                    assert!(settle(&db, &lease, 200, After::Succeeded).await);
                    delivered += 1;
                }
                if over && claimed.next_due.is_none() {
                    return delivered;
                }
                db.advance_ms(1);
            }
        };
        let ((), delivered) = tokio::join!(publishing, delivering);
        assert_eq!(delivered, PUBLISHERS * BATCHES * 3 * ENDPOINTS);
    }
}
