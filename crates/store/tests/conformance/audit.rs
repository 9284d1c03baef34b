use model::attempt::Attempt;
use model::audit::{Actor, ActorKind, Entry};
use model::delivery::State;
use model::endpoint::{DisabledReason, Endpoint};
use model::event_type::EventType;
use model::signature::Secret;
use model::task::Work;
use model::{AppId, EndpointId, EventTypeId, MessageId, Timestamp};
use serde_json::{Value, json};
use store::{After, AuditQuery, Cancel, Order, PageQuery};
use testkit::test_store::{attempt, new_message};
use testkit::{TestStore, by, on_both};

use crate::world::{ODD, keys, pages, raw, settled, walk};

fn somebody() -> Actor {
    Actor {
        kind: ActorKind::Token,
        id: Some("key_1".to_owned()),
        name: ODD.to_owned(),
        address: Some("2001:db8::7".parse().unwrap()),
        request_id: Some("req_1".to_owned()),
    }
}

fn event_type(db: &TestStore, name: &str) -> EventType {
    let now = db.clock.now();
    EventType {
        id: EventTypeId::new(now, &db.entropy),
        name: name.to_owned(),
        description: String::new(),
        archived: false,
        deprecated: false,
        schemas: Some(json!({ "1": { "type": "object" } })),
        feature_flags: None,
        group_name: None,
        retry_schedule: None,
        created_at: now,
        updated_at: now,
    }
}

async fn entries(db: &TestStore) -> Vec<Entry> {
    let query = AuditQuery { page: pages(250), ..Default::default() };
    db.audit_log(&query).await.unwrap().data
}

/// The one entry that was made since `known` there were, with the names of the fields that differ.
async fn newest(db: &TestStore, known: usize, made_by: &Actor) -> (Entry, Vec<String>) {
    let mut all = entries(db).await;
    assert_eq!(all.len(), known + 1, "exactly one entry");
    let entry = all.pop().unwrap();
    assert_eq!(&entry.actor, made_by);
    assert_eq!(entry.at, db.clock.now());
    let changed = differences(&entry);
    (entry, changed)
}

fn differences(entry: &Entry) -> Vec<String> {
    match (&entry.before, &entry.after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(value))
            .map(|(name, _)| name.clone())
            .collect(),
        (None, Some(_)) => vec!["+".to_owned()],
        (Some(_), None) => vec!["-".to_owned()],
        _ => Vec::new(),
    }
}

/// Does something and expects one entry: its action, its target, its app, and what differs.
macro_rules! leaves {
    ($db:ident, $app:expr, $($action:literal on $target:expr => [$($field:literal),*]: $change:expr;)+) => {$(
        let known = entries(&$db).await.len();
        $db.advance_ms(1_000);
        $change;
        let (entry, changed) = newest(&$db, known, &somebody()).await;
        assert_eq!(entry.action, $action);
        assert_eq!(entry.target, $target.to_string(), $action);
        assert_eq!(entry.app_id, $app, $action);
        let expected: Vec<&str> = vec![$($field),*];
        assert_eq!(changed, expected, $action);
    )+};
}

/// Does something that must leave no entry.
macro_rules! leaves_nothing {
    ($db:ident, $($change:expr;)+) => {$(
        let known = entries(&$db).await.len();
        $change;
        assert_eq!(entries(&$db).await.len(), known, "{}", stringify!($change));
    )+};
}

/// A message with one delivery that waits and one that was tried.
struct Sent {
    message: MessageId,
    queued: model::DeliveryId,
    tried: Attempt,
}

async fn sent(db: &TestStore, app: AppId, paused: EndpointId) -> Sent {
    let mut started = db.started();
    let lease = settled(db, &mut started, new_message(app), 200, After::Succeeded).await;
    let message = lease.envelope.message_id;
    let rows = db.deliveries_of_message(app, message).await.unwrap();
    let queued = rows.iter().find(|row| row.delivery.endpoint_id == paused).unwrap();
    assert_eq!(queued.delivery.state, State::Queued);
    let tried = attempt(&lease, db.clock.now(), Some(200));
    Sent { message, queued: queued.delivery.id, tried }
}

/// Changes an endpoint and saves it.
async fn save(db: &TestStore, hook: &mut Endpoint, change: impl FnOnce(&mut Endpoint, Timestamp)) {
    change(hook, db.clock.now());
    assert!(db.update_endpoint(hook, &somebody()).await.unwrap());
}

