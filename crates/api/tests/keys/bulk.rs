use http::Method;
use serde_json::json;
use testkit::on_both;

use crate::world::World;

const PATH: &str = "/app/one/key/bulk";

on_both! {
    async fn many_keys_by_owner_or_tag(world: World) {
        let acme = [
            world.key(json!({"owner": "acme", "tags": ["ci"]})).await,
            world.key(json!({"owner": "acme"})).await,
        ];
        let other = world.key(json!({"tags": ["ci"]})).await;

        let dry = json!({"owner": "acme", "action": "revoke", "dryRun": true});
        let dry = world.made(PATH, dry).await;
        assert_eq!(dry, json!({"matched": 2, "changed": 0, "dryRun": true}));
        assert_eq!(world.code(&acme[0].token).await, "VALID");

        let disabled = world.made(PATH, json!({"owner": "acme", "action": "disable"})).await;
        assert_eq!(disabled, json!({"matched": 2, "changed": 2, "dryRun": false}));
        assert_eq!(world.code(&acme[1].token).await, "DISABLED");
        assert_eq!(world.code(&other.token).await, "VALID");

        let enabled = json!({"owner": "acme", "tag": "ci", "action": "enable"});
        assert_eq!(world.made(PATH, enabled).await["matched"], 1);
        assert_eq!(world.code(&acme[0].token).await, "VALID");
        assert_eq!(world.code(&acme[1].token).await, "DISABLED");

        let revoke = json!({"tag": "ci", "action": "revoke", "reason": "superseded"});
        assert_eq!(world.made(PATH, revoke).await["changed"], 2);
        assert_eq!(world.code(&other.token).await, "REVOKED");

        let delete = json!({"owner": "acme", "action": "delete"});
        assert_eq!(world.made(PATH, delete).await["changed"], 2);
        assert_eq!(world.code(&acme[1].token).await, "NOT_FOUND");
        assert_eq!(world.code(&other.token).await, "REVOKED");
    }

    async fn all_keys_at_once_are_never_meant(world: World) {
        let reply = world.ask(Method::POST, PATH, json!({"action": "delete"})).await;
        assert_eq!(reply.status, 422);
        let wrong = json!({"owner": "acme", "action": "destroy"});
        assert_eq!(world.ask(Method::POST, PATH, wrong).await.status, 422);
    }
}
