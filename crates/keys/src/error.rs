//! What a writing verb can refuse.

use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such keyspace, key or owner, or not in this app.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The uid, or the imported secret, exists already.
    #[error("{0} is taken")]
    Taken(&'static str),
    /// Others were faster, several times in a row.
    #[error("the {0} is being changed by others: try again")]
    Contended(&'static str),
    /// A keyspace that still has keys.
    #[error("the keyspace still has keys")]
    InUse,
    /// No policy renewed it, its token was collected, or its time is over.
    #[error("no token waits to be collected")]
    NothingWaits,
    /// A field does not hold what it must.
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    /// Too many password hashes wait already.
    #[error("too many password hashes wait")]
    Busy,
    /// No key would be found, and no other node would find what this one makes.
    #[error(
        "the keys were written with other peppers: use the secrets file that belongs to the database"
    )]
    OtherPeppers,
    /// The stored row was not written by this instance.
    #[error("the stored {0} does not bear this instance's tag")]
    Tampered(&'static str),
}

impl KeysError {
    pub(crate) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }
}

impl From<crate::hasher::Busy> for KeysError {
    fn from(_: crate::hasher::Busy) -> Self {
        Self::Busy
    }
}
