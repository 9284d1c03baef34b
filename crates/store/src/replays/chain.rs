//! The chain of a delivery: everything that was made of the same root, oldest first.

use model::audit::Actor;
use model::replay::Kind;
use model::{AppId, DeliveryId};
use sqlx::FromRow;

use crate::db::on;
use crate::deliveries::{self, DeliveryRow};
use crate::{Result, Store, StoreError, rows};

/// Links of one chain that are read.
pub const MAX_LINKS: usize = 1_000;

// The root by its key, the others by the index of roots.
const LINKS: &str = concat!(
    "select ",
    deliveries::columns!(),
    ", r.kind, r.actor, r.reason from delivery d \
     left join message m on m.id = 'msg_' || substr(d.id, 5, 27) \
     left join replay r on r.id = d.replay_id \
     where d.app_id = $1 and d.id in (select $2 union all select x.id from delivery x \
     where x.root_id = $2 and x.root_id is not null) \
     order by d.created_at, coalesce(d.depth, 0), d.id limit $3"
);

/// Deliveries that were made of one another.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Parents come before their children.
    pub links: Vec<Link>,
    /// There are more than were read.
    pub is_cut: bool,
}

#[derive(Clone, Debug)]
pub struct Link {
    pub delivery: DeliveryRow,
    /// Who made it and why; none for what was published, or replayed before this was kept.
    pub by: Option<Actor>,
    pub kind: Option<Kind>,
    pub reason: Option<String>,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    delivery: deliveries::Row,
    kind: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

impl TryFrom<Row> for Link {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            delivery: row.delivery.try_into()?,
            by: row.actor.as_deref().map(rows::json).transpose()?,
            kind: row.kind.as_deref().map(Kind::parse),
            reason: row.reason,
        })
    }
}

impl Store {
    /// The whole chain with this root.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chain_in_app(&self, app: AppId, root: DeliveryId) -> Result<Chain> {
        let limit = i64::try_from(MAX_LINKS).unwrap_or(i64::MAX);
        let found: Vec<Row> = on!(self.db().reader(), c => sqlx::query_as(LINKS)
            .bind(app.as_str()).bind(root.as_str()).bind(limit.saturating_add(1))
            .fetch_all(c).await)?;
        let mut links = found.into_iter().map(Link::try_from).collect::<Result<Vec<_>>>()?;
        let is_cut = links.len() > MAX_LINKS;
        links.truncate(MAX_LINKS);
        Ok(Chain { links, is_cut })
    }
}
