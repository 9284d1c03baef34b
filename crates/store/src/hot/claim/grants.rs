//! What the due lanes get in one claim: the gate, the cap and the rate of each, and an even share of
//! the slots. And how long a lane waits for what it got.

use std::collections::HashMap;
use std::sync::Arc;

use model::lanes::Admission;
use model::{AppId, EndpointId, Timestamp};

use super::DueLane;
use crate::routes::AppRoutes;
use crate::{Gate, LEASE_MS, Route, Store};

/// Deliveries taken in one claim.
const MAX_CLAIM: u32 = 512;
/// A throttled endpoint gets what its rate allows for this long, then waits as long.
const THROTTLE_STEP_MS: u64 = 200;
/// A lane that will have to be drained.
const HELD: i64 = 1;
/// A lane whose probes are all out is looked at again after so long.
const PROBES_OUT_MS: u64 = 1_000;

/// What becomes of a lane that was looked at.
pub(crate) struct LaneMove {
    pub endpoint_id: EndpointId,
    pub hold_until: Timestamp,
    pub drains: i64,
}

/// What one endpoint may get in this claim.
pub(super) struct Quota {
    pub route: Arc<Route>,
    pub app: Arc<AppRoutes>,
    /// What it was granted: as many deliveries as entries.
    pub granted: Vec<Admission>,
    pub taken: usize,
    /// They go out to see whether the endpoint works again.
    pub probe: bool,
    /// Since when the lane is being drained of what piled up during a hold; 0: it is not.
    pub drains: i64,
    /// Deliveries per second at the most.
    pub rate: Option<u32>,
}

/// What the due lanes get.
#[derive(Default)]
pub(super) struct Grants {
    pub quotas: HashMap<EndpointId, Quota>,
    /// Lanes that get nothing now.
    pub held: Vec<LaneMove>,
    pub changed: Vec<AppId>,
}

impl Store {
    /// Takes slots for each due endpoint whose gate lets it: an even share, inside its cap and its
    /// rate.
    pub(super) fn grant(
        &self,
        due: &[DueLane],
        apps: &HashMap<AppId, Arc<AppRoutes>>,
        now: Timestamp,
    ) -> Grants {
        let share = (MAX_CLAIM / u32::try_from(due.len()).unwrap_or(MAX_CLAIM).max(1)).max(1);
        let mut by_app: HashMap<AppId, u32> = HashMap::new();
        let mut grants = Grants::default();
        let slots = &self.0.slots;
        let mut lanes = slots.lock();
        for lane in due {
            let ids = (lane.app_id.parse::<AppId>(), lane.endpoint_id.parse::<EndpointId>());
            let (Ok(app_id), Ok(endpoint_id)) = ids else { continue };
            let Some(app) = apps.get(&app_id) else { continue };
            let Some(route) = app.route(&endpoint_id) else { continue };
            if (lane.drains > 0) != route.drains {
                grants.changed.push(app_id);
            }
            let gate = route.gate(now);
            let drains =
                if lane.drains == HELD && gate == Gate::Open { now.0 } else { lane.drains };
            let allowed = match gate {
                Gate::Open => u32::MAX,
                Gate::Probe => {
                    route.thresholds.probes.saturating_sub(lanes.in_flight_of(&endpoint_id))
                }
                Gate::Held { .. } => 0,
            };
            if allowed == 0 {
                grants.hold(endpoint_id, app_id, gate, drains, now);
                continue;
            }
            lanes.release_older(&endpoint_id, now);
            let cap = slots.cap(route);
            let mut limit = share.min(allowed);
            let rate = rate_of(route, drains > 0);
            if let Some(rate) = rate.into_iter().chain(route.throttle_rate).min() {
                limit = limit.min(per_step(rate));
            }
            if let Some(rate) = app.throttle_rate {
                let left = by_app.entry(app_id).or_insert_with(|| per_step(rate));
                limit = limit.min(*left);
            }
            let mut granted = Vec::new();
            for _ in 0..limit {
                match lanes.admit(&endpoint_id, cap, 0, now) {
                    Admission::Full => break,
                    admission => granted.push(admission),
                }
            }
            if let Some(left) = by_app.get_mut(&app_id) {
                *left -= u32::try_from(granted.len()).unwrap_or(*left);
            }
            if !granted.is_empty() {
                let quota = Quota {
                    route: route.clone(),
                    app: app.clone(),
                    granted,
                    taken: 0,
                    probe: gate == Gate::Probe,
                    drains,
                    rate,
                };
                grants.quotas.insert(endpoint_id, quota);
            }
        }
        grants
    }

