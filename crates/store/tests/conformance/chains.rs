//! Chains: who made which delivery of which other, why, and how far that may go.

use model::delivery::State;
use model::replay::{Kind, MAX_DEPTH, MessageIdWish, Options, Selection};
use model::{AppId, DeliveryId, EndpointId, MessageId};
use store::{After, Chain, NewReplay, Resend, Step};
use testkit::test_store::new_message;
use testkit::{TestStore, by, on_both};

use crate::world::{app_with_endpoint, resend, settle, settled};

/// A chain holds together: one root, and every parent before its child, one step away.
fn check(chain: &Chain, root: DeliveryId) {
    let links: Vec<_> = chain.links.iter().map(|link| &link.delivery.delivery).collect();
    for (at, link) in links.iter().enumerate() {
        let Some(parent) = link.parent_id else {
            assert_eq!((link.id, link.depth, at), (root, 0, 0));
            continue;
        };
        let parent = links[..at].iter().find(|earlier| earlier.id == parent).expect("a parent");
        assert_eq!((link.root_id, link.depth), (Some(root), parent.depth + 1));
        assert!(link.depth <= MAX_DEPTH);
    }
}

async fn failed(db: &TestStore, app: AppId) -> (MessageId, DeliveryId) {
    let mut started = db.started();
    let lease = settled(db, &mut started, new_message(app), 500, After::Failed).await;
    db.advance_ms(5);
    (lease.envelope.message_id, lease.delivery_id)
}

fn all(app: AppId, endpoint: EndpointId, db: &TestStore) -> Selection {
    Selection::new(app, testkit::START.minus_ms(1), db.clock.now().plus_ms(1)).at(endpoint)
}

