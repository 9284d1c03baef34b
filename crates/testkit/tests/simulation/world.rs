//! What a day begins with: a migrated database in memory, tenants with endpoints, and receivers
//! whose moods are drawn ahead.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use model::app::App;
use model::attempt::ErrorKind;
use model::delivery::State;
use model::endpoint::Endpoint;
use model::signature::Secret;
use model::{AppId, DeliveryId, EndpointId, Timestamp, breaker};
use rusqlite::{Connection, OptionalExtension, Row};
use store::{Store, StoreOptions};
use tempfile::TempDir;
use testkit::{START, by, test_store};

use crate::chance::Chance;
use crate::network::Reply;

pub const HOUR_MS: u64 = 3_600_000;
pub const DAY_MS: u64 = 24 * HOUR_MS;
const APPS: u64 = 2;
const MAX_ENDPOINTS: u64 = 3;
const MAX_RETRY_AFTER_S: u64 = 7_200;

/// A SQLite file of this seed's own, copied from one that was migrated once.
pub struct Database {
    folder: TempDir,
    raw: Connection,
}

impl Database {
    pub fn fresh() -> Self {
        let folder = folder();
        std::fs::write(file(folder.path()), template()).unwrap();
        let raw = Connection::open(file(folder.path())).unwrap();
        raw.busy_timeout(Duration::from_secs(5)).unwrap();
        Self { folder, raw }
    }

    pub fn url(&self) -> String {
        url(self.folder.path())
    }

    /// Around the store, for whoever checks or spoils its work.
    pub fn run(&self, sql: &str) {
        self.raw.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub fn all<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut statement = self.raw.prepare_cached(sql).unwrap();
        let rows = statement.query_map([], |row| read(row)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    pub fn stored(&self, delivery: &DeliveryId) -> Option<Stored> {
        let mut statement = self.raw.prepare_cached(STORED).unwrap();
        let found = statement.query_row([delivery.as_str()], |row| {
            Ok(Stored {
                state: State::from_code(row.get(0)?),
                due_at: Timestamp(row.get(1)?),
                attempts: row.get(2)?,
                owner: row.get(3)?,
            })
        });
        found.optional().unwrap()
    }

    pub fn breaker(&self, endpoint: &EndpointId) -> BreakerRow {
        let mut statement = self.raw.prepare_cached(BREAKER).unwrap();
        let found = statement.query_row([endpoint.as_str()], |row| {
            Ok(BreakerRow {
                state: breaker::State::from_code(row.get(0)?),
                since: Timestamp(row.get(1)?),
                until: Timestamp(row.get(2)?),
            })
        });
        found.optional().unwrap().unwrap_or_default()
    }
}

const STORED: &str = "select state, due_at, attempts, lease_owner from delivery where id = $1";
const BREAKER: &str = "select state, since, until from breaker where endpoint_id = $1";

/// Writes to a table fail while it is named here.
const FAULTS: &str = "create table played_fault (broken text not null); \
    create trigger played_fault_of_message before insert on message \
    when exists (select 1 from played_fault where broken = 'message') \
    begin select raise(abort, 'a played fault'); end; \
    create trigger played_fault_of_attempt before insert on attempt \
    when exists (select 1 from played_fault where broken = 'attempt') \
    begin select raise(abort, 'a played fault'); end; \
    create trigger played_fault_of_lane before update on lane \
    when exists (select 1 from played_fault where broken = 'lane') \
    begin select raise(abort, 'a played fault'); end;";

/// A delivery as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub state: State,
    /// Leased: when the lease ends.
    pub due_at: Timestamp,
    pub attempts: u32,
    /// The node that has the lease.
    pub owner: Option<i64>,
}

/// A breaker as it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct BreakerRow {
    pub state: breaker::State,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// In memory where there is such a place: a day has thousands of flushes.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("doorbell-simulation").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("doorbell.db")
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", file(folder).display())
}

fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        // The caller is inside a runtime, which cannot be blocked on: a thread has its own.
        let made = std::thread::spawn(|| {
            let folder = folder();
            testkit::databases::run_test(migrate(url(folder.path())));
            let raw = Connection::open(file(folder.path())).unwrap();
            raw.execute_batch(FAULTS).unwrap();
            drop(raw);
            std::fs::read(file(folder.path())).unwrap()
        });
        made.join().unwrap()
    })
}

