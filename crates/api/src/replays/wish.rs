//! What a caller may ask of a replay, and whether it may be had.

use model::audit::Actor;
use model::delivery::State;
use model::name::{self, BadName};
use model::replay::{MAX_TEXT_LEN, Replay, Selection};
use model::task::Task;
use model::{Timestamp, filter};
use store::{NewReplay, Store};

use crate::problem::{Code, Problem, Result};
use crate::wire::Moment;

/// From `since`, up to `until` or to now.
///
/// # Errors
/// When there is nothing between the two.
pub(crate) fn span(
    since: Moment,
    until: Option<Moment>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp)> {
    // The range leaves its end out; what was published just now is in it.
    let until = until.map_or_else(|| now.plus_ms(1), |until| until.0);
    if since.0 >= until {
        return Err(Problem::field("since", "must lie before until, which is now if left out"));
    }
    Ok((since.0, until))
}

/// # Errors
/// When a name could be nobody's.
pub(crate) fn check_names(selection: &Selection) -> Result<()> {
    let bad = |field: &'static str| move |error: BadName| Problem::field(field, error);
    let max = name::MAX_EVENT_TYPES_PER_ENDPOINT;
    if selection.event_types.len() > max {
        return Err(Problem::field("eventTypes", format!("must have at most {max} entries")));
    }
    for pattern in &selection.event_types {
        filter::check_pattern(pattern).map_err(bad("eventTypes"))?;
    }
    if let Some(channel) = &selection.channel {
        name::check_name(channel, name::MAX_CHANNEL_LEN).map_err(bad("channel"))?;
    }
    if let Some(tag) = &selection.tag {
        name::check_name(tag, name::MAX_CHANNEL_LEN).map_err(bad("tag"))?;
    }
    Ok(())
}

/// # Errors
/// When a text is longer than it may be, or no database would take it.
pub(crate) fn check_text(field: &'static str, text: Option<&str>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.chars().count() > MAX_TEXT_LEN || text.contains('\0') {
        let why = format!("must be 1 to {MAX_TEXT_LEN} characters, without NUL");
        return Err(Problem::field(field, why));
    }
    Ok(())
}

/// The state's code of deliveries that are over.
///
/// # Errors
/// When the status is one of those that are not.
pub(crate) fn ended_as(status: u8) -> Result<i16> {
    let state = match status {
        0 => State::Succeeded,
        2 => State::Failed,
        4 => State::Canceled,
        _ => {
            let why = "must be 0 (success), 2 (fail) or 4 (canceled): what is not over yet is \
                       delivered anyway";
            return Err(Problem::field("status", why));
        }
    };
    Ok(state.code())
}

/// Starts a replay; the task is what does it.
///
/// # Errors
/// When the database fails.
pub(crate) async fn start(store: &Store, wish: NewReplay, by: &Actor) -> Result<(Replay, Task)> {
    let replay = store.start_replay(wish, by).await?;
    let task = replay.task.clone();
    let task = task.ok_or_else(|| Problem::new(Code::Internal, "A replay without a task."))?;
    Ok((replay, task))
}
