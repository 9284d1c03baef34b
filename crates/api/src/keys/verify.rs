use std::net::IpAddr;

use axum::extract::State;
use axum::response::Response;
use keys::{Keys, LimitUse, Verdict, VerifyRequest};
use model::AppId;
use model::key::scope::ScopeQuery;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::shapes::yes;
use super::verdict::{self, VerdictOut};
use crate::AppState;
use crate::access::Caller;
use crate::extract::{Body, Query};
use crate::problem::{Problem, ProblemDocument, Result};

const MAX_LIMITS: usize = model::key::MAX_LIMITS;

/// A key that somebody showed, and what it is wanted for. A field that is not one of these is
/// refused: `scope` for `scopes` would otherwise ask for nothing.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyIn {
    /// The token as it was shown.
    key: String,
    /// Id or uid of the keyspace that guards your API; a key of another one is not found.
    #[serde(default)]
    keyspace: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    /// What it must be allowed: an expression with AND, OR, NOT, parentheses and wildcards.
    #[serde(default)]
    #[schema(example = "read:contacts AND NOT (admin OR docs.*)")]
    scopes: Option<String>,
    /// The address of whoever showed it: for allow-lists and the last use.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "192.0.2.7")]
    address: Option<IpAddr>,
    #[serde(default)]
    user_agent: Option<String>,
    /// What the request costs in each automatic limit.
    #[serde(default = "one")]
    cost: u64,
    /// Limits to count besides the automatic ones, or with a cost of their own.
    #[serde(default)]
    limits: Vec<LimitIn>,
    /// False: a dry run, nothing is counted.
    #[serde(default = "yes")]
    consume: bool,
    /// Ask the database, whatever is in memory.
    #[serde(default)]
    fresh: bool,
}

const fn one() -> u64 {
    1
}

/// A limit by its name, alone or with a cost.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = KeyLimitUse)]
pub enum LimitIn {
    Name(String),
    Use {
        name: String,
        #[serde(default = "one")]
        cost: u64,
    },
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatusQuery {
    /// `mapped`: answer 401, 403, 429 or 503 for a key that is not good.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    status: Option<StatusIn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StatusIn {
    Mapped,
}

/// Check a key
///
/// The answer is 200 whether the key is good or not, and says why. A refused request counts
/// against no limit.
#[utoipa::path(
    post, path = "/api/v1/key/verify", operation_id = "v1.key.verify", tag = "Key",
    params(StatusQuery), request_body = VerifyIn,
    responses((status = 200, body = VerdictOut), (status = 422, body = ProblemDocument)),
)]
pub async fn verify(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<StatusQuery>,
    Body(wish): Body<VerifyIn>,
) -> Result<Response> {
    let verdict = wish.verify(&state.keys, caller.only_app()?, "scopes").await?;
    Ok(verdict::answer(&verdict, query.status == Some(StatusIn::Mapped)))
}

impl VerifyIn {
    /// `at` is what a fault of the scopes is reported as.
    pub(super) async fn verify(
        &self,
        keys: &Keys,
        app: Option<AppId>,
        at: &str,
    ) -> Result<Verdict> {
        if self.limits.len() > MAX_LIMITS {
            return Err(Problem::field("limits", format!("may be {MAX_LIMITS} at the most")));
        }
        let scopes = self.scopes.as_deref().map(ScopeQuery::parse).transpose();
        let scopes = scopes.map_err(|why| Problem::field(at, why))?;
        let limits: Vec<LimitUse<'_>> =
            self.limits.iter().map(|limit| limit.of(self.cost)).collect();
        let request = VerifyRequest {
            keyspace: self.keyspace.as_deref(),
            app,
            environment: self.environment.as_deref(),
            scopes: scopes.as_ref(),
            address: self.address,
            peer: self.address,
            user_agent: self.user_agent.as_deref(),
            cost: self.cost,
            limits: &limits,
            consume: self.consume,
            fresh: self.fresh,
            ..VerifyRequest::new(&self.key)
        };
        Ok(keys.verify(request).await)
    }
}

impl LimitIn {
    fn of(&self, otherwise: u64) -> LimitUse<'_> {
        match self {
            Self::Name(name) => LimitUse { name, cost: otherwise },
            Self::Use { name, cost } => LimitUse { name, cost: *cost },
        }
    }
}
