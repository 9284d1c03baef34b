//! The bars the project set itself, and how the measured rows stand to them.

use crate::measure::median;
use crate::options::Database;
use crate::report::{Row, readable};

#[derive(Clone, Copy)]
enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

use Bar::{AtLeast, AtMost};

/// The figures are in MiB, the bars for memory in MB.
const MB: f64 = 1e6 / (1024.0 * 1024.0);

/// Scenario, connections (0 = any), figure, bar.
const BARS: [(&str, usize, &str, Bar); 40] = [
    ("end-to-end", 64, "ratio", AtLeast(0.10)),
    ("end-to-end", 256, "ratio", AtLeast(0.18)),
    ("end-to-end", 0, "p99_ms", AtMost(50.0)),
    ("end-to-end", 0, "cpu_ms_per_message", AtMost(0.14)),
    ("end-to-end", 0, "server_peak_mib", AtMost(100.0 * MB)),
    ("end-to-end", 0, "lost", AtMost(0.0)),
    ("fan-out", 0, "ratio", AtLeast(0.24)),
    ("fan-out", 0, "lost", AtMost(0.0)),
    ("latency", 0, "ratio", AtMost(1.5)),
    ("latency", 0, "p99_over_p50", AtMost(4.0)),
    ("neighbour", 0, "p99_ratio", AtMost(2.0)),
    ("neighbour", 0, "p99_ms", AtMost(500.0)),
    ("drain", 0, "p99_ms", AtMost(1_000.0)),
    ("drain", 0, "server_peak_mib", AtMost(300.0 * MB)),
    ("drain", 0, "lost", AtMost(0.0)),
    ("replay", 0, "not_replayed", AtMost(0.0)),
    ("replay", 0, "replayed_twice", AtMost(0.0)),
    ("replay", 0, "progress_off_by", AtMost(0.0)),
    ("replay", 0, "p99_ratio", AtMost(2.0)),
    ("replay", 0, "lost", AtMost(0.0)),
    ("start", 0, "idle_mib", AtMost(40.0 * MB)),
    ("start", 0, "start_ms", AtMost(300.0)),
    ("verify-core", 0, "p99_us", AtMost(2.0)),
    ("verify-http", 0, "verify_ratio", AtLeast(0.60)),
    ("verify-http", 0, "authorize_ratio", AtLeast(0.60)),
    ("restart", 0, "full_rate_after_ms", AtMost(5_000.0)),
    ("restart", 0, "hash_runs_beyond_sample", AtMost(0.0)),
    ("junk", 0, "p99_ratio", AtMost(1.2)),
    ("junk", 0, "probes_over_budget", AtMost(0.0)),
    ("junk", 0, "hash_runs", AtMost(0.0)),
    ("revocation", 0, "valid_after_1_s", AtMost(0.0)),
    ("revocation", 0, "last_valid_max_ms", AtMost(1_000.0)),
    ("revocation", 0, "alone_last_valid_max_ms", AtMost(1_000.0)),
    ("rotation", 0, "verifies", AtLeast(100_000.0)),
    ("rotation", 0, "refused_in_grace", AtMost(0.0)),
    ("rotation", 0, "valid_after_1_s", AtMost(0.0)),
    ("secret-rotation", 0, "old_refused_in_grace", AtMost(0.0)),
    ("secret-rotation", 0, "new_refused", AtMost(0.0)),
    ("secret-rotation", 0, "old_good_after_grace", AtMost(0.0)),
    ("secret-rotation", 0, "lost", AtMost(0.0)),
];

pub fn print(databases: &[Database], rows: &[Row]) {
    println!("\nbars (medians of the rounds)");
    for (scenario, connections, figure, bar) in BARS {
        for database in databases {
            let of_bar = rows.iter().filter(|row| {
                row.database == *database
                    && row.scenario == scenario
                    && (connections == 0 || row.connections == connections)
            });
            for (connections, value) in medians(of_bar, figure) {
                let verdict = if bar.is_met(value) { "met   " } else { "MISSED" };
                let measured = readable(value);
                println!(
                    "  {verdict}  {scenario:<11} {connections:>4}  {database:<8}  {figure:<23} {measured:>9}  {bar}"
                );
            }
        }
    }
}

fn medians<'a>(rows: impl Iterator<Item = &'a Row>, figure: &str) -> Vec<(usize, f64)> {
    let mut by_connections = std::collections::BTreeMap::<usize, Vec<f64>>::new();
    for row in rows {
        if let Some(value) = row.figures.get(figure) {
            by_connections.entry(row.connections).or_default().push(value);
        }
    }
    let medians = by_connections.into_iter();
    medians.filter_map(|(connections, values)| Some((connections, median(values)?))).collect()
}

impl Bar {
    fn is_met(self, value: f64) -> bool {
        match self {
            AtLeast(bar) => value >= bar,
            AtMost(bar) => value <= bar,
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AtLeast(bar) => write!(f, "≥ {}", readable(*bar)),
            AtMost(bar) => write!(f, "≤ {}", readable(*bar)),
        }
    }
}
