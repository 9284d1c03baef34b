//! The settings as the OpenAPI document shows them; [`super::settings`] reads them.

use utoipa::IntoParams;

/// What is asked. An unknown or doubled name is refused.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described: the text is read as a whole, in two places")]
pub struct AuthorizeQuery {
    /// Id or uid of the keyspace that guards the API.
    keyspace: String,
    /// Only keys of this environment.
    environment: Option<String>,
    /// What a key must be allowed: an expression such as `read:contacts AND NOT (a OR docs.*)`.
    scopes: Option<String>,
    /// Where a key may stand, with commas between: `bearer`, `basic`, `x-api-key`, `header:NAME`,
    /// `header:NAME:SCHEME`, `query:NAME`. The first three, if not given.
    r#in: Option<String>,
    /// Which entry of `X-Forwarded-For` is the client, counted from the right; 1 if not given.
    hops: Option<u32>,
    /// What a request costs in each limit; 1 if not given.
    cost: Option<u32>,
    /// Limits to count besides the automatic ones, with commas between.
    limits: Option<String>,
    /// `nginx`: refuse with 401 and 403 only; the true status is in `X-Auth-Status`.
    compat: Option<String>,
    /// False: without `X-RateLimit-*`.
    legacy: Option<bool>,
}
