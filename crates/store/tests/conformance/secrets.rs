use model::signature::Secret;
use model::{AppId, EndpointId};
use store::{After, Route};
use testkit::by;
use testkit::test_store::Started;
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, raw, settle};

/// As in the store.
const MAX_OLD_SECRETS: usize = 10;

async fn current(db: &TestStore, endpoint: EndpointId) -> String {
    db.current_secret(endpoint).await.unwrap().expect("a secret").to_text()
}

async fn rotate(db: &TestStore, app: AppId, endpoint: EndpointId, grace_ms: u64) -> String {
    let secret = Secret::generate_hmac(&db.entropy);
    db.rotate_secret(app, endpoint, &secret, grace_ms, &by()).await.unwrap();
    secret.to_text()
}

/// What a message published now would be signed with, newest first.
async fn signatures(db: &TestStore, started: &mut Started, app: AppId) -> Vec<String> {
    db.message(app).await;
    let lease = started.next().await;
    let signatures = signed_by(&lease.route, db);
    settle(db, &lease, 200, After::Succeeded).await;
    signatures
}

fn signed_by(route: &Route, db: &TestStore) -> Vec<String> {
    route.signers(db.clock.now()).map(signature).collect()
}

fn signature(signer: &model::signature::Signer) -> String {
    let mut out = String::new();
    signer.sign_into("msg", 1, b"body", &mut out);
    out
}

fn would_sign(secret: &str) -> String {
    signature(&model::signature::Signer::new(&Secret::parse(secret).unwrap()))
}

on_both! {
    async fn secrets_of_both_kinds_come_back(db: TestStore) {
        let app = db.app().await;
        for secret in [
            Secret::generate_hmac(&db.entropy),
            Secret::generate_ed25519(&db.entropy),
        ] {
            let endpoint = db.new_endpoint(app);
            assert!(db.insert_endpoint(&endpoint, &secret, &by()).await.unwrap());
            assert_eq!(current(&db, endpoint.id).await, secret.to_text());
        }
        let none = EndpointId::new(db.clock.now(), &db.entropy);
        assert!(db.current_secret(none).await.unwrap().is_none());
    }

    async fn a_rotated_secret_signs_on_until_its_grace_is_over(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let first = current(&db, endpoint).await;
        // In the same millisecond as its predecessor.
        let second = rotate(&db, app, endpoint, 1_000).await;
        assert_eq!(current(&db, endpoint).await, second);
        let both = [would_sign(&second), would_sign(&first)];
        assert_eq!(signatures(&db, &mut started, app).await, both);
        db.message(app).await;
        let early = started.next().await;
        db.advance_ms(1_000);
        assert_eq!(signed_by(&early.route, &db), both[..1], "a route in memory ends it too");
        assert_eq!(signatures(&db, &mut started, app).await, both[..1]);
        let third = rotate(&db, app, endpoint, 0).await;
        assert_eq!(signatures(&db, &mut started, app).await, [would_sign(&third)]);
    }

    async fn old_secrets_are_few(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        for _ in 0..MAX_OLD_SECRETS + 5 {
            db.advance_ms(1);
            rotate(&db, app, endpoint, 1_000_000).await;
        }
        assert_eq!(signatures(&db, &mut started, app).await.len(), MAX_OLD_SECRETS + 1);
        let stored: i64 = raw(&db, "select count(*) from secret").await;
        assert_eq!(usize::try_from(stored).unwrap(), MAX_OLD_SECRETS + 1);
    }

    async fn two_rotations_at_once_leave_one_current_secret(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let other = db.reopen().await;
        let secrets = [(); 2].map(|()| Secret::generate_hmac(&db.entropy));
        let by = by();
        let (one, two) = tokio::join!(
            db.rotate_secret(app, endpoint, &secrets[0], 1_000, &by),
            other.rotate_secret(app, endpoint, &secrets[1], 1_000, &by),
        );
        one.unwrap();
        two.unwrap();
        let current: i64 =
            raw(&db, "select count(*) from secret where expires_at is null").await;
        assert_eq!(current, 1);
        other.close().await;
    }

    async fn secrets_are_sealed(db: TestStore) {
        let (_, endpoint) = app_with_endpoint(&db).await;
        let plain = current(&db, endpoint).await;
        let sealed: Vec<u8> = raw(&db, "select sealed from secret").await;
        assert!(!sealed.windows(8).any(|bytes| bytes == &plain.as_bytes()[6..14]));
    }
}
