use std::collections::BTreeSet;

use bytes::Bytes;
use model::delivery::{State, Trigger};
use model::endpoint::{Disabled, DisabledReason};
use model::message::Outcome;
use model::{AppId, EndpointId, Timestamp};
use store::{After, LEASE_MS, NewMessage, PublishError, Published};
use testkit::by;
use testkit::test_store::{ENDPOINT_MAX_IN_FLIGHT, MAX_IN_FLIGHT, Started, new_message};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, claim_all, publish, publish_all, raw, settle};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn keyed(app: AppId, key: &str) -> NewMessage {
    NewMessage { idempotency_key: Some(key.to_owned()), ..new_message(app) }
}

fn named(app: AppId, event_id: &str) -> NewMessage {
    NewMessage { event_id: Some(event_id.to_owned()), ..new_message(app) }
}

/// Publishes again for as long as another process is writing the same.
async fn insist(store: &store::Store, message: NewMessage) -> Result<Published, PublishError> {
    loop {
        match store.ingest(message.clone()).await {
            Err(PublishError::Unavailable(_)) => tokio::task::yield_now().await,
            answer => return answer,
        }
    }
}

/// The endpoints that a message goes to.
async fn receivers(db: &TestStore, app: AppId, message: &Published) -> BTreeSet<EndpointId> {
    let found = db.deliveries_of_message(app, message.id).await.unwrap();
    found.iter().map(|row| row.delivery.endpoint_id).collect()
}

