use model::task::{Progress, Selection, Task, TaskStatus, Work};
use model::{TaskId, Timestamp};
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
            app_id: app,
            endpoint_id: endpoint,
            since: Timestamp(1),
            until: Timestamp::NEVER,
            event_types: vec!["a.b".to_owned()],
            channel: Some(ODD.to_owned()),
            tag: Some("t".to_owned()),
            state: Some(3),
            status_code_class: Some(500),
        };
        for work in [
            Work::Recover(selection.clone()),
            Work::ReplayMissing(selection.clone()),
            Work::BulkReplay(selection),
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
        let status = Some(TaskStatus::Running);
        walk(&expected, async |query| {
            keys(db.tasks(&query, None, None).await.unwrap(), |task| task.id.to_string())
        })
        .await;
        walk(&expected, async |query| {
            keys(db.tasks(&query, status, None).await.unwrap(), |task| task.id.to_string())
        })
        .await;
        let mut task = db.running_tasks().await.unwrap().remove(0);
        task.status = TaskStatus::Finished;
        db.advance_task_if_running(&task).await.unwrap();
        let finished = db.tasks(&pages(9), Some(TaskStatus::Finished), None).await.unwrap();
        assert_eq!(finished.data.len(), 1);
        assert_eq!(db.tasks(&pages(9), status, None).await.unwrap().data.len(), 6);
    }
}
