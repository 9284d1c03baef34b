//! Replays: what would be made, what is made, how far it is and what became of it; and chains.

use model::AppId;
use model::attempt::ErrorKind;
use serde_json::{Value, json};
use store::{After, Step};

use crate::both;
use crate::world::{Outcome, World, no_such};

both!(
    a_dry_run_counts_and_shows_and_makes_nothing,
    a_replay_runs_is_paused_and_ends,
    the_selection_is_checked,
    what_became_of_it_is_summed_up,
    a_resend_can_be_changed_and_is_marked,
    the_chain_of_a_delivery_is_one_call,
    a_task_is_paused_by_its_own_routes,
);

const SINCE: &str = "2026-11-24T07:00:00Z";

/// Two messages, of which one failed with a timeout.
async fn two_messages(world: &World) -> (AppId, String, String) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let good = world.publish("crm", json!({"tags": ["vip"]})).await;
    let lease = world.fresh().await;
    world.settle(&lease, Outcome::Answered(200, "fine"), After::Succeeded).await;
    world.pass_ms(1_000);
    let bad = world.publish("crm", json!({"eventType": "contact.updated"})).await;
    let lease = world.fresh().await;
    let timeout = Outcome::NotAnswered(ErrorKind::Timeout, "too slow");
    world.settle(&lease, timeout, After::Failed).await;
    world.pass_ms(1_000);
    (app, good, bad)
}

async fn start(world: &World, wish: Value) -> Value {
    let answer = world.post("/app/crm/replay", &wish).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

/// Does what there is to do, as the engine would.
async fn run(world: &World) {
    for mut task in world.store.running_tasks().await.unwrap() {
        while world.store.step_task(&mut task).await.unwrap() == Step::Moved {}
    }
}

async fn a_dry_run_counts_and_shows_and_makes_nothing(world: World) {
    let (_, good, bad) = two_messages(&world).await;
    let preview = async |more: Value| {
        let mut wish = json!({"since": SINCE, "dryRun": true});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = world.post("/app/crm/replay", &wish).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = answer.json();
        let sample = seen["sample"].as_array().unwrap().iter();
        let ids: Vec<String> = sample.map(|it| it["msgId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(
            (seen["count"].as_u64(), &seen["capped"]),
            (Some(ids.len() as u64), &json!(false))
        );
        (ids, seen["sample"][0].clone())
    };
    let both = vec![good.clone(), bad.clone()];
    assert_eq!(preview(json!({})).await.0, both);
    let bad = vec![bad];
    for wish in [
        json!({"status": 2}),
        json!({"errorKind": "timeout"}),
        json!({"eventTypes": ["contact.updated"]}),
        json!({"since": "2026-11-24T08:00:00.500Z"}),
    ] {
        assert_eq!(preview(wish.clone()).await.0, bad, "{wish}");
    }
    let (found, shown) = preview(json!({"eventTypes": ["contact.*"], "tag": "vip"})).await;
    assert_eq!(found, std::slice::from_ref(&good));
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(preview(json!({"text": "fine"})).await.0, [good]);
    assert_eq!(preview(json!({"text": "\"n\""})).await.0, both);
    assert_eq!(preview(json!({"endpointIds": ["hook"], "statusCodeClass": 500})).await.0.len(), 0);
    assert_eq!(world.get("/app/crm/replay").await.ok()["data"], json!([]));
    assert!(world.store.running_tasks().await.unwrap().is_empty());
}

async fn a_replay_runs_is_paused_and_ends(world: World) {
    two_messages(&world).await;
    let wish = json!({
        "since": SINCE, "endpointIds": ["hook"], "reason": "the receiver was down",
        "ratePerSecond": 50,
    });
    let replay = start(&world, wish).await;
    let path = format!("/app/crm/replay/{}", replay["id"].as_str().unwrap());
    assert_eq!((&replay["state"], &replay["kind"]), (&json!("running"), &json!("bulk")));
    assert_eq!(replay["reason"], "the receiver was down");
    assert_eq!(replay["by"]["kind"], "token");
    assert_eq!(
        (&replay["progress"]["selected"], &replay["progress"]["made"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(replay["filter"]["ratePerSecond"], 50);
    assert_eq!(world.get("/app/crm/replay").await.ids(), [replay["id"].as_str().unwrap()]);
    assert_eq!(world.get("/app/crm/replay?kind=resend").await.ids(), Vec::<String>::new());

    let paused = world.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!((paused.status, &paused.json()["state"]), (200, &json!("paused")));
    let again = world.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("task_state")));
    run(&world).await;
    assert_eq!(world.get(&path).await.ok()["progress"]["made"], 0);
    let resumed = world.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!((resumed.status, &resumed.json()["state"]), (200, &json!("running")));
    run(&world).await;
    let seen = world.get(&path).await.ok();
    assert_eq!((&seen["state"], &seen["progress"]["made"]), (&json!("finished"), &json!(2)));
    assert_eq!((&seen["outcome"]["pending"], &seen["outcome"]["made"]), (&json!(2), &json!(2)));
    assert!(seen["finishedAt"].is_string());
    for verb in ["pause", "resume", "cancel"] {
        let answer = world.post(&format!("{path}/{verb}"), &json!({})).await;
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("task_state")), "{verb}");
    }
    let other = start(&world, json!({"since": SINCE})).await;
    let path = format!("/app/crm/replay/{}", other["id"].as_str().unwrap());
    let canceled = world.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!((canceled.status, &canceled.json()["state"]), (200, &json!("canceled")));
}

async fn the_selection_is_checked(world: World) {
    two_messages(&world).await;
    for (wish, field) in [
        (json!({"since": "2027-01-01T00:00:00Z"}), "since"),
        (json!({"since": SINCE, "until": SINCE}), "since"),
        (json!({"since": SINCE, "eventTypes": ["a*b"]}), "eventTypes"),
        (json!({"since": SINCE, "channel": "a b"}), "channel"),
        (json!({"since": SINCE, "tag": "a b"}), "tag"),
        (json!({"since": SINCE, "status": 1}), "status"),
        (json!({"since": SINCE, "text": ""}), "text"),
        (json!({"since": SINCE, "text": "a\u{0}"}), "text"),
        (json!({"since": SINCE, "reason": "x".repeat(257)}), "reason"),
        (json!({"since": SINCE, "ratePerSecond": 0}), "ratePerSecond"),
        (json!({"since": SINCE, "ratePerSecond": 10_001}), "ratePerSecond"),
        (json!({"since": SINCE, "endpointIds": vec!["hook"; 101]}), "endpointIds"),
    ] {
        let answer = world.post("/app/crm/replay", &wish).await;
        assert_eq!(answer.status, 422, "{wish}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", field]), "{wish}");
    }
    for wish in [json!({}), json!({"since": SINCE, "messageId": "other"})] {
        assert_eq!(world.post("/app/crm/replay", &wish).await.status, 422, "{wish}");
    }
    let foreign = world.app("other").await;
    let theirs = world.endpoint(foreign, "theirs").await;
    let wish = json!({"since": SINCE, "endpointIds": [theirs.id]});
    let answer = world.post("/app/crm/replay", &wish).await;
    assert_eq!(answer.whole(), no_such("endpoint"));
    assert!(world.store.running_tasks().await.unwrap().is_empty());
}

