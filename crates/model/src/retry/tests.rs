use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const FAILED: Judgement = Judgement {
    verdict: Verdict::Failed,
    disable_endpoint: false,
    slow_endpoint: false,
    retry_after_ms: None,
};

fn asked_for(retry_after_ms: u64) -> Judgement {
    Judgement { retry_after_ms: Some(retry_after_ms), ..FAILED }
}

fn one_gap(gap_ms: u64) -> RetrySchedule {
    RetrySchedule::from_delays_ms(vec![0, gap_ms]).unwrap()
}

fn wait_ms(next: Next) -> u64 {
    match next {
        Next::RetryAt(moment) => moment.since_ms(NOW),
        other => panic!("no retry but {other:?}"),
    }
}

#[test]
fn the_default_schedule_is_the_published_one() {
    let schedule = RetrySchedule::default();
    assert_eq!(schedule.to_string(), "0s,1s,5s,15s,1m,5m,30m,2h,5h,10h,14h,20h,1d");
    assert_eq!(schedule.first_delay_ms(), 0);
    let total_ms: u64 = schedule.delays_ms().iter().sum();
    assert_eq!(total_ms, 272_181_000);
    assert_eq!((total_ms as f64 / 3_600_000.0 * 10.0).round() / 10.0, 75.6);
}

#[test]
fn a_chain_of_failures_walks_the_schedule_and_then_gives_up() {
    let schedule = RetrySchedule::default();
    let entropy = Entropy::seeded(1);
    let mut now = NOW;
    for attempts_made in 1..13 {
        let gap_ms = schedule.delays_ms()[attempts_made as usize];
        let Next::RetryAt(moment) = schedule.next(attempts_made, &FAILED, now, &entropy) else {
            panic!("gave up after {attempts_made}");
        };
        let wait_ms = moment.since_ms(now);
        assert!((gap_ms * 4 / 5..=gap_ms * 6 / 5).contains(&wait_ms), "{gap_ms}: {wait_ms}");
        now = moment;
    }
    assert_eq!(schedule.next(13, &FAILED, now, &entropy), Next::GiveUp);
    assert_eq!(schedule.next(u32::MAX, &FAILED, now, &entropy), Next::GiveUp);
    assert_eq!(schedule.next(13, &asked_for(1_000), now, &entropy), Next::GiveUp);
    let hours = now.since_ms(NOW) / HOUR_MS;
    assert!((60..=91).contains(&hours), "{hours}");
}

#[test]
fn success_ends_the_chain() {
    let delivered = judge(Some(200), None, NOW);
    let entropy = Entropy::seeded(1);
    assert_eq!(RetrySchedule::default().next(1, &delivered, NOW, &entropy), Next::Done);
    assert_eq!(RetrySchedule::default().next(13, &delivered, NOW, &entropy), Next::Done);
}

#[test]
fn only_2xx_is_success() {
    for status in 0..=999 {
        let expected = if status / 100 == 2 { Verdict::Delivered } else { Verdict::Failed };
        assert_eq!(judge(Some(status), None, NOW).verdict, expected, "{status}");
    }
    assert_eq!(judge(None, None, NOW), FAILED);
}

#[test]
fn some_failures_concern_the_whole_endpoint() {
    let where_true = |judged: fn(Judgement) -> bool| -> Vec<u16> {
        (0..=999).filter(|status| judged(judge(Some(*status), None, NOW))).collect()
    };
    assert_eq!(where_true(|judgement| judgement.disable_endpoint), [410]);
    assert_eq!(where_true(|judgement| judgement.slow_endpoint), [429, 502, 503, 504]);
}

#[test]
fn retry_after_counts_on_failures_only() {
    assert_eq!(judge(Some(503), Some("120"), NOW).retry_after_ms, Some(120_000));
    assert_eq!(judge(Some(301), Some("120"), NOW).retry_after_ms, Some(120_000));
    assert_eq!(judge(Some(503), Some("later"), NOW).retry_after_ms, None);
    assert_eq!(judge(Some(204), Some("120"), NOW).retry_after_ms, None);
}

#[test]
fn jitter_reaches_both_ends_and_spreads_evenly() {
    let schedule = one_gap(10_000);
    let entropy = Entropy::seeded(7);
    let mut waits: Vec<u64> =
        (0..20_000).map(|_| wait_ms(schedule.next(1, &FAILED, NOW, &entropy))).collect();
    waits.sort_unstable();
    assert!(waits[0] < 8_020 && waits[19_999] > 11_980);
    assert!((9_900..=10_100).contains(&waits[10_000]), "{}", waits[10_000]);
}

