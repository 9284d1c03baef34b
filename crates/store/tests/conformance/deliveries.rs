use model::attempt::ErrorKind;
use model::delivery::{Delivery, State, Trigger};
use model::{AppId, DeliveryId, EndpointId};
use store::{After, Cancel, DeliveryQuery, DeliveryRow, MessageFilter, NewMessage};
use testkit::by;
use testkit::test_store::{attempt, new_message};
use testkit::{TestStore, on_both};

use crate::world::{
    app_with_endpoint, claim_all, delivery_of, keys, pages, publish, resend, settle, settled,
    state_of, walk,
};

async fn list(db: &TestStore, app: AppId, query: DeliveryQuery) -> Vec<DeliveryRow> {
    let query = DeliveryQuery { page: pages(99), ..query };
    db.deliveries_in_app(app, &query).await.unwrap().data
}

fn ids(rows: &[DeliveryRow]) -> Vec<DeliveryId> {
    rows.iter().map(|row| row.delivery.id).collect()
}

async fn held_endpoint(db: &TestStore, app: AppId) -> EndpointId {
    db.endpoint_with(app, |endpoint| endpoint.paused_at = Some(endpoint.created_at)).await
}

async fn place(db: &TestStore, row: &DeliveryRow) -> u32 {
    db.place_in_queue(&row.delivery).await.unwrap()
}

