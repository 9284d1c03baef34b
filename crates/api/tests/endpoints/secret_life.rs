//! Secrets over time: history, early end, policy, public keys, and what a kind forbids.

use axum::body::Body;
use axum::http::{Method, Request};
use model::signature::Secret;
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::World;
use crate::{invalid, with};

const PATH: &str = "/app/one/endpoint/mine/secret";
const ENDPOINT: &str = "/app/one/endpoint/mine";
const NEEDS_SHARED_KEY: &str =
    "bodySignature needs a whsec_ secret: a whsk_ one has no key that the receiver shares";

async fn one_endpoint(world: &World, wish: Value) -> (u16, Value) {
    world.app_called("one").await;
    let wish = with(&json!({"url": "https://example.com/"}), wish);
    let made = world.put(ENDPOINT, &wish).await.whole();
    world.advance_ms(1_000);
    made
}

async fn rotate(world: &World, wish: Value) -> (u16, Value) {
    let answer = world.post(&format!("{PATH}/rotate"), &wish).await.whole();
    world.advance_ms(1_000);
    answer
}

async fn history(world: &World) -> Vec<Value> {
    let answer = world.get(&format!("{PATH}/history")).await;
    assert!(!answer.text().contains("whsec_") && !answer.text().contains("whsk_"));
    answer.ok()["data"].as_array().expect("a list").clone()
}

fn column(history: &[Value], name: &str) -> Vec<Value> {
    history.iter().map(|record| record[name].clone()).collect()
}

fn ed25519(world: &World) -> Secret {
    Secret::generate_ed25519(&world.entropy)
}

