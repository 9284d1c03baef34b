//! Where in a payload a value stands, and whether it is a certain one.
//!
//! A path is `$` and then steps: `.name` into an object, `[3]` into an array. A payload is read as
//! it streams by and never built up. A name that an object has twice is looked at twice: whoever
//! asks for a value to be erased means it wherever it stands.

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

pub const MAX_STEPS: usize = 16;
const MAX_CHARACTERS: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJsonPath {
    #[error("must begin with $ and have steps such as .name or [0]")]
    Shape,
    #[error("may have at most {MAX_STEPS} steps and {MAX_CHARACTERS} characters")]
    TooLong,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    Positive(u64),
    Negative(i64),
    Text(String),
}

impl FromStr for JsonPath {
    type Err = BadJsonPath;

    fn from_str(text: &str) -> Result<Self, BadJsonPath> {
        if text.chars().count() > MAX_CHARACTERS {
            return Err(BadJsonPath::TooLong);
        }
        let mut rest = text.strip_prefix('$').ok_or(BadJsonPath::Shape)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = first_step(rest).ok_or(BadJsonPath::Shape)?;
            steps.push(step);
            rest = after;
        }
        match steps.len() {
            0 => Err(BadJsonPath::Shape),
            1..=MAX_STEPS => Ok(Self(steps)),
            _ => Err(BadJsonPath::TooLong),
        }
    }
}

fn first_step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        return (!name.is_empty()).then(|| (Step::Name(name.to_owned()), after));
    }
    let (index, after) = text.strip_prefix('[')?.split_once(']')?;
    let is_plain = index.bytes().all(|byte| byte.is_ascii_digit());
    Some((Step::Index(index.parse().ok().filter(|_| is_plain)?), after))
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl JsonPath {
    /// Whether the value is there. What is no JSON has none.
    #[must_use]
    pub fn finds(&self, wanted: &Scalar, payload: &[u8]) -> bool {
        let mut reader = serde_json::Deserializer::from_slice(payload);
        Seek { steps: &self.0, wanted }.deserialize(&mut reader).unwrap_or(false)
    }
}

#[derive(Clone, Copy)]
struct Seek<'a> {
    steps: &'a [Step],
    wanted: &'a Scalar,
}

impl Seek<'_> {
    fn is(self, value: &Scalar) -> bool {
        self.steps.is_empty() && self.wanted == value
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.is(&Scalar::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(self.is(&Scalar::Positive(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        Ok(self.is(&Scalar::Negative(value)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        let is_text = |wanted: &Scalar| matches!(wanted, Scalar::Text(text) if text == value);
        Ok(self.steps.is_empty() && is_text(self.wanted))
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.steps {
                [Step::Name(name), rest @ ..] if *name == key => {
                    found |= map.next_value_seed(Seek { steps: rest, ..self })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let (wanted, rest) = match self.steps {
            [Step::Index(index), rest @ ..] => (*index, rest),
            _ => (usize::MAX, self.steps),
        };
        let mut found = false;
        for index in 0.. {
            let seen = if index == wanted {
                list.next_element_seed(Seek { steps: rest, ..self })?
            } else {
                list.next_element::<IgnoredAny>()?.map(|_| false)
            };
            match seen {
                Some(is_it) => found |= is_it,
                None => break,
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(path: &str, wanted: &Scalar, payload: &str) -> bool {
        path.parse::<JsonPath>().unwrap().finds(wanted, payload.as_bytes())
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn paths_are_read_and_written() {
        for path in ["$.contact.id", "$[0]", "$.a[12].b", "$.Ünï cödé"] {
            assert_eq!(path.parse::<JsonPath>().unwrap().to_string(), path);
        }
        for bad in
            ["", "$", "contact", "$.", "$..a", "$[]", "$[-1]", "$[+1]", "$[a]", "$[1", "$.a."]
        {
            assert_eq!(bad.parse::<JsonPath>(), Err(BadJsonPath::Shape), "{bad}");
        }
        let deep = format!("${}", ".a".repeat(MAX_STEPS + 1));
        assert_eq!(deep.parse::<JsonPath>(), Err(BadJsonPath::TooLong));
    }

    #[test]
    fn a_value_is_found_where_it_stands_and_nowhere_else() {
        let payload = r#"{"contact":{"id":"c-1","tags":["a",{"x":7}],"vip":true},"id":-3}"#;
        assert!(finds("$.contact.id", &text("c-1"), payload));
        assert!(finds("$.contact.tags[0]", &text("a"), payload));
        assert!(finds("$.contact.tags[1].x", &Scalar::Positive(7), payload));
        assert!(finds("$.contact.vip", &Scalar::Bool(true), payload));
        assert!(finds("$.id", &Scalar::Negative(-3), payload));
        for (path, wanted) in [
            ("$.id", text("c-1")),
            ("$.contact", text("c-1")),
            ("$.contact.id.x", text("c-1")),
            ("$.contact.tags[2]", text("a")),
            ("$.contact.tags[1].x", text("7")),
            ("$.contact.id", text("c-2")),
        ] {
            assert!(!finds(path, &wanted, payload), "{path} {wanted:?}");
        }
    }

    #[test]
    fn escapes_twins_big_numbers_and_junk() {
        assert!(finds("$.a", &text("é\n"), r#"{"a":"\u00e9\n"}"#));
        assert!(finds("$.é", &Scalar::Positive(1), r#"{"\u00e9":1}"#));
        assert!(finds("$.a", &Scalar::Positive(1), r#"{"a":1,"a":2}"#));
        assert!(finds("$.a", &Scalar::Positive(2), r#"{"a":1,"a":2}"#));
        let big = Scalar::Positive(u64::MAX);
        assert!(finds("$.a", &big, r#"{"a":18446744073709551615}"#));
        assert!(!finds("$.a", &big, r#"{"a":18446744073709551616}"#));
        assert!(!finds("$.a", &Scalar::Positive(1), r#"{"a":1.0}"#));
        assert!(!finds("$.a", &Scalar::Positive(1), r#"{"a":1"#));
        assert!(!finds("$.a", &Scalar::Positive(1), "not JSON"));
    }
}
