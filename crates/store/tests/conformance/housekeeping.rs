use store::{Chore, Report};
use testkit::{TestStore, by, on_both};

use crate::world::raw;

const HOUR_MS: u64 = 60 * 60 * 1_000;

on_both! {
    async fn a_due_chore_is_taken_once(db: TestStore) {
        let other = db.reopen().await;
        let state = db.chore(Chore::Upkeep).await.unwrap();
        assert_eq!((state.next_at, state.asked), (None, false));
        let next = db.clock.now().plus_ms(HOUR_MS);
        let (one, two) =
            tokio::join!(db.take_chore(Chore::Upkeep, next), other.take_chore(Chore::Upkeep, next));
        assert!(one.unwrap() ^ two.unwrap());
        assert_eq!(db.chore(Chore::Upkeep).await.unwrap().next_at, Some(next));
        db.advance_ms(HOUR_MS - 1);
        assert!(!db.take_chore(Chore::Upkeep, next.plus_ms(1)).await.unwrap());
        db.advance_ms(1);
        assert!(db.take_chore(Chore::Upkeep, next.plus_ms(1)).await.unwrap());
    }

    async fn who_asks_makes_everything_due(db: TestStore) {
        let next = db.clock.now().plus_ms(HOUR_MS);
        assert!(db.take_chore(Chore::Attempts, next).await.unwrap());
        let wake = db.wake().clone();
        let rung = wake.chores();
        db.ask_for_housekeeping(&by()).await.unwrap();
        tokio::time::timeout(testkit::server::PATIENCE, rung).await.expect("a ring");
        for chore in Chore::ALL {
            let state = db.chore(chore).await.unwrap();
            assert!(state.asked && state.next_at.is_none());
            assert!(db.take_chore(chore, next).await.unwrap());
            assert!(!db.chore(chore).await.unwrap().asked);
        }
        assert_eq!(raw::<i64>(&db, "select count(*) from audit where action = 'housekeeping.run'").await, 1);
    }

    async fn runs_are_shown_and_forgotten(db: TestStore) {
        let started = db.clock.now();
        db.advance_ms(70);
        let report = Report {
            rows: 7,
            partitions: vec!["attempt_20260101".to_owned()],
            before: Some(db.sizes().await.unwrap()),
            notes: vec!["a note".to_owned()],
            ..Report::default()
        };
        assert!(report.before.as_ref().unwrap().database_bytes > 0);
        db.record_chore(Chore::Attempts, started, &report).await.unwrap();
        let runs = db.chore_runs().await.unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].chore.as_str(), runs[0].duration_ms), ("attempts", 70));
        assert_eq!((runs[0].started_at, &runs[0].report), (started, &report));
        db.advance_ms(31 * 24 * HOUR_MS);
        db.record_chore(Chore::Upkeep, db.clock.now(), &Report::default()).await.unwrap();
        assert_eq!(db.chore_runs().await.unwrap().len(), 1);
    }

    async fn space_is_given_back(db: TestStore) {
        let app = db.app().await;
        for _ in 0..20 {
            db.message_with(app, |it| it.payload = bytes::Bytes::from(vec![b'x'; 100_000])).await;
        }
        crate::world::execute(&db, "delete from message").await;
        let before = db.sizes().await.unwrap();
        let mut report = Report::default();
        db.keep_up(true, &mut report).await.unwrap();
        let after = db.sizes().await.unwrap();
        if db.database.is_postgres() {
            assert!(report.notes[0].contains("indexes"), "{report:?}");
            assert!(after.tables.iter().any(|table| table.name == "message"));
            return;
        }
        assert!(before.free_bytes > 1_500_000, "{before:?}");
        assert_eq!(after.free_bytes, 0);
        assert!(after.database_bytes + 1_500_000 < before.database_bytes, "{before:?} {after:?}");
        assert!(report.notes.is_empty());
    }
}
