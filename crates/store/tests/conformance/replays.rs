use model::delivery::State;
use model::filter::Filter;
use model::task::{Selection, Task, TaskStatus, Work};
use model::{AppId, DeliveryId, EndpointId, MessageId};
use store::{After, NewMessage};
use testkit::by;
use testkit::test_store::{Started, new_message};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, publish, publish_all, raw, settled};

/// Everything an endpoint may get, up to now.
fn all(db: &TestStore, app: AppId, endpoint: EndpointId) -> Selection {
    Selection {
        app_id: app,
        endpoint_id: endpoint,
        since: testkit::START.minus_ms(1_000),
        until: db.clock.now().plus_ms(1),
        event_types: Vec::new(),
        channel: None,
        tag: None,
        state: None,
        status_code_class: None,
    }
}

/// Does a task to its end.
async fn run(db: &TestStore, app: AppId, work: Work) -> Task {
    run_for(db, app, work, &Filter::default()).await
}

async fn run_for(db: &TestStore, app: AppId, work: Work, filter: &Filter) -> Task {
    let mut task = db.insert_task(Some(app), work, &by()).await.unwrap();
    for _ in 0..100 {
        assert!(db.step_task(&mut task, filter).await.unwrap());
        assert_eq!(db.task(task.id).await.unwrap().as_ref().map(|it| it.status), Some(task.status));
        if task.status == TaskStatus::Finished {
            return task;
        }
    }
    panic!("the task never ends");
}

/// Makes a message and lets its only delivery end so.
async fn ended(
    db: &TestStore,
    started: &mut Started,
    message: NewMessage,
    status: u16,
    after: After,
) -> (MessageId, DeliveryId) {
    let lease = settled(db, started, message, status, after).await;
    db.advance_ms(1_000);
    (lease.envelope.message_id, lease.delivery_id)
}

/// The messages that a queued delivery was made of by hand, and what it replays.
async fn replayed(db: &TestStore, app: AppId) -> Vec<(MessageId, Option<DeliveryId>)> {
    let query = store::DeliveryQuery { state: Some(State::Queued), ..Default::default() };
    let query = store::DeliveryQuery { page: crate::world::pages(250), ..query };
    let found = db.deliveries_in_app(app, &query).await.unwrap().data;
    let by_hand =
        found.iter().filter(|row| row.delivery.trigger == model::delivery::Trigger::Manual);
    by_hand.map(|row| (row.delivery.id.message_id(), row.delivery.parent_id)).collect()
}

async fn count(db: &TestStore, sql: &'static str) -> i64 {
    raw(db, sql).await
}

