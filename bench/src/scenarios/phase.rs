//! A healthy endpoint at a fixed rate: what several scenarios look at while something else goes on.

use crate::Outcome;
use crate::driver::{Pace, Published, open_loop};
use crate::job::Job;
use crate::rig::{ARRIVAL_DEADLINE, Rig};
use crate::sink::LaneReport;

pub const PER_SECOND: u32 = 100;
const LANE: &str = "healthy";
const WARM_UP_SECONDS: u64 = 2;

pub struct Healthy {
    job: Job,
}

/// One phase, once everything published in it has arrived or was given up.
pub struct Phase {
    pub published: Published,
    pub arrived: LaneReport,
    pub lost: usize,
}

impl Healthy {
    pub async fn create(rig: &mut Rig) -> Outcome<Self> {
        let app = rig.api.create_app(LANE).await?;
        let url = rig.sink.hook_url(LANE, 0);
        rig.api.create_endpoint(&app, &url).await?;
        let healthy = Self { job: rig.publish(&app)? };
        healthy.phase(rig, WARM_UP_SECONDS).await?;
        Ok(healthy)
    }

    /// Publishes for so long and waits for the arrivals. What the sink knew before is forgotten.
    pub async fn phase(&self, rig: &mut Rig, seconds: u64) -> Outcome<Phase> {
        rig.sink.forget().await?;
        let published = self.publish(seconds).await?;
        self.arrivals(rig, published).await
    }

    pub async fn publish(&self, seconds: u64) -> Outcome<Published> {
        open_loop(&self.job, Pace::lasting(PER_SECOND, seconds)).await?.all_accepted()
    }

    pub async fn arrivals(&self, rig: &mut Rig, published: Published) -> Outcome<Phase> {
        let missing = rig.sink.await_all(LANE, &published.acknowledged, ARRIVAL_DEADLINE).await?;
        Ok(Phase { arrived: rig.sink.report(LANE).await?, lost: missing.count, published })
    }
}
