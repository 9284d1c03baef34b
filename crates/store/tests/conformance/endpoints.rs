use model::AppId;
use model::endpoint::{BodySignature, Disabled, DisabledReason, Endpoint};
use model::message::Outcome;
use model::signature::Secret;
use testkit::by;
use testkit::{TestStore, on_both};

use crate::world::{ODD, app_with_endpoint, claim_all, execute, keys, pages, raw, walk};

async fn find(db: &TestStore, app: AppId, text: &str) -> Option<Endpoint> {
    db.endpoint_in_app(app, text).await.unwrap()
}

/// An endpoint with every field set.
fn full(db: &TestStore, app: AppId) -> Endpoint {
    let mut endpoint = db.new_endpoint(app);
    let now = db.clock.now();
    endpoint.uid = Some("full".to_owned());
    endpoint.url = format!("https://receiver.example/?q={ODD}");
    endpoint.description = ODD.to_owned();
    endpoint.filter.event_types = vec!["contact.*".to_owned(), "a.b".to_owned()];
    endpoint.filter.channels = vec!["eu".to_owned()];
    endpoint.throttle_rate = Some(i32::MAX as u32);
    endpoint.max_in_flight = Some(1);
    endpoint.metadata = [(ODD.to_owned(), "\0".to_owned())].into();
    endpoint.headers = [("x-key".to_owned(), ODD.to_owned())].into();
    endpoint.disabled = Some(Disabled::new(now.plus_ms(1), DisabledReason::Gone));
    endpoint.paused_at = Some(now.plus_ms(2));
    endpoint.retry_schedule = Some("0s,1500ms,2h,7d".parse().unwrap());
    endpoint.body_signature = Some(BodySignature { header: "X-Hub-Signature-256".to_owned() });
    endpoint.updated_at = now.plus_ms(3);
    endpoint
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        let app = db.app().await;
        let secret = Secret::generate_hmac(&db.entropy);
        for endpoint in [db.new_endpoint(app), full(&db, app)] {
            assert!(db.insert_endpoint(&endpoint, &secret, &by()).await.unwrap());
            assert_eq!(find(&db, app, endpoint.id.as_str()).await, Some(endpoint));
        }
        assert!(find(&db, app, "full").await.is_some());
        assert!(find(&db, app, "none").await.is_none());
    }

    async fn an_update_saves_all_but_the_moment_of_creation(db: TestStore) {
        let (app, id) = app_with_endpoint(&db).await;
        let bare = find(&db, app, id.as_str()).await.unwrap();
        let mut changed = Endpoint { id, ..full(&db, app) };
        assert!(db.update_endpoint(&changed, &by()).await.unwrap());
        assert_eq!(find(&db, app, "full").await, Some(changed.clone()));
        changed = Endpoint { created_at: bare.created_at.plus_ms(9), ..bare.clone() };
        assert!(db.update_endpoint(&changed, &by()).await.unwrap());
        assert_eq!(find(&db, app, id.as_str()).await, Some(bare));
    }

    async fn a_uid_is_one_endpoints_in_its_app(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let named = |app| Endpoint { uid: Some("u".to_owned()), ..db.new_endpoint(app) };
        let secret = Secret::generate_hmac(&db.entropy);
        assert!(db.insert_endpoint(&named(app), &secret, &by()).await.unwrap());
        let refused = named(app);
        assert!(!db.insert_endpoint(&refused, &secret, &by()).await.unwrap());
        assert!(db.current_secret(refused.id).await.unwrap().is_none(), "nothing is left of it");
        assert!(db.insert_endpoint(&named(other), &secret, &by()).await.unwrap());
        let free = db.endpoint(app).await;
        let stored = find(&db, app, free.as_str()).await;
        let wish = Endpoint { id: free, description: "changed".to_owned(), ..named(app) };
        assert!(!db.update_endpoint(&wish, &by()).await.unwrap());
        assert_eq!(find(&db, app, free.as_str()).await, stored);
    }

    async fn a_foreign_app_sees_and_changes_nothing(db: TestStore) {
        let (app, id) = app_with_endpoint(&db).await;
        let stranger = db.app().await;
        let own = find(&db, app, id.as_str()).await;
        assert_eq!(find(&db, stranger, id.as_str()).await, None);
        assert_eq!(db.endpoints_in_app(stranger, &pages(9)).await.unwrap().data, []);
        let mut wish = full(&db, stranger);
        wish.id = id;
        db.update_endpoint(&wish, &by()).await.unwrap();
        assert!(!db.delete_endpoint(stranger, id, &by()).await.unwrap());
        let gone = DisabledReason::Gone;
        assert!(!db.disable_endpoint_if_enabled(stranger, id, gone, &by()).await.unwrap());
        let secret = db.current_secret(id).await.unwrap().unwrap().to_text();
        db.rotate_secret(stranger, id, &Secret::generate_hmac(&db.entropy), 0, &by()).await.unwrap();
        assert_eq!(db.current_secret(id).await.unwrap().unwrap().to_text(), secret);
        assert_eq!(find(&db, app, id.as_str()).await, own);
        assert_eq!(db.hold_of(id).await.unwrap(), None);
        assert_eq!(db.message(app).await.outcome, Outcome::FannedOut);
    }

    async fn deleting_takes_secrets_and_lane_along(db: TestStore) {
        let (app, id) = app_with_endpoint(&db).await;
        let kept = db.endpoint(app).await;
        db.change(app, id, |endpoint| endpoint.paused_at = Some(endpoint.created_at)).await;
        db.message(app).await;
        assert!(db.delete_endpoint(app, id, &by()).await.unwrap());
        assert!(!db.delete_endpoint(app, id, &by()).await.unwrap());
        assert!(find(&db, app, id.as_str()).await.is_none());
        assert!(db.current_secret(id).await.unwrap().is_none());
        assert_eq!(db.hold_of(id).await.unwrap(), None);
        assert_eq!(claim_all(&db).await, 0, "nobody delivers to it any more");
        assert!(db.current_secret(kept).await.unwrap().is_some());
        db.delete_endpoint(app, kept, &by()).await.unwrap();
        assert_eq!(db.message(app).await.outcome, Outcome::NoMatch);
    }

    async fn disabling_keeps_the_queue_and_takes_nothing_new(db: TestStore) {
        let app = db.app().await;
        let id = db.endpoint_with(app, |endpoint| endpoint.throttle_rate = Some(100)).await;
        db.message(app).await;
        assert!(db.disable_endpoint_if_enabled(app, id, DisabledReason::Gone, &by()).await.unwrap());
        assert!(!db.disable_endpoint_if_enabled(app, id, DisabledReason::ByHand, &by()).await.unwrap());
        let disabled = find(&db, app, id.as_str()).await.unwrap().disabled;
        assert_eq!(disabled, Some(Disabled::new(db.clock.now(), DisabledReason::Gone)));
        assert_eq!(db.message(app).await.outcome, Outcome::AllDisabled);
        assert_eq!(claim_all(&db).await, 0);
        db.change(app, id, |endpoint| endpoint.disabled = None).await;
        assert_eq!(claim_all(&db).await, 1, "what was queued before is delivered after");
    }

    async fn pages_go_forth_and_back(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let mut expected = Vec::new();
        for _ in 0..7 {
            expected.push(db.endpoint(app).await.to_string());
            db.endpoint(other).await;
        }
        expected.sort();
        walk(&expected, async |query| {
            let page = db.endpoints_in_app(app, &query).await.unwrap();
            keys(page, |endpoint| endpoint.id.to_string())
        })
        .await;
    }

    async fn headers_are_sealed_for_their_endpoint_alone(db: TestStore) {
        let app = db.app().await;
        let value = "Bearer 0123456789abcdef".to_owned();
        let id = db
            .endpoint_with(app, |e| e.headers = [("x".to_owned(), value.clone())].into())
            .await;
        let sealed: Vec<u8> = raw(&db, "select headers from endpoint").await;
        assert!(!sealed.windows(6).any(|bytes| bytes == &value.as_bytes()[7..13]));
        let found = find(&db, app, id.as_str()).await.unwrap();
        assert_eq!(found.headers["x"], value);
        // Another id: the last character in front of the rest.
        let moved = "update endpoint set id = 'ep_' || substr(id, 30, 1) || substr(id, 4, 26)";
        execute(&db, moved).await;
        let moved = db.endpoints_in_app(app, &pages(1)).await;
        assert!(moved.is_err(), "a sealed value that was moved does not open");
    }
}
