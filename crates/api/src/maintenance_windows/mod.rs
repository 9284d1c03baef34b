//! Maintenance windows: of the whole instance at `/maintenance-window`, of an application or
//! some of its endpoints at `/app/{app}/maintenance-window`. Each file holds both routes.

pub mod create;
pub mod delete;
pub mod end;
pub mod get;
pub mod list;
pub mod patch;
pub mod preview;
pub mod put;
pub mod wish;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::window::{Interval, MAX_WINDOWS, Plan, RecurrenceParts, Scope, Window};
use model::{AppId, Timestamp, WindowId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::AppState;
use crate::access::Caller;
use crate::extract::{InApp, path};
use crate::problem::{Code, Problem, Result};
use crate::wire::Moment;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindowOut {
    #[schema(example = "mwin_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    pub id: String,
    /// Null: it holds the deliveries of every application.
    pub app_id: Option<String>,
    /// Null: it holds every endpoint.
    pub endpoint_ids: Option<Vec<String>>,
    pub name: String,
    pub reason: String,
    pub enabled: bool,
    /// Whether it holds deliveries now.
    pub active: bool,
    /// The occurrence that is or comes next. Of a window that happens once it is told when it is
    /// over, too.
    pub starts_at: Option<Moment>,
    pub ends_at: Option<Moment>,
    /// Of a recurring window: minute, hour, day of month, month, day of week.
    #[schema(example = "0 2 * * SUN")]
    pub cron: Option<String>,
    pub duration_minutes: Option<u32>,
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// The first day, in its time zone, on which one may begin.
    pub from: Option<String>,
    /// The last such day.
    pub until: Option<String>,
    /// Somebody ended an occurrence then.
    pub ended_at: Option<Moment>,
    /// The occurrences that are and come, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upcoming: Option<Vec<OccurrenceOut>>,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OccurrenceOut {
    pub starts_at: Moment,
    pub ends_at: Moment,
}

impl From<Interval> for OccurrenceOut {
    fn from(interval: Interval) -> Self {
        Self { starts_at: Moment(interval.starts_at), ends_at: Moment(interval.ends_at) }
    }
}

/// How much is told ahead.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UpcomingQuery {
    /// Occurrences to tell, at most 100.
    #[serde(default)]
    upcoming: Option<usize>,
}

impl MaintenanceWindowOut {
    pub fn new(window: Window, now: Timestamp) -> Self {
        let occurrence = window.occurrence(now);
        let (shown, recurring) = match window.plan {
            Plan::Once(interval) => (Some(interval), None),
            Plan::Recurring(recurrence) => (occurrence, Some(RecurrenceParts::from(*recurrence))),
        };
        let (cron, duration_minutes, time_zone, from, until) = match recurring {
            Some(parts) => (
                Some(parts.cron),
                Some(parts.duration_minutes),
                Some(parts.time_zone),
                parts.from,
                parts.until,
            ),
            None => Default::default(),
        };
        let endpoint_ids = match &window.scope {
            Scope::Endpoints(_, endpoints) => {
                Some(endpoints.iter().map(ToString::to_string).collect())
            }
            Scope::Instance | Scope::App(_) => None,
        };
        Self {
            id: window.id.to_string(),
            app_id: window.scope.app_id().map(|app| app.to_string()),
            endpoint_ids,
            name: window.name,
            reason: window.reason,
            enabled: window.enabled,
            active: occurrence.is_some_and(|occurrence| occurrence.contains(now)),
            starts_at: shown.map(|shown| Moment(shown.starts_at)),
            ends_at: shown.map(|shown| Moment(shown.ends_at)),
            cron,
            duration_minutes,
            time_zone,
            from,
            until,
            ended_at: window.ended_at.map(Moment),
            upcoming: None,
            created_at: Moment(window.created_at),
            updated_at: Moment(window.updated_at),
        }
    }

    fn with_upcoming(window: Window, query: UpcomingQuery, now: Timestamp) -> Self {
        let upcoming = query.upcoming.map(|n| occurrences(&window, n, now));
        Self { upcoming, ..Self::new(window, now) }
    }
}

fn occurrences(window: &Window, n: usize, now: Timestamp) -> Vec<OccurrenceOut> {
    window.upcoming(now, n).into_iter().map(OccurrenceOut::from).collect()
}

fn too_many() -> Problem {
    let why = format!("there can be {MAX_WINDOWS} windows: delete those that are over");
    Problem::at(&["body"], why)
}

fn not_active() -> Problem {
    Problem::new(Code::NotActive, "The window holds nothing now.")
}

#[derive(Debug, Deserialize)]
struct WindowPath {
    window: String,
}

/// The window that the path names, one of the instance.
#[derive(Debug)]
pub struct InInstance(pub Caller, pub Window);

impl FromRequestParts<AppState> for InInstance {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let window = named(parts, state, None).await?;
        Ok(Self(caller, window))
    }
}

/// The window that the path names, inside the application that the path names.
#[derive(Debug)]
pub struct OfApp(pub Caller, pub Window);

impl FromRequestParts<AppState> for OfApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let caller = Caller::from_request_parts(parts, state).await?;
        let window = named(parts, state, Some(app.id)).await?;
        Ok(Self(caller, window))
    }
}

async fn named(parts: &mut Parts, state: &AppState, app: Option<AppId>) -> Result<Window> {
    let unknown = || Problem::not_found("maintenance window");
    let WindowPath { window } = path(parts, state).await?;
    let id: WindowId = window.parse().map_err(|_| unknown())?;
    state.store.window(app, id).await?.ok_or_else(unknown)
}
