//! One change to many keys.

use std::collections::HashSet;

use model::audit::Actor;
use model::key::pepper::Peppers;
use model::key::{Key, Revocation, RevocationReason};
use model::{AppId, KeyId, KeyspaceId, Timestamp};
use store::{KeyQuery, KeyRow, PageQuery};

use crate::changes::Changed;
use crate::{KeyAt, Keys, KeysError, events};

/// Keys changed by one call at the most.
pub const MAX_BULK: usize = 10_000;

/// Which keys: all conditions hold. At least owner or tag must be given.
#[derive(Clone, Debug)]
pub struct KeySelection {
    pub app: Option<AppId>,
    pub keyspace: Option<KeyspaceId>,
    pub owner: Option<String>,
    pub tag: Option<String>,
}

#[derive(Clone, Debug)]
pub enum BulkChange {
    Enable,
    Disable,
    Revoke { reason: RevocationReason, note: Option<String> },
}

/// Keys read and written at one time.
const PAGE: u32 = 250;

impl Keys {
    /// Answers how many were changed.
    ///
    /// # Errors
    /// When neither owner nor tag is given, too many are meant, or the database fails.
    pub async fn change_keys(
        &self,
        selection: KeySelection,
        change: BulkChange,
        by: &Actor,
    ) -> Result<usize, KeysError> {
        if selection.owner.is_none() && selection.tag.is_none() {
            return Err(KeysError::invalid("owner", "an owner or a tag must be given"));
        }
        let mut query = KeyQuery {
            page: PageQuery { limit: PAGE, ..PageQuery::default() },
            app: selection.app,
            every_app: false,
            keyspace: selection.keyspace,
            owner: selection.owner,
            tag: selection.tag,
            state: None,
        };
        let (mut seen, mut changed) = (0, 0);
        loop {
            let page = self.0.store.keys(&query).await?;
            seen += page.data.len();
            if seen > MAX_BULK {
                return Err(KeysError::invalid("owner", format!("more than {MAX_BULK} keys")));
            }
            let (done, next) = (page.done, page.iterator.clone());
            changed += self.change_page(page.data, &change, by).await?;
            if done {
                return Ok(changed);
            }
            query.page.iterator = next;
        }
    }

    async fn change_page(
        &self,
        rows: Vec<KeyRow>,
        change: &BulkChange,
        by: &Actor,
    ) -> Result<usize, KeysError> {
        let mut keys = Vec::new();
        for row in rows {
            let ours = self.ours(row.key, "key", Peppers::check_key, |key| key.id.to_string());
            let before = match ours {
                // It is on record; the others are changed.
                Err(KeysError::Tampered(_)) => continue,
                ours => ours?,
            };
            if let Some(key) = change.of(&before, self.now()) {
                keys.push(self.sealer().key(self.successor(&before, key)));
            }
        }
        if keys.is_empty() {
            return Ok(0);
        }
        let updated = self.0.store.update_keys(&keys, by).await?;
        let changed = updated.iter().copied().map(Changed::Key).collect();
        self.apply_all(changed).await;
        // Whom somebody else was faster with is changed alone.
        let updated: HashSet<KeyId> = updated.into_iter().collect();
        let mut done = Vec::with_capacity(keys.len());
        for key in keys.into_iter().map(|key| key.value) {
            if updated.contains(&key.id) {
                done.push(key);
                continue;
            }
            let at = KeyAt { app: key.app_id, id: key.id.as_str() };
            let now = self.now();
            match self.rewrite_key(at, |before| change.of(before, now), by).await {
                Ok(key) => done.push(key),
                Err(KeysError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if matches!(change, BulkChange::Revoke { .. }) {
            self.announce(done.iter().filter_map(events::revoked).collect()).await;
        }
        Ok(done.len())
    }
}

impl BulkChange {
    /// The key as it becomes; none when it is so already.
    fn of(&self, before: &Key, now: Timestamp) -> Option<Key> {
        let mut key = before.clone();
        match self {
            Self::Enable => key.enabled = true,
            Self::Disable => key.enabled = false,
            Self::Revoke { reason, note } => {
                let revocation = Revocation { at: now, reason: *reason, note: note.clone() };
                key.revoked.get_or_insert(revocation);
            }
        }
        (key != *before).then_some(key)
    }
}
