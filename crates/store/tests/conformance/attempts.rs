use std::net::{IpAddr, Ipv6Addr};

use model::attempt::{Attempt, AttemptDetail, ErrorKind, Timing};
use model::delivery::Trigger;
use model::{AppId, AttemptId};
use store::{After, AttemptQuery, Lease, MessageFilter, NewMessage, Page};
use testkit::by;
use testkit::test_store::{Started, attempt, new_message};
use testkit::{TestStore, on_both};

use crate::world::{ODD, app_with_endpoint, keys, pages, settle, walk};

fn full(lease: &Lease) -> Attempt {
    Attempt {
        trigger: Trigger::Manual,
        duration_ms: u32::try_from(i32::MAX).unwrap(),
        response_body: b"\0\xff\xc3\x28 odd".to_vec(),
        detail: AttemptDetail {
            url: ODD.to_owned(),
            request_headers: [(ODD, "\0"), ("", "")].into_iter().collect(),
            response_headers: [("x", ODD)].into_iter().collect(),
            address: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            error: Some(ODD.to_owned()),
            response_cut: true,
            timing: Timing { tls_us: Some(u64::MAX), ..Timing::default() },
        },
        ..attempt(lease, model::Timestamp(1), Some(599))
    }
}

/// Publishes, then fails and retries until `n` attempts are made, a second apart.
async fn tried(db: &TestStore, started: &mut Started, app: AppId, n: u32) -> Vec<AttemptId> {
    db.message(app).await;
    let mut made = Vec::new();
    for number in 1..=n {
        let lease = started.next().await;
        made.push(AttemptId::new(&lease.delivery_id, number));
        let due = db.clock.now().plus_ms(1_000);
        let after = if number < n { After::RetryAt(due) } else { After::Failed };
        assert!(settle(db, &lease, 500, after).await);
        if number < n {
            db.advance_ms(1_000);
            assert_eq!(db.claim().await.unwrap().count, 1);
        }
    }
    made
}

