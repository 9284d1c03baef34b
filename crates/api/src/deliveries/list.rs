use axum::Json;
use axum::extract::State;
use model::attempt::ErrorKind;
use serde::Deserialize;
use store::{DeliveryQuery, Order};
use utoipa::IntoParams;

use super::{DeliveryOut, StateIn, page_of};
use crate::AppState;
use crate::extract::{InApp, Query};
use crate::page::{ListOut, PageIn};
use crate::problem::{Problem, ProblemDocument, Result};
use crate::query::{MessageFilterIn, StatusCodeClass};
use crate::status::{Status, Wanted};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveryFilterIn {
    /// 0 success, 1 pending, 2 fail, 3 sending, 4 canceled; or these words.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    /// Instead of `status`: `queued`, `leased`, `succeeded`, `failed` or `canceled`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    state: Option<StateIn>,
    /// Only to the endpoint with this id or uid.
    #[serde(default)]
    endpoint_id: Option<String>,
    /// 100, 200, 300, 400 or 500: by the last answer.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    status_code_class: Option<StatusCodeClass>,
    /// By why the last attempt failed, for instance `timeout`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    error: Option<ErrorKind>,
}

impl DeliveryFilterIn {
    fn wanted(&self) -> Wanted {
        let by_status = self.status.map_or(Wanted::ALL, |status| status.wanted(true));
        self.state.map_or(by_status, |StateIn(state)| Wanted::in_state(state))
    }
}

/// List deliveries, those of the newest messages first
#[utoipa::path(
    get, path = "/api/v1/app/{app}/delivery", operation_id = "v1.delivery.list", tag = "Delivery",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        PageIn, MessageFilterIn, DeliveryFilterIn,
    ),
    responses(
        (status = 200, body = ListOut<DeliveryOut>),
        (status = 404, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    InApp(app): InApp,
    Query(page): Query<PageIn>,
    Query(filter): Query<MessageFilterIn>,
    Query(own): Query<DeliveryFilterIn>,
) -> Result<Json<ListOut<DeliveryOut>>> {
    let endpoint = match &own.endpoint_id {
        Some(endpoint) => {
            let found = state.store.endpoint_in_app(app.id, endpoint).await?;
            Some(found.ok_or_else(|| Problem::not_found("endpoint"))?.id)
        }
        None => None,
    };
    let query = DeliveryQuery {
        page: page.query(Order::Descending),
        endpoint,
        state: None,
        filter: filter.into(),
        status_code_class: own.status_code_class.map(|class| class.0),
        error: own.error,
    };
    let page = page_of(&state.store, app.id, &query, own.wanted()).await?;
    Ok(Json(ListOut::new(page, DeliveryOut::from)))
}
