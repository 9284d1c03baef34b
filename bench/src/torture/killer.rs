//! The killer: waits for a number of acknowledgements, kills, restarts, and times the first
//! delivery of the new server.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::measure::unix_nanos;
use crate::options::TortureOptions;
use crate::rig::Rig;

/// How long the load may take from one kill point to the next.
const POINT_DEADLINE: Duration = Duration::from_secs(300);
const FIRST_DELIVERY_DEADLINE: Duration = Duration::from_secs(30);
/// Deliveries answered this shortly before a kill were hardly settled yet: the observed part of
/// what was in flight.
pub const JUST_BEFORE: Duration = Duration::from_millis(50);
const LONGEST_HESITATION_US: u64 = 20_000;
/// Kills fall into this middle part of the load, in percent.
const FIRST_KILL_PERCENT: u64 = 2;
const LAST_KILL_PERCENT: u64 = 95;

pub struct KillPoint {
    acknowledged: u64,
    /// So that kills do not only fall right behind an acknowledgement
    hesitation: Duration,
}

pub struct Kill {
    pub just_answered: u64,
    /// From the start of the new process to its first delivery
    pub first_delivery: Option<Duration>,
}

pub fn kill_points(torture: &TortureOptions) -> Vec<KillPoint> {
    let mut random = SplitMix(torture.seed);
    let first = torture.messages * FIRST_KILL_PERCENT / 100;
    let span = (torture.messages * LAST_KILL_PERCENT / 100).saturating_sub(first).max(1);
    let mut points: Vec<KillPoint> = (0..torture.kills)
        .map(|_| KillPoint {
            acknowledged: first + random.next() % span,
            hesitation: Duration::from_micros(random.next() % LONGEST_HESITATION_US),
        })
        .collect();
    points.sort_by_key(|point| point.acknowledged);
    points
}

pub async fn kill_at(
    points: &[KillPoint],
    rig: &mut Rig,
    mut acknowledged: watch::Receiver<u64>,
) -> Outcome<Vec<Kill>> {
    let mut kills = Vec::with_capacity(points.len());
    for point in points {
        timeout(POINT_DEADLINE, acknowledged.wait_for(|count| *count >= point.acknowledged))
            .await
            .map_err(|_| "publishing stands still")??;
        sleep(point.hesitation).await;
        let kill = kill_and_restart(rig).await?;
        eprintln!(
            "kill {} at {} acknowledged: healthy after {:.2} s, first delivery {}",
            kills.len() + 1,
            point.acknowledged,
            rig.server.healthy_after.as_secs_f64(),
            kill.first_delivery
                .map_or("never".to_owned(), |took| format!("after {:.2} s", took.as_secs_f64())),
        );
        kills.push(kill);
    }
    Ok(kills)
}

async fn kill_and_restart(rig: &mut Rig) -> Outcome<Kill> {
    let just_answered = rig.sink.answered_within(JUST_BEFORE).await?;
    rig.server.kill_9().await?;
    // Requests of the dead server may still lie in the sink's sockets; connections accepted from
    // now on are the new one's.
    rig.sink.next_generation().await?;
    let started_ns = unix_nanos();
    rig.server = rig.settings.start().await?;
    let first_ns = rig.sink.first_of_generation_ns(FIRST_DELIVERY_DEADLINE).await?;
    Ok(Kill {
        just_answered,
        first_delivery: first_ns
            .map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(started_ns))),
    })
}

/// A small generator: the kill points are repeatable, and need to be nothing more.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(seed: u64) -> Vec<u64> {
        let torture = TortureOptions {
            messages: 10_000,
            kills: 20,
            publishers: 1,
            seed,
            in_flight_cap: 1,
            deadline_s: 1,
        };
        kill_points(&torture).iter().map(|point| point.acknowledged).collect()
    }

    #[test]
    fn a_seed_repeats_its_points_and_another_has_others() {
        assert_eq!(points(1), points(1));
        assert_ne!(points(1), points(2));
    }

    #[test]
    fn points_are_in_order_and_in_the_middle_of_the_load() {
        let points = points(7);
        assert!(points.is_sorted());
        assert!(points.iter().all(|point| (200..9_500).contains(point)));
    }
}