on_both! {
    async fn every_field_comes_back_in_every_state(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let stranger = db.app().await;
        let now = db.clock.now();
        db.message(app).await;
        let lease = started.next().await;
        let row = delivery_of(&db, app, &lease).await;
        let leased = Delivery {
            id: lease.delivery_id,
            app_id: app,
            endpoint_id: endpoint,
            state: State::Leased,
            trigger: Trigger::Scheduled,
            due_at: now.plus_ms(store::LEASE_MS),
            lease_until: Some(now.plus_ms(store::LEASE_MS)),
            attempts: 0,
            parent_id: None,
            root_id: None,
            depth: 0,
            replay_id: None,
            created_at: now,
            settled_at: None,
        };
        assert_eq!(row.delivery, leased);
        assert_eq!(row.event_type.as_deref(), Some("contact.created"));
        assert_eq!((row.last_status, row.last_error), (None, None));
        let later = db.advance_ms(10);
        assert!(settle(&db, &lease, 503, After::RetryAt(later.plus_ms(5))).await);
        let row = delivery_of(&db, app, &lease).await;
        let retry = Delivery {
            state: State::Queued,
            due_at: later.plus_ms(5),
            lease_until: None,
            attempts: 1,
            ..leased.clone()
        };
        assert_eq!(row.delivery, retry);
        assert_eq!((row.last_status, row.last_error), (Some(503), Some(ErrorKind::Status)));
        let later = db.advance_ms(5);
        db.claim().await.unwrap();
        let lease = started.next().await;
        assert_eq!((lease.delivery_id, lease.attempts), (leased.id, 1));
        let timeout = attempt(&lease, later, None);
        assert!(db.settle(lease.settlement(Some(timeout), After::Failed)).await.unwrap());
        let row = delivery_of(&db, app, &lease).await;
        assert_eq!((row.delivery.state, row.delivery.attempts), (State::Failed, 2));
        assert_eq!(row.delivery.settled_at, Some(later));
        // The last answer there was, and what went wrong last.
        assert_eq!((row.last_status, row.last_error), (Some(503), Some(ErrorKind::Timeout)));
        assert!(db.delivery_in_app(stranger, leased.id).await.unwrap().is_none());
        assert!(list(&db, stranger, DeliveryQuery::default()).await.is_empty());
    }

    async fn a_messages_deliveries_stand_together(db: TestStore) {
        let (app, first) = app_with_endpoint(&db).await;
        let second = held_endpoint(&db, app).await;
        let published = publish(&db, app, 3).await;
        for message in &published {
            let found = db.deliveries_of_message(app, message.id).await.unwrap();
            let mut endpoints: Vec<_> = found.iter().map(|row| row.delivery.endpoint_id).collect();
            endpoints.sort();
            let mut expected = vec![first, second];
            expected.sort();
            assert_eq!(endpoints, expected);
            assert!(found.iter().all(|row| row.delivery.id.message_id() == message.id));
        }
        let stranger = db.app().await;
        let found = db.deliveries_of_message(stranger, published[0].id).await.unwrap();
        assert!(found.is_empty());
    }

    async fn lists_are_narrowed_by_every_filter(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let start = db.clock.now();
        let mut made = Vec::new();
        for (event_type, status, after) in [
            ("a", 200, After::Succeeded),
            ("b", 503, After::Failed),
            ("a.b", 404, After::RetryAt(start.plus_ms(1_000_000))),
        ] {
            let message = NewMessage {
                event_type: event_type.to_owned(),
                channels: vec![format!("on-{event_type}")],
                tags: vec![format!("tag-{event_type}"), "all".to_owned()],
                ..new_message(app)
            };
            let lease = settled(&db, &mut started, message, status, after).await;
            made.push(lease.delivery_id);
            db.advance_ms(1_000);
        }
        let held = held_endpoint(&db, app).await;
        let only_held = NewMessage { only_endpoint: Some(held), ..new_message(app) };
        let message = db.ingest(only_held).await.unwrap();
        made.push(db.deliveries_of_message(app, message.id).await.unwrap()[0].delivery.id);
        let all = DeliveryQuery::default;
        let of = |filter| DeliveryQuery { filter, ..all() };
        let none = MessageFilter::default;
        let is = async |query: DeliveryQuery, expected: &[DeliveryId]| {
            assert_eq!(ids(&list(&db, app, query.clone()).await), expected, "{query:?}");
            // The same within one endpoint, which has a statement of its own.
            let here: Vec<_> = expected.iter().copied().filter(|id| *id != made[3]).collect();
            let query = DeliveryQuery { endpoint: Some(endpoint), ..query };
            assert_eq!(ids(&list(&db, app, query.clone()).await), here, "{query:?}");
        };
        is(all(), &made).await;
        is(DeliveryQuery { state: Some(State::Succeeded), ..all() }, &made[..1]).await;
        is(DeliveryQuery { state: Some(State::Failed), ..all() }, &made[1..2]).await;
        is(DeliveryQuery { state: Some(State::Queued), ..all() }, &made[2..]).await;
        is(DeliveryQuery { state: Some(State::Canceled), ..all() }, &[]).await;
        is(DeliveryQuery { status_code_class: Some(500), ..all() }, &made[1..2]).await;
        is(DeliveryQuery { status_code_class: Some(200), ..all() }, &made[..1]).await;
        is(DeliveryQuery { error: Some(ErrorKind::Status), ..all() }, &made[1..3]).await;
        is(DeliveryQuery { error: Some(ErrorKind::Dns), ..all() }, &[]).await;
        is(of(MessageFilter { event_types: vec!["a".to_owned()], ..none() }), &made[..1]).await;
        is(of(MessageFilter { channel: Some("on-b".to_owned()), ..none() }), &made[1..2]).await;
        is(of(MessageFilter { tag: Some("all".to_owned()), ..none() }), &made[..3]).await;
        let second = Some(start.plus_ms(1_000));
        is(of(MessageFilter { after: second, ..none() }), &made[2..]).await;
        is(of(MessageFilter { before: second, ..none() }), &made[..1]).await;
        let here = DeliveryQuery { endpoint: Some(held), ..all() };
        assert_eq!(ids(&list(&db, app, here).await), made[3..]);
    }

    async fn pages_go_forth_and_back(db: TestStore) {
        let app = db.app().await;
        let (one, two) = (held_endpoint(&db, app).await, held_endpoint(&db, app).await);
        let other = db.app().await;
        held_endpoint(&db, other).await;
        for n in 0..5 {
            db.message(app).await;
            db.message(other).await;
            db.advance_ms(n % 2);
        }
        let mut all = ids(&list(&db, app, DeliveryQuery::default()).await);
        assert_eq!(all.len(), 10);
        all.sort();
        let text = |ids: &[DeliveryId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        walk(&text(&all), async |page| {
            let query = DeliveryQuery { page, ..DeliveryQuery::default() };
            let found = db.deliveries_in_app(app, &query).await.unwrap();
            keys(found, |row| row.delivery.id.to_string())
        })
        .await;
        publish(&db, app, 3).await;
        for endpoint in [one, two] {
            let query = DeliveryQuery { endpoint: Some(endpoint), ..DeliveryQuery::default() };
            let mut own = ids(&list(&db, app, query.clone()).await);
            assert_eq!(own.len(), 8);
            own.sort();
            walk(&text(&own), async |page| {
                let query = DeliveryQuery { page, ..query.clone() };
                let found = db.deliveries_in_app(app, &query).await.unwrap();
                keys(found, |row| row.delivery.id.to_string())
            })
            .await;
        }
    }

    async fn only_what_is_queued_is_canceled(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let stranger = db.app().await;
        db.message(app).await;
        let lease = started.next().await;
        let id = lease.delivery_id;
        let cancel = async |app| db.cancel_delivery_if_queued(app, id, &by()).await.unwrap();
        assert_eq!(cancel(app).await, Cancel::TooLate(State::Leased));
        let due = db.clock.now().plus_ms(1_000);
        assert!(settle(&db, &lease, 500, After::RetryAt(due)).await);
        assert_eq!(cancel(stranger).await, Cancel::NotFound);
        assert_eq!(state_of(&db, app, &lease).await, State::Queued);
        let now = db.advance_ms(5);
        assert_eq!(cancel(app).await, Cancel::Canceled);
        let row = delivery_of(&db, app, &lease).await.delivery;
        assert_eq!((row.state, row.settled_at, row.attempts), (State::Canceled, Some(now), 1));
        assert_eq!(cancel(app).await, Cancel::TooLate(State::Canceled));
        let counts = db.counts(endpoint, now, now.plus_ms(1)).await.unwrap();
        assert_eq!((counts.canceled, counts.sending, counts.pending), (1, 0, 0));
        db.advance_ms(2_000);
        assert_eq!(claim_all(&db).await, 0);
        // Another in the same hour adds to the sum.
        let later = db.message_with(app, |it| it.deliver_at = Some(due.plus_ms(9_999))).await;
        let queued = db.deliveries_of_message(app, later.id).await.unwrap()[0].delivery.id;
        let canceled = db.cancel_delivery_if_queued(app, queued, &by()).await.unwrap();
        assert_eq!(canceled, Cancel::Canceled);
        assert_eq!(db.counts(endpoint, now, now.plus_ms(1)).await.unwrap().canceled, 2);
    }

    async fn a_place_in_the_queue_counts_what_is_due_before(db: TestStore) {
        let app = db.app().await;
        let endpoint = held_endpoint(&db, app).await;
        let now = db.clock.now();
        for delay_ms in [3_000, 1_000, 2_000] {
            db.message_with(app, |it| it.deliver_at = Some(now.plus_ms(delay_ms))).await;
        }
        let rows = list(&db, app, DeliveryQuery::default()).await;
        for row in &rows {
            let due_before = (row.delivery.due_at.since_ms(now) / 1_000) - 1;
            assert_eq!(u64::from(place(&db, row).await), due_before);
        }
        publish(&db, app, 1_050).await;
        let last = rows.iter().max_by_key(|row| row.delivery.due_at).unwrap();
        assert_eq!(place(&db, last).await, 1_000, "it is not counted further");
        let hold = db.hold_of(endpoint).await.unwrap();
        assert_eq!(hold, Some(model::Timestamp::NEVER));
        db.change(app, endpoint, |endpoint| endpoint.paused_at = None).await;
        assert_eq!(db.hold_of(endpoint).await.unwrap(), None);
    }

    async fn a_resend_is_a_new_delivery_that_knows_its_chain(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let retry = After::RetryAt(db.clock.now().plus_ms(9_000));
        let first = settled(&db, &mut started, new_message(app), 500, retry).await;
        let message = first.envelope.message_id;
        let mut chain = vec![first.delivery_id];
        for _ in 0..2 {
            db.advance_ms(1);
            let parent = *chain.last().unwrap();
            let id = resend(&db, app, endpoint, message).await;
            let row = db.delivery_in_app(app, id).await.unwrap().unwrap().delivery;
            assert_eq!((row.state, row.trigger), (State::Queued, Trigger::Manual));
            assert_eq!((row.parent_id, row.root_id), (Some(parent), Some(chain[0])));
            assert_eq!(row.depth as usize, chain.len());
            chain.push(id);
        }
        assert_eq!(claim_all(&db).await, 2, "the automatic chain waits for its own time");
        let resent = started.next().await;
        assert_eq!((resent.trigger, resent.attempts), (Trigger::Manual, 0));
        let other = db.endpoint(app).await;
        let to_other = resend(&db, app, other, message).await;
        let row = db.delivery_in_app(app, to_other).await.unwrap().unwrap().delivery;
        assert_eq!((row.parent_id, row.root_id), (None, None));
        assert_eq!(db.deliveries_of_message(app, message).await.unwrap().len(), 4);
    }
}
