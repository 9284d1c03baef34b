//! Tags over what is about to be stored: only rows that bear one are believed.

use model::key::pepper::Peppers;
use model::key::{Key, KeyOwner, KeySecret, Keyspace, Tagged};

use crate::entry::Refused;
use crate::{Keys, KeysError};

pub(crate) struct Sealer<'a>(pub &'a Peppers);

impl Sealer<'_> {
    pub fn keyspace(&self, value: Keyspace) -> Tagged<Keyspace> {
        let tag = self.0.keyspace_tag(&value);
        self.tagged(value, tag)
    }

    pub fn key(&self, value: Key) -> Tagged<Key> {
        let tag = self.0.key_tag(&value);
        self.tagged(value, tag)
    }

    /// The secret's lookup has to be under the newest pepper.
    pub fn secret(&self, value: KeySecret) -> Tagged<KeySecret> {
        let tag = self.0.secret_tag(&value);
        self.tagged(value, tag)
    }

    pub fn owner(&self, value: KeyOwner) -> Tagged<KeyOwner> {
        let tag = self.0.owner_tag(&value);
        self.tagged(value, tag)
    }

    fn tagged<T>(&self, value: T, tag: [u8; 32]) -> Tagged<T> {
        Tagged { value, tag, pepper_version: self.0.version() }
    }
}

impl Keys {
    /// The stored row, when it bears this instance's tag. No other is written on.
    pub(crate) fn ours<T>(
        &self,
        row: Tagged<T>,
        kind: &'static str,
        is_ours: impl FnOnce(&Peppers, &Tagged<T>) -> bool,
        id: impl FnOnce(&T) -> String,
    ) -> Result<T, KeysError> {
        if is_ours(&self.0.peppers, &row) {
            return Ok(row.value);
        }
        let credentials = &self.0.credentials;
        let refused = credentials.checker.refused(&row, kind, id(&row.value));
        let error = match refused {
            Refused::Tampered(_) => KeysError::Tampered(kind),
            Refused::Newer => KeysError::OtherPeppers,
        };
        credentials.refuse(refused);
        Err(error)
    }
}