async fn migrate(url: String) {
    let options = StoreOptions { delivers: false, ..test_store::options(&url) };
    let store = Store::open(options).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
}

/// How a receiver does for a while.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    /// Nobody answers.
    Dead,
    /// Every answer is a fault.
    Broken,
    /// It asks for patience.
    Busy,
    /// Half of it fails.
    Flaky,
}

/// An endpoint and whoever is behind it.
pub struct Receiver {
    pub endpoint: Endpoint,
    /// From when on it does how.
    moods: Vec<(Timestamp, Mood)>,
}

impl Receiver {
    fn mood(&self, now: Timestamp) -> Mood {
        let last = self.moods.iter().rev().find(|(since, _)| *since <= now);
        last.map_or(Mood::Well, |(_, mood)| *mood)
    }

    /// What it answers to a request of this moment, and after how many milliseconds.
    pub fn reply(&self, chance: &Chance, now: Timestamp, timeout_ms: u64) -> (Reply, u64) {
        let quick = chance.between(2, 900);
        let lost = |kind, ms| (Reply::Lost(kind), ms);
        match self.mood(now) {
            Mood::Well if chance.percent(1) => (Reply::status(410), quick),
            Mood::Well => (Reply::status(*chance.pick(&[200, 202, 204])), quick),
            Mood::Flaky if chance.percent(50) => (Reply::status(200), quick),
            Mood::Flaky => (Reply::status(*chance.pick(&[404, 500, 302])), quick),
            Mood::Dead if chance.percent(60) => lost(ErrorKind::Timeout, timeout_ms),
            Mood::Dead => lost(*chance.pick(&[ErrorKind::Connect, ErrorKind::Reset]), quick),
            Mood::Broken => (Reply::status(*chance.pick(&[500, 503])), chance.between(2, 20_000)),
            Mood::Busy => {
                let asks = chance.percent(70);
                let retry_after_s = asks.then(|| chance.between(1, MAX_RETRY_AFTER_S));
                let status = *chance.pick(&[429, 503]);
                (Reply::Status { status, retry_after_s }, quick)
            }
        }
    }

    pub const fn id(&self) -> EndpointId {
        self.endpoint.id
    }
}

pub async fn apps(store: &Store, chance: &Chance) -> Vec<(AppId, Vec<Receiver>)> {
    let mut apps = Vec::new();
    for _ in 0..APPS {
        let id = AppId::new(START, store.entropy());
        let app = App {
            id,
            uid: None,
            name: "Open House".to_owned(),
            throttle_rate: None,
            metadata: Default::default(),
            created_at: START,
            updated_at: START,
        };
        assert!(store.insert_app(&app, &by()).await.unwrap());
        let mut receivers = Vec::new();
        for _ in 0..chance.between(1, MAX_ENDPOINTS) {
            receivers.push(receiver(store, chance, id).await);
        }
        apps.push((id, receivers));
    }
    apps
}

async fn receiver(store: &Store, chance: &Chance, app: AppId) -> Receiver {
    let endpoint = Endpoint {
        id: EndpointId::new(START, store.entropy()),
        app_id: app,
        uid: None,
        url: "https://receiver.example/hooks".to_owned(),
        description: String::new(),
        filter: Default::default(),
        throttle_rate: chance.percent(15).then(|| u32::try_from(chance.between(1, 20)).unwrap()),
        max_in_flight: None,
        metadata: Default::default(),
        headers: Default::default(),
        disabled: None,
        paused_at: None,
        retry_schedule: None,
        body_signature: None,
        created_at: START,
        updated_at: START,
    };
    let secret = Secret::generate_hmac(store.entropy());
    assert!(store.insert_endpoint(&endpoint, &secret, &by()).await.unwrap());
    let mut moods = Vec::new();
    let mut since = START;
    while since < START.plus_ms(DAY_MS) {
        let mood = *chance.pick(&[
            Mood::Well,
            Mood::Well,
            Mood::Flaky,
            Mood::Dead,
            Mood::Broken,
            Mood::Busy,
        ]);
        moods.push((since, mood));
        since = since.plus_ms(chance.between(HOUR_MS / 4, 8 * HOUR_MS));
    }
    moods.push((START.plus_ms(DAY_MS), Mood::Well));
    Receiver { endpoint, moods }
}
