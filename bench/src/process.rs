//! Memory and CPU of other processes, as /proc tells them.

use std::fs;

use crate::Outcome;

/// Linux reports CPU time to user space in hundredths of a second on every architecture we run on.
const TICK_MS: f64 = 10.0;

/// The fields of /proc/<pid>/stat that matter here.
struct Stat {
    name: String,
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

fn stat(pid: u32) -> Outcome<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// The name stands in brackets and may itself contain spaces and brackets.
fn parse_stat(text: &str) -> Outcome<Stat> {
    let malformed = || "unreadable stat";
    let (head, tail) = text.rsplit_once(')').ok_or_else(malformed)?;
    let (_, name) = head.split_once('(').ok_or_else(malformed)?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number =
        |index: usize| -> Outcome<u64> { Ok(fields.get(index).ok_or_else(malformed)?.parse()?) };
    Ok(Stat {
        name: name.to_owned(),
        parent: u32::try_from(number(1)?)?,
        own_ticks: number(11)? + number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

/// A line of /proc/<pid>/status that counts KiB, in MiB.
fn status_mib(pid: u32, field: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find(|line| line.starts_with(field)).ok_or("no such field in status")?;
    let kib = line.split_whitespace().nth(1).ok_or("no value in status")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

pub fn resident_mib(pid: u32) -> Outcome<f64> {
    status_mib(pid, "VmRSS:")
}

pub fn peak_mib(pid: u32) -> Outcome<f64> {
    status_mib(pid, "VmHWM:")
}

pub fn cpu_ms(pid: u32) -> Outcome<f64> {
    Ok(stat(pid)?.own_ticks as f64 * TICK_MS)
}

/// A postmaster with its children: those that ended are in its own account.
pub fn family_cpu_ms(postmaster: u32) -> Outcome<f64> {
    let own = stat(postmaster)?;
    let living: u64 = children(postmaster)?
        .iter()
        .filter_map(|pid| stat(*pid).ok())
        .map(|child| child.own_ticks)
        .sum();
    Ok((own.own_ticks + own.ended_children_ticks + living) as f64 * TICK_MS)
}

/// The sum of the peaks. Shared memory counts once for every process that touched it.
pub fn family_peak_mib(postmaster: u32) -> Outcome<f64> {
    let living = children(postmaster)?;
    let peaks = living.iter().filter_map(|pid| peak_mib(*pid).ok());
    Ok(peak_mib(postmaster)? + peaks.sum::<f64>())
}

fn children(parent: u32) -> Outcome<Vec<u32>> {
    let pids = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| stat(*pid).is_ok_and(|stat| stat.parent == parent));
    Ok(pids.collect())
}

/// The parent of a PostgreSQL backend, from its stat line.
pub fn postmaster_of(backend_stat: &str) -> Outcome<u32> {
    let postmaster = parse_stat(backend_stat)?.parent;
    if stat(postmaster)?.name != "postgres" {
        return Err("PostgreSQL's processes are not visible in /proc here".into());
    }
    Ok(postmaster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_last_bracket() -> Outcome<()> {
        let stat = parse_stat("12 (a (b) c) S 7 1 1 0 -1 4 1 2 3 4 10 20 30 40 20 0 1 0 5")?;
        assert_eq!((stat.name.as_str(), stat.parent), ("a (b) c", 7));
        assert_eq!((stat.own_ticks, stat.ended_children_ticks), (30, 70));
        assert!(parse_stat("12 (short) S 7").is_err());
        Ok(())
    }

    #[test]
    fn this_process_has_memory_and_a_parent() -> Outcome<()> {
        let pid = std::process::id();
        assert!(resident_mib(pid)? > 0.0 && peak_mib(pid)? >= resident_mib(pid)? * 0.5);
        assert!(children(stat(pid)?.parent)?.contains(&pid));
        Ok(())
    }
}
