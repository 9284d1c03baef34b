use model::key::{Key, KeySecret, Revocation, RevocationReason, RotationPolicy};
use model::{AppId, KeyId};
use store::{ExpiringQuery, KeyInsertion, KeyQuery, KeyState, LastUse, PageQuery};
use testkit::test_store::by;
use testkit::{TestStore, on_both};

use crate::key_world::{
    app_and_keyspace, changed, key, key_with, keyspace_with, new_key, new_secret, rotation, tagged,
};
use crate::keyspaces::limit;
use crate::world::{ODD, keys, pages, raw, walk};

const DAY_MS: u64 = 86_400_000;
const POLICY: RotationPolicy =
    RotationPolicy { interval_ms: 30 * DAY_MS, grace_ms: DAY_MS, notice_ms: 7 * DAY_MS };

/// One without an absent field.
fn full(key: Key) -> Key {
    let revoked = Revocation {
        at: key.created_at.plus_ms(9),
        reason: RevocationReason::KeyCompromise,
        note: Some(ODD.to_owned()),
    };
    Key {
        name: ODD.to_owned(),
        owner: Some(ODD.to_owned()),
        scopes: vec!["docs.*".to_owned(), "*".to_owned()],
        roles: vec!["reader".to_owned()],
        ip_allow: serde_json::from_str("[\"10.0.0.0/8\"]").unwrap(),
        limits: vec![limit("burst")],
        expires_at: Some(key.created_at.plus_ms(DAY_MS)),
        idle_expiry_ms: Some(1),
        rotation: Some(POLICY),
        metadata: [(ODD.to_owned(), "\0".to_owned())].into(),
        tags: vec![ODD.to_owned(), "blue".to_owned()],
        enabled: false,
        revoked: Some(revoked),
        ..key
    }
}

async fn find(db: &TestStore, app: Option<AppId>, id: KeyId) -> Option<store::KeyRow> {
    db.key_in_app(app, id.as_str()).await.unwrap()
}

async fn ids(db: &TestStore, query: KeyQuery) -> Vec<String> {
    let page = db.keys(&KeyQuery { page: pages(250), ..query }).await.unwrap();
    assert!(page.done);
    page.data.into_iter().map(|row| row.key.value.id.to_string()).collect()
}

