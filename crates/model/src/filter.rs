//! Which messages an endpoint wants: event types (exact or `contact.*`) and channels.

use crate::name::{self, BadName};

/// An endpoint's wish. Empty lists mean "all".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub event_types: Vec<String>,
    pub channels: Vec<String>,
}

impl Filter {
    /// Whether a message of this type and with these channels is wanted.
    ///
    /// A message without channels misses endpoints that have some.
    #[must_use]
    pub fn wants(&self, event_type: &str, channels: &[String]) -> bool {
        let type_wanted = self.event_types.is_empty()
            || self.event_types.iter().any(|pattern| pattern_matches(pattern, event_type));
        let channel_wanted =
            self.channels.is_empty() || channels.iter().any(|c| self.channels.contains(c));
        type_wanted && channel_wanted
    }
}

/// `contact.*` matches `contact.created` and `contact.address.changed`, not `contact`;
/// `*` matches everything.
#[must_use]
pub fn pattern_matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => event_type.len() > prefix.len() && event_type.starts_with(prefix),
        None => pattern == event_type,
    }
}

/// Checks an exact name, `*`, or a name that ends in `.*`.
///
/// # Errors
/// When it is none of these.
pub fn check_pattern(pattern: &str) -> Result<(), BadName> {
    match pattern.strip_suffix(".*") {
        Some(prefix) => name::check_name(prefix, name::MAX_NAME_LEN - 2),
        None if pattern == "*" => Ok(()),
        None => name::check_name(pattern, name::MAX_NAME_LEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(
        types: &[&str],
        filter_channels: &[&str],
        event_type: &str,
        channels: &[&str],
    ) -> bool {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Filter { event_types: owned(types), channels: owned(filter_channels) }
            .wants(event_type, &owned(channels))
    }

    #[test]
    fn types_match_exactly_or_by_wildcard() {
        assert!(wants(&[], &[], "contact.created", &[]));
        assert!(wants(&["contact.created"], &[], "contact.created", &[]));
        assert!(wants(&["contact.*"], &[], "contact.address.changed", &[]));
        assert!(wants(&["*"], &[], "anything", &[]));
        assert!(!wants(&["contact.*"], &[], "contact", &[]));
        assert!(!wants(&["contact.*"], &[], "contacts.created", &[]));
        assert!(!wants(&["contact.created"], &[], "contact.created2", &[]));
    }

    #[test]
    fn channels_narrow() {
        assert!(wants(&[], &["eu"], "a", &["us", "eu"]));
        assert!(!wants(&[], &["eu"], "a", &["us"]));
        assert!(!wants(&[], &["eu"], "a", &[]));
        assert!(wants(&[], &[], "a", &["us"]));
    }

    #[test]
    fn patterns_are_names_or_wildcards_at_the_end() {
        for good in ["contact.created", "contact.*", "*", "a-b_c.*"] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in ["", "con*tact", "contact*", "*.created", ".*x", "a b"] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
    }
}
