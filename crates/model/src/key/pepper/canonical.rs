//! The bytes that a row's tag is made over: every field that a verification reads, one after
//! another, each saying how long it is, so that no two rows are written alike.
//!
//! Every noun is taken apart without `..`: whoever adds a field is told by the compiler to decide
//! whether it is covered. Left out are moments that change without a decision (`updated_at`,
//! `last_used_at`).

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::key::allow::AllowList;
use crate::key::limit::{Limit, Mode, Subject, WhenDown};
use crate::key::{
    Key, KeyOwner, KeySecret, Keyspace, Revocation, RevocationReason, RotationPolicy, WhenStale,
};
use crate::{AppId, KeyId, KeySecretId, KeyspaceId, Timestamp};

/// A noun with a tag over it.
pub(super) trait Row: Field {
    /// No row passes for one of another kind.
    const KIND: &'static str;
}

pub(super) fn bytes<T: Row>(row: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    T::KIND.write(&mut out);
    row.write(&mut out);
    out
}

/// What has one way to be written.
pub(super) trait Field {
    fn write(&self, out: &mut Vec<u8>);
}

fn write_all(out: &mut Vec<u8>, fields: &[&dyn Field]) {
    for field in fields {
        field.write(out);
    }
}

impl Row for Key {
    const KIND: &'static str = "key";
}

impl Field for Key {
    #[rustfmt::skip]
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            id, keyspace_id, app_id, name, owner, environment, scopes, roles, ip_allow, limits,
            expires_at, idle_expiry_ms, rotation, metadata, tags, enabled, revoked, created_at,
            updated_at: _, version,
        } = self;
        write_all(out, &[
            id, keyspace_id, app_id, name, owner, environment, scopes, roles, ip_allow, limits,
            expires_at, idle_expiry_ms, rotation, metadata, tags, enabled, revoked, created_at,
            version,
        ]);
    }
}

impl Row for KeySecret {
    const KIND: &'static str = "secret";
}

impl Field for KeySecret {
    #[rustfmt::skip]
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            id, key_id, lookup, hash, pepper_version, start, created_at, ends_at, last_used_at: _,
        } = self;
        write_all(out, &[
            id, key_id, lookup, hash, pepper_version, start, created_at, ends_at,
        ]);
    }
}

impl Row for Keyspace {
    const KIND: &'static str = "keyspace";
}

impl Field for Keyspace {
    #[rustfmt::skip]
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            id, uid, name, prefix, environments, permissions, roles, limits, ip_allow,
            max_lifetime_ms, idle_expiry_ms, rotation, when_stale, metadata, created_at,
            updated_at: _, version,
        } = self;
        write_all(out, &[
            id, uid, name, prefix, environments, permissions, roles, limits, ip_allow,
            max_lifetime_ms, idle_expiry_ms, rotation, when_stale, metadata, created_at,
            version,
        ]);
    }
}

impl Row for KeyOwner {
    const KIND: &'static str = "owner";
}

impl Field for KeyOwner {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { keyspace_id, app_id, name, enabled, limits, version } = self;
        write_all(out, &[keyspace_id, app_id, name, enabled, limits, version]);
    }
}

impl Field for Limit {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { name, limit, window_ms, subject, mode, when_down, automatic } = self;
        write_all(out, &[name, limit, window_ms, subject, mode, when_down, automatic]);
    }
}

impl Field for Revocation {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { at, reason, note } = self;
        write_all(out, &[at, reason, note]);
    }
}

impl Field for RotationPolicy {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { interval_ms, grace_ms, notice_ms } = self;
        write_all(out, &[interval_ms, grace_ms, notice_ms]);
    }
}

impl Field for AllowList {
    fn write(&self, out: &mut Vec<u8>) {
        self.networks().write(out);
    }
}

impl Field for IpNet {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::V4(net) => {
                out.push(4);
                out.extend(net.addr().octets());
            }
            Self::V6(net) => {
                out.push(6);
                out.extend(net.addr().octets());
            }
        }
        out.push(self.prefix_len());
    }
}

/// The numbers of variants are for good: a changed one makes every tag wrong.
macro_rules! numbered {
    ($type:ident: $($variant:ident = $number:literal),+ $(,)?) => {
        impl Field for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $number),+ });
            }
        }
    };
}

numbered!(Subject: Key = 0, Owner = 1, Keyspace = 2);
numbered!(Mode: Strict = 0, Leased = 1, Local = 2);
numbered!(WhenDown: LocalShare = 0, Open = 1, Closed = 2);
numbered!(WhenStale: Check = 0, Deny = 1, Serve = 2);
numbered!(RevocationReason:
    Unspecified = 0, KeyCompromise = 1, AffiliationChanged = 2, Superseded = 3,
    CessationOfOperation = 4, PrivilegeWithdrawn = 5,
);

macro_rules! written_as_text {
    ($($id:ident),+) => {
        $(impl Field for $id {
            fn write(&self, out: &mut Vec<u8>) {
                self.as_str().write(out);
            }
        })+
    };
}

written_as_text!(AppId, KeyId, KeySecretId, KeyspaceId, String);

impl Field for str {
    fn write(&self, out: &mut Vec<u8>) {
        length(self.len(), out);
        out.extend(self.as_bytes());
    }
}

impl<T: Field> Field for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        length(self.len(), out);
        for item in self {
            item.write(out);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<K: Field, V: Field> Field for BTreeMap<K, V> {
    fn write(&self, out: &mut Vec<u8>) {
        length(self.len(), out);
        for (key, value) in self {
            key.write(out);
            value.write(out);
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }
}

impl Field for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Field for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Field for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Field for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Field for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self);
    }
}

impl Field for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

fn length(length: usize, out: &mut Vec<u8>) {
    u64::try_from(length).unwrap_or(u64::MAX).write(out);
}

#[cfg(test)]
mod tests;
