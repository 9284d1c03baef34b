//! Rotation: one key, at most two living secrets, and an end for the old one.

use model::audit::Actor;
use model::key::pepper::Peppers;
use model::key::{Key, KeySecret, Tagged, token};
use model::{KeyId, Timestamp};
use store::Rotation;

use crate::changes::Changed;
use crate::events::{self, Renewed};
use crate::{KeyAt, Keys, KeysError, MAX_TRIES, Minted, check};

/// A token that waits to be collected waits for so long at least, however short the grace.
const MIN_COLLECT_MS: u64 = 24 * 60 * 60 * 1_000;

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
        let (new, token) = self.next_secret(&self.key(at).await?).await?;
        for _ in 0..MAX_TRIES {
            let before = self.key(at).await?;
            if before.revoked.is_some() {
                return Err(KeysError::invalid("key", "it is revoked"));
            }
            let (rotation, old_ends_at) = self.rotation(before, &new, grace_ms).await?;
            if self.0.store.add_secret(&rotation, by).await? {
                let (key, secret) = (rotation.key.value, rotation.new.value);
                self.apply(Changed::Key(key.id)).await;
                self.announce(vec![events::rotated(Renewed {
                    key: &key,
                    secret_id: secret.id.as_str(),
                    at: secret.created_at,
                    old_ends_at: Some(old_ends_at),
                    collect_until: None,
                })])
                .await;
                return Ok(Rotated { minted: Minted { key, secret, token }, old_ends_at });
            }
        }
        Err(KeysError::Contended("key"))
    }

    /// Renews a key's secret although nobody asks: its token waits to be collected. `before` is
    /// the key as the schedule saw it; when it has changed since, for instance because another
    /// node was faster, nothing happens and it is looked at again.
    pub(crate) async fn rotate_by_policy(
        &self,
        before: &Key,
        grace_ms: u64,
    ) -> Result<(), KeysError> {
        let at = KeyAt { app: before.app_id, id: before.id.as_str() };
        // Before the costly hash: the page it was on may be old.
        match self.key(at).await {
            Ok(key) if key.version == before.version => {}
            Ok(_) | Err(KeysError::NotFound(_) | KeysError::Tampered(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let (new, token) = match self.next_secret(before).await {
            // It is on record.
            Err(KeysError::Tampered(_)) => return Ok(()),
            next => next?,
        };
        let (rotation, old_ends_at) = match self.rotation(before.clone(), &new, grace_ms).await {
            Err(KeysError::Tampered(_)) => return Ok(()),
            rotation => rotation?,
        };
        let waits_until = old_ends_at.max(self.now().plus_ms(MIN_COLLECT_MS));
        let by = Actor::system("rotation policy");
        if self.0.store.add_secret_unasked(&rotation, &token, waits_until, &by).await? {
            self.apply(Changed::Key(before.id)).await;
        }
        Ok(())
    }

    /// Gives out the token of a secret that a policy renewed: once, and while it waits.
    ///
    /// # Errors
    /// When there is no such key, no token waits for it, or the database fails.
    pub async fn collect_token(&self, at: KeyAt<'_>, by: &Actor) -> Result<String, KeysError> {
        let key = self.key(at).await?;
        let token = self.0.store.collect_key_token(&key, by).await?;
        token.ok_or(KeysError::NothingWaits)
    }

    /// A new secret for a key, with its token.
    async fn next_secret(&self, key: &Key) -> Result<(KeySecret, String), KeysError> {
        let keyspace = self.keyspace(key.keyspace_id.as_str()).await?;
        let token = token::mint(&keyspace.prefix, &key.environment, self.0.store.entropy());
        Ok((self.new_secret(key.id, &token).await?, token))
    }

    /// The rotation of a key to a new secret, and when the old one ends.
    async fn rotation(
        &self,
        before: Key,
        new: &KeySecret,
        grace_ms: u64,
    ) -> Result<(Rotation, Timestamp), KeysError> {
        let now = self.now();
        let key = self.successor(&before, before.clone());
        let ended = self.ended_by_rotation(&key, now.plus_ms(grace_ms), now).await?;
        let old_ends_at = ended.first().and_then(|old| old.value.ends_at).unwrap_or(now);
        let rotation = Rotation {
            key: self.sealer().key(key),
            new: self.sealer().secret(KeySecret { created_at: now, ..new.clone() }),
            ended,
        };
        Ok((rotation, old_ends_at))
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
