//! The places that settings come from, read into text and not yet judged.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::flags::Flags;
use super::reader::Problem;
use super::setting::{ENV_PREFIX, Setting};

/// Names the TOML file, in the environment and in `.env`.
pub const CONFIG_ENV: &str = "DOORBELL_CONFIG";
const DEFAULT_FILE: &str = "doorbell.toml";
const DOTENV_FILE: &str = ".env";
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a value was found, and so where to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Environment(&'static str),
    DotEnv(&'static str),
    File { path: PathBuf, name: String },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::DotEnv(name) => write!(f, ".env {name}"),
            Self::File { path, name } => write!(f, "{}: {name}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The text of every source. Flags and variables go by the variable's name, the file's values by `section.key`.
#[derive(Debug, Default)]
pub struct Sources {
    pub flags: BTreeMap<String, String>,
    pub environment: BTreeMap<String, String>,
    pub dotenv: BTreeMap<String, String>,
    pub file_path: PathBuf,
    pub file: BTreeMap<String, String>,
    /// What could not be read at all.
    pub problems: Vec<Problem>,
}

impl Sources {
    /// Reads all sources of a process that works in `folder`.
    pub fn gather(
        flags: Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        folder: &Path,
    ) -> Self {
        let mut sources = Self { flags: flags.values, ..Self::default() };
        for (name, value) in environment {
            sources.take_variable(name, value);
        }
        sources.read_dotenv(&folder.join(DOTENV_FILE));
        let named = flags.config.or_else(|| sources.variable(CONFIG_ENV).map(PathBuf::from));
        sources.file_path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        sources.read_toml(&folder.join(&sources.file_path), named.is_some());
        sources
    }

    /// The text of one setting, from the highest source that has it.
    pub fn find(&self, setting: &Setting) -> (String, Origin) {
        let env = setting.env;
        if let (Some(text), Some(flag)) = (self.flags.get(env), setting.flag()) {
            return (text.clone(), Origin::Flag(flag));
        }
        if let Some(text) = self.environment.get(env) {
            return (text.clone(), Origin::Environment(env));
        }
        if let Some(text) = self.dotenv.get(env) {
            return (text.clone(), Origin::DotEnv(env));
        }
        let name = setting.name();
        if let Some(text) = self.file.get(&name) {
            return (text.clone(), Origin::File { path: self.file_path.clone(), name });
        }
        (setting.default.to_owned(), Origin::Default)
    }

    fn variable(&self, name: &str) -> Option<&String> {
        self.environment.get(name).or_else(|| self.dotenv.get(name))
    }

    /// An empty variable counts as not set: compose files and scripts pass on what they do not have.
    fn take_variable(&mut self, name: OsString, value: OsString) {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { return };
        match value.into_string() {
            Ok(value) if value.is_empty() => {}
            Ok(value) => _ = self.environment.insert(name.to_owned(), value),
            Err(_) => self.problem(format!("environment {name}"), "is not UTF-8".to_owned()),
        }
    }

    fn read_dotenv(&mut self, path: &Path) {
        let Some(text) = self.read_file(path, false) else { return };
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            match entry {
                Ok((name, value)) if name.starts_with(ENV_PREFIX) && !value.is_empty() => {
                    self.dotenv.insert(name, value);
                }
                Ok(_) => {}
                Err(error) => {
                    return self.problem(DOTENV_FILE.to_owned(), dotenv_message(&text, &error));
                }
            }
        }
    }

    fn read_toml(&mut self, path: &Path, required: bool) {
        let Some(text) = self.read_file(path, required) else { return };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                return self
                    .problem(self.file_path.display().to_string(), toml_message(&text, &error));
            }
        };
        for (section, value) in table {
            match value {
                toml::Value::Table(keys) => {
                    keys.into_iter()
                        .for_each(|(key, value)| self.take_toml(format!("{section}.{key}"), value));
                }
                value => self.take_toml(section, value),
            }
        }
    }

    fn take_toml(&mut self, name: String, value: toml::Value) {
        if let Some(text) = toml_text(&value) {
            self.file.insert(name, text);
            return;
        }
        let place = Origin::File { path: self.file_path.clone(), name }.to_string();
        let message = format!(
            "a {} is no setting; write a text, a number, true or false, or a list",
            value.type_str()
        );
        self.problem(place, message);
    }

    /// A file that is there only perhaps is read as nothing when it is not.
    fn read_file(&mut self, path: &Path, required: bool) -> Option<String> {
        match read_text(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => None,
            Err(error) => {
                self.problem(path.display().to_string(), format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn problem(&mut self, place: String, message: String) {
        self.problems.push(Problem { place, message });
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read_bytes = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read_bytes as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn toml_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            Some(items.iter().map(toml_text).collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

// The parsers' own reports quote the line, which may hold a secret: say only where it is.

fn toml_message(text: &str, error: &toml::de::Error) -> String {
    let start_bytes = error.span().map_or(0, |span| span.start);
    format!("line {} is not TOML: {}", line_number(text, start_bytes), error.message())
}

fn dotenv_message(text: &str, error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, _) => {
            let start_bytes = text.find(line.as_str()).unwrap_or(0);
            format!("line {} is not NAME=value", line_number(text, start_bytes))
        }
        _ => "cannot be read".to_owned(),
    }
}

fn line_number(text: &str, start_bytes: usize) -> usize {
    let before = text.get(..start_bytes).unwrap_or_default();
    before.matches('\n').count() + 1
}
