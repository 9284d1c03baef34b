//! The audit log over HTTP: what changes leave there, how it is narrowed, paged, exported and
//! verified.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use http::Method;
use model::audit::{Actor, Change};
use serde_json::{Value, json};
use testkit::{TestOptions, TestServer, on_both};

const LOG: &str = "/api/v1/audit-log";
const SECRET: &str = "whsec_QXVkaXRlZC1zZWNyZXRzLXN0YXktaGlkZGVuIQ==";

/// An app and an endpoint, made, changed and removed over the API; answers both ids.
async fn make_changes(server: &TestServer) -> (String, String) {
    let send = async |method, path: &str, body: Value| {
        let path = format!("/api/v1{path}");
        let reply = server.call(method, &path, &[], body.to_string().into_bytes()).await;
        assert!((200..300).contains(&reply.status), "{path}: {reply:?}");
        reply.json
    };
    let app = send(Method::POST, "/app", json!({"name": "Open House", "uid": "one"})).await;
    let endpoint = json!({
        "url": "https://receiver.example/hooks", "secret": SECRET,
        "headers": {"authorization": "Bearer hidden"},
    });
    let endpoint = send(Method::POST, "/app/one/endpoint", endpoint).await;
    let id = |noun: &Value| noun["id"].as_str().unwrap().to_owned();
    let (app, endpoint) = (id(&app), id(&endpoint));
    let at = format!("/app/one/endpoint/{endpoint}");
    send(Method::PATCH, &at, json!({"description": "new"})).await;
    send(Method::POST, &format!("{at}/pause"), json!({})).await;
    send(Method::POST, &format!("{at}/secret/rotate"), json!({})).await;
    send(Method::DELETE, &at, json!({})).await;
    (app, endpoint)
}

/// The actions of a list, in order.
fn actions(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

async fn listed(server: &TestServer, query: &str) -> Value {
    let reply = server.get(&format!("{LOG}?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    reply.json
}

on_both! {
    async fn a_change_is_kept_with_who_where_from_before_and_after(server: TestServer) {
        let (app, endpoint) = make_changes(&server).await;
        let list = listed(&server, &format!("target={endpoint}&action=endpoint.update")).await;
        let entry = &list["data"][0];
        assert_eq!(entry["appId"], app);
        assert_eq!(entry["before"]["description"], "");
        assert_eq!(entry["after"]["description"], "new");
        assert_eq!(entry["after"]["headers"], json!({"authorization": "[redacted]"}));
        let actor = &entry["actor"];
        assert_eq!((&actor["kind"], &actor["address"]), (&json!("token"), &json!("127.0.0.1")));
        for given in ["id", "name", "requestId"] {
            assert!(actor[given].as_str().is_some_and(|text| !text.is_empty()), "{given}: {actor}");
        }
        let whole = listed(&server, "limit=250").await.to_string();
        for secret in [SECRET, "Bearer hidden"] {
            assert!(!whole.contains(secret));
        }
    }

    async fn the_list_is_narrowed_and_paged(server: TestServer) {
        let (app, endpoint) = make_changes(&server).await;
        let newest_first = [
            "endpoint.delete",
            "endpoint.rotate_secret",
            "endpoint.pause",
            "endpoint.update",
            "endpoint.create",
        ];
        let of_endpoint = listed(&server, &format!("target={endpoint}")).await;
        assert_eq!(actions(&of_endpoint), newest_first);
        let of_noun = listed(&server, &format!("app={app}&action=endpoint")).await;
        assert_eq!(actions(&of_noun), newest_first);
        let own = listed(&server, &format!("app={app}&action=app.create")).await;
        assert_eq!(actions(&own), ["app.create"]);
        let actor = own["data"][0]["actor"]["id"].as_str().unwrap();
        let by_actor = listed(&server, &format!("target={endpoint}&actor={actor}")).await;
        assert_eq!(actions(&by_actor), newest_first);
        assert!(actions(&listed(&server, "actor=nobody").await).is_empty());
        let later = "2100-01-01T00:00:00Z";
        let since = listed(&server, &format!("target={endpoint}&since={later}")).await;
        assert!(actions(&since).is_empty());
        let until = listed(&server, &format!("target={endpoint}&until={later}")).await;
        assert_eq!(actions(&until), newest_first);

        let first = listed(&server, &format!("target={endpoint}&limit=3")).await;
        assert_eq!((actions(&first), &first["done"]), (newest_first[..3].to_vec(), &json!(false)));
        let iterator = first["iterator"].as_str().unwrap();
        let rest = listed(&server, &format!("target={endpoint}&limit=3&iterator={iterator}")).await;
        assert_eq!((actions(&rest), &rest["done"]), (newest_first[3..].to_vec(), &json!(true)));
        let back = rest["prevIterator"].as_str().unwrap();
        let back = listed(&server, &format!("target={endpoint}&limit=3&iterator={back}")).await;
        assert_eq!(actions(&back), newest_first[..3]);

        let wrong = server.get(&format!("{LOG}?since=yesterday")).await;
        assert_eq!(wrong.status, 422);
        let nowhere = server.get(&format!("{LOG}?app=app_nowhere")).await;
        assert_eq!(nowhere.status, 404);
    }

    async fn the_export_is_every_entry_one_a_line(server: TestServer) {
        for n in 0..600 {
            let change = Change {
                action: "test.note",
                target: format!("note {n}"),
                app_id: None,
                before: None,
                after: Some(json!({"text": "two\nlines"})),
            };
            server.store.record_audit(&Actor::system("test"), change).await.unwrap();
        }
        let reply = server.get(&format!("{LOG}/export?action=test")).await;
        assert_eq!((reply.status, reply.headers["content-type"].as_str()), (200, "application/x-ndjson"));
        let text = String::from_utf8(reply.bytes).unwrap();
        assert!(text.ends_with('\n'));
        let targets: Vec<String> = text
            .lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).unwrap();
                assert_eq!(entry["after"]["text"], "two\nlines");
                entry["target"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(targets, (0..600).map(|n| format!("note {n}")).collect::<Vec<_>>());
        let nothing = server.get(&format!("{LOG}/export?actor=nobody")).await;
        assert_eq!((nothing.status, nothing.bytes.len()), (200, 0));
    }

    async fn verification_says_where_the_log_was_tampered_with(database: TestDatabase) {
        let server = TestServer::start(TestOptions::new(database.url())).await;
        make_changes(&server).await;
        let sound = server.get(&format!("{LOG}/verify")).await.json;
        let newest = &listed(&server, "limit=1").await["data"][0];
        assert_eq!(
            sound,
            json!({
                "sound": true, "entries": newest["seq"], "hash": newest["hash"], "brokenAt": null,
            })
        );
        database.execute("update audit set actor_name = 'somebody' where seq = 2").await;
        let broken = server.get(&format!("{LOG}/verify")).await.json;
        assert_eq!((&broken["sound"], &broken["brokenAt"]), (&json!(false), &json!(2)));
        assert_eq!(broken["entries"], 1);
        server.stop().await;
    }
}
