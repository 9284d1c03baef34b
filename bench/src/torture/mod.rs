//! The torture test: publishers that only stop for an acknowledgement, a killer that sends
//! SIGKILL at random points of the load, and a ledger of what was acknowledged.
//!
//! It fails when an acknowledged message never arrives, when more deliveries were repeated than can
//! have been in flight at the kills, or when a restarted server takes too long to its first
//! delivery. A message that was published again because its acknowledgement was lost in a kill has
//! two ids and is no duplicate.

mod killer;
mod publishers;

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use self::killer::{Kill, kill_points};
use self::publishers::{Ledger, Publishers};
use crate::Outcome;
use crate::options::{Database, Options, TortureOptions};
use crate::rig::Rig;
use crate::sink::LaneReport;

const RETRY_SCHEDULE: &str = "0s,1s,1s,2s,5s";
const LANE: &str = "torture";
const FAIL_PERCENT: u32 = 5;
const FIRST_DELIVERY_BAR: Duration = Duration::from_secs(5);
const FINISHED_PERIOD: Duration = Duration::from_millis(250);

pub async fn run(options: &Options, torture: &TortureOptions) -> Outcome<bool> {
    let mut passed = true;
    for database in &options.database {
        let cap = vec![("DOORBELL_ENDPOINT_MAX_IN_FLIGHT", torture.in_flight_cap.to_string())];
        let mut rig = Rig::start_with(options, *database, RETRY_SCHEDULE, cap).await?;
        let result = torture_one(&mut rig, torture).await;
        let passed_here = result.as_ref().is_ok_and(|tortured| tortured.judge(*database, torture));
        rig.finish(passed_here).await?;
        result?;
        passed &= passed_here;
    }
    Ok(passed)
}

struct Tortured {
    acknowledged: usize,
    posts: u64,
    kills: Vec<Kill>,
    lost: usize,
    lost_sample: Vec<String>,
    /// Pending or sending when the deadline had passed
    unfinished: u64,
    lane: LaneReport,
    took: Duration,
}

async fn torture_one(rig: &mut Rig, torture: &TortureOptions) -> Outcome<Tortured> {
    let started = Instant::now();
    let app = rig.api.create_app(LANE).await?;
    let url = rig.sink.hook_url(LANE, FAIL_PERCENT);
    let endpoint = rig.api.create_endpoint(&app, &url).await?;
    let ledger = Ledger::create(&rig.dir().join("ledger.txt"))?;
    let publishers = Publishers::start(&rig.publish(&app)?, torture, &ledger);
    let points = kill_points(torture);
    let kills = killer::kill_at(&points, rig, publishers.acknowledged()).await?;
    let posts = publishers.finish().await?;

    let acknowledged = ledger.read_back()?;
    let deadline = Duration::from_secs(torture.deadline_s);
    let missing = rig.sink.await_all(LANE, &acknowledged, deadline).await?;
    let unfinished = until_finished(rig, &app, &endpoint, deadline).await?;
    Ok(Tortured {
        acknowledged: acknowledged.len(),
        posts,
        kills,
        lost: missing.count,
        lost_sample: missing.sample,
        unfinished,
        lane: rig.sink.report(LANE).await?,
        took: started.elapsed(),
    })
}

/// Leases that died with a server still have to run out, and what they held may come a second
/// time: duplicates are counted when the server has nothing left to do.
async fn until_finished(
    rig: &mut Rig,
    app: &str,
    endpoint: &str,
    deadline: Duration,
) -> Outcome<u64> {
    rig.api = crate::client::Api::open(&rig.peer()?).await?;
    let mut unfinished = 0;
    let watch = async {
        loop {
            unfinished = rig.api.unfinished(app, endpoint).await?;
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

impl Tortured {
    /// Prints what happened; true when nothing of it is forbidden.
    fn judge(&self, database: Database, torture: &TortureOptions) -> bool {
        let bound = torture.in_flight_cap * self.kills.len() as u64;
        let duplicates = self.lane.duplicates();
        let quick =
            |kill: &Kill| kill.first_delivery.is_some_and(|took| took <= FIRST_DELIVERY_BAR);
        let passed = self.lost == 0
            && self.unfinished == 0
            && self.lane.unreadable == 0
            && self.acknowledged as u64 == torture.messages
            && self.kills.len() == torture.kills as usize
            && duplicates <= bound
            && self.kills.iter().all(quick);
        let verdict = if passed { "passed" } else { "FAILED" };
        println!("\ntorture on {database}, seed {}: {verdict}", torture.seed);
        self.print(&[
            ("acknowledged", format!("{} of {}", self.acknowledged, torture.messages)),
            ("lost", format!("{}  (must be 0) {}", self.lost, self.lost_sample.join(" "))),
            ("unfinished", format!("{}  (must be 0)", self.unfinished)),
            ("altered payloads", format!("{}  (must be 0)", self.lane.unreadable)),
            ("kills", format!("{} of {}", self.kills.len(), torture.kills)),
            (
                "duplicates",
                format!(
                    "{duplicates}  (at most {bound} = {} in flight × kills)",
                    torture.in_flight_cap
                ),
            ),
            ("slowest first delivery", self.slowest_first_delivery()),
        ]);
        passed
    }

    fn print(&self, judged: &[(&str, String)]) {
        let just_before: u64 = self.kills.iter().map(|kill| kill.just_answered).sum();
        let window_ms = killer::JUST_BEFORE.as_millis();
        let told = [
            (
                "answered before kills",
                format!("{just_before}  (within {window_ms} ms of one, summed)"),
            ),
            ("posts in vain", (self.posts - self.acknowledged as u64).to_string()),
            ("arrived, distinct", self.lane.distinct.to_string()),
            ("failed on purpose", self.lane.failed.to_string()),
            ("took", format!("{:.1} s", self.took.as_secs_f64())),
        ];
        for (name, value) in judged.iter().chain(&told) {
            println!("  {name:<24}{value}");
        }
    }

    fn slowest_first_delivery(&self) -> String {
        let bar_s = FIRST_DELIVERY_BAR.as_secs();
        let first_deliveries: Option<Vec<Duration>> =
            self.kills.iter().map(|kill| kill.first_delivery).collect();
        match first_deliveries {
            None => format!("never, after at least one restart  (at most {bar_s} s)"),
            Some(all) => {
                let slowest_s = all.iter().max().map_or(0.0, Duration::as_secs_f64);
                format!("{slowest_s:.2} s after a restart  (at most {bar_s} s)")
            }
        }
    }
}
