//! Tags: whatever is changed in a row shows.

use std::collections::BTreeMap;

use super::*;
use crate::Entropy;
use crate::key::Tagged;
use crate::key::pepper::Peppers;

fn first() -> Peppers {
    Peppers::new((1, [1; 32]), vec![]).unwrap()
}

fn second() -> Peppers {
    Peppers::new((2, [2; 32]), vec![(1, [1; 32])]).unwrap()
}

/// Copies of a row with one field changed each, by name. It names every field of the noun, so
/// that a new one does not compile until it is either changed or said to be left out.
macro_rules! changed {
    ($row:expr => $noun:ident { $($field:ident: $value:expr),+ $(,)? } $(free { $($free:ident),+ })?) => {{
        let row = $row;
        let $noun { $($field: _,)+ $($($free: _,)+)? } = &row;
        vec![$((stringify!($field), $noun { $field: $value, ..row.clone() })),+]
    }};
}

fn id_time() -> (Timestamp, Entropy) {
    (Timestamp(1_795_508_812_345), Entropy::seeded(99))
}

fn limit() -> Limit {
    Limit {
        name: "requests".to_owned(),
        limit: 100,
        window_ms: 60_000,
        subject: Subject::Key,
        mode: Mode::Leased,
        when_down: WhenDown::LocalShare,
        automatic: true,
    }
}

fn changed_limits() -> Vec<(&'static str, Limit)> {
    changed!(limit() => Limit {
        name: "Requests".to_owned(),
        limit: 101,
        window_ms: 60_001,
        subject: Subject::Owner,
        mode: Mode::Local,
        when_down: WhenDown::Open,
        automatic: false,
    })
}

const POLICY: RotationPolicy = RotationPolicy { interval_ms: 3, grace_ms: 2, notice_ms: 1 };

fn changed_policies() -> Vec<(&'static str, RotationPolicy)> {
    changed!(POLICY => RotationPolicy { interval_ms: 4, grace_ms: 3, notice_ms: 2 })
}

fn revocation() -> Revocation {
    let reason = RevocationReason::KeyCompromise;
    Revocation { at: Timestamp(5), reason, note: Some("leaked".to_owned()) }
}