on_both! {
    async fn every_field_of_a_key_comes_back(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        for (app, key) in [
            (Some(app), new_key(&db, keyspace, Some(app))),
            (Some(app), full(new_key(&db, keyspace, Some(app)))),
            (None, new_key(&db, keyspace, None)),
        ] {
            let (key, mut secret) = (tagged(&db, key), new_secret(&db, new_key(&db, keyspace, app).id));
            secret.key_id = key.value.id;
            secret.last_used_at = Some(db.clock.now());
            let secret = tagged(&db, secret);
            let inserted = db.insert_key(&key, &secret, &by()).await.unwrap();
            assert_eq!(inserted, KeyInsertion::Inserted);
            let found = find(&db, app, key.value.id).await.unwrap();
            assert_eq!(found.key.value, key.value);
            assert_eq!((found.key.tag, found.key.pepper_version), (key.tag, 3));
            assert_eq!(found.last_use, None);
            let [stored] = &db.secrets_of(key.value.id).await.unwrap()[..] else { panic!() };
            assert_eq!((&stored.value, stored.tag), (&secret.value, secret.tag));
        }
    }

    async fn a_foreign_app_finds_nothing(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let other = db.app().await;
        let (ours, _) = key(&db, keyspace, Some(app)).await;
        let (service, _) = key(&db, keyspace, None).await;
        for (app, key) in [(Some(other), &ours), (None, &ours), (Some(app), &service)] {
            assert!(find(&db, app, key.id).await.is_none());
            assert!(!db.delete_key(app, key.id, &by()).await.unwrap());
            let mut foreign = changed(&db, key, |_| ()).await;
            foreign.value.app_id = app;
            assert!(!db.update_key(&foreign, &by()).await.unwrap());
        }
        assert!(find(&db, Some(app), ours.id).await.is_some());
        assert!(db.key_in_app(Some(app), "").await.unwrap().is_none());
        assert!(ids(&db, KeyQuery { app: Some(other), ..Default::default() }).await.is_empty());
        let services = ids(&db, KeyQuery::default()).await;
        assert_eq!(services, [service.id.to_string()]);
    }

    async fn a_token_is_one_keys_only(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (_, taken) = key(&db, keyspace, Some(app)).await;
        let second = tagged(&db, new_key(&db, keyspace, Some(app)));
        let mut secret = new_secret(&db, second.value.id);
        secret.lookup = taken.lookup;
        let refused = db.insert_key(&second, &tagged(&db, secret.clone()), &by()).await.unwrap();
        assert_eq!(refused, KeyInsertion::Taken);
        assert!(find(&db, Some(app), second.value.id).await.is_none());
        secret.lookup = None;
        for _ in 0..2 {
            let key = tagged(&db, new_key(&db, keyspace, Some(app)));
            let secret = tagged(&db, KeySecret { lookup: None, ..new_secret(&db, key.value.id) });
            let inserted = db.insert_key(&key, &secret, &by()).await.unwrap();
            assert_eq!(inserted, KeyInsertion::Inserted, "many may be without a lookup");
        }
    }

    async fn a_key_needs_its_keyspace_and_its_app(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let no_app = Some(db.new_app("never stored").id);
        let no_keyspace = crate::key_world::new_keyspace(&db).id;
        for (keyspace, app) in [(keyspace, no_app), (no_keyspace, Some(app)), (no_keyspace, None)] {
            let key = tagged(&db, new_key(&db, keyspace, app));
            let secret = tagged(&db, new_secret(&db, key.value.id));
            let refused = db.insert_key(&key, &secret, &by()).await.unwrap();
            assert_eq!(refused, KeyInsertion::ParentGone);
            assert!(find(&db, app, key.value.id).await.is_none());
        }
    }

    async fn of_two_updates_of_one_key_one_wins(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (stored, _) = key(&db, keyspace, Some(app)).await;
        let one = changed(&db, &stored, |key| key.name = "one".to_owned()).await;
        let two = changed(&db, &stored, |key| key.name = "two".to_owned()).await;
        let actor = by();
        let (done, also) = tokio::join!(db.update_key(&one, &actor), db.update_key(&two, &actor));
        assert_ne!(done.as_ref().unwrap(), also.as_ref().unwrap());
        let winner = if done.unwrap() { one } else { two };
        let found = find(&db, Some(app), stored.id).await.unwrap().key;
        assert_eq!((found.value, found.tag), (winner.value.clone(), winner.tag));
        assert!(!db.update_key(&winner, &by()).await.unwrap(), "it is stored already");
    }

    async fn many_are_updated_in_one_transaction(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let mut updates = Vec::new();
        for _ in 0..5 {
            let (key, _) = key(&db, keyspace, Some(app)).await;
            updates.push(changed(&db, &key, |key| key.enabled = false).await);
        }
        updates[2].value.version += 1;
        let before = db.newest_key_change().await.unwrap();
        let done = db.update_keys(&updates, &by()).await.unwrap();
        let expected: Vec<KeyId> =
            [0, 1, 3, 4].iter().map(|n| updates[*n].value.id).collect();
        assert_eq!(done, expected);
        let changes = db.key_changes(before, 9).await.unwrap();
        assert_eq!(changes.len(), 4);
        let query = KeyQuery { app: Some(app), state: Some(KeyState::Disabled), ..Default::default() };
        assert_eq!(ids(&db, query).await.len(), 4);
        assert!(db.update_keys(&[], &by()).await.unwrap().is_empty());
    }

    async fn lists_are_narrowed(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let other_space = crate::key_world::keyspace(&db).await;
        let now = db.clock.now();
        let (plain, _) = key(&db, keyspace, Some(app)).await;
        let (owned, _) = key_with(&db, keyspace, Some(app), |key| {
            key.owner = Some("acme".to_owned());
            key.tags = vec!["blue".to_owned(), ODD.to_owned()];
        })
        .await;
        let (elsewhere, _) = key_with(&db, other_space, Some(app), |key| {
            key.owner = Some("acme".to_owned());
            key.enabled = false;
        })
        .await;
        let (expired, _) = key_with(&db, keyspace, Some(app), |key| {
            key.expires_at = Some(now);
            key.tags = vec!["bluebird".to_owned()];
        })
        .await;
        let (revoked, _) = key_with(&db, keyspace, Some(app), |key| *key = full(key.clone())).await;
        let (service, _) = key(&db, keyspace, None).await;
        let list = async |change: &dyn Fn(&mut KeyQuery)| {
            let mut query = KeyQuery { app: Some(app), ..Default::default() };
            change(&mut query);
            ids(&db, query).await
        };
        let sorted = |keys: &[&Key]| {
            let mut ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
            ids.sort();
            ids
        };
        let all = [&plain, &owned, &elsewhere, &expired, &revoked];
        assert_eq!(list(&|_| ()).await, sorted(&all));
        assert_eq!(list(&|query| query.keyspace = Some(other_space)).await, sorted(&[&elsewhere]));
        let acme = |query: &mut KeyQuery| query.owner = Some("acme".to_owned());
        assert_eq!(list(&acme).await, sorted(&[&owned, &elsewhere]));
        let both = |query: &mut KeyQuery| {
            acme(query);
            query.keyspace = Some(keyspace);
        };
        assert_eq!(list(&both).await, sorted(&[&owned]));
        let tag = async |tag: &str| list(&|query| query.tag = Some(tag.to_owned())).await;
        assert_eq!(tag("blue").await, sorted(&[&owned, &revoked]));
        assert_eq!(tag(ODD).await, sorted(&[&owned, &revoked]));
        assert_eq!(tag("blu").await, Vec::<String>::new());
        let state = async |state| list(&|query| query.state = Some(state)).await;
        assert_eq!(state(KeyState::Active).await, sorted(&[&plain, &owned]));
        assert_eq!(state(KeyState::Disabled).await, sorted(&[&elsewhere]));
        assert_eq!(state(KeyState::Expired).await, sorted(&[&expired]));
        assert_eq!(state(KeyState::Revoked).await, sorted(&[&revoked]));
        let every = async |keyspace| {
            ids(&db, KeyQuery { every_app: true, keyspace, ..Default::default() }).await
        };
        assert_eq!(every(None).await.len(), 6);
        let in_keyspace = [&plain, &owned, &expired, &revoked, &service];
        assert_eq!(every(Some(keyspace)).await, sorted(&in_keyspace));
    }

    async fn pages_of_keys_go_forth_and_back(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let mut expected = Vec::new();
        for _ in 0..7 {
            let owned = |key: &mut Key| key.owner = Some("acme".to_owned());
            expected.push(key_with(&db, keyspace, Some(app), owned).await.0.id.to_string());
        }
        expected.sort();
        let narrowed: [&dyn Fn(&mut KeyQuery); 4] = [
            &|_| (),
            &|query| query.owner = Some("acme".to_owned()),
            &|query| query.every_app = true,
            &|query| (query.every_app, query.keyspace) = (true, Some(keyspace)),
        ];
        for narrow in narrowed {
            walk(&expected, async |page: PageQuery| {
                let mut query = KeyQuery { page, app: Some(app), ..Default::default() };
                narrow(&mut query);
                keys(db.keys(&query).await.unwrap(), |row| row.key.value.id.to_string())
            })
            .await;
        }
    }

    async fn keys_are_found_by_many_ids(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (one, _) = key(&db, keyspace, Some(app)).await;
        let (two, _) = key(&db, keyspace, None).await;
        let gone = new_key(&db, keyspace, None).id;
        let found = db.keys_by_ids(&[two.id, gone, one.id, two.id]).await.unwrap();
        let mut found: Vec<KeyId> = found.into_iter().map(|row| row.key.value.id).collect();
        found.sort();
        let mut expected = [one.id, two.id];
        expected.sort();
        assert_eq!(found, expected);
        assert!(db.keys_by_ids(&[]).await.unwrap().is_empty());
    }

    async fn deleting_takes_everything_of_a_key_along(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, secret) = key(&db, keyspace, Some(app)).await;
        crate::key_usage::use_once(&db, &key, &secret).await;
        assert!(db.delete_key(Some(app), key.id, &by()).await.unwrap());
        assert!(!db.delete_key(Some(app), key.id, &by()).await.unwrap());
        assert!(find(&db, Some(app), key.id).await.is_none());
        assert!(db.secrets_of(key.id).await.unwrap().is_empty());
        assert_eq!(raw::<i64>(&db, "select count(*) from key_usage").await, 0);
        assert!(db.credential_by_lookup(&secret.lookup.unwrap()).await.unwrap().is_none());
    }

    async fn deleting_an_app_deletes_its_keys_and_says_so(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (one, secret) = key(&db, keyspace, Some(app)).await;
        let (two, _) = key(&db, keyspace, Some(app)).await;
        let (kept, _) = key(&db, keyspace, None).await;
        let owner = tagged(&db, crate::key_world::new_owner(keyspace, Some(app), "acme"));
        assert!(db.put_key_owner(&owner, &by()).await.unwrap());
        crate::key_usage::use_once(&db, &one, &secret).await;
        let before = db.newest_key_change().await.unwrap();
        assert!(db.delete_app(app, &by()).await.unwrap());
        let changes = db.key_changes(before, 9).await.unwrap();
        let mut told: Vec<String> = changes.iter().map(|change| change.id.clone()).collect();
        told.sort();
        let mut expected = vec!["acme".to_owned(), one.id.to_string(), two.id.to_string()];
        expected.sort();
        assert_eq!(told, expected);
        assert!(changes.iter().all(|change| change.app_id == Some(app)));
        assert!(find(&db, Some(app), one.id).await.is_none());
        assert!(db.secrets_of(one.id).await.unwrap().is_empty());
        assert_eq!(raw::<i64>(&db, "select count(*) from key_usage").await, 0);
        assert_eq!(raw::<i64>(&db, "select count(*) from key_owner").await, 0);
        assert!(find(&db, None, kept.id).await.is_some());
    }

    async fn keys_that_expire_soon_are_found(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let now = db.clock.now();
        let expiring = async |at, change: &dyn Fn(&mut Key)| {
            let (key, _) = key_with(&db, keyspace, Some(app), |key| {
                key.expires_at = at;
                change(key);
            })
            .await;
            key.id
        };
        let mut soon = [
            expiring(Some(now.plus_ms(1)), &|_| ()).await,
            expiring(Some(now.plus_ms(5)), &|_| ()).await,
        ];
        soon.sort();
        for at in [Some(now), Some(now.plus_ms(6)), None] {
            expiring(at, &|_| ()).await;
        }
        expiring(Some(now.plus_ms(2)), &|key| key.enabled = false).await;
        expiring(Some(now.plus_ms(2)), &|key| *key = full(key.clone())).await;
        let find = async |after, limit| {
            let query = ExpiringQuery { since: now, until: now.plus_ms(5), after, limit };
            let found = db.keys_expiring(&query).await.unwrap();
            found.into_iter().map(|key| key.value.id).collect::<Vec<_>>()
        };
        assert_eq!(find(None, 9).await, soon);
        assert_eq!(find(None, 1).await, soon[..1]);
        assert_eq!(find(Some(soon[0]), 9).await, soon[1..]);
    }

    async fn rotations_are_announced_and_due(db: TestStore) {
        let app = db.app().await;
        let with_policy = keyspace_with(&db, |space| space.rotation = Some(POLICY)).await;
        let without = crate::key_world::keyspace(&db).await;
        let own = RotationPolicy { interval_ms: 10 * DAY_MS, grace_ms: 0, notice_ms: DAY_MS };
        let (by_keyspace, _) = key(&db, with_policy, Some(app)).await;
        let (by_key, _) =
            key_with(&db, without, Some(app), |key| key.rotation = Some(own)).await;
        let (own_first, _) =
            key_with(&db, with_policy, Some(app), |key| key.rotation = Some(own)).await;
        // Nobody could collect the token of the instance's own, or use that of an expired one.
        key_with(&db, with_policy, None, |key| key.rotation = Some(own)).await;
        key_with(&db, with_policy, Some(app), |key| key.expires_at = Some(key.created_at)).await;
        key(&db, without, Some(app)).await;
        key_with(&db, with_policy, Some(app), |key| key.enabled = false).await;
        let start = db.clock.now();
        let due = async |days: u64, after| {
            let now = start.plus_ms(days * DAY_MS);
            let found = db.keys_rotation_due(now, after, 9).await.unwrap();
            found.into_iter().map(|due| (due.key.value.id, due.due_at)).collect::<Vec<_>>()
        };
        assert_eq!(due(8, None).await, []);
        let mut early = [by_key.id, own_first.id].map(|id| (id, start.plus_ms(10 * DAY_MS)));
        early.sort();
        assert_eq!(due(9, None).await, early);
        assert_eq!(due(9, Some(early[0].0)).await, early[1..]);
        let mut all = early.to_vec();
        all.push((by_keyspace.id, start.plus_ms(30 * DAY_MS)));
        all.sort();
        assert_eq!(due(23, None).await, all);
        db.advance_ms(DAY_MS);
        assert!(db.add_secret(&rotation(&db, &by_key, DAY_MS).await, &by()).await.unwrap());
        assert_eq!(due(9, None).await.len(), 1, "the new secret is young");
    }

    async fn the_last_use_is_shown(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (key, secret) = key(&db, keyspace, Some(app)).await;
        let last = crate::key_usage::use_once(&db, &key, &secret).await;
        let found = find(&db, Some(app), key.id).await.unwrap();
        assert_eq!(found.last_use, Some(last.clone()));
        let LastUse { at, .. } = last;
        assert_eq!(db.secrets_of(key.id).await.unwrap()[0].value.last_used_at, Some(at));
    }
}
