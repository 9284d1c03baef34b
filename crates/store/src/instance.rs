//! Does this process hold the secrets that the database was written with?
//!
//! Of each version of the master key that is in use, a value sealed under it is kept in the
//! database. A process that lacks one, for instance a node that was started with an empty data
//! folder or before it was given a rotated key, is told so at start instead of failing at the
//! first secret it reads.

use model::vault::VaultError;

use crate::db::{Tx, on};
use crate::{Result, Store, StoreError, rows};

const NAME: &str = "vault_check";
const TEXT: &[u8] = b"doorbell";

const VERSIONS: &str = "select version, check_value from vault_version order by version";
const NEWEST: &str = "select coalesce(max(version), 0) from vault_version";
const INSERT: &str = "insert into vault_version (version, check_value, since) \
    values ($1, $2, $3) on conflict (version) do nothing";

impl Store {
    /// Opens what is kept of every version of the master key, and seals under the newest of them
    /// from now on. A new database takes the newest that this process knows.
    ///
    /// # Errors
    /// [`StoreError::OtherInstance`] when one was sealed under another key, and
    /// [`StoreError::VaultVersionMissing`] when this process lacks one.
    pub async fn check_instance(&self) -> Result<()> {
        let vault = &self.0.vault;
        if self.vault_versions().await?.is_empty() {
            let mut tx = self.db().begin().await?;
            self.insert_vault_version(&mut tx, vault.newest()).await?;
            tx.commit().await?;
        }
        for (version, sealed) in self.vault_versions().await? {
            match vault.open(NAME, &sealed) {
                Ok(_) => vault.seal_under(version)?,
                Err(VaultError::UnknownVersion(version)) => {
                    return Err(StoreError::VaultVersionMissing(version));
                }
                Err(_) => return Err(StoreError::OtherInstance),
            }
        }
        Ok(())
    }

    /// Those in use, the oldest first, each with its check value.
    pub(crate) async fn vault_versions(&self) -> Result<Vec<(u8, Vec<u8>)>> {
        let found: Vec<(i32, Vec<u8>)> = on!(self.db().reader(), c => {
            sqlx::query_as(VERSIONS).fetch_all(c).await
        })?;
        let version = |(version, sealed)| Ok((version_of(version)?, sealed));
        found.into_iter().map(version).collect()
    }

    /// The newest in use, 0 without any.
    pub(crate) async fn newest_vault_version(&self) -> Result<u8> {
        let newest: i32 = on!(self.db().reader(), c => {
            sqlx::query_scalar(NEWEST).fetch_one(c).await
        })?;
        version_of(newest)
    }

    /// False when it was in use already.
    pub(crate) async fn insert_vault_version(&self, tx: &mut Tx, version: u8) -> Result<bool> {
        let sealed = self.0.vault.seal_as(version, NAME, TEXT)?;
        let inserted = on!(tx, c => sqlx::query(INSERT)
            .bind(i32::from(version)).bind(sealed).bind(self.now().0)
            .execute(&mut **c).await.map(|done| done.rows_affected()))?;
        Ok(inserted > 0)
    }
}

fn version_of(version: i32) -> Result<u8> {
    u8::try_from(version).map_err(|error| rows::corrupt("version of the master key", error))
}