fn text(ids: &[AttemptId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn ids(page: Page<Attempt>) -> Page<String> {
    keys(page, |attempt| attempt.id.to_string())
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let stranger = db.app().await;
        for bare in [false, true] {
            db.message(app).await;
            let lease = started.next().await;
            let made = if bare {
                Attempt {
                    response_body: Vec::new(),
                    detail: AttemptDetail::default(),
                    ..attempt(&lease, db.clock.now(), None)
                }
            } else {
                full(&lease)
            };
            assert!(db.settle(lease.settlement(Some(made.clone()), After::Failed)).await.unwrap());
            assert_eq!(db.attempt_in_app(app, made.id).await.unwrap(), Some(made.clone()));
            assert_eq!(db.attempt_in_app(stranger, made.id).await.unwrap(), None);
        }
    }

    async fn every_kind_of_error_comes_back(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        for kind in ErrorKind::ALL {
            db.message(app).await;
            let lease = started.next().await;
            let made = Attempt { error: Some(kind), ..attempt(&lease, db.clock.now(), None) };
            db.settle(lease.settlement(Some(made.clone()), After::Failed)).await.unwrap();
            assert_eq!(db.attempt_in_app(app, made.id).await.unwrap(), Some(made));
            let row = crate::world::delivery_of(&db, app, &lease).await;
            assert_eq!(row.last_error, Some(kind));
        }
    }

    async fn a_deliverys_attempts_come_first_to_last(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let made = tried(&db, &mut started, app, 12).await;
        let delivery = made[0].delivery_id();
        let found = db.attempts_of_delivery(app, delivery).await.unwrap();
        assert_eq!(found.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), made);
        assert!(found.iter().map(|attempt| attempt.number).eq(1..=12));
        let stranger = db.app().await;
        assert!(db.attempts_of_delivery(stranger, delivery).await.unwrap().is_empty());
    }

    async fn pages_go_forth_and_back_by_time(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let (other, elsewhere) = app_with_endpoint(&db).await;
        tried(&db, &mut started, other, 2).await;
        let first = tried(&db, &mut started, app, 7).await;
        // Attempts of several messages at one moment, and ids that do not sort by time.
        let mut all = first.clone();
        let mut same_moment = Vec::new();
        for _ in 0..4 {
            db.message(app).await;
            let lease = started.next().await;
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
            same_moment.push(AttemptId::new(&lease.delivery_id, 1));
        }
        let last = all.pop().unwrap();
        same_moment.push(last);
        same_moment.sort();
        all.extend(same_moment);
        walk(&text(&all), async |page| {
            let query = AttemptQuery { page, ..AttemptQuery::default() };
            ids(db.attempts_of_endpoint(app, endpoint, &query).await.unwrap())
        })
        .await;
        let message = first[0].message_id();
        walk(&text(&first), async |page| {
            let query = AttemptQuery { page, ..AttemptQuery::default() };
            ids(db.attempts_of_message(app, message, &query).await.unwrap())
        })
        .await;
        let query = AttemptQuery::default();
        assert!(db.attempts_of_endpoint(other, endpoint, &query).await.unwrap().data.is_empty());
        assert!(db.attempts_of_message(other, message, &query).await.unwrap().data.is_empty());
        assert_eq!(db.attempts_of_endpoint(other, elsewhere, &query).await.unwrap().data.len(), 2);
    }

    async fn lists_are_narrowed_by_every_filter(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let start = db.clock.now();
        let message = db.ingest(NewMessage {
            channels: vec!["eu".to_owned()],
            tags: vec!["vip".to_owned()],
            ..new_message(app)
        });
        let message = message.await.unwrap().id;
        let mut made = Vec::new();
        for status in [Some(500), None, Some(302), Some(204)] {
            let lease = started.next().await;
            let now = db.clock.now();
            let it = attempt(&lease, now, status);
            made.push(it.id);
            let after = After::RetryAt(now.plus_ms(1_000));
            assert!(db.settle(lease.settlement(Some(it), after)).await.unwrap());
            db.advance_ms(1_000);
            db.claim().await.unwrap();
        }
        let is = async |query: AttemptQuery, expected: &[AttemptId]| {
            let query = AttemptQuery { page: pages(99), ..query };
            let by_endpoint = db.attempts_of_endpoint(app, endpoint, &query).await.unwrap();
            assert_eq!(ids(by_endpoint).data, text(expected), "{query:?}");
            let by_message = db.attempts_of_message(app, message, &query).await.unwrap();
            assert_eq!(ids(by_message).data, text(expected), "{query:?}");
        };
        let all = AttemptQuery::default;
        let of = |filter| AttemptQuery { filter, ..all() };
        let none = MessageFilter::default;
        is(all(), &made).await;
        is(AttemptQuery { succeeded: Some(true), ..all() }, &made[3..]).await;
        is(AttemptQuery { succeeded: Some(false), ..all() }, &made[..3]).await;
        is(AttemptQuery { status_code_class: Some(500), ..all() }, &made[..1]).await;
        is(AttemptQuery { status_code_class: Some(300), ..all() }, &made[2..3]).await;
        is(AttemptQuery { status_code_class: Some(400), ..all() }, &[]).await;
        let typed = |name: &str| MessageFilter { event_types: vec![name.to_owned()], ..none() };
        is(of(typed("contact.created")), &made).await;
        is(of(typed("contact")), &[]).await;
        is(of(MessageFilter { channel: Some("eu".to_owned()), ..none() }), &made).await;
        is(of(MessageFilter { channel: Some("us".to_owned()), ..none() }), &[]).await;
        is(of(MessageFilter { tag: Some("vip".to_owned()), ..none() }), &made).await;
        is(of(MessageFilter { tag: Some("vi".to_owned()), ..none() }), &[]).await;
        let second = Some(start.plus_ms(1_000));
        is(of(MessageFilter { after: second, ..none() }), &made[2..]).await;
        is(of(MessageFilter { before: second, ..none() }), &made[..1]).await;
        let here = AttemptQuery { endpoint: Some(endpoint), ..all() };
        assert_eq!(db.attempts_of_message(app, message, &here).await.unwrap().data.len(), 4);
        let other = AttemptQuery { endpoint: Some(db.endpoint(app).await), ..all() };
        assert!(db.attempts_of_message(app, message, &other).await.unwrap().data.is_empty());
    }

    async fn a_kept_response_is_erased(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        let made = tried(&db, &mut started, app, 2).await;
        let stranger = db.app().await;
        assert!(!db.erase_response(stranger, made[0], &by()).await.unwrap());
        let body = async |id| db.attempt_in_app(app, id).await.unwrap().unwrap().response_body;
        assert_eq!(body(made[0]).await, b"a body");
        assert!(db.erase_response(app, made[0], &by()).await.unwrap());
        assert_eq!(body(made[0]).await, b"");
        assert_eq!(body(made[1]).await, b"a body");
        let none = AttemptId::new(&made[0].delivery_id(), 60);
        assert!(!db.erase_response(app, none, &by()).await.unwrap());
    }
}
