//! (b) ingest only, (c) end to end and (d) fan-out: closed loops, as fast as the server answers.

use std::time::Duration;

use tokio::time::sleep;

use super::Bench;
use crate::Outcome;
use crate::driver::{Published, closed_loop};
use crate::measure::flush_ms;
use crate::report::Figures;
use crate::rig::{ARRIVAL_DEADLINE, Cpu, Rig};
use crate::sink::LaneReport;

const FAN_OUT_ENDPOINTS: u64 = 10;
const FAN_OUT_CONNECTIONS: usize = 64;
const WARM_UP_DELIVERIES: u64 = 2_000;
const RETRY_SCHEDULE: &str = "0s,1s,5s,15s";
/// After the last arrival the server still settles; its CPU belongs to the run.
const SETTLE_TIME: Duration = Duration::from_millis(300);
const FLUSHES: u32 = 200;

struct Shape {
    scenario: &'static str,
    endpoints: u64,
    connections: usize,
    messages: u64,
}

pub async fn ingest(bench: &mut Bench<'_>) -> Outcome<()> {
    for connections in bench.options.connections.clone() {
        let messages = bench.options.load;
        let shape = Shape { scenario: "ingest", endpoints: 0, connections, messages };
        run(bench, &shape).await?;
    }
    Ok(())
}

pub async fn end_to_end(bench: &mut Bench<'_>) -> Outcome<()> {
    for connections in bench.options.connections.clone() {
        let messages = bench.options.load;
        let shape = Shape { scenario: "end-to-end", endpoints: 1, connections, messages };
        run(bench, &shape).await?;
    }
    Ok(())
}

pub async fn fan_out(bench: &mut Bench<'_>) -> Outcome<()> {
    let shape = Shape {
        scenario: "fan-out",
        endpoints: FAN_OUT_ENDPOINTS,
        connections: FAN_OUT_CONNECTIONS,
        messages: bench.options.fan_out_load,
    };
    run(bench, &shape).await
}

async fn run(bench: &mut Bench<'_>, shape: &Shape) -> Outcome<()> {
    let floor = bench.floor(shape.connections).await?;
    let mut rig = Rig::start(bench.options, bench.database, RETRY_SCHEDULE).await?;
    let result = measure(&mut rig, shape).await;
    let figures = result.and_then(|run| run.figures(&rig, shape, floor));
    rig.finish(figures.is_ok()).await?;
    bench.note(shape.scenario, shape.connections, figures?);
    Ok(())
}

/// What one run left in the hands of driver and sink.
struct Run {
    published: Published,
    lanes: Vec<LaneReport>,
    lost: usize,
    cpu: Cpu,
}

async fn measure(rig: &mut Rig, shape: &Shape) -> Outcome<Run> {
    let app = rig.api.create_app(shape.scenario).await?;
    let lanes: Vec<String> = (0..shape.endpoints).map(|lane| format!("lane{lane}")).collect();
    for lane in &lanes {
        let url = rig.sink.hook_url(lane, 0);
        rig.api.create_endpoint(&app, &url).await?;
    }
    let job = rig.publish(&app)?;
    let warm_up = WARM_UP_DELIVERIES / shape.endpoints.max(1);
    let warmed = closed_loop(&job, shape.connections, warm_up).await?.all_accepted()?;
    await_lanes(rig, &lanes, &warmed.acknowledged).await?;
    rig.sink.forget().await?;

    let cpu_before = rig.cpu()?;
    let published = closed_loop(&job, shape.connections, shape.messages).await?.all_accepted()?;
    let lost = await_lanes(rig, &lanes, &published.acknowledged).await?;
    sleep(SETTLE_TIME).await;
    let cpu = rig.cpu()?.since(cpu_before);
    let mut reports = Vec::with_capacity(lanes.len());
    for lane in &lanes {
        reports.push(rig.sink.report(lane).await?);
    }
    Ok(Run { published, lanes: reports, lost, cpu })
}

async fn await_lanes(rig: &mut Rig, lanes: &[String], ids: &[String]) -> Outcome<usize> {
    let mut missing = 0;
    for lane in lanes {
        missing += rig.sink.await_all(lane, ids, ARRIVAL_DEADLINE).await?.count;
    }
    Ok(missing)
}

impl Run {
    fn figures(&self, rig: &Rig, shape: &Shape, floor: f64) -> Outcome<Figures> {
        let rate = match shape.endpoints {
            0 => self.published.posts_per_s(),
            _ => self.deliveries_per_s(),
        };
        let messages = shape.messages as f64;
        let unit = if shape.endpoints == 0 { "messages_per_s" } else { "deliveries_per_s" };
        let mut figures = Figures::default()
            .with(unit, rate)
            .with("ratio", rate / floor)
            .with("floor_per_s", floor)
            .with("flush_ms", flush_ms(rig.dir(), FLUSHES, Duration::ZERO)?);
        if shape.endpoints > 0 {
            figures = self.arrival_figures(figures);
        }
        Ok(figures
            .with("answer_p50_ms", self.published.answer.quantile_ms(0.5))
            .with("answer_p99_ms", self.published.answer.quantile_ms(0.99))
            .with("server_cpu_ms_per_message", self.cpu.server_ms / messages)
            .with("database_cpu_ms_per_message", self.cpu.database_ms / messages)
            .with("cpu_ms_per_message", (self.cpu.server_ms + self.cpu.database_ms) / messages)
            .with("server_peak_mib", rig.server_peak_mib()?)
            .with("database_peak_mib", rig.database_peak_mib()?))
    }

    /// From the first publish to the last arrival.
    fn deliveries_per_s(&self) -> f64 {
        let last_ns = self.lanes.iter().map(|lane| lane.last_ns).max().unwrap_or(0);
        let seconds = last_ns.saturating_sub(self.published.started_ns) as f64 / 1e9;
        let distinct: u64 = self.lanes.iter().map(|lane| lane.distinct).sum();
        distinct as f64 / seconds
    }

    fn arrival_figures(&self, figures: Figures) -> Figures {
        let sum = |of: fn(&LaneReport) -> u64| self.lanes.iter().map(of).sum::<u64>() as f64;
        let worst = |of: fn(&LaneReport) -> f64| self.lanes.iter().map(of).fold(0.0, f64::max);
        figures
            .with("p50_ms", worst(|lane| lane.p50_ms))
            .with("p99_ms", worst(|lane| lane.p99_ms))
            .with("acknowledged", self.published.acknowledged.len() as f64)
            .with("arrived", sum(|lane| lane.distinct))
            .with("lost", self.lost as f64)
            .with("duplicates", sum(LaneReport::duplicates))
            .with("unreadable", sum(|lane| lane.unreadable))
    }
}
