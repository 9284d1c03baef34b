//! What callers say of a window, and what becomes of it.

use model::name::check_text;
use model::window::{
    MAX_WINDOW_ENDPOINTS, MAX_WINDOW_NAME_LEN, Plan, RecurrenceParts, Scope, Window,
};
use model::{AppId, EndpointId, Timestamp, WindowId};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::AppState;
use crate::patch::{self, Field};
use crate::problem::{Problem, Result};
use crate::wire::Moment;

/// A window that happens once has `endsAt`; one that recurs has `cron`, `durationMinutes` and
/// `timeZone`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindowIn {
    name: String,
    #[serde(default)]
    reason: String,
    /// Ids or uids of endpoints of the application. Without them it holds all.
    #[serde(default)]
    endpoint_ids: Option<Vec<String>>,
    #[serde(default = "yes")]
    enabled: bool,
    /// Now, if it is not given.
    #[serde(default)]
    starts_at: Option<Moment>,
    #[serde(default)]
    ends_at: Option<Moment>,
    /// Minute, hour, day of month, month, day of week; by the clock on the wall there.
    #[serde(default)]
    #[schema(example = "0 2 * * SUN")]
    cron: Option<String>,
    /// It has to be over before it begins again.
    #[serde(default)]
    duration_minutes: Option<u32>,
    /// A name of the IANA database.
    #[serde(default)]
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// The first day, in its time zone, on which one may begin.
    #[serde(default)]
    #[schema(example = "2027-01-01")]
    from: Option<String>,
    /// The last such day.
    #[serde(default)]
    until: Option<String>,
}

const fn yes() -> bool {
    true
}

/// What shall change; an absent field stays, `null` clears it. With `cron` it recurs, with
/// `cron: null` and `endsAt` it happens once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindowPatch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<Vec<String>>)]
    endpoint_ids: Field<Vec<String>>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    starts_at: Option<Moment>,
    #[serde(default)]
    ends_at: Option<Moment>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    cron: Field<String>,
    #[serde(default)]
    duration_minutes: Option<u32>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    from: Field<String>,
    #[serde(default, deserialize_with = "patch::field")]
    #[schema(value_type = Option<String>)]
    until: Field<String>,
}

impl MaintenanceWindowIn {
    /// A window as wished, not stored yet.
    pub(super) async fn window(self, state: &AppState, app: Option<AppId>) -> Result<Window> {
        let now = state.store.clock().now();
        let scope = scope(state, app, self.endpoint_ids.as_deref()).await?;
        let plan = self.plan(now)?;
        let window = Window {
            id: WindowId::new(now, state.store.entropy()),
            scope,
            name: self.name,
            reason: self.reason,
            plan,
            enabled: self.enabled,
            ended_at: None,
            created_at: now,
            updated_at: now,
        };
        check_words(&window)?;
        check_is_to_come(&window.plan, now)?;
        Ok(window)
    }

    /// As if it were made anew; only its identity stays.
    pub(super) async fn replace(self, state: &AppState, before: &Window) -> Result<Window> {
        let ended_at = before.ended_at;
        let wished = self.window(state, before.scope.app_id()).await?;
        Ok(Window { id: before.id, created_at: before.created_at, ended_at, ..wished })
    }

    fn plan(&self, now: Timestamp) -> Result<Plan> {
        let Some(cron) = self.cron.clone() else {
            let Some(Moment(ends_at)) = self.ends_at else {
                return Err(Problem::field(
                    "endsAt",
                    "give `endsAt`, or `cron` for one that recurs",
                ));
            };
            let starts_at = self.starts_at.map_or(now, |Moment(starts_at)| starts_at);
            return Plan::once(starts_at, ends_at).map_err(|why| Problem::field(why.field(), why));
        };
        let needed = |name| Problem::field(name, "a window that recurs needs it");
        let parts = RecurrenceParts {
            cron,
            duration_minutes: self.duration_minutes.ok_or_else(|| needed("durationMinutes"))?,
            time_zone: self.time_zone.clone().ok_or_else(|| needed("timeZone"))?,
            from: self.from.clone(),
            until: self.until.clone(),
        };
        Plan::recurring(parts).map_err(|why| Problem::field(why.field(), why))
    }
}

