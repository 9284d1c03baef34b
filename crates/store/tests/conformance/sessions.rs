use model::access::{
    Holder, MAX_SESSIONS_PER_USER, Permission, Permissions, Portal, Role, SESSION_IDLE_MS,
    SESSION_MAX_MS, Session,
};
use model::{AppId, SessionId, UserId};
use store::Refreshed;
use testkit::{TestStore, by, on_both};

use crate::members::new_member;
use crate::users::user;
use crate::world::{ODD, raw};

fn new_session(db: &TestStore, holder: Holder) -> Session {
    let now = db.clock.now();
    Session {
        id: SessionId::new(now, &db.entropy),
        holder,
        generation: 1,
        created_at: now,
        expires_at: now.plus_ms(SESSION_IDLE_MS),
        revoked_at: None,
        address: Some("192.0.2.1".to_owned()),
        user_agent: Some(ODD.to_owned()),
    }
}

async fn session(db: &TestStore, user: UserId) -> Session {
    let session = new_session(db, Holder::User(user));
    db.begin_session(&session, &by()).await.unwrap();
    session
}

async fn portal(db: &TestStore, app: AppId, label: Option<&str>) -> Session {
    let permissions = Permissions::of(&[Permission::EndpointsRead, Permission::AuditRead]);
    let label = label.map(str::to_owned);
    let session = new_session(db, Holder::Portal(Portal { app_id: app, permissions, label }));
    db.begin_session(&session, &by()).await.unwrap();
    session
}

async fn is_alive(db: &TestStore, id: SessionId) -> bool {
    let facts = db.session_facts(id).await.unwrap();
    facts.is_some_and(|facts| facts.session.is_alive(db.clock.now()))
}

