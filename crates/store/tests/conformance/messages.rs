use bytes::Bytes;
use model::message::{Message, Outcome};
use model::retention::Day;
use model::{AppId, MessageId};
use store::{MessageFilter, MessageQuery, NewMessage, Scope};
use testkit::by;
use testkit::test_store::new_message;
use testkit::{TestStore, on_both};

use crate::world::{keys, pages, publish_all, walk};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

async fn find(db: &TestStore, app: AppId, text: &str) -> Option<Message> {
    db.message_in_app(app, text).await.unwrap()
}

async fn list(db: &TestStore, app: AppId, filter: MessageFilter) -> Vec<String> {
    let query = MessageQuery { page: pages(99), filter, with_content: false };
    let found = db.messages_in_app(app, &query).await.unwrap().data;
    found.into_iter().map(|message| message.event_type).collect()
}

fn typed(app: AppId, event_type: &str, channels: &[&str], tags: &[&str]) -> NewMessage {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    NewMessage {
        event_type: event_type.to_owned(),
        channels: owned(channels),
        tags: owned(tags),
        ..new_message(app)
    }
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        let app = db.app_with(|app| app.uid = Some("crm".to_owned())).await;
        let now = db.clock.now();
        let bare = new_message(app);
        let full = NewMessage {
            event_id: Some("evt-1".to_owned()),
            payload: Bytes::from_static(b"a=1"),
            content_type: Some("application/x-www-form-urlencoded; charset=\"utf-8\"".to_owned()),
            deliver_at: Some(now.plus_ms(DAY_MS)),
            payload_retention_ms: Some(5 * DAY_MS),
            idempotency_key: Some("k \u{1f6aa}".to_owned()),
            ..typed(app, "contact.updated", &["eu", "us"], &["vip"])
        };
        for message in [bare, full] {
            let published = db.ingest(message.clone()).await.unwrap();
            let expected = Message {
                id: published.id,
                app_id: app,
                event_type: message.event_type,
                event_id: message.event_id,
                payload: Some(message.payload),
                content_type: message.content_type,
                channels: message.channels,
                tags: message.tags,
                deliver_at: message.deliver_at,
                outcome: Outcome::NoMatch,
                created_at: now,
                payload_expires_at: message.payload_retention_ms.map(|ms| now.plus_ms(ms)),
                replay_of: None,
                changed: false,
            };
            assert_eq!(find(&db, app, published.id.as_str()).await, Some(expected));
        }
        assert!(find(&db, app, "evt-1").await.is_some());
        assert!(find(&db, app, "evt-2").await.is_none());
        let stranger = db.app().await;
        assert!(find(&db, stranger, "evt-1").await.is_none());
    }

    async fn payloads_keep_every_byte(db: TestStore) {
        let app = db.app().await;
        let mut started = db.started();
        db.endpoint(app).await;
        let long: Vec<u8> = (0..1024 * 1024).map(|n: u32| (n % 251) as u8).collect();
        let payloads: Vec<Bytes> = vec![
            Bytes::new(),
            Bytes::from_static(b"\0"),
            Bytes::from_static(b"\0\0{}\0"),
            Bytes::from_static(b"\xff\xfe\xc3\x28\xed\xa0\x80"),
            Bytes::from_static(br#"{"a":12345678901234567890,"a":1E400,"s":"\u0000\ud800"}"#),
            long.into(),
            Bytes::new(),
        ];
        let of = |payload: &Bytes| NewMessage { payload: payload.clone(), ..new_message(app) };
        // In one batch, where they travel side by side, and each in one of its own.
        let mut published = publish_all(&db, payloads.iter().map(of).collect()).await;
        for payload in &payloads {
            published.push(db.ingest(of(payload)).await.unwrap());
        }
        for (published, payload) in published.iter().zip(payloads.iter().cycle()) {
            let stored = find(&db, app, published.id.as_str()).await.unwrap();
            assert!(stored.payload.as_ref() == Some(payload), "{:?}", payload.get(..8));
        }
        // And again when they come back through a claim.
        for _ in started.now() {}
        let second = db.reopen().await;
        second.join().await.unwrap();
        let mut restarted = testkit::test_store::Started::of(&second);
        db.advance_ms(store::LEASE_MS);
        second.rescue().await.unwrap();
        let mut seen = 0;
        while second.claim().await.unwrap().count > 0 {
            for lease in restarted.now() {
                let at = published.iter().position(|it| it.id == lease.envelope.message_id);
                let payload = &payloads[at.expect("ours") % payloads.len()];
                assert!(lease.envelope.payload.as_ref() == Some(payload));
                seen += 1;
                second.settle(lease.settlement(None, store::After::Canceled)).await.unwrap();
            }
        }
        assert_eq!(seen, published.len());
        second.close().await;
    }

    async fn lists_are_narrowed_by_every_filter(db: TestStore) {
        let app = db.app().await;
        let start = db.clock.now();
        for (event_type, channels, tags) in [
            ("a.one", &["eu"][..], &["x"][..]),
            ("a.two", &["eu", "us"], &[]),
            ("b", &[], &["x", "xx"]),
            ("a", &["eur"], &["xx"]),
        ] {
            db.ingest(typed(app, event_type, channels, tags)).await.unwrap();
            db.advance_ms(1_000);
        }
        let other = db.app().await;
        db.ingest(typed(other, "a.one", &["eu"], &["x"])).await.unwrap();
        let of = async |filter| list(&db, app, filter).await;
        let none = MessageFilter::default;
        assert_eq!(of(none()).await, ["a.one", "a.two", "b", "a"]);
        let event_types = |names: &[&str]| MessageFilter {
            event_types: names.iter().map(ToString::to_string).collect(),
            ..none()
        };
        assert_eq!(of(event_types(&["a"])).await, ["a"]);
        assert_eq!(of(event_types(&["b", "a.one", "c"])).await, ["a.one", "b"]);
        assert_eq!(of(event_types(&["c"])).await, [""; 0]);
        let channel = |name: &str| MessageFilter { channel: Some(name.to_owned()), ..none() };
        assert_eq!(of(channel("eu")).await, ["a.one", "a.two"]);
        assert_eq!(of(channel("eur")).await, ["a"]);
        assert_eq!(of(channel("e")).await, [""; 0]);
        let tag = |name: &str| MessageFilter { tag: Some(name.to_owned()), ..none() };
        assert_eq!(of(tag("x")).await, ["a.one", "b"]);
        assert_eq!(of(tag("xx")).await, ["b", "a"]);
        let second = start.plus_ms(1_000);
        assert_eq!(of(MessageFilter { after: Some(second), ..none() }).await, ["b", "a"]);
        assert_eq!(of(MessageFilter { before: Some(second), ..none() }).await, ["a.one"]);
        let between = MessageFilter {
            after: Some(start),
            before: Some(start.plus_ms(3_000)),
            channel: Some("us".to_owned()),
            ..event_types(&["a.two", "b"])
        };
        assert_eq!(of(between).await, ["a.two"]);
    }

    async fn pages_go_forth_and_back(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let mut expected = Vec::new();
        for n in 0..9 {
            expected.push(db.message(app).await.id.to_string());
            db.message(other).await;
            db.advance_ms(n % 2);
        }
        expected.sort();
        walk(&expected, async |page| {
            let query = MessageQuery { page, ..MessageQuery::default() };
            keys(db.messages_in_app(app, &query).await.unwrap(), |message| message.id.to_string())
        })
        .await;
        let after = Some(db.clock.now().minus_ms(1_000));
        walk(&expected, async |page| {
            let filter = MessageFilter { after, ..MessageFilter::default() };
            let query = MessageQuery { page, filter, with_content: true };
            let found = db.messages_in_app(app, &query).await.unwrap();
            assert!(found.data.iter().all(|message| message.payload.is_some()));
            keys(found, |message| message.id.to_string())
        })
        .await;
    }

    async fn a_list_leaves_content_out_unless_asked(db: TestStore) {
        let app = db.app().await;
        db.message(app).await;
        for with_content in [false, true] {
            let query = MessageQuery { with_content, ..MessageQuery::default() };
            let found = db.messages_in_app(app, &query).await.unwrap();
            assert_eq!(found.data[0].payload.is_some(), with_content);
        }
    }

    async fn a_payload_is_erased_on_demand(db: TestStore) {
        let (app, stranger) = (db.app().await, db.app().await);
        let (one, two) = (db.message(app).await.id, db.message(app).await.id);
        assert!(!db.erase_payload(stranger, one, &by()).await.unwrap());
        assert!(find(&db, app, one.as_str()).await.unwrap().payload.is_some());
        assert!(db.erase_payload(app, one, &by()).await.unwrap());
        let erased = find(&db, app, one.as_str()).await.unwrap();
        assert_eq!((erased.payload, erased.event_type.as_str()), (None, "contact.created"));
        assert!(find(&db, app, two.as_str()).await.unwrap().payload.is_some());
        let none = MessageId::new(db.clock.now(), &db.entropy);
        assert!(!db.erase_payload(app, none, &by()).await.unwrap());
    }

    async fn a_payload_ends_when_its_message_says(db: TestStore) {
        let app = db.app().await;
        let short = db.message_with(app, |it| it.payload_retention_ms = Some(1_000)).await.id;
        let long = db.message_with(app, |it| it.payload_retention_ms = Some(2_000)).await.id;
        db.advance_ms(999);
        assert!(!db.erase_expired_payloads().await.unwrap());
        db.advance_ms(1);
        assert!(db.erase_expired_payloads().await.unwrap());
        assert!(!db.erase_expired_payloads().await.unwrap());
        assert_eq!(find(&db, app, short.as_str()).await.unwrap().payload, None);
        assert!(find(&db, app, long.as_str()).await.unwrap().payload.is_some());
    }

    async fn old_payloads_are_erased_in_steps(db: TestStore) {
        let app = db.app().await;
        let old = publish_all(&db, vec![new_message(app); 700]).await;
        let own = db.message_with(app, |it| it.payload_retention_ms = Some(9 * DAY_MS)).await.id;
        db.advance_ms(DAY_MS);
        let young = db.message(app).await.id;
        // Old is what a whole day lies between.
        db.advance_ms(DAY_MS);
        let scope = Scope { app: None, before: Day::kept_from(1, db.clock.now()) };
        let mut from = None;
        let mut steps = 0;
        while let Some((last, _)) = db.erase_old_payloads(&scope, from).await.unwrap() {
            assert!(from < Some(last), "it moves on");
            from = Some(last);
            steps += 1;
        }
        assert_eq!(steps, 4);
        let left: i64 =
            crate::world::raw(&db, "select count(*) from message where payload is not null").await;
        assert_eq!(left, 2);
        for id in [own, young] {
            assert!(find(&db, app, id.as_str()).await.unwrap().payload.is_some());
        }
        let first = find(&db, app, old[0].id.as_str()).await.unwrap();
        assert_eq!(first.payload, None);
    }
}
