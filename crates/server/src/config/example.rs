//! The two example files at the root of the repository, made from the settings' declarations.
//!
//! Every value stands there as a comment: a copied file changes nothing until a line is uncommented, and a default
//! that changes in a later release still reaches those who copied it.

use std::fmt::Write;

use super::setting::Setting;
use super::settings;

/// The example files by name, with what they should hold.
pub fn files() -> [(&'static str, String); 2] {
    [("config.example.toml", toml_file()), (".env.example", dotenv_file())]
}

const TOML_HEAD: &str = "\
# Doorbell's settings with their defaults. Copy this file to doorbell.toml and uncomment what you change.
# A flag overrides an environment variable, which overrides .env, which overrides this file.
# `doorbell config check` shows each value in force and where it comes from.
# Generated: after a change of the settings, run `doorbell config example --write`.
";

const DOTENV_HEAD: &str = "\
# Doorbell's settings with their defaults. Copy this file to .env and uncomment what you change.
# Real environment variables override it; an empty value counts as not set.
# Generated: after a change of the settings, run `doorbell config example --write`.

# TOML file with settings, if it is not doorbell.toml in the working directory.
#DOORBELL_CONFIG=
";

fn toml_file() -> String {
    let mut file = TOML_HEAD.to_owned();
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            _ = writeln!(file, "\n#{}\n[{section}]", setting.section_doc);
        }
        let flag = setting.flag().map(|flag| format!("; flag: --{flag}")).unwrap_or_default();
        _ = writeln!(file, "\n#{}", setting.doc);
        _ = writeln!(file, "# Takes {}. Environment: {}{flag}", setting.expects, setting.env);
        _ = writeln!(file, "#{} = {}", setting.key, toml_literal(setting.default));
    }
    file
}

fn dotenv_file() -> String {
    let mut file = DOTENV_HEAD.to_owned();
    for Setting { doc, expects, env, default, .. } in settings() {
        _ = writeln!(file, "\n#{doc}\n# Takes {expects}.\n#{env}={default}");
    }
    file
}

fn toml_literal(default: &str) -> String {
    let is_bare = default.parse::<u64>().is_ok() || default.parse::<bool>().is_ok();
    if is_bare { default.to_owned() } else { format!("{default:?}") }
}
