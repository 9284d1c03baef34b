//! Query parameters that are lists, and the filter that several resources share.
//!
//! A list is written `event_types=a,b`; `event_types=a&event_types=b`, `event_types[]=a` and
//! `event_types[0]=a` mean the same. [`one_form`] turns them all into the first form before
//! anything is read.

use serde::{Deserialize, Deserializer};
use store::MessageFilter;
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::wire::Moment;

/// The query with each parameter once: values of the same name are joined by commas.
pub(crate) fn one_form(query: &str) -> String {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = base_name(&name);
        match joined.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => joined.push((name.to_owned(), value.into_owned())),
        }
    }
    form_urlencoded::Serializer::new(String::new()).extend_pairs(joined).finish()
}

/// `event_types` of `event_types[]` and `event_types[7]`.
fn base_name(name: &str) -> &str {
    let Some((base, index)) = name.strip_suffix(']').and_then(|name| name.split_once('[')) else {
        return name;
    };
    if index.bytes().all(|b| b.is_ascii_digit()) { base } else { name }
}

/// A list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }
}

/// What lists of messages, attempts and deliveries can be narrowed by.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MessageFilterIn {
    /// Only these event types, joined by commas.
    #[serde(default)]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    event_types: Names,
    /// Only messages with this channel.
    #[serde(default)]
    channel: Option<String>,
    /// Only messages with this tag.
    #[serde(default)]
    tag: Option<String>,
    /// Only what is older than this moment.
    #[serde(default)]
    before: Option<Moment>,
    /// Only what is newer than this moment.
    #[serde(default)]
    after: Option<Moment>,
}

impl From<MessageFilterIn> for MessageFilter {
    fn from(filter: MessageFilterIn) -> Self {
        Self {
            event_types: filter.event_types.0,
            channel: filter.channel,
            tag: filter.tag,
            before: filter.before.map(|moment| moment.0),
            after: filter.after.map(|moment| moment.0),
        }
    }
}

/// The class of an answer's status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCodeClass(pub u16);

impl<'de> Deserialize<'de> for StatusCodeClass {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u16::deserialize(from)? {
            class @ (100 | 200 | 300 | 400 | 500) => Ok(Self(class)),
            _ => Err(serde::de::Error::custom("status_code_class is 100, 200, 300, 400 or 500")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_list_is_the_same() {
        for query in [
            "limit=2&event_types=a.b,c",
            "limit=2&event_types=a.b%2Cc",
            "limit=2&event_types=a.b&event_types=c",
            "limit=2&event_types[]=a.b&event_types[]=c",
            "limit=2&event_types%5B0%5D=a.b&event_types%5B1%5D=c",
            "event_types[0]=a.b&limit=2&event_types[17]=c",
        ] {
            let form = one_form(query);
            let mut pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).collect();
            pairs.sort();
            let expected = [("event_types".into(), "a.b,c".into()), ("limit".into(), "2".into())];
            assert_eq!(pairs, expected, "{query}");
        }
    }

    #[test]
    fn other_brackets_are_part_of_the_name() {
        assert_eq!(one_form("a[b]=1"), "a%5Bb%5D=1");
        assert_eq!(one_form("]=1&x=+"), "%5D=1&x=+");
    }
}
