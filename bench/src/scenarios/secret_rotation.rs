//! Three rotations of a signing secret under load, with a receiver that stays with the old secret
//! and one that changes at once. Both verify in the sink; neither may refuse anything until the
//! grace is over, and after it the old secret must be good for nothing.

use std::time::Duration;

use model::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::Bench;
use crate::Outcome;
use crate::driver::closed_loop;
use crate::job::Job;
use crate::measure::unix_nanos;
use crate::report::Figures;
use crate::rig::{ARRIVAL_DEADLINE, Rig};
use crate::sink::{Told, Verified};

const LANE: &str = "rotated";
const ROTATIONS: u64 = 3;
const CONNECTIONS: usize = 64;
/// Load before each rotation.
const BEFORE: Duration = Duration::from_secs(1);
/// Published once each grace is over.
const AFTERWARDS: u64 = 1_000;
const GRACE_S: u64 = 60;
/// A signature tells its second only.
const SURE: Duration = Duration::from_millis(2_100);
const RETRY_SCHEDULE: &str = "0s,1s,5s";

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = Rig::start(bench.options, bench.database, RETRY_SCHEDULE).await?;
    let result = measure(&mut rig, bench.options.sends).await;
    rig.finish(result.is_ok()).await?;
    bench.note("secret-rotation", CONNECTIONS, result?);
    Ok(())
}

async fn measure(rig: &mut Rig, sends: u64) -> Outcome<Figures> {
    let app = rig.api.create_app(LANE).await?;
    let url = rig.sink.hook_url(LANE, 0);
    let endpoint = rig.api.create_endpoint(&app, &url).await?;
    let path = format!("/api/v1/app/{app}/endpoint/{endpoint}/secret");
    let job = rig.publish(&app)?;
    let (mut sent, mut lost) = (0, 0);
    for _ in 0..ROTATIONS {
        let (arrived, missing) = turn(rig, &job, &path, sends.div_ceil(ROTATIONS)).await?;
        sent += arrived;
        lost += missing;
    }
    let verified = rig.sink.verified().await?;
    Ok(figures(sent, lost, &verified))
}

/// How many messages were sent, and how many of them never arrived.
async fn turn(rig: &mut Rig, job: &Job, path: &str, sends: u64) -> Outcome<(u64, usize)> {
    let (api, sink) = (&mut rig.api, &mut rig.sink);
    let rotated = async {
        sleep(BEFORE).await;
        let old = api.get::<Key>(path).await?.key;
        let wish = json!({ "gracePeriodSeconds": GRACE_S });
        let new = api.post::<Key>(&format!("{path}/rotate"), wish).await?.key;
        let told_ns = unix_nanos();
        let history: History = api.get(&format!("{path}/history")).await?;
        let ends_at = history.data.iter().find_map(|secret| secret.ends_at.as_deref());
        let ends_at = ends_at.and_then(Timestamp::parse_rfc3339).ok_or("no end of the grace")?;
        let told = Told { old, new, told_ns, old_ends_at_ms: ends_at.0 };
        sink.tell(LANE, &told).await?;
        Outcome::Ok(ends_at)
    };
    let (published, ends_at) = tokio::join!(closed_loop(job, CONNECTIONS, sends), rotated);
    let (published, ends_at) = (published?.all_accepted()?, ends_at?);
    let mut lost = sink.await_all(LANE, &published.acknowledged, ARRIVAL_DEADLINE).await?.count;

    let now = Timestamp(i64::try_from(unix_nanos() / 1_000_000)?);
    sleep(Duration::from_millis(ends_at.since_ms(now)) + SURE).await;
    let after = closed_loop(job, CONNECTIONS, AFTERWARDS).await?.all_accepted()?;
    lost += sink.await_all(LANE, &after.acknowledged, ARRIVAL_DEADLINE).await?.count;
    sink.forget().await?;
    Ok((sends + AFTERWARDS, lost))
}

fn figures(sent: u64, lost: usize, verified: &Verified) -> Figures {
    Figures::default()
        .with("sends", sent as f64)
        .with("rotations", ROTATIONS as f64)
        .with("lost", lost as f64)
        .with("verified_by_old", verified.by_old as f64)
        .with("old_refused_in_grace", verified.old_refused_in_grace as f64)
        .with("verified_by_new", verified.by_new as f64)
        .with("new_refused", verified.new_refused as f64)
        .with("sent_after_grace", verified.after_grace as f64)
        .with("old_good_after_grace", verified.old_good_after_grace as f64)
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct History {
    data: Vec<InHistory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InHistory {
    ends_at: Option<String>,
}
