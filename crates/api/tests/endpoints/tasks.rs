//! Stats, and the tasks that deliver again.

use model::replay::{Kind, Selection};
use serde_json::{Value, json};
use store::After;
use testkit::on_both;

use crate::invalid;
use crate::world::World;

const PATH: &str = "/app/one/endpoint/mine";

async fn one_endpoint(world: &World) {
    world.app_called("one").await;
    world.put(PATH, &json!({"url": "https://example.com/"})).await.ok();
}

on_both! {
    async fn deliveries_are_counted_by_their_end(world: World) {
        one_endpoint(&world).await;
        let none = json!({"success": 0, "pending": 0, "sending": 0, "fail": 0, "canceled": 0});
        assert_eq!(world.get(&format!("{PATH}/stats")).await.whole(), (200, none.clone()));

        for after in [After::Succeeded, After::Succeeded, After::Failed] {
            world.publish("one").await;
            let lease = world.only_starting().await;
            assert!(world.settle(lease.settlement(None, after)).await.unwrap());
        }
        world.post(&format!("{PATH}/pause"), &json!({})).await.ok();
        world.publish("one").await;
        let counted = json!({"success": 2, "pending": 1, "sending": 0, "fail": 1, "canceled": 0});
        assert_eq!(world.get(&format!("{PATH}/stats")).await.whole(), (200, counted));

        let before = "since=2026-11-24T00:00:00Z&until=2026-11-24T07:00:00Z";
        let only_alive = json!({"success": 0, "pending": 1, "sending": 0, "fail": 0, "canceled": 0});
        let earlier = world.get(&format!("{PATH}/stats?{before}")).await;
        assert_eq!(earlier.whole(), (200, only_alive));
    }

    async fn a_range_of_stats_is_checked(world: World) {
        one_endpoint(&world).await;
        let wrong_way = "since=2026-11-24T08:00:00Z&until=2026-11-24T07:00:00Z";
        let refused = world.get(&format!("{PATH}/stats?{wrong_way}")).await;
        let why = json!([{
            "loc": ["query", "since"],
            "msg": "must lie before until",
            "type": "value_error",
        }]);
        assert_eq!((refused.status, &refused.json()["detail"]), (422, &why));
        assert_eq!(world.get(&format!("{PATH}/stats?since=yesterday")).await.status, 422);
    }
}

/// The only task, and what it selects.
async fn started(world: &World) -> (Value, Kind, Selection) {
    let [task] = world.running_tasks().await.unwrap().try_into().expect("one task");
    let out = json!({
        "id": task.id.to_string(),
        "status": "running",
        "task": task.work.kind(),
        "updatedAt": "2026-11-24T08:00:00.000Z",
    });
    let (kind, plan) = task.work.plan().expect("a replay");
    let replay = world.replay_in_app(plan.selection.app_id, plan.replay_id.unwrap()).await.unwrap();
    assert_eq!(replay.unwrap().task_id, Some(task.id));
    (out, kind, plan.selection.clone())
}

async fn selection(world: &World) -> Selection {
    let endpoint = world.stored().await;
    let now = world.clock.now();
    Selection::new(endpoint.app_id, now.minus_ms(3_600_000), now.plus_ms(1)).at(endpoint.id)
}

on_both! {
    async fn a_replay_becomes_a_task(world: World) {
        one_endpoint(&world).await;
        let selection = selection(&world).await;
        let wish = json!({"since": "2026-11-24T07:00:00Z"});
        for (name, kind) in [
            ("recover", Kind::Recover),
            ("replay-missing", Kind::Missing),
            ("bulk-replay", Kind::Bulk),
        ] {
            let answer = world.post(&format!("{PATH}/{name}"), &wish).await;
            let (out, stored, selected) = started(&world).await;
            assert_eq!(answer.whole(), (202, out), "{name}");
            assert_eq!((stored, &selected), (kind, &selection));
            finish_tasks(&world).await;
        }
    }

    async fn everything_can_be_narrowed(world: World) {
        one_endpoint(&world).await;
        let mut expected = selection(&world).await;
        expected.until = world.clock.now().minus_ms(1_800_000);
        expected.event_types = vec!["contact.created".to_owned()];
        expected.channel = Some("eu".to_owned());
        expected.tag = Some("vip".to_owned());
        expected.state = Some(model::delivery::State::Failed.code());
        expected.status_code_class = Some(500);
        let wish = json!({
            "since": "2026-11-24T07:00:00Z",
            "until": "2026-11-24T07:30:00Z",
            "eventTypes": ["contact.created"],
            "channel": "eu",
            "tag": "vip",
            "status": 2,
            "statusCodeClass": 500,
        });
        world.post(&format!("{PATH}/bulk-replay"), &wish).await.ok();
        assert_eq!(started(&world).await.2, expected);
    }

    async fn bad_selections_start_nothing(world: World) {
        one_endpoint(&world).await;
        let since = "2026-11-24T07:00:00Z";
        let name = "must be 1 to 256 characters of A-Z a-z 0-9 . _ -, got \"a b\"";
        let label = "must be 1 to 128 characters of A-Z a-z 0-9 . _ -, got \"a b\"";
        let order = "must lie before until, which is now if left out";
        let state = "must be 0 (success), 2 (fail) or 4 (canceled): \
            what is not over yet is delivered anyway";
        for (wish, field, msg) in [
            (json!({"since": "2027-01-01T00:00:00Z"}), "since", order),
            (json!({"since": since, "until": since}), "since", order),
            (json!({"since": since, "eventTypes": ["a b"]}), "eventTypes", name),
            (json!({"since": since, "channel": "a b"}), "channel", label),
            (json!({"since": since, "tag": "a b"}), "tag", label),
            (json!({"since": since, "status": 1}), "status", state),
        ] {
            let answer = world.post(&format!("{PATH}/bulk-replay"), &wish).await;
            assert_eq!(answer.whole(), invalid(field, msg), "{wish}");
        }
        for wish in [json!({}), json!({"since": "now"}), json!({"since": since, "statusCodeClass": 7})] {
            let answer = world.post(&format!("{PATH}/recover"), &wish).await;
            assert_eq!(answer.status, 422, "{wish}");
        }
        assert!(world.running_tasks().await.unwrap().is_empty());
    }
}

async fn finish_tasks(world: &World) {
    for mut task in world.running_tasks().await.unwrap() {
        task.status = model::task::TaskStatus::Finished;
        assert!(world.advance_task_if_running(&task).await.unwrap());
    }
}
