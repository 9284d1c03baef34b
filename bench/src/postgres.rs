//! PostgreSQL through `psql`: a database of its own for every run, the postmaster's process id,
//! and the price of one commit.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::measure::median;
use crate::process;

/// Creates a database beside the one that `admin_url` names, and answers with its address.
pub fn create_database(admin_url: &str, name: &str) -> Outcome<String> {
    psql(admin_url, &format!("CREATE DATABASE {name};\n"))?;
    Ok(with_database(admin_url, name))
}

pub fn drop_database(admin_url: &str, name: &str) -> Outcome<()> {
    psql(admin_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE);\n")).map(drop)
}

/// Asks for the backend's own stat line while it is alive: its parent is the postmaster.
pub fn postmaster(url: &str) -> Outcome<u32> {
    let stat = psql(url, "SELECT pg_backend_pid() AS pid \\gset\n\\echo `cat /proc/:pid/stat`\n")?;
    process::postmaster_of(&stat)
}

/// The median of single-row inserts, each its own commit, timed by psql around the round trip.
/// With a pause in between, the server is as idle as at a low rate of messages.
pub fn commit_ms(url: &str, count: usize, pause_ms: u32) -> Outcome<f64> {
    let mut script =
        String::from("CREATE TABLE IF NOT EXISTS bench_commit (payload text);\n\\timing on\n");
    for _ in 0..count {
        script.push_str(&format!("SELECT pg_sleep({pause_ms} / 1000.0);\n"));
        script.push_str("INSERT INTO bench_commit VALUES (repeat('x', 1024));\n");
    }
    script.push_str("\\timing off\nDROP TABLE bench_commit;\n");
    let output = psql(url, &script)?;
    let times = output.lines().filter_map(timing).skip(1).step_by(2).collect();
    median(times).ok_or_else(|| "psql told no times".into())
}

/// From now on half of the notifications of this database are lost: a function of the same name
/// stands before PostgreSQL's own. Connections that are open already still use that one.
pub fn drop_notifications(url: &str) -> Outcome<()> {
    psql(url, DROP_NOTIFICATIONS).map(drop)
}

const DROP_NOTIFICATIONS: &str = r#"
CREATE SEQUENCE bench_passed MINVALUE 0 START 0;
CREATE SEQUENCE bench_lost MINVALUE 0 START 0;
SELECT nextval('bench_passed'), nextval('bench_lost') \g /dev/null
CREATE FUNCTION public.pg_notify(channel text, payload text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.5 THEN
        PERFORM nextval('bench_lost');
    ELSE
        PERFORM nextval('bench_passed'), pg_catalog.pg_notify(channel, payload);
    END IF;
END $$;
SELECT current_database() AS name \gset
ALTER DATABASE :"name" SET search_path = public, pg_catalog;
"#;

/// What became of the notifications since then.
pub struct Notifications {
    pub passed: u64,
    pub lost: u64,
}

pub fn notifications(url: &str) -> Outcome<Notifications> {
    let count = |sequence: &str| -> Outcome<u64> {
        let counted = psql(url, &format!("SELECT last_value FROM {sequence};\n"))?;
        Ok(counted.trim().parse()?)
    };
    Ok(Notifications { passed: count("bench_passed")?, lost: count("bench_lost")? })
}

/// Any script; answers what it prints.
pub fn run(url: &str, script: &str) -> Outcome<String> {
    psql(url, script)
}

fn timing(line: &str) -> Option<f64> {
    line.strip_prefix("Time: ")?.split_whitespace().next()?.parse().ok()
}

fn psql(url: &str, script: &str) -> Outcome<String> {
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"])
        .env("PGOPTIONS", "--client-min-messages=warning")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("psql is needed and cannot be run: {error}"))?;
    // The script is written by a thread of its own: psql may answer before it has read it all.
    let mut stdin = child.stdin.take().ok_or("psql has no input")?;
    let script = script.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output()?;
    let written = writer.join().map_err(|_| "writing to psql failed")?;
    if !output.status.success() {
        return Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    written?;
    Ok(String::from_utf8(output.stdout)?)
}

/// The same server and user, another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, Some(parameters)),
        None => (url, None),
    };
    let authority_at = address.find("://").map_or(0, |at| at + 3);
    let path_at = address[authority_at..].find('/').map_or(address.len(), |at| authority_at + at);
    let mut renamed = format!("{}/{name}", &address[..path_at]);
    if let Some(parameters) = parameters {
        renamed.push('?');
        renamed.push_str(parameters);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_is_renamed() {
        for (from, to) in [
            ("postgres://u:p@h:1/a", "postgres://u:p@h:1/b"),
            ("postgres://h", "postgres://h/b"),
            ("postgres:///a?host=/tmp/x", "postgres:///b?host=/tmp/x"),
            ("postgres://h/a?sslmode=disable", "postgres://h/b?sslmode=disable"),
        ] {
            assert_eq!(with_database(from, "b"), to);
        }
    }

    #[test]
    fn times_are_read_with_and_without_minutes() {
        assert_eq!(timing("Time: 0.312 ms"), Some(0.312));
        assert_eq!(timing("Time: 1012.5 ms (00:01.012)"), Some(1012.5));
        assert_eq!(timing(""), None);
    }
}