fn changed_revocations() -> Vec<(&'static str, Revocation)> {
    changed!(revocation() => Revocation {
        at: Timestamp(6),
        reason: RevocationReason::Superseded,
        note: None,
    })
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn list(networks: &[&str]) -> AllowList {
    AllowList::parse(networks).unwrap()
}

fn key() -> Key {
    let (now, entropy) = id_time();
    Key {
        id: KeyId::new(now, &entropy),
        keyspace_id: KeyspaceId::new(now, &entropy),
        app_id: Some(AppId::new(now, &entropy)),
        name: "sync".to_owned(),
        owner: Some("acme".to_owned()),
        environment: "live".to_owned(),
        scopes: texts(&["a", "b"]),
        roles: texts(&["editor"]),
        ip_allow: list(&["192.0.2.0/24"]),
        limits: vec![limit()],
        expires_at: Some(Timestamp(7)),
        idle_expiry_ms: Some(8),
        rotation: Some(POLICY),
        metadata: map("plan", "pro"),
        tags: texts(&["eu"]),
        enabled: true,
        revoked: Some(revocation()),
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        version: 3,
    }
}

fn changed_keys() -> Vec<(&'static str, Key)> {
    let (now, entropy) = (Timestamp(1), Entropy::seeded(1));
    let mut changed = changed!(key() => Key {
        id: KeyId::new(now, &entropy),
        keyspace_id: KeyspaceId::new(now, &entropy),
        app_id: None,
        name: "Sync".to_owned(),
        owner: None,
        environment: "test".to_owned(),
        scopes: texts(&["ab"]),
        roles: texts(&["editor", "admin"]),
        ip_allow: list(&["192.0.2.0/23"]),
        limits: vec![],
        expires_at: None,
        idle_expiry_ms: Some(9),
        rotation: None,
        metadata: map("plan", "free"),
        tags: texts(&[]),
        enabled: false,
        revoked: None,
        created_at: Timestamp(2),
        version: 2,
    } free { updated_at });
    for (field, limit) in changed_limits() {
        changed.push((field, Key { limits: vec![limit], ..key() }));
    }
    for (field, policy) in changed_policies() {
        changed.push((field, Key { rotation: Some(policy), ..key() }));
    }
    for (field, revocation) in changed_revocations() {
        changed.push((field, Key { revoked: Some(revocation), ..key() }));
    }
    // What one field loses, its neighbour gains.
    changed.push((
        "scopes and roles",
        Key { scopes: texts(&["a", "b", "editor"]), roles: texts(&[]), ..key() },
    ));
    changed.push(("scopes in another order", Key { scopes: texts(&["b", "a"]), ..key() }));
    changed
}

fn secret() -> KeySecret {
    let (now, entropy) = id_time();
    KeySecret {
        id: KeySecretId::new(now, &entropy),
        key_id: KeyId::new(now, &entropy),
        lookup: Some([5; 32]),
        hash: "$2b$10$x".to_owned(),
        pepper_version: 1,
        start: "crm_live_0123".to_owned(),
        created_at: Timestamp(1),
        ends_at: Some(Timestamp(2)),
        last_used_at: Some(Timestamp(3)),
    }
}

fn changed_secrets() -> Vec<(&'static str, KeySecret)> {
    let (now, entropy) = (Timestamp(1), Entropy::seeded(1));
    let mut changed = changed!(secret() => KeySecret {
        id: KeySecretId::new(now, &entropy),
        key_id: KeyId::new(now, &entropy),
        lookup: Some([6; 32]),
        hash: "$2b$10$y".to_owned(),
        pepper_version: 2,
        start: "crm_live_0124".to_owned(),
        created_at: Timestamp(2),
        ends_at: Some(Timestamp(3)),
    } free { last_used_at });
    changed.push(("lookup", KeySecret { lookup: None, ..secret() }));
    changed.push(("ends_at", KeySecret { ends_at: None, ..secret() }));
    changed
}

fn keyspace() -> Keyspace {
    let (now, entropy) = id_time();
    Keyspace {
        id: KeyspaceId::new(now, &entropy),
        uid: Some("crm".to_owned()),
        name: "CRM".to_owned(),
        prefix: "crm".to_owned(),
        environments: texts(&["live", "test"]),
        permissions: map("read:contacts", "Read"),
        roles: BTreeMap::from([("editor".to_owned(), texts(&["read:*"]))]),
        limits: vec![limit()],
        ip_allow: list(&["2001:db8::/32"]),
        max_lifetime_ms: Some(1),
        idle_expiry_ms: None,
        rotation: Some(POLICY),
        when_stale: WhenStale::Check,
        metadata: map("team", "a"),
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        version: 1,
    }
}

fn changed_keyspaces() -> Vec<(&'static str, Keyspace)> {
    let mut changed = changed!(keyspace() => Keyspace {
        id: KeyspaceId::new(Timestamp(1), &Entropy::seeded(1)),
        uid: None,
        name: "crm".to_owned(),
        prefix: "crn".to_owned(),
        environments: texts(&["live"]),
        permissions: map("read:contacts", ""),
        roles: BTreeMap::from([("editor".to_owned(), texts(&["*"]))]),
        limits: vec![],
        ip_allow: list(&["2001:db8::/31"]),
        max_lifetime_ms: None,
        idle_expiry_ms: Some(0),
        rotation: None,
        when_stale: WhenStale::Serve,
        metadata: map("team", "b"),
        created_at: Timestamp(2),
        version: 2,
    } free { updated_at });
    for (field, limit) in changed_limits() {
        changed.push((field, Keyspace { limits: vec![limit], ..keyspace() }));
    }
    for (field, policy) in changed_policies() {
        changed.push((field, Keyspace { rotation: Some(policy), ..keyspace() }));
    }
    changed
}

fn owner() -> KeyOwner {
    let (now, entropy) = id_time();
    KeyOwner {
        keyspace_id: KeyspaceId::new(now, &entropy),
        app_id: Some(AppId::new(now, &entropy)),
        name: "acme".to_owned(),
        enabled: true,
        limits: vec![limit()],
        version: 1,
    }
}

fn changed_owners() -> Vec<(&'static str, KeyOwner)> {
    let mut changed = changed!(owner() => KeyOwner {
        keyspace_id: KeyspaceId::new(Timestamp(1), &Entropy::seeded(1)),
        app_id: None,
        name: "acme2".to_owned(),
        enabled: false,
        limits: vec![],
        version: 2,
    });
    for (field, limit) in changed_limits() {
        changed.push((field, KeyOwner { limits: vec![limit], ..owner() }));
    }
    changed
}

/// Tags a row, then shows each changed copy under its tag.
fn tampering_shows<T: Row + Clone + PartialEq + std::fmt::Debug>(
    row: T,
    changed: Vec<(&'static str, T)>,
) {
    let (one, two) = (first(), second());
    let tagged = |value: T, tag, pepper_version| Tagged { value, tag, pepper_version };
    let tag = one.tag(&row);
    assert!(one.check(&tagged(row.clone(), tag, 1)));
    assert!(two.check(&tagged(row.clone(), tag, 1)), "an older pepper's tag stays good");
    assert!(!two.check(&tagged(row.clone(), tag, 2)));
    assert!(!one.check(&tagged(row.clone(), tag, 2)), "a version that is not there");
    assert!(!one.check(&tagged(row.clone(), tag, 0)));
    assert!(two.check(&tagged(row.clone(), two.tag(&row), 2)));
    for at in 0..tag.len() {
        let mut other = tag;
        other[at] ^= 1;
        assert!(!one.check(&tagged(row.clone(), other, 1)), "byte {at} of the tag");
    }
    for (field, other) in changed {
        assert_ne!(other, row, "{field} is not changed");
        assert!(!one.check(&tagged(other, tag, 1)), "{field} can be changed");
    }
}

#[test]
fn no_field_of_a_row_can_be_changed_under_its_tag() {
    tampering_shows(key(), changed_keys());
    tampering_shows(secret(), changed_secrets());
    tampering_shows(keyspace(), changed_keyspaces());
    tampering_shows(owner(), changed_owners());
}

#[test]
fn moments_of_use_and_change_are_free() {
    let peppers = first();
    assert_eq!(
        peppers.key_tag(&Key { updated_at: Timestamp(9), ..key() }),
        peppers.key_tag(&key())
    );
    let used = KeySecret { last_used_at: None, ..secret() };
    assert_eq!(peppers.secret_tag(&used), peppers.secret_tag(&secret()));
    let updated = Keyspace { updated_at: Timestamp(9), ..keyspace() };
    assert_eq!(peppers.keyspace_tag(&updated), peppers.keyspace_tag(&keyspace()));
}

#[test]
fn a_row_that_went_through_json_keeps_its_tag() {
    let peppers = first();
    let again: Key = serde_json::from_str(&serde_json::to_string(&key()).unwrap()).unwrap();
    assert_eq!(peppers.key_tag(&again), peppers.key_tag(&key()));
    let text = serde_json::to_string(&keyspace()).unwrap();
    let again: Keyspace = serde_json::from_str(&text).unwrap();
    assert_eq!(peppers.keyspace_tag(&again), peppers.keyspace_tag(&keyspace()));
    let text = serde_json::to_string(&owner()).unwrap();
    let again: KeyOwner = serde_json::from_str(&text).unwrap();
    assert_eq!(peppers.owner_tag(&again), peppers.owner_tag(&owner()));
}

#[test]
fn every_named_check_is_of_its_own_noun() {
    let peppers = second();
    let pepper_version = peppers.version();
    let row = Tagged { value: key(), tag: peppers.key_tag(&key()), pepper_version };
    assert!(peppers.check_key(&row));
    let row = Tagged { value: secret(), tag: peppers.secret_tag(&secret()), pepper_version };
    assert!(peppers.check_secret(&row));
    let row = Tagged { value: keyspace(), tag: peppers.keyspace_tag(&keyspace()), pepper_version };
    assert!(peppers.check_keyspace(&row));
    let row = Tagged { value: owner(), tag: peppers.owner_tag(&owner()), pepper_version };
    assert!(peppers.check_owner(&row));
}
