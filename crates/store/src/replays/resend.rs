//! A single resend: a replay of one, over when it is written.

use bytes::Bytes;
use model::audit::{Actor, Change};
use model::delivery::Delivery;
use model::replay::{Kind, MessageIdWish, Parent, Replay};
use model::{AppId, DeliveryId, EndpointId, MessageId, ReplayId};

use super::links::{Child, lower_lane};
use crate::audit::{self, shown};
use crate::{Result, Store};

/// One message that goes to one endpoint once more.
#[derive(Clone, Debug)]
pub struct Resend {
    pub app_id: AppId,
    pub endpoint_id: EndpointId,
    pub message_id: MessageId,
    pub id_wish: MessageIdWish,
    /// Instead of the message's own; it makes a message of its own.
    pub payload: Option<Bytes>,
    pub reason: Option<String>,
}

impl Resend {
    /// The same bytes under the same id.
    #[must_use]
    pub const fn new(app_id: AppId, endpoint_id: EndpointId, message_id: MessageId) -> Self {
        let id_wish = MessageIdWish::Keep;
        Self { app_id, endpoint_id, message_id, id_wish, payload: None, reason: None }
    }
}

pub(super) fn parent_of(delivery: &Delivery) -> Parent {
    let id = delivery.id;
    Parent { id, root: delivery.root_id.unwrap_or(id), depth: delivery.depth }
}

impl Store {
    /// Delivers a message to an endpoint once more: a new delivery with a schedule of its own,
    /// beside whatever chain is under way. None when its chain is as long as it may be.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resend(&self, wish: &Resend, by: &Actor) -> Result<Option<DeliveryId>> {
        let Resend { app_id, endpoint_id, .. } = *wish;
        let earlier = self.deliveries_of_message(app_id, wish.message_id).await?;
        let parent = earlier.iter().rev().find(|row| row.delivery.endpoint_id == endpoint_id);
        let parent = parent.map(|row| parent_of(&row.delivery));
        let Some(depth) = parent.map_or(Some(0), |parent| parent.child_depth()) else {
            return Ok(None);
        };
        let now = self.now();
        let replay = Replay {
            id: ReplayId::new(now, self.entropy()),
            app_id,
            kind: Kind::Resend,
            by: by.clone(),
            reason: wish.reason.clone(),
            task_id: None,
            task: None,
            created_at: now,
        };
        let mut tx = self.db().begin().await?;
        super::insert(&mut tx, &replay).await?;
        let is_own = wish.payload.is_some() || wish.id_wish == MessageIdWish::Renew;
        let message_id = if is_own {
            let original = (app_id, wish.message_id);
            self.copy_message(&mut tx, original, wish.payload.as_ref()).await?
        } else {
            wish.message_id
        };
        let replay_id = Some(replay.id);
        let child = Child { app_id, endpoint_id, message_id, parent, depth, replay_id };
        let id = self.insert_child(&mut tx, &child).await?;
        lower_lane(&mut tx, endpoint_id, now).await?;
        let change = Change {
            action: "delivery.resend",
            target: id.to_string(),
            app_id: Some(app_id),
            before: None,
            after: Some(shown::resend(&child, wish)),
        };
        audit::append(self, &mut tx, by, change).await?;
        tx.commit().await?;
        self.0.wake.ring_queue();
        Ok(Some(id))
    }
}
