use std::collections::BTreeMap;

use super::*;
use crate::key::{Revocation, RevocationReason, WhenStale};
use crate::{Entropy, KeyId, KeySecretId, KeyspaceId};

const NOW: Timestamp = Timestamp(1_795_508_812_345);
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// One key and one question, all good.
#[derive(Clone)]
struct Case {
    keyspace: Keyspace,
    key: Key,
    secret: KeySecret,
    owner: Option<KeyOwner>,
    last_used_at: Option<Timestamp>,
    environment: Option<&'static str>,
    scopes: Option<ScopeQuery>,
    address: Option<IpAddr>,
}

impl Case {
    fn good() -> Self {
        let entropy = Entropy::seeded(1);
        let created_at = NOW.minus_ms(10 * DAY_MS);
        let keyspace_id = KeyspaceId::new(created_at, &entropy);
        let key_id = KeyId::new(created_at, &entropy);
        let keyspace = Keyspace {
            id: keyspace_id,
            uid: None,
            name: "CRM".to_owned(),
            prefix: "crm".to_owned(),
            environments: vec!["live".to_owned(), "test".to_owned()],
            permissions: BTreeMap::new(),
            roles: BTreeMap::new(),
            limits: vec![],
            ip_allow: list("2001:db8::/32 192.0.0.0/16"),
            max_lifetime_ms: Some(11 * DAY_MS),
            idle_expiry_ms: Some(2 * DAY_MS),
            rotation: None,
            when_stale: WhenStale::Check,
            metadata: BTreeMap::new(),
            created_at,
            updated_at: created_at,
            version: 1,
        };
        let key = Key {
            id: key_id,
            keyspace_id,
            app_id: None,
            name: "sync".to_owned(),
            owner: Some("acme".to_owned()),
            environment: "live".to_owned(),
            scopes: vec!["read:*".to_owned()],
            roles: vec![],
            ip_allow: list("192.0.2.0/24"),
            limits: vec![],
            expires_at: Some(NOW.plus_ms(1)),
            idle_expiry_ms: None,
            rotation: None,
            metadata: BTreeMap::new(),
            tags: vec![],
            enabled: true,
            revoked: None,
            created_at,
            updated_at: created_at,
            version: 1,
        };
        let secret = KeySecret {
            id: KeySecretId::new(created_at, &entropy),
            key_id,
            lookup: None,
            hash: String::new(),
            pepper_version: 1,
            start: String::new(),
            created_at,
            ends_at: Some(NOW.plus_ms(1)),
            last_used_at: None,
        };
        let name = "acme".to_owned();
        let owner =
            KeyOwner { keyspace_id, app_id: None, name, enabled: true, limits: vec![], version: 1 };
        Self {
            keyspace,
            key,
            secret,
            owner: Some(owner),
            last_used_at: Some(NOW.minus_ms(DAY_MS)),
            environment: Some("live"),
            scopes: Some(ScopeQuery::parse("read:contacts").unwrap()),
            address: Some("192.0.2.1".parse().unwrap()),
        }
    }

    fn answer(&self) -> (Code, String) {
        let granted = Granted::new(self.key.scopes.iter().map(String::as_str));
        let facts = Facts {
            keyspace: &self.keyspace,
            key: &self.key,
            secret: &self.secret,
            owner: self.owner.as_ref(),
            granted: &granted,
            last_used_at: self.last_used_at,
        };
        let question = Question {
            environment: self.environment,
            scopes: self.scopes.as_ref(),
            address: self.address,
        };
        let code = decide(&question, &facts, NOW);
        (code, explain(code, &question, &facts))
    }

    fn code(&self) -> Code {
        self.answer().0
    }
}

fn list(texts: &str) -> AllowList {
    AllowList::parse(&texts.split(' ').collect::<Vec<_>>()).unwrap()
}

fn with(fault: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case::good();
    fault(&mut case);
    case
}

type Fault = fn(&mut Case);

/// Every fault in the order of the checks, with what is said of it.
const FAULTS: [(Code, Fault, &str); 8] = [
    (Code::Disabled, |case| case.key.enabled = false, "the key is disabled"),
    (
        Code::Revoked,
        |case| {
            let reason = RevocationReason::KeyCompromise;
            case.key.revoked = Some(Revocation { at: NOW, reason, note: None });
        },
        "the key was revoked at 2026-11-24T08:26:52.345Z (key_compromise)",
    ),
    (
        Code::Expired,
        |case| case.key.expires_at = Some(NOW),
        "the key expired at 2026-11-24T08:26:52.345Z",
    ),
    (
        Code::RotatedOut,
        |case| case.secret.ends_at = Some(NOW),
        "the secret was replaced and its grace ended at 2026-11-24T08:26:52.345Z",
    ),
    (
        Code::OwnerDisabled,
        |case| case.owner.as_mut().unwrap().enabled = false,
        "the owner `acme` is disabled",
    ),
    (
        Code::WrongEnv,
        |case| case.environment = Some("test"),
        "the key is of the environment `live`, not `test`",
    ),
    (
        Code::IpNotAllowed,
        |case| case.address = Some("192.0.3.1".parse().unwrap()),
        "the key may not be used from 192.0.3.1",
    ),
    (
        Code::InsufficientScope,
        |case| case.scopes = Some(ScopeQuery::parse("read:contacts AND write:contacts").unwrap()),
        "`read:contacts AND write:contacts` is asked; missing: `write:contacts`",
    ),
];

#[test]
fn a_good_key_is_valid() {
    assert_eq!(Case::good().answer(), (Code::Valid, "the key is good".to_owned()));
}

