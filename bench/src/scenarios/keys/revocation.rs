//! Two nodes on one PostgreSQL: keys are revoked at the one and verified at the other, while
//! half of the notifications are lost.
//!
//! Each of a few workers revokes a key, and from the answer on verifies it at the other node
//! until it is refused. What is recorded is the last moment at which a VALID was heard, since the
//! answer to the revocation. The notifications are lost in the database: a function of the same
//! name stands before PostgreSQL's own and passes on every second call, at random.

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
    let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|of| told.last_valid.quantile_ms(of));
    Ok(Figures::default()
        .with("revocations", count as f64)
        .with("revocations_per_s", count as f64 / told.took.as_secs_f64())
        .with("revoke_p50_ms", told.revoke.quantile_ms(0.5))
        .with("revoke_p99_ms", told.revoke.quantile_ms(0.99))
        .with("last_valid_p50_ms", p50)
        .with("last_valid_p90_ms", p90)
        .with("last_valid_p99_ms", p99)
        .with("last_valid_max_ms", max)
        .with("valid_after_1_s", told.late as f64)
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
    /// From the answer to the revocation to the last VALID heard; 0 when there was none
    last_valid: Histogram,
    revoke: Histogram,
    late: u64,
    took: Duration,
}

async fn revoke_all(rig: &Rig, other: &ServerSettings, seeded: &Seeded) -> Outcome<Told> {
    // Every key is in the other node's memory, and good there.
    let all = seeded.keys.len() as u64;
    closed_loop(&seeded.verify(other.peer()?)?, CONNECTIONS, all).await?.all_accepted()?;
    let path: Arc<str> = keys_path(&seeded.app).into();
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let share: Vec<Minted> =
            seeded.keys.iter().skip(worker).step_by(WORKERS).cloned().collect();
        workers.spawn(revoke_share(rig.peer()?, other.peer()?, path.clone(), share));
    }
    let [mut last_valid, mut revoke] = [(); 2].map(|()| Histogram::new());
    let mut late = 0;
    while let Some(told) = workers.join_next().await {
        let told = told??;
        last_valid.merge(&told.last_valid);
        revoke.merge(&told.revoke);
        late += told.late;
    }
    Ok(Told { last_valid, revoke, late, took: began.elapsed() })
}

async fn revoke_share(
    revoking: Peer,
    verifying: Peer,
    path: Arc<str>,
    keys: Vec<Minted>,
) -> Outcome<Told> {
    let mut api = Api::open(&revoking).await?;
    let mut connection = Connection::open(&verifying).await?;
    let [mut last_valid, mut revoke] = [(); 2].map(|()| Histogram::new());
    let (mut late, began) = (0, Instant::now());
    for key in keys {
        let asked = Instant::now();
        let wish = json!({ "reason": "key_compromise" });
        api.post::<Value>(&format!("{path}/{}/revoke", key.id), wish).await?;
        revoke.record(u64::try_from(asked.elapsed().as_nanos())?);
        let last = until_refused(&mut connection, &key).await?;
        last_valid.record(u64::try_from(last.as_nanos())?);
        late += u64::from(last > Duration::from_millis(PROMISED_MS.unsigned_abs()));
    }
    Ok(Told { last_valid, revoke, late, took: began.elapsed() })
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
