use proptest::prelude::*;

use super::*;
use crate::Entropy;

const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn parts(cron: &str, duration_minutes: u32, time_zone: &str) -> RecurrenceParts {
    let (cron, time_zone) = (cron.to_owned(), time_zone.to_owned());
    RecurrenceParts { cron, duration_minutes, time_zone, from: None, until: None }
}

fn recurring(cron: &str, duration_minutes: u32, time_zone: &str) -> Recurrence {
    Recurrence::new(parts(cron, duration_minutes, time_zone)).unwrap()
}

fn window(plan: Plan) -> Window {
    Window {
        id: WindowId::new(Timestamp(0), &Entropy::seeded(1)),
        scope: Scope::Instance,
        name: "upgrade".to_owned(),
        reason: String::new(),
        plan,
        enabled: true,
        ended_at: None,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
    }
}

fn once(starts_at: i64, ends_at: i64) -> Window {
    let interval = Interval { starts_at: Timestamp(starts_at), ends_at: Timestamp(ends_at) };
    window(Plan::Once(interval))
}

/// The starts from a moment on, as text in UTC.
fn starts(recurrence: &Recurrence, from: &str, n: usize) -> Vec<String> {
    let first = recurrence.from(at(from));
    let all =
        std::iter::successors(first, |last| recurrence.from(last.starts_at.plus_ms(1))).take(n);
    all.map(|occurrence| occurrence.starts_at.to_rfc3339().replace(":00.000Z", "Z")).collect()
}

#[test]
fn a_start_that_the_clocks_leave_out_is_the_first_moment_after() {
    let berlin = recurring("30 2 * * *", 60, "Europe/Berlin");
    assert_eq!(
        starts(&berlin, "2027-03-27T00:00:00Z", 3),
        ["2027-03-27T01:30Z", "2027-03-28T01:00Z", "2027-03-29T00:30Z"]
    );
    let new_york = recurring("30 2 * * *", 60, "America/New_York");
    assert_eq!(
        starts(&new_york, "2027-03-13T00:00:00Z", 3),
        ["2027-03-13T07:30Z", "2027-03-14T07:00Z", "2027-03-15T06:30Z"]
    );
    // Half an hour is left out there: 02:00 to 02:30.
    let lord_howe = recurring("15 2 * * *", 60, "Australia/Lord_Howe");
    assert_eq!(
        starts(&lord_howe, "2027-10-01T00:00:00Z", 3),
        ["2027-10-01T15:45Z", "2027-10-02T15:30Z", "2027-10-03T15:15Z"]
    );
}

#[test]
fn a_start_that_comes_twice_happens_once_and_early() {
    let berlin = recurring("30 2 * * *", 60, "Europe/Berlin");
    assert_eq!(
        starts(&berlin, "2027-10-30T00:00:00Z", 3),
        ["2027-10-30T00:30Z", "2027-10-31T00:30Z", "2027-11-01T01:30Z"]
    );
    let new_york = recurring("30 1 * * *", 60, "America/New_York");
    assert_eq!(
        starts(&new_york, "2027-11-06T00:00:00Z", 3),
        ["2027-11-06T05:30Z", "2027-11-07T05:30Z", "2027-11-08T06:30Z"]
    );
    let lord_howe = recurring("45 1 * * *", 60, "Australia/Lord_Howe");
    assert_eq!(
        starts(&lord_howe, "2027-04-02T12:00:00Z", 3),
        ["2027-04-02T14:45Z", "2027-04-03T14:45Z", "2027-04-04T15:15Z"]
    );
}

#[test]
fn it_lasts_as_long_as_it_lasts_whatever_the_clocks_do() {
    for (zone, day) in [
        ("Europe/Berlin", "2027-03-27T12:00:00Z"),
        ("Europe/Berlin", "2027-10-30T12:00:00Z"),
        ("America/New_York", "2027-03-13T12:00:00Z"),
        ("America/New_York", "2027-11-06T12:00:00Z"),
    ] {
        let occurrence = recurring("0 0 * * *", 240, zone).from(at(day)).unwrap();
        assert_eq!(occurrence.ends_at.since_ms(occurrence.starts_at), 4 * HOUR_MS, "{zone} {day}");
    }
}

