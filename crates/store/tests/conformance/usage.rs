use model::EndpointId;
use store::{After, Counts};
use testkit::test_store::new_message;
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, publish, settle, settled};

const HOUR_MS: u64 = 3_600_000;

on_both! {
    async fn sums_are_exact_per_hour(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let start = db.clock.now();
        for (status, after, n) in
            [(200, After::Succeeded, 3), (500, After::Failed, 2), (0, After::Canceled, 1)]
        {
            for _ in 0..n {
                settled(&db, &mut started, new_message(app), status, after).await;
            }
        }
        db.advance_ms(HOUR_MS);
        for _ in 0..2 {
            settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        }
        let counts = async |from_ms: u64, to_ms: u64| {
            db.counts(endpoint, start.plus_ms(from_ms), start.plus_ms(to_ms)).await.unwrap()
        };
        let first = Counts { succeeded: 3, failed: 2, canceled: 1, ..Counts::default() };
        assert_eq!(counts(0, HOUR_MS).await, first);
        assert_eq!(counts(59 * 60_000, HOUR_MS).await, first, "the hour it lies in counts");
        let second = Counts { succeeded: 2, ..Counts::default() };
        assert_eq!(counts(HOUR_MS, 2 * HOUR_MS).await, second);
        assert_eq!(counts(0, 2 * HOUR_MS).await, Counts { succeeded: 5, ..first });
        assert_eq!(counts(5 * HOUR_MS, 6 * HOUR_MS).await, Counts::default());
        let other = EndpointId::new(start, &db.entropy);
        assert_eq!(db.counts(other, start, db.clock.now()).await.unwrap(), Counts::default());
    }

    async fn what_lives_is_counted_as_it_stands(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        let endpoint = db.endpoint_with(app, |e| e.max_in_flight = Some(2)).await;
        publish(&db, app, 5).await;
        let now = db.clock.now();
        let counts = async || db.counts(endpoint, now, now.plus_ms(1)).await.unwrap();
        assert_eq!(counts().await, Counts { pending: 3, sending: 2, ..Counts::default() });
        let lease = started.next().await;
        assert!(settle(&db, &lease, 500, After::RetryAt(now.plus_ms(1_000))).await);
        assert_eq!(counts().await, Counts { pending: 3, sending: 2, ..Counts::default() });
        let lease = started.next().await;
        assert!(db.settle(lease.settlement(None, After::Released)).await.unwrap());
        assert_eq!(counts().await, Counts { pending: 4, sending: 1, ..Counts::default() });
    }
}
