//! A new pepper, with no token at hand.

use std::sync::Arc;

use keys::{KeysError, VerifyRequest};
use model::key::decide::Code;
use model::key::pepper::Peppers;
use testkit::on_both;

use crate::world::{DAY_MS, World, at, by, options, start, until};

fn rotated() -> Arc<Peppers> {
    Arc::new(Peppers::new((2, [10; 32]), vec![(1, [9; 32])]).unwrap())
}

on_both! {
    async fn every_key_goes_on_and_every_row_is_carried_on(world: World) {
        let made = [world.key().await, world.key().await];
        let second = world.rotate_key(at(&made[1].key), DAY_MS, &by()).await.unwrap().minted;
        let tokens = [&made[0].token, &made[1].token, &second.token];
        world.close().await;

        let keys = start(world.store(), |options| options.peppers = rotated()).await;
        for token in tokens {
            assert!(keys.verify(VerifyRequest::new(token)).await.is_valid());
        }
        // What is written while rows are carried on is not lost.
        keys.end_grace(at(&made[1].key), &by()).await.unwrap();
        until(async || {
            let behind = keys.pepper_report().await.unwrap().behind;
            behind.secrets + behind.keys + behind.keyspaces + behind.owners == 0
        }).await;
        assert_eq!(keys.verify(VerifyRequest::new(tokens[1])).await.code, Code::RotatedOut);
        // Hashes follow when their keys are used.
        until(async || {
            for token in [tokens[0], tokens[2]] {
                assert!(keys.verify(VerifyRequest::new(token)).await.is_valid());
            }
            let ended = 1;
            keys.pepper_report().await.unwrap().behind.hashes <= ended
        }).await;
        keys.close().await;

        // Once more, by a node that reads carried rows only.
        let keys = start(world.store(), |options| {
            options.peppers = rotated();
            options.probe_budget.per_second = 0;
        }).await;
        assert!(keys.verify(VerifyRequest::new(tokens[0])).await.is_valid());
        assert!(keys.verify(VerifyRequest::new(tokens[2])).await.is_valid());
        keys.close().await;

        let behind = keys::Keys::start(options(world.store())).await;
        assert!(matches!(behind, Err(KeysError::OtherPeppers)), "the file before the rotation");
    }
}