const SECRET: &str = "whsec_QXVkaXRlZC1zZWNyZXRzLXN0YXktaGlkZGVuIQ==";
const NEXT_SECRET: &str = "whsec_VGhlLW5leHQtb25lLXN0YXlzLWhpZGRlbi10b28h";
const HEADER: &str = "Bearer hidden-header-value";
const HOW_MANY_TELL: &str = "select count(*) from audit where \
    coalesce(state_before, '') || coalesce(state_after, '') || target || action || actor_name \
    like '%QXVkaXRlZC1zZWNyZXRz%' or \
    coalesce(state_before, '') || coalesce(state_after, '') || target || action || actor_name \
    like '%VGhlLW5leHQtb25lLXN0%' or \
    coalesce(state_before, '') || coalesce(state_after, '') || target || action || actor_name \
    like '%hidden-%'";

on_both! {
    async fn every_change_of_configuration_leaves_one_entry(db: TestStore) {
        let who = somebody();
        let mut app = db.new_app("Open House");
        let in_app = Some(app.id);
        let mut hook = db.new_endpoint(app.id);
        let secret = Secret::generate_hmac(&db.entropy);
        leaves!(db, in_app,
            "app.create" on app.id => ["+"]: assert!(db.insert_app(&app, &who).await.unwrap());
            "app.update" on app.id => ["name", "throttleRate"]: {
                app.name = ODD.to_owned();
                app.throttle_rate = Some(7);
                assert!(db.update_app(&app, &who).await.unwrap());
            };
            "endpoint.create" on hook.id => ["+"]:
                assert!(db.insert_endpoint(&hook, &secret, &who).await.unwrap());
            "endpoint.update" on hook.id => ["url", "updatedAt"]: save(&db, &mut hook, |hook, now| {
                hook.url = "https://other.example/".to_owned();
                hook.updated_at = now;
            }).await;
            "endpoint.pause" on hook.id => ["pausedAt"]:
                save(&db, &mut hook, |hook, now| hook.paused_at = Some(now)).await;
            "endpoint.resume" on hook.id => ["pausedAt"]:
                save(&db, &mut hook, |hook, _| hook.paused_at = None).await;
            "endpoint.set_headers" on hook.id => ["headers"]: save(&db, &mut hook, |hook, _| {
                hook.headers.insert("x-tenant".to_owned(), "7".to_owned());
            }).await;
            "endpoint.set_headers" on hook.id => []: save(&db, &mut hook, |hook, _| {
                hook.headers.insert("x-tenant".to_owned(), "8".to_owned());
            }).await;
            "endpoint.disable" on hook.id => ["disabledAt", "disabledReason", "updatedAt"]: {
                let gone = DisabledReason::Gone;
                let done = db.disable_endpoint_if_enabled(app.id, hook.id, gone, &who).await;
                assert!(done.unwrap());
            };
            "endpoint.enable" on hook.id => ["disabledAt", "disabledReason", "updatedAt"]:
                save(&db, &mut hook, |hook, _| hook.disabled = None).await;
            "endpoint.rotate_secret" on hook.id => ["+"]:
                assert!(db.rotate_secret(app.id, hook.id, &secret, 1_000, &who).await.unwrap());
            "endpoint.delete" on hook.id => ["-"]:
                assert!(db.delete_endpoint(app.id, hook.id, &who).await.unwrap());
            "app.delete" on app.id => ["-"]: assert!(db.delete_app(app.id, &who).await.unwrap());
        );
    }

    async fn every_change_of_the_catalogue_leaves_one_entry(db: TestStore) {
        let who = somebody();
        let mut kind = event_type(&db, "contact.created");
        let work = Work::Purge { app_id: db.new_app("gone").id, endpoint_id: None };
        leaves!(db, None,
            "event_type.create" on kind.name => ["+"]:
                assert!(db.insert_event_type(&kind, &who).await.unwrap());
            "event_type.update" on kind.name => ["description", "schemas"]: {
                kind.description = ODD.to_owned();
                kind.schemas = None;
                db.update_event_type(&kind, &who).await.unwrap();
            };
            "event_type.archive" on kind.name => ["archived"]: {
                kind.archived = true;
                db.update_event_type(&kind, &who).await.unwrap();
            };
            "event_type.restore" on kind.name => ["archived"]: {
                kind.archived = false;
                db.update_event_type(&kind, &who).await.unwrap();
            };
            "event_type.delete" on kind.name => ["-"]:
                assert!(db.delete_event_type("contact.created", &who).await.unwrap());
        );
        let task = db.insert_task(None, work, &who).await.unwrap();
        let (entry, _) = newest(&db, 5, &who).await;
        assert_eq!((entry.action.as_str(), entry.target), ("task.create", task.id.to_string()));
    }

    async fn every_act_on_a_message_leaves_one_entry(db: TestStore) {
        let who = somebody();
        let app = db.app().await;
        let live = db.endpoint(app).await;
        let paused =
            db.endpoint_with(app, |endpoint| endpoint.paused_at = Some(Timestamp(1))).await;
        let sent = sent(&db, app, paused).await;
        leaves!(db, Some(app),
            "attempt.delete_content" on sent.tried.id => []:
                assert!(db.erase_response(app, sent.tried.id, &who).await.unwrap());
            "delivery.cancel" on sent.queued => ["state"]: {
                let done = db.cancel_delivery_if_queued(app, sent.queued, &who).await;
                assert_eq!(done.unwrap(), Cancel::Canceled);
            };
            "message.delete_content" on sent.message => []:
                assert!(db.erase_payload(app, sent.message, &who).await.unwrap());
        );
        let known = entries(&db).await.len();
        let made = {
            let wish = store::Resend::new(app, live, sent.message);
            db.resend(&wish, &who).await.unwrap().expect("a delivery")
        };
        let (entry, _) = newest(&db, known, &who).await;
        assert_eq!((entry.action.as_str(), entry.target), ("delivery.resend", made.to_string()));
        let parent = &entry.after.unwrap()["parentId"];
        assert_eq!(parent, sent.tried.id.delivery_id().as_str());
    }

    async fn what_changes_nothing_leaves_nothing(db: TestStore) {
        let (app, stranger) = (db.app().await, db.app().await);
        db.app_with(|app| app.uid = Some("taken".to_owned())).await;
        let (live, paused) = (
            db.endpoint_with(app, |endpoint| endpoint.uid = Some("taken".to_owned())).await,
            db.endpoint_with(app, |endpoint| endpoint.paused_at = Some(Timestamp(1))).await,
        );
        let sent = sent(&db, app, paused).await;
        let kind = event_type(&db, "contact.created");
        db.insert_event_type(&kind, &by()).await.unwrap();
        let secret = Secret::generate_hmac(&db.entropy);
        let (mut twin, mut hook) = (db.new_app("twin"), db.new_endpoint(app));
        twin.uid = Some("taken".to_owned());
        hook.uid = Some("taken".to_owned());
        let mut second = db.endpoint_in_app(app, paused.as_str()).await.unwrap().unwrap();
        second.uid = Some("taken".to_owned());
        let mut gone = db.new_app("never stored");
        gone.uid = Some("gone".to_owned());
        let hand = DisabledReason::ByHand;
        leaves_nothing!(db,
            assert!(!db.insert_app(&twin, &by()).await.unwrap());
            assert!(!db.update_app(&model::app::App { id: stranger, ..twin.clone() }, &by()).await.unwrap());
            db.update_app(&gone, &by()).await.unwrap();
            assert!(!db.delete_app(gone.id, &by()).await.unwrap());
            assert!(!db.insert_endpoint(&hook, &secret, &by()).await.unwrap());
            assert!(!db.update_endpoint(&second, &by()).await.unwrap());
            assert!(!db.delete_endpoint(stranger, live, &by()).await.unwrap());
            assert!(!db.disable_endpoint_if_enabled(stranger, live, hand, &by()).await.unwrap());
            assert!(!db.rotate_secret(stranger, live, &secret, 0, &by()).await.unwrap());
            assert!(!db.insert_event_type(&kind, &by()).await.unwrap());
            db.update_event_type(&event_type(&db, "unknown"), &by()).await.unwrap();
            assert!(!db.delete_event_type("unknown", &by()).await.unwrap());
            db.cancel_delivery_if_queued(stranger, sent.queued, &by()).await.unwrap();
            db.cancel_delivery_if_queued(app, sent.tried.id.delivery_id(), &by()).await.unwrap();
            assert!(!db.erase_payload(stranger, sent.message, &by()).await.unwrap());
            assert!(!db.erase_response(stranger, sent.tried.id, &by()).await.unwrap());
        );
        assert_eq!(db.verify_audit().await.unwrap().broken_at, None);
    }

    async fn secrets_header_values_and_payloads_stay_out(db: TestStore) {
        let app = db.app().await;
        let mut hook = db.new_endpoint(app);
        hook.headers.insert("authorization".to_owned(), HEADER.to_owned());
        let secret = |text| Secret::parse(text).unwrap();
        assert!(db.insert_endpoint(&hook, &secret(SECRET), &by()).await.unwrap());
        db.rotate_secret(app, hook.id, &secret(NEXT_SECRET), 1_000, &by()).await.unwrap();
        save(&db, &mut hook, |hook, _| hook.headers.clear()).await;
        let published = db.message_with(app, |message| {
            message.payload = r#"{"a":"hidden-payload"}"#.into();
        });
        let message = published.await.id;
        crate::world::resend(&db, app, hook.id, message).await;
        db.erase_payload(app, message, &by()).await.unwrap();
        db.delete_endpoint(app, hook.id, &by()).await.unwrap();
        assert_eq!(entries(&db).await.len(), 7);
        assert_eq!(raw::<i64>(&db, HOW_MANY_TELL).await, 0);
        // The search would find them.
        hook.description = HEADER.to_owned();
        hook.id = EndpointId::new(db.clock.now(), &db.entropy);
        db.insert_endpoint(&hook, &secret(SECRET), &by()).await.unwrap();
        assert_eq!(raw::<i64>(&db, HOW_MANY_TELL).await, 1);
    }

    async fn the_log_is_paged_and_narrowed(db: TestStore) {
        let (one, two) = (db.app().await, db.app().await);
        let start = db.clock.now();
        for app in [one, two, one] {
            db.advance_ms(1_000);
            let endpoint = db.endpoint(app).await;
            db.change(app, endpoint, |endpoint| endpoint.description = "x".to_owned()).await;
        }
        let hook = db.endpoint(one).await;
        assert!(db.delete_endpoint(one, hook, &somebody()).await.unwrap());
        let seqs = async |query: AuditQuery| {
            let page = db.audit_log(&query).await.unwrap();
            page.data.iter().map(|entry| entry.seq).collect::<Vec<_>>()
        };
        let all = || AuditQuery { page: pages(250), ..Default::default() };
        assert_eq!(seqs(all()).await, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let narrowed = [
            (AuditQuery { action: Some("endpoint.update".to_owned()), ..all() }, vec![4, 6, 8]),
            (AuditQuery { action: Some("app".to_owned()), ..all() }, vec![1, 2]),
            (AuditQuery { action: Some("endpoint.".to_owned()), ..all() }, vec![]),
            (AuditQuery { target: Some(hook.to_string()), ..all() }, vec![9, 10]),
            (AuditQuery { target: Some(hook.to_string()), app: Some(two), ..all() }, vec![]),
            (AuditQuery { app: Some(two), ..all() }, vec![2, 5, 6]),
            (AuditQuery { actor: Some("key_1".to_owned()), ..all() }, vec![10]),
            (AuditQuery { actor: Some(ODD.to_owned()), ..all() }, vec![10]),
            (AuditQuery { since: Some(start.plus_ms(2_000)), ..all() }, vec![5, 6, 7, 8, 9, 10]),
            (AuditQuery { until: Some(start.plus_ms(1_000)), ..all() }, vec![1, 2]),
        ];
        for (query, expected) in narrowed {
            assert_eq!(seqs(query.clone()).await, expected, "{query:?}");
            let mut descending = query.clone();
            descending.page.order = Order::Descending;
            let backwards: Vec<i64> = expected.into_iter().rev().collect();
            assert_eq!(seqs(descending).await, backwards, "{query:?}");
        }
        let numbers: Vec<String> = (1..=10).map(|seq: i64| seq.to_string()).collect();
        walk(&numbers, async |page: PageQuery| {
            let query = AuditQuery { page, ..Default::default() };
            keys(db.audit_log(&query).await.unwrap(), |entry| entry.seq.to_string())
        })
        .await;
    }
}
