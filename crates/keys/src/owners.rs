//! Owners: limits that several keys share, and one switch for all of them.

use model::audit::Actor;
use model::key::KeyOwner;
use model::key::limit::Limit;
use model::key::pepper::Peppers;

use store::OwnerRef;

use crate::changes::{Changed, OwnerId};
use crate::{Keys, KeysError, MAX_TRIES, OwnerAt, check};

#[derive(Clone, Debug)]
pub struct OwnerFields {
    pub enabled: bool,
    pub limits: Vec<Limit>,
}

impl Keys {
    /// Makes or changes an owner.
    ///
    /// # Errors
    /// When the keyspace is not there, a limit is not valid, or the database fails.
    pub async fn put_owner(
        &self,
        at: OwnerAt,
        fields: OwnerFields,
        by: &Actor,
    ) -> Result<KeyOwner, KeysError> {
        check::owner_name(&at.name)?;
        check::limits(&fields.limits)?;
        self.keyspace(at.keyspace.as_str()).await?;
        for _ in 0..MAX_TRIES {
            let version = self.owner(&at).await?.map_or(0, |owner| owner.version);
            let owner = self.sealer().owner(KeyOwner {
                keyspace_id: at.keyspace,
                app_id: at.app,
                name: at.name.clone(),
                enabled: fields.enabled,
                limits: fields.limits.clone(),
                version: version + 1,
            });
            if self.0.store.put_key_owner(&owner, by).await? {
                self.apply(Changed::Owner(at.into())).await;
                return Ok(owner.value);
            }
        }
        Err(KeysError::Contended("owner"))
    }

    /// Forgets an owner: its keys live on, without shared limits and switched on.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn delete_owner(&self, at: OwnerAt, by: &Actor) -> Result<(), KeysError> {
        let deleted = self.0.store.delete_key_owner(at.named(), by).await?;
        self.apply(Changed::Owner(at.into())).await;
        if deleted { Ok(()) } else { Err(KeysError::NotFound("owner")) }
    }

    /// Its tag checked.
    async fn owner(&self, at: &OwnerAt) -> Result<Option<KeyOwner>, KeysError> {
        let Some(row) = self.0.store.key_owner(at.named()).await? else { return Ok(None) };
        self.ours(row, "owner", Peppers::check_owner, |owner| owner.name.clone()).map(Some)
    }
}

impl OwnerAt {
    fn named(&self) -> OwnerRef<'_> {
        OwnerRef { keyspace: self.keyspace, app: self.app, name: &self.name }
    }
}

impl From<OwnerAt> for OwnerId {
    fn from(at: OwnerAt) -> Self {
        Self { keyspace: at.keyspace, app: at.app, name: at.name }
    }
}
