//! Claim: find due deliveries and lease them to this process, at most as many as there are free
//! slots, fairly over endpoints.
//!
//! It looks at lanes, never at the backlog: first which endpoints have something due, then a
//! few deliveries of each, with payload and route in the same transaction.

mod grants;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::delivery::Trigger;
use model::{AppId, DeliveryId, EndpointId, MessageId, Timestamp};
use tokio::sync::oneshot;

use grants::{Grants, Quota, app_holds};
pub(crate) use grants::{LaneMove, stepped_ms_at_rate};

use super::writer::HotConnection;
use super::{Conn, postgres, sqlite};
use crate::db::Either;
use crate::routes::{AppRoutes, AppVersion};
use crate::{Envelope, LEASE_MS, Lease, Result, Store, StoreError, rows};

/// Endpoints looked at in one claim.
const MAX_LANES: usize = 128;
/// Where a claim's answer goes.
pub(crate) type Job = oneshot::Sender<Result<Claimed>>;

/// What a claim found.
#[derive(Debug, Default)]
pub struct Claimed {
    /// How many were leased; they go the way of fresh deliveries.
    pub count: usize,
    /// When the next lane is due; none when nothing waits.
    pub next_due: Option<Timestamp>,
    /// There is more that is due now, here or in lanes without room.
    pub more: bool,
    leases: Vec<Lease>,
    /// Until when all lanes of an app with a rate wait.
    holds: Vec<(AppId, Timestamp)>,
    /// Apps with a lane that begins or ends to be drained.
    changed: Vec<AppId>,
}

/// An endpoint that has something due.
#[derive(sqlx::FromRow)]
pub(crate) struct DueLane {
    pub endpoint_id: String,
    pub app_id: String,
    /// As in the table: 0, 1, or the moment a hold was over.
    pub drains: i64,
}

/// A delivery that was leased.
#[derive(sqlx::FromRow)]
pub(crate) struct Taken {
    pub id: String,
    pub endpoint_id: String,
    pub attempts: i32,
    pub trigger: i16,
}

#[derive(sqlx::FromRow)]
pub(crate) struct Content {
    pub id: String,
    pub event_type: String,
    pub payload: Option<Vec<u8>>,
    pub content_type: Option<String>,
}

impl Store {
    /// Leases due deliveries to this process.
    ///
    /// # Errors
    /// When the database fails; nothing is leased then.
    pub async fn claim(&self) -> Result<Claimed> {
        if let Either::Sqlite(_) = self.db() {
            let (answer, answered) = oneshot::channel();
            self.0.hot.claim.send(answer).await.map_err(|_| StoreError::Closed)?;
            return answered.await.map_err(|_| StoreError::Closed)?;
        }
        let mut slot = self.0.hot.claim_connection.lock().await;
        let mut tx = slot.begin(&self.0.url).await?;
        let claimed = self.claim_through(&mut Either::Postgres(&mut *tx)).await?;
        let mut claimed = self.finish_claim(claimed, tx.commit().await.map_err(Into::into))?;
        if let Err(error) = self.finish_lanes(&mut slot, &mut claimed).await {
            tracing::warn!(%error, "an app with a rate is not held; it gets one step more");
            slot.discard();
        }
        Ok(claimed)
    }

    /// Makes all lanes of an app with a rate wait, and tells route caches which lanes drain.
    /// Statements of their own: they wait for rows that others have locked, and so must not come
    /// while the claim's own lanes are locked.
    async fn finish_lanes(&self, slot: &mut HotConnection, claimed: &mut Claimed) -> Result<()> {
        if !claimed.changed.is_empty() {
            postgres::touch_apps(slot.get(&self.0.url).await?, &claimed.changed).await?;
        }
        if claimed.holds.is_empty() {
            return Ok(());
        }
        let c = slot.get(&self.0.url).await?;
        postgres::hold_apps(c, &claimed.holds).await?;
        claimed.next_due = postgres::next_due(c).await?;
        claimed.more = claimed.next_due.is_some_and(|due| due <= self.now());
        Ok(())
    }

    /// Hands over what was claimed once that is committed.
    pub(crate) fn finish_claim(&self, claimed: Claimed, committed: Result<()>) -> Result<Claimed> {
        match committed {
            Ok(()) => {
                let slots = &self.0.slots;
                slots.hand_over(claimed.leases);
                Ok(Claimed { leases: Vec::new(), ..claimed })
            }
            Err(error) => {
                self.0.slots.withdraw(&claimed.leases);
                Err(error)
            }
        }
    }

    pub(crate) async fn claim_through(&self, conn: &mut Conn<'_>) -> Result<Claimed> {
        let now = self.now();
        let busy = self.0.slots.busy();
        let due: Vec<DueLane> = match conn {
            Either::Sqlite(c) => sqlite::due_lanes(c, now, &busy, MAX_LANES)?,
            Either::Postgres(c) => postgres::due_lanes(c, now, &busy, MAX_LANES).await?,
        };
        let mut grants = if due.is_empty() {
            Grants::default()
        } else {
            let apps = self.apps_of(conn, &due).await?;
            self.grant(&due, &apps, now)
        };
        let taken = self.take(conn, &mut grants, now).await;
        self.give_back(&grants.quotas);
        let (leases, holds) = taken?;
        let changed = grants.changed;
        let next_due = match conn {
            Either::Sqlite(c) => sqlite::next_due(c),
            Either::Postgres(c) => postgres::next_due(c).await,
        };
        match next_due {
            Ok(next_due) => {
                let more = next_due.is_some_and(|due| due <= now);
                Ok(Claimed { count: leases.len(), next_due, more, leases, holds, changed })
            }
            Err(error) => {
                self.0.slots.withdraw(&leases);
                Err(error)
            }
        }
    }

