//! One key, two living secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keys::{KeysError, VerifyRequest};
use model::key::decide::Code;
use testkit::on_both;

use crate::world::{DAY_MS, MINUTE_MS, World, at, by, until};

on_both! {
    async fn the_old_secret_is_good_until_its_grace_is_over(world: World) {
        let expires_at = Some(world.db.clock.now().plus_ms(DAY_MS));
        let made = world.key_with(|new| new.expires_at = expires_at).await;
        let rotated = world.rotate_key(at(&made.key), MINUTE_MS, &by()).await.unwrap();
        let (old, new) = (&made.token, &rotated.minted.token);
        assert_eq!(rotated.minted.key.id, made.key.id);
        assert_eq!(rotated.minted.key.expires_at, expires_at, "no key lives longer by it");
        let verdict = world.verify(VerifyRequest::new(old)).await;
        assert_eq!(verdict.grace_ends_at, Some(rotated.old_ends_at));
        assert!(verdict.is_valid() && verdict.is_superseded());
        let verdict = world.verify(VerifyRequest::new(new)).await;
        assert!(verdict.is_valid() && !verdict.is_superseded());
        world.db.advance_ms(MINUTE_MS);
        assert_eq!(world.code(old).await, Code::RotatedOut);
        assert_eq!(world.code(new).await, Code::Valid);
        world.db.advance_ms(DAY_MS);
        assert_eq!(world.code(new).await, Code::Expired);
    }

    async fn no_third_secret_lives(world: World) {
        let made = world.key().await;
        let second = world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap().minted;
        let third = world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap().minted;
        assert_eq!(world.code(&made.token).await, Code::RotatedOut);
        assert_eq!(world.code(&second.token).await, Code::Valid);
        assert_eq!(world.code(&third.token).await, Code::Valid);
    }

    async fn the_grace_is_cut_early(world: World) {
        let made = world.key().await;
        let rotated = world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap();
        world.end_grace(at(&made.key), &by()).await.unwrap();
        assert_eq!(world.code(&made.token).await, Code::RotatedOut);
        assert_eq!(world.code(&rotated.minted.token).await, Code::Valid);
        world.end_grace(at(&made.key), &by()).await.unwrap();
        let too_long = world.rotate_key(at(&made.key), 91 * DAY_MS, &by()).await;
        assert!(matches!(too_long, Err(KeysError::Invalid { field: "graceMs", .. })));
        world.revoke(&made.key).await;
        assert!(world.rotate_key(at(&made.key), 0, &by()).await.is_err());
    }

    async fn the_use_of_the_old_secret_is_seen(world: World) {
        let made = world.key().await;
        world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap();
        world.db.advance_ms(5_000);
        let at = world.db.clock.now();
        assert_eq!(world.code(&made.token).await, Code::Valid);
        world.settle_usage().await;
        let secrets = world.db.secrets_of(made.key.id).await.unwrap();
        let old = secrets.iter().find(|secret| secret.value.id == made.secret.id).unwrap();
        assert_eq!(old.value.last_used_at, Some(at));
    }

    async fn nobody_is_refused_while_it_rotates(world: World) {
        let made = world.key().await;
        let (keys, token) = (world.keys.clone(), made.token.clone());
        let done = Arc::new(AtomicBool::new(false));
        let verified = Arc::new(AtomicU64::new(0));
        let (is_done, count) = (done.clone(), verified.clone());
        let old_only = tokio::spawn(async move {
            while !is_done.load(Ordering::SeqCst) {
                let verdict = keys.verify(VerifyRequest::new(&token)).await;
                assert!(verdict.is_valid(), "{}: {}", verdict.code, verdict.reason);
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
        let rotated = world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap();
        let seen = verified.load(Ordering::SeqCst);
        for _ in 0..1_000 {
            assert_eq!(world.code(&rotated.minted.token).await, Code::Valid);
        }
        until(async || verified.load(Ordering::SeqCst) > seen + 100).await;
        done.store(true, Ordering::SeqCst);
        old_only.await.unwrap();
    }
}
