//! (h) Deliveries replayed in bulk beside new traffic: the endpoint that they go to gets new
//! messages as well, and so does a neighbour. In the middle the server gets SIGKILL. Afterwards
//! every delivery that was selected has exactly one child in the chain records.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::Bench;
use super::phase::{Healthy, Phase};
use crate::Outcome;
use crate::client::Api;
use crate::driver::{Pace, Published, closed_loop, open_loop};
use crate::job::Job;
use crate::options::Options;
use crate::report::Figures;
use crate::rig::{ARRIVAL_DEADLINE, Rig};
use crate::sink::LaneReport;

const LANE: &str = "replayed";
const BATCH: u64 = 500;
const CONNECTIONS: usize = 4;
/// New messages per second to the endpoint that the replay goes to.
const OWN_PER_SECOND: u32 = 50;
/// The replay may take this long, and in addition a second for so many deliveries.
const REPLAY_DEADLINE: Duration = Duration::from_secs(180);
const SLOWEST_REPLAY_PER_S: u64 = 100;
const LOOK_PERIOD: Duration = Duration::from_millis(250);
const PAGE: u32 = 250;

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = Rig::start(bench.options, bench.database, "0s,1s,5s").await?;
    let result = measure(bench.options, &mut rig).await;
    rig.finish(result.is_ok()).await?;
    bench.note("replay", CONNECTIONS, result?);
    Ok(())
}

/// Both endpoints for a while.
struct Both {
    neighbour: Phase,
    own: LaneReport,
    acknowledged: Vec<String>,
    lost: usize,
}

struct Scene {
    healthy: Healthy,
    app: String,
    own: Job,
}

#[derive(Deserialize)]
struct Replay {
    id: String,
    state: String,
    progress: Progress,
    #[serde(default)]
    outcome: Option<Made>,
}

#[derive(Deserialize)]
struct Progress {
    selected: u64,
    made: u64,
}

#[derive(Deserialize)]
struct Made {
    made: u64,
    pending: u64,
    succeeded: u64,
}

async fn measure(options: &Options, rig: &mut Rig) -> Outcome<Figures> {
    let healthy = Healthy::create(rig).await?;
    let app = rig.api.create_app(LANE).await?;
    let url = rig.sink.hook_url(LANE, 0);
    rig.api.create_endpoint(&app, &url).await?;
    let scene = Scene { healthy, own: rig.publish(&app)?, app };
    let mut selected = backlog(options, rig, &scene.app).await?;
    let before = scene.both(rig, options.seconds).await?;
    selected.extend(before.acknowledged.iter().cloned());

    let replay = scene.start(rig, options).await?;
    let started = Instant::now();
    let during = scene.both(rig, options.seconds).await?;
    let at_kill = scene.look(rig, &replay.id).await?;
    rig.server.kill_9().await?;
    rig.server = rig.settings.start().await?;
    let after_kill = scene.both(rig, options.seconds).await?;
    let at_end_of_load = scene.look(rig, &replay.id).await?;
    let done = scene.finished(rig, &replay.id, selected.len() as u64).await?;
    let took_s = started.elapsed().as_secs_f64();

    let children = scene.children(rig, &replay.id).await?;
    let of = |id: &String| children.get(id).copied().unwrap_or(0);
    let twice = children.values().filter(|count| **count > 1).count();
    let not_replayed = selected.iter().filter(|id| of(id) == 0).count();
    let total: u64 = children.values().sum();
    let made = done.outcome.as_ref().map_or(0, |outcome| outcome.made);
    let off_by = [done.progress.made, made, replay.progress.selected, total]
        .map(|count| count.abs_diff(selected.len() as u64));
    let ratio = |one: f64, two: f64| one.max(two) / before.neighbour.arrived.p99_ms;
    let own_ratio = during.own.p99_ms.max(after_kill.own.p99_ms) / before.own.p99_ms;
    let lost = [&before, &during, &after_kill].iter().map(|both| both.lost).sum::<usize>();
    Ok(Figures::default()
        .with("selected", selected.len() as f64)
        .with("not_replayed", not_replayed as f64)
        .with("replayed_twice", twice as f64)
        .with("progress_off_by", off_by.into_iter().max().unwrap_or(0) as f64)
        .with("made_at_kill", at_kill.progress.made as f64)
        .with("made_at_end_of_load", at_end_of_load.progress.made as f64)
        .with("replayed_per_s", total as f64 / took_s)
        .with("succeeded", done.outcome.map_or(0.0, |outcome| outcome.succeeded as f64))
        .with("before_p99_ms", before.neighbour.arrived.p99_ms)
        .with("during_p99_ms", during.neighbour.arrived.p99_ms)
        .with("after_kill_p99_ms", after_kill.neighbour.arrived.p99_ms)
        .with(
            "p99_ratio",
            ratio(during.neighbour.arrived.p99_ms, after_kill.neighbour.arrived.p99_ms),
        )
        .with("own_before_p99_ms", before.own.p99_ms)
        .with("own_during_p99_ms", during.own.p99_ms)
        .with("own_after_kill_p99_ms", after_kill.own.p99_ms)
        .with("own_p99_ratio", own_ratio)
        .with("lost", lost as f64))
}

