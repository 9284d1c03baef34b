//! Two nodes on one PostgreSQL: keys are revoked at the one and verified at the other, while
//! half of the notifications are lost.
//!
//! Each of a few workers revokes a key, and from the answer on verifies it at the other node
//! until it is refused. What is recorded is the last moment at which a VALID was heard, since the
//! answer to the revocation. The notifications are lost in the database: a function of the same
//! name stands before PostgreSQL's own and passes on every second call, at random.
//!
//! Among many revocations the notification of the next one makes up for a lost one within
//! milliseconds. So the last of them come one by one, with pauses: there a lost notification is
//! lost, and what remains is the other node's own looking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::local::hand_secrets;
use super::seed::{Minted, Seeded, keys_path, seed, verify_body};
use super::{CONNECTIONS, PROMISED_MS, VERIFY, rig};
use crate::client::{Api, Connection, Peer, expect_success};
use crate::driver::closed_loop;
use crate::job::is_valid;
use crate::measure::Histogram;
use crate::report::Figures;
use crate::rig::Rig;
use crate::scenarios::Bench;
use crate::server::{Server, ServerSettings, free_port};
use crate::{Outcome, postgres};

const WORKERS: usize = 16;
/// Of all revocations one in so many comes alone.
const ALONE_ONE_IN: usize = 100;
const PAUSE: Duration = Duration::from_millis(300);
/// Between two questions about the same key.
const ASK_EVERY: Duration = Duration::from_millis(3);
/// A key that is still good then will not be refused at all.
const GIVEN_UP: Duration = Duration::from_secs(10);

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = rig(bench.options, bench.database).await?;
    let result = measure(&mut rig, bench.options.revocations).await;
    rig.finish(result.is_ok()).await?;
    bench.note("revocation", WORKERS, result?);
    Ok(())
}

async fn measure(rig: &mut Rig, count: usize) -> Outcome<Figures> {
    let seeded = seed(rig, count).await?;
    // Connections that are open already do not see the other function.
    rig.server.stop().await?;
    postgres::drop_notifications(&rig.settings.database_url)?;
    rig.server = rig.settings.start().await?;
    let settings = second_node(&rig.settings)?;
    let mut other = settings.start().await?;
    let result = revoke_all(rig, &settings, &seeded).await;
    stop(&mut other, &settings).await?;
    let told = result?;
    let bells = postgres::notifications(&rig.settings.database_url)?;
    let [p50, p90, p99, max] = told.crowd.last_valid_ms();
    let [alone_p50, alone_p90, alone_p99, alone_max] = told.alone.last_valid_ms();
    Ok(Figures::default()
        .with("revocations", (told.crowd.count + told.alone.count) as f64)
        .with("revocations_per_s", told.crowd.count as f64 / told.crowd_took.as_secs_f64())
        .with("revoke_p50_ms", told.crowd.revoke.quantile_ms(0.5))
        .with("revoke_p99_ms", told.crowd.revoke.quantile_ms(0.99))
        .with("last_valid_p50_ms", p50)
        .with("last_valid_p90_ms", p90)
        .with("last_valid_p99_ms", p99)
        .with("last_valid_max_ms", max)
        .with("alone", told.alone.count as f64)
        .with("alone_last_valid_p50_ms", alone_p50)
        .with("alone_last_valid_p90_ms", alone_p90)
        .with("alone_last_valid_p99_ms", alone_p99)
        .with("alone_last_valid_max_ms", alone_max)
        .with("valid_after_1_s", (told.crowd.late + told.alone.late) as f64)
        .with("notifications_passed", bells.passed as f64)
        .with("notifications_lost", bells.lost as f64))
}

/// The same database and secrets, another folder and port.
fn second_node(first: &ServerSettings) -> Outcome<ServerSettings> {
    let data_dir = first.data_dir.join("second");
    std::fs::create_dir_all(&data_dir)?;
    hand_secrets(&first.data_dir, &data_dir)?;
    Ok(ServerSettings { data_dir, port: free_port()?, ..first.clone() })
}

