//! `doorbell openapi`: the OpenAPI document, generated from the handlers.

use crate::assembly::StartError;

#[expect(clippy::print_stdout, reason = "a command's answer")]
pub fn print() -> Result<(), StartError> {
    let text = api::router::openapi_json().map_err(|error| StartError::Other(error.to_string()))?;
    print!("{text}");
    Ok(())
}
