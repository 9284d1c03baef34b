use axum::Json;

use super::{DeliveryOut, InDelivery};
use crate::problem::ProblemDocument;

/// Get a delivery
#[utoipa::path(
    get, path = "/api/v1/app/{app}/delivery/{delivery}", operation_id = "v1.delivery.get",
    tag = "Delivery",
    params(
        ("app" = String, Path, description = "The application's id or uid"),
        ("delivery" = String, Path, description = "The delivery's id"),
    ),
    responses((status = 200, body = DeliveryOut), (status = 404, body = ProblemDocument)),
)]
pub async fn get(InDelivery(_app, row): InDelivery) -> Json<DeliveryOut> {
    Json(row.into())
}
