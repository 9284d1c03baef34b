use std::sync::Arc;

use model::task::Work;
use serde_json::Value;
use store::{AuditQuery, AuditVerdict, Store, StoreError};
use testkit::{TestStore, by, on_both};

use crate::world::{execute, pages, raw};

const WRITERS: usize = 8;
const ROUNDS: usize = 10;
/// What one round of a writer leaves in the log.
const PER_ROUND: usize = 7;

/// One writer's round: changes that meet those of others in the same rows.
async fn round(store: &Store, db: &TestStore, shared: &model::app::App, name: &str) {
    let by = model::audit::Actor::system(name);
    let app = db.new_app(name);
    assert!(store.insert_app(&app, &by).await.unwrap());
    let mut endpoint = db.new_endpoint(shared.id);
    let secret = model::signature::Secret::generate_hmac(&db.entropy);
    assert!(store.insert_endpoint(&endpoint, &secret, &by).await.unwrap());
    endpoint.paused_at = Some(db.clock.now());
    assert!(store.update_endpoint(&endpoint, &by).await.unwrap());
    assert!(store.update_app(shared, &by).await.unwrap());
    assert!(store.delete_endpoint(shared.id, endpoint.id, &by).await.unwrap());
    let purge = Work::Purge { app_id: shared.id, endpoint_id: Some(endpoint.id) };
    store.insert_task(None, purge, &by).await.unwrap();
    assert!(store.delete_app(app.id, &by).await.unwrap());
}

async fn whole(db: &TestStore) -> AuditVerdict {
    let verdict = db.verify_audit().await.unwrap();
    assert_eq!(verdict.broken_at, None);
    verdict
}

/// Six entries, two of them with before and after.
async fn six_entries(db: &TestStore) {
    let app = db.app().await;
    let endpoint = db.endpoint(app).await;
    for description in ["one", "two"] {
        db.change(app, endpoint, |endpoint| endpoint.description = description.to_owned()).await;
    }
    db.endpoint(app).await;
    assert!(db.delete_endpoint(app, endpoint, &by()).await.unwrap());
    assert_eq!(whole(db).await.entries, 6);
}

/// What somebody does who can write to the database, and where that is found.
const TAMPERING: &[(&[&str], i64)] = &[
    (&["update audit set at = at + 1 where seq = 3"], 3),
    (&["update audit set actor_kind = 'user' where seq = 3"], 3),
    (&["update audit set actor_id = 'usr_1' where seq = 3"], 3),
    (&["update audit set actor_name = 'somebody' where seq = 3"], 3),
    (&["update audit set actor_address = '192.0.2.7' where seq = 3"], 3),
    (&["update audit set request_id = 'req_1' where seq = 3"], 3),
    (&["update audit set action = 'endpoint.create' where seq = 3"], 3),
    (&["update audit set target = 'ep_1' where seq = 3"], 3),
    (&["update audit set app_id = null where seq = 3"], 3),
    (&["update audit set state_before = state_after where seq = 3"], 3),
    (&["update audit set state_after = null where seq = 3"], 3),
    (&["update audit set state_after = replace(state_after, 'one', 'One') where seq = 3"], 3),
    (&["update audit set hash = (select hash from audit where seq = 2) where seq = 3"], 3),
    (&["update audit set at = at + 1 where seq = 6"], 6),
    (&["delete from audit where seq = 3"], 3),
    (&["delete from audit where seq = 1"], 1),
    // The gap closed behind it.
    (
        &[
            "delete from audit where seq = 3",
            "update audit set seq = 3 where seq = 4",
            "update audit set seq = 4 where seq = 5",
            "update audit set seq = 5 where seq = 6",
            "update audit_mark set seq = 5",
        ],
        3,
    ),
    // Two swapped.
    (
        &[
            "update audit set seq = -2 where seq = 2",
            "update audit set seq = 2 where seq = 4",
            "update audit set seq = 4 where seq = -2",
        ],
        2,
    ),
    // One forged, and the head moved to it.
    (&[FORGE], 7),
    (&[FORGE, "update audit_mark set seq = 7"], 7),
    // The tail cut, and the head set back.
    (&["delete from audit where seq > 4"], 5),
    (
        &[
            "delete from audit where seq > 4",
            "update audit_mark set seq = 4, hash = (select hash from audit where seq = 4)",
        ],
        5,
    ),
    (&["delete from audit"], 1),
    (&["update audit_mark set seq = 5"], 7),
    (&["update audit_mark set tag = hash"], 7),
    (&["delete from audit_mark"], 7),
];
const FORGE: &str = "insert into audit select 7, at, actor_kind, actor_id, actor_name, \
    actor_address, request_id, action, target, app_id, state_before, state_after, hash \
    from audit where seq = 6";