on_both! {
    async fn it_goes_to_whoever_wants_it(db: TestStore) {
        let app = db.app().await;
        let wanting = async |types: &[&str], channels: &[&str]| {
            db.endpoint_with(app, |endpoint| {
                endpoint.filter.event_types = types.iter().map(ToString::to_string).collect();
                endpoint.filter.channels = channels.iter().map(ToString::to_string).collect();
            })
            .await
        };
        let everything = wanting(&[], &[]).await;
        let contacts = wanting(&["contact.*"], &[]).await;
        let exact = wanting(&["deal.won"], &[]).await;
        let eu = wanting(&[], &["eu"]).await;
        let both = wanting(&["contact.created"], &["eu", "us"]).await;
        let (other, _) = app_with_endpoint(&db).await;
        let is = async |event_type: &str, channels: &[&str], expected: &[EndpointId]| {
            let published = db
                .message_with(app, |message| {
                    message.event_type = event_type.to_owned();
                    message.channels = channels.iter().map(ToString::to_string).collect();
                })
                .await;
            assert_eq!(published.outcome, Outcome::FannedOut);
            let expected: BTreeSet<_> = expected.iter().copied().collect();
            assert_eq!(receivers(&db, app, &published).await, expected, "{event_type}");
        };
        is("contact.created", &[], &[everything, contacts]).await;
        is("contact.created", &["us"], &[everything, contacts, both]).await;
        is("contact.created", &["eu", "x"], &[everything, contacts, eu, both]).await;
        is("deal.won", &["x"], &[everything, exact]).await;
        let sample = db.message_with(app, |message| message.only_endpoint = Some(both)).await;
        assert_eq!(receivers(&db, app, &sample).await, [both].into());
        let elsewhere = db.message(other).await;
        assert_eq!(receivers(&db, app, &elsewhere).await, [].into());
    }

    async fn its_outcome_is_recorded(db: TestStore) {
        let app = db.app().await;
        let outcome = async || {
            let published = db.message(app).await;
            let stored = db.message_in_app(app, published.id.as_str()).await.unwrap().unwrap();
            assert_eq!(stored.outcome, published.outcome);
            (published.outcome, receivers(&db, app, &published).await.len())
        };
        assert_eq!(outcome().await, (Outcome::NoMatch, 0));
        let at = db.clock.now();
        let disabled = Disabled::new(at, DisabledReason::ByHand);
        db.endpoint_with(app, |e| e.filter.event_types = vec!["other".to_owned()]).await;
        assert_eq!(outcome().await, (Outcome::NoMatch, 0));
        db.endpoint_with(app, |e| e.disabled = Some(disabled)).await;
        assert_eq!(outcome().await, (Outcome::AllDisabled, 0));
        db.endpoint_with(app, |e| e.paused_at = Some(at)).await;
        assert_eq!(outcome().await, (Outcome::FannedOut, 1));
        let none = db.ingest(new_message(AppId::new(at, &db.entropy))).await;
        assert_eq!(none, Err(PublishError::AppNotFound));
    }

    async fn a_fresh_delivery_is_leased_and_handed_over(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let message = NewMessage {
            payload: Bytes::from_static(b"\0body"),
            content_type: Some("text/plain".to_owned()),
            ..new_message(app)
        };
        let published = db.ingest(message.clone()).await.unwrap();
        assert_eq!((published.created_at, published.repeated), (db.clock.now(), false));
        let lease = started.next().await;
        assert_eq!(lease.delivery_id.message_id(), published.id);
        assert_eq!(lease.route.endpoint.id, endpoint);
        assert_eq!((lease.attempts, lease.trigger), (0, Trigger::Scheduled));
        assert_eq!(lease.until, db.clock.now().plus_ms(LEASE_MS));
        assert_eq!(lease.envelope.message_id, published.id);
        assert_eq!(lease.envelope.event_type, message.event_type);
        assert_eq!(lease.envelope.payload, Some(message.payload));
        assert_eq!(lease.envelope.content_type, message.content_type);
        assert_eq!(db.claim().await.unwrap().count, 0, "it is leased already");
        assert_eq!(started.now().len(), 0);
    }

    async fn beyond_the_cap_it_is_queued_and_claimed_later(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let cap = usize::try_from(ENDPOINT_MAX_IN_FLIGHT).unwrap();
        publish(&db, app, cap + 3).await;
        let mut leases = Vec::new();
        for _ in 0..cap {
            leases.push(started.next().await);
        }
        assert_eq!(db.claim().await.unwrap().count, 0, "no slot is free");
        for lease in leases.drain(..2) {
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
        }
        assert_eq!(claim_all(&db).await, 3, "two to start and one to wait for a slot");
        let two = [started.next().await, started.next().await];
        assert_eq!(started.now().len(), 0);
        assert!(settle(&db, &two[0], 200, After::Succeeded).await);
        started.next().await;
    }

    async fn slots_are_shared_by_all(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        for _ in 0..MAX_IN_FLIGHT + 4 {
            db.endpoint(app).await;
        }
        db.message(app).await;
        for _ in 0..MAX_IN_FLIGHT {
            let lease = started.next().await;
            db.abandon(&lease);
        }
        assert_eq!(started.now().len(), 0);
        assert_eq!(claim_all(&db).await, 4, "the rest, in the slots that were given back");
    }

    async fn it_waits_for_its_time(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let now = db.clock.now();
        db.message_with(app, |message| message.deliver_at = Some(now.plus_ms(5_000))).await;
        let claimed = db.claim().await.unwrap();
        assert_eq!((claimed.count, claimed.next_due), (0, Some(now.plus_ms(5_000))));
        db.message_with(app, |message| message.deliver_at = Some(Timestamp(1))).await;
        started.next().await;
        db.advance_ms(4_999);
        assert_eq!(db.claim().await.unwrap().count, 0);
        db.advance_ms(1);
        assert_eq!(db.claim().await.unwrap().count, 1);
    }

    async fn what_is_held_is_not_started(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        let paused = db.endpoint_with(app, |e| e.paused_at = Some(e.created_at)).await;
        let throttled = db.endpoint_with(app, |e| e.throttle_rate = Some(1_000)).await;
        db.endpoint_with(app, |e| e.retry_schedule = Some("1s,1s".parse().unwrap())).await;
        db.message(app).await;
        assert_eq!(db.claim().await.unwrap().count, 1);
        assert_eq!(started.next().await.route.endpoint.id, throttled);
        db.change(app, paused, |endpoint| endpoint.paused_at = None).await;
        assert_eq!(db.claim().await.unwrap().count, 1);
        assert_eq!(started.next().await.route.endpoint.id, paused);
        assert_eq!(started.now().len(), 0);
    }

    async fn a_process_that_does_not_deliver_leases_nothing(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let front = db.reopen_with(|options| options.delivers = false).await;
        let mut never = Started::of(&front);
        front.ingest(new_message(app)).await.unwrap();
        assert_eq!(db.claim().await.unwrap().count, 1);
        started.next().await;
        assert_eq!(never.now().len(), 0);
        front.close().await;
    }

    async fn the_same_key_gets_the_same_answer(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let first = db.ingest(keyed(app, "k")).await.unwrap();
        db.advance_ms(5);
        let again = db.ingest(keyed(app, "k")).await.unwrap();
        assert_eq!(again, Published { repeated: true, ..first });
        let with_id = db.ingest(NewMessage { event_id: Some("e".to_owned()), ..keyed(app, "e") });
        let with_id = with_id.await.unwrap();
        let again = NewMessage { event_id: Some("e".to_owned()), ..keyed(app, "e") };
        assert_eq!(db.ingest(again).await.unwrap(), Published { repeated: true, ..with_id });
        assert_ne!(db.ingest(keyed(other, "k")).await.unwrap().id, first.id, "an app's own");
        db.erase_payload(app, first.id, &by()).await.unwrap();
        assert!(db.ingest(keyed(app, "k")).await.unwrap().repeated, "nothing left to compare");
        assert_eq!(raw::<i64>(&db, "select count(*) from message").await, 3);
    }

    async fn the_same_key_with_another_message_is_refused(db: TestStore) {
        let app = db.app().await;
        let full = NewMessage {
            channels: vec!["eu".to_owned()],
            tags: vec!["vip".to_owned()],
            deliver_at: Some(db.clock.now()),
            ..keyed(app, "k")
        };
        db.ingest(full.clone()).await.unwrap();
        assert!(db.ingest(full.clone()).await.unwrap().repeated);
        let text = || Some("x".to_owned());
        for different in [
            NewMessage { event_type: "x".to_owned(), ..full.clone() },
            NewMessage { payload: Bytes::from_static(b"{ }"), ..full.clone() },
            NewMessage { event_id: text(), ..full.clone() },
            NewMessage { content_type: text(), ..full.clone() },
            NewMessage { channels: Vec::new(), ..full.clone() },
            NewMessage { tags: vec!["x".to_owned()], ..full.clone() },
            NewMessage { deliver_at: None, ..full.clone() },
        ] {
            let refused = Err(PublishError::IdempotencyMismatch);
            assert_eq!(db.ingest(different.clone()).await, refused, "{different:?}");
            // Beside the first one in a batch of their own.
            let pair = [&full, &different].map(|it| {
                NewMessage { idempotency_key: Some(format!("{different:?}")), ..it.clone() }
            });
            let answers = db.ingest_batch(pair.into()).await.unwrap();
            assert!(answers[0].is_ok());
            assert_eq!(answers[1], refused);
        }
    }

    async fn two_in_one_batch_are_one_message(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        let batch = vec![keyed(app, "k"), new_message(app), keyed(app, "k"), keyed(app, "k")];
        let published = publish_all(&db, batch).await;
        assert_eq!(published[2], Published { repeated: true, ..published[0] });
        assert_eq!(published[3], published[2]);
        assert_ne!(published[1].id, published[0].id);
        let batch = vec![named(app, "e"), named(app, "e"), new_message(app)];
        let answers = db.ingest_batch(batch).await.unwrap();
        assert!(answers[0].is_ok() && answers[2].is_ok());
        assert_eq!(answers[1], Err(PublishError::EventIdTaken));
        assert_eq!(raw::<i64>(&db, "select count(*) from message").await, 4);
        assert_eq!(raw::<i64>(&db, "select count(*) from delivery").await, 4);
    }

    async fn a_key_is_free_again_after_a_day(db: TestStore) {
        let app = db.app().await;
        let first = db.ingest(keyed(app, "k")).await.unwrap();
        db.advance_ms(DAY_MS);
        assert!(db.ingest(keyed(app, "k")).await.unwrap().repeated);
        db.advance_ms(1);
        let other = NewMessage { payload: Bytes::from_static(b"1"), ..keyed(app, "k") };
        let second = db.ingest(other).await.unwrap();
        assert!(!second.repeated && second.id != first.id);
        assert!(db.message_in_app(app, first.id.as_str()).await.unwrap().is_some());
    }

    async fn an_event_id_is_used_once_in_an_app(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        db.ingest(named(app, "e")).await.unwrap();
        assert_eq!(db.ingest(named(app, "e")).await, Err(PublishError::EventIdTaken));
        assert!(db.ingest(named(app, "E")).await.is_ok());
        assert!(db.ingest(named(other, "e")).await.is_ok());
        db.advance_ms(365 * DAY_MS);
        assert_eq!(db.ingest(named(app, "e")).await, Err(PublishError::EventIdTaken));
    }

    async fn two_processes_at_once_write_it_once(db: TestStore) {
        let second = db.reopen().await;
        let (app, _) = app_with_endpoint(&db).await;
        for round in 0..20 {
            let key = format!("k{round}");
            let (one, two) = tokio::join!(
                insist(&db, keyed(app, &key)),
                insist(&second, keyed(app, &key)),
            );
            let (one, two) = (one.unwrap(), two.unwrap());
            assert_eq!(one.id, two.id);
            assert_ne!(one.repeated, two.repeated);
            let event_id = format!("e{round}");
            let answers = tokio::join!(
                insist(&db, named(app, &event_id)),
                insist(&second, named(app, &event_id)),
            );
            let taken = Err(PublishError::EventIdTaken);
            assert!((answers.0 == taken) != (answers.1 == taken), "{answers:?}");
        }
        assert_eq!(raw::<i64>(&db, "select count(*) from message").await, 40);
        assert_eq!(raw::<i64>(&db, "select count(*) from delivery").await, 40);
        second.close().await;
    }

    async fn what_another_process_wrote_first_takes_no_slot(db: TestStore) {
        let mut started = db.started();
        let second = db.reopen_with(|options| options.delivers = false).await;
        let (app, _) = app_with_endpoint(&db).await;
        for round in 0..4 * ENDPOINT_MAX_IN_FLIGHT {
            let event_id = format!("e{round}");
            let (here, _) = tokio::join!(
                insist(&db, named(app, &event_id)),
                insist(&second, named(app, &event_id)),
            );
            if here.is_err() {
                db.claim().await.unwrap();
            }
            let lease = started.next().await;
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
        }
        second.close().await;
    }

    async fn a_long_batch_is_one_answer_each(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.endpoint(app).await;
        let batch = (0..2_000_u32).map(|n| NewMessage {
            payload: n.to_be_bytes().to_vec().into(),
            event_id: (n % 2 == 0).then(|| n.to_string()),
            idempotency_key: (n % 3 == 0).then(|| n.to_string()),
            ..new_message(app)
        });
        let published = publish_all(&db, batch.collect()).await;
        let ids: BTreeSet<_> = published.iter().map(|published| published.id).collect();
        assert_eq!(ids.len(), 2_000);
        assert_eq!(raw::<i64>(&db, "select count(*) from delivery").await, 4_000);
        for n in [0, 1, 999, 1_999] {
            let stored = db.message_in_app(app, published[n].id.as_str()).await.unwrap().unwrap();
            let payload = u32::try_from(n).unwrap().to_be_bytes();
            assert_eq!(stored.payload.as_deref(), Some(&payload[..]));
        }
        started.next().await;
        let leased: i64 = raw(&db, "select count(*) from delivery where state = 1").await;
        assert!(leased <= i64::from(MAX_IN_FLIGHT));
    }

    async fn an_empty_batch_has_no_answers(db: TestStore) {
        assert_eq!(db.ingest_batch(Vec::new()).await, Ok(Vec::new()));
    }

    async fn closing_finishes_what_was_handed_in(db: TestStore) {
        let app = db.app().await;
        let second = db.reopen().await;
        let mut publishers = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let store = second.clone();
            publishers.spawn(async move { store.ingest(new_message(app)).await });
        }
        // Some are written, some are queued, some come too late: each is told what is true.
        publishers.join_next().await.unwrap().unwrap().unwrap();
        second.close().await;
        let mut written = 1;
        while let Some(answer) = publishers.join_next().await {
            match answer.unwrap() {
                Ok(_) => written += 1,
                Err(error) => assert!(matches!(error, PublishError::Unavailable(_)), "{error}"),
            }
        }
        assert_eq!(raw::<i64>(&db, "select count(*) from message").await, written);
        let late = second.ingest(new_message(app)).await;
        assert!(matches!(late, Err(PublishError::Unavailable(_))), "{late:?}");
        let state: i64 = raw(&db, "select count(*) from delivery where state = 1").await;
        assert_eq!(state, i64::from(State::Queued.code()), "no lease is left");
    }
}
