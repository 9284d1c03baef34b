//! Signatures of received webhooks, answered whole.

use serde_json::{Value, json};
use testkit::on_both;

use crate::world::{Answer, World};

const PATH: &str = "/signature/verify";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"test": 2432232314}"#;

/// A body signed now, as the API signs it.
async fn signed(world: &World, more: Value) -> Value {
    let mut wish = json!({"id": "msg_1", "body": BODY});
    merge(&mut wish, more);
    world.post("/signature/sign", &wish).await.ok()["headers"].clone()
}

fn merge(into: &mut Value, more: Value) {
    for (name, value) in more.as_object().expect("an object") {
        into[name] = value.clone();
    }
}

/// The field that a 422 is about.
fn refused(answer: &Answer) -> String {
    assert_eq!(answer.status, 422, "{answer:?}");
    answer.json()["detail"][0]["loc"][1].as_str().expect("a field").to_owned()
}

async fn verify(world: &World, headers: &Value, more: Value) -> Value {
    let mut wish = json!({"headers": headers, "body": BODY, "secrets": [SECRET]});
    merge(&mut wish, more);
    world.post(PATH, &wish).await.ok()
}

on_both! {
    async fn the_published_vector_is_signed_and_verified(world: World) {
        let wish = json!({
            "id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "timestamp": "2021-02-25T15:02:10Z",
            "body": BODY, "secrets": [SECRET],
        });
        let answer = world.post("/signature/sign", &wish).await.whole();
        let headers = json!({
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        });
        assert_eq!(answer, (200, json!({"scheme": "webhook", "headers": headers})));
        let late = verify(&world, &headers, json!({})).await;
        assert_eq!((&late["valid"], &late["layer"]), (&json!(false), &json!("timestamp")));
        assert_eq!(late["hints"][0]["code"], "only_timestamp");
    }

    async fn good_and_bad_signatures_are_told_whole(world: World) {
        let headers = signed(&world, json!({"secrets": [SECRET]})).await;
        let secrets = json!({"secrets": ["whsec_AAAA", SECRET]});
        assert_eq!(verify(&world, &headers, secrets).await, json!({
            "valid": true, "scheme": "webhook", "layer": null, "detail": "the signature is good",
            "hints": [], "id": "msg_1", "timestamp": world.clock.now().to_rfc3339(), "secret": 1,
        }));
        let encoded = json!({"body": null, "bodyBase64": "eyJ0ZXN0IjogMjQzMjIzMjMxNH0="});
        assert_eq!(verify(&world, &headers, encoded).await["valid"], true);
        let compact = json!({"body": r#"{"test":2432232314}"#});
        assert_eq!(verify(&world, &headers, compact).await, json!({
            "valid": false, "scheme": "webhook", "layer": "body",
            "detail": "the body is not, byte for byte, the one that was signed",
            "hints": [{"code": "body_reformatted", "detail": "the signature matches the body as \
                JSON with a space after each comma and colon: verify the bytes as they arrived"}],
            "id": null, "timestamp": null, "secret": null,
        }));
        assert_eq!(verify(&world, &json!({}), json!({"scheme": "github"})).await, json!({
            "valid": false, "scheme": "github", "layer": "header",
            "detail": "the header x-hub-signature-256 is missing",
            "hints": [], "id": null, "timestamp": null, "secret": null,
        }));
    }

    async fn every_scheme_is_signed_and_verified(world: World) {
        for scheme in ["webhook", "svix", "stripe", "github", "shopify"] {
            let headers = signed(&world, json!({"scheme": scheme, "secrets": [SECRET]})).await;
            let found = verify(&world, &headers, json!({})).await;
            assert_eq!((&found["valid"], &found["scheme"]), (&json!(true), &json!(scheme)));
        }
    }

    async fn the_secrets_of_an_endpoint_are_used_and_another_endpoints_is_named(world: World) {
        world.app_called("one").await;
        let other = json!({"url": "https://example.com/", "secret": SECRET});
        let other = world.put("/app/one/endpoint/other", &other).await.ok()["id"].clone();
        world.put("/app/one/endpoint/mine", &json!({"url": "https://example.com/"})).await.ok();
        let mine = json!({"secrets": null, "appId": "one", "endpointId": "mine"});
        let headers = signed(&world, mine.clone()).await;
        assert_eq!(verify(&world, &headers, mine.clone()).await["valid"], true);
        assert_eq!(verify(&world, &headers, json!({})).await["layer"], "signature");
        let headers = signed(&world, json!({"secrets": [SECRET]})).await;
        let found = verify(&world, &headers, mine).await;
        assert_eq!(found["layer"], "secret");
        assert_eq!(found["hints"], json!([{
            "code": "other_secret", "detail": "the signature matches another secret of yours",
            "endpointId": other,
        }]));
    }

    async fn what_is_remembered_is_refused_until_it_is_too_old(world: World) {
        let headers = signed(&world, json!({"secrets": [SECRET]})).await;
        let remember = json!({"remember": true});
        // What is not good is not remembered.
        let bad = json!({"remember": true, "body": "{}"});
        assert_eq!(verify(&world, &headers, bad).await["layer"], "signature");
        assert_eq!(verify(&world, &headers, remember.clone()).await["valid"], true);
        assert_eq!(verify(&world, &headers, json!({})).await["valid"], true);
        let again = verify(&world, &headers, remember.clone()).await;
        assert_eq!((&again["valid"], &again["layer"]), (&json!(false), &json!("replay")));
        assert_eq!(again["id"], "msg_1");
        world.advance_ms(300_999);
        assert_eq!(verify(&world, &headers, remember.clone()).await["layer"], "replay");
        world.advance_ms(1);
        assert_eq!(verify(&world, &headers, remember).await["layer"], "timestamp");
    }

    async fn wishes_that_make_no_sense_are_refused(world: World) {
        let base = json!({"headers": {}, "body": "", "secrets": []});
        let many = vec![SECRET; 17];
        for (more, field) in [
            (json!({"body": null}), "body"),
            (json!({"bodyBase64": ""}), "body"),
            (json!({"body": null, "bodyBase64": "%"}), "bodyBase64"),
            (json!({"secrets": null}), "secrets"),
            (json!({"appId": "one"}), "secrets"),
            (json!({"secrets": many}), "secrets"),
            (json!({"toleranceSeconds": 604_801}), "toleranceSeconds"),
        ] {
            let mut wish = base.clone();
            merge(&mut wish, more);
            assert_eq!(refused(&world.post(PATH, &wish).await), field, "{wish}");
        }
        let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        let wish = json!({"secrets": [public], "body": "x"});
        assert_eq!(refused(&world.post("/signature/sign", &wish).await), "secrets");
        let wish = json!({"secrets": [SECRET], "body": "", "id": "a b"});
        assert_eq!(refused(&world.post("/signature/sign", &wish).await), "id");
    }
}
