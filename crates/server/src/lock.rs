//! One delivering process per SQLite file: a lock beside it, held for as long as we live.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Held until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Takes the lock of a SQLite database; other databases need none.
pub fn lock_sqlite(url: &str) -> Result<Option<FileLock>, String> {
    let Some(path) = sqlite_path(url) else { return Ok(None) };
    let path = PathBuf::from(format!("{}.lock", path.display()));
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| at(&error))?;
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| at(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another doorbell delivers from this database ({} is locked). Stop it first, or use \
             PostgreSQL for several nodes.",
            path.display()
        )),
        Err(TryLockError::Error(error)) => Err(at(&error)),
    }
}

fn sqlite_path(url: &str) -> Option<&Path> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let path = rest.split('?').next()?;
    (!path.is_empty() && path != ":memory:").then(|| Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", folder.path().join("a/doorbell.db").display());
        let first = lock_sqlite(&url).unwrap();
        assert!(first.is_some());
        assert!(lock_sqlite(&url).unwrap_err().contains("another doorbell"));
        drop(first);
        assert!(lock_sqlite(&url).unwrap().is_some());
        assert!(lock_sqlite("postgres://localhost/x").unwrap().is_none());
    }
}
