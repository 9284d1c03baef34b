//! The master key's versions: taken into use when all know them, everything sealed anew in steps
//! that survive a crash, and dropped when nothing is under them.

use bytes::Bytes;
use model::access::User;
use model::task::{TaskStatus, Work};
use model::vault::{KEY_LEN, Vault};
use store::{Answer, Order, PageQuery, Step, Store, StoreError, StoreOptions, VaultDrop};
use testkit::{TestStore, by, on_both};

use crate::world::{app_with_endpoint, execute, raw};

const ONE: (u8, [u8; KEY_LEN]) = (1, [7; KEY_LEN]);
const TWO: (u8, [u8; KEY_LEN]) = (2, [8; KEY_LEN]);

fn with(versions: &[(u8, [u8; KEY_LEN])]) -> impl FnOnce(&mut StoreOptions) {
    move |options| {
        let vault = Vault::with_versions(&ONE.1, versions, options.entropy.clone());
        options.vault = vault.unwrap();
    }
}

async fn behind(db: &Store, version: u8) -> i64 {
    db.sealed_under().await.unwrap().iter().map(|under| under.of(version)).sum()
}

/// Everything that can be sealed, some of it more than one step's worth.
async fn sealed_values(db: &TestStore) -> (model::AppId, model::EndpointId) {
    let (app, endpoint) = app_with_endpoint(db).await;
    for n in 0..250 {
        db.endpoint_with(app, |endpoint| {
            endpoint.headers.insert("x-n".to_owned(), n.to_string());
        })
        .await;
    }
    let secret = model::signature::Secret::generate_hmac(&db.entropy);
    db.rotate_secret(app, endpoint, &secret, 1_000_000, &by()).await.unwrap();
    db.begin_answer("k", "f").await.unwrap();
    let answer = Answer { status: 200, body: b"remembered".to_vec() };
    db.finish_answer("k", &answer).await.unwrap();
    let now = db.clock.now();
    let user = User {
        id: model::UserId::new(now, &db.entropy),
        email: "ada@example.org".to_owned(),
        name: "Ada".to_owned(),
        role: None,
        enabled: true,
        created_at: now,
        updated_at: now,
    };
    db.insert_user(&user, "$argon2id$hash", &by()).await.unwrap();
    (app, endpoint)
}

async fn reseal_task(db: &Store) -> model::task::Task {
    let page = PageQuery { limit: 250, iterator: None, order: Order::Descending };
    let tasks = db.tasks(&page, &[], None).await.unwrap().data;
    let is_reseal = |task: &model::task::Task| matches!(task.work, Work::Reseal { .. });
    let [task] = tasks.into_iter().filter(is_reseal).collect::<Vec<_>>().try_into().unwrap();
    task
}