impl MaintenanceWindowPatch {
    pub(super) async fn apply(self, state: &AppState, before: &Window) -> Result<Window> {
        let now = state.store.clock().now();
        let mut window = before.clone();
        let wish = self.onto(before);
        if let Some(endpoints) = &self.endpoint_ids {
            window.scope = scope(state, before.scope.app_id(), endpoints.as_deref()).await?;
        }
        window.plan = wish.plan(now)?;
        window.name = wish.name;
        window.reason = wish.reason;
        window.enabled = wish.enabled;
        window.updated_at = now;
        check_words(&window)?;
        if window.plan != before.plan {
            check_is_to_come(&window.plan, now)?;
        }
        Ok(window)
    }

    /// The whole wish: what is not said is as it was.
    fn onto(&self, before: &Window) -> MaintenanceWindowIn {
        let (once, recurring) = match before.plan.clone() {
            Plan::Once(interval) => (Some(interval), None),
            Plan::Recurring(recurrence) => (None, Some(RecurrenceParts::from(*recurrence))),
        };
        let or = |field: &Field<String>, before: Option<String>| field.clone().unwrap_or(before);
        let was = |part: fn(&RecurrenceParts) -> Option<String>| recurring.as_ref().and_then(part);
        MaintenanceWindowIn {
            name: self.name.clone().unwrap_or_else(|| before.name.clone()),
            reason: self.reason.clone().unwrap_or_else(|| before.reason.clone()),
            endpoint_ids: None,
            enabled: self.enabled.unwrap_or(before.enabled),
            starts_at: self.starts_at.or(once.map(|once| Moment(once.starts_at))),
            ends_at: self.ends_at.or(once.map(|once| Moment(once.ends_at))),
            cron: or(&self.cron, was(|parts| Some(parts.cron.clone()))),
            duration_minutes: self
                .duration_minutes
                .or(recurring.as_ref().map(|parts| parts.duration_minutes)),
            time_zone: self.time_zone.clone().or(was(|parts| Some(parts.time_zone.clone()))),
            from: or(&self.from, was(|parts| parts.from.clone())),
            until: or(&self.until, was(|parts| parts.until.clone())),
        }
    }
}

fn check_words(window: &Window) -> Result<()> {
    if window.name.trim().is_empty() || window.name.len() > MAX_WINDOW_NAME_LEN {
        let why = format!("must have 1 to {MAX_WINDOW_NAME_LEN} bytes");
        return Err(Problem::field("name", why));
    }
    check_text(&window.name).map_err(|error| Problem::field("name", error))?;
    check_text(&window.reason).map_err(|error| Problem::field("reason", error))
}

fn check_is_to_come(plan: &Plan, now: Timestamp) -> Result<()> {
    if plan.occurrence(now).is_some() {
        return Ok(());
    }
    let field = if matches!(plan, Plan::Once(_)) { "endsAt" } else { "until" };
    Err(Problem::field(field, "is over already"))
}

async fn scope(
    state: &AppState,
    app: Option<AppId>,
    endpoints: Option<&[String]>,
) -> Result<Scope> {
    let refused = |why: String| Problem::field("endpointIds", why);
    let Some(app) = app else {
        let none = endpoints.is_none_or(<[String]>::is_empty);
        let why = "a window of the instance holds every endpoint";
        return if none { Ok(Scope::Instance) } else { Err(refused(why.to_owned())) };
    };
    let Some(names) = endpoints else { return Ok(Scope::App(app)) };
    if names.is_empty() || names.len() > MAX_WINDOW_ENDPOINTS {
        let why = format!("must have 1 to {MAX_WINDOW_ENDPOINTS} entries, or be left out");
        return Err(refused(why));
    }
    let mut ids: Vec<EndpointId> = Vec::with_capacity(names.len());
    for name in names {
        let found = match check_text(name) {
            Ok(()) => state.store.endpoint_in_app(app, name).await?,
            Err(_) => None,
        };
        let shown: String = name.chars().take(MAX_WINDOW_NAME_LEN).collect();
        ids.push(found.ok_or_else(|| refused(format!("there is no endpoint {shown:?}")))?.id);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(Scope::Endpoints(app, ids))
}
