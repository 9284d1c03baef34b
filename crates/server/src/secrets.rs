//! The instance's secrets: one file in the data folder, made once, readable by its owner alone.
//!
//! Without it the database's secrets do not open and no token is valid: back it up with the
//! database, and give every node of one instance the same file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Entropy;
use model::vault::KEY_LEN;
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

/// Both are secret; there is no `Debug` on purpose.
pub struct InstanceSecrets {
    pub vault_key: Vec<u8>,
    pub token_pepper: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    vault_key: String,
    token_pepper: String,
}

/// Reads the file, or makes it.
pub fn load_or_create(data_dir: &Path, entropy: &Entropy) -> Result<InstanceSecrets, SecretsError> {
    let path = data_dir.join(FILE);
    let shown = path.display().to_string();
    let io = |error| SecretsError::Io { path: shown.clone(), error };
    if !path.try_exists().map_err(io)? {
        fs::create_dir_all(data_dir).map_err(io)?;
        create(&path, entropy).map_err(io)?;
    }
    let mode = fs::metadata(&path).map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Open { path: shown, mode });
    }
    let text = fs::read_to_string(&path).map_err(io)?;
    parse(&text).map_err(|why| SecretsError::Format { path: shown, why })
}

fn create(path: &Path, entropy: &Entropy) -> io::Result<()> {
    let random = || {
        let mut bytes = [0; KEY_LEN];
        entropy.fill(&mut bytes);
        STANDARD.encode(bytes)
    };
    let stored = Stored { vault_key: random(), token_pepper: random() };
    let text = toml::to_string(&stored).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn parse(text: &str) -> Result<InstanceSecrets, String> {
    let stored: Stored = toml::from_str(text).map_err(|error| error.to_string())?;
    let key = |name: &str, text: &str| match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() == KEY_LEN => Ok(bytes),
        _ => Err(format!("{name} is not the base64 of {KEY_LEN} bytes")),
    };
    Ok(InstanceSecrets {
        vault_key: key("vault_key", &stored.vault_key)?,
        token_pepper: key("token_pepper", &stored.token_pepper)?,
    })
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
        assert_eq!(first.vault_key, again.vault_key);
        assert_ne!(first.vault_key, first.token_pepper);
        let path = data_dir.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = load_or_create(&data_dir, &Entropy::seeded(3));
        assert!(matches!(refused, Err(SecretsError::Open { mode: 0o644, .. })));
    }
}
