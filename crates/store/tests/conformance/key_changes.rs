use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use model::KeyId;
use store::{Confirmation, KeyChangeKind, OwnerRef, Store};
use testkit::server::PATIENCE;
use testkit::test_store::by;
use testkit::{TestStore, on_both};
use tokio::task::JoinSet;

use crate::key_world::{
    app_and_keyspace, changed, key, new_key, new_owner, new_secret, rotation, tagged,
};
use crate::world::raw;

const WRITERS: usize = 8;
const KEYS_PER_WRITER: usize = 25;

/// Follows the log after `last` as a node does, and ends when it has looked once more after
/// `done`.
async fn follow(store: &Store, mut last: i64, done: &AtomicBool) -> Vec<KeyId> {
    let mut seen = Vec::new();
    loop {
        let over = done.load(Ordering::SeqCst);
        let changes = store.key_changes(last, 10).await.unwrap();
        for change in &changes {
            assert!(change.seq > last, "in order");
            last = change.seq;
            seen.push(change.id.parse().unwrap());
        }
        if over && changes.is_empty() {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// What several writers insert at the same time (processes, where a database may have several),
/// and what a follower saw of it.
async fn insert_and_follow(db: &TestStore) -> (BTreeSet<KeyId>, Vec<KeyId>) {
    let (app, keyspace) = app_and_keyspace(db).await;
    let last = db.newest_key_change().await.unwrap();
    let mut writing = JoinSet::new();
    let mut inserted = BTreeSet::new();
    for _ in 0..WRITERS {
        let keys: Vec<_> = (0..KEYS_PER_WRITER)
            .map(|_| tagged(db, new_key(db, keyspace, Some(app))))
            .map(|key| (tagged(db, new_secret(db, key.value.id)), key))
            .collect();
        inserted.extend(keys.iter().map(|(_, key)| key.value.id));
        let several = db.database.is_postgres();
        let store = if several { db.reopen().await } else { Store::clone(db) };
        writing.spawn(async move {
            for (secret, key) in &keys {
                store.insert_key(key, secret, &by()).await.unwrap();
            }
            if several {
                store.close().await;
            }
        });
    }
    let done = AtomicBool::new(false);
    let written = async {
        while let Some(writer) = writing.join_next().await {
            writer.unwrap();
        }
        done.store(true, Ordering::SeqCst);
    };
    let ((), seen) = tokio::join!(written, follow(db, last, &done));
    (inserted, seen)
}

on_both! {
    async fn every_change_is_told_once_and_in_order(db: TestStore) {
        assert_eq!(db.newest_key_change().await.unwrap(), 0);
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let update = changed(&db, &key, |key| key.enabled = false).await;
        assert!(db.update_key(&update, &by()).await.unwrap());
        assert!(!db.update_key(&update, &by()).await.unwrap());
        assert!(db.add_secret(&rotation(&db, &key, 1).await, &by()).await.unwrap());
        let owner = tagged(&db, new_owner(keyspace, Some(app), "acme"));
        assert!(db.put_key_owner(&owner, &by()).await.unwrap());
        let named = OwnerRef { keyspace, app: Some(app), name: "acme" };
        assert!(db.delete_key_owner(named, &by()).await.unwrap());
        assert!(db.delete_key(Some(app), key.id, &by()).await.unwrap());
        db.delete_keyspace(keyspace, &by()).await.unwrap();
        let changes = db.key_changes(0, 99).await.unwrap();
        let told: Vec<_> =
            changes.iter().map(|change| (change.kind, change.id.as_str(), change.app_id)).collect();
        let of_keyspace = (KeyChangeKind::Keyspace, keyspace.as_str(), None);
        let of_key = (KeyChangeKind::Key, key.id.as_str(), Some(app));
        let of_owner = (KeyChangeKind::Owner, "acme", Some(app));
        let expected =
            [of_keyspace, of_key, of_key, of_key, of_owner, of_owner, of_key, of_keyspace];
        assert_eq!(told, expected);
        assert!(changes.iter().all(|change| change.keyspace_id == keyspace));
        assert!(changes.iter().all(|change| change.at == db.clock.now()));
        let newest = changes.last().unwrap().seq;
        assert_eq!(db.newest_key_change().await.unwrap(), newest);
        assert_eq!(db.key_changes(newest, 99).await.unwrap(), []);
        assert_eq!(db.key_changes(changes[1].seq, 2).await.unwrap(), changes[2..4]);
    }

    async fn whoever_follows_misses_nothing(db: TestStore) {
        let (inserted, seen) = insert_and_follow(&db).await;
        assert_eq!(inserted.len(), WRITERS * KEYS_PER_WRITER);
        assert_eq!(seen.len(), inserted.len(), "nothing twice");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), inserted);
    }

    async fn every_change_is_in_the_audit_log(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, secret) = key(&db, keyspace, Some(app)).await;
        let update = changed(&db, &key, |key| key.enabled = false).await;
        assert!(db.update_key(&update, &by()).await.unwrap());
        assert!(db.add_secret(&rotation(&db, &key, 1).await, &by()).await.unwrap());
        assert!(db.delete_key(Some(app), key.id, &by()).await.unwrap());
        let query = store::AuditQuery { target: Some(key.id.to_string()), ..Default::default() };
        let entries = db.audit_log(&query).await.unwrap().data;
        let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["key.delete", "key.rotate", "key.disable", "key.create"]);
        assert!(entries.iter().all(|entry| entry.app_id == Some(app)));
        let shown = format!("{entries:?}");
        assert!(!shown.contains(&secret.hash), "nothing that verifies is shown");
    }

    async fn only_living_nodes_confirm(db: TestStore) {
        let (one, two) = (db.reopen().await, db.reopen().await);
        if !db.database.is_postgres() {
            // Of a file there is one process that delivers, and the one that asks.
            one.join().await.unwrap();
        }
        db.confirm_changes(3).await.unwrap();
        one.confirm_changes(5).await.unwrap();
        two.confirm_changes(7).await.unwrap();
        one.confirm_changes(6).await.unwrap();
        let seqs = async |store: &Store| {
            let confirmations = store.confirmations().await.unwrap();
            assert!(confirmations.iter().all(|said| said.at == db.clock.now()));
            confirmations.iter().map(|Confirmation { seq, .. }| *seq).collect::<BTreeSet<_>>()
        };
        if db.database.is_postgres() {
            assert_eq!(seqs(&db).await, [3, 6, 7].into());
        } else {
            assert_eq!(seqs(&db).await, [3, 6].into());
            assert_eq!(seqs(&two).await, [6, 7].into());
        }
        let now = db.advance_ms(1);
        db.confirm_changes(8).await.unwrap();
        one.close().await;
        two.close().await;
        // A server notices a closed connection in its own time.
        let alone = tokio::time::timeout(PATIENCE, async {
            while seqs_of(&db).await != [8] {
                tokio::task::yield_now().await;
            }
        });
        alone.await.expect("those that closed are not waited for");
        assert_eq!(raw::<i64>(&db, "select count(*) from key_seen").await, 3);
        db.prune_key_changes(now).await.unwrap();
        assert_eq!(raw::<i64>(&db, "select count(*) from key_seen").await, 1);
    }

    async fn old_changes_go_but_for_the_newest(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        for _ in 0..3 {
            key(&db, keyspace, Some(app)).await;
        }
        let newest = db.newest_key_change().await.unwrap();
        assert_eq!(db.prune_key_changes(db.clock.now()).await.unwrap(), 0);
        let later = db.advance_ms(1);
        assert_eq!(db.prune_key_changes(later).await.unwrap(), 3);
        assert_eq!(db.newest_key_change().await.unwrap(), newest);
        assert_eq!(db.key_changes(0, 9).await.unwrap().len(), 1);
        key(&db, keyspace, Some(app)).await;
        assert!(db.newest_key_change().await.unwrap() > newest);
    }

    async fn the_bell_rings_for_changes_of_others(db: TestStore) {
        let other = if db.database.is_postgres() { db.reopen().await } else { Store::clone(&db) };
        let mut bell = other.key_bell();
        let (app, keyspace) = app_and_keyspace(&db).await;
        // It may not hear yet when the first changes are made: a lost ring does no harm.
        let rung = tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                () = bell.rung() => (),
                () = async { loop { key(&db, keyspace, Some(app)).await; } } => (),
            }
        });
        rung.await.expect("it rings");
        drop(bell);
        if db.database.is_postgres() {
            other.close().await;
        }
    }
}

async fn seqs_of(store: &Store) -> Vec<i64> {
    store.confirmations().await.unwrap().iter().map(|said| said.seq).collect()
}
