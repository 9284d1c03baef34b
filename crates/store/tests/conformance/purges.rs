use model::task::{Task, TaskStatus, Work};
use store::{After, NewMessage};
use testkit::test_store::new_message;
use testkit::{TestStore, by, on_both};

use crate::replays::ended;
use crate::world::{app_with_endpoint, publish, publish_all, raw};

/// Does a task to its end.
async fn run(db: &TestStore, work: Work) -> Task {
    let mut task = db.insert_task(None, work, &by()).await.unwrap();
    for _ in 0..100 {
        db.step_task(&mut task).await.unwrap();
        if task.status == TaskStatus::Finished {
            return task;
        }
    }
    panic!("the task never ends");
}

async fn count(db: &TestStore, sql: &'static str) -> i64 {
    raw(db, sql).await
}

on_both! {
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
        assert_eq!(run(&db, work).await.progress.done, 601);
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
        assert_eq!(run(&db, work).await.progress.done, 601);
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
