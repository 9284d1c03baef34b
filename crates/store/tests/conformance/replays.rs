use std::collections::BTreeMap;

use model::attempt::ErrorKind;
use model::delivery::{State, Trigger};
use model::filter::Filter;
use model::replay::{Kind, Options, Replay, Selection};
use model::task::{Task, TaskStatus};
use model::{AppId, DeliveryId, EndpointId, MessageId};
use store::{After, NewMessage, NewReplay, Step, TaskChange, TaskVerb};
use testkit::test_store::{Started, new_message};
use testkit::{TestStore, by, on_both};

use crate::world::{app_with_endpoint, pages, publish, raw, resend, settle, settled};

/// Everything an app may get again, up to now.
fn all(db: &TestStore, app: AppId) -> Selection {
    Selection::new(app, testkit::START.minus_ms(1_000), db.clock.now().plus_ms(1))
}

async fn begin(db: &TestStore, replay: NewReplay) -> (Replay, Task) {
    let replay = db.start_replay(replay, &by()).await.unwrap();
    let task = replay.task.clone().expect("a task");
    (replay, task)
}

/// Does a replay to its end, with a receiver that takes everything.
async fn run(db: &TestStore, started: &mut Started, kind: Kind, selection: Selection) -> Task {
    let (_, task) = begin(db, NewReplay::new(kind, selection)).await;
    go_on(db, started, task).await
}

async fn go_on(db: &TestStore, started: &mut Started, mut task: Task) -> Task {
    for _ in 0..5_000 {
        match db.step_task(&mut task).await.unwrap() {
            Step::Moved if task.status.is_final() => {
                assert_eq!(db.task(task.id).await.unwrap().unwrap().status, task.status);
                return task;
            }
            Step::Moved => {}
            // A lane that was held drains at a rate.
            Step::Crowded if take_all(db, started).await == 0 => drop(db.advance_ms(100)),
            Step::Crowded => {}
            Step::Wait(due) => db.clock.advance_to(due),
            Step::NotOurs => panic!("nobody else does it"),
        }
    }
    panic!("the task never ends");
}

/// Delivers everything that is due; answers how many deliveries that were.
async fn take_all(db: &TestStore, started: &mut Started) -> usize {
    let mut taken = 0;
    loop {
        db.claim().await.unwrap();
        let leases = started.now();
        if leases.is_empty() {
            return taken;
        }
        taken += leases.len();
        for lease in leases {
            assert!(settle(db, &lease, 200, After::Succeeded).await);
        }
    }
}

/// Makes a message and lets its only delivery end so.
pub async fn ended(
    db: &TestStore,
    started: &mut Started,
    message: NewMessage,
    status: u16,
    after: After,
) -> (MessageId, DeliveryId) {
    let lease = settled(db, started, message, status, after).await;
    db.advance_ms(1_000);
    (lease.envelope.message_id, lease.delivery_id)
}

/// The messages that a queued delivery was made of by hand, and what it replays.
async fn replayed(db: &TestStore, app: AppId) -> Vec<(MessageId, Option<DeliveryId>)> {
    let query = store::DeliveryQuery { state: Some(State::Queued), ..Default::default() };
    let query = store::DeliveryQuery { page: pages(250), ..query };
    let found = db.deliveries_in_app(app, &query).await.unwrap().data;
    let by_hand = found.iter().filter(|row| row.delivery.trigger == Trigger::Manual);
    by_hand.map(|row| (row.delivery.id.message_id(), row.delivery.parent_id)).collect()
}

async fn count(db: &TestStore, sql: &'static str) -> i64 {
    raw(db, sql).await
}

const MADE: &str = "select count(*) from delivery where replay_id is not null";
const TWICE: &str = "select count(*) from (select parent_id from delivery \
    where replay_id is not null group by replay_id, parent_id having count(*) > 1) twice";

