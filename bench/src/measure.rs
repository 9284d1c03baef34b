//! Instruments: the shared clock, a histogram, and the price of one flush to disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Outcome;

/// The clock that driver and sink share: two processes of one machine read the same one.
pub fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// CPU time of the thread that asks.
pub fn thread_cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000_000 + nanos
}

const SUB_BUCKET_BITS: u32 = 6;
const SUB_BUCKETS: usize = 1 << SUB_BUCKET_BITS;
const BUCKETS: usize = (64 - SUB_BUCKET_BITS as usize + 1) * SUB_BUCKETS;

/// Durations in nanoseconds, 64 buckets to the power of two: an error of at most 1.6 %.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }

    pub fn record(&mut self, nanos: u64) {
        self.buckets[bucket_of(nanos)] += 1;
        self.count += 1;
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// The value that `quantile` (0 to 1) of the recordings do not exceed, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let rank = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_of(bucket) / 1e6;
            }
        }
        0.0
    }
}

fn bucket_of(nanos: u64) -> usize {
    if nanos < SUB_BUCKETS as u64 {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - SUB_BUCKET_BITS;
    (shift as usize) * SUB_BUCKETS + (nanos >> shift) as usize
}

fn middle_of(bucket: usize) -> f64 {
    if bucket < 2 * SUB_BUCKETS {
        return bucket as f64;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    let lowest = ((bucket - shift * SUB_BUCKETS) as f64) * (1u64 << shift) as f64;
    lowest + (1u64 << shift) as f64 / 2.0
}

const FLUSHED_BLOCK: [u8; 4096] = [0x5a; 4096];

/// The median of `count` appends of 4 KiB, each made durable before the next.
/// `pause` sets the machine as idle between them as it is at a low rate of messages.
pub fn flush_ms(dir: &Path, count: u32, pause: Duration) -> Outcome<f64> {
    let path = dir.join("flush.tmp");
    let mut file = File::create(&path)?;
    let mut flushes = Histogram::new();
    for _ in 0..count {
        std::thread::sleep(pause);
        let started = Instant::now();
        file.write_all(&FLUSHED_BLOCK)?;
        file.sync_data()?;
        flushes.record(u64::try_from(started.elapsed().as_nanos())?);
    }
    std::fs::remove_file(&path)?;
    Ok(flushes.quantile_ms(0.5))
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => values.get(middle).copied(),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_tells_it_within_two_percent() {
        for exponent in 0..64 {
            for value in [1u64 << exponent, (1u64 << exponent) + (1u64 << exponent) / 3] {
                let told = middle_of(bucket_of(value));
                let error = (told - value as f64).abs() / value as f64;
                assert!(error < 0.02, "{value} is told as {told}");
            }
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_follow_the_recordings() {
        let mut histogram = Histogram::new();
        for ms in 1..=100u64 {
            histogram.record(ms * 1_000_000);
        }
        let mut other = Histogram::new();
        other.record(1_000_000_000);
        histogram.merge(&other);
        assert!((histogram.quantile_ms(0.5) - 51.0).abs() < 1.0);
        assert!((histogram.quantile_ms(0.99) - 100.0).abs() < 2.0);
        assert!((histogram.quantile_ms(1.0) - 1000.0).abs() < 16.0);
        assert!(Histogram::new().quantile_ms(0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
