//! An app: one tenant of the product.

use std::collections::BTreeMap;

use crate::{AppId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub uid: Option<String>,
    pub name: String,
    /// Deliveries per second to each of its endpoints, at most.
    pub throttle_rate: Option<u32>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