on_both! {
    async fn a_chain_tells_all_of_it_in_order(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let (message, root) = failed(&db, app).await;
        let why = Some("asked by the customer".to_owned());
        let wish = Resend { reason: why.clone(), ..Resend::new(app, endpoint, message) };
        let first = db.resend(&wish, &by()).await.unwrap().expect("a delivery");
        db.advance_ms(5);
        let options = Options { message_id: MessageIdWish::Renew, ..Options::default() };
        let bulk = NewReplay { options, ..NewReplay::new(Kind::Bulk, all(app, endpoint, &db)) };
        let replay = db.start_replay(bulk, &by()).await.unwrap();
        let mut task = replay.task.expect("a task");
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::Moved);
        let renewed = task.progress.last_delivery.expect("a delivery");
        let chain = db.chain_in_app(app, root).await.unwrap();
        check(&chain, root);
        let ids: Vec<_> = chain.links.iter().map(|link| link.delivery.delivery.id).collect();
        assert_eq!(ids, [root, first, renewed]);
        let [published, resent, bulk] = &chain.links[..] else { panic!("three links") };
        assert_eq!((&published.by, published.kind, &published.reason), (&None, None, &None));
        assert_eq!((&resent.by, resent.kind), (&Some(by()), Some(Kind::Resend)));
        assert_eq!(resent.reason, why);
        assert_eq!((&bulk.by, bulk.kind), (&Some(by()), Some(Kind::Bulk)));
        assert_eq!(bulk.delivery.delivery.replay_id, Some(replay.id));
        assert_eq!(published.delivery.delivery.attempts, 1);
        assert_eq!(published.delivery.delivery.state, State::Failed);
        assert!(!chain.is_cut);
        let stranger = db.app().await;
        assert!(db.chain_in_app(stranger, root).await.unwrap().links.is_empty());
    }

    async fn a_chain_has_an_end(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let (message, root) = failed(&db, app).await;
        for _ in 0..MAX_DEPTH {
            db.advance_ms(1);
            resend(&db, app, endpoint, message).await;
        }
        let wish = Resend::new(app, endpoint, message);
        db.advance_ms(1);
        assert_eq!(db.resend(&wish, &by()).await.unwrap(), None);
        let chain = db.chain_in_app(app, root).await.unwrap();
        check(&chain, root);
        assert_eq!(chain.links.len() as u32, MAX_DEPTH + 1);
        // Random replays of random members hold together as well.
        for _ in 0..60 {
            let at = (db.entropy.next_u64() % chain.links.len() as u64) as usize;
            let of = chain.links[at].delivery.delivery.id.message_id();
            db.advance_ms(1);
            let wish = Resend { id_wish: MessageIdWish::Renew, ..Resend::new(app, endpoint, of) };
            db.resend(&wish, &by()).await.unwrap();
        }
        check(&db.chain_in_app(app, root).await.unwrap(), root);
    }

    async fn replays_of_many_leave_out_what_was_replayed_too_often(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        failed(&db, app).await;
        crate::world::execute(&db, "update delivery set depth = 100").await;
        let bulk = NewReplay::new(Kind::Bulk, all(app, endpoint, &db));
        let mut task = db.start_replay(bulk, &by()).await.unwrap().task.expect("a task");
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::Moved);
        let course = task.progress.course.expect("a course");
        assert_eq!((task.progress.done, course.skipped, course.is_done()), (0, 1, true));
    }

    async fn a_new_id_or_payload_makes_a_message_for_one_endpoint(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let other = db.endpoint_with(app, |it| it.paused_at = Some(it.created_at)).await;
        let mut started = db.started();
        let message = store::NewMessage {
            event_id: Some("evt-1".to_owned()),
            channels: vec!["eu".to_owned()],
            tags: vec!["vip".to_owned()],
            payload: bytes::Bytes::from_static(b"{\"n\": 1}"),
            ..new_message(app)
        };
        let lease = settled(&db, &mut started, message, 200, After::Succeeded).await;
        let (original, root) = (lease.envelope.message_id, lease.delivery_id);
        let before = db.message_in_app(app, original.as_str()).await.unwrap().expect("it");
        db.advance_ms(5);
        let changed = bytes::Bytes::from_static(b"{\"n\":  2.000000000000000000001}");
        let plain = Resend::new(app, endpoint, original);
        for (wish, payload, is_changed) in [
            (Resend { id_wish: MessageIdWish::Renew, ..plain.clone() }, before.payload.clone(), false),
            (Resend { payload: Some(changed.clone()), ..plain.clone() }, Some(changed), true),
        ] {
            db.advance_ms(5);
            let made = db.resend(&wish, &by()).await.unwrap().expect("a delivery");
            let copy = made.message_id();
            assert_ne!(copy, original);
            let copy = db.message_in_app(app, copy.as_str()).await.unwrap().expect("a message");
            assert_eq!((copy.replay_of, copy.changed), (Some(original), is_changed));
            assert_eq!((&copy.payload, &copy.event_id), (&payload, &None));
            assert_eq!(
                (&copy.event_type, &copy.channels, &copy.tags),
                (&before.event_type, &before.channels, &before.tags)
            );
            let [row] = &db.deliveries_of_message(app, copy.id).await.unwrap()[..] else {
                panic!("for one endpoint alone")
            };
            assert_eq!((row.replay_of, row.changed), (Some(original), is_changed));
            let delivery = &row.delivery;
            assert_eq!((delivery.id, delivery.endpoint_id), (made, endpoint));
            assert_eq!((delivery.root_id, delivery.parent_id), (Some(root), Some(root)));
            // It is sent under its own id, with these bytes.
            db.claim().await.unwrap();
            let lease = started.next().await;
            assert_eq!((lease.envelope.message_id, &lease.envelope.payload), (copy.id, &payload));
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
        }
        assert_eq!(db.message_in_app(app, original.as_str()).await.unwrap(), Some(before));
        check(&db.chain_in_app(app, root).await.unwrap(), root);
        // Nobody else missed it.
        let late = db.endpoint(app).await;
        let missing = NewReplay::new(Kind::Missing, all(app, late, &db));
        let mut task = db.start_replay(missing, &by()).await.unwrap().task.expect("a task");
        db.step_task(&mut task).await.unwrap();
        assert_eq!(task.progress.done, 1, "only the original");
        let _ = other;
    }

    async fn a_resend_never_ends_the_automatic_chain(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let mut started = db.started();
        let due = db.clock.now().plus_ms(60_000);
        let lease = settled(&db, &mut started, new_message(app), 500, After::RetryAt(due)).await;
        let (message, first) = (lease.envelope.message_id, lease.delivery_id);
        db.advance_ms(5);
        for after in [After::Succeeded, After::Failed] {
            let again = resend(&db, app, endpoint, message).await;
            db.claim().await.unwrap();
            let lease = started.next().await;
            assert_eq!(lease.delivery_id, again);
            let status = if after == After::Succeeded { 200 } else { 500 };
            assert!(settle(&db, &lease, status, after).await);
            let row = db.delivery_in_app(app, first).await.unwrap().expect("it").delivery;
            assert_eq!((row.state, row.due_at, row.attempts), (State::Queued, due, 1));
        }
        db.clock.advance_to(due);
        db.claim().await.unwrap();
        let lease = started.next().await;
        assert_eq!((lease.delivery_id, lease.attempts), (first, 1), "it goes on by its schedule");
    }
}
