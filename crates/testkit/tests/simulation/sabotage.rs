//! Planted bugs: each does to the database what a statement would do that forgot one rule. The
//! checker must notice every one of them.

use model::Timestamp;

use crate::engine::Sending;
use crate::world::Database;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A settlement does not look at who holds the lease.
    SettlesAnyLease,
    /// A rescue frees leases that have not ended.
    RescuesTheLiving,
    /// A pause is told to the caller and not written down.
    ForgetsAPause,
    /// What failed is due again at once.
    RetriesAtOnce,
    /// An outcome is written over a delivery that is final.
    ForgetsSuccess,
    /// A delivery leaves the queue without an outcome.
    LosesADelivery,
    /// It is given up before its schedule is used up.
    GivesUpEarly,
    /// A breaker closes without having been half-open.
    ClosesAnOpenBreaker,
    /// A replay becomes its own ancestor.
    TiesAChain,
}

impl Sabotage {
    pub const ALL: [Self; 9] = [
        Self::SettlesAnyLease,
        Self::RescuesTheLiving,
        Self::ForgetsAPause,
        Self::RetriesAtOnce,
        Self::ForgetsSuccess,
        Self::LosesADelivery,
        Self::GivesUpEarly,
        Self::ClosesAnOpenBreaker,
        Self::TiesAChain,
    ];

    /// The rule that it breaks, as complaints name it.
    pub const fn breaks(self) -> &'static str {
        match self {
            Self::SettlesAnyLease | Self::RescuesTheLiving => "lease",
            Self::ForgetsAPause => "hold",
            Self::RetriesAtOnce => "schedule",
            Self::ForgetsSuccess | Self::GivesUpEarly => "final",
            Self::LosesADelivery => "lost",
            Self::ClosesAnOpenBreaker => "breaker",
            Self::TiesAChain => "chain",
        }
    }

    /// Before an outcome is settled, as if the statement had no `and lease_owner = …`.
    pub fn before_settling(self, db: &Database, sending: &Sending) {
        let (Self::SettlesAnyLease, Some(owner)) = (self, sending.owner) else { return };
        db.run(&format!(
            "update delivery set lease_owner = {owner}, state = 1 where id = '{}' and state < 2",
            sending.delivery
        ));
    }

    /// After an outcome was settled.
    pub fn after_settling(self, db: &Database, sending: &Sending, now: Timestamp) {
        let id = sending.delivery;
        let sql = match self {
            Self::RetriesAtOnce => format!(
                "update delivery set due_at = {} where id = '{id}' and state = 0 and attempts > 1",
                now.0
            ),
            Self::ForgetsSuccess => {
                format!("update delivery set state = 0 where id = '{id}' and state = 2")
            }
            Self::LosesADelivery => {
                format!("delete from delivery where id = '{id}' and state = 0 and attempts = 3")
            }
            Self::GivesUpEarly => format!(
                "update delivery set state = 3 where id = '{id}' and state = 0 and attempts = 2"
            ),
            _ => return,
        };
        db.run(&sql);
        if self == Self::ForgetsSuccess || self == Self::RetriesAtOnce {
            let endpoint = sending.endpoint;
            db.run(&format!(
                "update lane set next_due_at = {} where endpoint_id = '{endpoint}'",
                now.0
            ));
        }
    }

    /// Now and then.
    pub fn at_large(self, db: &Database, now: Timestamp) {
        match self {
            Self::RescuesTheLiving => {
                db.run(&format!(
                    "update lane set next_due_at = {0}, hold_until = 0 where endpoint_id in \
                     (select endpoint_id from delivery where state = 1)",
                    now.0
                ));
                db.run(&format!(
                    "update delivery set state = 0, lease_owner = null, due_at = {} \
                     where state = 1",
                    now.0
                ));
            }
            Self::ForgetsAPause => {
                db.run("update endpoint set paused_at = null");
                db.run("update lane set hold_until = 0");
                db.run("update app set version = version + 1");
            }
            Self::ClosesAnOpenBreaker => {
                db.run(
                    "update breaker_change set to_state = 0 where from_state = 0 and to_state = 1",
                );
            }
            Self::TiesAChain => {
                db.run("update delivery set parent_id = id where parent_id is not null");
            }
            _ => {}
        }
    }
}
