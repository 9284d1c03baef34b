//! The whole API, readable at a glance.

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Router, extract::DefaultBodyLimit};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Code, Problem};
use crate::{
    AppState, apps, attempts, background_tasks, deliveries, docs, endpoints, event_types, health,
    idempotency, messages, trace,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Doorbell",
        description = "Delivers webhooks and keeps API keys for your product.",
        license(name = "MIT", identifier = "MIT"),
    ),
    modifiers(&BearerAuth),
    security(("bearer" = [])),
)]
struct Document;

struct BearerAuth;

impl utoipa::Modify for BearerAuth {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Publishing keeps its idempotency keys with its messages.
fn publishing() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(messages::create::create))
        .routes(routes!(messages::create_batch::create_batch))
}

/// Everything else; a POST with a key is answered once.
fn resources() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(apps::list::list, apps::create::create))
        .routes(routes!(apps::get::get, apps::put::put, apps::patch::patch, apps::delete::delete))
        .routes(routes!(endpoints::list::list, endpoints::create::create))
        .routes(routes!(
            endpoints::get::get,
            endpoints::put::put,
            endpoints::patch::patch,
            endpoints::delete::delete
        ))
        .routes(routes!(endpoints::get_secret::get_secret))
        .routes(routes!(endpoints::rotate_secret::rotate_secret))
        .routes(routes!(
            endpoints::get_headers::get_headers,
            endpoints::put_headers::put_headers,
            endpoints::patch_headers::patch_headers
        ))
        .routes(routes!(endpoints::stats::stats))
        .routes(routes!(endpoints::send_example::send_example))
        .routes(routes!(endpoints::recover::recover))
        .routes(routes!(endpoints::replay_missing::replay_missing))
        .routes(routes!(endpoints::bulk_replay::bulk_replay))
        .routes(routes!(endpoints::pause::pause))
        .routes(routes!(endpoints::resume::resume))
        .routes(routes!(event_types::list::list, event_types::create::create))
        .routes(routes!(
            event_types::get::get,
            event_types::put::put,
            event_types::patch::patch,
            event_types::delete::delete
        ))
        .routes(routes!(messages::list::list))
        .routes(routes!(messages::get::get))
        .routes(routes!(messages::delete_content::delete_content))
        .routes(routes!(messages::explain::explain))
        .routes(routes!(messages::precheck::precheck))
        .routes(routes!(messages::resend::resend))
        .routes(routes!(attempts::list_by_endpoint::list_by_endpoint))
        .routes(routes!(attempts::list_by_message::list_by_message))
        .routes(routes!(attempts::list_attempted_messages::list_attempted_messages))
        .routes(routes!(attempts::list_attempted_destinations::list_attempted_destinations))
        .routes(routes!(attempts::get::get))
        .routes(routes!(attempts::delete_content::delete_content))
        .routes(routes!(deliveries::list::list))
        .routes(routes!(deliveries::get::get))
        .routes(routes!(deliveries::explain::explain))
        .routes(routes!(deliveries::cancel::cancel))
        .routes(routes!(background_tasks::list::list))
        .routes(routes!(background_tasks::get::get))
        .routes(routes!(health::get))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
}

fn documented(state: &AppState) -> OpenApiRouter<AppState> {
    let answered_once = from_fn_with_state(state.clone(), idempotency::remember);
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(publishing())
        .merge(resources().layer(answered_once))
}

/// The service that answers every request.
pub fn router(state: AppState) -> Router {
    let (documented, _) = documented(&state).split_for_parts();
    documented
        .route("/api/v1/openapi.json", get(docs::openapi))
        .route("/health", get(health::get))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/docs", get(docs::to_index))
        .route("/docs/{*path}", get(docs::file))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), trace::request_id))
        .with_state(state)
}

/// The OpenAPI document, generated from the handlers.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    let (_, document) = OpenApiRouter::<AppState>::with_openapi(Document::openapi())
        .merge(publishing())
        .merge(resources())
        .split_for_parts();
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such path. The API is described at /docs.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "The path exists, the method does not.")
}
