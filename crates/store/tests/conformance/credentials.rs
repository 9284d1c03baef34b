use model::key::{KeyOwner, KeySecret, Revocation};
use store::{Credential, KeyInsertion, MAX_BY_START, PageQuery};
use testkit::test_store::by;
use testkit::{TestStore, on_both};

use crate::key_world::{
    app_and_keyspace, bytes, changed, key, key_with, new_key, new_owner, new_secret, rotation,
    tagged,
};
use crate::world::execute;

async fn lookup(db: &TestStore, secret: &KeySecret) -> Option<Credential> {
    db.credential_by_lookup(&secret.lookup.unwrap()).await.unwrap()
}

/// Walks a whole list in pages of `limit`.
async fn all<T>(page: impl AsyncFn(Option<T>) -> Vec<T>) -> Vec<T>
where
    T: Clone,
{
    let mut found: Vec<T> = Vec::new();
    loop {
        let more = page(found.last().cloned()).await;
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

on_both! {
    async fn a_lookup_finds_key_keyspace_and_owner(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let owner = KeyOwner { enabled: false, ..new_owner(keyspace, Some(app), "acme") };
        let owner = tagged(&db, owner);
        assert!(db.put_key_owner(&owner, &by()).await.unwrap());
        let foreign = tagged(&db, new_owner(keyspace, None, "acme"));
        assert!(db.put_key_owner(&foreign, &by()).await.unwrap());
        let (owned, secret) =
            key_with(&db, keyspace, Some(app), |key| key.owner = Some("acme".to_owned())).await;
        let (plain, other) = key(&db, keyspace, Some(app)).await;
        let found = lookup(&db, &secret).await.unwrap();
        assert!(found.is_whole());
        assert_eq!(found.keyspace.value, db.keyspace(keyspace.as_str()).await.unwrap().unwrap().value);
        assert_eq!((found.key.value, found.secret.value), (owned.clone(), secret.clone()));
        let found_owner = found.owner.unwrap();
        assert_eq!((found_owner.value, found_owner.tag), (owner.value, owner.tag));
        assert_eq!(found.last_used_at, None);
        let found = lookup(&db, &other).await.unwrap();
        assert_eq!((found.key.value, found.owner.is_none()), (plain, true));
        assert!(db.credential_by_lookup(&bytes(&db)).await.unwrap().is_none());
        let used = crate::key_usage::use_once(&db, &owned, &secret).await;
        assert_eq!(lookup(&db, &secret).await.unwrap().last_used_at, Some(used.at));
    }

    async fn rows_that_were_swapped_are_noticed(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (_, secret) = key(&db, keyspace, Some(app)).await;
        key_with(&db, keyspace, None, |key| key.scopes = vec!["*".to_owned()]).await;
        assert!(lookup(&db, &secret).await.unwrap().is_whole());
        execute(
            &db,
            "update key set body = (select body from key where app_id = ''), \
             tag = (select tag from key where app_id = '') where app_id <> ''",
        )
        .await;
        assert!(!lookup(&db, &secret).await.unwrap().is_whole());
    }

    async fn salted_imports_are_found_by_their_start(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let other = crate::key_world::keyspace(&db).await;
        let import = async |keyspace, start: &str| {
            let key = tagged(&db, new_key(&db, keyspace, Some(app)));
            let secret = new_secret(&db, key.value.id);
            let secret = KeySecret { lookup: None, start: start.to_owned(), ..secret };
            let inserted = db.insert_key(&key, &tagged(&db, secret.clone()), &by()).await.unwrap();
            assert_eq!(inserted, KeyInsertion::Inserted);
            secret
        };
        for _ in 0..=MAX_BY_START {
            import(keyspace, "crm_many").await;
        }
        let one = import(keyspace, "crm_one").await;
        import(other, "crm_one").await;
        key_with(&db, keyspace, Some(app), |_| ()).await;
        let find = async |start: &str| db.credentials_by_start(keyspace, start).await.unwrap();
        assert_eq!(find("crm_many").await.len(), usize::try_from(MAX_BY_START).unwrap());
        let found = find("crm_one").await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].secret.value, one);
        assert!(find("crm_live_AbCd").await.is_empty(), "it has a lookup");
        let ended = tagged(&db, KeySecret { ends_at: Some(db.clock.now()), ..one });
        assert!(db.end_secret(&ended, &by()).await.unwrap());
        assert!(find("crm_one").await.is_empty());
    }

    async fn credentials_of_keys_are_all_their_secrets(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (one, _) = key(&db, keyspace, Some(app)).await;
        let (two, _) = key(&db, keyspace, None).await;
        key(&db, keyspace, None).await;
        assert!(db.add_secret(&rotation(&db, &one, 0).await, &by()).await.unwrap());
        let gone = new_key(&db, keyspace, None).id;
        let found = db.credentials_of_keys(&[one.id, two.id, gone]).await.unwrap();
        let of = |id| found.iter().filter(|found| found.key.value.id == id).count();
        assert_eq!((found.len(), of(one.id), of(two.id)), (3, 2, 1));
        assert!(db.credentials_of_keys(&[]).await.unwrap().is_empty());
    }

    async fn a_warm_up_reads_living_credentials(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let mut expected = Vec::new();
        for _ in 0..5 {
            expected.push(key(&db, keyspace, Some(app)).await.1.id);
        }
        let (rotated, old) = key(&db, keyspace, Some(app)).await;
        let rotation = rotation(&db, &rotated, 0).await;
        assert!(db.add_secret(&rotation, &by()).await.unwrap());
        expected.push(rotation.new.value.id);
        let (revoked, dead) = key(&db, keyspace, Some(app)).await;
        let at = db.clock.now();
        let revoke = changed(&db, &revoked, |key| {
            key.revoked = Some(Revocation { at, reason: Default::default(), note: None });
        });
        assert!(db.update_key(&revoke.await, &by()).await.unwrap());
        expected.sort();
        let found = all(async |last: Option<Credential>| {
            let after = last.map(|last| last.secret.value.id);
            db.credentials_page(after, 2).await.unwrap()
        })
        .await;
        let ids: Vec<_> = found.iter().map(|found| found.secret.value.id).collect();
        assert_eq!(ids, expected);
        let lookups = all(async |last: Option<store::Lookup>| {
            db.lookups_page(last.map(|last| last.secret_id), 3).await.unwrap()
        })
        .await;
        expected.extend([old.id, dead.id]);
        expected.sort();
        let ids: Vec<_> = lookups.iter().map(|lookup| lookup.secret_id).collect();
        assert_eq!(ids, expected, "those whose users are to be told why, too");
        let one = lookups.iter().find(|lookup| lookup.secret_id == dead.id).unwrap();
        assert_eq!((one.key_id, Some(one.lookup)), (revoked.id, dead.lookup));
    }

    async fn a_spoiled_row_does_not_hide_the_others(db: TestStore) {
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (_, secret) = key(&db, keyspace, Some(app)).await;
        key(&db, keyspace, None).await;
        execute(&db, "update key set body = 'spoiled' where app_id <> ''").await;
        assert_eq!(db.credentials_page(None, 9).await.unwrap().len(), 1);
        let refused = db.credential_by_lookup(&secret.lookup.unwrap()).await;
        assert!(matches!(refused, Err(store::StoreError::Corrupt { .. })), "{refused:?}");
    }

    async fn five_thousand_keys_page_through(db: TestStore) {
        const KEYS: usize = 5_000;
        let (app, keyspace) = app_and_keyspace(&db).await;
        let (model, secret) = key(&db, keyspace, Some(app)).await;
        // Copies of one key, made past the store: it is the reading that is looked at.
        for copy in if db.database.is_postgres() { COPY_POSTGRES } else { COPY_SQLITE } {
            execute(&db, copy).await;
        }
        let mut query = store::KeyQuery {
            page: PageQuery { limit: 250, ..Default::default() },
            app: Some(app),
            ..Default::default()
        };
        let mut listed = std::collections::HashSet::new();
        loop {
            let page = db.keys(&query).await.unwrap();
            listed.extend(page.data.into_iter().map(|row| row.key.value.id));
            if page.done {
                break;
            }
            query.page.iterator = page.iterator;
        }
        assert_eq!(listed.len(), KEYS);
        assert!(listed.contains(&model.id));
        let mut warmed = 0;
        let mut after = None;
        loop {
            let page = db.credentials_page(after, 1_000).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.secret.value.id);
            warmed += page.len();
        }
        assert_eq!(warmed, KEYS);
        assert_eq!(db.lookups_page(None, 10_000).await.unwrap().len(), KEYS);
        assert_eq!(lookup(&db, &secret).await.unwrap().key.value.id, model.id);
    }
}

