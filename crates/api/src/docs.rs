//! The OpenAPI document and the page that shows it, both from this binary: no network needed.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::RustEmbed;

/// Made by `make ui`. Without it the page says how to make it.
#[derive(RustEmbed)]
#[folder = "../../ui/dist/docs"]
struct Files;

const MISSING: &str = "The API page was not built into this binary: run `make ui` and build \
    again. The OpenAPI document is at /api/v1/openapi.json.";
/// The page draws with inline styles; scripts come from here alone.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub async fn openapi() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match crate::router::openapi_json() {
        Ok(text) => (json, text).into_response(),
        Err(error) => {
            tracing::error!(%error, "OpenAPI document not written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub async fn to_index() -> Redirect {
    Redirect::permanent("/docs/index.html")
}

pub async fn file(Path(path): Path<String>) -> Response {
    let Some(file) = Files::get(&path) else {
        return (StatusCode::NOT_FOUND, MISSING).into_response();
    };
    let mut response = file.data.into_owned().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&path)));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
