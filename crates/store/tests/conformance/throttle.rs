//! Rates: over no stretch of time more deliveries start than the rate allows, plus one step.

use std::collections::HashMap;

use model::{EndpointId, Timestamp};
use store::{After, Store};
use testkit::test_store::{Started, new_message};
use testkit::{TestStore, on_both};

use crate::world::publish;

/// A throttled endpoint gets what its rate allows for a fifth of a second at once.
const STEPS_PER_S: u32 = 5;

/// Lets time pass as a deliverer would and notes when each delivery starts.
async fn starts(db: &TestStore, store: &Store, n: usize) -> Vec<(Timestamp, EndpointId)> {
    let mut started = Started::of(store);
    let mut noted = Vec::new();
    while noted.len() < n {
        let claimed = store.claim().await.unwrap();
        for _ in 0..claimed.count {
            let lease = started.next().await;
            noted.push((db.clock.now(), lease.route.endpoint.id));
            assert!(store.settle(lease.settlement(None, After::Succeeded)).await.unwrap());
        }
        let due = claimed.next_due.unwrap_or_default();
        db.clock.advance_to(due.max(db.clock.now().plus_ms(1)));
    }
    noted
}

fn check_rate(starts: &[Timestamp], rate: u32) {
    let step = u64::from((rate / STEPS_PER_S).max(1));
    for (n, from) in starts.iter().enumerate() {
        for (count, until) in (1..).zip(&starts[n..]) {
            let allowed = until.since_ms(*from) * u64::from(rate) / 1_000 + step;
            assert!(count <= allowed, "{count} in {} ms at {rate}/s", until.since_ms(*from));
        }
    }
    // And it is used: what is due does not lie about.
    let took_ms = starts[starts.len() - 1].since_ms(starts[0]);
    let needed_ms = (u64::try_from(starts.len()).unwrap() - step) * 1_000 / u64::from(rate);
    assert!(took_ms <= needed_ms * 11 / 10, "{took_ms} ms where {needed_ms} ms do, at {rate}/s");
}

/// A store with room for every step of every rate here.
async fn roomy(db: &TestStore) -> Store {
    db.reopen_with(|options| {
        options.max_in_flight = 1_000;
        options.endpoint_max_in_flight = 400;
    })
    .await
}

on_both! {
    async fn an_endpoint_keeps_its_rate(db: TestStore) {
        for rate in [1, 3, 7, 10, 33, 150] {
            let app = db.app().await;
            db.endpoint_with(app, |endpoint| endpoint.throttle_rate = Some(rate)).await;
            let n = usize::try_from(rate * 6).unwrap();
            publish(&db, app, n).await;
            let store = roomy(&db).await;
            let starts: Vec<_> =
                starts(&db, &store, n).await.iter().map(|(at, _)| *at).collect();
            check_rate(&starts, rate);
            store.close().await;
        }
    }

    async fn an_apps_endpoints_share_its_rate(db: TestStore) {
        for rate in [1, 10, 33] {
            let app = db.app_with(|app| app.throttle_rate = Some(rate)).await;
            let endpoints = [db.endpoint(app).await, db.endpoint(app).await];
            db.endpoint_with(app, |e| e.throttle_rate = Some(1_000)).await;
            let n = usize::try_from(rate * 3).unwrap();
            for _ in 0..n {
                db.ingest(new_message(app)).await.unwrap();
                db.advance_ms(1);
            }
            let store = roomy(&db).await;
            let noted = starts(&db, &store, 3 * n).await;
            let starts: Vec<_> = noted.iter().map(|(at, _)| *at).collect();
            check_rate(&starts, rate);
            let mut first_half: HashMap<EndpointId, usize> = HashMap::new();
            for (_, endpoint) in &noted[..noted.len() / 2] {
                *first_half.entry(*endpoint).or_default() += 1;
            }
            let fair = n / 4;
            for endpoint in endpoints {
                let got = first_half.get(&endpoint).copied().unwrap_or(0);
                assert!(got >= fair, "an endpoint got {got} of {} at {rate}/s", noted.len() / 2);
            }
            store.close().await;
        }
    }

    async fn idleness_earns_no_burst(db: TestStore) {
        let app = db.app().await;
        db.endpoint_with(app, |endpoint| endpoint.throttle_rate = Some(10)).await;
        db.advance_ms(3_600_000);
        publish(&db, app, 50).await;
        let store = roomy(&db).await;
        let starts: Vec<_> = starts(&db, &store, 50).await.iter().map(|(at, _)| *at).collect();
        check_rate(&starts, 10);
        store.close().await;
    }
}
