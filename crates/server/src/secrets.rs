//! The instance's secrets: one file in the data folder, made once, readable by its owner alone.
//!
//! Without it the database's secrets do not open and no key is valid: back it up with the
//! database, and give every node of one instance the same file.
//!
//! The master key, under which everything at rest is sealed, has versions ([`rotate_vault`]): a
//! new one seals, the ones before open what they sealed, until nothing is under them any more and
//! they are dropped ([`drop_vault`]). Keys for other purposes, such as sessions and the audit log,
//! come from a key of their own, which is the first master key and stays.
//!
//! The pepper of keys can be rotated ([`rotate_pepper`]): the one before stays in the file, since
//! the index of every key is a chain over all of them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Entropy;
use model::key::pepper::MAX_PEPPERS;
use model::vault::{KEY_LEN, MAX_VERSION, MAX_VERSIONS};
use serde::{Deserialize, Serialize};

const FILE: &str = "instance-secrets.toml";
const HEADER: &str =
    "# The secrets of this Doorbell instance. Keep them with your backups, and to yourself.\n";

#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error("{path} is not readable: {why}")]
    Format { path: String, why: String },
    #[error("{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`")]
    Open { path: String, mode: u32 },
}

/// A version of the master key and its number, which counts from 1.
pub type VaultKey = (u8, [u8; KEY_LEN]);

/// All of it is secret; there is no `Debug` on purpose.
pub struct InstanceSecrets {
    /// What keys for other purposes come from.
    pub root_key: [u8; KEY_LEN],
    /// Versions of the master key, the oldest first.
    pub vault_keys: Vec<VaultKey>,
    /// The newest and its version, which counts from 1.
    pub pepper: (u32, [u8; KEY_LEN]),
    /// Those before it, the oldest first.
    pub older_peppers: Vec<(u32, [u8; KEY_LEN])>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// The newest.
    vault_key: String,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    vault_version: u8,
    /// None: it is the vault key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root_key: Option<String>,
    token_pepper: String,
    /// The oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older_token_peppers: Vec<String>,
    /// The oldest first. Last in the file, as TOML wants it of tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older_vault_keys: Vec<OlderVaultKey>,
}

#[derive(Serialize, Deserialize)]
struct OlderVaultKey {
    version: u8,
    key: String,
}

const fn first() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_first(version: &u8) -> bool {
    *version == 1
}

/// Reads the file, or makes it.
pub fn load_or_create(data_dir: &Path, entropy: &Entropy) -> Result<InstanceSecrets, SecretsError> {
    let path = data_dir.join(FILE);
    if !path.try_exists().map_err(|error| io_error(&path, error))? {
        create(&path, entropy).map_err(|error| io_error(&path, error))?;
    }
    open(&read(&path)?).map_err(|why| format_error(&path, why))
}

/// Reads the file, which must be there.
pub fn load(data_dir: &Path) -> Result<InstanceSecrets, SecretsError> {
    let path = data_dir.join(FILE);
    open(&read(&path)?).map_err(|why| format_error(&path, why))
}

/// Makes a new version of the master key and keeps the ones before. Answers the version; running
/// processes read it within seconds.
pub fn rotate_vault(data_dir: &Path, entropy: &Entropy) -> Result<u8, SecretsError> {
    let path = data_dir.join(FILE);
    let mut stored = read(&path)?;
    if stored.older_vault_keys.len() + 1 >= MAX_VERSIONS {
        let why =
            format!("it holds {MAX_VERSIONS} versions already: drop those that nothing is under");
        return Err(format_error(&path, why));
    }
    if stored.vault_version == MAX_VERSION {
        return Err(format_error(&path, format!("version {MAX_VERSION} is the last")));
    }
    let key = std::mem::replace(&mut stored.vault_key, random(entropy));
    stored.root_key.get_or_insert_with(|| key.clone());
    stored.older_vault_keys.push(OlderVaultKey { version: stored.vault_version, key });
    stored.vault_version += 1;
    open(&stored).map_err(|why| format_error(&path, why))?;
    replace(&path, &stored).map_err(|error| io_error(&path, error))?;
    Ok(stored.vault_version)
}

/// Forgets a version before the newest. False when the file does not hold it.
pub fn drop_vault(data_dir: &Path, version: u8) -> Result<bool, SecretsError> {
    let path = data_dir.join(FILE);
    let mut stored = read(&path)?;
    let before = stored.older_vault_keys.len();
    stored.older_vault_keys.retain(|older| older.version != version);
    if stored.older_vault_keys.len() == before {
        return Ok(false);
    }
    replace(&path, &stored).map_err(|error| io_error(&path, error))?;
    Ok(true)
}

/// Makes a new pepper and keeps the ones before. Answers the new version; running processes know
/// it after a restart.
pub fn rotate_pepper(data_dir: &Path, entropy: &Entropy) -> Result<u32, SecretsError> {
    let path = data_dir.join(FILE);
    let mut stored = read(&path)?;
    if stored.older_token_peppers.len() + 1 >= MAX_PEPPERS {
        return Err(format_error(&path, format!("it holds {MAX_PEPPERS} peppers already")));
    }
    let before = std::mem::replace(&mut stored.token_pepper, random(entropy));
    stored.older_token_peppers.push(before);
    let secrets = open(&stored).map_err(|why| format_error(&path, why))?;
    replace(&path, &stored).map_err(|error| io_error(&path, error))?;
    Ok(secrets.pepper.0)
}

