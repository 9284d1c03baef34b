use model::EventTypeId;
use model::event_type::EventType;
use serde_json::json;
use testkit::by;
use testkit::test_store::new_message;
use testkit::{TestStore, on_both};

use crate::world::{ODD, app_with_endpoint, keys, pages, walk};

fn bare(db: &TestStore, name: &str) -> EventType {
    let now = db.clock.now();
    EventType {
        id: EventTypeId::new(now, &db.entropy),
        name: name.to_owned(),
        description: String::new(),
        archived: false,
        deprecated: false,
        schemas: None,
        feature_flags: None,
        group_name: None,
        retry_schedule: None,
        created_at: now,
        updated_at: now,
    }
}

fn full(db: &TestStore, name: &str) -> EventType {
    EventType {
        description: ODD.to_owned(),
        archived: true,
        deprecated: true,
        schemas: Some(json!({"1": {"title": ODD, "n": 12345678901234567890_u64, "z": "\0"}})),
        feature_flags: Some(vec![ODD.to_owned(), String::new()]),
        group_name: Some(ODD.to_owned()),
        retry_schedule: Some("0s,1m".parse().unwrap()),
        updated_at: db.clock.now().plus_ms(1),
        ..bare(db, name)
    }
}

async fn insert(db: &TestStore, event_type: &EventType) {
    assert!(db.insert_event_type(event_type, &by()).await.unwrap());
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        for event_type in [bare(&db, "a"), full(&db, "b")] {
            insert(&db, &event_type).await;
            let found = db.event_type(&event_type.name).await.unwrap();
            assert_eq!(found, Some(event_type));
        }
        assert_eq!(db.event_type("A").await.unwrap(), None);
        let empty = EventType { feature_flags: Some(Vec::new()), ..bare(&db, "c") };
        insert(&db, &empty).await;
        assert_eq!(db.event_type("c").await.unwrap(), Some(empty));
    }

    async fn a_name_is_taken_once(db: TestStore) {
        let first = bare(&db, "a");
        insert(&db, &first).await;
        assert!(!db.insert_event_type(&full(&db, "a"), &by()).await.unwrap());
        assert_eq!(db.event_type("a").await.unwrap(), Some(first));
    }

    async fn an_update_saves_all_but_id_and_creation(db: TestStore) {
        let first = bare(&db, "a");
        insert(&db, &first).await;
        db.advance_ms(5);
        let wish = full(&db, "a");
        db.update_event_type(&wish, &by()).await.unwrap();
        let expected = EventType { id: first.id, created_at: first.created_at, ..wish };
        assert_eq!(db.event_type("a").await.unwrap(), Some(expected));
        db.update_event_type(&first, &by()).await.unwrap();
        assert_eq!(db.event_type("a").await.unwrap(), Some(first));
    }

    async fn deleted_is_gone(db: TestStore) {
        insert(&db, &bare(&db, "a")).await;
        assert!(db.delete_event_type("a", &by()).await.unwrap());
        assert!(!db.delete_event_type("a", &by()).await.unwrap());
        assert_eq!(db.event_type("a").await.unwrap(), None);
    }

    async fn pages_go_forth_and_back(db: TestStore) {
        // Names sort by their bytes on both databases, and may begin with what marks a way back.
        let names = ["-a", ".a", "B", "_", "a", "a-b", "a.b", "b", "contact.created"];
        for name in names {
            insert(&db, &bare(&db, name)).await;
        }
        insert(&db, &full(&db, "archived")).await;
        let expected: Vec<String> = names.map(str::to_owned).into();
        walk(&expected, async |query| {
            keys(db.event_types(&query, false).await.unwrap(), |found| found.name.clone())
        })
        .await;
        let all = db.event_types(&pages(99), true).await.unwrap().data;
        assert_eq!(all.len(), names.len() + 1);
    }

    async fn a_schedule_holds_at_once_here_and_soon_elsewhere(db: TestStore) {
        let mut started = db.started();
        let elsewhere = db.reopen().await;
        let (app, _) = app_with_endpoint(&db).await;
        db.message(app).await;
        let lease = started.next().await;
        let schedule = async |store: &store::Store| {
            store.retry_schedule(&lease.route, "contact.created").await.unwrap().to_string()
        };
        let usual = schedule(&elsewhere).await;
        let mut event_type = bare(&db, "contact.created");
        event_type.retry_schedule = Some("10s,1h".parse().unwrap());
        insert(&db, &event_type).await;
        assert_eq!(schedule(&db).await, "10s,1h");
        assert_eq!(schedule(&elsewhere).await, usual);
        db.advance_ms(5_000);
        assert_eq!(schedule(&elsewhere).await, "10s,1h");

        // The first delay is part of it.
        let published = db.ingest(new_message(app)).await.unwrap();
        let queued = db.deliveries_of_message(app, published.id).await.unwrap();
        assert_eq!(queued[0].delivery.due_at, db.clock.now().plus_ms(10_000));
        assert_eq!(db.claim().await.unwrap().count, 0);
        db.advance_ms(10_000);
        assert_eq!(db.claim().await.unwrap().count, 1);

        db.delete_event_type("contact.created", &by()).await.unwrap();
        assert_eq!(schedule(&db).await, usual);
        elsewhere.close().await;
    }

    async fn an_endpoints_own_schedule_comes_first(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        let mut event_type = bare(&db, "contact.created");
        event_type.retry_schedule = Some("10s,1h".parse().unwrap());
        insert(&db, &event_type).await;
        db.endpoint_with(app, |e| e.retry_schedule = Some("0s,7s".parse().unwrap())).await;
        db.message(app).await;
        let lease = started.next().await;
        let schedule = db.retry_schedule(&lease.route, "contact.created").await.unwrap();
        assert_eq!(schedule.to_string(), "0s,7s");
    }
}
