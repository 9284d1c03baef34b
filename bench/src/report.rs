//! Results: rows of named figures, printed as tables and written as JSON beside the machine, the
//! commit and the time they belong to.

use std::path::Path;
use std::process::Command;
use std::{fs, iter};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::options::Database;

/// Names carry their unit; the order is the order of the columns.
#[derive(Default, Clone, Serialize)]
#[serde(transparent)]
pub struct Figures(Map<String, Value>);

impl Figures {
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.0.insert(name.to_owned(), json!(value));
        self
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }
}

#[derive(Serialize)]
pub struct Row {
    pub database: Database,
    pub scenario: &'static str,
    pub connections: usize,
    pub round: u32,
    pub figures: Figures,
}

/// Tables scenario by scenario, in the order in which they were measured.
pub fn print(rows: &[Row]) {
    let mut scenarios: Vec<&str> = Vec::new();
    for row in rows {
        if !scenarios.contains(&row.scenario) {
            scenarios.push(row.scenario);
        }
    }
    for scenario in scenarios {
        println!("\n{scenario}");
        print_table(&rows.iter().filter(|row| row.scenario == scenario).collect::<Vec<_>>());
    }
}

/// One row stands upright, several lie below each other.
fn print_table(rows: &[&Row]) {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|row| row.figures.0.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let labels =
        rows.iter().map(|row| format!("{} {}/r{}", row.database, row.connections, row.round));
    let mut lines = vec![iter::once(String::new()).chain(labels).collect::<Vec<_>>()];
    for name in names {
        let values =
            rows.iter().map(|row| row.figures.get(name).map_or_else(String::new, readable));
        lines.push(iter::once(name.to_owned()).chain(values).collect());
    }
    let widths: Vec<usize> = (0..=rows.len())
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0)
        })
        .collect();
    for line in lines {
        let cells =
            line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("  {cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            });
        println!("{}", cells.collect::<String>().trim_end());
    }
}

pub fn readable(value: f64) -> String {
    match value.abs() {
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        large if large >= 1000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

pub fn write_json(path: &Path, rows: &[Row]) -> Outcome<()> {
    let document = json!({
        "machine": machine(),
        "commit": commit(),
        "time": text_of("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "rows": rows,
    });
    fs::write(path, serde_json::to_vec_pretty(&document)?)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

pub fn print_heading() {
    let machine = machine();
    println!(
        "{} × {}, kernel {}, commit {}",
        machine["cores"],
        machine["cpu"].as_str().unwrap_or("unknown"),
        machine["kernel"].as_str().unwrap_or("unknown"),
        commit(),
    );
}

fn machine() -> Value {
    json!({
        "cpu": cpu_model(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": first_line("/proc/sys/kernel/osrelease"),
        "open_files_limit": text_of("sh", &["-c", "ulimit -n"]),
    })
}

fn cpu_model() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':')).map(|(_, model)| model.trim());
    model.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// The short hash, marked when the tree differs from it.
fn commit() -> String {
    let hash = text_of("git", &["rev-parse", "--short", "HEAD"]);
    if hash.is_empty() {
        return "none".to_owned();
    }
    match text_of("git", &["status", "--porcelain"]).is_empty() {
        true => hash,
        false => hash + "-dirty",
    }
}

fn text_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    String::from_utf8_lossy(&text.unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable_at_every_size() {
        let written = [0.1234, 5.0, 12.34, 12345.6].map(readable);
        assert_eq!(written, ["0.123", "5", "12.3", "12346"]);
    }
}
