//! Attacks on signed tokens, at the door. `model::session` has them one by one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::session::SessionKeys;
use model::{SessionId, Timestamp};
use serde_json::{Value, json};
use testkit::on_both;

use crate::world::World;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

on_both! {
    async fn no_forged_token_opens_the_door(world: World) {
        world.user("ada@example.org", Some(model::access::Role::Owner)).await;
        let token = world.session("ada@example.org").await;
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("three parts") };
        let mut forged = vec![
            format!("{}.{claims}.", part(&json!({"alg": "none", "typ": "JWT"}))),
            format!("{}.{claims}.{signature}", part(&json!({"alg": "none"}))),
            format!("{header}.{claims}."),
            format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            format!("{header}..{signature}"),
            format!("{header}.{claims}"),
            header.to_owned(),
            format!("{header}."),
            format!("{header}.{}", "A".repeat(900)),
            format!("{header}.{}", "A".repeat(100_000)),
            format!("{token}.{signature}"),
        ];
        for (name, value) in [
            ("exp", json!(i64::MAX)),
            ("sid", json!(SessionId::new(Timestamp(1), &world.entropy))),
            ("sub", json!("somebody-else")),
            ("aud", json!("other")),
        ] {
            let mut changed = decoded(claims);
            changed[name] = value;
            forged.push(format!("{header}.{}.{signature}", part(&changed)));
        }
        for token in forged {
            let answer = world.get(&token, "/app").await;
            assert_eq!(answer.status, 401, "{token}: {answer:?}");
        }
        assert_eq!(world.get(&token, "/app").await.status, 200);
    }

    async fn a_good_signature_for_no_session_is_refused(world: World) {
        let keys = SessionKeys::new(&world.derive("sessions")).unwrap();
        let now = world.clock.now();
        let stranger = SessionId::new(now, &world.entropy);
        let token = keys.sign_short(stranger, "user_x", now, now.plus_ms(60_000)).unwrap();
        assert_eq!(world.get(&token, "/app").await.status, 401);
    }
}
