//! A new pepper without a single token at hand: lookups are carried on and tags made anew in the
//! background, in bounded steps; password hashes follow when their keys are used.

use model::key::pepper::Peppers;
use model::key::{KeySecret, Tagged};
use store::{Carried, RowsBehind, Store};

use crate::credentials::Credentials;
use crate::entry::Tampered;
use crate::seal::Sealer;
use crate::{Keys, KeysError};

/// What still stands under an older pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PepperReport {
    /// The newest one.
    pub version: u32,
    pub behind: RowsBehind,
}

impl Keys {
    /// # Errors
    /// When the database fails.
    pub async fn pepper_report(&self) -> Result<PepperReport, KeysError> {
        let version = self.0.peppers.version();
        Ok(PepperReport { version, behind: self.0.store.rows_behind(version).await? })
    }
}

/// Refuses peppers that are not those the rows were written with: with them no key would be
/// found, and none that is made would be found by others.
pub(crate) async fn check(store: &Store, peppers: &Peppers) -> Result<(), KeysError> {
    if store.newest_tag_version().await? > peppers.version() {
        return Err(KeysError::OtherPeppers);
    }
    for version in 1..=peppers.version() {
        let value = peppers.check_value(version).ok_or(KeysError::OtherPeppers)?;
        if !store.check_pepper(version, &value).await? {
            return Err(KeysError::OtherPeppers);
        }
    }
    Ok(())
}

/// Carries every row on. Rows with a wrong tag are left as they are, and reported.
pub(crate) async fn upgrade(credentials: &Credentials) -> store::Result<()> {
    let version = credentials.peppers.version();
    let behind = credentials.store.rows_behind(version).await?;
    if behind == (RowsBehind { hashes: behind.hashes, ..RowsBehind::default() }) {
        return Ok(());
    }
    tracing::info!(?behind, version, "rows of keys are carried on to the newest pepper");
    upgrade_secrets(credentials, version).await?;
    upgrade_keys(credentials, version).await?;
    upgrade_keyspaces(credentials, version).await?;
    upgrade_owners(credentials, version).await
}

async fn upgrade_secrets(credentials: &Credentials, version: u32) -> store::Result<()> {
    let mut left = 0;
    loop {
        let rows = credentials.store.secrets_behind(version, left).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let carried = carry(credentials, rows, "secret", &mut left, carry_secret);
        credentials.store.carry_secrets(&carried).await?;
    }
}

async fn upgrade_keys(credentials: &Credentials, version: u32) -> store::Result<()> {
    let mut left = 0;
    loop {
        let rows = credentials.store.keys_behind(version, left).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let carried = carry(credentials, rows, "key", &mut left, |peppers, row| {
            peppers.check_key(&row).then(|| Sealer(peppers).key(row.value))
        });
        credentials.store.carry_keys(&carried).await?;
    }
}

async fn upgrade_keyspaces(credentials: &Credentials, version: u32) -> store::Result<()> {
    let mut left = 0;
    loop {
        let rows = credentials.store.keyspaces_behind(version, left).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let carried = carry(credentials, rows, "keyspace", &mut left, |peppers, row| {
            peppers.check_keyspace(&row).then(|| Sealer(peppers).keyspace(row.value))
        });
        credentials.store.carry_keyspaces(&carried).await?;
    }
}

async fn upgrade_owners(credentials: &Credentials, version: u32) -> store::Result<()> {
    let mut left = 0;
    loop {
        let rows = credentials.store.owners_behind(version, left).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let carried = carry(credentials, rows, "owner", &mut left, |peppers, row| {
            peppers.check_owner(&row).then(|| Sealer(peppers).owner(row.value))
        });
        credentials.store.carry_owners(&carried).await?;
    }
}

fn carry_secret(peppers: &Peppers, row: Tagged<KeySecret>) -> Option<Tagged<KeySecret>> {
    if !peppers.check_secret(&row) {
        return None;
    }
    let lookup = match row.value.lookup {
        Some(lookup) => Some(peppers.upgrade_lookup(row.pepper_version, lookup)?),
        None => None,
    };
    Some(Sealer(peppers).secret(KeySecret { lookup, ..row.value }))
}

/// The rows that were ours, with what takes their place; the others are counted.
fn carry<T: Clone + Named>(
    credentials: &Credentials,
    rows: Vec<Tagged<T>>,
    row: &'static str,
    left: &mut i64,
    renew: impl Fn(&Peppers, Tagged<T>) -> Option<Tagged<T>>,
) -> Vec<Carried<T>> {
    let mut carried = Vec::new();
    for before in rows {
        let (tag, id) = (before.tag, before.value.named());
        match renew(&credentials.peppers, before) {
            Some(after) => carried.push(Carried { before: tag, after }),
            None => {
                credentials.report(Tampered { row, id });
                *left += 1;
            }
        }
    }
    carried
}

trait Named {
    fn named(&self) -> String;
}

macro_rules! named {
    ($($noun:ident by $field:ident),+) => {$(
        impl Named for model::key::$noun {
            fn named(&self) -> String {
                self.$field.to_string()
            }
        }
    )+};
}
named!(Keyspace by id, Key by id, KeySecret by id, KeyOwner by name);
