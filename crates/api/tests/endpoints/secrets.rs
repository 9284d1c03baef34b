//! The signing secret of an endpoint.

use axum::body::Body;
use axum::http::Method;
use model::signature::{Secret, Signer, signature_header};
use serde_json::{Value, json};
use testkit::on_both;

use crate::invalid;
use crate::world::World;

const PATH: &str = "/app/one/endpoint/mine/secret";
const OLD: &str = "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xk";
const NEW: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3";

/// An endpoint whose secret is [`OLD`], as it is answered.
async fn one_endpoint(world: &World) -> Value {
    world.app_called("one").await;
    let wish = json!({"url": "https://example.com/", "secret": OLD});
    let created = world.put("/app/one/endpoint/mine", &wish).await.ok();
    // A secret is known by the moment of its making.
    world.advance_ms(1_000);
    created
}

async fn rotate(world: &World, body: Value) -> (u16, Value) {
    world.post(&format!("{PATH}/rotate"), &body).await.whole()
}

on_both! {
    async fn a_given_secret_is_shown_at_its_path_only(world: World) {
        let created = one_endpoint(&world).await;
        assert!(!created.to_string().contains("whsec_"));
        assert!(!world.get("/app/one/endpoint").await.text().contains("whsec_"));
        assert_eq!(world.get(PATH).await.whole(), (200, json!({"key": OLD})));
    }

    async fn a_generated_secret_can_be_rotated_without_a_body(world: World) {
        world.app_called("one").await;
        world.put("/app/one/endpoint/mine", &json!({"url": "https://example.com/"})).await.ok();
        let first = world.get(PATH).await.ok();
        world.advance_ms(1_000);
        let rotated = world.call(Method::POST, &format!("{PATH}/rotate"), Body::empty()).await;
        let second = rotated.ok();
        assert_eq!(rotated.status, 200);
        assert_ne!(first, second);
        assert_eq!(world.get(PATH).await.whole(), (200, second));
    }

    async fn the_secret_before_signs_until_its_grace_is_over(world: World) {
        one_endpoint(&world).await;
        let wish = json!({"key": NEW, "gracePeriodSeconds": 60});
        assert_eq!(rotate(&world, wish.clone()).await, (200, json!({"key": NEW})));
        assert_eq!(world.get(PATH).await.whole(), (200, json!({"key": NEW})));
        assert_signed_with(&world, &[NEW, OLD]).await;

        // The same again is the same: there are not three.
        world.advance_ms(1_000);
        assert_eq!(rotate(&world, wish).await, (200, json!({"key": NEW})));
        assert_signed_with(&world, &[NEW, OLD]).await;

        world.advance_ms(59_000);
        assert_signed_with(&world, &[NEW]).await;

        assert_eq!(rotate(&world, json!({"key": OLD, "gracePeriodSeconds": 0})).await.0, 200);
        assert_signed_with(&world, &[OLD]).await;
    }

    async fn updating_the_endpoint_keeps_its_secret(world: World) {
        one_endpoint(&world).await;
        let url = json!({"url": "https://example.com/other"});
        world.put("/app/one/endpoint/mine", &url).await.ok();
        world.patch("/app/one/endpoint/mine", &url).await.ok();
        assert_eq!(world.get(PATH).await.whole(), (200, json!({"key": OLD})));

        let given = json!({"url": "https://example.com/other", "secret": NEW});
        let updated = world.put("/app/one/endpoint/mine", &given).await;
        assert!(!updated.text().contains("whsec_"));
        assert_signed_with(&world, &[NEW]).await;
        world.advance_ms(1_000);
        world.patch("/app/one/endpoint/mine", &json!({"secret": OLD})).await.ok();
        assert_signed_with(&world, &[OLD]).await;
    }

    async fn bad_rotations_change_nothing(world: World) {
        one_endpoint(&world).await;
        let long = json!({"gracePeriodSeconds": 2_592_001});
        let refused = invalid("gracePeriodSeconds", "must be 0 to 2592000");
        assert_eq!(rotate(&world, long).await, refused);
        let public = json!({"key": "whpk_AAAA"});
        let refused = invalid(
            "key",
            "this is a public key; signing needs the private one, which starts with whsk_; \
             leave it out to have one generated",
        );
        assert_eq!(rotate(&world, public).await, refused);
        assert_signed_with(&world, &[OLD]).await;
    }
}

/// That a delivery made now is signed with exactly these secrets, newest first.
async fn assert_signed_with(world: &World, secrets: &[&str]) {
    world.publish("one").await;
    let lease = world.only_starting().await;
    let signers: Vec<Signer> = lease.route.signers(world.clock.now()).cloned().collect();
    let expected: Vec<Signer> =
        secrets.iter().map(|text| Signer::new(&Secret::parse(text).unwrap())).collect();
    let signature = |signers: &[Signer]| signature_header(signers, "msg_1", 1, b"{}");
    assert_eq!(signature(&signers), signature(&expected));
}
