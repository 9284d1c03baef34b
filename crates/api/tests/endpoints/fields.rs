//! What an endpoint may not be.

use serde_json::json;
use testkit::on_both;

use crate::invalid;
use crate::world::World;

on_both! {
    async fn bad_fields_are_refused_with_what_is_good(world: World) {
        world.app_called("one").await;
        let name = "must be 1 to 256 characters of A-Z a-z 0-9 . _ -";
        let pattern = "; a wildcard stands at the end: contact.*";
        let schedule = "must be 1 to 50 delays in seconds, each from 0 to 604800, \
            such as [0, 1, 5, 15], or null for the usual schedule";
        let header = "is not allowed: use letters, digits and -, \
            and none that the delivery itself sets";
        let cases = [
            ("uid", json!("a b"), format!("{name}, got \"a b\"")),
            (
                "uid",
                json!("ep_1"),
                "must not begin with \"ep_\": that is how generated ids begin".to_owned(),
            ),
            (
                "eventTypes",
                json!([]),
                "must have 1 to 1000 entries; leave it out for all event types".to_owned(),
            ),
            ("eventTypes", json!(["con*tact"]), format!("{name}, got \"con*tact\"{pattern}")),
            ("channels", json!([]), "must have 1 to 10 entries, got 0".to_owned()),
            ("throttleRate", json!(0), "must be 1 to 1000000, or null for no limit".to_owned()),
            ("maxInFlight", json!(10_001), "must be 1 to 10000, or null for no limit".to_owned()),
            ("retrySchedule", json!([]), schedule.to_owned()),
            ("retrySchedule", json!([0, -1]), schedule.to_owned()),
            ("description", json!("x".repeat(4_097)), "must be at most 4096 bytes, got 4097".to_owned()),
            (
                "metadata",
                json!({"k": "x".repeat(4_096)}),
                "must be at most 4096 bytes, got 4097".to_owned(),
            ),
            ("headers", json!({"Host": "a"}), format!("header name \"Host\" {header}")),
            (
                "bodySignature",
                json!({"header": "Content-Length"}),
                format!("header name \"Content-Length\" {header}"),
            ),
            (
                "secret",
                json!("whsec_c2hvcnQ="),
                "the secret holds 5 bytes; an HMAC secret needs 24 to 75; \
                 leave it out to have one generated"
                    .to_owned(),
            ),
        ];
        for (field, value, msg) in cases {
            let wish = json!({"url": "https://example.com/", field: value});
            let answer = world.post("/app/one/endpoint", &wish).await;
            assert_eq!(answer.whole(), invalid(field, &msg), "{wish}");
        }
        assert!(world.get("/app/one/endpoint").await.ids().is_empty());
    }

    async fn patch_and_put_refuse_the_same(world: World) {
        world.app_called("one").await;
        let url = json!({"url": "https://example.com/", "headers": {"X-Sig": "1"}});
        let created = world.put("/app/one/endpoint/mine", &url).await.ok();
        let refused = invalid("throttleRate", "must be 1 to 1000000, or null for no limit");
        let wish = json!({"url": "https://example.com/other", "throttleRate": 0});
        assert_eq!(world.patch("/app/one/endpoint/mine", &wish).await.whole(), refused);
        assert_eq!(world.put("/app/one/endpoint/mine", &wish).await.whole(), refused);

        let same_header = json!({"bodySignature": {"header": "x-sig"}});
        let twice = world.patch("/app/one/endpoint/mine", &same_header).await;
        let expected = json!([{
            "loc": ["body", "bodySignature", "header"],
            "msg": "must not be one of the endpoint's own headers",
            "type": "value_error",
        }]);
        assert_eq!(twice.json()["detail"], expected);

        let unknown = world.patch("/app/one/endpoint/mine", &json!({"url": 7})).await;
        assert_eq!((unknown.status, &unknown.json()["code"]), (422, &json!("validation_error")));
        let broken = world.call(axum::http::Method::PATCH, "/app/one/endpoint/mine", "{").await;
        assert_eq!((broken.status, &broken.json()["code"]), (400, &json!("invalid_json")));
        assert_eq!(world.get("/app/one/endpoint/mine").await.whole(), (200, created));
    }

    async fn private_targets_are_refused(world: World) {
        world.app_called("one").await;
        let ask = "ask the operator to allow it with DOORBELL_TARGETS_ALLOW";
        let cases = [
            ("http://127.0.0.1/", format!("127.0.0.1 is a loopback address; {ask}")),
            ("http://2130706433/", format!("127.0.0.1 is a loopback address; {ask}")),
            ("http://localhost:8080/", format!("localhost names the machine Doorbell runs on; {ask}")),
            (
                "ftp://example.com/",
                "the scheme is not http or https; write the URL as https://host/path".to_owned(),
            ),
        ];
        world.put("/app/one/endpoint/mine", &json!({"url": "https://example.com/"})).await.ok();
        for (url, msg) in cases {
            let refused = json!({
                "type": "urn:doorbell:problem:target_refused",
                "title": "The URL may not be called",
                "status": 422,
                "code": "target_refused",
                "detail": [{"loc": ["body", "url"], "msg": msg, "type": "target_refused"}],
            });
            let wish = json!({"url": url});
            let refused = (422, refused);
            assert_eq!(world.post("/app/one/endpoint", &wish).await.whole(), refused);
            assert_eq!(world.put("/app/one/endpoint/mine", &wish).await.whole(), refused);
            assert_eq!(world.patch("/app/one/endpoint/mine", &wish).await.whole(), refused);
        }
        for url in ["http://10.0.0.1/", "http://169.254.169.254/", "http://[::1]/", "http://[fd00::1]/"] {
            let answer = world.post("/app/one/endpoint", &json!({"url": url})).await;
            assert_eq!(answer.json()["code"], "target_refused", "{url}");
        }
        assert_eq!(world.get("/app/one/endpoint").await.ids().len(), 1);
    }

    async fn old_names_and_unknown_fields_are_tolerated(world: World) {
        world.app_called("one").await;
        let wish = json!({
            "url": "https://example.com/",
            "filterTypes": ["contact.created"],
            "rateLimit": 5,
            "version": 3,
            "newInSomeClient": {"a": 1},
        });
        let created = world.post("/app/one/endpoint?some_flag=1", &wish).await.ok();
        assert_eq!(created["eventTypes"], json!(["contact.created"]));
        assert_eq!(created["throttleRate"], 5);
        let path = format!("/app/one/endpoint/{}", created["id"].as_str().unwrap());
        let changed = world.patch(&path, &json!({"filterTypes": null, "rateLimit": 6})).await.ok();
        assert_eq!(changed["eventTypes"], json!(null));
        assert_eq!(changed["throttleRate"], 6);
    }
}
