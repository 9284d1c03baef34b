//! The deliveries that replays make, and the messages of their own that some of them carry.
//!
//! A child is written after its parent and names it for good: a chain has no circle.

use bytes::Bytes;
use model::delivery::Trigger;
use model::replay::Parent;
use model::{AppId, DeliveryId, EndpointId, MessageId, ReplayId, Timestamp};

use crate::db::{Tx, on};
use crate::{Result, Store, rows};

const INSERT: &str = "insert into delivery (id, app_id, endpoint_id, state, trigger, due_at, \
    parent_id, root_id, depth, replay_id, created_at) \
    values ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, $5)";
const LOWER_LANE: &str = "update lane set next_due_at = $2 \
    where endpoint_id = $1 and next_due_at > $2";
const COPY_MESSAGE: &str = "insert into message (id, app_id, event_type, payload, content_type, \
    channels, tags, outcome, created_at, payload_expires_at, replay_of, changed) \
    select $3, app_id, event_type, coalesce($4, payload), content_type, channels, tags, 0, $5, \
    payload_expires_at, id, $6 from message where app_id = $1 and id = $2";

/// A delivery to be made from a message, and perhaps from an earlier delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    pub message_id: MessageId,
    pub parent: Option<Parent>,
    pub depth: u32,
    pub replay_id: Option<ReplayId>,
}

impl Store {
    /// Queues a delivery. Its lane is not told: see [`lower_lane`].
    pub(crate) async fn insert_child(&self, tx: &mut Tx, child: &Child) -> Result<DeliveryId> {
        let id = DeliveryId::new(&child.message_id, &self.0.entropy);
        let parent = child.parent.as_ref();
        on!(tx, c => sqlx::query(INSERT)
            .bind(id.as_str())
            .bind(child.app_id.as_str())
            .bind(child.endpoint_id.as_str())
            .bind(Trigger::Manual.code())
            .bind(self.now().0)
            .bind(parent.map(|parent| parent.id.as_str()))
            .bind(parent.map(|parent| parent.root.as_str()))
            .bind(parent.map(|_| rows::small(child.depth)))
            .bind(child.replay_id.as_ref().map(ReplayId::as_str))
            .execute(&mut **c).await.map(drop))?;
        Ok(id)
    }

    /// Makes a message of another, with its payload or with one of its own.
    pub(crate) async fn copy_message(
        &self,
        tx: &mut Tx,
        (app, message): (AppId, MessageId),
        payload: Option<&Bytes>,
    ) -> Result<MessageId> {
        let now = self.now();
        let id = MessageId::new(now, &self.0.entropy);
        on!(tx, c => sqlx::query(COPY_MESSAGE)
            .bind(app.as_str())
            .bind(message.as_str())
            .bind(id.as_str())
            .bind(payload.map(|payload| payload.as_ref()))
            .bind(now.0)
            .bind(payload.is_some())
            .execute(&mut **c).await.map(drop))?;
        Ok(id)
    }
}

/// Tells a lane that something of its endpoint is due.
pub(super) async fn lower_lane(tx: &mut Tx, endpoint: EndpointId, due: Timestamp) -> Result<()> {
    on!(tx, c => sqlx::query(LOWER_LANE)
        .bind(endpoint.as_str()).bind(due.0).execute(&mut **c).await.map(drop))?;
    Ok(())
}
