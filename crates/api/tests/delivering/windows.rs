//! Maintenance windows over HTTP: made, changed, previewed, ended, and told of.

use axum::http::Method;
use serde_json::{Value, json};
use store::After;

use crate::both;
use crate::world::{Outcome, World, no_such};

both!(
    one_that_happens_once_is_made_and_changed,
    one_that_recurs_tells_what_comes,
    a_preview_saves_nothing,
    what_makes_no_sense_is_refused_by_its_field,
    what_is_active_is_ended,
    what_is_held_is_explained,
    windows_of_others_do_not_exist,
);

const GOOD: Outcome = Outcome::Answered(204, "");

fn berlin() -> Value {
    json!({
        "name": "backups", "cron": "30 2 * * *", "durationMinutes": 90, "timeZone": "europe/berlin",
        "from": "2027-03-27", "until": "2027-03-29",
    })
}

async fn one_that_happens_once_is_made_and_changed(world: World) {
    let app = world.app("crm").await;
    let endpoint = world.endpoint(app, "hook").await;
    for path in ["/maintenance-window", "/app/crm/maintenance-window"] {
        let is_app = path.starts_with("/app");
        let mut wish =
            json!({"name": "upgrade", "reason": "disks", "endsAt": "2026-11-24T09:00:00Z"});
        if is_app {
            wish["endpointIds"] = json!(["hook"]);
        }
        let made = world.post(path, &wish).await;
        assert_eq!(made.status, 201);
        let mut expected = json!({
            "id": made.json()["id"], "appId": null, "endpointIds": null, "name": "upgrade",
            "reason": "disks", "enabled": true, "active": true,
            "startsAt": "2026-11-24T08:00:00.000Z", "endsAt": "2026-11-24T09:00:00.000Z",
            "cron": null, "durationMinutes": null, "timeZone": null, "from": null, "until": null,
            "endedAt": null, "createdAt": "2026-11-24T08:00:00.000Z",
            "updatedAt": "2026-11-24T08:00:00.000Z",
        });
        if is_app {
            expected["appId"] = json!(app);
            expected["endpointIds"] = json!([endpoint.id]);
        }
        assert_eq!(made.json(), expected);
        let one = format!("{path}/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(world.get(&one).await.ok(), expected);
        assert_eq!(world.get(path).await.ok()["data"], json!([expected]));
        let later = json!({"endsAt": "2026-11-24T10:00:00Z"});
        let changed = world.call(Method::PATCH, &one, later.to_string()).await.ok();
        expected["endsAt"] = json!("2026-11-24T10:00:00.000Z");
        assert_eq!(changed, expected);
        let put = json!({"name": "moved", "startsAt": "2026-11-25T08:00:00Z", "endsAt": "2026-11-25T09:00:00Z"});
        let put = world.call(Method::PUT, &one, put.to_string()).await.ok();
        assert_eq!((&put["active"], &put["endpointIds"]), (&json!(false), &Value::Null));
        assert_eq!((&put["id"], &put["reason"]), (&expected["id"], &json!("")));
        assert_eq!(world.delete(&one).await.status, 204);
        assert_eq!(world.get(&one).await.whole(), no_such("maintenance window"));
    }
}

async fn one_that_recurs_tells_what_comes(world: World) {
    let made = world.post("/maintenance-window", &berlin()).await.ok();
    assert_eq!((&made["timeZone"], &made["active"]), (&json!("Europe/Berlin"), &json!(false)));
    assert_eq!(made["startsAt"], "2027-03-27T01:30:00.000Z");
    assert!(made.get("upcoming").is_none());
    let one = format!("/maintenance-window/{}", made["id"].as_str().unwrap());
    let upcoming = world.get(&format!("{one}?upcoming=2")).await.ok();
    assert_eq!(
        upcoming["upcoming"],
        json!([
            {"startsAt": "2027-03-27T01:30:00.000Z", "endsAt": "2027-03-27T03:00:00.000Z"},
            {"startsAt": "2027-03-28T01:00:00.000Z", "endsAt": "2027-03-28T02:30:00.000Z"},
        ])
    );
    let many = world.get(&format!("{one}?upcoming=1000000")).await.ok();
    assert_eq!(many["upcoming"].as_array().unwrap().len(), 3, "then it is over");
    let patch = json!({"until": null, "durationMinutes": 30});
    let patched = world.call(Method::PATCH, &one, patch.to_string()).await.ok();
    assert_eq!((&patched["cron"], &patched["until"]), (&json!("30 2 * * *"), &Value::Null));
    let many = world.get(&format!("{one}?upcoming=1000000")).await.ok();
    assert_eq!(many["upcoming"].as_array().unwrap().len(), 100);
    let once = json!({"cron": null, "endsAt": "2026-11-24T09:00:00Z"});
    let once = world.call(Method::PATCH, &one, once.to_string()).await.ok();
    assert_eq!((&once["active"], &once["timeZone"]), (&json!(true), &Value::Null));
}

async fn a_preview_saves_nothing(world: World) {
    world.app("crm").await;
    for path in ["/maintenance-window", "/app/crm/maintenance-window"] {
        let told = world.post(&format!("{path}/preview?upcoming=1"), &berlin()).await.ok();
        let first =
            json!({"startsAt": "2027-03-27T01:30:00.000Z", "endsAt": "2027-03-27T03:00:00.000Z"});
        assert_eq!(told, json!({"active": false, "upcoming": [first]}));
        assert!(world.get(path).await.ids().is_empty());
    }
}

async fn what_makes_no_sense_is_refused_by_its_field(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let changed = |field: &str, value: Value| {
        let mut wish = berlin();
        wish[field] = value;
        wish
    };
    let once = |starts: &str, ends: &str| json!({"name": "x", "startsAt": starts, "endsAt": ends});
    let (early, late) = ("2026-11-25T08:00:00Z", "2026-11-25T09:00:00Z");
    for (field, wish) in [
        ("cron", changed("cron", json!("61 * * * *"))),
        ("cron", changed("cron", json!("0 0 30 2 *"))),
        ("timeZone", changed("timeZone", json!("Mars/Olympus"))),
        ("timeZone", changed("timeZone", Value::Null)),
        ("durationMinutes", changed("durationMinutes", json!(0))),
        ("durationMinutes", changed("durationMinutes", json!(1_440))),
        ("durationMinutes", changed("durationMinutes", Value::Null)),
        ("until", changed("until", json!("2027-03-26"))),
        (
            "until",
            json!({"name": "x", "cron": "0 2 * * *", "durationMinutes": 5, "timeZone": "UTC", "until": "2020-01-01"}),
        ),
        ("from", changed("from", json!("soon"))),
        ("name", changed("name", json!("  "))),
        ("name", changed("name", json!("x".repeat(257)))),
        ("reason", changed("reason", json!("a\0b"))),
        ("endpointIds", changed("endpointIds", json!([]))),
        ("endpointIds", changed("endpointIds", json!(["nobodys"]))),
        ("endpointIds", changed("endpointIds", json!(["a\0b"]))),
        ("endsAt", json!({"name": "x"})),
        ("endsAt", once(late, early)),
        ("endsAt", once(early, early)),
        ("endsAt", once(early, "2036-11-25T09:00:00Z")),
        ("endsAt", once("2026-11-23T08:00:00Z", "2026-11-24T08:00:00Z")),
    ] {
        for path in ["/app/crm/maintenance-window", "/app/crm/maintenance-window/preview"] {
            let (status, problem) = world.post(path, &wish).await.whole();
            assert_eq!(status, 422, "{wish} {problem}");
            assert_eq!(problem["detail"][0]["loc"], json!(["body", field]), "{wish} {problem}");
        }
    }
    let named = changed("endpointIds", json!(["hook"]));
    let (status, problem) = world.post("/maintenance-window", &named).await.whole();
    assert_eq!((status, &problem["detail"][0]["loc"][1]), (422, &json!("endpointIds")));
    for _ in 0..model::window::MAX_WINDOWS {
        assert_eq!(world.post("/maintenance-window", &berlin()).await.status, 201);
    }
    let (status, problem) = world.post("/maintenance-window", &berlin()).await.whole();
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"][0]["msg"].as_str().unwrap().contains("100 windows"));
}

async fn what_is_active_is_ended(world: World) {
    world.app("crm").await;
    for path in ["/maintenance-window", "/app/crm/maintenance-window"] {
        let wish =
            json!({"name": "daily", "cron": "0 8 * * *", "durationMinutes": 60, "timeZone": "UTC"});
        let made = world.post(path, &wish).await.ok();
        assert_eq!(
            (&made["active"], &made["endsAt"]),
            (&json!(true), &json!("2026-11-24T09:00:00.000Z"))
        );
        let end = format!("{path}/{}/end", made["id"].as_str().unwrap());
        let ended = world.post(&end, &json!({})).await.ok();
        assert_eq!(ended["active"], false);
        assert_eq!(ended["startsAt"], "2026-11-25T08:00:00.000Z", "it comes again");
        let (status, problem) = world.post(&end, &json!({})).await.whole();
        assert_eq!((status, &problem["code"]), (409, &json!("not_active")));
    }
}

async fn what_is_held_is_explained(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let wish = json!({"name": "upgrade", "reason": "disks", "endsAt": "2026-11-24T09:00:00Z"});
    world.post("/maintenance-window", &wish).await.ok();
    let held = world.get("/app/crm/endpoint/hook").await.ok();
    assert_eq!(held["held"], json!({"why": "window", "until": "2026-11-24T09:00:00.000Z"}));
    let message = world.publish("crm", json!({})).await;
    let delivery = world.get("/app/crm/delivery").await.ids().remove(0);
    let text = "Held: maintenance window «upgrade» (disks) until 2026-11-24T09:00:00.000Z. What \
                waits is sent afterwards.";
    let told = world.get(&format!("/app/crm/delivery/{delivery}/explain")).await.ok();
    assert_eq!(told["reasons"][0], json!({"code": "maintenance_window", "text": text}));
    assert_eq!(told["nextAttemptAt"], "2026-11-24T09:00:00.000Z");
    let path = format!("/app/crm/msg/{message}/explain?endpoint=hook");
    let told = world.get(&path).await.ok();
    assert_eq!(told["reasons"][1]["code"], "maintenance_window");
    world.pass_ms(3_600_000);
    let free = world.get("/app/crm/endpoint/hook").await.ok();
    assert!(free.get("held").is_none());
    let lease = world.claimed().await;
    world.settle(&lease, GOOD, After::Succeeded).await;
    assert_eq!(world.get(&path).await.ok()["reasons"].as_array().unwrap().len(), 1);
}

async fn windows_of_others_do_not_exist(world: World) {
    world.app("crm").await;
    world.app("erp").await;
    let wish = json!({"name": "upgrade", "endsAt": "2026-11-24T09:00:00Z"});
    let of = async |path: &str| {
        let made = world.post(path, &wish).await.ok();
        made["id"].as_str().unwrap().to_owned()
    };
    let of_crm = of("/app/crm/maintenance-window").await;
    let of_instance = of("/maintenance-window").await;
    for path in [
        format!("/app/erp/maintenance-window/{of_crm}"),
        format!("/app/erp/maintenance-window/{of_instance}"),
        format!("/maintenance-window/{of_crm}"),
        "/maintenance-window/hook".to_owned(),
    ] {
        let unknown = no_such("maintenance window");
        assert_eq!(world.get(&path).await.whole(), unknown);
        assert_eq!(world.delete(&path).await.whole(), unknown);
        assert_eq!(world.call(Method::PATCH, &path, "{}").await.whole(), unknown);
        assert_eq!(world.call(Method::PUT, &path, wish.to_string()).await.whole(), unknown);
        assert_eq!(world.post(&format!("{path}/end"), &json!({})).await.whole(), unknown);
    }
}
