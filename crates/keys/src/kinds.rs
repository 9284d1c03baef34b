//! How imported keys are found: which further lookups a token has, by keyspace.
//!
//! A token of ours has one lookup. A token of another system has one for each kind of digest that
//! was imported into the keyspace, and may be found by its start alone. The store keeps a
//! keyspace's kinds as texts; the secret of an HMAC is sealed in its text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::KeyspaceId;
use model::key::pepper::{Digest, Peppers};
use store::Store;

/// Kinds of one keyspace at the most.
pub(crate) const MAX_KINDS: usize = 8;
/// Lookups computed for one token, at the most.
const MAX_CANDIDATES: usize = 32;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tokens in any format, indexed as ours are.
    Plain,
    Sha256,
    Sha512,
    HmacSha256(Vec<u8>),
    /// Salted hashes, found by the token's start.
    Salted,
}

impl Kind {
    pub fn to_text(&self, store: &Store, keyspace: KeyspaceId) -> store::Result<String> {
        Ok(match self {
            Self::Plain => "plain".to_owned(),
            Self::Sha256 => "sha256".to_owned(),
            Self::Sha512 => "sha512".to_owned(),
            Self::Salted => "salted".to_owned(),
            Self::HmacSha256(secret) => {
                let sealed = store.seal_import_secret(keyspace, secret)?;
                format!("hmac-sha256:{}", STANDARD.encode(sealed))
            }
        })
    }

    /// None for a kind that this binary does not know, or a secret that does not open.
    fn parse(text: &str, store: &Store, keyspace: KeyspaceId) -> Option<Self> {
        Some(match text {
            "plain" => Self::Plain,
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            "salted" => Self::Salted,
            text => {
                let sealed = STANDARD.decode(text.strip_prefix("hmac-sha256:")?).ok()?;
                Self::HmacSha256(store.open_import_secret(keyspace, &sealed).ok()?)
            }
        })
    }

    /// What the other system made of this token.
    fn digest(&self, token: &str) -> Option<Digest> {
        match self {
            Self::Plain | Self::Salted => None,
            Self::Sha256 => Some(Digest::sha256(token)),
            Self::Sha512 => Some(Digest::sha512(token)),
            Self::HmacSha256(secret) => Some(Digest::hmac_sha256(secret, token)),
        }
    }
}

/// Of every keyspace that has imports.
#[derive(Default)]
pub(crate) struct Kinds(Vec<(KeyspaceId, Vec<Kind>)>);

impl Kinds {
    pub async fn load(store: &Store) -> store::Result<Self> {
        let kept = store.import_kinds().await?;
        let kinds = kept.into_iter().map(|(keyspace, texts)| {
            let kinds = texts.iter().filter_map(|text| Kind::parse(text, store, keyspace));
            (keyspace, kinds.collect())
        });
        Ok(Self(kinds.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, keyspace: KeyspaceId, kind: &Kind) -> bool {
        self.of(keyspace).contains(kind)
    }

    pub fn count(&self, keyspace: KeyspaceId) -> usize {
        self.of(keyspace).len()
    }

    /// The lookups that a token may have besides its own. Of all keyspaces: an answer that was
    /// found for one caller serves the others.
    ///
    /// Each list begins with the newest pepper's.
    pub fn lookups(&self, peppers: &Peppers, token: &str) -> Vec<Vec<[u8; 32]>> {
        let mut tried: Vec<&Kind> = Vec::new();
        for kind in self.0.iter().flat_map(|(_, kinds)| kinds) {
            if tried.len() < MAX_CANDIDATES && !tried.contains(&kind) {
                tried.push(kind);
            }
        }
        let digests = tried.into_iter().filter_map(|kind| kind.digest(token));
        let lookups = digests.map(|digest| {
            let newest = peppers.lookup_of_digest(&digest);
            [newest].into_iter().chain(peppers.older_lookups_of_digest(&digest)).collect()
        });
        lookups.collect()
    }

    /// Keyspaces with salted imports.
    pub fn salted(&self) -> Vec<KeyspaceId> {
        let salted = self.0.iter().filter(|(_, kinds)| kinds.contains(&Kind::Salted));
        salted.map(|(id, _)| *id).collect()
    }

    fn of(&self, keyspace: KeyspaceId) -> &[Kind] {
        self.0.iter().find(|(id, _)| *id == keyspace).map_or(&[], |(_, kinds)| kinds)
    }
}
