//! Start and rest: time to the first healthy answer, on a fresh database and on one that exists,
//! and the memory of a server that does nothing.

use std::time::Duration;

use tokio::time::sleep;

use super::Bench;
use crate::measure::median;
use crate::report::Figures;
use crate::rig::Rig;
use crate::{Outcome, process};

const RESTARTS: usize = 5;
/// Start-up is over by then, and what it needed only once is given back.
const REST: Duration = Duration::from_secs(3);

pub async fn run(bench: &mut Bench<'_>) -> Outcome<()> {
    let mut rig = Rig::start(bench.options, bench.database, "0s,1s").await?;
    let result = measure(&mut rig).await;
    rig.finish(result.is_ok()).await?;
    bench.note("start", 0, result?);
    Ok(())
}

async fn measure(rig: &mut Rig) -> Outcome<Figures> {
    let fresh_ms = rig.server.healthy_after.as_secs_f64() * 1e3;
    sleep(REST).await;
    let idle_mib = process::resident_mib(rig.server.pid)?;
    let mut starts_ms = Vec::with_capacity(RESTARTS);
    for _ in 0..RESTARTS {
        rig.server.stop().await?;
        rig.server = rig.settings.start().await?;
        starts_ms.push(rig.server.healthy_after.as_secs_f64() * 1e3);
    }
    Ok(Figures::default()
        .with("start_ms", median(starts_ms).unwrap_or(f64::NAN))
        .with("start_on_fresh_database_ms", fresh_ms)
        .with("idle_mib", idle_mib))
}
