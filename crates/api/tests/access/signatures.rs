//! Whose secrets a signature may be verified and made with.

use model::access::Role;
use serde_json::json;
use testkit::on_both;

use crate::world::{Ask, World};

on_both! {
    async fn secrets_of_endpoints_need_a_permission_and_foreign_ones_do_not_exist(world: World) {
        let mut apps = Vec::new();
        for uid in ["one", "two"] {
            let app = world.app_with(|app| app.uid = Some(uid.to_owned())).await;
            world.endpoint_with(app, |it| it.uid = Some("mine".to_owned())).await;
            apps.push(app);
        }
        let owner = world.service_token(Some(apps[0]), Role::Owner).await;
        let publisher = world.service_token(Some(apps[0]), Role::Publisher).await;
        for path in ["/signature/verify", "/signature/sign"] {
            for (token, app, endpoint, expected) in [
                (&owner, "one", "mine", 200),
                (&owner, apps[0].as_str(), "mine", 200),
                (&owner, "one", "nobodys", 404),
                (&owner, "two", "mine", 404),
                (&owner, apps[1].as_str(), "mine", 404),
                (&owner, "nobodys", "mine", 404),
                (&publisher, "one", "mine", 403),
                (&publisher, "two", "mine", 404),
            ] {
                let wish =
                    json!({"headers": {}, "body": "", "appId": app, "endpointId": endpoint});
                let answer = world.ask(Ask::new("POST", path).token(token).body(wish)).await;
                assert_eq!(answer.status, expected, "{path} {app} {endpoint}: {answer:?}");
            }
        }
    }
}