#[test]
fn schedules_are_read_from_text() {
    let read =
        |text: &str| text.parse::<RetrySchedule>().map(|schedule| schedule.delays_ms().to_vec());
    assert_eq!(
        read(" 0s, 1s,500ms,15,1m ,2h,7d"),
        Ok(vec![0, 1_000, 500, 15_000, 60_000, 7_200_000, 604_800_000])
    );
    assert_eq!(read("3"), Ok(vec![3_000]));
    assert_eq!(read("0"), Ok(vec![0]));

    assert_eq!(read(""), Err(ScheduleError::Empty));
    assert_eq!(read("  "), Err(ScheduleError::Empty));
    for text in [
        "0s,,1s", "0s,1s,", "0s,x", "0s,-1s", "0s,1.5h", "0s,1w", "0s,1 s", "0s,1S", "0s,s",
        "0s,+1s", "0s,٣s",
    ] {
        let position = if text == "0s,1s," { 3 } else { 2 };
        assert_eq!(read(text), Err(ScheduleError::NotADelay { position }), "{text}");
    }
    for text in [
        "0s,8d",
        "0s,604800001ms",
        "0s,18446744073709551615d",
        "0s,99999999999999999999s",
        "0s,18014398509481984d",
    ] {
        assert_eq!(read(text), Err(ScheduleError::TooLong { position: 2 }), "{text}");
    }
    assert!(read(&vec!["1s"; MAX_ATTEMPTS].join(",")).is_ok());
    assert_eq!(read(&vec!["1s"; MAX_ATTEMPTS + 1].join(",")), Err(ScheduleError::TooManyAttempts));
}

#[test]
fn bad_schedules_are_named() {
    let text = |schedule: &str| schedule.parse::<RetrySchedule>().unwrap_err().to_string();
    assert_eq!(text("0s,8d"), "delay 2 of the retry schedule is longer than 7d");
    assert_eq!(
        text("soon"),
        "delay 1 of the retry schedule is not a whole number with the unit \
         ms, s, m, h or d, such as `30s`"
    );
    assert_eq!(RetrySchedule::from_delays_ms(vec![]), Err(ScheduleError::Empty));
    assert!(RetrySchedule::from_delays_ms(vec![MAX_DELAY_MS; MAX_ATTEMPTS]).is_ok());
}

#[test]
fn delays_are_written_in_the_largest_unit_that_fits() {
    for text in ["0s", "1ms", "1500ms", "90s", "90m", "36h", "2d"] {
        assert_eq!(text.parse::<RetrySchedule>().unwrap().to_string(), text);
    }
    assert_eq!("60000ms,86400".parse::<RetrySchedule>().unwrap().to_string(), "1m,1d");
}

fn any_delays() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0..=MAX_DELAY_MS, 1..=MAX_ATTEMPTS)
}

proptest! {
    #[test]
    fn a_gap_stays_within_its_jitter(gap_ms in 0..=MAX_DELAY_MS, seed: u64) {
        let wait_ms = wait_ms(one_gap(gap_ms).next(1, &FAILED, NOW, &Entropy::seeded(seed)));
        prop_assert!(wait_ms.abs_diff(gap_ms) <= gap_ms / 5);
    }

    /// Never before the moment asked for; at most a tenth later, unless the own gap is longer.
    #[test]
    fn retry_after_is_honoured(
        gap_ms in 0..=MAX_DELAY_MS,
        asked_ms in 0..=MAX_RETRY_AFTER_MS,
        seed: u64,
    ) {
        let next = one_gap(gap_ms).next(1, &asked_for(asked_ms), NOW, &Entropy::seeded(seed));
        let wait_ms = wait_ms(next);
        prop_assert!(wait_ms >= asked_ms);
        prop_assert!(wait_ms >= gap_ms - gap_ms / 5);
        prop_assert!(wait_ms <= (asked_ms + asked_ms / 10).max(gap_ms + gap_ms / 5));
    }

    #[test]
    fn no_answer_moves_an_attempt_beyond_the_caps(
        delays_ms in any_delays(),
        attempts_made: u32,
        asked_ms: u64,
        time: i64,
        seed: u64,
    ) {
        let schedule = RetrySchedule::from_delays_ms(delays_ms).unwrap();
        let now = Timestamp(time);
        let made = attempts_made % 60;
        let next = schedule.next(made, &asked_for(asked_ms), now, &Entropy::seeded(seed));
        match next {
            Next::RetryAt(moment) => {
                prop_assert!((made as usize) < schedule.delays_ms().len());
                prop_assert!(moment >= now);
                prop_assert!(moment.since_ms(now) <= MAX_DELAY_MS + MAX_DELAY_MS / 5);
            }
            other => {
                prop_assert_eq!(other, Next::GiveUp);
                prop_assert!(made as usize >= schedule.delays_ms().len());
            }
        }
    }

    #[test]
    fn a_schedule_survives_its_text(delays_ms in any_delays()) {
        let schedule = RetrySchedule::from_delays_ms(delays_ms).unwrap();
        prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
    }

    #[test]
    fn reading_never_panics(text: String, delays in "[0-9a-z, ]{0,80}", status: Option<u16>) {
        let _ = text.parse::<RetrySchedule>();
        if let Ok(schedule) = delays.parse::<RetrySchedule>() {
            prop_assert!(schedule.delays_ms().iter().all(|delay_ms| *delay_ms <= MAX_DELAY_MS));
        }
        let _ = judge(status, Some(&text), NOW);
    }
}
