use bytes::Bytes;
use model::audit::Entry;
use model::json_path::Scalar;
use model::task::{TaskStatus, Work};
use model::{AppId, Timestamp};
use store::{After, AuditQuery, ErasureTrial, ErasureWish, NewMessage};
use testkit::test_store::new_message;
use testkit::{TestStore, by, on_both};

use crate::world::{app_with_endpoint, raw, settled};

const SECRET: &str = "ada@example.org";

fn about(app: AppId, who: &str) -> NewMessage {
    let payload = format!(r#"{{"contact":{{"mail":"{who}"}}}}"#);
    NewMessage { payload: Bytes::from(payload), ..new_message(app) }
}

fn wish(db: &TestStore, app: AppId, who: Option<&str>) -> ErasureWish {
    let path = || "$.contact.mail".parse().unwrap();
    ErasureWish {
        app_id: app,
        subject: who.map(|who| (path(), Scalar::Text(who.to_owned()))),
        since: Timestamp::ZERO,
        until: db.clock.now().plus_ms(1),
    }
}

async fn finish(db: &TestStore, task: model::TaskId) -> model::task::Task {
    loop {
        let mut found = db.task(task).await.unwrap().unwrap();
        if found.status != TaskStatus::Running {
            return found;
        }
        db.step_task(&mut found).await.unwrap();
    }
}

on_both! {
    async fn everything_about_somebody_and_nothing_else(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        let (other, _) = app_with_endpoint(&db).await;
        let mut started = db.started();
        for message in [about(app, SECRET), about(app, "bob@example.org"), about(other, SECRET)] {
            settled(&db, &mut started, message, 200, After::Succeeded).await;
        }
        for _ in 0..210 {
            db.ingest(about(app, SECRET)).await.unwrap();
        }
        let ada = wish(&db, app, Some(SECRET));
        let trial = db.try_erasure(&ada).await.unwrap();
        assert_eq!(trial, ErasureTrial { matched: 211, looked_at: 212, is_whole: true });
        assert_eq!(raw::<i64>(&db, "select count(*) from message where payload is null").await, 0);

        let task = db.erase_contents(&ada, &by()).await.unwrap();
        let written: String = raw(&db, "select work from task").await;
        assert!(!written.contains(SECRET), "{written}");
        let task = finish(&db, task.id).await;
        assert_eq!((task.status, task.progress.done), (TaskStatus::Finished, 211));
        let Work::Erase(erasure) = &task.work else { panic!("{task:?}") };
        assert_eq!(erasure.subject.as_ref().unwrap().sealed, None);
        assert_eq!(raw::<i64>(&db, "select count(*) from message where payload is null").await, 211);
        let answers = "select count(*) from attempt where response_body is null";
        assert_eq!(raw::<i64>(&db, answers).await, 1);
        let trial = db.try_erasure(&ada).await.unwrap();
        assert_eq!((trial.matched, trial.looked_at), (0, 1));

        let query = AuditQuery { target: Some(task.id.to_string()), ..AuditQuery::default() };
        let log: Vec<Entry> = db.audit_log(&query).await.unwrap().data;
        assert_eq!(log.len(), 2);
        assert_eq!(log[0].action, "message.erased");
        assert_eq!(log[0].after.as_ref().unwrap()["erased"], 211);
        assert!(!format!("{log:?}").contains(SECRET));
    }

    async fn all_contents_of_an_app(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        for app in [app, other] {
            db.ingest(about(app, SECRET)).await.unwrap();
            db.message(app).await;
        }
        let task = db.erase_contents(&wish(&db, app, None), &by()).await.unwrap();
        assert_eq!(finish(&db, task.id).await.progress.done, 2);
        assert_eq!(raw::<i64>(&db, "select count(*) from message where payload is null").await, 2);
    }

    async fn only_what_was_published_between(db: TestStore) {
        let app = db.app().await;
        let from = db.clock.now();
        db.ingest(about(app, SECRET)).await.unwrap();
        db.advance_ms(10);
        db.ingest(about(app, SECRET)).await.unwrap();
        let of = async |since, until| {
            let wish = ErasureWish { since, until, ..wish(&db, app, Some(SECRET)) };
            db.try_erasure(&wish).await.unwrap().matched
        };
        assert_eq!(of(from, from.plus_ms(10)).await, 1);
        assert_eq!(of(from.plus_ms(1), from.plus_ms(11)).await, 1);
        assert_eq!(of(from, from.plus_ms(11)).await, 2);
        assert_eq!(of(from, from).await, 0);
    }
}
