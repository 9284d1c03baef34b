//! The whole API, readable at a glance.

use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use axum::{Router, extract::DefaultBodyLimit};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Code, Problem};
use crate::{
    AppState, access, apps, attempts, audit_log, auth, authorize, background_tasks, deliveries,
    docs, endpoints, erasures, event_types, health, housekeeping, idempotency, key_owners, keys,
    keyspaces, maintenance_windows, members, messages, operational_webhooks, replays, retention,
    signature, trace, users,
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

/// Questions about keys and signatures change nothing that an answer could be remembered for.
fn verification() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(keys::verify::verify))
        .routes(routes!(keys::verify_batch::verify_batch))
        .routes(routes!(keys::introspect::introspect))
        .routes(routes!(signature::verify::verify))
        .routes(routes!(signature::sign::sign))
}

/// Proxies ask here with the keys of others: no token is asked for, the answer is about the key.
fn forward_auth() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(authorize::authorize))
        .route("/api/v1/authorize", any(authorize::authorize))
        .route("/api/v1/authorize/", any(authorize::authorize_path))
        .route("/api/v1/authorize/{*path}", any(authorize::authorize_path))
}

/// What receivers verify with; nobody needs a token for it.
fn public_keys() -> Router<AppState> {
    let path = "/.well-known/doorbell/{endpoint}/jwks.json";
    Router::new().route(path, get(endpoints::secret_jwks::well_known))
}

