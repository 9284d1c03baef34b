//! Archives: what is to be deleted, written to files first.
//!
//! One file for each day and table, compressed JSON lines. It has a temporary name until all of
//! it is on the disk, and no file is ever written over: after a crash some rows are in two files,
//! never in none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use store::Archived;

/// Files of one day and table: each begins with a crash, or with rows that came late.
const MAX_FILES: u32 = 10_000;

#[derive(Debug)]
pub(super) struct Archive {
    dir: PathBuf,
    /// What follows the table in a file's name.
    label: String,
    files: BTreeMap<&'static str, Writing>,
}

#[derive(Debug)]
struct Writing {
    path: PathBuf,
    to: GzEncoder<BufWriter<File>>,
}

impl Archive {
    pub fn new(dir: &Path, label: String) -> Self {
        Self { dir: dir.to_owned(), label, files: BTreeMap::new() }
    }

    /// Compressing and writing blocks: on a thread where it may.
    pub async fn write(mut self, rows: Vec<Archived>) -> io::Result<Self> {
        let written = tokio::task::spawn_blocking(move || {
            for row in rows {
                self.file(row.table)?.write_all((row.json + "\n").as_bytes())?;
            }
            Ok(self)
        });
        written.await.map_err(io::Error::other)?
    }

    fn file(&mut self, table: &'static str) -> io::Result<&mut GzEncoder<BufWriter<File>>> {
        if !self.files.contains_key(table) {
            fs::create_dir_all(&self.dir)?;
            let path = self.dir.join(format!(".{table}-{}.tmp", self.label));
            let to = GzEncoder::new(BufWriter::new(File::create(&path)?), Compression::default());
            self.files.insert(table, Writing { path, to });
        }
        let file = self.files.get_mut(table).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut file.to)
    }

    /// Everything is on the disk under its name. Answers the names.
    pub async fn finish(self) -> io::Result<Vec<String>> {
        let finished = tokio::task::spawn_blocking(move || self.name_files());
        finished.await.map_err(io::Error::other)?
    }

    fn name_files(self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for (table, writing) in self.files {
            let file = writing.to.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            let name = free_name(&self.dir, &format!("{table}-{}", self.label))?;
            fs::rename(&writing.path, self.dir.join(&name))?;
            names.push(name);
        }
        if !names.is_empty() {
            // The names are as durable as what they name.
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(names)
    }
}

fn free_name(dir: &Path, stem: &str) -> io::Result<String> {
    let names = (1..=MAX_FILES).map(|number| match number {
        1 => format!("{stem}.ndjson.gz"),
        number => format!("{stem}.{number}.ndjson.gz"),
    });
    let free = names.into_iter().find(|name| !dir.join(name).exists());
    free.ok_or_else(|| io::Error::other(format!("there are {MAX_FILES} archives {stem}")))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn row(json: &str) -> Archived {
        Archived { table: "attempt", json: json.to_owned() }
    }

    fn read(dir: &Path, name: &str) -> String {
        let mut text = String::new();
        let file = File::open(dir.join(name)).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn nothing_is_written_over_and_nothing_is_named_too_soon() {
        let dir = tempfile::tempdir().unwrap();
        let label = || "2026-01-02".to_owned();
        // A process that died.
        let died = Archive::new(dir.path(), label()).write(vec![row("{\"n\":0}")]).await.unwrap();
        drop(died);
        let named = || {
            let names = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name());
            names.filter(|name| !name.to_string_lossy().ends_with(".tmp")).count()
        };
        assert_eq!(named(), 0);
        for n in 1..=2 {
            let archive = Archive::new(dir.path(), label());
            let archive = archive.write(vec![row(&format!("{{\"n\":{n}}}"))]).await.unwrap();
            archive.write(vec![row("{\"last\":true}")]).await.unwrap().finish().await.unwrap();
        }
        assert_eq!(
            read(dir.path(), "attempt-2026-01-02.ndjson.gz"),
            "{\"n\":1}\n{\"last\":true}\n"
        );
        assert_eq!(
            read(dir.path(), "attempt-2026-01-02.2.ndjson.gz"),
            "{\"n\":2}\n{\"last\":true}\n"
        );
        assert_eq!(named(), 2);
    }

    #[tokio::test]
    async fn no_rows_make_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let names = Archive::new(dir.path(), "x".to_owned()).finish().await.unwrap();
        assert!(names.is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