async fn what_became_of_it_is_summed_up(world: World) {
    two_messages(&world).await;
    let replay = start(&world, json!({"since": SINCE, "messageId": "renew"})).await;
    run(&world).await;
    assert_eq!(world.store.claim().await.unwrap().count, 2);
    let (one, two) = (world.fresh().await, world.fresh().await);
    world.settle(&one, Outcome::Answered(200, ""), After::Succeeded).await;
    world.settle(&two, Outcome::Answered(503, "busy"), After::Failed).await;
    let path = format!("/app/crm/replay/{}", replay["id"].as_str().unwrap());
    let error = json!({
        "errorKind": "status", "statusCode": 503, "count": 1,
        "exampleDeliveryId": two.delivery_id,
    });
    let outcome = json!({
        "made": 2, "succeeded": 1, "failed": 1, "canceled": 0, "pending": 0, "errors": [error],
    });
    assert_eq!(world.get(&path).await.ok()["outcome"], outcome);
    let sums = json!({
        "replays": 1, "byKind": [{"kind": "bulk", "count": 1}], "outcome": outcome,
    });
    assert_eq!(world.get("/app/crm/replay/stats").await.whole(), (200, sums));
    let before = world.get("/app/crm/replay/stats?until=2026-11-24T08:00:00Z").await.ok();
    assert_eq!(before["replays"], 0);
    let wrong = "/app/crm/replay/stats?since=2026-11-24T08:00:00Z&until=2026-11-24T08:00:00Z";
    assert_eq!(world.get(wrong).await.status, 422);
    let message = world.get(&format!("/app/crm/msg/{}", one.envelope.message_id)).await.ok();
    assert_eq!(message["changed"], false);
    assert!(message["replayOf"].is_string());
}

