//! What was verified is counted, exactly.

use keys::VerifyRequest;
use model::Timestamp;
use model::key::decide::Code;
use testkit::on_both;

use crate::world::{MINUTE_MS, World, at, by};

const TASKS: usize = 4;
const EACH: usize = 250;

on_both! {
    async fn the_sums_are_exact_and_nobody_waits_for_them(world: World) {
        let made = world.key().await;
        let began = world.db.clock.now();
        let tasks: Vec<_> = (0..TASKS).map(|_| {
            let (keys, token) = (world.keys.clone(), made.token.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    let environment = (n % 5 == 0).then_some("test");
                    let request = VerifyRequest {
                        environment,
                        cost: 3,
                        ..VerifyRequest::new(&token)
                    };
                    keys.verify(request).await;
                    if n % 50 == 0 {
                        keys.settle_usage().await;
                    }
                }
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let dry = VerifyRequest { consume: false, ..VerifyRequest::new(&made.token) };
        assert!(world.verify(dry).await.is_valid());
        world.db.advance_ms(MINUTE_MS);
        assert_eq!(world.code(&made.token).await, Code::Valid);
        world.close().await;
        let until = world.db.clock.now().plus_ms(1);
        let rows = world.db.key_usage(made.key.id, Timestamp(began.0 - 60_000), until).await.unwrap();
        let sum = |code: Code| {
            let rows = rows.iter().filter(|row| row.outcome == code);
            rows.fold((0, 0, 0), |(count, cost, timed), row| {
                let latencies = row.latency.iter().sum::<u64>();
                (count + row.count, cost + row.cost, timed + latencies)
            })
        };
        let all = (TASKS * EACH) as u64;
        let (refused, valid) = (all / 5, all - all / 5);
        assert_eq!(sum(Code::Valid), (valid + 1, 3 * valid + 1, valid + 1));
        assert_eq!(sum(Code::WrongEnv), (refused, 0, refused));
        let minutes = rows.iter().filter(|row| row.outcome == Code::Valid).count();
        assert_eq!(minutes, 2);
    }

    async fn the_last_use_says_when_where_and_by_what(world: World) {
        let made = world.key().await;
        for (n, agent) in ["first/1", "second/2"].into_iter().enumerate() {
            world.db.advance_ms(1_000);
            let request = VerifyRequest {
                address: Some(format!("203.0.113.{n}").parse().unwrap()),
                user_agent: Some(agent),
                ..VerifyRequest::new(&made.token)
            };
            assert!(world.verify(request).await.is_valid());
        }
        let used_at = world.db.clock.now();
        world.db.advance_ms(1_000);
        world.set_enabled(at(&made.key), false, &by()).await.unwrap();
        assert_eq!(world.code(&made.token).await, Code::Disabled);
        world.settle_usage().await;
        let row = world.db.key_in_app(Some(world.app), made.key.id.as_str()).await.unwrap().unwrap();
        let last = row.last_use.unwrap();
        assert_eq!(last.at, used_at, "a refusal is no use");
        assert_eq!(last.address, Some("203.0.113.1".parse().unwrap()));
        assert_eq!(last.user_agent.as_deref(), Some("second/2"));
    }
    async fn a_last_use_that_was_not_taken_waits(world: World) {
        let (early, late) = (world.key().await, world.key().await);
        let used = async |token: &str, agent: &str| {
            world.db.advance_ms(1_000);
            let request =
                VerifyRequest { user_agent: Some(agent), ..VerifyRequest::new(token) };
            assert!(world.verify(request).await.is_valid());
        };
        used(&early.token, "first/1").await;
        used(&late.token, "first/1").await;
        let sql = "alter table key rename column last_used_agent to elsewhere";
        world.db.database.execute(sql).await;
        world.settle_usage().await;
        used(&late.token, "second/2").await;
        let sql = "alter table key rename column elsewhere to last_used_agent";
        world.db.database.execute(sql).await;
        world.settle_usage().await;
        for (made, agent) in [(&early, "first/1"), (&late, "second/2")] {
            let row = world.db.key_in_app(Some(world.app), made.key.id.as_str()).await;
            let last = row.unwrap().unwrap().last_use.unwrap();
            assert_eq!(last.user_agent.as_deref(), Some(agent));
        }
    }
}
