use model::key::limit::Limit;
use model::key::{KeyOwner, Keyspace, RotationPolicy, Tagged, WhenStale};
use store::{KeyspaceDeletion, OwnerRef};
use testkit::test_store::by;
use testkit::{TestStore, on_both};

use crate::key_world::{app_and_keyspace, key, keyspace, new_keyspace, new_owner, tagged};
use crate::world::{ODD, keys, walk};

pub fn limit(name: &str) -> Limit {
    Limit {
        name: name.to_owned(),
        limit: 100,
        window_ms: 60_000,
        subject: model::key::limit::Subject::Owner,
        mode: model::key::limit::Mode::Strict,
        when_down: model::key::limit::WhenDown::Closed,
        automatic: false,
    }
}

/// One without an absent field.
fn full(db: &TestStore) -> Keyspace {
    let scopes = vec!["read:contacts".to_owned(), "docs.*".to_owned()];
    Keyspace {
        uid: Some("contacts".to_owned()),
        name: ODD.to_owned(),
        permissions: [("read:contacts".to_owned(), ODD.to_owned())].into(),
        roles: [("reader".to_owned(), scopes)].into(),
        limits: vec![limit("burst")],
        ip_allow: serde_json::from_str("[\"10.0.0.0/8\", \"2001:db8::/32\"]").unwrap(),
        max_lifetime_ms: Some(1),
        idle_expiry_ms: Some(u64::from(u32::MAX) * 1_000),
        rotation: Some(RotationPolicy { interval_ms: 3, grace_ms: 2, notice_ms: 1 }),
        when_stale: WhenStale::Serve,
        metadata: [(ODD.to_owned(), "\0".to_owned())].into(),
        ..new_keyspace(db)
    }
}

async fn find(db: &TestStore, text: &str) -> Option<Tagged<Keyspace>> {
    db.keyspace(text).await.unwrap()
}

