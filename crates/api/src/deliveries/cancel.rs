use axum::Json;
use axum::extract::State;
use model::delivery;
use store::Cancel;

use super::{DeliveryOut, InDelivery};
use crate::AppState;
use crate::access::Caller;
use crate::problem::{Code, Problem, ProblemDocument, Result};

/// Cancel a delivery that waits
///
/// What is under way cannot be called back, and what is final stays.
#[utoipa::path(
    post, path = "/api/v1/app/{app}/delivery/{delivery}/cancel",
    operation_id = "v1.delivery.cancel", tag = "Delivery",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("delivery" = String, Path, description = "The delivery's id"),
    ),
    responses(
        (status = 200, body = DeliveryOut),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "It is under way or final"),
    ),
)]
pub async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    InDelivery(app, row): InDelivery,
) -> Result<Json<DeliveryOut>> {
    let id = row.delivery.id;
    let not_found = || Problem::not_found("delivery");
    match state.store.cancel_delivery_if_queued(app.id, id, &caller.actor()).await? {
        Cancel::Canceled => {
            let row = state.store.delivery_in_app(app.id, id).await?.ok_or_else(not_found)?;
            Ok(Json(row.into()))
        }
        Cancel::TooLate(state) => Err(Problem::new(Code::NotCancelable, too_late(state))),
        Cancel::NotFound => Err(not_found()),
    }
}

const fn too_late(state: delivery::State) -> &'static str {
    match state {
        delivery::State::Queued | delivery::State::Leased => {
            "An attempt is under way. If it fails, the delivery can be canceled before the next."
        }
        delivery::State::Succeeded => "It was delivered already.",
        delivery::State::Failed => "It failed for good already.",
        delivery::State::Canceled => "It was canceled already.",
    }
}
