use model::delivery::State;
use model::retention::{Day, Override, Retention};
use store::{After, AuditQuery, Kept, Scope, Slice, Store};
use testkit::test_store::new_message;
use testkit::{TestStore, by, on_both};

use crate::world::{app_with_endpoint, publish, raw, settle, settled};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

const ATTEMPTS: &str = "select count(*) from attempt";
const MESSAGES: &str = "select count(*) from message";
const DELIVERIES: &str = "select count(*) from delivery";

/// As housekeeping does it; answers the rows that went and what an archive would have got.
pub async fn expire(store: &Store, kept: Kept) -> (u64, Vec<String>) {
    let (mut gone, mut archived) = (0, Vec::new());
    for scope in store.scopes(kept).await.unwrap() {
        let mut last: Option<Slice> = None;
        while let Some(slice) = store.next_slice(kept, &scope, last.as_ref()).await.unwrap() {
            assert_ne!(last.as_ref(), Some(&slice), "it moves on");
            let mut after = None;
            loop {
                let page = store.read_slice(&slice, after.as_deref(), true).await.unwrap();
                archived.extend(page.rows.into_iter().map(|row| row.json));
                gone += store.delete_from_slice(&slice, &page.keys).await.unwrap();
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            last = Some(slice);
        }
    }
    (gone, archived)
}

async fn keeping(db: &TestStore, change: impl FnOnce(&mut Retention)) -> Store {
    db.reopen_with(|options| change(&mut options.retention)).await
}

fn days(attempts: u32) -> Override {
    Override { attempt_days: Some(attempts), ..Override::default() }
}

on_both! {
    async fn an_apps_own_times_come_back_and_go_with_it(db: TestStore) {
        let app = db.app().await;
        let found = db.app_retention(app).await.unwrap();
        assert_eq!(found.own, Override::default());
        assert_eq!(found.in_effect, Retention::default());
        let own = Override { payload_days: Some(7), attempt_days: None, message_days: Some(30) };
        db.set_app_retention(app, &own, &by()).await.unwrap();
        let found = db.app_retention(app).await.unwrap();
        assert_eq!(found.own, own);
        assert_eq!(found.in_effect, Retention::default().with(&own));
        let scopes = db.scopes(Kept::Messages).await.unwrap();
        let before = |days| Day::kept_from(days, db.clock.now());
        assert_eq!(scopes, [
            Scope { app: None, before: before(365) },
            Scope { app: Some(app), before: before(30) },
        ]);
        assert_eq!(db.scopes(Kept::Attempts).await.unwrap().len(), 1);
        assert!(db.delete_app(app, &by()).await.unwrap());
        assert_eq!(db.scopes(Kept::Messages).await.unwrap().len(), 1);
        assert_eq!(raw::<i64>(&db, "select count(*) from retention").await, 0);
        let changes: i64 =
            raw(&db, "select count(*) from audit where action = 'app.set_retention'").await;
        assert_eq!(changes, 1);
    }

    async fn attempts_go_by_their_messages_day(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        let (other, endpoint) = app_with_endpoint(&db).await;
        db.set_app_retention(other, &days(2), &by()).await.unwrap();
        let mut started = db.started();
        for _ in 0..4 {
            for app in [app, other] {
                settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
            }
            db.advance_ms(DAY_MS);
        }
        // Today is the fifth day; the instance keeps three, the other app two.
        let store = keeping(&db, |kept| kept.attempt_days = Some(3)).await;
        let (gone, archived) = expire(&store, Kept::Attempts).await;
        assert_eq!((gone, archived.len()), (1 + 2, 3));
        assert!(archived[0].contains("\"responseBody\":\"a body\""), "{}", archived[0]);
        assert_eq!(raw::<i64>(&db, ATTEMPTS).await, 5);
        let left = db.attempts_of_endpoint(other, endpoint, &Default::default()).await.unwrap();
        assert_eq!(left.data.len(), 2);
        assert_eq!(expire(&store, Kept::Attempts).await.0, 0);
        // The other app now keeps longer than the instance.
        db.set_app_retention(other, &days(30), &by()).await.unwrap();
        db.advance_ms(3 * DAY_MS);
        assert_eq!(expire(&store, Kept::Attempts).await.0, 3);
        assert_eq!(raw::<i64>(&db, ATTEMPTS).await, 2);
    }

    async fn more_than_one_step_goes(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        let mut started = db.started();
        for _ in 0..40 {
            settled(&db, &mut started, new_message(app), 500, After::Failed).await;
        }
        let unheard = db.app().await;
        publish(&db, unheard, 121).await;
        db.advance_ms(400 * DAY_MS);
        let (gone, archived) = expire(&db, Kept::Messages).await;
        assert_eq!((gone, archived.len()), (121 + 3 * 40, 121 + 3 * 40));
        for table in [MESSAGES, DELIVERIES, ATTEMPTS] {
            assert_eq!(raw::<i64>(&db, table).await, 0, "{table}");
        }
    }

    async fn what_is_not_over_stays(db: TestStore) {
        let (app, endpoint) = app_with_endpoint(&db).await;
        let mut started = db.started();
        settled(&db, &mut started, new_message(app), 200, After::Succeeded).await;
        let waiting = settled(
            &db,
            &mut started,
            new_message(app),
            500,
            After::RetryAt(db.clock.now().plus_ms(900 * DAY_MS)),
        )
        .await;
        db.advance_ms(400 * DAY_MS);
        assert_eq!(expire(&db, Kept::Messages).await.0, 3);
        assert_eq!(crate::world::state_of(&db, app, &waiting).await, State::Queued);
        assert_eq!(raw::<i64>(&db, MESSAGES).await, 1);
        // A slice that was made before its last delivery was settled does not have it.
        let old = Slice::Messages {
            app: None,
            day: Day::of(waiting.delivery_id.message_id().moment()),
            as_of: db.clock.now(),
        };
        db.advance_ms(500 * DAY_MS);
        db.claim().await.unwrap();
        let again = started.next().await;
        assert!(settle(&db, &again, 200, After::Succeeded).await);
        assert!(db.read_slice(&old, None, false).await.unwrap().keys.is_empty());
        let message = waiting.delivery_id.message_id().to_string();
        assert_eq!(db.delete_from_slice(&old, &[message]).await.unwrap(), 0);
        db.advance_ms(1);
        assert!(expire(&db, Kept::Messages).await.0 >= 3);
        assert_eq!(raw::<i64>(&db, DELIVERIES).await, 0);
        let listed = db.attempts_of_endpoint(app, endpoint, &Default::default()).await.unwrap();
        assert!(listed.data.is_empty());
    }

    async fn payloads_of_an_app_go_by_its_own_time(db: TestStore) {
        let (one, two) = (db.app().await, db.app().await);
        let own = Override { payload_days: Some(5), ..Override::default() };
        db.set_app_retention(two, &own, &by()).await.unwrap();
        let kept = db.message(one).await.id;
        let erased = db.message(two).await.id;
        db.advance_ms(6 * DAY_MS);
        for scope in db.scopes(Kept::Payloads).await.unwrap() {
            let mut from = None;
            while let Some((last, n)) = db.erase_old_payloads(&scope, from).await.unwrap() {
                assert_eq!((scope.app, n), (Some(two), 1));
                from = Some(last);
            }
        }
        let payload = async |app, id: model::MessageId| {
            db.message_in_app(app, id.as_str()).await.unwrap().unwrap().payload
        };
        assert!(payload(one, kept).await.is_some());
        assert!(payload(two, erased).await.is_none());
    }

    async fn the_audit_log_stays_sound_without_its_beginning(db: TestStore) {
        for _ in 0..3 {
            db.app().await;
        }
        db.advance_ms(5 * DAY_MS);
        for _ in 0..2 {
            db.app().await;
        }
        let store = keeping(&db, |kept| kept.audit_days = Some(3)).await;
        let slice = store.expired_audit().await.unwrap().expect("a slice");
        let page = store.read_slice(&slice, None, true).await.unwrap();
        assert_eq!((page.keys.as_slice(), page.next), (&["1", "2", "3"].map(str::to_owned)[..], None));
        assert!(page.rows[0].json.contains("\"action\":\"app.create\""), "{:?}", page.rows[0]);
        assert_eq!(store.delete_from_slice(&slice, &page.keys).await.unwrap(), 3);
        assert_eq!(store.expired_audit().await.unwrap(), None);
        store.record_audit_expiry(3).await.unwrap();
        let verdict = db.verify_audit().await.unwrap();
        assert_eq!((verdict.entries, verdict.broken_at), (3, None));
        let log = db.audit_log(&AuditQuery::default()).await.unwrap();
        assert_eq!(log.data[0].actor.name, "retention");
        // Cut off further by somebody else, or with another anchor.
        for (tampering, undo, at) in [
            ("update audit_mark set seq = 4 where name = 'anchor'", "update audit_mark set seq = 3 where name = 'anchor'", 5),
            ("update audit set seq = -4 where seq = 4", "update audit set seq = 4 where seq = -4", 4),
        ] {
            crate::world::execute(&db, tampering).await;
            assert_eq!(db.verify_audit().await.unwrap().broken_at, Some(at), "{tampering}");
            crate::world::execute(&db, undo).await;
            assert_eq!(db.verify_audit().await.unwrap().broken_at, None, "{undo}");
        }
        crate::world::execute(&db, "delete from audit_mark where name = 'anchor'").await;
        assert_eq!(db.verify_audit().await.unwrap().broken_at, Some(1));
    }
}
