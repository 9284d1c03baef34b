use model::message::Outcome;
use store::{After, AppRef};
use testkit::by;
use testkit::test_store::{Started, new_message};
use testkit::{TestStore, on_both};

use crate::world::{app_with_endpoint, settle};

on_both! {
    async fn a_change_is_seen_by_the_very_next_message(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        db.message(app).await;
        let before = started.next().await;
        db.message(app).await;
        let unchanged = started.next().await;
        assert_eq!(before.route.revision, unchanged.route.revision, "it is cached");
        db.change(app, endpoint, |e| e.url = "https://elsewhere.example".to_owned()).await;
        db.message(app).await;
        let after = started.next().await;
        assert_eq!(after.route.endpoint.url, "https://elsewhere.example");
        assert_ne!(before.route.revision, after.route.revision);
        let second = db.endpoint(app).await;
        db.message(app).await;
        let both = [started.next().await, started.next().await];
        assert!(both.iter().any(|lease| lease.route.endpoint.id == second));
    }

    async fn a_change_by_another_process_is_seen_too(db: TestStore) {
        let elsewhere = db.reopen().await;
        let mut started = Started::of(&elsewhere);
        let (app, endpoint) = app_with_endpoint(&db).await;
        elsewhere.ingest(new_message(app)).await.unwrap();
        let lease = started.next().await;
        let settlement = lease.settlement(None, After::Succeeded);
        assert!(elsewhere.settle(settlement).await.unwrap());
        db.change(app, endpoint, |e| e.filter.event_types = vec!["other".to_owned()]).await;
        assert_eq!(elsewhere.ingest(new_message(app)).await.unwrap().outcome, Outcome::NoMatch);
        assert!(db.delete_app(app, &by()).await.unwrap());
        assert!(elsewhere.ingest(new_message(app)).await.is_err());
        elsewhere.close().await;
    }

    async fn an_app_has_two_names(db: TestStore) {
        let mut started = db.started();
        let app = db.app_with(|app| app.uid = Some("crm".to_owned())).await;
        db.endpoint(app).await;
        let mut message = new_message(app);
        message.app = AppRef::new("crm");
        let answers = db.ingest_batch(vec![message, new_message(app)]).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        for _ in 0..2 {
            let lease = started.next().await;
            assert_eq!(lease.route.endpoint.app_id, app);
            assert!(settle(&db, &lease, 200, After::Succeeded).await);
        }
    }

    async fn a_route_knows_the_lower_rate(db: TestStore) {
        let app = db.app_with(|app| app.throttle_rate = Some(5)).await;
        db.endpoint_with(app, |e| e.throttle_rate = Some(3)).await;
        db.endpoint_with(app, |e| e.throttle_rate = Some(9)).await;
        let mut started = db.started();
        db.message(app).await;
        let mut rates = Vec::new();
        for _ in 0..2 {
            db.claim().await.unwrap();
            let lease = started.next().await;
            rates.push((lease.route.endpoint.throttle_rate, lease.route.throttle_rate));
            db.advance_ms(1_000);
        }
        rates.sort_unstable();
        assert_eq!(rates, [(Some(3), Some(3)), (Some(9), Some(5))]);
    }
}
