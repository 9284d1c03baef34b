//! Housekeeping as the engine does it, on both databases, with a clock that the test moves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Read;
use std::path::Path;

use engine::Housekeeping;
use engine::maintenance::housekeeping::turn;
use model::retention::Retention;
use store::{After, Chore, ChoreRun, Store};
use testkit::test_store::{attempt, by, new_message};
use testkit::{TestStore, on_both};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn keeping(archive_dir: Option<&Path>) -> Housekeeping {
    Housekeeping {
        quiet_hours: Default::default(),
        archive_dir: archive_dir.map(Path::to_owned),
        reindex: false,
        key_usage_ms: 90 * DAY_MS,
    }
}

/// Two deliveries a day for four days; the store that is answered keeps attempts for two days,
/// messages for three, and the log for one.
async fn four_days(db: &TestStore) -> Store {
    let app = db.app().await;
    db.endpoint(app).await;
    let mut started = db.started();
    for _ in 0..4 {
        for payload in [&b"{\"a\":1}"[..], b"\xff\x00"] {
            db.ingest(store::NewMessage { payload: payload.to_vec().into(), ..new_message(app) })
                .await
                .unwrap();
            let lease = started.next().await;
            let attempt = attempt(&lease, db.clock.now(), Some(200));
            assert!(db.settle(lease.settlement(Some(attempt), After::Succeeded)).await.unwrap());
        }
        db.make_partitions().await.unwrap();
        db.advance_ms(DAY_MS);
    }
    db.reopen_with(|options| {
        options.retention = Retention {
            payload_days: Some(90),
            attempt_days: Some(2),
            message_days: Some(3),
            audit_days: Some(1),
        };
    })
    .await
}

async fn run_of(store: &Store, chore: Chore) -> ChoreRun {
    let runs = store.chore_runs().await.unwrap();
    runs.into_iter().find(|run| run.chore == chore.as_str()).expect("a run")
}

fn lines(dir: &Path, name: &str) -> Vec<serde_json::Value> {
    let mut text = String::new();
    let file = std::fs::File::open(dir.join(name)).unwrap_or_else(|_| panic!("no {name}"));
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

on_both! {
    async fn what_is_too_old_is_archived_and_goes(db: TestStore) {
        let store = four_days(&db).await;
        let dir = tempfile::tempdir().unwrap();
        turn(store.clone(), keeping(Some(dir.path()))).await.unwrap();

        let attempts = run_of(&store, Chore::Attempts).await.report;
        assert_eq!(attempts.error, None);
        assert_eq!(
            attempts.archives,
            ["attempt-2026-11-24.ndjson.gz", "attempt-2026-11-25.ndjson.gz"]
        );
        if db.database.is_postgres() {
            assert_eq!(attempts.partitions, ["attempt_20261124", "attempt_20261125"]);
        } else {
            assert_eq!(attempts.rows, 4);
        }
        let archived = lines(dir.path(), "attempt-2026-11-24.ndjson.gz");
        assert_eq!(archived.len(), 2);
        assert_eq!((&archived[0]["statusCode"], &archived[0]["responseBody"]), (&200.into(), &"a body".into()));

        let messages = run_of(&store, Chore::Messages).await.report;
        assert_eq!((messages.rows, messages.error), (4, None));
        assert_eq!(messages.archives, ["delivery-2026-11-24.ndjson.gz", "message-2026-11-24.ndjson.gz"]);
        let archived = lines(dir.path(), "message-2026-11-24.ndjson.gz");
        let has = |name: &str, value: &str| archived.iter().any(|row| row[name] == value);
        assert!(has("payload", "{\"a\":1}") && has("payloadBase64", "/wA="), "{archived:?}");
        assert_eq!(lines(dir.path(), "delivery-2026-11-24.ndjson.gz")[0]["state"], "succeeded");

        let audit = run_of(&store, Chore::Audit).await.report;
        assert_eq!((audit.archives.len(), audit.error), (1, None));
        let archived = lines(dir.path(), &audit.archives[0]);
        assert_eq!(archived.len() as u64, audit.rows);
        assert_eq!(db.verify_audit().await.unwrap().broken_at, None);
        assert_eq!(run_of(&store, Chore::Upkeep).await.report.error, None);

        // Not due again, and then nothing is left to do.
        let runs = store.chore_runs().await.unwrap().len();
        turn(store.clone(), keeping(None)).await.unwrap();
        assert_eq!(store.chore_runs().await.unwrap().len(), runs);
        db.advance_ms(6 * 3_600_000);
        turn(store.clone(), keeping(None)).await.unwrap();
        assert_eq!(run_of(&store, Chore::Attempts).await.report.rows, 0);
    }

    async fn nothing_goes_when_it_cannot_be_archived(db: TestStore) {
        let store = four_days(&db).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        turn(store.clone(), keeping(Some(file.path()))).await.unwrap();
        for chore in [Chore::Attempts, Chore::Messages, Chore::Audit] {
            let report = run_of(&store, chore).await.report;
            assert!(report.error.unwrap().starts_with("archive: "), "{chore:?}");
            assert_eq!(report.rows, 0);
        }
        // With a place for them, all of them are archived and go.
        let dir = tempfile::tempdir().unwrap();
        store.ask_for_housekeeping(&by()).await.unwrap();
        turn(store.clone(), keeping(Some(dir.path()))).await.unwrap();
        for day in ["2026-11-24", "2026-11-25"] {
            assert_eq!(lines(dir.path(), &format!("attempt-{day}.ndjson.gz")).len(), 2);
        }
    }

    async fn outside_quiet_hours_only_partitions_are_made(db: TestStore) {
        let store = four_days(&db).await;
        // The clock of tests stands at eight in the morning.
        let at_night = Housekeeping {
            quiet_hours: "0 1 * * *; 240; UTC".parse().unwrap(),
            ..keeping(None)
        };
        turn(store.clone(), at_night.clone()).await.unwrap();
        let done: Vec<String> =
            store.chore_runs().await.unwrap().into_iter().map(|run| run.chore).collect();
        assert_eq!(done, ["partitions"]);
        let next = store.chore(Chore::Attempts).await.unwrap().next_at.unwrap();
        assert_eq!(next, db.clock.now().plus_ms(17 * 3_600_000));
        // Unless somebody asks.
        store.ask_for_housekeeping(&by()).await.unwrap();
        turn(store.clone(), at_night.clone()).await.unwrap();
        assert!(!store.chore(Chore::Attempts).await.unwrap().asked);
        assert_eq!(run_of(&store, Chore::Attempts).await.report.error, None);
        db.advance_ms(17 * 3_600_000);
        turn(store.clone(), at_night).await.unwrap();
        assert_eq!(run_of(&store, Chore::Messages).await.started_at, db.clock.now());
    }
}