async fn stop(server: &mut Server, settings: &ServerSettings) -> Outcome<()> {
    server.stop().await.map_err(|error| {
        format!("the node in {} does not stop: {error}", settings.data_dir.display()).into()
    })
}

struct Told {
    crowd: Part,
    crowd_took: Duration,
    alone: Part,
}

struct Part {
    /// From the answer to the revocation to the last VALID heard; 0 when there was none
    last_valid: Histogram,
    revoke: Histogram,
    count: u64,
    late: u64,
}

impl Part {
    fn new() -> Self {
        let [last_valid, revoke] = [(); 2].map(|()| Histogram::new());
        Self { last_valid, revoke, count: 0, late: 0 }
    }

    fn absorb(&mut self, other: &Part) {
        self.last_valid.merge(&other.last_valid);
        self.revoke.merge(&other.revoke);
        self.count += other.count;
        self.late += other.late;
    }

    fn last_valid_ms(&self) -> [f64; 4] {
        [0.5, 0.9, 0.99, 1.0].map(|quantile| self.last_valid.quantile_ms(quantile))
    }
}

async fn revoke_all(rig: &Rig, other: &ServerSettings, seeded: &Seeded) -> Outcome<Told> {
    // Every key is in the other node's memory, and good there.
    let all = seeded.keys.len() as u64;
    closed_loop(&seeded.verify(other.peer()?)?, CONNECTIONS, all).await?.all_accepted()?;
    let worker = Worker {
        revoking: rig.peer()?,
        verifying: other.peer()?,
        path: keys_path(&seeded.app).into(),
        pause: Duration::ZERO,
    };
    let (alone, crowd) = seeded.keys.split_at((seeded.keys.len() / ALONE_ONE_IN).max(1));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for n in 0..WORKERS {
        let share = crowd.iter().skip(n).step_by(WORKERS).cloned().collect();
        workers.spawn(worker.clone().revoke(share));
    }
    let mut told = Part::new();
    while let Some(part) = workers.join_next().await {
        told.absorb(&part??);
    }
    let crowd_took = began.elapsed();
    let alone = Worker { pause: PAUSE, ..worker }.revoke(alone.to_vec()).await?;
    Ok(Told { crowd: told, crowd_took, alone })
}

#[derive(Clone)]
struct Worker {
    revoking: Peer,
    verifying: Peer,
    path: Arc<str>,
    pause: Duration,
}

impl Worker {
    async fn revoke(self, keys: Vec<Minted>) -> Outcome<Part> {
        let mut api = Api::open(&self.revoking).await?;
        let mut connection = Connection::open(&self.verifying).await?;
        let mut part = Part::new();
        for key in keys {
            // Never in step with the other node's looking.
            sleep(self.pause + self.pause * u32::try_from(part.count % 11)? / 11).await;
            let asked = Instant::now();
            let wish = json!({ "reason": "key_compromise" });
            api.post::<Value>(&format!("{}/{}/revoke", self.path, key.id), wish).await?;
            part.revoke.record(u64::try_from(asked.elapsed().as_nanos())?);
            let last = until_refused(&mut connection, &key).await?;
            part.last_valid.record(u64::try_from(last.as_nanos())?);
            part.late += u64::from(last > Duration::from_millis(PROMISED_MS.unsigned_abs()));
            part.count += 1;
        }
        Ok(part)
    }
}

/// The last moment since now at which the key was good.
async fn until_refused(connection: &mut Connection, key: &Minted) -> Outcome<Duration> {
    let revoked = Instant::now();
    let (path, body) = (VERIFY.parse()?, verify_body(&key.token));
    let mut last = Duration::ZERO;
    loop {
        let verdict = connection.post(&path, body.clone()).await?;
        if !is_valid(&expect_success(VERIFY, verdict)?) {
            return Ok(last);
        }
        last = revoked.elapsed();
        if last > GIVEN_UP {
            return Err(format!("{} is good {last:?} after its revocation", key.id).into());
        }
        sleep(ASK_EVERY).await;
    }
}