on_both! {
    async fn recovering_delivers_again_what_failed(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let message = || new_message(app);
        ended(&db, &mut started, message(), 500, After::Failed).await;
        let since = db.clock.now();
        let failed = ended(&db, &mut started, message(), 500, After::Failed).await;
        ended(&db, &mut started, message(), 200, After::Succeeded).await;
        ended(&db, &mut started, message(), 200, After::Canceled).await;
        let covered = ended(&db, &mut started, message(), 500, After::Failed).await;
        db.resend(app, endpoint, covered.0, &by()).await.unwrap();
        db.claim().await.unwrap();
        let again = started.next().await;
        assert!(crate::world::settle(&db, &again, 200, After::Succeeded).await);
        let gone = ended(&db, &mut started, message(), 500, After::Failed).await;
        db.erase_payload(app, gone.0, &by()).await.unwrap();
        let until = db.clock.now();
        ended(&db, &mut started, message(), 500, After::Failed).await;
        let selection = Selection { since, until, ..all(&db, app, endpoint) };
        let task = run(&db, app, Work::Recover(selection.clone())).await;
        assert_eq!(task.progress.done, 1);
        assert_eq!(replayed(&db, app).await, [(failed.0, Some(failed.1))]);
        let made = task.progress.last_delivery.expect("the last delivery");
        let made = db.delivery_in_app(app, made).await.unwrap().unwrap().delivery;
        assert_eq!((made.root_id, made.endpoint_id), (Some(failed.1), endpoint));
        // Recovered once, it is under way.
        assert_eq!(run(&db, app, Work::Recover(selection)).await.progress.done, 0);
        assert_eq!(db.claim().await.unwrap().count, 1);
    }

    async fn missing_is_what_an_endpoint_never_got(db: TestStore) {
        let app = db.app().await;
        db.endpoint(app).await;
        let mut expected: Vec<_> =
            publish(&db, app, 3).await.iter().map(|it| (it.id, None)).collect();
        let erased = db.message(app).await.id;
        db.erase_payload(app, erased, &by()).await.unwrap();
        let late = db.endpoint(app).await;
        db.message(app).await;
        let (other, _) = app_with_endpoint(&db).await;
        db.message(other).await;
        let work = Work::ReplayMissing(all(&db, app, late));
        assert_eq!(run(&db, app, work.clone()).await.progress.done, 3);
        let mut found = replayed(&db, app).await;
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(run(&db, app, work).await.progress.done, 0);
        assert_eq!(replayed(&db, other).await, []);
    }

    async fn replays_are_narrowed_by_every_wish(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        for (event_type, status, after) in
            [("a", 200, After::Succeeded), ("b", 500, After::Failed), ("c", 404, After::Failed)]
        {
            let message = NewMessage {
                event_type: event_type.to_owned(),
                channels: vec![format!("on-{event_type}")],
                tags: vec![format!("tag-{event_type}")],
                ..new_message(app)
            };
            ended(&db, &mut started, message, status, after).await;
        }
        let done = async |selection: Selection, filter: &Filter| {
            let task = run_for(&db, app, Work::BulkReplay(selection), filter).await;
            db.advance_ms(10);
            task.progress.done
        };
        let none = Filter::default();
        let base = all(&db, app, endpoint);
        let wish = || base.clone();
        assert_eq!(done(Selection { event_types: vec!["a".to_owned()], ..wish() }, &none).await, 1);
        assert_eq!(done(Selection { channel: Some("on-b".to_owned()), ..wish() }, &none).await, 1);
        assert_eq!(done(Selection { tag: Some("tag-c".to_owned()), ..wish() }, &none).await, 1);
        assert_eq!(done(Selection { tag: Some("tag".to_owned()), ..wish() }, &none).await, 0);
        assert_eq!(done(Selection { state: Some(State::Failed.code()), ..wish() }, &none).await, 2);
        assert_eq!(done(Selection { status_code_class: Some(400), ..wish() }, &none).await, 1);
        let since = base.since;
        assert_eq!(done(Selection { until: since, ..wish() }, &none).await, 0);
        let filter = Filter { event_types: vec!["b".to_owned()], channels: Vec::new() };
        assert_eq!(done(wish(), &filter).await, 1);
        assert_eq!(done(wish(), &none).await, 3, "once per message, however often it was tried");
    }

    async fn long_replays_go_in_steps_and_repeat_nothing(db: TestStore) {
        let app = db.app().await;
        let endpoint = db.endpoint_with(app, |e| e.paused_at = Some(e.created_at)).await;
        // One delivery of the first message and two of each other: a step ends between the two.
        db.message(app).await;
        let first = db.advance_ms(1);
        publish(&db, app, 300).await;
        db.advance_ms(1);
        let pairs = Selection { since: first, ..all(&db, app, endpoint) };
        assert_eq!(run(&db, app, Work::BulkReplay(pairs)).await.progress.done, 300);
        db.advance_ms(1);
        let task = run(&db, app, Work::BulkReplay(all(&db, app, endpoint))).await;
        assert_eq!(task.progress.done, 301);
        assert_eq!(count(&db, "select count(*) from delivery").await, 601 + 301);
    }

    async fn a_step_is_done_by_one_process(db: TestStore) {
        let app = db.app().await;
        let endpoint = db.endpoint_with(app, |e| e.paused_at = Some(e.created_at)).await;
        publish(&db, app, 600).await;
        let second = db.reopen().await;
        let work = Work::BulkReplay(all(&db, app, endpoint));
        let task = db.insert_task(Some(app), work, &by()).await.unwrap();
        let none = Filter::default();
        let (mut here, mut there) = (task.clone(), task);
        for _ in 0..3 {
            let (one, two) =
                tokio::join!(db.step_task(&mut here, &none), second.step_task(&mut there, &none));
            one.unwrap();
            two.unwrap();
        }
        let stored = db.task(here.id).await.unwrap().unwrap();
        assert_eq!((stored.status, stored.progress.done), (TaskStatus::Finished, 600));
        assert_eq!(count(&db, "select count(*) from delivery").await, 1_200);
        assert!(!db.step_task(&mut there, &none).await.unwrap(), "it is finished");
        second.close().await;
    }

    async fn a_purged_endpoint_leaves_nothing(db: TestStore) {
        let mut started = db.started();
        let (app, gone) = app_with_endpoint(&db).await;
        ended(&db, &mut started, new_message(app), 500, After::Failed).await;
        let kept = db.endpoint(app).await;
        let to = |only| NewMessage { only_endpoint: Some(only), ..new_message(app) };
        let (_, delivery) = ended(&db, &mut started, to(kept), 200, After::Succeeded).await;
        publish_all(&db, vec![to(gone); 600]).await;
        db.delete_endpoint(app, gone, &by()).await.unwrap();
        let work = Work::Purge { app_id: app, endpoint_id: Some(gone) };
        assert_eq!(run(&db, app, work).await.progress.done, 601);
        assert_eq!(count(&db, "select count(*) from delivery").await, 1);
        assert_eq!(count(&db, "select count(*) from attempt").await, 1);
        assert_eq!(count(&db, "select count(*) from usage").await, 1);
        assert_eq!(count(&db, "select count(*) from message").await, 602);
        assert!(db.delivery_in_app(app, delivery).await.unwrap().is_some());
    }

    async fn a_purged_app_leaves_nothing(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        ended(&db, &mut started, new_message(app), 500, After::Failed).await;
        let (other, _) = app_with_endpoint(&db).await;
        ended(&db, &mut started, new_message(other), 500, After::Failed).await;
        publish(&db, app, 600).await;
        db.delete_app(app, &by()).await.unwrap();
        let work = Work::Purge { app_id: app, endpoint_id: None };
        assert_eq!(run(&db, app, work).await.progress.done, 601);
        for sql in [
            "select count(*) from message",
            "select count(*) from delivery",
            "select count(*) from attempt",
            "select count(*) from usage",
        ] {
            assert_eq!(count(&db, sql).await, 1, "{sql}");
        }
    }
}
