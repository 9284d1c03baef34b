//! Headers of an endpoint.

use serde_json::json;
use testkit::on_both;

use crate::invalid;
use crate::world::World;

const PATH: &str = "/app/one/endpoint/mine/headers";

async fn one_endpoint(world: &World) {
    world.app_called("one").await;
    let wish = json!({
        "url": "https://example.com/",
        "headers": {"X-Tenant": "7", "Authorization": "Bearer of-somebody"},
    });
    let created = world.put("/app/one/endpoint/mine", &wish).await;
    assert_eq!(created.status, 201);
    assert!(!created.text().contains("of-somebody"));
}

on_both! {
    async fn sensitive_values_are_not_shown(world: World) {
        one_endpoint(&world).await;
        let shown = json!({"headers": {"X-Tenant": "7"}, "sensitive": ["Authorization"]});
        assert_eq!(world.get(PATH).await.whole(), (200, shown));
        let stored = world.stored().await.headers;
        assert_eq!(stored["Authorization"], "Bearer of-somebody");
    }

    async fn put_replaces_and_patch_changes(world: World) {
        one_endpoint(&world).await;
        let patch = json!({
            "headers": {"x-tenant": "8", "X-New": "1", "X-Gone": null},
            "deleteHeaders": ["authorization", "X-Never"],
        });
        let patched = world.patch(PATH, &patch).await;
        assert_eq!((patched.status, patched.text()), (204, ""));
        let shown = json!({"headers": {"X-New": "1", "x-tenant": "8"}, "sensitive": []});
        assert_eq!(world.get(PATH).await.whole(), (200, shown.clone()));

        let patched = world.patch(PATH, &json!({})).await;
        assert_eq!(patched.status, 204);
        assert_eq!(world.get(PATH).await.whole(), (200, shown));

        let put = world.put(PATH, &json!({"headers": {"X-Only": "1"}})).await;
        assert_eq!((put.status, put.text()), (204, ""));
        let shown = json!({"headers": {"X-Only": "1"}, "sensitive": []});
        assert_eq!(world.get(PATH).await.whole(), (200, shown));

        assert_eq!(world.patch(PATH, &json!({"headers": {"X-ONLY": null}})).await.status, 204);
        let none = json!({"headers": {}, "sensitive": []});
        assert_eq!(world.get(PATH).await.whole(), (200, none));
    }

    async fn bad_headers_change_nothing(world: World) {
        one_endpoint(&world).await;
        let before = world.get(PATH).await.whole();
        let cases = [
            (
                json!({"webhook-id": "1"}),
                "header name \"webhook-id\" is not allowed: use letters, digits and -, \
                 and none that the delivery itself sets",
            ),
            (
                json!({"X-A": "a\r\nb"}),
                "the value of header \"X-A\" has characters that no header may carry",
            ),
        ];
        for (headers, msg) in cases {
            let wish = json!({"headers": headers});
            assert_eq!(world.put(PATH, &wish).await.whole(), invalid("headers", msg));
            assert_eq!(world.patch(PATH, &wish).await.whole(), invalid("headers", msg));
        }
        assert_eq!(world.get(PATH).await.whole(), before);
    }

    async fn updating_the_endpoint_keeps_its_headers(world: World) {
        one_endpoint(&world).await;
        let before = world.stored().await.headers;
        let url = json!({"url": "https://example.com/other"});
        world.put("/app/one/endpoint/mine", &url).await.ok();
        world.patch("/app/one/endpoint/mine", &url).await.ok();
        assert_eq!(world.stored().await.headers, before);

        let cleared = json!({"url": "https://example.com/other", "headers": {}});
        world.put("/app/one/endpoint/mine", &cleared).await.ok();
        assert!(world.stored().await.headers.is_empty());
    }
}