on_both! {
    async fn a_session_says_who_and_what_they_may(db: TestStore) {
        let app = db.app().await;
        let ada = user(&db, "ada@example.org").await;
        db.put_member(&new_member(&db, app, ada.id, Role::Viewer), &by()).await.unwrap();
        let begun = session(&db, ada.id).await;
        let facts = db.session_facts(begun.id).await.unwrap().expect("the session");
        assert_eq!(facts.session, begun);
        assert_eq!(facts.user, Some(ada));
        assert_eq!(facts.memberships, [(app, Role::Viewer)]);

        let opened = portal(&db, app, Some(ODD)).await;
        let facts = db.session_facts(opened.id).await.unwrap().expect("the session");
        assert_eq!((facts.session, facts.user), (opened, None));
        let stranger = SessionId::new(db.clock.now(), &db.entropy);
        assert_eq!(db.session_facts(stranger).await.unwrap(), None);
    }

    async fn a_refresh_token_is_good_once(db: TestStore) {
        let ada = user(&db, "ada@example.org").await;
        let begun = session(&db, ada.id).await;
        let now = db.advance_ms(60_000);
        let refreshed = db.refresh_session(begun.id, 1, &by()).await.unwrap();
        let renewed = Session {
            generation: 2,
            expires_at: now.plus_ms(SESSION_IDLE_MS),
            ..begun.clone()
        };
        assert_eq!(refreshed, Refreshed::Done(renewed.clone()));
        let facts = db.session_facts(begun.id).await.unwrap().unwrap();
        assert_eq!(facts.session, renewed);
        // One that was never given out ends nothing.
        assert_eq!(db.refresh_session(begun.id, 3, &by()).await.unwrap(), Refreshed::Gone);
        assert!(is_alive(&db, begun.id).await);

        assert_eq!(db.refresh_session(begun.id, 1, &by()).await.unwrap(), Refreshed::Reused);
        assert!(!is_alive(&db, begun.id).await);
        assert_eq!(db.refresh_session(begun.id, 2, &by()).await.unwrap(), Refreshed::Gone);
        let log = db.audit_log(&store::AuditQuery::default()).await.unwrap();
        assert_eq!(log.data[0].action, "session.reuse_detected");
    }

    async fn two_at_the_same_time_are_one_too_many(db: TestStore) {
        let ada = user(&db, "ada@example.org").await;
        let begun = session(&db, ada.id).await;
        let by = by();
        let refresh = || db.refresh_session(begun.id, 1, &by);
        let (one, two) = tokio::join!(refresh(), refresh());
        let both = [one.unwrap(), two.unwrap()];
        let done = both.iter().filter(|one| matches!(one, Refreshed::Done(_))).count();
        assert_eq!(done, 1, "{both:?}");
        assert!(both.contains(&Refreshed::Reused), "{both:?}");
        assert!(!is_alive(&db, begun.id).await);
    }

    async fn a_session_has_two_ends(db: TestStore) {
        let ada = user(&db, "ada@example.org").await;
        let idle = session(&db, ada.id).await;
        let busy = session(&db, ada.id).await;
        let mut generation = 1;
        while db.clock.now() < busy.created_at.plus_ms(SESSION_MAX_MS - SESSION_IDLE_MS / 2) {
            db.advance_ms(SESSION_IDLE_MS / 2);
            let refreshed = db.refresh_session(busy.id, generation, &by()).await.unwrap();
            assert!(matches!(refreshed, Refreshed::Done(_)), "{refreshed:?}");
            generation += 1;
        }
        assert!(!is_alive(&db, idle.id).await);
        assert!(is_alive(&db, busy.id).await);
        db.advance_ms(SESSION_IDLE_MS / 2);
        assert!(!is_alive(&db, busy.id).await, "it outlives its longest life");
        let refreshed = db.refresh_session(busy.id, generation, &by()).await.unwrap();
        assert_eq!(refreshed, Refreshed::Gone);

        session(&db, ada.id).await;
        assert_eq!(raw::<i64>(&db, "select count(*) from session").await, 1, "swept away");
    }

    async fn sessions_end_by_themselves_and_with_their_user(db: TestStore) {
        let mut ada = user(&db, "ada@example.org").await;
        let (one, two) = (session(&db, ada.id).await, session(&db, ada.id).await);
        assert!(db.end_session(one.id, &by()).await.unwrap());
        assert!(!db.end_session(one.id, &by()).await.unwrap());
        assert!(!is_alive(&db, one.id).await && is_alive(&db, two.id).await);

        db.set_password(ada.id, "another", &by()).await.unwrap();
        assert!(!is_alive(&db, two.id).await);
        let three = session(&db, ada.id).await;
        ada.name = "renamed".to_owned();
        db.update_user(&ada, &by()).await.unwrap();
        assert!(is_alive(&db, three.id).await);
        ada.enabled = false;
        db.update_user(&ada, &by()).await.unwrap();
        assert!(!is_alive(&db, three.id).await);
        db.delete_user(ada.id, &by()).await.unwrap();
        assert_eq!(db.session_facts(three.id).await.unwrap(), None);
    }

    async fn portal_sessions_end_by_app_and_by_label(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let a = portal(&db, app, Some("a")).await;
        let b = portal(&db, app, Some(ODD)).await;
        let foreign = portal(&db, other, Some("a")).await;
        let at = db.clock.now();
        let labels = ["a".to_owned(), "none".to_owned()];
        assert_eq!(db.end_portal_sessions(app, &labels, at, &by()).await.unwrap(), 1);
        assert!(!is_alive(&db, a.id).await && is_alive(&db, b.id).await);
        let later = at.plus_ms(5_000);
        assert_eq!(db.end_portal_sessions(app, &[], later, &by()).await.unwrap(), 1);
        assert!(is_alive(&db, b.id).await);
        db.advance_ms(5_000);
        assert!(!is_alive(&db, b.id).await && is_alive(&db, foreign.id).await);
    }

    async fn a_deleted_app_takes_its_members_and_portals_along(db: TestStore) {
        let (app, other) = (db.app().await, db.app().await);
        let ada = user(&db, "ada@example.org").await;
        for app in [app, other] {
            db.put_member(&new_member(&db, app, ada.id, Role::Viewer), &by()).await.unwrap();
        }
        let gone = portal(&db, app, None).await;
        let kept = portal(&db, other, None).await;
        assert!(db.delete_app(app, &by()).await.unwrap());
        assert_eq!(db.memberships(ada.id).await.unwrap(), [(other, Role::Viewer)]);
        assert_eq!(db.session_facts(gone.id).await.unwrap(), None);
        assert!(is_alive(&db, kept.id).await);
    }

    async fn a_user_has_so_many_sessions_and_no_more(db: TestStore) {
        let ada = user(&db, "ada@example.org").await;
        let first = session(&db, ada.id).await;
        for _ in 0..MAX_SESSIONS_PER_USER {
            db.advance_ms(1);
            session(&db, ada.id).await;
        }
        assert_eq!(db.session_facts(first.id).await.unwrap(), None);
        let count = raw::<i64>(&db, "select count(*) from session").await;
        assert_eq!(count, i64::from(MAX_SESSIONS_PER_USER));
        assert!(db.user_knows_address(ada.id, "192.0.2.1").await.unwrap());
        assert!(!db.user_knows_address(ada.id, "192.0.2.2").await.unwrap());
    }
}