on_both! {
    async fn eight_writers_leave_one_sound_chain(db: TestStore) {
        let db = Arc::new(db);
        let shared = db.new_app("shared");
        assert!(db.insert_app(&shared, &by()).await.unwrap());
        let other = db.reopen().await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                let (db, shared) = (db.clone(), shared.clone());
                // PostgreSQL has several processes at once; SQLite has one.
                let mine: Store = (**db).clone();
                let store = if n % 2 == 1 && db.database.is_postgres() { other.clone() } else { mine };
                tokio::spawn(async move {
                    for _ in 0..ROUNDS {
                        round(&store, &db, &shared, &format!("writer {n}")).await;
                    }
                })
            })
            .collect();
        // Whoever verifies meanwhile finds nothing wrong.
        while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
            whole(&db).await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let made = i64::try_from(WRITERS * ROUNDS * PER_ROUND + 1).unwrap();
        assert_eq!(whole(&db).await.entries, made);
        assert_eq!(raw::<i64>(&db, "select max(seq) from audit").await, made);
        assert_eq!(raw::<i64>(&db, "select count(*) from audit").await, made);
        other.close().await;
    }

    async fn tampering_is_found_where_it_is(db: TestStore) {
        six_entries(&db).await;
        execute(&db, "create table kept as select * from audit").await;
        execute(&db, "create table kept_mark as select * from audit_mark").await;
        for (statements, seq) in TAMPERING {
            for sql in *statements {
                execute(&db, sql).await;
            }
            let verdict = db.verify_audit().await.unwrap();
            assert_eq!(verdict.broken_at, Some(*seq), "{statements:?}");
            assert_eq!(verdict.entries, seq - 1, "{statements:?}");
            for sql in [
                "delete from audit",
                "delete from audit_mark",
                "insert into audit select * from kept",
                "insert into audit_mark select * from kept_mark",
            ] {
                execute(&db, sql).await;
            }
            assert_eq!(whole(&db).await.entries, 6);
        }
    }

    async fn another_key_makes_another_chain(db: TestStore) {
        six_entries(&db).await;
        let stranger = db.reopen_with(|options| {
            let vault = model::vault::Vault::new(&[8; 32], options.entropy.clone());
            options.vault = vault.unwrap();
        });
        let stranger = stranger.await;
        assert_eq!(stranger.verify_audit().await.unwrap().broken_at, Some(1));
        stranger.close().await;
    }

    async fn nothing_is_chained_to_a_head_that_is_not_ours(db: TestStore) {
        six_entries(&db).await;
        for sql in ["update audit_mark set seq = 4", "delete from audit_mark"] {
            execute(&db, sql).await;
            let app = db.new_app("late");
            let refused = db.insert_app(&app, &by()).await;
            assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
            assert!(Store::app(&db, &app.id.into()).await.unwrap().is_none(), "kept without an entry");
        }
        let page = db.audit_log(&AuditQuery { page: pages(250), ..Default::default() }).await;
        assert_eq!(page.unwrap().data.len(), 6);
    }

    async fn an_empty_log_is_sound_and_numbers_survive_as_written(db: TestStore) {
        assert_eq!(whole(&db).await.entries, 0);
        // Parsed and written again, these would be other bytes.
        let odd: Value = serde_json::from_str(r#"{"b":1.0000000000000000001,"a":1e2}"#).unwrap();
        let change = model::audit::Change {
            action: "test.note",
            target: "it".to_owned(),
            app_id: None,
            before: None,
            after: Some(odd),
        };
        db.record_audit(&by(), change).await.unwrap();
        assert_eq!(whole(&db).await.entries, 1);
    }
}
