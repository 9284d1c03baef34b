//! Names that no setting has are mistakes: a misspelt setting would otherwise be ignored in silence.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::setting::{ENV_PREFIX, Setting};
use super::source::{CONFIG_ENV, Origin};

/// Variables under our prefix that the project's own tests and benchmarks pass around.
const RESERVED_PREFIXES: [&str; 2] = ["DOORBELL_TEST_", "DOORBELL_BENCH_"];
const MIN_LIKENESS: f64 = 0.6;

/// Adds a problem for each unknown variable and each unknown key of the file.
pub fn report(reader: &mut Reader) {
    let settings: Vec<Setting> = reader.settings().cloned().collect();
    let sources = reader.sources;
    for name in unknown_variables(&sources.environment, &settings) {
        reader.problem(format!("environment {name}"), unknown_variable(name, &settings));
    }
    for name in unknown_variables(&sources.dotenv, &settings) {
        reader.problem(format!(".env {name}"), unknown_variable(name, &settings));
    }
    for name in
        sources.file.keys().filter(|name| settings.iter().all(|setting| setting.name() != **name))
    {
        let place = Origin::File { path: sources.file_path.clone(), name: name.clone() };
        reader.problem(place.to_string(), unknown_key(name, &settings));
    }
}

fn unknown_variables<'a>(
    variables: &'a BTreeMap<String, String>,
    settings: &[Setting],
) -> impl Iterator<Item = &'a String> {
    let is_known =
        |name: &str| name == CONFIG_ENV || settings.iter().any(|setting| setting.env == name);
    variables
        .iter()
        .filter(move |(name, value)| !is_known(name) && !is_foreign(name, value))
        .map(|(name, _)| name)
}

/// Kubernetes gives every pod variables named after the services beside it: a service called `doorbell` makes
/// `DOORBELL_SERVICE_HOST`, `DOORBELL_PORT=tcp://…` and more.
fn is_foreign(name: &str, value: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
}

fn unknown_variable(name: &str, settings: &[Setting]) -> String {
    let without_prefix = |name: &str| name.trim_start_matches(ENV_PREFIX).to_owned();
    let likeness = |setting: &Setting| alike(&without_prefix(name), &without_prefix(setting.env));
    match closest(settings, likeness) {
        Some(setting) => format!("no setting has this variable; did you mean {}?", setting.env),
        None => "no setting has this variable".to_owned(),
    }
}

fn unknown_key(name: &str, settings: &[Setting]) -> String {
    let (section, key) = name.split_once('.').unwrap_or(("", name));
    let likeness =
        |setting: &Setting| (alike(section, setting.section) + 2.0 * alike(key, setting.key)) / 3.0;
    match closest(settings, likeness) {
        Some(setting) => {
            format!("no such setting; did you mean `{}` in [{}]?", setting.key, setting.section)
        }
        None => "no such setting".to_owned(),
    }
}

fn closest(settings: &[Setting], likeness: impl Fn(&Setting) -> f64) -> Option<&Setting> {
    let ranked = settings.iter().map(|setting| (likeness(setting), setting));
    let best = ranked.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= MIN_LIKENESS).then_some(best.1)
}

fn alike(given: &str, known: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(given, known)
}
