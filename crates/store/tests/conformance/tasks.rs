use model::attempt::ErrorKind;
use model::replay::{Counted, MessageIdWish, Options, Plan, Selection};
use model::task::{Progress, Task, TaskStatus, Work};
use model::{ReplayId, TaskId, Timestamp};
use sqlx::{Connection, PgConnection};
use store::Step;
use testkit::by;
use testkit::{TestStore, on_both};

use crate::world::{ODD, app_with_endpoint, keys, pages, walk};

async fn purge(db: &TestStore) -> Task {
    let (app, _) = app_with_endpoint(db).await;
    db.insert_task(None, Work::Purge { app_id: app, endpoint_id: None }, &by()).await.unwrap()
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let selection = Selection {
            event_types: vec!["a.*".to_owned()],
            channel: Some(ODD.to_owned()),
            tag: Some("t".to_owned()),
            state: Some(3),
            status_code_class: Some(500),
            error: Some(ErrorKind::Timeout),
            text: Some(ODD.to_owned()),
            ..Selection::new(app, Timestamp(1), Timestamp::NEVER).at(endpoint)
        };
        let plan = Plan {
            replay_id: Some(ReplayId::new(db.clock.now(), &db.entropy)),
            options: Options { rate_per_s: Some(7), message_id: MessageIdWish::Renew },
            selected: Some(Counted { count: 9, capped: true }),
            ..Plan::from(selection)
        };
        for work in [
            Work::Recover(plan.clone()),
            Work::ReplayMissing(plan.clone()),
            Work::BulkReplay(plan),
            Work::Purge { app_id: app, endpoint_id: Some(endpoint) },
        ] {
            let task = db.insert_task(Some(app), work.clone(), &by()).await.unwrap();
            assert_eq!((&task.work, task.status), (&work, TaskStatus::Running));
            assert_eq!(db.task(task.id).await.unwrap(), Some(task));
        }
        let none = TaskId::new(db.clock.now(), &db.entropy);
        assert_eq!(db.task(none).await.unwrap(), None);
    }

    async fn a_new_task_rings(db: TestStore) {
        let wake = db.wake().clone();
        let rung = wake.tasks();
        purge(&db).await;
        tokio::time::timeout(testkit::server::PATIENCE, rung).await.expect("a ring");
    }

    async fn only_a_running_task_advances(db: TestStore) {
        let mut task = purge(&db).await;
        let done = Progress { done: 7, cursor: Some(ODD.to_owned()), ..Progress::default() };
        task.progress = done.clone();
        db.advance_ms(5);
        assert!(db.advance_task_if_running(&task).await.unwrap());
        let stored = db.task(task.id).await.unwrap().unwrap();
        assert_eq!((stored.progress, stored.updated_at), (done, db.clock.now()));
        assert_eq!(db.running_tasks().await.unwrap().len(), 1);
        task.status = TaskStatus::Failed;
        assert!(db.advance_task_if_running(&task).await.unwrap());
        assert_eq!(db.running_tasks().await.unwrap(), []);
        task.status = TaskStatus::Running;
        assert!(!db.advance_task_if_running(&task).await.unwrap());
        assert_eq!(db.task(task.id).await.unwrap().unwrap().status, TaskStatus::Failed);
    }

    async fn pages_go_forth_and_back(db: TestStore) {
        let mut expected = Vec::new();
        for _ in 0..7 {
            expected.push(purge(&db).await.id.to_string());
        }
        expected.sort();
        let status = &[TaskStatus::Running, TaskStatus::Paused];
        walk(&expected, async |query| {
            keys(db.tasks(&query, &[], None).await.unwrap(), |task| task.id.to_string())
        })
        .await;
        walk(&expected, async |query| {
            keys(db.tasks(&query, status, None).await.unwrap(), |task| task.id.to_string())
        })
        .await;
        let mut task = db.running_tasks().await.unwrap().remove(0);
        task.status = TaskStatus::Finished;
        db.advance_task_if_running(&task).await.unwrap();
        let finished = db.tasks(&pages(9), &[TaskStatus::Finished], None).await.unwrap();
        assert_eq!(finished.data.len(), 1);
        assert_eq!(db.tasks(&pages(9), status, None).await.unwrap().data.len(), 6);
    }
}

on_both! {
    async fn a_task_of_a_dead_process_is_taken_up(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        crate::world::publish(&db, app, 3).await;
        let dying = db.reopen().await;
        let work = Work::Purge { app_id: app, endpoint_id: None };
        let mut task = dying.insert_task(None, work, &by()).await.unwrap();
        assert_eq!(dying.step_task(&mut task).await.unwrap(), Step::Moved);
        assert_eq!((task.status, task.progress.done), (TaskStatus::Running, 3));
        drop(dying);
        let [mut found] = db.running_tasks().await.unwrap().try_into().expect("the task");
        assert_eq!(found, task);
        assert_eq!(db.step_task(&mut found).await.unwrap(), Step::Moved);
        assert_eq!((found.status, found.progress.done), (TaskStatus::Finished, 3));
    }

    async fn a_task_in_somebodys_hands_is_left_alone_until_they_are_gone(db: TestStore) {
        let mut task = purge(&db).await;
        if !db.database.is_postgres() {
            // There is one writer.
            return;
        }
        let mut hands = PgConnection::connect(db.database.url()).await.unwrap();
        sqlx::raw_sql("begin; select 1 from task for update").execute(&mut hands).await.unwrap();
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::NotOurs);
        // As the server does when the process dies, or hangs for too long.
        let pid: i32 =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut hands).await.unwrap();
        let mut other = PgConnection::connect(db.database.url()).await.unwrap();
        let is_gone: bool = sqlx::query_scalar("select pg_terminate_backend($1, 10000)")
            .bind(pid)
            .fetch_one(&mut other)
            .await
            .unwrap();
        assert!(is_gone);
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::Moved);
    }
}
