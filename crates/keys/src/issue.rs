//! Keys: minted, changed, deleted. The token is answered once and never kept.

use std::collections::BTreeMap;

use model::audit::Actor;
use model::key::allow::AllowList;
use model::key::limit::Limit;
use model::key::pepper::Peppers;
use model::key::{Key, KeySecret, Keyspace, RotationPolicy, token};
use model::{AppId, KeyId, KeySecretId, Timestamp};
use store::KeyInsertion;

use crate::changes::Changed;
use crate::kinds::Kind;
use crate::{KeyAt, Keys, KeysError, MAX_TRIES, check};

/// Of a token that somebody chose.
const MIN_CHOSEN_TOKEN: usize = 16;
const MAX_CHOSEN_TOKEN: usize = 256;

/// What a caller may say of a new key.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// Id or uid.
    pub keyspace: String,
    pub app: Option<AppId>,
    pub name: String,
    pub owner: Option<String>,
    /// None: the first of the keyspace's.
    pub environment: Option<String>,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    pub ip_allow: AllowList,
    pub limits: Vec<Limit>,
    pub expires_at: Option<Timestamp>,
    pub idle_expiry_ms: Option<u64>,
    pub rotation: Option<RotationPolicy>,
    pub metadata: BTreeMap<String, String>,
    pub tags: Vec<String>,
    /// False: made disabled.
    pub disabled: bool,
}

/// A key with the token that nobody will see again.
#[derive(Clone)]
pub struct Minted {
    pub key: Key,
    pub secret: KeySecret,
    pub token: String,
}

impl NewKey {
    /// The key that is meant, checked against its keyspace.
    pub(crate) fn into_key(
        self,
        id: KeyId,
        keyspace: &Keyspace,
        now: Timestamp,
    ) -> Result<Key, KeysError> {
        let first = keyspace.environments.first().cloned();
        let key = Key {
            id,
            keyspace_id: keyspace.id,
            app_id: self.app,
            name: self.name,
            owner: self.owner,
            environment: self.environment.or(first).unwrap_or_default(),
            scopes: self.scopes,
            roles: self.roles,
            ip_allow: self.ip_allow,
            limits: self.limits,
            expires_at: within_lifetime(self.expires_at, keyspace, now),
            idle_expiry_ms: self.idle_expiry_ms,
            rotation: self.rotation,
            metadata: self.metadata,
            tags: self.tags,
            enabled: !self.disabled,
            revoked: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        check::key(&key, keyspace)?;
        Ok(key)
    }
}

/// No key outlives the keyspace's longest life.
fn within_lifetime(
    wish: Option<Timestamp>,
    keyspace: &Keyspace,
    created_at: Timestamp,
) -> Option<Timestamp> {
    let latest = keyspace.max_lifetime_ms.map(|ms| created_at.plus_ms(ms));
    match (wish, latest) {
        (Some(wish), Some(latest)) => Some(wish.min(latest)),
        (wish, latest) => wish.or(latest),
    }
}

impl Keys {
    /// # Errors
    /// When a field is not valid, the keyspace is not there, or the database fails.
    pub async fn create_key(&self, new: NewKey, by: &Actor) -> Result<Minted, KeysError> {
        let keyspace = self.keyspace(&new.keyspace).await?;
        let now = self.now();
        let key = new.into_key(KeyId::new(now, self.0.store.entropy()), &keyspace, now)?;
        let token = token::mint(&keyspace.prefix, &key.environment, self.0.store.entropy());
        self.insert_key(key, token, by).await
    }

    /// A key with a token chosen by the caller, in whatever format: for the first service token,
    /// which comes from the settings.
    ///
    /// # Errors
    /// As [`Keys::create_key`], and when the token is taken, too short or too long.
    pub async fn create_key_with_token(
        &self,
        new: NewKey,
        token: &str,
        by: &Actor,
    ) -> Result<Minted, KeysError> {
        if !(MIN_CHOSEN_TOKEN..=MAX_CHOSEN_TOKEN).contains(&token.len()) {
            let why = format!("{MIN_CHOSEN_TOKEN} to {MAX_CHOSEN_TOKEN} bytes");
            return Err(KeysError::invalid("token", why));
        }
        let keyspace = self.keyspace(&new.keyspace).await?;
        let now = self.now();
        let key = new.into_key(KeyId::new(now, self.0.store.entropy()), &keyspace, now)?;
        if token::check(token).is_err() {
            self.add_kind(keyspace.id, &Kind::Plain, by).await?;
        }
        self.insert_key(key, token.to_owned(), by).await
    }

    async fn insert_key(&self, key: Key, token: String, by: &Actor) -> Result<Minted, KeysError> {
        let secret = self.new_secret(key.id, &token).await?;
        let secret = self.store_key(key.clone(), secret, by).await?;
        Ok(Minted { key, secret, token })
    }

