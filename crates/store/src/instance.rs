//! Does this process hold the secrets that the database was written with?
//!
//! A value sealed under the instance's key is kept in the database. A process with another key,
//! for instance a node that was started with an empty data folder, is told so at start instead
//! of failing at the first secret it reads.

use crate::db::on;
use crate::{Result, Store, StoreError};

const NAME: &str = "vault_check";
const TEXT: &[u8] = b"doorbell";

const FIND: &str = "select sealed from instance where name = $1";
const INSERT: &str =
    "insert into instance (name, sealed) values ($1, $2) on conflict (name) do nothing";

impl Store {
    /// Writes the check value if there is none, then opens it.
    ///
    /// # Errors
    /// [`StoreError::OtherInstance`] when it was sealed under another key.
    pub async fn check_instance(&self) -> Result<()> {
        let sealed = self.0.vault.seal(NAME, TEXT)?;
        let mut tx = self.db().begin().await?;
        on!(&mut tx, c => sqlx::query(INSERT)
            .bind(NAME).bind(sealed).execute(&mut **c).await.map(drop))?;
        tx.commit().await?;
        let stored: Vec<u8> = on!(self.db().reader(), c => {
            sqlx::query_scalar(FIND).bind(NAME).fetch_one(c).await
        })?;
        match self.0.vault.open(NAME, &stored) {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::OtherInstance),
        }
    }
}