async fn a_resend_can_be_changed_and_is_marked(world: World) {
    let (_, good, _) = two_messages(&world).await;
    let path = format!("/app/crm/msg/{good}/endpoint/hook/resend");
    let before = world.get(&format!("/app/crm/msg/{good}")).await.ok();
    let odd = r#"{"b":1e400, "a":12345678901234567890, "a":"\u0000\ud800"}"#;
    let wish = format!(r#"{{"payload": {odd}, "reason": "a typo"}}"#);
    let answer = world.call(axum::http::Method::POST, &path, wish).await;
    assert_eq!(answer.whole(), (202, json!({})));
    let lease = world.claimed().await;
    assert_eq!(lease.envelope.payload.as_deref(), Some(odd.as_bytes()), "byte for byte");
    assert_ne!(lease.envelope.message_id.to_string(), good);
    let delivery = world.get(&format!("/app/crm/delivery/{}", lease.delivery_id)).await.ok();
    assert_eq!((&delivery["replayOf"], &delivery["changed"]), (&json!(good), &json!(true)));
    assert_eq!(delivery["depth"], 1);
    assert_eq!(world.get(&format!("/app/crm/msg/{good}")).await.ok(), before);
    let list = world.get("/app/crm/replay?kind=resend").await.ok();
    let resend = &list["data"][0];
    assert_eq!((&resend["id"], &resend["state"]), (&delivery["replayId"], &json!("finished")));
    assert_eq!((&resend["reason"], &resend["taskId"]), (&json!("a typo"), &Value::Null));
    let cancel = format!("/app/crm/replay/{}/cancel", resend["id"].as_str().unwrap());
    assert_eq!(world.post(&cancel, &json!({})).await.status, 409);

    let plain = world.call(axum::http::Method::POST, &path, "").await;
    assert_eq!(plain.whole(), (202, json!({})));
    for (wish, field) in [
        (json!({"payload": {}, "messageId": "keep"}), "messageId"),
        (json!({"reason": ""}), "reason"),
    ] {
        let answer = world.post(&path, &wish).await;
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", field]), "{wish}");
    }
    let large = json!({"payload": "x".repeat(crate::world::MAX_PAYLOAD_BYTES)});
    assert_eq!(world.post(&path, &large).await.status, 413);
}

async fn the_chain_of_a_delivery_is_one_call(world: World) {
    let (app, _, bad) = two_messages(&world).await;
    let path = format!("/app/crm/msg/{bad}/endpoint/hook/resend");
    assert_eq!(world.post(&path, &json!({"reason": "asked for"})).await.status, 202);
    let resent = world.claimed().await;
    world.settle(&resent, Outcome::Answered(500, ""), After::Failed).await;
    world.pass_ms(5);
    world.post("/app/crm/endpoint/hook/recover", &json!({"since": SINCE})).await.ok();
    run(&world).await;
    let found = world.get(&format!("/app/crm/delivery/{}/chain", resent.delivery_id)).await.ok();
    let links = found["links"].as_array().unwrap();
    let column = |name: &str| links.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("state"), ["failed", "failed", "queued"]);
    assert_eq!(column("attempts"), [1, 1, 0]);
    assert_eq!(column("replayKind"), [json!(null), json!("resend"), json!("recover")]);
    assert_eq!(column("reason"), [json!(null), json!("asked for"), json!(null)]);
    assert_eq!((&found["rootId"], &found["truncated"]), (&links[0]["id"], &json!(false)));
    assert_eq!(found["deliveryId"], json!(resent.delivery_id));
    assert_eq!(links[1]["by"]["kind"], "token");
    assert_eq!(links[0]["by"], Value::Null);
    let root = links[0]["id"].as_str().unwrap();
    let again = world.get(&format!("/app/crm/delivery/{root}/chain")).await.ok();
    assert_eq!(again["links"], found["links"], "the same from any of its links");
    let nobody = format!("/app/crm/delivery/dlv_{}/chain", "0".repeat(35));
    assert_eq!(world.get(&nobody).await.whole(), no_such("delivery"));
    let _ = app;
}

async fn a_task_is_paused_by_its_own_routes(world: World) {
    two_messages(&world).await;
    let replay = start(&world, json!({"since": SINCE})).await;
    let task = replay["taskId"].as_str().unwrap();
    let path = format!("/background-task/{task}");
    let told = async |answer: crate::world::Answer| {
        let json = answer.ok();
        (json["status"].clone(), json["data"]["state"].clone())
    };
    let paused = world.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!(told(paused).await, (json!("running"), json!("paused")), "clients know three");
    assert_eq!(world.get("/background-task?status=running").await.ids(), [task]);
    assert_eq!(world.get("/background-task?status=paused").await.ids(), [task]);
    let resumed = world.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!(told(resumed).await, (json!("running"), json!("running")));
    let canceled = world.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(told(canceled).await, (json!("failed"), json!("canceled")));
    let over = world.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!((over.status, &over.json()["code"]), (409, &json!("task_state")));
    world.delete("/app/crm/endpoint/hook").await.ok();
    let purge = world.store.running_tasks().await.unwrap().remove(0).id;
    let refused = world.post(&format!("/background-task/{purge}/cancel"), &json!({})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("task_state")));
    let nobody = format!("/background-task/qtask_{}/pause", "0".repeat(27));
    assert_eq!(world.post(&nobody, &json!({})).await.whole(), no_such("background task"));
}
