//! Every answer, each with its reason.

use keys::{KeyAt, LimitUse, OwnerAt, OwnerFields, VerifyRequest};
use model::key::allow::AllowList;
use model::key::decide::Code;
use model::key::limit::{Limit, Mode, Subject, WhenDown};
use model::key::scope::ScopeQuery;
use testkit::on_both;

use crate::world::{DAY_MS, World, at, by, stranger};

fn limit(name: &str, limit: u64) -> Limit {
    Limit {
        name: name.to_owned(),
        limit,
        window_ms: 60_000,
        subject: Subject::Key,
        mode: Mode::Strict,
        when_down: WhenDown::LocalShare,
        automatic: true,
    }
}

async fn expect(world: &World, request: VerifyRequest<'_>, code: Code, reason: &str) {
    let verdict = world.verify(request).await;
    assert_eq!(verdict.code, code, "{}", verdict.reason);
    assert!(verdict.reason.contains(reason), "{code}: {}", verdict.reason);
}

on_both! {
    async fn a_good_key_says_all_about_itself(world: World) {
        let expires_at = Some(world.db.clock.now().plus_ms(DAY_MS));
        let made = world.key_with(|new| {
            new.owner = Some("acme".to_owned());
            new.roles = vec!["reader".to_owned()];
            new.expires_at = expires_at;
            new.metadata = [("plan".to_owned(), "gold".to_owned())].into();
        }).await;
        let query = ScopeQuery::parse("read:contacts AND read:properties").unwrap();
        let request = VerifyRequest {
            keyspace: Some("crm"),
            app: Some(world.app),
            environment: Some("live"),
            scopes: Some(&query),
            ..VerifyRequest::new(&made.token)
        };
        let verdict = world.verify(request).await;
        assert!(verdict.is_valid() && verdict.cached && !verdict.is_superseded());
        assert_eq!(verdict.key(), Some(&made.key));
        assert_eq!(verdict.keyspace(), Some(&world.keyspace));
        let with_scheme = format!("secret-token:{}", made.token);
        assert_eq!(world.code(&with_scheme).await, Code::Valid);
    }

    async fn whatever_is_not_known_says_nothing(world: World) {
        let made = world.key().await;
        let other_app = world.db.app().await;
        let mut request = VerifyRequest::new("crm_live_nonsense");
        expect(&world, request.clone(), Code::Malformed, "not the text of a token").await;
        let stranger = stranger(&world.db);
        request.token = &stranger;
        expect(&world, request, Code::NotFound, "no such key").await;
        for request in [
            VerifyRequest { app: Some(other_app), ..VerifyRequest::new(&made.token) },
            VerifyRequest { keyspace: Some("other"), ..VerifyRequest::new(&made.token) },
        ] {
            expect(&world, request.clone(), Code::NotFound, "no such key").await;
            assert!(world.verify(request).await.entry.is_none());
        }
    }

    async fn a_key_is_switched_off_revoked_and_deleted(world: World) {
        let made = world.key().await;
        let request = VerifyRequest::new(&made.token);
        world.set_enabled(at(&made.key), false, &by()).await.unwrap();
        expect(&world, request.clone(), Code::Disabled, "disabled").await;
        world.set_enabled(at(&made.key), true, &by()).await.unwrap();
        assert_eq!(world.code(&made.token).await, Code::Valid);
        world.revoke(&made.key).await;
        expect(&world, request.clone(), Code::Revoked, "key_compromise").await;
        assert_eq!(world.fresh(&made.token).await.code, Code::Revoked);
        world.delete_key(at(&made.key), &by()).await.unwrap();
        expect(&world, request, Code::NotFound, "no such key").await;
    }

    async fn a_key_expires_by_date_and_for_want_of_use(world: World) {
        let now = world.db.clock.now();
        let dated = world.key_with(|new| new.expires_at = Some(now.plus_ms(10_000))).await;
        let idle = world.key_with(|new| new.idle_expiry_ms = Some(DAY_MS)).await;
        assert_eq!(world.code(&dated.token).await, Code::Valid);
        world.db.advance_ms(10_000);
        let request = VerifyRequest::new(&dated.token);
        expect(&world, request, Code::Expired, "the key expired at").await;

        // Each use begins the time anew, also where another node saw it.
        world.db.advance_ms(DAY_MS - 20_000);
        assert_eq!(world.code(&idle.token).await, Code::Valid);
        world.settle_usage().await;
        let other = world.another_node(|_| ()).await;
        world.db.advance_ms(DAY_MS - 1_000);
        assert!(other.verify(VerifyRequest::new(&idle.token)).await.is_valid());
        other.close().await;
        world.db.advance_ms(DAY_MS - 1_000);
        assert_eq!(world.code(&idle.token).await, Code::Valid);
        world.db.advance_ms(DAY_MS);
        let request = VerifyRequest::new(&idle.token);
        expect(&world, request, Code::Expired, "not used for so long").await;
    }

    async fn an_owner_is_switched_off_with_all_keys(world: World) {
        let owned = |new: &mut keys::NewKey| new.owner = Some("acme".to_owned());
        let (one, two) = (world.key_with(owned).await, world.key_with(owned).await);
        let other = world.key().await;
        let owner = || OwnerAt {
            keyspace: world.keyspace.id,
            app: Some(world.app),
            name: "acme".to_owned(),
        };
        for enabled in [false, true, false] {
            let fields = OwnerFields { enabled, limits: Vec::new() };
            world.put_owner(owner(), fields, &by()).await.unwrap();
            let code = if enabled { Code::Valid } else { Code::OwnerDisabled };
            assert_eq!(world.code(&one.token).await, code);
            assert_eq!(world.code(&two.token).await, code);
            assert_eq!(world.code(&other.token).await, Code::Valid);
        }
        let request = VerifyRequest::new(&one.token);
        expect(&world, request, Code::OwnerDisabled, "`acme` is disabled").await;
    }

    async fn a_request_does_not_fit_the_key(world: World) {
        let made = world.key_with(|new| {
            new.ip_allow = AllowList::parse(&["203.0.113.0/24"]).unwrap();
        }).await;
        let address = Some("203.0.113.7".parse().unwrap());
        let request = VerifyRequest { address, ..VerifyRequest::new(&made.token) };
        assert!(world.verify(request.clone()).await.is_valid());
        let elsewhere = VerifyRequest { environment: Some("test"), ..request.clone() };
        expect(&world, elsewhere, Code::WrongEnv, "`live`, not `test`").await;
        let nowhere = VerifyRequest { address: None, ..request.clone() };
        expect(&world, nowhere, Code::IpNotAllowed, "no address was given").await;
        let query = ScopeQuery::parse("write:contacts").unwrap();
        let more = VerifyRequest { scopes: Some(&query), ..request };
        expect(&world, more, Code::InsufficientScope, "write:contacts").await;
    }

    async fn limits_hold_and_dry_runs_take_nothing(world: World) {
        let made = world.key_with(|new| {
            new.limits = vec![
                limit("requests", 3),
                Limit { automatic: false, ..limit("exports", 1) },
            ];
        }).await;
        let request = VerifyRequest::new(&made.token);
        let dry = VerifyRequest { consume: false, ..request.clone() };
        for left in [2, 1, 0] {
            assert!(world.verify(dry.clone()).await.is_valid());
            let verdict = world.verify(request.clone()).await;
            assert!(verdict.is_valid());
            assert_eq!(verdict.limits[0].remaining, left);
        }
        expect(&world, request.clone(), Code::RateLimited, "`requests`").await;
        assert!(world.verify(request.clone()).await.retry_after_ms.is_some());
        world.db.advance_ms(120_000);
        let uses = [LimitUse { name: "exports", cost: 2 }, LimitUse { name: "x", cost: 1 }];
        let exports = VerifyRequest { limits: &uses, ..request.clone() };
        expect(&world, exports.clone(), Code::RateLimited, "`exports`").await;
        assert_eq!(world.verify(exports).await.unknown_limits, ["x"]);
        let verdict = world.verify(request).await;
        assert_eq!(verdict.limits[0].remaining, 2, "all or nothing");
    }

    async fn owners_share_their_limits(world: World) {
        let owned = |new: &mut keys::NewKey| new.owner = Some("acme".to_owned());
        let (one, two) = (world.key_with(owned).await, world.key_with(owned).await);
        let owner = OwnerAt {
            keyspace: world.keyspace.id,
            app: Some(world.app),
            name: "acme".to_owned(),
        };
        let fields = OwnerFields { enabled: true, limits: vec![limit("requests", 2)] };
        world.put_owner(owner, fields, &by()).await.unwrap();
        assert_eq!(world.code(&one.token).await, Code::Valid);
        assert_eq!(world.code(&two.token).await, Code::Valid);
        assert_eq!(world.code(&one.token).await, Code::RateLimited);
    }

    async fn a_keyspace_changes_for_all_its_keys(world: World) {
        let made = world.key().await;
        let query = ScopeQuery::parse("read:properties").unwrap();
        let request = VerifyRequest { scopes: Some(&query), ..VerifyRequest::new(&made.token) };
        assert_eq!(world.verify(request.clone()).await.code, Code::InsufficientScope);
        world.update_key(at(&made.key), |key| key.roles = vec!["reader".to_owned()], &by())
            .await.unwrap();
        assert_eq!(world.verify(request.clone()).await.code, Code::Valid);
        let change = |keyspace: &mut model::key::Keyspace| {
            keyspace.roles.insert("reader".to_owned(), Vec::new());
        };
        world.update_keyspace("crm", change, &by()).await.unwrap();
        assert_eq!(world.verify(request.clone()).await.code, Code::InsufficientScope);
        let mapped = KeyAt { app: None, id: made.key.id.as_str() };
        assert!(world.delete_key(mapped, &by()).await.is_err(), "of another app");
    }
}
