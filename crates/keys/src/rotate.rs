//! Rotation: one key, at most two living secrets, and an end for the old one.

use model::audit::Actor;
use model::key::pepper::Peppers;
use model::key::{Key, KeySecret, Tagged, token};
use model::{KeyId, Timestamp};
use store::Rotation;

use crate::changes::Changed;
use crate::{KeyAt, Keys, KeysError, MAX_TRIES, Minted, check};

/// A rotated key: its new token, and until when the old one is good.
#[derive(Clone, Debug)]
pub struct Rotated {
    pub minted: Minted,
    pub old_ends_at: Timestamp,
}

impl Keys {
    /// A second secret becomes the current one; the one before is good for `grace_ms` more, never
    /// longer than it was, and any third ends at once. The key's expiry stays.
    ///
    /// # Errors
    /// When there is none, the grace is too long, the key is revoked, or the database fails.
    pub async fn rotate_key(
        &self,
        at: KeyAt<'_>,
        grace_ms: u64,
        by: &Actor,
    ) -> Result<Rotated, KeysError> {
        check::grace("graceMs", grace_ms)?;
        let before = self.key(at).await?;
        let keyspace = self.keyspace(before.keyspace_id.as_str()).await?;
        let entropy = self.0.store.entropy();
        let token = token::mint(&keyspace.prefix, &before.environment, entropy);
        let new = self.new_secret(before.id, &token).await?;
        for _ in 0..MAX_TRIES {
            let before = self.key(at).await?;
            if before.revoked.is_some() {
                return Err(KeysError::invalid("key", "it is revoked"));
            }
            let now = self.now();
            let key = self.successor(&before, before.clone());
            let ended = self.ended_by_rotation(&key, now.plus_ms(grace_ms), now).await?;
            let old_ends_at = ended.first().and_then(|old| old.value.ends_at).unwrap_or(now);
            let rotation = Rotation {
                key: self.sealer().key(key),
                new: self.sealer().secret(KeySecret { created_at: now, ..new.clone() }),
                ended,
            };
            if self.0.store.add_secret(&rotation, by).await? {
                self.apply(Changed::Key(before.id)).await;
                let (key, secret) = (rotation.key.value, rotation.new.value);
                return Ok(Rotated { minted: Minted { key, secret, token }, old_ends_at });
            }
        }
        Err(KeysError::Contended("key"))
    }

    /// The living secrets with their new ends: the current one after the grace, others now.
    async fn ended_by_rotation(
        &self,
        key: &Key,
        grace_ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Tagged<KeySecret>>, KeysError> {
        let living = self.living_secrets(key.id, now).await?;
        let ended = living.into_iter().enumerate().map(|(n, secret)| {
            let end = if n == 0 { grace_ends_at } else { now };
            let ends_at = Some(secret.value.ends_at.map_or(end, |before| before.min(end)));
            self.reseal(secret, |secret| secret.ends_at = ends_at)
        });
        ended.collect()
    }

    /// Ends the grace of the old secret now. Answers the key; nothing happens without a grace.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn end_grace(&self, at: KeyAt<'_>, by: &Actor) -> Result<Key, KeysError> {
        let key = self.key(at).await?;
        for _ in 0..MAX_TRIES {
            let now = self.now();
            let living = self.living_secrets(key.id, now).await?;
            let mut in_grace = living.into_iter().filter(|secret| secret.value.ends_at.is_some());
            let Some(secret) = in_grace.next() else { return Ok(key) };
            let ended = self.reseal(secret, |secret| secret.ends_at = Some(now))?;
            let done = self.0.store.end_secret(&ended, by).await?;
            self.apply(Changed::Key(key.id)).await;
            if done {
                return Ok(key);
            }
        }
        Err(KeysError::Contended("key"))
    }

    /// The current one first. Their tags are checked.
    async fn living_secrets(
        &self,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Vec<Tagged<KeySecret>>, KeysError> {
        let mut living = self.0.store.secrets_of(key).await?;
        living.retain(|secret| secret.value.ends_at.is_none_or(|end| end > now));
        living.sort_by_key(|secret| secret.value.ends_at.is_some());
        for secret in &living {
            let check = Peppers::check_secret;
            self.ours(secret.clone(), "secret", check, |secret| secret.id.to_string())?;
        }
        Ok(living)
    }

    /// A changed secret under a new tag, and its lookup under the newest pepper.
    pub(crate) fn reseal(
        &self,
        secret: Tagged<KeySecret>,
        change: impl FnOnce(&mut KeySecret),
    ) -> Result<Tagged<KeySecret>, KeysError> {
        let Tagged { mut value, pepper_version, .. } = secret;
        if let Some(lookup) = value.lookup {
            let upgraded = self.0.peppers.upgrade_lookup(pepper_version, lookup);
            value.lookup = Some(upgraded.ok_or(KeysError::Tampered("secret"))?);
        }
        change(&mut value);
        Ok(self.sealer().secret(value))
    }
}
