//! The driver's calls to the sink, each a POST to `/control/<command>/<argument>`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::serve::{State, status};
use crate::Outcome;
use crate::measure::unix_nanos;

const SAMPLE: usize = 10;

#[derive(Serialize, Deserialize)]
pub struct Missing {
    pub count: usize,
    pub sample: Vec<String>,
}

/// What is watched for: every one of `ids` answered in `lane`.
#[derive(Serialize, Deserialize)]
pub struct Expected {
    pub lane: String,
    pub ids: Vec<String>,
}

pub async fn obey(
    command: &str,
    argument: &str,
    body: &[u8],
    state: &Arc<State>,
) -> Response<Full<Bytes>> {
    let answer = match command {
        "report" => to_json(&state.lanes().report(argument)),
        "forget" => to_json(&state.lanes().forget(unix_nanos())),
        "hanging" => to_json(&state.lanes().hanging),
        "open" => state.open_refusing_port().and_then(|()| to_json(&())),
        "next-generation" => to_json(&state.lanes().next_generation()),
        "first-of-generation" => first_of_generation(argument, state).await,
        "recent" => recent(argument, state),
        "watch" => watch(body, state),
        "missing" => missing(argument, state).await,
        "tell" => tell(argument, body, state),
        "verified" => to_json(&state.signatures().verified()),
        _ => Err("no such command".into()),
    };
    match answer {
        Ok(json) => Response::new(Full::new(json)),
        Err(error) => {
            let mut response = status(StatusCode::BAD_REQUEST);
            *response.body_mut() = Full::new(error.to_string().into());
            response
        }
    }
}

fn to_json<T: Serialize>(value: &T) -> Outcome<Bytes> {
    Ok(serde_json::to_vec(value)?.into())
}

/// When the first delivery over a connection of this generation came; null when none came in time.
async fn first_of_generation(deadline_ms: &str, state: &State) -> Outcome<Bytes> {
    let deadline = Duration::from_millis(deadline_ms.parse()?);
    until(deadline, state, || state.lanes().first_of_generation_ns().is_some()).await;
    to_json(&state.lanes().first_of_generation_ns())
}

fn recent(window_ms: &str, state: &State) -> Outcome<Bytes> {
    let window_ns = window_ms.parse::<u64>()?.saturating_mul(1_000_000);
    let since_ns = unix_nanos().saturating_sub(window_ns);
    to_json(&state.lanes().answered_since(since_ns))
}

fn watch(body: &[u8], state: &State) -> Outcome<Bytes> {
    let expected: Expected = serde_json::from_slice(body)?;
    let ids = expected.ids.iter().map(String::as_str);
    state.lanes().watch_for(&expected.lane, ids);
    to_json(&())
}

/// The secrets that the receivers of a lane verify with.
fn tell(lane: &str, body: &[u8], state: &State) -> Outcome<Bytes> {
    state.signatures().tell(lane, serde_json::from_slice(body)?)?;
    to_json(&())
}

async fn missing(deadline_ms: &str, state: &State) -> Outcome<Bytes> {
    let deadline = Duration::from_millis(deadline_ms.parse()?);
    until(deadline, state, || state.lanes().missing() == 0).await;
    let lanes = state.lanes();
    to_json(&Missing { count: lanes.missing(), sample: lanes.missing_sample(SAMPLE) })
}

/// Looks, and looks again after every arrival that matters. `notify_one` keeps a wake-up that
/// comes between a look and the wait.
async fn until(deadline: Duration, state: &State, happened: impl Fn() -> bool) {
    let watch = async {
        while !happened() {
            state.arrived.notified().await;
        }
    };
    // Who asked reads from the answer whether it happened or the deadline passed.
    let _ = timeout(deadline, watch).await;
}
