//! Operational events.

use model::message::Outcome;
use serde_json::{Value, json};
use store::operations::{OPERATIONS_UID, event};
use store::{MessageQuery, Operation};
use testkit::{TestStore, on_both};

fn operation(db: &TestStore, what: &str) -> Operation {
    Operation {
        event_type: event::KEY_EXPIRED,
        app_id: None,
        event_id: format!("{}.{what}", event::KEY_EXPIRED),
        at: db.clock.now(),
        data: [("what".to_owned(), json!(what))].into_iter().collect(),
    }
}

on_both! {
    async fn an_event_is_published_once_by_however_many(db: TestStore) {
        let other = db.reopen().await;
        let app = db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        let batch = || (0..3).map(|n| operation(&db, &n.to_string())).collect::<Vec<_>>();
        for _ in 0..2 {
            let (one, two) =
                tokio::join!(db.publish_operations(batch()), other.publish_operations(batch()));
            assert_eq!((one, two), (Ok(true), Ok(true)));
        }
        let query = MessageQuery { with_content: true, ..MessageQuery::default() };
        let messages = db.messages_in_app(app, &query).await.unwrap().data;
        assert_eq!(messages.len(), 3);
        for message in messages {
            assert_eq!(message.outcome, Outcome::NoMatch);
            let body: Value = serde_json::from_slice(&message.payload.unwrap()).unwrap();
            let what = body["data"]["what"].as_str().unwrap();
            assert_eq!(message.event_id, Some(format!("key.expired.{what}")));
            let timestamp = db.clock.now().to_rfc3339();
            let data = json!({"what": what, "appId": null});
            let expected = json!({"type": "key.expired", "timestamp": timestamp, "data": data});
            assert_eq!(body, expected);
        }
        other.close().await;
    }

    async fn without_the_app_nothing_is_published(db: TestStore) {
        let other = db.reopen().await;
        let publish = || vec![operation(&db, "1")];
        for store in [&*db, &other] {
            assert_eq!(store.publish_operations(publish()).await, Ok(false));
            assert!(!store.has_operations_app().await.unwrap());
        }
        db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await;
        assert!(db.has_operations_app().await.unwrap(), "it was made here");
        assert_eq!(db.publish_operations(publish()).await, Ok(true));
        assert_eq!(other.publish_operations(publish()).await, Ok(false), "not looked up yet");
        db.advance_ms(5_000);
        assert!(other.has_operations_app().await.unwrap());
        assert_eq!(other.publish_operations(publish()).await, Ok(true));
        other.close().await;
    }
}