fn grpc_auth() -> Router<AppState> {
    Router::new().route(authorize::grpc::CHECK, post(authorize::grpc::check))
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
        .routes(routes!(endpoints::revoke_secret::revoke_secret))
        .routes(routes!(endpoints::secret_history::secret_history))
        .routes(routes!(
            endpoints::secret_policy::get,
            endpoints::secret_policy::put,
            endpoints::secret_policy::delete
        ))
        .routes(routes!(endpoints::secret_check::get, endpoints::secret_check::request))
        .routes(routes!(endpoints::secret_jwks::of_endpoint))
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
        .routes(routes!(apps::breaker::get, apps::breaker::put))
        .routes(routes!(
            endpoints::breaker::get::get,
            endpoints::breaker::put::put,
            endpoints::breaker::delete::delete
        ))
        .routes(routes!(endpoints::breaker::open::open))
        .routes(routes!(endpoints::breaker::close::close))
        .routes(routes!(endpoints::enable::enable))
        .routes(routes!(endpoints::disable::disable))
        .routes(routes!(endpoints::pause::pause))
        .routes(routes!(endpoints::resume::resume))
        .routes(routes!(
            operational_webhooks::endpoint::list,
            operational_webhooks::endpoint::create
        ))
        .routes(routes!(
            operational_webhooks::endpoint::get,
            operational_webhooks::endpoint::put,
            operational_webhooks::endpoint::patch,
            operational_webhooks::endpoint::delete
        ))
        .routes(routes!(operational_webhooks::secret::get_secret))
        .routes(routes!(operational_webhooks::secret::rotate_secret))
        .routes(routes!(
            operational_webhooks::secret::get_headers,
            operational_webhooks::secret::put_headers
        ))
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
        .routes(routes!(deliveries::chain::chain))
        .routes(routes!(replays::list::list, replays::create::create))
        .routes(routes!(replays::stats::stats))
        .routes(routes!(replays::get::get))
        .routes(routes!(replays::change::pause))
        .routes(routes!(replays::change::resume))
        .routes(routes!(replays::change::cancel))
        .routes(routes!(background_tasks::list::list))
        .routes(routes!(background_tasks::get::get))
        .routes(routes!(background_tasks::change::pause))
        .routes(routes!(background_tasks::change::resume))
        .routes(routes!(background_tasks::change::cancel))
        .routes(routes!(audit_log::list::list))
        .routes(routes!(audit_log::export::export))
        .routes(routes!(audit_log::verify::verify))
        .routes(routes!(auth::login::login))
        .routes(routes!(auth::refresh::refresh))
        .routes(routes!(auth::oidc::start::start))
        .routes(routes!(auth::oidc::callback::callback))
        .routes(routes!(auth::logout::logout))
        .routes(routes!(auth::whoami::whoami))
        .routes(routes!(auth::password::password))
        .routes(routes!(auth::app_portal_access::app_portal_access))
        .routes(routes!(auth::expire_all::expire_all))
        .routes(routes!(users::list::list, users::create::create))
        .routes(routes!(users::get::get, users::patch::patch, users::delete::delete))
        .routes(routes!(members::list::list, members::create::create))
        .routes(routes!(members::get::get, members::patch::patch, members::delete::delete))
        .routes(routes!(keyspaces::list::list, keyspaces::create::create))
        .routes(routes!(
            keyspaces::get::get,
            keyspaces::put::put,
            keyspaces::patch::patch,
            keyspaces::delete::delete
        ))
        .routes(routes!(key_owners::get::get, key_owners::put::put))
        .routes(routes!(keys::list::list, keys::create::create))
        .routes(routes!(keys::get::get, keys::patch::patch, keys::delete::delete))
        .routes(routes!(keys::bulk::bulk))
        .routes(routes!(keys::import::import))
        .routes(routes!(keys::revoke::revoke))
        .routes(routes!(keys::revoke_self::revoke_self))
        .routes(routes!(keys::rotate::rotate))
        .routes(routes!(keys::collect::collect))
        .routes(routes!(keys::enable::enable))
        .routes(routes!(keys::disable::disable))
        .routes(routes!(keys::list_secrets::list_secrets))
        .routes(routes!(keys::end_grace::end_grace))
        .routes(routes!(keys::usage::usage))
        .routes(routes!(maintenance_windows::list::list, maintenance_windows::create::create))
        .routes(routes!(maintenance_windows::preview::preview))
        .routes(routes!(
            maintenance_windows::get::get,
            maintenance_windows::put::put,
            maintenance_windows::patch::patch,
            maintenance_windows::delete::delete
        ))
        .routes(routes!(maintenance_windows::end::end))
        .routes(routes!(
            maintenance_windows::list::list_of_app,
            maintenance_windows::create::create_in_app
        ))
        .routes(routes!(maintenance_windows::preview::preview_of_app))
        .routes(routes!(
            maintenance_windows::get::get_of_app,
            maintenance_windows::put::put_of_app,
            maintenance_windows::patch::patch_of_app,
            maintenance_windows::delete::delete_of_app
        ))
        .routes(routes!(maintenance_windows::end::end_of_app))
        .routes(routes!(retention::get::get))
        .routes(routes!(retention::get_of_app::get_of_app, retention::put_of_app::put_of_app))
        .routes(routes!(erasures::create::create))
        .routes(routes!(erasures::expunge_all_contents::expunge_all_contents))
        .routes(routes!(housekeeping::get::get))
        .routes(routes!(housekeeping::run::run))
        .routes(routes!(health::get))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::detail))
}

fn documented(state: &AppState) -> OpenApiRouter<AppState> {
    let answered_once = from_fn_with_state(state.clone(), idempotency::remember);
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(publishing())
        .merge(resources().layer(answered_once))
        .merge(verification())
        .layer(from_fn_with_state(state.clone(), access::admit))
        .merge(forward_auth().layer(from_fn_with_state(state.clone(), access::admit_proxy)))
}

/// The service that answers every request.
pub fn router(state: AppState) -> Router {
    let (documented, _) = documented(&state).split_for_parts();
    documented
        .route("/api/v1/openapi.json", get(docs::openapi))
        .merge(grpc_auth().layer(from_fn_with_state(state.clone(), access::admit_proxy)))
        .merge(public_keys().layer(from_fn_with_state(state.clone(), access::admit_proxy)))
        .route("/.well-known/jwks.json", get(authorize::passport::public_keys))
        .route("/health", get(health::get))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/detail", get(health::detail))
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
        .merge(verification())
        .merge(forward_auth())
        .split_for_parts();
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such path. The API is described at /docs.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "The path exists, the method does not.")
}
