//! What happens by the clock, and what is said of it: once, whoever looks and however often.

use std::collections::BTreeMap;

use keys::{BulkChange, KeySelection, Keys, KeysError, KeyspaceFields, NewKey};
use model::AppId;
use model::key::decide::Code;
use model::key::{RevocationReason, RotationPolicy};
use serde_json::{Value, json};
use store::{AuditQuery, MessageQuery, Order, PageQuery};
use testkit::on_both;
use tokio::sync::watch;

use crate::world::{DAY_MS, World, at, by, fields, start, until};

const HOUR_MS: u64 = DAY_MS / 24;
const POLICY: RotationPolicy =
    RotationPolicy { interval_ms: 90 * DAY_MS, grace_ms: 10 * DAY_MS, notice_ms: 7 * DAY_MS };

/// One event of the app of operations.
#[derive(Clone, Debug)]
struct Heard {
    event_id: String,
    body: Value,
}

impl Heard {
    fn name(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    fn data(&self, field: &str) -> &Value {
        &self.body["data"][field]
    }
}

async fn operations(world: &World) -> AppId {
    world.db.app_with(|app| app.uid = Some("operations".to_owned())).await
}

/// Everything that was published into an app.
async fn heard(world: &World, app: AppId) -> Vec<Heard> {
    let page = PageQuery { limit: 250, iterator: None, order: Order::Ascending };
    let query = MessageQuery { page, with_content: true, ..MessageQuery::default() };
    let page = world.db.messages_in_app(app, &query).await.unwrap();
    assert!(page.done, "more than one page");
    let heard = page.data.into_iter().map(|message| {
        let body: Value = serde_json::from_slice(&message.payload.unwrap()).unwrap();
        assert_eq!(body["type"], message.event_type);
        Heard { event_id: message.event_id.unwrap(), body }
    });
    heard.collect()
}

/// How many events of each type.
async fn counts(world: &World, app: AppId) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for heard in heard(world, app).await {
        *counts.entry(heard.name().to_owned()).or_default() += 1;
    }
    counts
}

async fn of_type(world: &World, app: AppId, name: &str) -> Vec<Heard> {
    let mut heard = heard(world, app).await;
    heard.retain(|heard| heard.name() == name);
    heard
}

/// All nodes look at the same time, twice.
async fn look(nodes: [&Keys; 2]) {
    for _ in 0..2 {
        let [one, two] = nodes;
        let (one, two) = tokio::join!(one.look_at_schedule(), two.look_at_schedule());
        one.unwrap();
        two.unwrap();
    }
}

/// Everything that is kept of events and in the audit log, as text.
async fn all_texts(world: &World, app: AppId) -> String {
    let page = PageQuery { limit: 250, ..PageQuery::default() };
    let query = AuditQuery { page, ..AuditQuery::default() };
    let audit = world.db.audit_log(&query).await.unwrap();
    format!("{:?}{:?}", heard(world, app).await, audit.data)
}

async fn with_policy(world: &World) -> keys::Minted {
    world.key_with(|new| new.rotation = Some(POLICY)).await
}

