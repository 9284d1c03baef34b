//! A verification's own work allocates nothing on its way to "valid". It has a file of its own
//! because counting takes the place of the process's allocator.

use std::collections::BTreeMap;

use model::key::allow::AllowList;
use model::key::decide::{Code, Facts, Question, decide};
use model::key::pepper::Peppers;
use model::key::scope::{Granted, ScopeQuery};
use model::key::{Key, KeyOwner, KeySecret, Keyspace, WhenStale, token};
use model::{Entropy, KeyId, KeySecretId, KeyspaceId, Timestamp};

const NOW: Timestamp = Timestamp(1_795_508_812_345);

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn the_counter_counts() {
    assert_ne!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 0);
}

#[test]
fn reading_a_token_allocates_nothing() {
    let text = token::mint("crm", "live", &Entropy::seeded(1));
    let peppers = Peppers::new((2, [2; 32]), vec![(1, [1; 32])]).unwrap();
    let count = allocations(|| {
        assert!(token::check(&text).is_ok());
        assert!(token::check(&text[1..]).is_err());
        assert!(token::start(&text).len() < text.len());
        assert_ne!(peppers.lookup(&text), [0; 32]);
    });
    assert_eq!(count, 0);
}

#[test]
fn deciding_allocates_nothing() {
    let entropy = Entropy::seeded(1);
    let networks: Vec<String> =
        (0..1_000).map(|at| format!("10.{}.{}.0/24", at / 250, at % 250)).collect();
    let ip_allow = AllowList::parse(&networks).unwrap();
    let keyspace_id = KeyspaceId::new(NOW, &entropy);
    let keyspace = Keyspace {
        id: keyspace_id,
        uid: None,
        name: "CRM".to_owned(),
        prefix: "crm".to_owned(),
        environments: vec!["live".to_owned()],
        permissions: BTreeMap::new(),
        roles: BTreeMap::new(),
        limits: vec![],
        ip_allow: ip_allow.clone(),
        max_lifetime_ms: Some(1_000),
        idle_expiry_ms: Some(1_000),
        rotation: None,
        when_stale: WhenStale::Check,
        metadata: BTreeMap::new(),
        created_at: NOW,
        updated_at: NOW,
        version: 1,
    };
    let key = Key {
        id: KeyId::new(NOW, &entropy),
        keyspace_id,
        app_id: None,
        name: "sync".to_owned(),
        owner: None,
        environment: "live".to_owned(),
        scopes: vec![],
        roles: vec![],
        ip_allow,
        limits: vec![],
        expires_at: Some(NOW.plus_ms(1)),
        idle_expiry_ms: None,
        rotation: None,
        metadata: BTreeMap::new(),
        tags: vec![],
        enabled: true,
        revoked: None,
        created_at: NOW,
        updated_at: NOW,
        version: 1,
    };
    let secret = KeySecret {
        id: KeySecretId::new(NOW, &entropy),
        key_id: key.id,
        lookup: None,
        hash: String::new(),
        pepper_version: 1,
        start: String::new(),
        created_at: NOW,
        ends_at: Some(NOW.plus_ms(1)),
        last_used_at: None,
    };
    let name = "acme".to_owned();
    let owner =
        KeyOwner { keyspace_id, app_id: None, name, enabled: true, limits: vec![], version: 1 };
    let granted = Granted::new(["docs.*", "read:contacts"]);
    let scopes = ScopeQuery::parse("NOT admin AND (docs.* OR write:*) AND read:contacts").unwrap();
    let facts = Facts {
        keyspace: &keyspace,
        key: &key,
        secret: &secret,
        owner: Some(&owner),
        granted: &granted,
        last_used_at: Some(NOW),
    };
    let question = Question {
        environment: Some("live"),
        scopes: Some(&scopes),
        address: Some("10.2.7.1".parse().unwrap()),
    };
    let mut code = Code::Unavailable;
    let count = allocations(|| code = decide(&question, &facts, NOW));
    assert_eq!((code, count), (Code::Valid, 0));
}
