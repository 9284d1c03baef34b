//! Secrets over months: their history, early ends, policies, and checks.

use model::audit::Actor;
use model::secret::{CheckOutcome, SecretKind, SecretPolicy, SecretReason, SecretState};
use model::signature::Secret;
use model::{AppId, EndpointId};
use store::operations::OPERATIONS_UID;
use store::{MessageQuery, PageQuery, Rotations, SecretRecord, Store};
use testkit::{TestStore, by, on_both};

use crate::world::{app_with_endpoint, raw};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const POLICY: SecretPolicy =
    SecretPolicy { every_days: 30, grace_seconds: 2 * 86_400, notice_days: 7 };

async fn current(db: &Store, endpoint: EndpointId) -> Secret {
    db.current_secret(endpoint).await.unwrap().expect("a secret")
}

async fn rotate(db: &TestStore, app: AppId, endpoint: EndpointId, grace_ms: u64) -> Secret {
    let secret = Secret::generate_hmac(&db.entropy);
    assert!(db.rotate_secret(app, endpoint, &secret, grace_ms, &by()).await.unwrap());
    secret
}

async fn history(db: &TestStore, app: AppId, endpoint: EndpointId) -> Vec<SecretRecord> {
    db.secret_history(app, endpoint).await.unwrap()
}

fn states(db: &TestStore, history: &[SecretRecord]) -> Vec<SecretState> {
    history.iter().map(|record| record.state(db.clock.now())).collect()
}

async fn operations_app(db: &TestStore) -> AppId {
    db.app_with(|app| app.uid = Some(OPERATIONS_UID.to_owned())).await
}

/// The types and payloads of what was said of secrets, oldest first.
async fn said(db: &TestStore, operations: AppId) -> Vec<(String, String)> {
    let page = PageQuery { limit: 250, iterator: None, order: store::Order::Ascending };
    let query = MessageQuery { page, with_content: true, ..Default::default() };
    let messages = db.messages_in_app(operations, &query).await.unwrap().data;
    let payload = |message: model::message::Message| {
        let payload = message.payload.expect("a payload");
        (message.event_type, String::from_utf8(payload.to_vec()).unwrap())
    };
    let of_secrets = |message: &model::message::Message| message.event_type.contains(".secret.");
    messages.into_iter().filter(of_secrets).map(payload).collect()
}

/// All that there is to do now.
async fn advance(db: &Store) -> Rotations {
    let mut sum = Rotations::default();
    loop {
        let done = db.advance_rotations().await.unwrap();
        sum.announced += done.announced;
        sum.rotated += done.rotated;
        if done == Rotations::default() {
            db.announce_rotations().await.unwrap();
            return sum;
        }
    }
}

