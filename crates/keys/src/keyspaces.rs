//! Keyspaces: made, changed, deleted.

use std::collections::BTreeMap;

use model::audit::Actor;
use model::key::allow::AllowList;
use model::key::limit::Limit;
use model::key::pepper::Peppers;
use model::key::{Keyspace, RotationPolicy, WhenStale};
use model::{KeyspaceId, Timestamp};
use store::KeyspaceDeletion;

use crate::changes::Changed;
use crate::{Keys, KeysError, MAX_TRIES, check};

/// What a caller may say of a keyspace.
#[derive(Clone, Debug, Default)]
pub struct KeyspaceFields {
    pub uid: Option<String>,
    pub name: String,
    pub prefix: String,
    pub environments: Vec<String>,
    pub permissions: BTreeMap<String, String>,
    pub roles: BTreeMap<String, Vec<String>>,
    pub limits: Vec<Limit>,
    pub ip_allow: AllowList,
    pub max_lifetime_ms: Option<u64>,
    pub idle_expiry_ms: Option<u64>,
    pub rotation: Option<RotationPolicy>,
    pub when_stale: WhenStale,
    pub metadata: BTreeMap<String, String>,
}

impl KeyspaceFields {
    fn into_keyspace(self, id: KeyspaceId, now: Timestamp) -> Keyspace {
        Keyspace {
            id,
            uid: self.uid,
            name: self.name,
            prefix: self.prefix,
            environments: self.environments,
            permissions: self.permissions,
            roles: self.roles,
            limits: self.limits,
            ip_allow: self.ip_allow,
            max_lifetime_ms: self.max_lifetime_ms,
            idle_expiry_ms: self.idle_expiry_ms,
            rotation: self.rotation,
            when_stale: self.when_stale,
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

impl Keys {
    /// # Errors
    /// When a field is not valid, the uid is taken, or the database fails.
    pub async fn create_keyspace(
        &self,
        fields: KeyspaceFields,
        by: &Actor,
    ) -> Result<Keyspace, KeysError> {
        let now = self.now();
        let id = KeyspaceId::new(now, self.0.store.entropy());
        let keyspace = fields.into_keyspace(id, now);
        check::keyspace(&keyspace)?;
        let sealed = self.sealer().keyspace(keyspace);
        if !self.0.store.insert_keyspace(&sealed, by).await? {
            return Err(KeysError::Taken("uid"));
        }
        Ok(sealed.value)
    }

    /// By id or uid. `change` may be called again when somebody else was faster; id, prefix,
    /// version and moments are kept whatever it does to them.
    ///
    /// # Errors
    /// When there is none, a field is not valid, the uid is taken, or the database fails.
    pub async fn update_keyspace(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Keyspace) + Send,
        by: &Actor,
    ) -> Result<Keyspace, KeysError> {
        for _ in 0..MAX_TRIES {
            let before = self.keyspace(id).await?;
            let mut keyspace = before.clone();
            change(&mut keyspace);
            keyspace.id = before.id;
            // Tokens that were handed out begin with it.
            keyspace.prefix.clone_from(&before.prefix);
            keyspace.created_at = before.created_at;
            keyspace.updated_at = self.now();
            keyspace.version = before.version + 1;
            check::keyspace(&keyspace)?;
            if let Some(uid) = keyspace.uid.as_ref().filter(|uid| before.uid.as_ref() != Some(*uid))
                && self.0.store.keyspace(uid).await?.is_some()
            {
                return Err(KeysError::Taken("uid"));
            }
            let sealed = self.sealer().keyspace(keyspace);
            if self.0.store.update_keyspace(&sealed, by).await? {
                self.apply(Changed::Keyspace(before.id)).await;
                return Ok(sealed.value);
            }
        }
        Err(KeysError::Contended("keyspace"))
    }

    /// # Errors
    /// When there is none, it still has keys, or the database fails.
    pub async fn delete_keyspace(&self, id: &str, by: &Actor) -> Result<(), KeysError> {
        let keyspace = self.keyspace(id).await?;
        let deletion = self.0.store.delete_keyspace(keyspace.id, by).await?;
        self.apply(Changed::Keyspace(keyspace.id)).await;
        match deletion {
            KeyspaceDeletion::Deleted => Ok(()),
            KeyspaceDeletion::HasKeys => Err(KeysError::InUse),
            KeyspaceDeletion::NotFound => Err(KeysError::NotFound("keyspace")),
        }
    }

    /// By id or uid, its tag checked.
    pub(crate) async fn keyspace(&self, id: &str) -> Result<Keyspace, KeysError> {
        let row = self.0.store.keyspace(id).await?.ok_or(KeysError::NotFound("keyspace"))?;
        self.ours(row, "keyspace", Peppers::check_keyspace, |keyspace| keyspace.id.to_string())
    }
}
