//! What may be said of keyspaces and keys: the limits of each field, and that they fit together.

use std::collections::{BTreeMap, HashSet};

use model::key::limit::Limit;
use model::key::{
    Key, Keyspace, MAX_GRACE_MS, MAX_LIMITS, MAX_METADATA_ENTRIES, MAX_SCOPES, MAX_TAGS,
    RotationPolicy, scope, token,
};

use crate::KeysError;

const MAX_NAME: usize = 256;
const MAX_ENVIRONMENTS: usize = 8;
const MAX_PERMISSIONS: usize = 1_000;
const MAX_ROLES: usize = 100;
const MAX_METADATA_VALUE: usize = 1_024;
const MAX_SCOPE: usize = 128;
/// A longer window is a quota of a year and more: nothing that memory can count.
const MAX_WINDOW_MS: u64 = 366 * 24 * 60 * 60 * 1_000;
/// Renewing secrets more often than daily helps nobody.
const MIN_ROTATION_MS: u64 = 24 * 60 * 60 * 1_000;

type Checked = Result<(), KeysError>;

pub(crate) fn keyspace(keyspace: &Keyspace) -> Checked {
    text("name", &keyspace.name, MAX_NAME)?;
    if let Some(uid) = &keyspace.uid {
        text("uid", uid, MAX_NAME)?;
    }
    environments(keyspace)?;
    at_most("permissions", keyspace.permissions.len(), MAX_PERMISSIONS)?;
    keyspace.permissions.keys().try_for_each(|name| granted_scope("permissions", name))?;
    at_most("roles", keyspace.roles.len(), MAX_ROLES)?;
    for (name, scopes) in &keyspace.roles {
        text("roles", name, MAX_NAME)?;
        granted_scopes("roles", scopes)?;
    }
    limits(&keyspace.limits)?;
    rotation(keyspace.rotation.as_ref())?;
    metadata(&keyspace.metadata)
}

fn environments(keyspace: &Keyspace) -> Checked {
    let names = &keyspace.environments;
    if names.is_empty() {
        return Err(KeysError::invalid("environments", "there must be one at least"));
    }
    at_most("environments", names.len(), MAX_ENVIRONMENTS)?;
    different("environments", names.iter())?;
    for name in names {
        token::check_shape(&keyspace.prefix, name).map_err(|bad| {
            let field = match bad {
                token::BadShape::Prefix => "prefix",
                _ => "environments",
            };
            KeysError::invalid(field, bad.to_string())
        })?;
    }
    Ok(())
}

pub(crate) fn key(key: &Key, keyspace: &Keyspace) -> Checked {
    text("name", &key.name, MAX_NAME)?;
    if let Some(owner) = &key.owner {
        text("owner", owner, MAX_NAME)?;
    }
    if !keyspace.environments.contains(&key.environment) {
        return Err(KeysError::invalid("environment", "the keyspace has no such environment"));
    }
    granted_scopes("scopes", &key.scopes)?;
    at_most("roles", key.roles.len(), MAX_ROLES)?;
    if let Some(role) = key.roles.iter().find(|role| !keyspace.roles.contains_key(*role)) {
        return Err(KeysError::invalid("roles", format!("the keyspace has no role `{role}`")));
    }
    limits(&key.limits)?;
    rotation(key.rotation.as_ref())?;
    at_most("tags", key.tags.len(), MAX_TAGS)?;
    key.tags.iter().try_for_each(|tag| text("tags", tag, MAX_NAME))?;
    different("tags", key.tags.iter())?;
    metadata(&key.metadata)
}

pub(crate) fn owner_name(name: &str) -> Checked {
    text("owner", name, MAX_NAME)
}

pub(crate) fn limits(limits: &[Limit]) -> Checked {
    at_most("limits", limits.len(), MAX_LIMITS)?;
    different("limits", limits.iter().map(|limit| &limit.name))?;
    limits.iter().try_for_each(limit)
}

fn limit(limit: &Limit) -> Checked {
    text("limits.name", &limit.name, MAX_NAME)?;
    if limit.window_ms == 0 || limit.window_ms > MAX_WINDOW_MS {
        return Err(KeysError::invalid("limits.windowMs", format!("1 to {MAX_WINDOW_MS}")));
    }
    Ok(())
}

pub(crate) fn rotation(policy: Option<&RotationPolicy>) -> Checked {
    let Some(policy) = policy else { return Ok(()) };
    if policy.interval_ms < MIN_ROTATION_MS {
        return Err(KeysError::invalid(
            "rotation.intervalMs",
            format!("{MIN_ROTATION_MS} or more"),
        ));
    }
    grace("rotation.graceMs", policy.grace_ms)?;
    if policy.notice_ms > policy.interval_ms {
        return Err(KeysError::invalid("rotation.noticeMs", "not longer than the interval"));
    }
    Ok(())
}

pub(crate) fn grace(field: &'static str, grace_ms: u64) -> Checked {
    if grace_ms > MAX_GRACE_MS {
        return Err(KeysError::invalid(field, format!("{MAX_GRACE_MS} at the most")));
    }
    Ok(())
}

fn granted_scopes(field: &'static str, scopes: &[String]) -> Checked {
    at_most(field, scopes.len(), MAX_SCOPES)?;
    scopes.iter().try_for_each(|name| granted_scope(field, name))
}

fn granted_scope(field: &'static str, name: &str) -> Checked {
    text(field, name, MAX_SCOPE)?;
    scope::check_scope(name).map_err(|bad| KeysError::invalid(field, bad.to_string()))
}

fn metadata(metadata: &BTreeMap<String, String>) -> Checked {
    at_most("metadata", metadata.len(), MAX_METADATA_ENTRIES)?;
    for (name, value) in metadata {
        text("metadata", name, MAX_NAME)?;
        if value.len() > MAX_METADATA_VALUE || value.contains('\0') {
            return Err(KeysError::invalid("metadata", format!("`{name}` is too long")));
        }
    }
    Ok(())
}

/// PostgreSQL keeps no NUL in a text.
fn text(field: &'static str, text: &str, max: usize) -> Checked {
    if text.is_empty() || text.len() > max || text.contains('\0') {
        return Err(KeysError::invalid(field, format!("1 to {max} bytes, without NUL")));
    }
    Ok(())
}

fn at_most(field: &'static str, n: usize, max: usize) -> Checked {
    if n > max {
        return Err(KeysError::invalid(field, format!("{max} at the most")));
    }
    Ok(())
}

fn different<'a>(field: &'static str, names: impl Iterator<Item = &'a String>) -> Checked {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(KeysError::invalid(field, format!("`{name}` is there twice")));
        }
    }
    Ok(())
}
