use http::Method;
use serde_json::json;
use testkit::on_both;

use crate::world::World;

const TOKEN: &str = "sk_0123456789abcdefghijklmnopqrstuv";
/// Of [`TOKEN`].
const SHA256: &str = "2501846c5fdbda12e8e5d1b92089c2e4b2d919da56456516bf953120ed560c6f";

on_both! {
    async fn a_key_of_another_system_goes_on_working(world: World) {
        let import = json!({
            "keyspace": "crm", "name": "old", "scopes": ["read:contacts"],
            "kind": "sha256", "hash": SHA256, "entropyBits": 180,
        });
        let broken = json!({
            "keyspace": "crm", "name": "broken",
            "kind": "sha256", "hash": "zz", "entropyBits": 180,
        });
        let wish = json!({"keys": [import, broken]});
        let answer = world.made("/app/one/key/import", wish).await;
        assert_eq!(answer["data"][0]["error"], json!(null));
        assert!(answer["data"][1]["error"].as_str().unwrap().contains("hash"), "{answer}");

        let verdict = world.verdict(TOKEN, json!({"scopes": "read:contacts"})).await;
        assert_eq!(verdict["code"], "VALID", "{}", verdict["reason"]);
        assert_eq!(verdict["keyId"], answer["data"][0]["key"]["id"]);
    }

    async fn an_import_has_a_bound(world: World) {
        let one = json!({
            "keyspace": "crm", "name": "x", "kind": "sha256", "hash": "", "entropyBits": 180,
        });
        let wish = json!({"keys": vec![one; 1_001]});
        assert_eq!(world.ask(Method::POST, "/app/one/key/import", wish).await.status, 422);
    }
}