on_both! {
    async fn the_history_says_who_when_and_why_and_outlives_the_secrets(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let first = current(&db, endpoint).await;
        db.advance_ms(1_000);
        let second = rotate(&db, app, endpoint, DAY_MS).await;
        let found = history(&db, app, endpoint).await;
        assert_eq!(states(&db, &found), [SecretState::Current, SecretState::Grace]);
        assert_eq!(found[0].fingerprint, Some(second.fingerprint()));
        assert_eq!(found[1].fingerprint, Some(first.fingerprint()));
        assert_eq!(found[0].reason, SecretReason::Rotated);
        assert_eq!(found[1].reason, SecretReason::Created);
        assert_eq!(found[0].actor, Some(by().name));
        assert_eq!(found[1].ends_at, Some(found[0].created_at.plus_ms(DAY_MS)));
        let all = format!("{found:?}");
        assert!(!all.contains(&first.to_text()) && !all.contains(&first.to_text()[6..30]));

        db.advance_ms(DAY_MS);
        rotate(&db, app, endpoint, 0).await;
        let stored: i64 = raw(&db, "select count(*) from secret").await;
        assert_eq!(stored, 1, "ended secrets are deleted");
        let found = history(&db, app, endpoint).await;
        let expected = [SecretState::Current, SecretState::Expired, SecretState::Expired];
        assert_eq!(states(&db, &found), expected);
        let stranger = db.app().await;
        assert!(db.secret_history(stranger, endpoint).await.unwrap().is_empty());
        db.delete_endpoint(app, endpoint, &by()).await.unwrap();
        assert!(history(&db, app, endpoint).await.is_empty());
    }

    async fn an_old_secret_can_end_early_and_the_current_one_never(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let first = current(&db, endpoint).await;
        let second = rotate(&db, app, endpoint, DAY_MS).await;
        let third = rotate(&db, app, endpoint, DAY_MS).await;
        let revoke = async |fingerprint: Option<&str>| {
            db.revoke_old_secrets(app, endpoint, fingerprint, &Actor::system("ops")).await.unwrap()
        };
        assert_eq!(revoke(Some(&third.fingerprint())).await, 0, "the current one stays");
        assert_eq!(revoke(Some("0000000000000000")).await, 0);
        assert_eq!(revoke(Some(&first.fingerprint())).await, 1);
        let found = history(&db, app, endpoint).await;
        let expected = [SecretState::Current, SecretState::Grace, SecretState::Revoked];
        assert_eq!(states(&db, &found), expected);
        assert_eq!(found[2].revoked_by.as_deref(), Some("ops"));
        assert_eq!(revoke(None).await, 1, "the second");
        assert_eq!(revoke(None).await, 0);
        assert_eq!(found[1].fingerprint, Some(second.fingerprint()));
        assert_eq!(current(&db, endpoint).await.to_text(), third.to_text());
        let mut started = db.started();
        db.message(app).await;
        assert_eq!(started.next().await.route.signers(db.clock.now()).count(), 1);
    }

    async fn secrets_crowded_out_are_shown_as_ended(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        for _ in 0..12 {
            db.advance_ms(1);
            rotate(&db, app, endpoint, DAY_MS).await;
        }
        let found = history(&db, app, endpoint).await;
        let living: i64 = raw(&db, "select count(*) from secret").await;
        let shown = states(&db, &found).iter().filter(|state| **state != SecretState::Expired).count();
        assert_eq!(i64::try_from(shown).unwrap(), living);
        assert_eq!((found.len(), living), (13, 11));
    }

    async fn a_policy_renews_over_months_with_notice_before_and_after(db: TestStore) {
        let operations = operations_app(&db).await;
        let (app, endpoint) = app_with_endpoint(&db).await;
        let (_, other) = (app, db.endpoint(app).await);
        assert!(db.put_secret_policy(app, endpoint, Some(POLICY), &by()).await.unwrap());
        let start = db.clock.now();
        let of = db.secret_policy(app, endpoint).await.unwrap();
        assert_eq!(of.notice_at, Some(start.plus_ms(23 * DAY_MS)));
        assert_eq!(of.rotates_at, Some(start.plus_ms(30 * DAY_MS)));
        let mut rotated_on = Vec::new();
        let mut announced_on = Vec::new();
        for day in 1..=100_u64 {
            db.advance_ms(DAY_MS);
            let done = advance(&db).await;
            rotated_on.extend((0..done.rotated).map(|_| day));
            announced_on.extend((0..done.announced).map(|_| day));
            assert_eq!(advance(&db).await, Rotations::default());
        }
        assert_eq!(announced_on, [23, 53, 83]);
        assert_eq!(rotated_on, [30, 60, 90]);
        let found = history(&db, app, endpoint).await;
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].created_at, start.plus_ms(90 * DAY_MS));
        assert_eq!(found[1].ends_at, Some(start.plus_ms(92 * DAY_MS)));
        assert!(found[..3].iter().all(|record| record.reason == SecretReason::Policy));
        assert_eq!(history(&db, app, other).await.len(), 1, "it has no policy");

        let said = said(&db, operations).await;
        let types: Vec<&str> = said.iter().map(|(event_type, _)| event_type.as_str()).collect();
        let pair = ["endpoint.secret.rotation_due", "endpoint.secret.rotated"];
        assert_eq!(types, [pair, pair, pair].concat());
        let secret = current(&db, endpoint).await.to_text();
        for (_, payload) in &said {
            assert!(!payload.contains("whsec_") && !payload.contains(&secret[6..20]));
            assert!(payload.contains(endpoint.as_str()) && payload.contains(app.as_str()));
        }
    }

    async fn of_two_nodes_one_renews(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        db.put_secret_policy(app, endpoint, Some(POLICY), &by()).await.unwrap();
        let other = db.reopen().await;
        for _ in 0..3 {
            db.advance_ms(23 * DAY_MS);
            let (one, two) = tokio::join!(advance(&db), advance(&other));
            assert!(one.announced + two.announced >= 1);
            db.advance_ms(7 * DAY_MS);
            let (one, two) = tokio::join!(advance(&db), advance(&other));
            assert_eq!(one.rotated + two.rotated, 1);
        }
        assert_eq!(history(&db, app, endpoint).await.len(), 4);
        other.close().await;
    }

    async fn a_late_look_gives_the_whole_notice(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        db.advance_ms(400 * DAY_MS);
        db.put_secret_policy(app, endpoint, Some(POLICY), &by()).await.unwrap();
        assert_eq!(advance(&db).await, Rotations { announced: 1, rotated: 0 });
        let told = db.secret_policy(app, endpoint).await.unwrap().rotates_at;
        assert_eq!(told, Some(db.clock.now().plus_ms(7 * DAY_MS)));
        db.advance_ms(7 * DAY_MS - 1);
        assert_eq!(advance(&db).await, Rotations::default());
        db.advance_ms(1);
        assert_eq!(advance(&db).await, Rotations { announced: 0, rotated: 1 });
    }

    async fn a_rotation_by_hand_puts_the_policys_off(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        db.put_secret_policy(app, endpoint, Some(POLICY), &by()).await.unwrap();
        db.advance_ms(24 * DAY_MS);
        assert_eq!(advance(&db).await.announced, 1);
        let by_hand = rotate(&db, app, endpoint, 0).await;
        db.advance_ms(6 * DAY_MS);
        assert_eq!(advance(&db).await, Rotations::default());
        assert_eq!(current(&db, endpoint).await.to_text(), by_hand.to_text());
        db.advance_ms(17 * DAY_MS);
        assert_eq!(advance(&db).await.announced, 1);
    }

    async fn the_instances_policy_holds_where_there_is_no_other(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let never = db.endpoint(app).await;
        assert!(db.put_secret_policy(app, never, None, &by()).await.unwrap());
        let ed25519 = db.new_endpoint(app);
        let secret = Secret::generate_ed25519(&db.entropy);
        db.insert_endpoint(&ed25519, &secret, &by()).await.unwrap();
        let node = db.reopen_with(|options| options.secret_policy = Some(POLICY)).await;
        let of = node.secret_policy(app, endpoint).await.unwrap();
        assert_eq!((of.own, of.policy), (None, Some(POLICY)));
        assert_eq!(node.secret_policy(app, never).await.unwrap().policy, None);
        db.advance_ms(23 * DAY_MS);
        assert_eq!(advance(&node).await.announced, 2);
        db.advance_ms(7 * DAY_MS);
        assert_eq!(advance(&node).await.rotated, 2);
        assert_eq!(SecretKind::of(&current(&node, ed25519.id).await), SecretKind::Ed25519);
        assert_eq!(history(&db, app, never).await.len(), 1);
        assert!(node.delete_secret_policy(app, never, &by()).await.unwrap());
        assert!(!node.delete_secret_policy(app, never, &by()).await.unwrap());
        assert_eq!(advance(&node).await.announced, 1);
        let stranger = db.app().await;
        assert!(!node.put_secret_policy(stranger, endpoint, None, &by()).await.unwrap());
        node.close().await;
    }

    async fn public_keys_are_those_of_living_asymmetric_secrets(db: TestStore) {
        let app = db.app().await;
        let endpoint = db.new_endpoint(app);
        let one = Secret::generate_ed25519(&db.entropy);
        db.insert_endpoint(&endpoint, &one, &by()).await.unwrap();
        let two = Secret::generate_ed25519(&db.entropy);
        db.rotate_secret(app, endpoint.id, &two, 1_000, &by()).await.unwrap();
        let keys = async || {
            let keys = db.public_keys(endpoint.id).await.unwrap();
            keys.into_iter().map(|key| (key.fingerprint, key.text)).collect::<Vec<_>>()
        };
        let key = |secret: &Secret| (secret.fingerprint(), secret.public_key_text().unwrap());
        assert_eq!(keys().await, [key(&two), key(&one)]);
        let hmac = Secret::generate_hmac(&db.entropy);
        db.rotate_secret(app, endpoint.id, &hmac, 500, &by()).await.unwrap();
        assert_eq!(keys().await, [key(&two), key(&one)]);
        db.advance_ms(1_000);
        assert!(keys().await.is_empty());
    }

    async fn secrets_older_than_the_history_are_read_into_it(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let sql = "update secret_history set fingerprint = null, kind = null, actor = null";
        crate::world::execute(&db, sql).await;
        assert_eq!(history(&db, app, endpoint).await[0].fingerprint, None);
        assert_eq!(db.read_old_secrets().await.unwrap(), 1);
        assert_eq!(db.read_old_secrets().await.unwrap(), 0);
        let secret = current(&db, endpoint).await;
        assert_eq!(history(&db, app, endpoint).await[0].fingerprint, Some(secret.fingerprint()));
    }

    async fn a_check_is_carried_out_by_one_process(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        assert!(db.newest_secret_check(app, endpoint).await.unwrap().is_none());
        let stranger = db.app().await;
        assert!(db.request_secret_check(stranger, endpoint, &by()).await.unwrap().is_none());
        let asked = db.request_secret_check(app, endpoint, &by()).await.unwrap().unwrap();
        assert_eq!((asked.checked_at, asked.check_outcome), (None, None));
        let [lost] = db.take_secret_checks().await.unwrap().try_into().unwrap();
        let other = db.reopen().await;
        assert!(other.take_secret_checks().await.unwrap().is_empty());
        // The first process dies.
        db.advance_ms(90_000);
        let [check] = other.take_secret_checks().await.unwrap().try_into().unwrap();
        assert_eq!(check.secret.to_text(), current(&db, endpoint).await.to_text());
        let outcome = CheckOutcome::Accepted;
        assert!(other.finish_secret_check(&check, outcome, "204, and 401").await.unwrap());
        assert!(!db.finish_secret_check(&lost, CheckOutcome::Refused, "late").await.unwrap());
        let told = db.newest_secret_check(app, endpoint).await.unwrap().unwrap();
        assert_eq!(told.check_outcome, Some(outcome));
        assert_eq!(history(&db, app, endpoint).await[0], told);
        // Asked anew.
        db.advance_ms(1);
        db.request_secret_check(app, endpoint, &by()).await.unwrap();
        assert!(!other.finish_secret_check(&check, outcome, "old").await.unwrap());
        assert_eq!(db.take_secret_checks().await.unwrap().len(), 1);
        other.close().await;
    }
}
