//! The formats that values are written in: how to parse one, and what to say about a bad one.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use url::Url;

/// How a setting is written. A failed parse answers with what is wrong ("is not a whole number").
pub struct Format<T> {
    /// What a good value looks like, to follow "takes".
    pub expects: String,
    /// The text as it may be printed.
    pub show: fn(&str) -> String,
    pub secret: bool,
    parse: Box<Parse<T>>,
}

type Parse<T> = dyn Fn(&str) -> Result<T, String>;

impl<T: 'static> Format<T> {
    pub fn new(
        expects: impl Into<String>,
        parse: impl Fn(&str) -> Result<T, String> + 'static,
    ) -> Self {
        Self { expects: expects.into(), show: str::to_owned, secret: false, parse: Box::new(parse) }
    }

    /// Never printed, and never a flag.
    pub fn secret(self) -> Self {
        Self { show: hide, secret: true, ..self }
    }

    /// Printed without the password in it.
    pub fn url_with_password(self) -> Self {
        Self { show: hide_password, ..self }
    }

    /// Empty means none.
    pub fn optional(self) -> Format<Option<T>> {
        let Self { expects, show, secret, parse } = self;
        let parse = Box::new(
            move |text: &str| if text.is_empty() { Ok(None) } else { parse(text).map(Some) },
        );
        Format { expects: format!("{expects}, or nothing"), show, secret, parse }
    }

    /// A further step after the parse, such as a check of the whole.
    pub fn then<U>(self, step: impl Fn(T) -> Result<U, String> + 'static) -> Format<U> {
        let Self { expects, show, secret, parse } = self;
        Format { expects, show, secret, parse: Box::new(move |text| parse(text).and_then(&step)) }
    }

    pub fn parse(&self, text: &str) -> Result<T, String> {
        (self.parse)(text.trim())
    }
}

/// A whole number of a unit, within a range.
pub fn whole<T>(range: RangeInclusive<T>) -> Format<T>
where
    T: TryFrom<u64> + Copy + PartialOrd + Display + 'static,
{
    Format::new(format!("a whole number from {} to {}", range.start(), range.end()), move |text| {
        let number: u64 = text.parse().map_err(|_| "is not a whole number".to_owned())?;
        let number = T::try_from(number).ok().filter(|number| range.contains(number));
        number.ok_or_else(|| "is out of range".to_owned())
    })
}

pub fn yes_or_no() -> Format<bool> {
    Format::new("true or false", |text| {
        text.parse().map_err(|_| "is neither true nor false".to_owned())
    })
}

pub fn path() -> Format<PathBuf> {
    Format::new("a path", |text| match text {
        "" => Err("is no path".to_owned()),
        text => Ok(PathBuf::from(text)),
    })
}

/// One word of a fixed list.
pub fn word<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> Format<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    Format::new(format!("one of: {}", names.join(", ")), |text| {
        let found = words.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| "is none of them".to_owned())
    })
}

/// A comma-separated list; the first bad item is named.
pub fn list<T: 'static>(
    expects: &str,
    item: impl Fn(&str) -> Result<T, String> + 'static,
) -> Format<Vec<T>> {
    Format::new(expects, move |text| {
        let items = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        items
            .map(|text| item(text).map_err(|reason| format!("has `{text}` in it, which {reason}")))
            .collect()
    })
}

/// A URL with one of the given schemes.
pub fn url(schemes: &'static [&'static str]) -> Format<String> {
    let examples: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}…")).collect();
    Format::new(format!("a URL: {}", examples.join(" or ")), |text| {
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            return Err("starts with another scheme".to_owned());
        }
        Url::parse(text).map(|_| text.to_owned()).map_err(|error| format!("is not a URL ({error})"))
    })
}

fn hide(text: &str) -> String {
    if text.is_empty() { String::new() } else { "[redacted]".to_owned() }
}

/// Hides the password before the host, and PostgreSQL's `password` parameter.
pub fn hide_password(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return hide(text) };
    let has_parameter = url.query_pairs().any(|(name, _)| is_password(&name));
    if url.password().is_none() && !has_parameter {
        return text.to_owned();
    }
    if url.password().is_some() {
        // Fails only for a URL without a host, which has no password.
        _ = url.set_password(Some("redacted"));
    }
    if has_parameter {
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let shown = pairs
            .iter()
            .map(|(name, value)| (name, if is_password(name) { "redacted" } else { value }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.to_string()
}

fn is_password(parameter: &str) -> bool {
    parameter.to_ascii_lowercase().contains("password")
}