#[test]
fn each_fault_is_found_and_told() {
    for (code, fault, reason) in FAULTS {
        assert_eq!(with(fault).answer(), (code, reason.to_owned()));
    }
}

#[test]
fn each_fault_hides_those_after_it() {
    for (at, (code, ..)) in FAULTS.iter().enumerate() {
        let case = with(|case| {
            for (_, fault, _) in &FAULTS[at..] {
                fault(case);
            }
        });
        assert_eq!(case.code(), *code);
    }
}

#[test]
fn a_moment_is_over_when_it_is_reached() {
    let dated = |ends: Timestamp| with(|case| case.key.expires_at = Some(ends)).code();
    assert_eq!(dated(NOW.minus_ms(1)), Code::Expired);
    assert_eq!(dated(NOW), Code::Expired);
    assert_eq!(dated(NOW.plus_ms(1)), Code::Valid);
    let graced = |ends: Timestamp| with(|case| case.secret.ends_at = Some(ends)).code();
    assert_eq!(graced(NOW), Code::RotatedOut);
    assert_eq!(graced(NOW.plus_ms(1)), Code::Valid);
    let endless = with(|case| {
        case.key.expires_at = None;
        case.secret.ends_at = None;
    });
    assert_eq!(endless.code(), Code::Valid);
}

#[test]
fn an_unused_key_expires() {
    let used = |ago_ms: u64| with(|case| case.last_used_at = Some(NOW.minus_ms(ago_ms)));
    assert_eq!(used(2 * DAY_MS - 1).code(), Code::Valid);
    let (code, reason) = used(2 * DAY_MS).answer();
    assert_eq!(code, Code::Expired);
    assert!(reason.starts_with("the key was not used for so long"), "{reason}");
    // Without any use, from its creation on.
    let unused = with(|case| case.last_used_at = None);
    assert_eq!(unused.code(), Code::Expired);
    let new = with(|case| {
        case.last_used_at = None;
        case.key.created_at = NOW.minus_ms(2 * DAY_MS - 1);
    });
    assert_eq!(new.code(), Code::Valid);
    // The key's own rule comes before the keyspace's, be it longer or shorter.
    let longer = with(|case| {
        case.last_used_at = None;
        case.key.idle_expiry_ms = Some(11 * DAY_MS);
    });
    assert_eq!(longer.code(), Code::Valid);
    assert_eq!(with(|case| case.key.idle_expiry_ms = Some(DAY_MS)).code(), Code::Expired);
    let never = with(|case| {
        case.last_used_at = None;
        case.keyspace.idle_expiry_ms = None;
    });
    assert_eq!(never.code(), Code::Valid);
}

#[test]
fn no_key_outlives_its_keyspace_s_longest_life() {
    let aged = |ms: u64| with(|case| case.keyspace.max_lifetime_ms = Some(ms)).answer();
    assert_eq!(aged(10 * DAY_MS + 1).0, Code::Valid);
    let (code, reason) = aged(10 * DAY_MS);
    assert_eq!(code, Code::Expired);
    assert!(reason.starts_with("the key reached the longest life"), "{reason}");
}

#[test]
fn the_earliest_end_is_told() {
    for (by_date_ms, by_age_ms, words) in
        [(3, 2, "the key expired at"), (2, 3, "the key reached the longest life")]
    {
        let case = with(|case| {
            case.key.expires_at = Some(NOW.minus_ms(by_date_ms));
            case.keyspace.max_lifetime_ms = Some(10 * DAY_MS - by_age_ms);
        });
        let (code, reason) = case.answer();
        assert_eq!(code, Code::Expired);
        assert!(reason.starts_with(words), "{reason}");
    }
}

#[test]
fn an_address_must_be_on_both_lists() {
    let from = |address: Option<&str>| {
        with(|case| case.address = address.map(|text| text.parse().unwrap()))
    };
    assert_eq!(from(Some("::ffff:192.0.2.1")).code(), Code::Valid);
    // On the keyspace's list only.
    assert_eq!(from(Some("2001:db8::1")).code(), Code::IpNotAllowed);
    let (code, reason) = from(None).answer();
    assert_eq!(code, Code::IpNotAllowed);
    assert_eq!(reason, "the key has an allow-list of addresses, and no address was given");
    let of_key_only = with(|case| case.keyspace.ip_allow = list("198.51.100.0/24"));
    assert_eq!(of_key_only.code(), Code::IpNotAllowed);
    for clear_key in [true, false] {
        let mut case = from(None);
        let list = if clear_key { &mut case.key.ip_allow } else { &mut case.keyspace.ip_allow };
        *list = AllowList::default();
        assert_eq!(case.code(), Code::IpNotAllowed, "one list is left");
    }
    let open = with(|case| {
        case.key.ip_allow = AllowList::default();
        case.keyspace.ip_allow = AllowList::default();
        case.address = None;
    });
    assert_eq!(open.code(), Code::Valid);
}

#[test]
fn what_is_not_asked_is_not_checked() {
    let case = with(|case| {
        case.environment = None;
        case.scopes = None;
        case.owner = None;
        case.key.scopes.clear();
    });
    assert_eq!(case.code(), Code::Valid);
}

#[test]
fn codes_survive_their_text() {
    for code in Code::ALL {
        assert_eq!(Code::parse(code.as_str()), Some(code));
        let json = serde_json::to_string(&code).unwrap();
        assert_eq!(json, format!("\"{code}\""));
        assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
    }
    assert_eq!(Code::parse("valid"), None);
    let texts: std::collections::HashSet<_> = Code::ALL.map(Code::reason).into();
    assert_eq!(texts.len(), Code::ALL.len());
}