/// The server closes what was idle for a whole phase, and a kill closes everything.
async fn reopen(rig: &mut Rig) -> Outcome<()> {
    rig.api = Api::open(&rig.peer()?).await?;
    Ok(())
}

/// What is to be replayed, once it has arrived.
async fn backlog(options: &Options, rig: &mut Rig, app: &str) -> Outcome<Vec<String>> {
    let job = rig.publish_batches(app, BATCH)?;
    let published = closed_loop(&job, CONNECTIONS, options.replays).await?.all_accepted()?;
    let deadline = ARRIVAL_DEADLINE + Duration::from_secs(options.replays / SLOWEST_REPLAY_PER_S);
    let missing = rig.sink.await_all(LANE, &published.acknowledged, deadline).await?;
    if missing.count > 0 {
        return Err(format!("{} of the backlog never arrived", missing.count).into());
    }
    Ok(published.acknowledged)
}

impl Scene {
    async fn both(&self, rig: &mut Rig, seconds: u64) -> Outcome<Both> {
        rig.sink.forget().await?;
        let own = async { self.publish_own(seconds).await };
        let (neighbour, own) = tokio::try_join!(self.healthy.publish(seconds), own)?;
        let missing = rig.sink.await_all(LANE, &own.acknowledged, ARRIVAL_DEADLINE).await?;
        let report = rig.sink.report(LANE).await?;
        let neighbour = self.healthy.arrivals(rig, neighbour).await?;
        Ok(Both {
            own: report,
            lost: missing.count + neighbour.lost,
            acknowledged: own.acknowledged,
            neighbour,
        })
    }

    async fn publish_own(&self, seconds: u64) -> Outcome<Published> {
        open_loop(&self.own, Pace::lasting(OWN_PER_SECOND, seconds)).await?.all_accepted()
    }

    async fn start(&self, rig: &mut Rig, options: &Options) -> Outcome<Replay> {
        let wish = json!({
            "since": "2020-01-01T00:00:00Z",
            "ratePerSecond": options.replay_rate,
            "reason": "the bench",
        });
        reopen(rig).await?;
        rig.api.post(&format!("/api/v1/app/{}/replay", self.app), wish).await
    }

    async fn look(&self, rig: &mut Rig, id: &str) -> Outcome<Replay> {
        reopen(rig).await?;
        rig.api.get(&format!("/api/v1/app/{}/replay/{id}", self.app)).await
    }

    /// Waits until all is made and none of it is under way.
    async fn finished(&self, rig: &mut Rig, id: &str, selected: u64) -> Outcome<Replay> {
        let deadline = REPLAY_DEADLINE + Duration::from_secs(selected / SLOWEST_REPLAY_PER_S);
        let started = Instant::now();
        loop {
            let replay = self.look(rig, id).await?;
            let pending = replay.outcome.as_ref().map_or(0, |outcome| outcome.pending);
            if replay.state == "finished" && pending == 0 {
                return Ok(replay);
            }
            if started.elapsed() > deadline {
                let made = replay.progress.made;
                return Err(format!("{}, {made} made, {pending} pending", replay.state).into());
            }
            sleep(LOOK_PERIOD).await;
        }
    }

    /// How many children of this replay each message has, by all deliveries that there are.
    async fn children(&self, rig: &mut Rig, replay: &str) -> Outcome<HashMap<String, u64>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Delivery {
            msg_id: String,
            parent_id: Option<String>,
            replay_id: Option<String>,
        }
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Delivery>,
            done: bool,
            iterator: Option<String>,
        }
        let mut children: HashMap<String, u64> = HashMap::new();
        let mut iterator = String::new();
        loop {
            let path = format!(
                "/api/v1/app/{}/delivery?order=ascending&limit={PAGE}&iterator={iterator}",
                self.app
            );
            let page: Page = rig.api.get(&path).await?;
            for delivery in page.data {
                if delivery.replay_id.as_deref() == Some(replay) {
                    let _parent = delivery.parent_id.ok_or("a replay without a parent")?;
                    *children.entry(delivery.msg_id).or_default() += 1;
                }
            }
            iterator = page.iterator.unwrap_or_default();
            if page.done {
                return Ok(children);
            }
        }
    }
}
