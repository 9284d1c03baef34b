//! Operational events.

use model::AppId;
use model::endpoint::{Disabled, DisabledReason, Endpoint};
use model::message::Outcome;
use serde_json::{Value, json};
use store::operations::{OPERATIONS_UID, event};
use store::{After, AttemptEvent, AttemptEventKind, Lease, MessageQuery, Operation};
use testkit::test_store::{attempt, new_message};
use testkit::{TestStore, by, on_both};

use crate::failing::said;
use crate::world::settled;

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

async fn operations(db: &TestStore) -> AppId {
    db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await
}

fn types(said: &[Value]) -> Vec<&str> {
    said.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn heard(db: &TestStore, lease: &Lease, kind: AttemptEventKind) -> AttemptEvent {
    let endpoint = &lease.route.endpoint;
    AttemptEvent {
        kind,
        app_id: endpoint.app_id,
        endpoint_id: endpoint.id,
        endpoint_uid: endpoint.uid.clone(),
        attempt_id: attempt(lease, db.clock.now(), None).id,
        at: db.clock.now(),
        status_code: Some(500),
    }
}

on_both! {
    async fn what_is_done_to_endpoints_is_said(db: TestStore) {
        let to = operations(&db).await;
        let app = db.app_with(|app| app.uid = Some("w7".to_owned())).await;
        let id = db.endpoint_with(app, |endpoint| endpoint.uid = Some("mine".to_owned())).await;
        let steps: [fn(&mut Endpoint); 5] = [
            |endpoint| endpoint.description = "new".to_owned(),
            |endpoint| endpoint.paused_at = Some(endpoint.created_at),
            |endpoint| {
                let by_hand = Disabled::new(endpoint.updated_at, DisabledReason::ByHand);
                endpoint.disabled = Some(Disabled { note: Some("moved".to_owned()), ..by_hand });
            },
            |endpoint| endpoint.disabled = None,
            // Nothing but when.
            |_| (),
        ];
        for step in steps {
            db.advance_ms(10);
            let now = db.clock.now();
            db.change(app, id, |endpoint| {
                endpoint.updated_at = now;
                step(endpoint);
            })
            .await;
        }
        assert!(db.delete_endpoint(app, id, &by()).await.unwrap());
        let said = said(&db, to).await;
        let expected = [
            "endpoint.created",
            "endpoint.updated",
            "endpoint.updated",
            "endpoint.disabled",
            "endpoint.enabled",
            "endpoint.deleted",
        ];
        assert_eq!(types(&said), expected);
        let who = json!({"appId": app, "appUid": "w7", "endpointId": id, "endpointUid": "mine"});
        for event in said.iter().filter(|event| event["type"] != "endpoint.disabled") {
            assert_eq!(event["data"], who);
        }
        let mut disabled = who;
        let more = json!({
            "failSince": null, "trigger": "manual", "reason": "by_hand", "note": "moved",
        });
        disabled.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(said[3]["data"], disabled);
    }

    async fn attempts_are_said_once_with_their_message(db: TestStore) {
        let to = operations(&db).await;
        let mut started = db.started();
        let app = db.app().await;
        db.endpoint_with(app, |endpoint| endpoint.uid = Some("mine".to_owned())).await;
        let mut message = new_message(app);
        message.event_id = Some("order-7".to_owned());
        let lease = settled(&db, &mut started, message, 500, After::Failed).await;
        let kinds =
            [AttemptEventKind::Failing, AttemptEventKind::Exhausted, AttemptEventKind::Recovered];
        let events = kinds.map(|kind| heard(&db, &lease, kind));
        for _ in 0..2 {
            db.publish_attempt_events(&events).await.unwrap();
        }
        let said = said(&db, to).await;
        let expected = [
            "endpoint.created",
            "message.attempt.exhausted",
            "message.attempt.failing",
            "message.attempt.recovered",
        ];
        assert_eq!(types(&said), expected);
        let expected = json!({
            "appId": app,
            "appUid": null,
            "endpointId": lease.route.endpoint.id,
            "endpointUid": "mine",
            "msgId": lease.delivery_id.message_id(),
            "msgEventId": "order-7",
            "lastAttempt": {
                "id": events[0].attempt_id,
                "timestamp": db.clock.now().to_rfc3339(),
                "responseStatusCode": 500,
            },
        });
        assert_eq!(said[1]["data"], expected);
    }

    async fn the_operations_app_is_never_the_subject(db: TestStore) {
        let mut started = db.started();
        let to = operations(&db).await;
        let own = db.endpoint(to).await;
        db.change(to, own, |endpoint| endpoint.description = "new".to_owned()).await;
        let lease = settled(&db, &mut started, new_message(to), 500, After::Failed).await;
        let event = heard(&db, &lease, AttemptEventKind::Exhausted);
        db.publish_attempt_events(&[event]).await.unwrap();
        db.disable_endpoint_if_enabled(to, own, DisabledReason::Gone, &by()).await.unwrap();
        let messages = db.messages_in_app(to, &MessageQuery::default()).await.unwrap().data;
        assert_eq!(messages.len(), 1, "the one that the test published");
    }

    async fn without_the_app_nobody_hears_of_attempts(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        db.endpoint(app).await;
        let lease = settled(&db, &mut started, new_message(app), 500, After::Failed).await;
        let event = heard(&db, &lease, AttemptEventKind::Exhausted);
        db.publish_attempt_events(&[event]).await.unwrap();
        let to = operations(&db).await;
        assert_eq!(said(&db, to).await, Vec::<Value>::new());
    }
}
