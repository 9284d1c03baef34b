//! The outages: under load the database is stopped and started, its connections are cut, Redis is
//! killed and emptied. Nothing of the server itself is touched.
//!
//! It fails when an acknowledged message never arrives, when any route answers with anything but
//! success or 503 with `Retry-After` (429 with it, where too much waits), when the server calls
//! itself ready without its database, or when the rate is not back soon after the fault is.

mod cluster;
mod load;
mod redis;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use self::cluster::Cluster;
use self::load::{Load, Tally};
use self::redis::Redis;
use crate::Outcome;
use crate::client::{Api, Connection, Peer};
use crate::measure::median;
use crate::options::{Database, Options, OutageOptions};
use crate::rig::Rig;

const RETRY_SCHEDULE: &str = "0s,1s,1s,2s,5s";
const LANE: &str = "outages";
const FAIL_PERCENT: u32 = 5;
const WARM_UP: Duration = Duration::from_secs(3);
const STEADY_SECONDS: usize = 5;
const WINDOW: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);
/// Of the rate before the fault.
const BACK_AT: f64 = 0.9;
/// Of the rate before the first fault, at the end of all: coarse, for the machine has neighbours,
/// but no fault may leave something behind.
const LEFT_AT_LEAST: f64 = 0.5;
const BACK_WITHIN: Duration = Duration::from_secs(10);
const DOWN_MS: [u64; 3] = [1_000, 3_000, 6_500];
const FINISHED_PERIOD: Duration = Duration::from_millis(250);
const NOT_READY_DEADLINE: Duration = Duration::from_secs(8);