on_both! {
    async fn every_field_comes_back_with_its_tag(db: TestStore) {
        let (bare, full) = (tagged(&db, new_keyspace(&db)), tagged(&db, full(&db)));
        for keyspace in [&bare, &full] {
            assert!(db.insert_keyspace(keyspace, &by()).await.unwrap());
            let found = find(&db, keyspace.value.id.as_str()).await.unwrap();
            assert_eq!(found.value, keyspace.value);
            assert_eq!((found.tag, found.pepper_version), (keyspace.tag, 3));
        }
        assert_eq!(find(&db, "contacts").await.unwrap().value, full.value);
        assert!(find(&db, "Contacts").await.is_none());
        assert!(find(&db, "").await.is_none());
    }

    async fn a_uid_is_one_keyspaces_only(db: TestStore) {
        let full = tagged(&db, full(&db));
        assert!(db.insert_keyspace(&full, &by()).await.unwrap());
        let mut other = new_keyspace(&db);
        other.uid = Some("contacts".to_owned());
        assert!(!db.insert_keyspace(&tagged(&db, other.clone()), &by()).await.unwrap());
        other.uid = None;
        assert!(db.insert_keyspace(&tagged(&db, other.clone()), &by()).await.unwrap());
        other.uid = Some("contacts".to_owned());
        other.version = 2;
        assert!(!db.update_keyspace(&tagged(&db, other), &by()).await.unwrap());
    }

    async fn of_two_updates_of_one_version_one_wins(db: TestStore) {
        let first = tagged(&db, new_keyspace(&db));
        assert!(db.insert_keyspace(&first, &by()).await.unwrap());
        let update = |name: &str| {
            let name = name.to_owned();
            tagged(&db, Keyspace { name, version: 2, ..first.value.clone() })
        };
        let (one, two) = (update("one"), update("two"));
        let actor = by();
        let (done, also) =
            tokio::join!(db.update_keyspace(&one, &actor), db.update_keyspace(&two, &actor));
        assert_ne!(done.as_ref().unwrap(), also.as_ref().unwrap());
        let winner = if done.unwrap() { one } else { two };
        let stored = find(&db, first.value.id.as_str()).await.unwrap();
        assert_eq!((stored.value, stored.tag), (winner.value, winner.tag));
        let gone = Keyspace { version: 2, ..new_keyspace(&db) };
        assert!(!db.update_keyspace(&tagged(&db, gone), &by()).await.unwrap());
    }

    async fn one_with_keys_is_not_deleted(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, _) = key(&db, keyspace, Some(app)).await;
        let refused = db.delete_keyspace(keyspace, &by()).await.unwrap();
        assert_eq!(refused, KeyspaceDeletion::HasKeys);
        assert!(find(&db, keyspace.as_str()).await.is_some());
        assert!(db.delete_key(Some(app), key.id, &by()).await.unwrap());
        let owner = tagged(&db, new_owner(keyspace, Some(app), "acme"));
        assert!(db.put_key_owner(&owner, &by()).await.unwrap());
        let deleted = db.delete_keyspace(keyspace, &by()).await.unwrap();
        assert_eq!(deleted, KeyspaceDeletion::Deleted);
        assert!(find(&db, keyspace.as_str()).await.is_none());
        let again = db.delete_keyspace(keyspace, &by()).await.unwrap();
        assert_eq!(again, KeyspaceDeletion::NotFound);
        let named = OwnerRef { keyspace, app: Some(app), name: "acme" };
        assert!(db.key_owner(named).await.unwrap().is_none());
    }

    async fn pages_of_keyspaces_go_forth_and_back(db: TestStore) {
        let mut expected = Vec::new();
        for _ in 0..7 {
            expected.push(keyspace(&db).await.to_string());
        }
        expected.sort();
        walk(&expected, async |query| {
            keys(db.keyspaces(&query).await.unwrap(), |found| found.value.id.to_string())
        })
        .await;
    }

    async fn kinds_of_imports_are_noted_once(db: TestStore) {
        let (plain, mixed) = (keyspace(&db).await, keyspace(&db).await);
        let before = db.newest_key_change().await.unwrap();
        for kind in ["sha256", "hmac", "sha256"] {
            assert!(db.add_import_kind(mixed, kind, &by()).await.unwrap());
        }
        let kinds = vec!["sha256".to_owned(), "hmac".to_owned()];
        assert_eq!(db.import_kinds().await.unwrap(), [(mixed, kinds)]);
        assert_eq!(db.key_changes(before, 9).await.unwrap().len(), 2);
        assert!(find(&db, plain.as_str()).await.is_some());
        let unknown = new_keyspace(&db).id;
        assert!(!db.add_import_kind(unknown, "sha256", &by()).await.unwrap());
    }

    async fn owners_belong_to_a_keyspace_and_an_app(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let other = db.app().await;
        let owner = KeyOwner { limits: vec![limit("shared")], ..new_owner(keyspace, Some(app), ODD) };
        let owner = tagged(&db, owner);
        assert!(db.put_key_owner(&owner, &by()).await.unwrap());
        assert!(!db.put_key_owner(&owner, &by()).await.unwrap(), "version 1 is there");
        let named = OwnerRef { keyspace, app: Some(app), name: ODD };
        let found = db.key_owner(named).await.unwrap().unwrap();
        assert_eq!((found.value, found.tag), (owner.value.clone(), owner.tag));
        for app in [Some(other), None] {
            assert!(db.key_owner(OwnerRef { app, ..named }).await.unwrap().is_none());
            assert!(!db.delete_key_owner(OwnerRef { app, ..named }, &by()).await.unwrap());
        }
        let disabled = KeyOwner { enabled: false, version: 2, ..owner.value };
        assert!(db.put_key_owner(&tagged(&db, disabled.clone()), &by()).await.unwrap());
        assert!(!db.put_key_owner(&tagged(&db, disabled.clone()), &by()).await.unwrap());
        assert_eq!(db.key_owner(named).await.unwrap().unwrap().value, disabled);
        assert!(db.delete_key_owner(named, &by()).await.unwrap());
        assert!(db.key_owner(named).await.unwrap().is_none());
    }

    async fn pages_of_owners_go_forth_and_back(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let mut expected: Vec<String> = (0..7).map(|n| format!("owner {n}")).collect();
        expected[3] = "-Owner".to_owned();
        for name in &expected {
            let owner = tagged(&db, new_owner(keyspace, Some(app), name));
            assert!(db.put_key_owner(&owner, &by()).await.unwrap());
        }
        let foreign = tagged(&db, new_owner(keyspace, None, "foreign"));
        assert!(db.put_key_owner(&foreign, &by()).await.unwrap());
        expected.sort();
        walk(&expected, async |query| {
            let page = db.key_owners(keyspace, Some(app), &query).await.unwrap();
            keys(page, |owner| owner.value.name.clone())
        })
        .await;
    }
}
