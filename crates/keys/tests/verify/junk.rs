//! A flood of tokens that nobody has.

use std::net::{IpAddr, Ipv4Addr};

use keys::{KeysError, VerifyRequest};
use model::key::RevocationReason;
use model::key::decide::Code;
use testkit::on_both;

use crate::world::{World, by, start, stranger};

const FLOOD: usize = 1_000;

fn address(n: usize) -> IpAddr {
    let n = u32::try_from(n).unwrap();
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + n))
}

on_both! {
    async fn it_runs_no_hash_and_stays_within_the_budget(world: World) {
        let made = world.key().await;
        let before = world.stats();
        let junk: Vec<String> = (0..2 * FLOOD).map(|_| stranger(&world.db)).collect();
        let (of_one, of_many) = junk.split_at(FLOOD);
        for token in of_one {
            let request = VerifyRequest { peer: Some(address(0)), ..VerifyRequest::new(token) };
            assert_eq!(world.verify(request).await.code, Code::NotFound);
        }
        let one_address = world.stats().probes - before.probes;
        assert!((1..=5).contains(&one_address), "{one_address} reads for one address");
        for (n, token) in of_many.iter().enumerate() {
            let peer = Some(address(n + 1));
            let request = VerifyRequest { peer, ..VerifyRequest::new(token) };
            assert_eq!(world.verify(request).await.code, Code::NotFound);
        }
        let after = world.stats();
        let probes = after.probes - before.probes;
        assert!((100..=200).contains(&probes), "{probes} reads in one second");
        assert_eq!(after.hash_runs, before.hash_runs);
        // Nobody else noticed.
        let verdict = world.verify(VerifyRequest::new(&made.token)).await;
        assert!(verdict.is_valid() && verdict.cached);
        // The clock goes on, and so does the budget.
        world.db.advance_ms(1_000);
        let late = stranger(&world.db);
        let request = VerifyRequest { peer: Some(address(0)), ..VerifyRequest::new(&late) };
        world.verify(request).await;
        assert_eq!(world.stats().probes, after.probes + 1);
    }

    async fn the_same_unknown_token_is_asked_for_once(world: World) {
        let token = stranger(&world.db);
        let before = world.stats().probes;
        for _ in 0..50 {
            assert_eq!(world.code(&token).await, Code::NotFound);
        }
        assert_eq!(world.stats().probes - before, 1);
    }

    async fn malformed_tokens_reach_nothing(world: World) {
        let made = world.key().await;
        let mut wrong = made.token.clone();
        let last = wrong.pop().unwrap();
        wrong.push(if last == '0' { '1' } else { '0' });
        let before = world.stats().probes;
        let long = "x".repeat(100_000);
        for token in ["", "crm", &wrong, &long, "crm_live_\0", &made.token[1..]] {
            assert_eq!(world.code(token).await, Code::Malformed, "{token:.40}");
        }
        assert_eq!(world.stats().probes, before);
    }

    async fn good_keys_verify_right_after_a_restart(world: World) {
        let mut tokens = Vec::new();
        for _ in 0..50 {
            tokens.push(world.key().await.token);
        }
        let node = start(world.store(), |options| options.probe_budget.per_second = 0).await;
        for token in &tokens {
            let request = VerifyRequest { peer: Some(address(0)), ..VerifyRequest::new(token) };
            assert!(node.verify(request).await.is_valid());
        }
        assert_eq!(node.stats().hash_runs, 0);
        node.close().await;
    }
    async fn fresh_answers_of_unknown_tokens_have_the_same_budget(world: World) {
        let made = world.key().await;
        let before = world.stats().probes;
        let same = stranger(&world.db);
        let mut spent = 0;
        for n in 0..FLOOD {
            // One again and again, or always another.
            let token = stranger(&world.db);
            let token = if n % 2 == 0 { &token } else { &same };
            let peer = Some(address(0));
            let request = VerifyRequest { peer, fresh: true, ..VerifyRequest::new(token) };
            match world.verify(request).await.code {
                Code::NotFound => {}
                Code::Unavailable => spent += 1,
                other => panic!("{other}"),
            }
        }
        let probes = world.stats().probes - before;
        assert!((1..=5).contains(&probes), "{probes} reads for one address");
        assert_eq!(spent + usize::try_from(probes).unwrap(), FLOOD);
        // Who is known is asked for, whoever asks.
        let request = VerifyRequest {
            peer: Some(address(0)),
            fresh: true,
            ..VerifyRequest::new(&made.token)
        };
        let verdict = world.verify(request).await;
        assert!(verdict.is_valid() && !verdict.cached);
    }

    async fn nobody_guesses_by_revoking(world: World) {
        let made = world.key().await;
        let before = world.stats().probes;
        let revoke = async |token: &str| {
            let reason = RevocationReason::KeyCompromise;
            world.revoke_own(token, Some(address(0)), reason, None, &by()).await
        };
        let mut busy = 0;
        for _ in 0..FLOOD {
            match revoke(&stranger(&world.db)).await {
                Err(KeysError::NotFound(_)) => {}
                Err(KeysError::Busy) => busy += 1,
                other => panic!("{other:?}"),
            }
        }
        let probes = world.stats().probes - before;
        assert!((1..=5).contains(&probes), "{probes} reads for one address");
        assert_eq!(busy + usize::try_from(probes).unwrap(), FLOOD);
        revoke(&made.token).await.unwrap();
        assert_eq!(world.code(&made.token).await, Code::Revoked);
    }
}
