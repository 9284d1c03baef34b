//! Limits as headers: `RateLimit-Policy` and `RateLimit` (structured fields, after the draft of
//! the IETF), `Retry-After`, and the older `X-RateLimit-*` that most clients read today.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use keys::limiter::Standing;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const DEGRADED: HeaderName = HeaderName::from_static("x-ratelimit-degraded");
/// The largest integer of a structured field.
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// What the caller of a limited thing is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub limits: &'a [Standing],
    /// Only of a refusal.
    pub retry_after_ms: Option<u64>,
    /// Whether to send `X-RateLimit-*` too.
    pub legacy: bool,
}

pub(crate) fn write(headers: &mut HeaderMap, told: Told<'_>) {
    if let Some(ms) = told.retry_after_ms {
        set(headers, header::RETRY_AFTER, &retry_after_s(ms, told.limits).to_string());
    }
    if told.limits.is_empty() {
        return;
    }
    set(headers, POLICY, &policies(told.limits));
    set(headers, STANDING, &standings(told.limits));
    if told.limits.iter().any(|limit| limit.degraded) {
        headers.insert(DEGRADED, HeaderValue::from_static("true"));
    }
    if told.legacy
        && let Some(tightest) = tightest(told.limits)
    {
        set(headers, LEGACY_LIMIT, &tightest.limit.to_string());
        set(headers, LEGACY_REMAINING, &tightest.remaining.to_string());
        set(headers, LEGACY_RESET, &seconds(tightest.reset_ms).to_string());
    }
}

fn policies(limits: &[Standing]) -> String {
    list(limits, |text, limit| {
        let (quota, window_s) = (limit.limit.min(MAX_INTEGER), seconds(limit.window_ms).max(1));
        let _ = write!(text, ";q={quota};w={window_s}");
    })
}

fn standings(limits: &[Standing]) -> String {
    list(limits, |text, limit| {
        let remaining = limit.remaining.min(MAX_INTEGER);
        let _ = write!(text, ";r={remaining};t={}", seconds(limit.reset_ms));
    })
}

/// A list of strings with parameters.
fn list(limits: &[Standing], parameters: impl Fn(&mut String, &Standing)) -> String {
    let mut text = String::new();
    for limit in limits {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('"');
        for character in limit.name.chars().filter(|c| *c == ' ' || c.is_ascii_graphic()) {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
        parameters(&mut text, limit);
    }
    text
}

/// At least one second, and not before the limits in the way say.
fn retry_after_s(ms: u64, limits: &[Standing]) -> u64 {
    let in_the_way = limits.iter().filter(|limit| limit.exceeded).map(|limit| limit.reset_ms);
    seconds(in_the_way.fold(ms, u64::max)).max(1)
}

/// The one that ends first: what is exceeded, else what has the smallest part left.
fn tightest(limits: &[Standing]) -> Option<&Standing> {
    let part = |limit: &Standing| {
        u128::from(limit.remaining) * u128::from(u32::MAX) / u128::from(limit.limit.max(1))
    };
    limits.iter().min_by_key(|limit| (!limit.exceeded, part(limit)))
}

/// Begun seconds count.
const fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &str, remaining: u64, reset_ms: u64) -> Standing {
        Standing {
            name: name.into(),
            limit: 100,
            window_ms: 60_000,
            remaining,
            reset_ms,
            exceeded: remaining == 0,
            degraded: false,
        }
    }

    fn written(told: Told<'_>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(&mut headers, told);
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        headers.iter().map(line).collect()
    }

    #[test]
    fn two_limits_and_one_of_them_exceeded() {
        let limits = [standing("minute", 0, 12_001), standing("a \"b\" \\", 40, 400)];
        let told = Told { limits: &limits, retry_after_ms: Some(900), legacy: true };
        assert_eq!(
            written(told),
            [
                "retry-after: 13",
                r#"ratelimit-policy: "minute";q=100;w=60, "a \"b\" \\";q=100;w=60"#,
                r#"ratelimit: "minute";r=0;t=13, "a \"b\" \\";r=40;t=1"#,
                "x-ratelimit-limit: 100",
                "x-ratelimit-remaining: 0",
                "x-ratelimit-reset: 13",
            ]
        );
    }

    #[test]
    fn a_success_has_nothing_to_wait_for() {
        let limits = [standing("minute", 99, 60_000)];
        let told = Told { limits: &limits, retry_after_ms: None, legacy: false };
        assert_eq!(
            written(told),
            [r#"ratelimit-policy: "minute";q=100;w=60"#, r#"ratelimit: "minute";r=99;t=60"#]
        );
        assert!(written(Told { limits: &[], ..told }).is_empty());
    }

    #[test]
    fn figures_stay_within_their_form() {
        let mut limit = standing("huge", 1, 0);
        (limit.limit, limit.remaining, limit.window_ms) = (u64::MAX, u64::MAX, 1);
        limit.degraded = true;
        let told = Told { limits: &[limit], retry_after_ms: Some(0), legacy: false };
        assert_eq!(
            written(told),
            [
                "retry-after: 1",
                r#"ratelimit-policy: "huge";q=999999999999999;w=1"#,
                r#"ratelimit: "huge";r=999999999999999;t=0"#,
                "x-ratelimit-degraded: true",
            ]
        );
    }
}