    /// Stores a new key with its first secret.
    pub(crate) async fn store_key(
        &self,
        key: Key,
        secret: KeySecret,
        by: &Actor,
    ) -> Result<KeySecret, KeysError> {
        let id = key.id;
        let (key, secret) = (self.sealer().key(key), self.sealer().secret(secret));
        match self.0.store.insert_key(&key, &secret, by).await? {
            KeyInsertion::Inserted => {}
            KeyInsertion::Taken => return Err(KeysError::Taken("token")),
            KeyInsertion::ParentGone => return Err(KeysError::NotFound("keyspace or app")),
        }
        self.apply(Changed::Key(id)).await;
        Ok(secret.value)
    }

    /// A secret for this token, its password hash included.
    pub(crate) async fn new_secret(&self, key: KeyId, token: &str) -> Result<KeySecret, KeysError> {
        let peppers = &self.0.peppers;
        let version = peppers.version();
        let prehash = peppers.prehash(token, version).ok_or(KeysError::Busy)?;
        let now = self.now();
        Ok(KeySecret {
            id: KeySecretId::new(now, self.0.store.entropy()),
            key_id: key,
            lookup: Some(peppers.lookup(token)),
            hash: self.0.credentials.hasher.hash(prehash).await?,
            pepper_version: version,
            start: token::start(token).to_owned(),
            created_at: now,
            ends_at: None,
            last_used_at: None,
        })
    }

    /// `change` may be called again when somebody else was faster; what a caller may not change
    /// (ids, environment, revocation, version, moments) is kept whatever it does to it.
    ///
    /// # Errors
    /// When there is none, a field is not valid, or the database fails.
    pub async fn update_key(
        &self,
        at: KeyAt<'_>,
        mut change: impl FnMut(&mut Key) + Send,
        by: &Actor,
    ) -> Result<Key, KeysError> {
        self.rewrite_key(
            at,
            |before| {
                let mut key = before.clone();
                change(&mut key);
                key.revoked.clone_from(&before.revoked);
                Some(key)
            },
            by,
        )
        .await
    }

    /// Writes what `change` makes of the stored key; nothing when it makes none.
    pub(crate) async fn rewrite_key(
        &self,
        at: KeyAt<'_>,
        mut change: impl FnMut(&Key) -> Option<Key> + Send,
        by: &Actor,
    ) -> Result<Key, KeysError> {
        for _ in 0..MAX_TRIES {
            let before = self.key(at).await?;
            let Some(key) = change(&before) else { return Ok(before) };
            let key = self.successor(&before, key);
            let keyspace = self.keyspace(key.keyspace_id.as_str()).await?;
            let key = Key {
                expires_at: match key.expires_at == before.expires_at {
                    true => key.expires_at,
                    false => within_lifetime(key.expires_at, &keyspace, key.created_at),
                },
                ..key
            };
            check::key(&key, &keyspace)?;
            let sealed = self.sealer().key(key);
            if self.0.store.update_key(&sealed, by).await? {
                self.apply(Changed::Key(before.id)).await;
                return Ok(sealed.value);
            }
        }
        Err(KeysError::Contended("key"))
    }

    /// The next version, with what no change may touch.
    pub(crate) fn successor(&self, before: &Key, key: Key) -> Key {
        Key {
            id: before.id,
            keyspace_id: before.keyspace_id,
            app_id: before.app_id,
            environment: before.environment.clone(),
            created_at: before.created_at,
            updated_at: self.now(),
            version: before.version + 1,
            ..key
        }
    }

    /// # Errors
    /// As [`Keys::update_key`].
    pub async fn set_enabled(
        &self,
        at: KeyAt<'_>,
        enabled: bool,
        by: &Actor,
    ) -> Result<Key, KeysError> {
        self.update_key(at, |key| key.enabled = enabled, by).await
    }

    /// # Errors
    /// When there is none, or the database fails.
    pub async fn delete_key(&self, at: KeyAt<'_>, by: &Actor) -> Result<(), KeysError> {
        // A row that somebody tampered with can be deleted too.
        let row = self.0.store.key_in_app(at.app, at.id).await?;
        let id = row.ok_or(KeysError::NotFound("key"))?.key.value.id;
        let deleted = self.0.store.delete_key(at.app, id, by).await?;
        self.apply(Changed::Key(id)).await;
        if deleted { Ok(()) } else { Err(KeysError::NotFound("key")) }
    }

    /// Its tag checked.
    pub(crate) async fn key(&self, at: KeyAt<'_>) -> Result<Key, KeysError> {
        let row = self.0.store.key_in_app(at.app, at.id).await?;
        let sealed = row.ok_or(KeysError::NotFound("key"))?.key;
        self.ours(sealed, "key", Peppers::check_key, |key| key.id.to_string())
    }
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted").field("key", &self.key.id).finish_non_exhaustive()
    }
}