on_both! {
    async fn each_reminder_comes_once_whoever_looks(world: World) {
        let app = operations(&world).await;
        let mut other = world.another_node(|_| ()).await;
        look([&world, &other]).await;
        let begun = world.db.clock.now();
        let expires_at = begun.plus_ms(40 * DAY_MS);
        let key = world.key_with(|new| new.expires_at = Some(expires_at)).await.key;
        let later = Some(begun.plus_ms(400 * DAY_MS));
        world.key_with(|new| new.expires_at = later).await;
        let revoked = world.key_with(|new| new.expires_at = Some(expires_at)).await.key;
        world.revoke(&revoked).await;
        let mut said = Vec::new();
        for day in 0..=42_u64 {
            look([&world, &other]).await;
            if [10, 33, 40].contains(&day) {
                // One node ends, another begins; and it was not noted how far they had come.
                other.close().await;
                other = world.another_node(|_| ()).await;
                let sql = "update key_mark set at = at - 172800000";
                assert_eq!(world.db.database.execute(sql).await, 1);
                look([&other, &world]).await;
            }
            let mut heard = heard(&world, app).await;
            heard.retain(|heard| heard.name() != "key.revoked");
            if heard.len() > said.len() {
                said.push(day);
            }
            assert_eq!(heard.len(), said.len(), "on day {day}: {heard:?}");
            world.db.advance_ms(DAY_MS);
        }
        assert_eq!(said, [10, 33, 39, 40]);
        let expiring = of_type(&world, app, "key.expiring").await;
        let mut days: Vec<u64> =
            expiring.iter().map(|heard| heard.data("days").as_u64().unwrap()).collect();
        days.sort_unstable();
        assert_eq!(days, [1, 7, 30]);
        for heard in expiring.iter().chain(&of_type(&world, app, "key.expired").await) {
            assert_eq!(heard.data("keyId"), &json!(key.id));
            assert_eq!(heard.data("appId"), &json!(world.app));
            assert_eq!(heard.data("expiresAt"), &json!(expires_at.to_rfc3339()));
            model::name::check_name(&heard.event_id, model::name::MAX_NAME_LEN).unwrap();
        }
    }

    async fn after_a_long_pause_only_the_nearest_reminder_comes(world: World) {
        let app = operations(&world).await;
        world.look_at_schedule().await.unwrap();
        let expires_at = Some(world.db.clock.now().plus_ms(40 * DAY_MS));
        world.key_with(|new| new.expires_at = expires_at).await;
        world.db.advance_ms(35 * DAY_MS);
        world.look_at_schedule().await.unwrap();
        let expiring = of_type(&world, app, "key.expiring").await;
        assert_eq!(expiring.len(), 1, "{expiring:?}");
        assert_eq!(expiring[0].data("days"), 7);
        world.db.advance_ms(35 * DAY_MS);
        world.look_at_schedule().await.unwrap();
        let counts = counts(&world, app).await;
        assert_eq!(counts, [("key.expired".to_owned(), 1), ("key.expiring".to_owned(), 1)].into());
    }

    async fn without_an_app_of_operations_nothing_is_kept_for_it(world: World) {
        let expires_at = Some(world.db.clock.now().plus_ms(2 * DAY_MS));
        world.key_with(|new| new.expires_at = expires_at).await;
        world.look_at_schedule().await.unwrap();
        for pause_ms in [DAY_MS, HOUR_MS] {
            world.db.advance_ms(pause_ms);
            world.look_at_schedule().await.unwrap();
        }
        let app = operations(&world).await;
        world.look_at_schedule().await.unwrap();
        assert!(heard(&world, app).await.is_empty());
        world.db.advance_ms(DAY_MS);
        world.look_at_schedule().await.unwrap();
        assert_eq!(heard(&world, app).await.len(), 1);
    }

    async fn a_policy_gives_notice_renews_and_the_token_is_collected_once(world: World) {
        let app = operations(&world).await;
        let other = world.another_node(|_| ()).await;
        let made = with_policy(&world).await;
        let old = &made.token;
        world.db.advance_ms(83 * DAY_MS - 1);
        look([&world, &other]).await;
        assert!(heard(&world, app).await.is_empty());
        world.db.advance_ms(1);
        look([&world, &other]).await;
        let noticed = heard(&world, app).await;
        assert_eq!(noticed.len(), 1, "{noticed:?}");
        assert_eq!(noticed[0].name(), "key.rotation_due");
        let due_at = made.secret.created_at.plus_ms(90 * DAY_MS);
        assert_eq!(noticed[0].data("rotatesAt"), &json!(due_at.to_rfc3339()));
        world.db.advance_ms(7 * DAY_MS - 1);
        look([&world, &other]).await;
        assert_eq!(world.db.secrets_of(made.key.id).await.unwrap().len(), 1);
        let waits = world.collect_token(at(&made.key), &by()).await;
        assert!(matches!(waits, Err(KeysError::NothingWaits)), "{waits:?}");

        world.db.advance_ms(1);
        look([&world, &other]).await;
        assert_eq!(world.db.secrets_of(made.key.id).await.unwrap().len(), 2, "renewed twice");
        let rotated = of_type(&world, app, "key.rotated").await;
        assert_eq!(rotated.len(), 1, "{rotated:?}");
        assert_eq!(rotated[0].data("byPolicy"), true);
        assert_eq!(rotated[0].data("oldEndsAt"), &json!(due_at.plus_ms(10 * DAY_MS).to_rfc3339()));
        assert_eq!(rotated[0].data("collectUntil"), rotated[0].data("oldEndsAt"));
        assert_eq!(counts(&world, app).await.len(), 2);
        for keys in [&world.keys, &other] {
            keys.catch_up().await.unwrap();
            assert!(keys.verify(keys::VerifyRequest::new(old)).await.is_superseded());
        }

        let stranger = keys::KeyAt { app: Some(app), id: made.key.id.as_str() };
        let refused = world.collect_token(stranger, &by()).await;
        assert!(matches!(refused, Err(KeysError::NotFound("key"))), "{refused:?}");
        let (key, by) = (at(&made.key), by());
        let (one, two) = tokio::join!(world.collect_token(key, &by), other.collect_token(key, &by));
        let new = match (one, two) {
            (Ok(token), Err(KeysError::NothingWaits))
            | (Err(KeysError::NothingWaits), Ok(token)) => token,
            both => panic!("{both:?}"),
        };
        assert_ne!(&new, old);
        assert_eq!(world.code(&new).await, Code::Valid);
        world.db.advance_ms(10 * DAY_MS);
        assert_eq!(world.code(old).await, Code::RotatedOut);
        assert_eq!(world.code(&new).await, Code::Valid);
        look([&world, &other]).await;

        let kept = all_texts(&world, app).await;
        assert!(kept.contains("key.collect") && kept.contains("rotation policy"));
        for token in [old, &new] {
            assert!(!kept.contains(&token[9..]), "a token is in an event or in the audit log");
        }
    }

    async fn a_token_that_nobody_collects_is_gone_with_the_grace(world: World) {
        let app = operations(&world).await;
        let made = with_policy(&world).await;
        let waiting = async || world.db.waiting_key_tokens(None, 9).await.unwrap().len();
        let renew = async || {
            for _ in 0..2 {
                world.db.advance_ms(90 * DAY_MS);
                world.look_at_schedule().await.unwrap();
            }
        };
        renew().await;
        assert_eq!(waiting().await, 1);
        assert_eq!(world.db.database.execute("update key_token set created_at = 1").await, 1);
        world.db.advance_ms(10 * DAY_MS);
        assert_eq!(waiting().await, 0);
        let late = world.collect_token(at(&made.key), &by()).await;
        assert!(matches!(late, Err(KeysError::NothingWaits)), "{late:?}");
        world.look_at_schedule().await.unwrap();
        assert_eq!(world.db.database.execute("update key_token set created_at = 2").await, 0);

        // A rotation by hand takes the place of what waits.
        renew().await;
        assert_eq!(waiting().await, 1);
        world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap();
        assert_eq!(waiting().await, 0);
        renew().await;
        world.delete_key(at(&made.key), &by()).await.unwrap();
        for table in ["key_token", "key_rotation"] {
            let rows = world.db.database.execute(&format!("delete from {table}")).await;
            assert_eq!(rows, 0, "{table}");
        }
        assert_eq!(counts(&world, app).await["key.rotated"], 4);
    }

    async fn whoever_is_told_late_has_the_whole_notice(world: World) {
        let app = operations(&world).await;
        let made = world.key().await;
        world.db.advance_ms(200 * DAY_MS);
        world.update_key(at(&made.key), |key| key.rotation = Some(POLICY), &by()).await.unwrap();
        world.look_at_schedule().await.unwrap();
        world.db.advance_ms(7 * DAY_MS - 1);
        world.look_at_schedule().await.unwrap();
        assert_eq!(counts(&world, app).await, [("key.rotation_due".to_owned(), 1)].into());
        world.db.advance_ms(1);
        world.look_at_schedule().await.unwrap();
        assert_eq!(counts(&world, app).await["key.rotated"], 1);
    }

    async fn only_what_is_ours_is_renewed(world: World) {
        operations(&world).await;
        let space = KeyspaceFields { uid: None, rotation: Some(POLICY), ..fields() };
        let space = world.create_keyspace(space, &by()).await.unwrap();
        let in_space = |new: &mut NewKey| new.keyspace = space.id.to_string();
        let made = world.key_with(in_space).await;
        let own = world.key_with(|new| {
            in_space(new);
            new.app = None;
        });
        let own = own.await;
        let plain = world.key().await;
        let disabled = with_policy(&world).await;
        world.set_enabled(at(&disabled.key), false, &by()).await.unwrap();
        for _ in 0..2 {
            world.db.advance_ms(90 * DAY_MS);
            world.look_at_schedule().await.unwrap();
        }
        let secrets = async |key: &model::key::Key| world.db.secrets_of(key.id).await.unwrap().len();
        assert_eq!(secrets(&made.key).await, 2);
        for key in [&own.key, &plain.key, &disabled.key] {
            assert_eq!(secrets(key).await, 1, "{}", key.name);
        }
        let sql = "update keyspace set body = replace(body, '\"intervalMs\":7776000000', \
            '\"intervalMs\":86400000'), notice_after_ms = 1 where body like '%7776000000%'";
        assert_eq!(world.db.database.execute(sql).await, 1);
        for _ in 0..9 {
            world.db.advance_ms(DAY_MS);
            world.look_at_schedule().await.unwrap();
        }
        assert_eq!(secrets(&made.key).await, 2, "by a policy that somebody else wrote");
    }

    async fn an_old_secret_that_is_used_is_said_twice(world: World) {
        let app = operations(&world).await;
        let made = world.key().await;
        let idle = world.key().await;
        let used = async || {
            assert_eq!(world.code(&made.token).await, Code::Valid);
            world.settle_usage().await;
            world.look_at_schedule().await.unwrap();
            of_type(&world, app, "key.old_secret_used").await
        };
        assert_eq!(used().await.len(), 0, "it is the current one");
        world.rotate_key(at(&made.key), 10 * DAY_MS, &by()).await.unwrap();
        world.rotate_key(at(&idle.key), 10 * DAY_MS, &by()).await.unwrap();
        world.look_at_schedule().await.unwrap();
        assert_eq!(of_type(&world, app, "key.old_secret_used").await.len(), 0);
        for (hours, said) in [(1, 1), (1, 1), (4 * 24, 1), (24, 2), (24, 2)] {
            world.db.advance_ms(hours * HOUR_MS);
            let used = used().await;
            assert_eq!(used.len(), said, "{used:?}");
            // A node without memory says nothing again.
            let other = start(world.store(), |_| ()).await;
            other.look_at_schedule().await.unwrap();
        }
        for used in used().await {
            assert_eq!(used.data("keyId"), &json!(made.key.id));
            assert_eq!(used.data("secretId"), &json!(made.secret.id));
        }
    }

    async fn what_is_done_by_hand_is_said_where_it_is_done(world: World) {
        let app = operations(&world).await;
        let made = world.key().await;
        let rotated = world.rotate_key(at(&made.key), DAY_MS, &by()).await.unwrap();
        world.revoke(&made.key).await;
        world.revoke(&made.key).await;
        for _ in 0..3 {
            world.key_with(|new| new.owner = Some("acme".to_owned())).await;
        }
        let acme = || KeySelection {
            app: Some(world.app),
            keyspace: None,
            owner: Some("acme".to_owned()),
            tag: None,
        };
        world.change_keys(acme(), BulkChange::Disable, &by()).await.unwrap();
        let reason = RevocationReason::CessationOfOperation;
        let change = BulkChange::Revoke { reason, note: Some("gone".to_owned()) };
        assert_eq!(world.change_keys(acme(), change, &by()).await.unwrap(), 3);
        let counts = counts(&world, app).await;
        assert_eq!(counts, [("key.revoked".to_owned(), 4), ("key.rotated".to_owned(), 1)].into());
        let heard = of_type(&world, app, "key.rotated").await;
        assert_eq!(heard[0].data("byPolicy"), false);
        assert_eq!(heard[0].data("secretId"), &json!(rotated.minted.secret.id));
        let texts = all_texts(&world, app).await;
        assert!(!texts.contains(&made.token[9..]));
        assert!(!texts.contains(&rotated.minted.token[9..]));
    }

    async fn tampering_is_said(world: World) {
        let app = operations(&world).await;
        let made = world.key().await;
        world.db.database.execute("update key set body = replace(body, 'importer', 'x')").await;
        assert_eq!(world.fresh(&made.token).await.code, Code::NotFound);
        until(async || !heard(&world, app).await.is_empty()).await;
        let said = heard(&world, app).await;
        assert_eq!((said[0].name(), said[0].data("id")), ("key.tampered", &json!(made.key.id)));

        world.db.database.execute("update audit set target = 'x' where seq = 2").await;
        for _ in 0..2 {
            assert_eq!(world.db.verify_audit().await.unwrap().broken_at, Some(2));
        }
        let said = of_type(&world, app, "audit.tampered").await;
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].data("brokenAt"), 2);
    }

    async fn the_schedule_is_kept_until_it_is_stopped(world: World) {
        let app = operations(&world).await;
        world.look_at_schedule().await.unwrap();
        let expires_at = Some(world.db.clock.now().plus_ms(DAY_MS + 1));
        world.key_with(|new| new.expires_at = expires_at).await;
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(world.keys.clone().run_schedule(stopping));
        world.db.advance_ms(1);
        until(async || heard(&world, app).await.len() == 1).await;
        stop.send_replace(true);
        running.await.unwrap();
        world.db.advance_ms(DAY_MS);
        assert_eq!(heard(&world, app).await.len(), 1);
    }
}
