//! Secrets of other systems, with which imported HMACs of their keys were made: sealed for one
//! keyspace.

use model::KeyspaceId;

use crate::{Result, Store};

impl Store {
    /// # Errors
    /// When it is too long.
    pub fn seal_import_secret(&self, keyspace: KeyspaceId, secret: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.vault.seal(&context(keyspace), secret)?)
    }

    /// # Errors
    /// When it was sealed by another instance or for another keyspace.
    pub fn open_import_secret(&self, keyspace: KeyspaceId, sealed: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.vault.open(&context(keyspace), sealed)?)
    }
}

pub(crate) fn context(keyspace: KeyspaceId) -> String {
    format!("key_import/{keyspace}")
}
