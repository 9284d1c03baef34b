//! One command-line flag per setting, made from the settings' declarations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::settings;
use super::source::CONFIG_ENV;

const CONFIG_FLAG: &str = "config";

/// The flags that were given, to flatten into the command line.
#[derive(Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    /// Texts by the name of the setting's variable.
    pub values: BTreeMap<String, String>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG_FLAG)
            .long(CONFIG_FLAG)
            .value_name("PATH")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("TOML file with settings [env: {CONFIG_ENV}] [default: doorbell.toml, if there is one]"))
            .global(true);
        let flags = settings().into_iter().filter_map(|setting| {
            let help = format!(
                "{} [env: {}] [default: {}]",
                setting.doc.trim(),
                setting.env,
                setting.default
            );
            let flag = Arg::new(setting.env).long(setting.flag()?).value_name("VALUE").help(help);
            Some(flag.help_heading(format!("Settings: {}", setting.section)).global(true))
        });
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags =
            Self { config: matches.get_one(CONFIG_FLAG).cloned(), values: BTreeMap::new() };
        for setting in settings().into_iter().filter(|setting| setting.has_flag) {
            if let Some(text) = matches.get_one::<String>(setting.env) {
                flags.values.insert(setting.env.to_owned(), text.clone());
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
