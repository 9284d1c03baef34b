//! Retention, erasures and housekeeping over HTTP.

use axum::http::Method;
use serde_json::{Value, json};

use crate::both;
use crate::world::World;

both!(
    an_apps_own_days_are_set_and_cleared,
    whose_messages_are_erased_is_said_by_a_path,
    housekeeping_is_shown_and_asked_for,
);

async fn an_apps_own_days_are_set_and_cleared(world: World) {
    world.app("crm").await;
    let instance =
        json!({"payloadDays": 90, "attemptDays": 90, "messageDays": 365, "auditDays": null});
    assert_eq!(world.get("/retention").await.ok(), instance);
    let path = "/app/crm/retention";
    let none = json!({"payloadDays": null, "attemptDays": null, "messageDays": null});
    assert_eq!(world.get(path).await.ok(), json!({"own": none, "inEffect": instance}));
    let put = world.call(Method::PUT, path, json!({"attemptDays": 7}).to_string()).await.ok();
    assert_eq!(
        (&put["own"]["attemptDays"], &put["inEffect"]["attemptDays"]),
        (&json!(7), &json!(7))
    );
    assert_eq!(put["inEffect"]["messageDays"], 365);
    for bad in [json!({"messageDays": 0}), json!({"payloadDays": 36_501})] {
        let field = bad.as_object().unwrap().keys().next().unwrap().clone();
        let refused = world.call(Method::PUT, path, bad.to_string()).await;
        assert_eq!(refused.status, 422);
        assert_eq!(refused.json()["detail"][0]["loc"][1], json!(field));
    }
    let put = world.call(Method::PUT, path, "{}").await.ok();
    assert_eq!(put, json!({"own": none, "inEffect": instance}));
}

async fn whose_messages_are_erased_is_said_by_a_path(world: World) {
    world.app("crm").await;
    let about = |who: &str| json!({"payload": {"contact": {"id": who}}});
    let ada = world.publish("crm", about("ada")).await;
    let bob = world.publish("crm", about("bob")).await;
    let path = "/app/crm/erasure";
    let wish = json!({"path": "$.contact.id", "equals": "ada", "dryRun": true});
    let trial = world.post(path, &wish).await;
    assert_eq!(trial.status, 200);
    let found = json!({"matched": 1, "lookedAt": 2, "whole": true});
    assert_eq!(trial.json(), json!({"task": null, "dryRun": found}));
    for (bad, field) in [
        (json!({"path": "contact", "equals": "ada"}), "path"),
        (json!({"path": "$.contact", "equals": {"id": "ada"}}), "equals"),
        (json!({"path": "$.contact", "equals": 1.5}), "equals"),
        (json!({"path": "$.a", "equals": 1, "since": "2030-01-01T00:00:00Z"}), "since"),
    ] {
        let refused = world.post(path, &bad).await;
        assert_eq!(refused.status, 422, "{bad}");
        assert_eq!(refused.json()["detail"][0]["loc"][1], field, "{bad}");
    }
    let started = world.post(path, &json!({"path": "$.contact.id", "equals": "ada"})).await;
    assert_eq!(started.status, 202);
    finish(&world, &started.json()["task"]["id"]).await;
    let payload =
        async |id: &str| world.get(&format!("/app/crm/msg/{id}")).await.ok()["payload"].clone();
    assert_ne!(payload(&ada).await, about("ada")["payload"]);
    assert_eq!(payload(&bob).await, about("bob")["payload"]);
    let all = world.post("/app/crm/msg/expunge-all-contents", &json!({})).await;
    assert_eq!((all.status, &all.json()["task"]), (202, &json!("application.purge_content")));
    finish(&world, &all.json()["id"]).await;
    assert_ne!(payload(&bob).await, about("bob")["payload"]);
}

/// Does the steps that the engine does elsewhere.
async fn finish(world: &World, task: &Value) {
    let id = task.as_str().unwrap();
    loop {
        let mut task = world.store.task(id.parse().unwrap()).await.unwrap().unwrap();
        if task.status.is_final() {
            break;
        }
        world.store.step_task(&mut task).await.unwrap();
    }
    let shown = world.get(&format!("/background-task/{id}")).await.ok();
    assert_eq!((&shown["status"], &shown["data"]["done"]), (&json!("finished"), &json!(1)));
}

async fn housekeeping_is_shown_and_asked_for(world: World) {
    let shown = world.get("/housekeeping").await.ok();
    assert_eq!(shown["chores"].as_array().unwrap().len(), 6);
    assert_eq!(shown["runs"], json!([]));
    assert!(shown["sizes"]["databaseBytes"].as_u64().unwrap() > 0);
    assert_eq!(world.post("/housekeeping/run", &json!({})).await.status, 202);
    let shown = world.get("/housekeeping").await.ok();
    assert_eq!(shown["chores"][0], json!({"chore": "partitions", "nextAt": null, "asked": true}));
}
