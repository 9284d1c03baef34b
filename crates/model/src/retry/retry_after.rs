//! The `Retry-After` header of RFC 9110: a number of seconds, or a date in one of three forms.

use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;

use crate::Timestamp;

/// A receiver that asks for more gets this.
pub const MAX_RETRY_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

const IMF_FIXDATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
const RFC_850: &str = "%A, %d-%b-%y %H:%M:%S GMT";
const ASCTIME: &str = "%a %b %e %H:%M:%S %Y";

/// The pause that the receiver asked for; `None` for what the standard does not know, and for
/// dates that have passed.
#[must_use]
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number too large for u64 fails, and that is more than the cap.
        let seconds: u64 = value.parse().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000).min(MAX_RETRY_AFTER_MS));
    }
    match parse_http_date(value, now)?.since_ms(now) {
        0 => None,
        wait_ms => Some(wait_ms.min(MAX_RETRY_AFTER_MS)),
    }
}

fn parse_http_date(value: &str, now: Timestamp) -> Option<Timestamp> {
    let parse = |format| strtime::parse(format, value).ok();
    if let Some(date) = parse(IMF_FIXDATE).or_else(|| parse(ASCTIME)) {
        return to_timestamp(date);
    }
    let mut date = parse(RFC_850)?;
    let year = date.year()?;
    date.set_year(Some(nearest_century(year, now)?)).ok()?;
    to_timestamp(date)
}

/// The weekday is redundant; a wrong one does not make the moment unclear.
fn to_timestamp(mut date: BrokenDownTime) -> Option<Timestamp> {
    date.set_weekday(None);
    let since_epoch = date.to_datetime().ok()?.duration_since(EPOCH);
    Some(Timestamp(since_epoch.as_secs().saturating_mul(1_000)))
}

/// A two-digit year that seems to lie more than 50 years ahead means the past.
fn nearest_century(year: i16, now: Timestamp) -> Option<i16> {
    let now = jiff::Timestamp::from_millisecond(now.0).ok()?;
    let this_year = now.to_zoned(TimeZone::UTC).year();
    let this_century = this_year - this_year.rem_euclid(100) + year.rem_euclid(100);
    let candidates = [this_century + 100, this_century, this_century - 100];
    candidates.into_iter().find(|candidate| *candidate <= this_year + 50)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("1994-11-06T07:49:37Z").unwrap()
    }

    #[test]
    fn seconds_are_digits_only() {
        for (value, expected) in [
            ("0", Some(0)),
            ("1", Some(1_000)),
            (" 120 ", Some(120_000)),
            ("007", Some(7_000)),
            ("86399", Some(86_399_000)),
            ("86401", Some(MAX_RETRY_AFTER_MS)),
            ("99999999999999999999999", Some(MAX_RETRY_AFTER_MS)),
            ("18446744073709551615", Some(MAX_RETRY_AFTER_MS)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("0x10", None),
            ("1 2", None),
            ("١٢", None),
            ("soon", None),
        ] {
            assert_eq!(parse_retry_after(value, now()), expected, "{value:?}");
        }
    }

    #[test]
    fn dates_come_in_three_forms() {
        for value in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Mon, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse_retry_after(value, now()), Some(HOUR_MS), "{value}");
        }
    }

    #[test]
    fn dates_are_capped_ignored_when_past_and_refused_when_strange() {
        assert_eq!(parse_retry_after("Tue, 08 Nov 1994 08:49:37 GMT", now()), Some(24 * HOUR_MS));
        assert_eq!(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now()), Some(24 * HOUR_MS));
        for value in [
            "Sun, 06 Nov 1994 07:49:37 GMT",
            "Sun, 06 Nov 1994 07:49:36 GMT",
            "Sunday, 06-Nov-93 08:49:37 GMT",
            "Sun, 31 Feb 1995 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Sun, 06 Nov 1994 08:49:37",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(parse_retry_after(value, now()), None, "{value}");
        }
    }

    #[test]
    fn a_two_digit_year_lies_at_most_fifty_years_ahead() {
        let year_seen_from =
            |year, now| nearest_century(year, Timestamp::parse_rfc3339(now).unwrap());
        assert_eq!(year_seen_from(1994, "2026-01-01T00:00:00Z"), Some(1994));
        assert_eq!(year_seen_from(1976, "2026-01-01T00:00:00Z"), Some(2076));
        assert_eq!(year_seen_from(1977, "2026-01-01T00:00:00Z"), Some(1977));
        assert_eq!(year_seen_from(2026, "2026-01-01T00:00:00Z"), Some(2026));
        assert_eq!(year_seen_from(2001, "1999-12-31T23:59:59Z"), Some(2001));
        assert_eq!(year_seen_from(2001, "2099-12-31T23:59:59Z"), Some(2101));
    }

    proptest! {
        #[test]
        fn any_number_of_seconds_is_kept_or_capped(seconds: u64) {
            let wait_ms = parse_retry_after(&seconds.to_string(), now());
            prop_assert_eq!(wait_ms, Some(seconds.min(86_400) * 1_000));
        }

        /// The three forms of one moment mean the same wait.
        #[test]
        fn the_forms_agree(offset_s in -90_000_i64..90_000) {
            let moment = Timestamp(now().0 + offset_s * 1_000);
            let instant = jiff::Timestamp::from_millisecond(moment.0).unwrap();
            let zoned = instant.to_zoned(TimeZone::UTC);
            let expected = match offset_s {
                1.. => Some((offset_s as u64 * 1_000).min(MAX_RETRY_AFTER_MS)),
                _ => None,
            };
            for format in [IMF_FIXDATE, RFC_850, ASCTIME] {
                let value = zoned.strftime(format).to_string();
                prop_assert_eq!(parse_retry_after(&value, now()), expected, "{}", value);
            }
        }

        #[test]
        fn reading_never_panics_nor_passes_the_cap(text: String, time: i64) {
            let dates = [format!("Sunday, {text} GMT"), format!("Sun, 06 Nov {text}")];
            for value in dates.into_iter().chain([text]) {
                let wait_ms = parse_retry_after(&value, Timestamp(time));
                prop_assert!(wait_ms.unwrap_or(0) <= MAX_RETRY_AFTER_MS);
            }
            let _ = parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", Timestamp(time));
        }
    }
}
