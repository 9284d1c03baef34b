//! Takes the sources, hands out parsed values, and keeps a list of everything that is wrong.

use std::fmt;

use super::format::Format;
use super::setting::{Declaration, Setting};
use super::source::{Origin, Sources};

/// One setting with the text it was given and where that came from.
#[derive(Debug, Clone)]
pub struct Value {
    pub setting: Setting,
    pub text: String,
    pub origin: Origin,
}

impl Value {
    /// The text as it may be printed.
    pub fn shown(&self) -> String {
        (self.setting.show)(&self.text)
    }
}

/// One mistake, with the place to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: String,
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "{} bad setting{plural}:", self.0.len())?;
        for Problem { place, message } in &self.0 {
            write!(f, "\n  {place}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

pub struct Reader<'a> {
    pub(super) sources: &'a Sources,
    values: Vec<Value>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, values: Vec::new(), problems: sources.problems.clone() }
    }

    pub(super) fn read<T: 'static>(
        &mut self,
        declaration: Declaration,
        format: Format<T>,
    ) -> Option<T> {
        let setting = declaration.with(&format);
        let (text, origin) = self.sources.find(&setting);
        let parsed = format.parse(&text);
        let value = Value { setting, text, origin };
        let parsed = parsed.map_err(|reason| self.refuse(&value, &reason)).ok();
        self.values.push(value);
        parsed
    }

    fn refuse(&mut self, value: &Value, reason: &str) {
        let (shown, name, expects) = (value.shown(), value.setting.name(), &value.setting.expects);
        let given =
            if shown.is_empty() { "an empty value".to_owned() } else { format!("`{shown}`") };
        self.problem(value.origin.to_string(), format!("{given} {reason}; {name} takes {expects}"));
    }

    pub(super) fn problem(&mut self, place: String, message: String) {
        self.problems.push(Problem { place, message });
    }

    /// Two settings that are good alone and bad together.
    pub(super) fn conflict(&mut self, first: &str, second: &str, rule: &str) {
        let place_of = |name: &str| {
            let value = self.values.iter().find(|value| value.setting.name() == name);
            value.map_or_else(String::new, |value| format!("{name} (from {})", value.origin))
        };
        let place = format!("{} and {}", place_of(first), place_of(second));
        self.problem(place, rule.to_owned());
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.values.iter().map(|value| &value.setting)
    }

    pub fn finish(self) -> (Vec<Value>, Problems) {
        (self.values, Problems(self.problems))
    }
}