on_both! {
    async fn the_history_of_an_endpoint(world: World) {
        one_endpoint(&world, json!({})).await;
        rotate(&world, json!({"gracePeriodSeconds": 600})).await;
        let (_, shown) = rotate(&world, json!({"gracePeriodSeconds": 60, "kind": "ed25519"})).await;
        let secret = Secret::parse(shown["key"].as_str().unwrap()).unwrap();
        let found = history(&world).await;
        assert_eq!(column(&found, "state"), ["current", "grace", "grace"]);
        assert_eq!(column(&found, "reason"), ["rotated", "rotated", "created"]);
        assert_eq!(column(&found, "kind"), ["ed25519", "hmac", "hmac"]);
        assert_eq!(found[0]["fingerprint"], secret.fingerprint());
        assert_eq!(found[0]["publicKey"], json!(secret.public_key_text()));
        assert_eq!(found[0]["createdBy"], "test");
        assert_eq!(found[0]["endsAt"], Value::Null);
        world.advance_ms(60_000);
        assert_eq!(column(&history(&world).await, "state"), ["current", "expired", "grace"]);

        let revoke = format!("{PATH}/revoke");
        let current = json!({"fingerprint": secret.fingerprint()});
        let why = "is the current secret: rotate it with a grace period of 0 instead";
        assert_eq!(world.post(&revoke, &current).await.whole(), invalid("fingerprint", why));
        let unknown = json!({"fingerprint": "0123456789abcdef"});
        let why = "is of no secret of this endpoint";
        assert_eq!(world.post(&revoke, &unknown).await.whole(), invalid("fingerprint", why));
        let first = json!({"fingerprint": found[2]["fingerprint"]});
        let revoked = world.post(&revoke, &first).await.ok();
        assert_eq!(revoked["revoked"], 1);
        assert_eq!(revoked["data"].as_array().unwrap().len(), 2);
        let again = world.call(Method::POST, &revoke, Body::empty()).await.ok();
        assert_eq!(again["revoked"], 0);
        let found = history(&world).await;
        assert_eq!(column(&found, "state"), ["current", "expired", "revoked"]);
        assert_eq!(found[2]["revokedBy"], "test");
    }

    async fn a_policy_is_the_endpoints_or_the_instances(world: World) {
        let created = one_endpoint(&world, json!({})).await.1["createdAt"].clone();
        let path = format!("{PATH}/policy");
        let none = json!({
            "source": "instance", "everyDays": null, "graceSeconds": null, "noticeDays": null,
            "noticeAt": null, "rotatesAt": null,
        });
        assert_eq!(world.get(&path).await.whole(), (200, none.clone()));
        let wish = json!({"everyDays": 30, "graceSeconds": 3600, "noticeDays": 3});
        let put = world.put(&path, &wish).await.ok();
        assert_eq!(put["source"], "endpoint");
        let created = model::Timestamp::parse_rfc3339(created.as_str().unwrap()).unwrap();
        let day_ms = 86_400_000;
        assert_eq!(put["rotatesAt"], created.plus_ms(30 * day_ms).to_rfc3339());
        assert_eq!(put["noticeAt"], created.plus_ms(27 * day_ms).to_rfc3339());
        assert_eq!(world.get(&path).await.ok(), put);
        let defaults = world.put(&path, &json!({"everyDays": 10})).await.ok();
        assert_eq!((&defaults["graceSeconds"], &defaults["noticeDays"]), (&json!(86400), &json!(5)));
        for (wish, field, why) in [
            (json!({"everyDays": 3651}), "everyDays", "must be 1 to 3650"),
            (json!({"everyDays": 1, "graceSeconds": 86401}), "graceSeconds",
                "must be 0 to 2592000, and not longer than the time between rotations"),
            (json!({"everyDays": 7, "noticeDays": 7}), "noticeDays",
                "must be shorter than the time between rotations"),
        ] {
            assert_eq!(world.put(&path, &wish).await.whole(), invalid(field, why));
        }
        let never = world.put(&path, &json!({"everyDays": null})).await.ok();
        assert_eq!((&never["source"], &never["everyDays"]), (&json!("endpoint"), &Value::Null));
        assert_eq!(world.delete(&path).await.status, 204);
        assert_eq!(world.delete(&path).await.status, 204);
        assert_eq!(world.get(&path).await.whole(), (200, none));
    }

    async fn public_keys_are_listed_for_whoever_knows_the_endpoint(world: World) {
        let one = ed25519(&world);
        let made = one_endpoint(&world, json!({"secret": one.to_text()})).await.1;
        let id = made["id"].as_str().unwrap();
        let path = format!("/.well-known/doorbell/{id}/jwks.json");
        let listed = world.get(&format!("{PATH}/jwks")).await.ok();
        let (status, cache, keys) = well_known(&world, &path).await;
        assert_eq!((status, cache.as_deref()), (200, Some("public, max-age=300")));
        assert_eq!(keys, listed);
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        let key = &keys["keys"][0];
        assert_eq!(key["kid"], one.fingerprint());
        assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
        let text = one.public_key_text().unwrap();
        let same = text.trim_start_matches("whpk_").replace('+', "-").replace('/', "_");
        assert_eq!(key["x"], same.trim_end_matches('='));
        assert!(key.get("d").is_none());

        // The kind stays when nothing else is asked for, and both are listed in the grace.
        rotate(&world, json!({"gracePeriodSeconds": 60})).await;
        assert_eq!(well_known(&world, &path).await.2["keys"].as_array().unwrap().len(), 2);
        rotate(&world, json!({"gracePeriodSeconds": 0, "kind": "hmac"})).await;
        world.advance_ms(60_000);
        assert_eq!(well_known(&world, &path).await.0, 404);
        assert_eq!(world.get(&format!("{PATH}/jwks")).await.ok(), json!({"keys": []}));
        for name in ["ep_1srOrx2ZWZBpBUvZwXKQmoEYga2", "mine", "%00"] {
            let path = format!("/.well-known/doorbell/{name}/jwks.json");
            assert!(matches!(well_known(&world, &path).await.0, 400 | 404), "{name}");
        }
    }

    async fn a_body_signature_needs_a_shared_key(world: World) {
        let signed = json!({"bodySignature": {"header": "X-Hub-Signature-256"}});
        let secret = json!({"secret": ed25519(&world).to_text()});
        let refused = invalid("bodySignature", NEEDS_SHARED_KEY);
        let wish = with(&signed, secret.clone());
        assert_eq!(one_endpoint(&world, wish).await, refused);

        let url = json!({"url": "https://example.com/"});
        world.put(ENDPOINT, &with(&url, signed.clone())).await.ok();
        world.advance_ms(1_000);
        assert_eq!(world.patch(ENDPOINT, &secret).await.whole(), refused);
        assert_eq!(world.put(ENDPOINT, &with(&with(&url, signed.clone()), secret.clone())).await.whole(), refused);
        let refused_at = |field| invalid(field, NEEDS_SHARED_KEY);
        assert_eq!(rotate(&world, json!({"kind": "ed25519"})).await, refused_at("kind"));
        let key = json!({"key": secret["secret"]});
        assert_eq!(rotate(&world, key.clone()).await, refused_at("key"));

        world.patch(ENDPOINT, &json!({"bodySignature": null})).await.ok();
        assert_eq!(rotate(&world, key).await.0, 200);
        assert_eq!(world.patch(ENDPOINT, &signed).await.whole(), refused);
        assert_eq!(rotate(&world, json!({"kind": "hmac"})).await.0, 200);
        world.patch(ENDPOINT, &signed).await.ok();
    }

    async fn a_check_can_be_asked_for(world: World) {
        one_endpoint(&world, json!({})).await;
        let path = format!("{PATH}/check");
        assert_eq!(world.get(&path).await.status, 404);
        let asked = world.call(Method::POST, &path, Body::empty()).await;
        assert_eq!(asked.status, 202);
        assert_eq!(asked.json()["status"], "waiting");
        assert_eq!(world.get(&path).await.ok(), asked.json());
        let [check] = world.take_secret_checks().await.unwrap().try_into().unwrap();
        let outcome = model::secret::CheckOutcome::DoesNotVerify;
        world.finish_secret_check(&check, outcome, "it answered 200").await.unwrap();
        let told = world.get(&path).await.ok();
        assert_eq!((&told["status"], &told["outcome"]), (&json!("done"), &json!("does_not_verify")));
        assert_eq!(history(&world).await[0]["check"], told);
        world.patch(ENDPOINT, &json!({"disabled": true})).await.ok();
        assert_eq!(world.call(Method::POST, &path, Body::empty()).await.status, 409);
    }
}

/// Status, `cache-control` and body, asked for without a token.
async fn well_known(world: &World, path: &str) -> (u16, Option<String>, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    world.ask(request).await
}