    async fn apps_of(
        &self,
        conn: &mut Conn<'_>,
        due: &[DueLane],
    ) -> Result<HashMap<AppId, Arc<AppRoutes>>> {
        let mut names: Vec<&str> = due.iter().map(|lane| lane.app_id.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let versions: Vec<AppVersion> = match conn {
            Either::Sqlite(c) => sqlite::app_versions(c, &names)?,
            Either::Postgres(c) => postgres::app_versions(c, &names).await?,
        };
        let mut apps = HashMap::new();
        for version in versions {
            let app = self.app_routes(&version).await?;
            apps.insert(app.app_id, app);
        }
        Ok(apps)
    }

    /// Leases up to each quota, reads the payloads, and moves the lanes on.
    async fn take(
        &self,
        conn: &mut Conn<'_>,
        grants: &mut Grants,
        now: Timestamp,
    ) -> Result<(Vec<Lease>, Vec<(AppId, Timestamp)>)> {
        if grants.quotas.is_empty() && grants.held.is_empty() && grants.changed.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let quotas = &mut grants.quotas;
        let until = now.plus_ms(LEASE_MS);
        let limits: Vec<(EndpointId, u32)> =
            quotas.iter().map(|(endpoint, quota)| (*endpoint, quota.limit())).collect();
        let request = Request { limits: &limits, now, until, node: self.0.node };
        let taken: Vec<Taken> = match conn {
            _ if limits.is_empty() => Vec::new(),
            Either::Sqlite(c) => sqlite::take(c, &request)?,
            Either::Postgres(c) => postgres::take(c, &request).await?,
        };
        let contents = read_contents(conn, &taken).await?;
        let mut leases = Vec::with_capacity(taken.len());
        for row in taken {
            let delivery_id: DeliveryId = rows::id(&row.id)?;
            let endpoint_id: EndpointId = rows::id(&row.endpoint_id)?;
            let Some(quota) = quotas.get_mut(&endpoint_id) else { continue };
            let Some(admission) = quota.granted.get(quota.taken).copied() else { continue };
            quota.taken += 1;
            let message_id = delivery_id.message_id();
            let envelope = contents.get(&message_id).cloned();
            let envelope = envelope.unwrap_or_else(|| Arc::new(Envelope::gone(message_id)));
            leases.push(Lease {
                delivery_id,
                route: quota.route.clone(),
                attempts: rows::count(row.attempts),
                trigger: Trigger::from_code(row.trigger),
                until,
                probe: quota.probe,
                admission,
                held_bytes: envelope.payload.as_ref().map_or(0, Bytes::len),
                envelope,
            });
        }
        self.0.slots.lock().charge(leases.iter().map(|lease| lease.held_bytes).sum());
        let holds = app_holds(quotas, now);
        let hold_of = |quota: &Quota| {
            let held = holds.iter().find(|(app, _)| *app == quota.app.app_id);
            quota.hold_until(now).max(held.map(|(_, until)| *until).unwrap_or_default())
        };
        let mut lanes = std::mem::take(&mut grants.held);
        for (endpoint_id, quota) in quotas.iter() {
            let is_empty = quota.drains > 0 && quota.taken < quota.granted.len();
            if is_empty {
                grants.changed.push(quota.app.app_id);
            }
            let (hold_until, drains) = (hold_of(quota), if is_empty { 0 } else { quota.drains });
            lanes.push(LaneMove { endpoint_id: *endpoint_id, hold_until, drains });
        }
        let changed = &grants.changed;
        let moved = match conn {
            Either::Sqlite(c) => sqlite::move_lanes(c, now, &lanes)
                .and_then(|()| sqlite::hold_apps(c, &holds))
                .and_then(|()| sqlite::touch_apps(c, changed)),
            Either::Postgres(c) => postgres::move_lanes(c, now, &lanes).await,
        };
        if let Err(error) = moved {
            self.0.slots.withdraw(&leases);
            return Err(error);
        }
        Ok((leases, holds))
    }
}

/// What `take` is asked for.
pub(crate) struct Request<'a> {
    pub limits: &'a [(EndpointId, u32)],
    pub now: Timestamp,
    pub until: Timestamp,
    pub node: i64,
}

async fn read_contents(
    conn: &mut Conn<'_>,
    taken: &[Taken],
) -> Result<HashMap<MessageId, Arc<Envelope>>> {
    let ids = taken.iter().map(|row| rows::id::<DeliveryId>(&row.id).map(|id| id.message_id()));
    let mut ids = ids.collect::<Result<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<&str> = ids.iter().map(MessageId::as_str).collect();
    let contents: Vec<Content> = match conn {
        Either::Sqlite(c) => sqlite::contents(c, &ids)?,
        Either::Postgres(c) => postgres::contents(c, &ids).await?,
    };
    contents
        .into_iter()
        .map(|content| {
            let message_id: MessageId = rows::id(&content.id)?;
            let envelope = Envelope {
                message_id,
                event_type: content.event_type,
                payload: content.payload.map(Into::into),
                content_type: content.content_type,
            };
            Ok((message_id, Arc::new(envelope)))
        })
        .collect()
}
