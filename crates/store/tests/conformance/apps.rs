use model::app::App;
use store::{AppRef, PublishError};
use testkit::by;
use testkit::test_store::new_message;
use testkit::{TestStore, on_both};

use crate::world::{ODD, app_with_endpoint, keys, walk};

async fn find(db: &TestStore, text: &str) -> Option<App> {
    let store: &store::Store = db;
    store.app(&AppRef::new(text)).await.unwrap()
}

on_both! {
    async fn every_field_comes_back(db: TestStore) {
        let bare = db.new_app("");
        let mut full = db.new_app(ODD);
        full.uid = Some("acme-1".to_owned());
        full.throttle_rate = Some(i32::MAX as u32);
        let metadata = [(ODD, ODD), ("nul", "\0")];
        full.metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        full.updated_at = db.clock.now().plus_ms(1);
        for app in [&bare, &full] {
            assert!(db.insert_app(app, &by()).await.unwrap());
            assert_eq!(find(&db, app.id.as_str()).await.as_ref(), Some(app));
        }
        assert_eq!(find(&db, "acme-1").await, Some(full));
        assert_eq!(find(&db, "Acme-1").await, None);
        assert_eq!(find(&db, "").await, None);
    }

    async fn a_uid_is_one_apps_only(db: TestStore) {
        let mut one = db.new_app("one");
        one.uid = Some("taken".to_owned());
        let mut two = db.new_app("two");
        two.uid = Some("taken".to_owned());
        assert!(db.insert_app(&one, &by()).await.unwrap());
        assert!(!db.insert_app(&two, &by()).await.unwrap());
        two.uid = None;
        assert!(db.insert_app(&two, &by()).await.unwrap());
        assert!(db.insert_app(&db.new_app("another without"), &by()).await.unwrap());
        let stored = find(&db, two.id.as_str()).await;
        two.uid = Some("taken".to_owned());
        two.name = "changed".to_owned();
        assert!(!db.update_app(&two, &by()).await.unwrap());
        assert_eq!(find(&db, two.id.as_str()).await, stored);
    }

    async fn an_update_saves_all_but_the_moment_of_creation(db: TestStore) {
        let mut app = db.new_app("before");
        app.throttle_rate = Some(5);
        assert!(db.insert_app(&app, &by()).await.unwrap());
        let created_at = app.created_at;
        app.uid = Some("after".to_owned());
        app.name = "after".to_owned();
        app.throttle_rate = None;
        app.metadata = [("a".to_owned(), "b".to_owned())].into();
        app.created_at = created_at.plus_ms(7);
        app.updated_at = created_at.plus_ms(9);
        assert!(db.update_app(&app, &by()).await.unwrap());
        app.created_at = created_at;
        assert_eq!(find(&db, "after").await, Some(app));
    }

    async fn deleting_takes_the_endpoints_along(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let (other, kept) = app_with_endpoint(&db).await;
        db.change(app, endpoint, |endpoint| endpoint.paused_at = Some(endpoint.created_at)).await;
        db.message(app).await;
        assert!(db.delete_app(app, &by()).await.unwrap());
        assert!(!db.delete_app(app, &by()).await.unwrap());
        assert_eq!(find(&db, app.as_str()).await, None);
        assert!(db.endpoint_in_app(app, endpoint.as_str()).await.unwrap().is_none());
        assert!(db.current_secret(endpoint).await.unwrap().is_none());
        assert_eq!(db.hold_of(endpoint).await.unwrap(), None, "its lane is gone");
        assert_eq!(db.ingest(new_message(app)).await, Err(PublishError::AppNotFound));
        assert!(db.endpoint_in_app(other, kept.as_str()).await.unwrap().is_some());
        assert!(db.current_secret(kept).await.unwrap().is_some());
    }

    async fn pages_go_forth_and_back(db: TestStore) {
        let mut expected = Vec::new();
        for _ in 0..7 {
            expected.push(db.app().await.to_string());
        }
        expected.sort();
        walk(&expected, async |query| {
            keys(db.apps(&query).await.unwrap(), |app| app.id.to_string())
        })
        .await;
    }

    async fn a_store_that_answers_is_healthy(db: TestStore) {
        db.ping().await.unwrap();
        db.check_instance().await.unwrap();
        db.check_instance().await.unwrap();
        let stranger = db
            .reopen_with(|options| {
                let entropy = options.entropy.clone();
                options.vault = model::vault::Vault::new(&[8; 32], entropy).unwrap();
            })
            .await;
        let refused = stranger.check_instance().await;
        assert!(matches!(refused, Err(store::StoreError::OtherInstance)), "{refused:?}");
    }
}