fn read(path: &Path) -> Result<Stored, SecretsError> {
    let mode = fs::metadata(path).map_err(|error| io_error(path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(SecretsError::Open { path: path.display().to_string(), mode: mode & 0o777 });
    }
    let text = fs::read_to_string(path).map_err(|error| io_error(path, error))?;
    toml::from_str(&text).map_err(|error| format_error(path, error.to_string()))
}

fn create(path: &Path, entropy: &Entropy) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let stored = Stored {
        vault_key: random(entropy),
        vault_version: first(),
        root_key: None,
        older_vault_keys: Vec::new(),
        token_pepper: random(entropy),
        older_token_peppers: Vec::new(),
    };
    write(path, &stored)
}

/// The old file is whole until the new one is.
fn replace(path: &Path, stored: &Stored) -> io::Result<()> {
    let new = path.with_extension("toml.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => write(&new, stored)?,
    }
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let text = toml::to_string(stored).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn random(entropy: &Entropy) -> String {
    let mut bytes = [0; KEY_LEN];
    entropy.fill(&mut bytes);
    STANDARD.encode(bytes)
}

fn open(stored: &Stored) -> Result<InstanceSecrets, String> {
    let key = |name: &str, text: &str| {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| format!("{name} is not the base64 of {KEY_LEN} bytes"))
    };
    let older = stored.older_token_peppers.iter().zip(1..);
    let older_peppers = older
        .map(|(text, version)| Ok((version, key("older_token_peppers", text)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let version = older_peppers.last().map_or(1, |(version, _)| version + 1);
    let root_key = stored.root_key.as_ref().unwrap_or(&stored.vault_key);
    let mut vault_keys = stored
        .older_vault_keys
        .iter()
        .map(|older| Ok((older.version, key("older_vault_keys", &older.key)?)))
        .collect::<Result<Vec<_>, String>>()?;
    vault_keys.push((stored.vault_version, key("vault_key", &stored.vault_key)?));
    if !vault_keys.is_sorted_by(|(one, _), (two, _)| one < two) || vault_keys[0].0 == 0 {
        return Err("the versions of vault keys must rise from 1".to_owned());
    }
    Ok(InstanceSecrets {
        root_key: key("root_key", root_key)?,
        vault_keys,
        pepper: (version, key("token_pepper", &stored.token_pepper)?),
        older_peppers,
    })
}

fn io_error(path: &Path, error: io::Error) -> SecretsError {
    SecretsError::Io { path: path.display().to_string(), error }
}

fn format_error(path: &Path, why: String) -> SecretsError {
    SecretsError::Format { path: path.display().to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("new");
        let first = load_or_create(&data_dir, &Entropy::seeded(1)).unwrap();
        let again = load_or_create(&data_dir, &Entropy::seeded(2)).unwrap();
        assert_eq!(first.vault_keys, again.vault_keys);
        assert_eq!(first.vault_keys, [(1, first.root_key)]);
        assert_ne!(first.root_key, first.pepper.1);
        assert_eq!(first.pepper.0, 1);
        let path = data_dir.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = load_or_create(&data_dir, &Entropy::seeded(3));
        assert!(matches!(refused, Err(SecretsError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_rotated_pepper_keeps_the_ones_before() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Entropy::seeded(1);
        let first = load_or_create(folder.path(), &entropy).unwrap();
        assert_eq!(rotate_pepper(folder.path(), &entropy).unwrap(), 2);
        assert_eq!(rotate_pepper(folder.path(), &entropy).unwrap(), 3);
        let now = load_or_create(folder.path(), &entropy).unwrap();
        assert_eq!(now.vault_keys, first.vault_keys);
        assert_eq!(now.older_peppers.len(), 2);
        assert_eq!(now.older_peppers[0], (1, first.pepper.1));
        assert_eq!(now.older_peppers[1].0, 2);
        assert_eq!(now.pepper.0, 3);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_rotated_master_key_keeps_the_ones_before_until_they_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Entropy::seeded(1);
        let first = load_or_create(folder.path(), &entropy).unwrap();
        assert_eq!(rotate_vault(folder.path(), &entropy).unwrap(), 2);
        assert_eq!(rotate_vault(folder.path(), &entropy).unwrap(), 3);
        assert_eq!(rotate_pepper(folder.path(), &entropy).unwrap(), 2);
        let now = load_or_create(folder.path(), &entropy).unwrap();
        assert_eq!(now.root_key, first.root_key);
        let versions: Vec<u8> = now.vault_keys.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, [1, 2, 3]);
        assert_eq!(now.vault_keys[0], first.vault_keys[0]);
        assert!(drop_vault(folder.path(), 1).unwrap());
        assert!(!drop_vault(folder.path(), 1).unwrap());
        assert!(!drop_vault(folder.path(), 3).unwrap(), "the newest stays");
        let now = load(folder.path()).unwrap();
        assert_eq!(now.root_key, first.root_key);
        assert_eq!(now.vault_keys.len(), 2);
        assert_eq!(now.pepper.0, 2);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_master_key_has_few_versions() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Entropy::seeded(1);
        load_or_create(folder.path(), &entropy).unwrap();
        for version in 2..=16 {
            assert_eq!(rotate_vault(folder.path(), &entropy).unwrap(), version);
        }
        assert!(matches!(rotate_vault(folder.path(), &entropy), Err(SecretsError::Format { .. })));
        assert!(drop_vault(folder.path(), 1).unwrap());
        assert_eq!(rotate_vault(folder.path(), &entropy).unwrap(), 17);
    }
}