on_both! {
    async fn recovering_delivers_again_what_failed(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        let message = || new_message(app);
        ended(&db, &mut started, message(), 500, After::Failed).await;
        let since = db.clock.now();
        let failed = ended(&db, &mut started, message(), 500, After::Failed).await;
        ended(&db, &mut started, message(), 200, After::Succeeded).await;
        ended(&db, &mut started, message(), 200, After::Canceled).await;
        let covered = ended(&db, &mut started, message(), 500, After::Failed).await;
        resend(&db, app, endpoint, covered.0).await;
        db.claim().await.unwrap();
        let again = started.next().await;
        assert!(settle(&db, &again, 200, After::Succeeded).await);
        let gone = ended(&db, &mut started, message(), 500, After::Failed).await;
        db.erase_payload(app, gone.0, &by()).await.unwrap();
        let until = db.clock.now();
        ended(&db, &mut started, message(), 500, After::Failed).await;
        let selection = Selection { since, until, ..all(&db, app).at(endpoint) };
        let task = run(&db, &mut started, Kind::Recover, selection.clone()).await;
        assert_eq!(task.progress.done, 1);
        assert_eq!(replayed(&db, app).await, [(failed.0, Some(failed.1))]);
        let made = task.progress.last_delivery.expect("the last delivery");
        let made = db.delivery_in_app(app, made).await.unwrap().unwrap().delivery;
        assert_eq!((made.root_id, made.endpoint_id, made.depth), (Some(failed.1), endpoint, 1));
        // Recovered once, it is under way.
        let again = run(&db, &mut started, Kind::Recover, selection).await;
        assert_eq!(again.progress.done, 0);
        assert_eq!(db.claim().await.unwrap().count, 1);
    }

    async fn missing_is_what_an_endpoint_never_got(db: TestStore) {
        let mut started = db.started();
        let app = db.app().await;
        db.endpoint(app).await;
        let mut expected: Vec<_> =
            publish(&db, app, 3).await.iter().map(|it| (it.id, None)).collect();
        let erased = db.message(app).await.id;
        db.erase_payload(app, erased, &by()).await.unwrap();
        db.message_with(app, |message| message.event_type = "unwanted".to_owned()).await;
        take_all(&db, &mut started).await;
        let late = db.endpoint_with(app, |endpoint| {
            endpoint.filter = Filter { event_types: vec!["contact.*".to_owned()], channels: vec![] };
        });
        let late = late.await;
        db.message(app).await;
        let (other, _) = app_with_endpoint(&db).await;
        db.message(other).await;
        let missing = all(&db, app).at(late);
        let task = run(&db, &mut started, Kind::Missing, missing.clone()).await;
        assert_eq!(task.progress.done, 3);
        let mut found = replayed(&db, app).await;
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(run(&db, &mut started, Kind::Missing, missing).await.progress.done, 0);
        assert_eq!(replayed(&db, other).await, []);
    }

    async fn replays_are_narrowed_by_every_wish(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        for (event_type, status, after) in
            [("a.x", 200, After::Succeeded), ("b.x", 500, After::Failed), ("c", 404, After::Failed)]
        {
            let message = NewMessage {
                event_type: event_type.to_owned(),
                channels: vec![format!("on-{event_type}")],
                tags: vec![format!("tag-{event_type}")],
                payload: format!("{{\"of\":\"{event_type} it's ünï\"}}").into(),
                ..new_message(app)
            };
            ended(&db, &mut started, message, status, after).await;
        }
        let base = all(&db, app);
        db.advance_ms(10);
        let word = |text: &str| Some(text.to_owned());
        let types = |types: &[&str]| types.iter().map(ToString::to_string).collect();
        let since = base.since;
        for (expected, wish) in [
            (1, Selection { event_types: types(&["a.x"]), ..base.clone() }),
            (2, Selection { event_types: types(&["a.*", "c"]), ..base.clone() }),
            (1, Selection { channel: word("on-b.x"), ..base.clone() }),
            (1, Selection { tag: word("tag-c"), ..base.clone() }),
            (0, Selection { tag: word("tag"), ..base.clone() }),
            (2, Selection { state: Some(State::Failed.code()), ..base.clone() }),
            (1, Selection { status_code_class: Some(400), ..base.clone() }),
            (2, Selection { error: Some(ErrorKind::Status), ..base.clone() }),
            (0, Selection { error: Some(ErrorKind::Timeout), ..base.clone() }),
            (1, Selection { text: word("a.x it's ünï"), ..base.clone() }),
            (0, Selection { text: word("A.X"), ..base.clone() }),
            (3, Selection { text: word("a body"), ..base.clone() }),
            (0, Selection { until: since, ..base.clone() }),
            (3, base.clone()),
        ] {
            for wish in [wish.clone(), wish.at(endpoint)] {
                let preview = db.preview_replay(Kind::Bulk, &wish).await.unwrap();
                assert_eq!(preview.selected.count, expected, "{wish:?}");
                assert!(!preview.selected.capped);
                assert_eq!(preview.sample.len() as u64, expected);
                let task = run(&db, &mut started, Kind::Bulk, wish.clone()).await;
                assert_eq!(task.progress.done, expected, "{wish:?}");
                // Erased again, so that the next one finds the same.
                crate::world::execute(&db, "delete from delivery where replay_id is not null").await;
            }
        }
        let nobody = db.endpoint(app).await;
        assert_eq!(run(&db, &mut started, Kind::Bulk, base.at(nobody)).await.progress.done, 0);
    }

    async fn long_replays_go_in_steps_and_repeat_nothing(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.endpoint(app).await;
        publish(&db, app, 150).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        let task = run(&db, &mut started, Kind::Bulk, all(&db, app)).await;
        assert_eq!((task.status, task.progress.done), (TaskStatus::Finished, 300));
        assert_eq!(count(&db, MADE).await, 300);
        db.advance_ms(1);
        // Two deliveries of each message and endpoint now: each is taken once.
        let task = run(&db, &mut started, Kind::Bulk, all(&db, app)).await;
        assert_eq!(task.progress.done, 300);
        assert_eq!((count(&db, MADE).await, count(&db, TWICE).await), (600, 0));
        let course = task.progress.course.expect("a course");
        assert!(course.looked_at >= 600 && course.is_done(), "{course:?}");
    }

    async fn a_replay_keeps_little_in_front_of_an_endpoint(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        publish(&db, app, 40).await;
        take_all(&db, &mut started).await;
        let (_, mut task) = begin(&db, NewReplay::new(Kind::Bulk, all(&db, app))).await;
        let window = i64::from(testkit::test_store::ENDPOINT_MAX_IN_FLIGHT / 2);
        while db.step_task(&mut task).await.unwrap() == Step::Moved {}
        assert_eq!(count(&db, MADE).await, window);
        // Under way they count as well; a slot for fresh ones is left.
        db.claim().await.unwrap();
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::Crowded);
        db.message(app).await;
        for _ in 0..=window {
            // A fresh one starts at once.
            started.next().await;
        }
        let task = db.task(task.id).await.unwrap().unwrap();
        assert_eq!(task.progress.done as i64, window);
        assert!(!task.status.is_final());
    }

    async fn an_endpoint_that_stands_still_does_not_hold_the_others(db: TestStore) {
        let mut started = db.started();
        let (app, held) = app_with_endpoint(&db).await;
        let open = db.endpoint(app).await;
        publish(&db, app, 60).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        db.change(app, held, |endpoint| endpoint.paused_at = Some(endpoint.created_at)).await;
        let (_, mut task) = begin(&db, NewReplay::new(Kind::Bulk, all(&db, app))).await;
        let made = async |endpoint: EndpointId| {
            let query = store::DeliveryQuery {
                endpoint: Some(endpoint),
                page: pages(250),
                ..Default::default()
            };
            let found = db.deliveries_in_app(app, &query).await.unwrap().data;
            found.iter().filter(|row| row.delivery.replay_id.is_some()).count()
        };
        for _ in 0..500 {
            match db.step_task(&mut task).await.unwrap() {
                Step::Crowded if take_all(&db, &mut started).await == 0 => drop(db.advance_ms(50)),
                Step::NotOurs => panic!("it does not end"),
                _ => {}
            }
            if made(open).await == 60 {
                break;
            }
        }
        assert_eq!(made(open).await, 60, "the other one has it all");
        assert!(made(held).await < 10);
        let course = task.progress.course.clone().expect("a course");
        assert_eq!(course.own.keys().collect::<Vec<_>>(), [&held]);
        db.change(app, held, |endpoint| endpoint.paused_at = None).await;
        db.advance_ms(10_000);
        let task = go_on(&db, &mut started, task).await;
        assert_eq!((made(held).await, task.progress.done), (60, 120));
        assert_eq!(count(&db, TWICE).await, 0);
    }

    async fn a_rate_is_kept_and_a_pause_is_not_made_up_for(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        publish(&db, app, 40).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        let options = Options { rate_per_s: Some(10), ..Options::default() };
        let slow = NewReplay { options, ..NewReplay::new(Kind::Bulk, all(&db, app)) };
        let (_, mut task) = begin(&db, slow).await;
        let from = db.clock.now();
        let mut done = 0;
        while !task.status.is_final() {
            match db.step_task(&mut task).await.unwrap() {
                Step::Wait(due) => db.clock.advance_to(due),
                _ => drop(take_all(&db, &mut started).await),
            }
            let most = 2 + db.clock.now().since_ms(from) / 100;
            assert!(task.progress.done <= most, "{} of {most}", task.progress.done);
            if done < 20 && task.progress.done >= 20 {
                db.advance_ms(60_000);
                done = task.progress.done;
                db.step_task(&mut task).await.unwrap();
                assert!(task.progress.done <= done + 1, "no burst after a pause");
            }
        }
        assert_eq!(task.progress.done, 40);
        let took_ms = db.clock.now().since_ms(from) - 60_000;
        assert!((3_600..=4_200).contains(&took_ms), "{took_ms} ms for 40 at 10/s");
    }

    async fn a_step_is_done_by_one_process(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        publish(&db, app, 100).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        let second = db.reopen().await;
        let (_, task) = begin(&db, NewReplay::new(Kind::Bulk, all(&db, app))).await;
        let (mut here, mut there) = (task.clone(), task);
        for _ in 0..200 {
            let (one, two) = tokio::join!(db.step_task(&mut here), second.step_task(&mut there));
            one.unwrap();
            two.unwrap();
            take_all(&db, &mut started).await;
        }
        let stored = db.task(here.id).await.unwrap().unwrap();
        assert_eq!((stored.status, stored.progress.done), (TaskStatus::Finished, 100));
        assert_eq!((count(&db, MADE).await, count(&db, TWICE).await), (100, 0));
        assert_eq!(db.step_task(&mut there).await.unwrap(), Step::NotOurs, "it is finished");
        second.close().await;
    }

    async fn it_goes_on_where_it_was_when_a_process_dies(db: TestStore) {
        let mut started = db.started();
        let (app, _) = app_with_endpoint(&db).await;
        db.endpoint(app).await;
        publish(&db, app, 50).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        let (_, task) = begin(&db, NewReplay::new(Kind::Bulk, all(&db, app))).await;
        for _ in 0..4 {
            // Each process does some steps and is gone, without a word.
            let dies = db.reopen().await;
            let mut its = dies.task(task.id).await.unwrap().unwrap();
            while dies.step_task(&mut its).await.unwrap() == Step::Moved {}
            assert!(!its.status.is_final());
            drop(dies);
            take_all(&db, &mut started).await;
        }
        let left = db.task(task.id).await.unwrap().unwrap();
        assert!(left.progress.done > 0 && left.progress.done < 100, "{:?}", left.progress);
        let task = go_on(&db, &mut started, left).await;
        assert_eq!(task.progress.done, 100);
        assert_eq!((count(&db, MADE).await, count(&db, TWICE).await), (100, 0));
    }

    async fn it_can_be_paused_and_ended(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        publish(&db, app, 20).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        let (_, mut task) = begin(&db, NewReplay::new(Kind::Bulk, all(&db, app))).await;
        let change = async |verb| db.change_task(task.id, verb, &by()).await.unwrap();
        let now = |change| match change {
            TaskChange::Changed(task) => task.status,
            other => panic!("{other:?}"),
        };
        assert_eq!(change(TaskVerb::Resume).await, TaskChange::TooLate(TaskStatus::Running));
        assert_eq!(now(change(TaskVerb::Pause).await), TaskStatus::Paused);
        assert_eq!(change(TaskVerb::Pause).await, TaskChange::TooLate(TaskStatus::Paused));
        assert_eq!(db.running_tasks().await.unwrap(), []);
        assert_eq!(db.step_task(&mut task.clone()).await.unwrap(), Step::NotOurs);
        assert_eq!(count(&db, MADE).await, 0);
        assert_eq!(now(change(TaskVerb::Resume).await), TaskStatus::Running);
        assert_eq!(db.step_task(&mut task.clone()).await.unwrap(), Step::Moved);
        assert_eq!(now(change(TaskVerb::Cancel).await), TaskStatus::Canceled);
        for verb in [TaskVerb::Pause, TaskVerb::Resume, TaskVerb::Cancel] {
            assert_eq!(change(verb).await, TaskChange::TooLate(TaskStatus::Canceled));
        }
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::NotOurs);
        let log = db.audit_log(&store::AuditQuery::default()).await.unwrap().data;
        let mut acts: BTreeMap<String, usize> = BTreeMap::new();
        for entry in log.iter().filter(|entry| entry.target == task.id.to_string()) {
            *acts.entry(entry.action.clone()).or_default() += 1;
        }
        let expected = [("task.cancel", 1), ("task.pause", 1), ("task.resume", 1)];
        assert_eq!(acts.iter().map(|(act, n)| (act.as_str(), *n)).collect::<Vec<_>>(), expected);
        let nobody = model::TaskId::new(db.clock.now(), &db.entropy);
        let none = db.change_task(nobody, TaskVerb::Pause, &by()).await.unwrap();
        assert_eq!(none, TaskChange::NotFound);
        // An endpoint that is gone ends it.
        let (_, mut task) = begin(&db, NewReplay::new(Kind::Bulk, all(&db, app).at(endpoint))).await;
        db.delete_endpoint(app, endpoint, &by()).await.unwrap();
        assert_eq!(db.step_task(&mut task).await.unwrap(), Step::Moved);
        let stored = db.task(task.id).await.unwrap().unwrap();
        assert_eq!(stored.status, TaskStatus::Failed);
        assert_eq!(stored.progress.error.as_deref(), Some("the endpoint is gone"));
    }

    async fn what_became_of_it_is_told(db: TestStore) {
        let mut started = db.started();
        let (app, endpoint) = app_with_endpoint(&db).await;
        publish(&db, app, 4).await;
        take_all(&db, &mut started).await;
        db.advance_ms(1);
        let reason = Some("the receiver was down".to_owned());
        let new = NewReplay { reason, ..NewReplay::new(Kind::Bulk, all(&db, app)) };
        let (replay, mut task) = begin(&db, new).await;
        while db.step_task(&mut task).await.unwrap() == Step::Moved && !task.status.is_final() {}
        db.claim().await.unwrap();
        let leases = started.now();
        assert_eq!(leases.len(), 4);
        assert!(settle(&db, &leases[0], 200, After::Succeeded).await);
        assert!(settle(&db, &leases[1], 503, After::Failed).await);
        let later = db.clock.now().plus_ms(9_000);
        assert!(settle(&db, &leases[2], 503, After::RetryAt(later)).await);
        let counts = db.replay_counts(replay.id).await.unwrap();
        assert_eq!((counts.succeeded, counts.failed, counts.pending, counts.made()), (1, 1, 2, 4));
        let [error] = &counts.errors[..] else { panic!("{counts:?}") };
        assert_eq!((error.error, error.status, error.count), (ErrorKind::Status, Some(503), 2));
        let example = db.delivery_in_app(app, error.example).await.unwrap().unwrap();
        assert_eq!(example.delivery.replay_id, Some(replay.id));

        let message = leases[0].envelope.message_id;
        resend(&db, app, endpoint, message).await;
        let until = db.clock.now().plus_ms(1);
        let sums = db.replay_sums(app, testkit::START, until).await.unwrap();
        assert_eq!(sums.by_kind, [(Kind::Bulk, 1), (Kind::Resend, 1)]);
        assert_eq!((sums.counts.made(), sums.counts.pending), (5, 3));
        assert_eq!(sums.counts.errors, counts.errors);
        let none = db.replay_sums(app, until, until.plus_ms(5)).await.unwrap();
        assert_eq!(none, store::ReplaySums::default());

        let stored = db.replay_in_app(app, replay.id).await.unwrap().expect("the replay");
        assert_eq!(stored, Replay { task: Some(db.task(task.id).await.unwrap().unwrap()), ..replay });
        let stranger = db.app().await;
        assert_eq!(db.replay_in_app(stranger, stored.id).await.unwrap(), None);
        let page = |kind| {
            let db = &db;
            async move { db.replays_in_app(app, &pages(9), kind).await.unwrap().data.len() }
        };
        assert_eq!((page(None).await, page(Some(Kind::Resend)).await), (2, 1));
        assert_eq!(db.replays_in_app(stranger, &pages(9), None).await.unwrap().data, []);
    }

    async fn replays_are_listed_forth_and_back(db: TestStore) {
        let (app, _) = app_with_endpoint(&db).await;
        let mut expected = Vec::new();
        for _ in 0..7 {
            let new = NewReplay::new(Kind::Bulk, all(&db, app));
            expected.push(begin(&db, new).await.0.id.to_string());
        }
        expected.sort();
        crate::world::walk(&expected, async |query| {
            let page = db.replays_in_app(app, &query, None).await.unwrap();
            crate::world::keys(page, |replay| replay.id.to_string())
        })
        .await;
    }
}
