//! Background tasks, health, tokens, and requests that are sent twice.

use axum::body::Body;
use axum::http::{Method, Request, header};
use model::replay::{Kind, Selection};
use model::task::Work;
use serde_json::{Value, json};
use store::{NewReplay, Step};
use testkit::by;

use crate::both;
use crate::world::{START, TOKEN, World, no_such};

both!(
    tasks_are_listed_and_told_apart,
    health_needs_no_token,
    a_database_that_is_gone_is_told,
    everything_else_needs_a_token,
    a_repeated_request_is_done_once,
    a_nul_reaches_no_database,
);

async fn tasks_are_listed_and_told_apart(world: World) {
    let app = world.app("crm").await;
    let endpoint = world.endpoint(app, "hook").await;
    let selection = Selection::new(app, START, START.plus_ms(1_000)).at(endpoint.id);
    let replay = NewReplay::new(Kind::Recover, selection);
    let replay = world.store.start_replay(replay, &by()).await.unwrap();
    let mut recover = replay.task.unwrap();
    world.pass_ms(1);
    let purge = Work::Purge { app_id: app, endpoint_id: None };
    let purge = world.store.insert_task(None, purge, &by()).await.unwrap();
    assert_eq!(world.store.step_task(&mut recover).await.unwrap(), Step::Moved);
    let recovered = json!({
        "id": recover.id,
        "status": "finished",
        "task": "endpoint.recover",
        "updatedAt": "2026-11-24T08:00:00.001Z",
        "data": {
            "state": "finished",
            "work": "endpoint.recover",
            "done": 0,
            "lookedAt": 0,
            "selected": null,
            "replayId": replay.id,
            "cursor": null,
            "error": null,
            "appId": app,
            "endpointId": endpoint.id,
            "since": "2026-11-24T08:00:00.000Z",
            "until": "2026-11-24T08:00:01.000Z",
            "createdAt": "2026-11-24T08:00:00.000Z",
        },
    });
    let path = format!("/background-task/{}", recover.id);
    assert_eq!(world.get(&path).await.whole(), (200, recovered.clone()));
    let list = world.get("/background-task?status=finished").await;
    assert_eq!(list.ok()["data"], json!([recovered]));
    let (purge, recover) = (purge.id.as_str(), recover.id.as_str());
    for (query, expected) in [
        ("", vec![purge, recover]),
        ("?order=ascending", vec![recover, purge]),
        ("?status=running", vec![purge]),
        ("?status=failed", vec![]),
        ("?limit=1", vec![purge]),
        (&format!("?iterator={purge}"), vec![recover]),
    ] {
        assert_eq!(world.get(&format!("/background-task{query}")).await.ids(), expected, "{query}");
    }
    assert_eq!(world.get("/background-task?status=lost").await.status, 422);
    for id in ["qtask_000000000000000000000000000", "nonsense"] {
        let answer = world.get(&format!("/background-task/{id}")).await;
        assert_eq!(answer.whole(), no_such("background task"));
    }
}

const HEALTH: [&str; 3] = ["/health", "/health/live", "/health/ready"];

async fn health_needs_no_token(world: World) {
    for path in HEALTH {
        for path in [path.to_owned(), format!("/api/v1{path}")] {
            let answer = world.send(Request::get(path).body(Body::empty()).unwrap()).await;
            assert_eq!(answer.whole(), (204, Value::Null));
        }
    }
}

async fn a_database_that_is_gone_is_told(world: World) {
    world.store.close().await;
    let problem = json!({
        "type": "urn:doorbell:problem:unavailable",
        "title": "Try again in a moment",
        "status": 503,
        "code": "unavailable",
        "detail": "The database did not answer. Send the request again.",
    });
    for (path, expected) in
        HEALTH.into_iter().zip([(503, problem.clone()), (204, Value::Null), (503, problem)])
    {
        assert_eq!(world.get(path).await.whole(), expected, "{path}");
    }
}

async fn everything_else_needs_a_token(world: World) {
    world.app("crm").await;
    for (path, token) in [
        ("/api/v1/app/crm/msg", None),
        ("/api/v1/app/crm/msg", Some("Bearer wrong")),
        ("/api/v1/app/nobody/delivery", Some("Basic x")),
        ("/api/v1/background-task/nonsense", None),
    ] {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (401, &json!("unauthorized")),
            "{path}"
        );
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
    }
}

async fn a_repeated_request_is_done_once(world: World) {
    let app = world.app("crm").await;
    world.endpoint(app, "hook").await;
    let id = world.publish("crm", json!({})).await;
    let lease = world.fresh().await;
    let resend = |key: &str, body: &str| {
        Request::post(format!("/api/v1/app/crm/msg/{id}/endpoint/hook/resend"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header("idempotency-key", key)
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    for _ in 0..2 {
        assert_eq!(world.send(resend("auto_1", "{}")).await.whole(), (202, json!({})));
    }
    let other = world.send(resend("auto_1", "{\"other\":1}")).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("idempotency_mismatch")));
    let mut deliveries = world.get("/app/crm/delivery").await.ids();
    deliveries.retain(|id| *id != lease.delivery_id.as_str());
    assert_eq!(deliveries.len(), 1, "one resend, however often it was asked for");
}

async fn a_nul_reaches_no_database(world: World) {
    world.app("crm").await;
    for path in ["/app/%00", "/app/crm/msg/%00", "/app/%00/delivery"] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("invalid_request")),
            "{path}"
        );
    }
    let body = json!({"eventType": "a", "payload": {}});
    assert_eq!(world.call(Method::POST, "/app/%00/msg", body.to_string()).await.status, 400);
    assert_eq!(world.get("/app/crm/msg?channel=%00").await.status, 422);
}