const COPY_SQLITE: [&str; 2] = [
    "insert into key (id, keyspace_id, app_id, enabled, body, version, tag, tag_version) \
     with recursive s (n) as (select 10001 union all select n + 1 from s where n < 14999) \
     select substr(k.id, 1, 26) || n, k.keyspace_id, k.app_id, k.enabled, \
     replace(k.body, k.id, substr(k.id, 1, 26) || n), k.version, k.tag, k.tag_version \
     from key k cross join s",
    "insert into key_secret (id, key_id, keyspace_id, lookup, hash, pepper_version, start, \
     created_at, tag, tag_version) select 'ksec_' || substr(k.id, 5), k.id, k.keyspace_id, \
     randomblob(32), s.hash, s.pepper_version, s.start, s.created_at, s.tag, s.tag_version \
     from key k cross join key_secret s where k.id <> s.key_id",
];
const COPY_POSTGRES: [&str; 2] = [
    "insert into key (id, keyspace_id, app_id, enabled, body, version, tag, tag_version) \
     select substr(k.id, 1, 26) || n, k.keyspace_id, k.app_id, k.enabled, \
     replace(k.body, k.id, substr(k.id, 1, 26) || n), k.version, k.tag, k.tag_version \
     from key k cross join generate_series(10001, 14999) n",
    "insert into key_secret (id, key_id, keyspace_id, lookup, hash, pepper_version, start, \
     created_at, tag, tag_version) select 'ksec_' || substr(k.id, 5), k.id, k.keyspace_id, \
     decode(md5(k.id) || md5(k.id), 'hex'), s.hash, s.pepper_version, s.start, s.created_at, \
     s.tag, s.tag_version from key k cross join key_secret s where k.id <> s.key_id",
];