pub async fn run(mut options: Options, outages: &OutageOptions) -> Outcome<bool> {
    let mut passed = true;
    for database in options.database.clone() {
        let cluster = match database {
            Database::Postgres => Some(Cluster::start().await?),
            Database::Sqlite => None,
        };
        if let Some(cluster) = &cluster {
            options.postgres_url = Some(cluster.url());
        }
        let mut scene = Scene::set(&options, database, cluster, outages).await?;
        let result = scene.play(outages).await;
        let passed_here = result.as_ref().is_ok_and(|report| report.judge(database, outages));
        scene.rig.finish(passed_here).await?;
        result?;
        passed &= passed_here;
    }
    Ok(passed)
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Stop { how: &'static str, down: Duration },
    Cut,
    KillRedis { down: Duration },
    EmptyRedis,
}

impl Fault {
    fn name(self) -> String {
        match self {
            Self::Stop { how, down } => {
                format!("database down for {} ms ({how})", down.as_millis())
            }
            Self::Cut => "all connections cut".to_owned(),
            Self::KillRedis { down } => format!("Redis dead for {} ms", down.as_millis()),
            Self::EmptyRedis => "Redis emptied".to_owned(),
        }
    }
}

fn faults(database: Database, outages: &OutageOptions) -> Vec<Fault> {
    let down = |turn: u32| Duration::from_millis(DOWN_MS[turn as usize % DOWN_MS.len()]);
    let how = |turn: u32| if turn.is_multiple_of(2) { "immediate" } else { "fast" };
    let mut faults = Vec::new();
    if database == Database::Postgres {
        faults.extend((0..outages.stops).map(|n| Fault::Stop { how: how(n), down: down(n) }));
        faults.extend((0..outages.cuts).map(|_| Fault::Cut));
    }
    for turn in 0..outages.redis {
        faults.extend([Fault::KillRedis { down: down(turn) }, Fault::EmptyRedis]);
    }
    faults
}

/// A server with all that can be taken away from it. The database goes after the server.
struct Scene {
    rig: Rig,
    app: String,
    endpoint: String,
    load: Load,
    redis: Redis,
    cluster: Option<Cluster>,
    faults: Vec<Fault>,
}

/// What followed a fault.
struct Recovery {
    fault: Fault,
    /// Messages per second before it.
    rate: f64,
    /// From the moment that it was over; none: not in time.
    back_after: Option<Duration>,
    was_not_ready: bool,
}

struct Report {
    first_rate: f64,
    last_rate: f64,
    recoveries: Vec<Recovery>,
    acknowledged: usize,
    lost: usize,
    unfinished: u64,
    duplicates: u64,
    tally: Tally,
}

impl Scene {
    async fn set(
        options: &Options,
        database: Database,
        cluster: Option<Cluster>,
        outages: &OutageOptions,
    ) -> Outcome<Self> {
        let redis = Redis::start().await?;
        let environment = vec![
            ("DOORBELL_REDIS_URL", redis.url()),
            ("DOORBELL_ENDPOINT_MAX_IN_FLIGHT", "256".to_owned()),
        ];
        let mut rig = Rig::start_with(options, database, RETRY_SCHEDULE, environment).await?;
        let app = rig.api.create_app(LANE).await?;
        let url = rig.sink.hook_url(LANE, FAIL_PERCENT);
        let endpoint = rig.api.create_endpoint(&app, &url).await?;
        let load = Load::start(&mut rig, &app, &endpoint, outages).await?;
        Ok(Self { rig, app, endpoint, load, redis, cluster, faults: faults(database, outages) })
    }

    async fn play(&mut self, outages: &OutageOptions) -> Outcome<Report> {
        sleep(WARM_UP).await;
        let first_rate = self.rate().await?;
        let mut last_rate = first_rate;
        let mut recoveries = Vec::with_capacity(self.faults.len());
        for fault in self.faults.clone() {
            let recovery = self.suffer(fault, last_rate).await?;
            eprintln!("{}: {}", fault.name(), recovery.told());
            recoveries.push(recovery);
            last_rate = self.rate().await?;
        }
        let (acknowledged, tally) = self.load.finish().await?;
        let deadline = Duration::from_secs(outages.deadline_s);
        let missing = self.rig.sink.await_all(LANE, &acknowledged, deadline).await?;
        let unfinished = self.until_finished(deadline).await?;
        Ok(Report {
            first_rate,
            last_rate,
            recoveries,
            acknowledged: acknowledged.len(),
            lost: missing.count,
            unfinished,
            duplicates: self.rig.sink.report(LANE).await?.duplicates(),
            tally,
        })
    }

    /// Messages per second, in the median second of a few.
    async fn rate(&self) -> Outcome<f64> {
        let mut rates = Vec::with_capacity(STEADY_SECONDS);
        for _ in 0..STEADY_SECONDS {
            let before = self.load.acknowledged();
            sleep(WINDOW).await;
            rates.push((self.load.acknowledged() - before) as f64);
        }
        median(rates).ok_or_else(|| "nothing was measured".into())
    }

    async fn suffer(&mut self, fault: Fault, rate: f64) -> Outcome<Recovery> {
        let mut was_not_ready = true;
        match (fault, &self.cluster) {
            (Fault::Stop { how, down }, Some(cluster)) => {
                cluster.stop(how).await?;
                let since = Instant::now();
                was_not_ready = until_not_ready(&self.rig.peer()?).await;
                sleep(down.saturating_sub(since.elapsed())).await;
                cluster.start_again().await?;
            }
            (Fault::Cut, Some(cluster)) => cluster.cut_connections().await?,
            (Fault::KillRedis { down }, _) => {
                self.redis.kill().await?;
                sleep(down).await;
                self.redis.restart().await?;
            }
            (Fault::EmptyRedis, _) => self.redis.empty().await?,
            (_, None) => return Err("there is no database to take away".into()),
        }
        let back_after = self.until_back(rate).await;
        Ok(Recovery { fault, rate, back_after, was_not_ready })
    }

    /// From now to the end of the first second that is nearly as good as those before.
    async fn until_back(&self, rate: f64) -> Option<Duration> {
        let over = Instant::now();
        let mut counts = VecDeque::from([self.load.acknowledged()]);
        let steps = WINDOW.as_millis() / STEP.as_millis();
        let wanted = (BACK_AT * rate) as u64;
        while over.elapsed() < BACK_WITHIN {
            sleep(STEP).await;
            counts.push_back(self.load.acknowledged());
            if counts.len() as u128 > steps + 1 {
                counts.pop_front();
            }
            let (first, last) = (*counts.front()?, *counts.back()?);
            if counts.len() as u128 > steps && last - first >= wanted {
                return Some(over.elapsed());
            }
        }
        None
    }

    async fn until_finished(&mut self, deadline: Duration) -> Outcome<u64> {
        let mut api = Api::open(&self.rig.peer()?).await?;
        let mut unfinished = 0;
        let watch = async {
            loop {
                unfinished = api.unfinished(&self.app, &self.endpoint).await?;
                if unfinished == 0 {
                    return Outcome::Ok(());
                }
                sleep(FINISHED_PERIOD).await;
            }
        };
        match timeout(deadline, watch).await {
            Ok(watched) => watched.map(|()| 0),
            Err(_) => Ok(unfinished),
        }
    }
}

/// Whether the server says, while its database is away, that it is not ready.
async fn until_not_ready(peer: &Peer) -> bool {
    let asked = async {
        loop {
            let Ok(path) = "/health/ready".parse() else { return };
            if let Ok(mut connection) = Connection::open(peer).await
                && let Ok(answer) = connection.get(&path).await
                && answer.status == 503
            {
                return;
            }
            sleep(STEP).await;
        }
    };
    timeout(NOT_READY_DEADLINE, asked).await.is_ok()
}

impl Recovery {
    fn told(&self) -> String {
        let back = match self.back_after {
            Some(after) => format!("after {:.1} s", after.as_secs_f64()),
            None => format!("not within {} s", BACK_WITHIN.as_secs()),
        };
        format!("{:.0}/s, back {back}", self.rate)
    }
}

impl Report {
    fn judge(&self, database: Database, outages: &OutageOptions) -> bool {
        let back = self.recoveries.iter().all(|recovery| recovery.back_after.is_some());
        let not_ready = self.recoveries.iter().all(|recovery| recovery.was_not_ready);
        let is_whole = self.last_rate >= LEFT_AT_LEAST * self.first_rate;
        let passed = self.lost == 0
            && is_whole
            && self.unfinished == 0
            && self.acknowledged > 0
            && self.tally.wrong == 0
            && back
            && not_ready
            && self.recoveries.len() == faults(database, outages).len();
        println!("\noutages on {database}: {}", if passed { "passed" } else { "FAILED" });
        let line = |name: &str, value: String| println!("  {name:<42}{value}");
        let (first, last) = (self.first_rate, self.last_rate);
        line("messages/s before and after all", format!("{first:.0}, {last:.0}  (half at least)"));
        line("acknowledged", self.acknowledged.to_string());
        line("lost", format!("{}  (must be 0)", self.lost));
        line("unfinished", format!("{}  (must be 0)", self.unfinished));
        line("duplicates", self.duplicates.to_string());
        line("wrong answers", format!("{}  (must be 0)", self.tally.wrong));
        line("not ready while away", format!("{not_ready}  (must be true)"));
        for recovery in &self.recoveries {
            line(&recovery.fault.name(), format!("{}  (at most 10 s)", recovery.told()));
        }
        self.tally.print();
        passed
    }
}