#[test]
fn hourly_starts_in_a_fold_happen_once() {
    let hourly = recurring("0 * * * *", 10, "Europe/Berlin");
    assert_eq!(
        starts(&hourly, "2027-10-30T23:00:00Z", 4),
        // The second two o'clock, at 01:00Z, is none.
        ["2027-10-30T23:00Z", "2027-10-31T00:00Z", "2027-10-31T02:00Z", "2027-10-31T03:00Z"]
    );
}

#[test]
fn days_bound_when_it_may_begin() {
    let bounded = RecurrenceParts {
        from: Some("2027-03-27".to_owned()),
        until: Some("2027-03-28".to_owned()),
        ..parts("0 23 * * *", 120, "America/New_York")
    };
    let bounded = Recurrence::new(bounded).unwrap();
    assert_eq!(
        starts(&bounded, "2026-01-01T00:00:00Z", 9),
        ["2027-03-28T03:00Z", "2027-03-29T03:00Z"]
    );
    let last = bounded.occurrence(at("2027-03-29T04:59:59.999Z"));
    assert_eq!(last.unwrap().ends_at, at("2027-03-29T05:00:00Z"));
    assert_eq!(bounded.occurrence(at("2027-03-29T05:00:00Z")), None);
}

#[test]
fn last_and_nth_days_are_understood() {
    let last_sunday = recurring("0 2 * * SUN#L", 60, "UTC");
    assert_eq!(starts(&last_sunday, "2027-03-01T00:00:00Z", 1), ["2027-03-28T02:00Z"]);
    let first_monday = recurring("0 2 * * MON#1", 60, "Etc/UTC");
    assert_eq!(starts(&first_monday, "2027-03-02T00:00:00Z", 1), ["2027-04-05T02:00Z"]);
    let last_day = recurring("0 2 L * *", 60, "UTC");
    assert_eq!(starts(&last_day, "2028-02-02T00:00:00Z", 1), ["2028-02-29T02:00Z"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    let refused = |parts| {
        let why = Recurrence::new(parts).unwrap_err();
        (why.field(), why)
    };
    for cron in ["", "x", "* * * *", "0 0 2 * * *", "60 2 * * *", "@daily", "0 2 * * XYZ", "é"] {
        let (field, why) = refused(parts(cron, 10, "UTC"));
        assert!(field == "cron" && matches!(why, BadPlan::Cron(_)), "{cron}: {why}");
    }
    assert_eq!(refused(parts("0 2 30 2 *", 10, "UTC")), ("cron", BadPlan::NeverHappens));
    for zone in ["", "Mars/Olympus", "+02:00", "../../etc/passwd", &"x".repeat(10_000)] {
        assert_eq!(refused(parts("0 2 * * *", 10, zone)).0, "timeZone", "{zone}");
    }
    for minutes in [0, MAX_DURATION_MINUTES + 1] {
        assert_eq!(refused(parts("0 2 1 1 *", minutes, "UTC")).1, BadPlan::Duration);
    }
    assert_eq!(refused(parts("0 2 * * *", 1_440, "UTC")).1, BadPlan::LongerThanPeriod(1_440));
    assert_eq!(refused(parts("0 2,14 * * *", 800, "UTC")).1, BadPlan::LongerThanPeriod(720));
    let days = |from: &str, until: &str| RecurrenceParts {
        from: Some(from.to_owned()),
        until: Some(until.to_owned()),
        ..parts("0 2 * * *", 10, "UTC")
    };
    assert_eq!(refused(days("2027-01-02", "2027-01-01")).1, BadPlan::UntilBeforeFrom);
    assert!(matches!(refused(days("2027-13-01", "2027-01-01")).1, BadPlan::Date(_)));
    assert_eq!(Plan::once(Timestamp(5), Timestamp(5)), Err(BadPlan::EndBeforeStart));
    let late = Timestamp(1).plus_ms(MAX_ONCE_MS);
    assert_eq!(Plan::once(Timestamp(0), late), Err(BadPlan::TooLong));
}

#[test]
fn a_plan_survives_its_text_under_the_zones_own_name() {
    let plan = Plan::recurring(parts("0  2 * *  sun", 90, "europe/berlin")).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(
        text,
        r#"{"recurring":{"cron":"0 2 * * sun","duration_minutes":90,"time_zone":"Europe/Berlin"}}"#
    );
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    assert!(serde_json::from_str::<Plan>(&text.replace("sun", "sum")).is_err());
    let plan = once(5, 9).plan;
    assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
}

#[test]
fn an_occurrence_can_be_ended() {
    let mut once = once(10, 20);
    assert!(!once.end(Timestamp(9)), "it has not begun");
    assert!(once.end(Timestamp(15)) && !once.end(Timestamp(15)));
    assert!(!once.is_active(Timestamp(15)) && once.is_active(Timestamp(14)));
    let mut nightly = window(Plan::recurring(parts("0 2 * * *", 60, "UTC")).unwrap());
    let tomorrow = at("2027-01-02T02:00:00Z");
    for now in ["2027-01-01T02:00:00Z", "2027-01-01T02:59:59.999Z"] {
        assert!(nightly.end(at(now)));
        assert!(!nightly.end(at(now)));
        assert_eq!(nightly.occurrence(at(now)).unwrap().starts_at, tomorrow);
        nightly.ended_at = None;
    }
    nightly.enabled = false;
    assert!(nightly.occurrence(tomorrow).is_none() && nightly.upcoming(tomorrow, 5).is_empty());
}

#[test]
fn windows_that_overlap_or_touch_are_one_hold() {
    let windows = [once(10, 20), once(30, 40), once(15, 25), once(25, 28), once(50, 60)];
    let held = Held::merge(&windows, Timestamp(0));
    let of = |starts_at, ends_at| Interval {
        starts_at: Timestamp(starts_at),
        ends_at: Timestamp(ends_at),
    };
    assert_eq!(held.intervals(), [of(10, 28), of(30, 40)]);
    assert_eq!(held.known_until(), Timestamp(40));
    assert_eq!(held.until(Timestamp(9)), None);
    assert_eq!(held.until(Timestamp(10)), Some(Timestamp(28)));
    assert_eq!(held.until(Timestamp(27)), Some(Timestamp(28)));
    assert_eq!(held.until(Timestamp(28)), None);
    let later = Held::merge(&windows, Timestamp(29));
    assert_eq!(later.intervals(), [of(30, 40), of(50, 60)]);
    assert_eq!(Held::merge(&windows, Timestamp(60)), Held::default());
    assert_eq!(Held::merge(&[], Timestamp(0)).known_until(), Timestamp::NEVER);
}

#[test]
fn windows_that_follow_each_other_for_ever_are_cut_off() {
    let day = window(Plan::recurring(parts("0 0 * * *", 720, "UTC")).unwrap());
    let night = window(Plan::recurring(parts("0 12 * * *", 721, "UTC")).unwrap());
    let now = at("2027-01-01T06:00:00Z");
    let held = Held::merge([&day, &night], now);
    let days = u64::try_from(MAX_MERGED / 2).unwrap();
    assert_eq!(held.intervals().len(), 1);
    assert!(held.until(now).unwrap() >= now.plus_ms((days - 1) * DAY_MS));
    assert_eq!(held.until(now), Some(held.known_until()));
}

#[test]
fn quiet_hours_are_any_time_or_recur() {
    let now = at("2027-01-01T06:00:00Z");
    assert!("".parse::<QuietHours>().unwrap().is_quiet(now));
    let hours: QuietHours = "0 1 * * *; 120; Europe/Berlin".parse().unwrap();
    assert!(hours.is_quiet(at("2027-01-01T00:00:00Z")));
    assert!(!hours.is_quiet(at("2027-01-01T02:00:00Z")));
    assert!(hours.is_quiet(at("2027-07-01T00:59:59.999Z")));
    for bad in ["0 1 * * *", "0 1 * * *; x; UTC", "0 1 * * *; 5; Moon", "0 1 * *; 5; UTC", ";;;"] {
        assert!(bad.parse::<QuietHours>().is_err(), "{bad}");
    }
}

/// Everything that a clock on the wall shows minute by minute, and when: the plain way to find
/// the starts of a day and its neighbours.
fn brute_starts(minutes_of_day: &[i16], zone: &str, from: Timestamp, ms: u64) -> Vec<Timestamp> {
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let wall = |moment: Timestamp| {
        let stamp = jiff::Timestamp::from_millisecond(moment.0).unwrap();
        zone.to_datetime(stamp)
    };
    let mut found = Vec::new();
    // The latest wall time seen: what lies before it has happened or was left out.
    let mut seen = wall(from.minus_ms(2 * DAY_MS));
    for minute in 1..(ms + 2 * DAY_MS) / MINUTE_MS {
        let moment = from.minus_ms(2 * DAY_MS).plus_ms(minute * MINUTE_MS);
        let shown = wall(moment);
        let mut passed = seen;
        let mut is_start = false;
        while passed < shown {
            passed = passed.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
            let of_day = i16::from(passed.hour()) * 60 + i16::from(passed.minute());
            is_start |= minutes_of_day.contains(&of_day);
        }
        seen = seen.max(shown);
        if is_start && moment >= from {
            found.push(moment);
        }
    }
    found
}

const CHANGES: [(&str, &str); 8] = [
    ("Europe/Berlin", "2027-03-28T01:00:00Z"),
    ("Europe/Berlin", "2027-10-31T01:00:00Z"),
    ("America/New_York", "2027-03-14T07:00:00Z"),
    ("America/New_York", "2027-11-07T06:00:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T15:00:00Z"),
    ("Australia/Lord_Howe", "2027-10-02T15:30:00Z"),
    // A whole day was left out.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "2027-06-01T00:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn starts_are_those_that_a_watcher_of_the_clock_sees(
        change in 0..CHANGES.len(),
        hours in proptest::collection::btree_set(0_i16..6, 1..4),
        minutes in proptest::collection::btree_set(0_i16..60, 1..4),
        before in 0..30 * 60 * MINUTE_MS,
    ) {
        let (zone, change) = CHANGES[change];
        let from = at(change).minus_ms(before);
        let text = |set: &std::collections::BTreeSet<i16>| {
            set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let cron = format!("{} {} * * *", text(&minutes), text(&hours));
        let recurrence = Recurrence::try_from(parts(&cron, 1, zone)).unwrap();
        let of_day: Vec<i16> =
            hours.iter().flat_map(|hour| minutes.iter().map(move |m| hour * 60 + m)).collect();
        // A whole minute, as the watcher looks only then.
        let floor = Timestamp(from.0 - from.0.rem_euclid(60_000));
        let expected: Vec<Timestamp> = brute_starts(&of_day, zone, floor, 3 * DAY_MS)
            .into_iter().filter(|start| *start >= from).collect();
        let first = recurrence.from(from);
        let found: Vec<Timestamp> =
            std::iter::successors(first, |last| recurrence.from(last.starts_at.plus_ms(1)))
                .map(|occurrence| occurrence.starts_at)
                .take_while(|start| start.since_ms(floor) < 3 * DAY_MS)
                .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn merged_windows_hold_exactly_when_one_of_them_does(
        spans in proptest::collection::vec((0_i64..200, 1_i64..40), 1..12),
        now in 0_i64..240,
    ) {
        let windows: Vec<Window> =
            spans.iter().map(|(start, length)| once(*start, start + length)).collect();
        let held = Held::merge(&windows, Timestamp(now));
        for moment in now..held.known_until().0.min(260) {
            let moment = Timestamp(moment);
            let is_held = windows.iter().any(|window| window.is_active(moment));
            prop_assert_eq!(held.until(moment).is_some(), is_held);
            if let Some(until) = held.until(moment) {
                prop_assert!(windows.iter().all(|window| !window.is_active(until)));
            }
        }
    }
}