on_both! {
    async fn a_version_is_used_when_every_process_knows_it(db: TestStore) {
        db.check_instance().await.unwrap();
        let other = db.reopen().await;
        if db.database.is_postgres() {
            other.join().await.unwrap();
        }
        other.check_instance().await.unwrap();
        db.learn_vault_keys(&[ONE, TWO]).unwrap();
        db.follow_vault().await.unwrap();
        if db.database.is_postgres() {
            assert_eq!(db.vault_version(), (1, 2), "the other one does not know it yet");
            assert_eq!(db.vault_versions_in_use().await.unwrap(), [1]);
            other.learn_vault_keys(&[TWO]).unwrap();
            other.follow_vault().await.unwrap();
            db.follow_vault().await.unwrap();
        }
        assert_eq!(db.vault_version(), (2, 2));
        assert_eq!(db.vault_versions_in_use().await.unwrap(), [1, 2]);
        db.follow_vault().await.unwrap();
        assert_eq!(reseal_task(&db).await.status, TaskStatus::Running);
        other.close().await;
    }

    async fn everything_is_sealed_anew_and_the_old_version_can_go(db: TestStore) {
        db.check_instance().await.unwrap();
        let (app, endpoint) = sealed_values(&db).await;
        let secret = db.current_secret(endpoint).await.unwrap().unwrap().to_text();
        let headers = db.endpoints_in_app(app, &PageQuery {
            limit: 250, iterator: None, order: Order::Ascending
        }).await.unwrap().data;
        let derived = db.derive("sessions");
        let total = behind(&db, 1).await;
        assert_eq!(total, 251 + 1 + 250 + 1 + 1);

        db.learn_vault_keys(&[TWO]).unwrap();
        db.follow_vault().await.unwrap();
        assert_eq!(db.drop_vault_version(1, &by()).await.unwrap(), VaultDrop::InUse(total));
        assert_eq!(db.drop_vault_version(2, &by()).await.unwrap(), VaultDrop::Newest);
        let mut task = reseal_task(&db).await;
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::Moved);
        // One of the 200 endpoints that it looked at may have no headers.
        let resealed = behind(&db, 2).await;
        assert!(resealed >= 199 && behind(&db, 1).await == total - resealed, "{resealed}");

        // The process dies; another goes on where it was, and one that is late seals under the old.
        let next = db.reopen_with(with(&[ONE, TWO])).await;
        next.check_instance().await.unwrap();
        assert_eq!(next.vault_version(), (2, 2));
        let late = db.reopen().await;
        let mut task = reseal_task(&next).await;
        let mut steps = 0;
        while next.step_task(&mut task).await.unwrap() == Step::Moved {
            steps += 1;
            if steps == 2 {
                let answer = Answer { status: 200, body: b"late".to_vec() };
                late.begin_answer("late", "f").await.unwrap();
                late.finish_answer("late", &answer).await.unwrap();
            }
            if steps == 6 {
                late.rotate_secret(
                    app, endpoint, &model::signature::Secret::parse(&secret).unwrap(), 0, &by(),
                ).await.unwrap();
            }
            assert!(steps < 40, "it does not end");
        }
        if task.status == TaskStatus::Running {
            db.advance_ms(5_000);
            while next.step_task(&mut task).await.unwrap() == Step::Moved {
                steps += 1;
                assert!(steps < 80, "it does not end");
            }
        }
        let task = next.task(task.id).await.unwrap().unwrap();
        assert_eq!(task.status, TaskStatus::Finished, "{task:?}");
        assert!(task.progress.done >= u64::try_from(total).unwrap());
        assert_eq!(behind(&next, 1).await, 0);
        assert_eq!(next.drop_vault_version(1, &by()).await.unwrap(), VaultDrop::Dropped);
        assert_eq!(next.drop_vault_version(1, &by()).await.unwrap(), VaultDrop::NotThere);

        let only = db.reopen_with(with(&[TWO])).await;
        only.check_instance().await.unwrap();
        assert_eq!(only.current_secret(endpoint).await.unwrap().unwrap().to_text(), secret);
        let read = only.endpoints_in_app(app, &PageQuery {
            limit: 250, iterator: None, order: Order::Ascending
        }).await.unwrap().data;
        assert_eq!(read, headers);
        assert_eq!(only.derive("sessions"), derived);
        assert!(matches!(
            only.begin_answer("k", "f").await.unwrap(),
            store::AnswerState::Done(Answer { status: 200, body }) if body == b"remembered"
        ));
        let old = db.reopen().await;
        let refused = old.check_instance().await;
        assert!(matches!(refused, Err(StoreError::VaultVersionMissing(2))), "{refused:?}");
        for store in [next, late, only, old] {
            store.close().await;
        }
    }

    async fn a_process_that_lacks_a_version_is_told_so(db: TestStore) {
        db.check_instance().await.unwrap();
        let none = db.reopen_with(with(&[TWO])).await;
        let refused = none.check_instance().await;
        assert!(matches!(refused, Err(StoreError::VaultVersionMissing(1))), "{refused:?}");
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("version 1") && why.contains("vault rotate"), "{why}");
        let other = db.reopen_with(with(&[(1, [9; KEY_LEN])])).await;
        assert!(matches!(other.check_instance().await, Err(StoreError::OtherInstance)));
        none.close().await;
        other.close().await;
    }

    async fn what_does_not_open_is_left_and_does_not_stop_the_rest(db: TestStore) {
        db.check_instance().await.unwrap();
        let (_, endpoint) = app_with_endpoint(&db).await;
        db.begin_answer("broken", "f").await.unwrap();
        db.finish_answer("broken", &Answer { status: 200, body: Bytes::new().to_vec() }).await.unwrap();
        let postgres = "update answer set sealed = substr(sealed, 1, 20) || '\\x00'::bytea";
        let sqlite = "update answer set sealed = cast(substr(sealed, 1, 20) || x'00' as blob)";
        execute(&db, if db.database.is_postgres() { postgres } else { sqlite }).await;
        db.learn_vault_keys(&[TWO]).unwrap();
        db.follow_vault().await.unwrap();
        let mut task = reseal_task(&db).await;
        for _ in 0..10 {
            db.step_task(&mut task).await.unwrap();
        }
        assert_eq!(behind(&db, 1).await, 1);
        assert!(db.current_secret(endpoint).await.unwrap().is_some());
        let first: Vec<u8> = raw(&db, "select substr(sealed, 1, 1) from secret").await;
        assert_eq!(first, [2]);
    }
}