    /// Gives back what was granted and not used.
    pub(super) fn give_back(&self, quotas: &HashMap<EndpointId, Quota>) {
        let mut lanes = self.0.slots.lock();
        for (endpoint, quota) in quotas {
            for admission in quota.granted.iter().skip(quota.taken) {
                lanes.withdraw(endpoint, *admission, 0);
            }
        }
    }
}

impl Quota {
    pub fn limit(&self) -> u32 {
        u32::try_from(self.granted.len()).unwrap_or(u32::MAX)
    }

    /// A lane with a rate waits as long as what it got takes at that rate. A probed one waits for
    /// what its probes come to, on every node; their outcome frees it.
    pub fn hold_until(&self, now: Timestamp) -> Timestamp {
        if self.probe && self.taken > 0 {
            return now.plus_ms(LEASE_MS);
        }
        match self.rate {
            Some(rate) if self.taken > 0 => now.plus_ms(ms_at_rate(self.taken, rate)),
            _ => Timestamp::ZERO,
        }
    }
}

impl Grants {
    /// A lane that is due and gets nothing: held by its gate, or with all its probes out.
    fn hold(
        &mut self,
        endpoint_id: EndpointId,
        app_id: AppId,
        gate: Gate,
        drains: i64,
        now: Timestamp,
    ) {
        let Gate::Held { until, .. } = gate else {
            let hold_until = now.plus_ms(PROBES_OUT_MS);
            self.held.push(LaneMove { endpoint_id, hold_until, drains });
            return;
        };
        if drains == 0 {
            self.changed.push(app_id);
        }
        self.held.push(LaneMove { endpoint_id, hold_until: until, drains: HELD });
    }
}

/// The rate of the endpoint itself: its own, and that of a drain if it is drained.
fn rate_of(route: &Route, drains: bool) -> Option<u32> {
    let drain = drains.then_some(route.thresholds.drain_rate);
    route.endpoint.throttle_rate.into_iter().chain(drain).min()
}

/// As [`Quota::hold_until`], for apps with a rate: all their lanes wait.
pub(super) fn app_holds(
    quotas: &HashMap<EndpointId, Quota>,
    now: Timestamp,
) -> Vec<(AppId, Timestamp)> {
    let mut taken: HashMap<AppId, (usize, u32)> = HashMap::new();
    for quota in quotas.values() {
        if let Some(rate) = quota.app.throttle_rate {
            taken.entry(quota.app.app_id).or_insert((0, rate)).0 += quota.taken;
        }
    }
    let used = taken.into_iter().filter(|(_, (taken, _))| *taken > 0);
    used.map(|(app, (taken, rate))| (app, now.plus_ms(ms_at_rate(taken, rate)))).collect()
}

fn per_step(rate: u32) -> u32 {
    let steps_per_s = u32::try_from(1_000 / THROTTLE_STEP_MS).unwrap_or(1);
    (rate / steps_per_s).max(1)
}

/// How long so many take at a rate, in whole steps, as claims grant them.
pub(crate) fn stepped_ms_at_rate(deliveries: u32, rate: u32) -> u64 {
    let deliveries = usize::try_from(deliveries).unwrap_or(usize::MAX);
    ms_at_rate(deliveries, rate).next_multiple_of(THROTTLE_STEP_MS)
}

fn ms_at_rate(deliveries: usize, rate: u32) -> u64 {
    let deliveries = u64::try_from(deliveries).unwrap_or(u64::MAX);
    deliveries.saturating_mul(1_000).div_ceil(u64::from(rate.max(1)))
}
