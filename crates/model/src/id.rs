//! Typed ids: a prefix that names the kind, then base62 in ASCII order.
//!
//! Most ids are 8 characters of time (milliseconds) and 19 of randomness (113 bits), so that
//! text order is order of creation. A delivery's id begins with its message's body and an
//! attempt's id with its delivery's: everything that belongs to one message is one range of a
//! primary key, and settling the same attempt twice cannot record it twice.

use std::fmt;
use std::str::FromStr;

use crate::{Entropy, Timestamp};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TIME_LEN: usize = 8;
const BODY_LEN: usize = 27;
const DELIVERY_SUFFIX_LEN: usize = 8;
const ATTEMPT_SUFFIX_LEN: usize = 2;
/// 62^10 < 2^64: what one draw of 64 bits fills evenly.
const DIGITS_PER_DRAW: usize = 10;

/// Not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0} id")]
pub struct BadId(pub &'static str);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; Self::LEN]);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
            const LEN: usize = $prefix.len() + $body;

            #[must_use]
            pub fn as_str(&self) -> &str {
                // Only ASCII is ever written into an id.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            fn blank() -> [u8; Self::LEN] {
                let mut text = [b'0'; Self::LEN];
                text[..$prefix.len()].copy_from_slice($prefix.as_bytes());
                text
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bytes: [u8; Self::LEN] =
                    text.as_bytes().try_into().map_err(|_| BadId($prefix))?;
                let body = bytes.strip_prefix($prefix.as_bytes()).ok_or(BadId($prefix))?;
                if !body.iter().all(u8::is_ascii_alphanumeric) {
                    return Err(BadId($prefix));
                }
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! timed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        id!($(#[$doc])* $name, $prefix, BODY_LEN);

        impl $name {
            #[must_use]
            pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
                let mut text = Self::blank();
                let body = &mut text[$prefix.len()..];
                let (time, random) = body.split_at_mut(TIME_LEN);
                write_base62(time, time_part(now));
                for digits in random.chunks_mut(DIGITS_PER_DRAW) {
                    write_base62(digits, entropy.next_u64());
                }
                Self(text)
            }

            /// The lowest id that can be made at `moment`: a bound for ranges of time.
            #[must_use]
            pub fn floor(moment: Timestamp) -> Self {
                let mut text = Self::blank();
                let body = &mut text[$prefix.len()..];
                write_base62(&mut body[..TIME_LEN], time_part(moment));
                Self(text)
            }
        }
    };
}

timed_id!(AppId, "app_");
timed_id!(EndpointId, "ep_");
timed_id!(EventTypeId, "evtype_");
timed_id!(MessageId, "msg_");
timed_id!(
    /// A background task, in the prefix that Svix clients know.
    TaskId,
    "qtask_"
);
timed_id!(KeyspaceId, "ks_");
timed_id!(KeyId, "key_");
timed_id!(KeySecretId, "ksec_");
timed_id!(UserId, "user_");
timed_id!(SessionId, "sess_");
timed_id!(
    /// A maintenance window.
    WindowId,
    "mwin_"
);
timed_id!(
    /// A replay, of one delivery or of many.
    ReplayId,
    "rpl_"
);
id!(DeliveryId, "dlv_", BODY_LEN + DELIVERY_SUFFIX_LEN);
id!(AttemptId, "atmpt_", BODY_LEN + DELIVERY_SUFFIX_LEN + ATTEMPT_SUFFIX_LEN);

impl MessageId {
    /// When it was made.
    #[must_use]
    pub fn moment(&self) -> Timestamp {
        let time = &self.0[Self::PREFIX.len()..][..TIME_LEN];
        let digit = |byte: &u8| ALPHABET.iter().position(|digit| digit == byte).unwrap_or(0);
        let ms = time.iter().fold(0_u64, |ms, byte| ms * 62 + digit(byte) as u64);
        Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    /// The half-open range of delivery ids that belong to this message.
    #[must_use]
    pub fn delivery_range(&self) -> (String, String) {
        range("dlv_", &self.0[Self::PREFIX.len()..])
    }

    /// The half-open range of attempt ids that belong to this message.
    #[must_use]
    pub fn attempt_range(&self) -> (String, String) {
        range("atmpt_", &self.0[Self::PREFIX.len()..])
    }
}

impl DeliveryId {
    #[must_use]
    pub fn new(message: &MessageId, entropy: &Entropy) -> Self {
        let mut text = Self::blank();
        let body = &mut text[Self::PREFIX.len()..];
        body[..BODY_LEN].copy_from_slice(&message.0[MessageId::PREFIX.len()..]);
        write_base62(&mut body[BODY_LEN..], entropy.next_u64());
        Self(text)
    }

    #[must_use]
    pub fn message_id(&self) -> MessageId {
        let mut text = MessageId::blank();
        text[MessageId::PREFIX.len()..].copy_from_slice(&self.0[Self::PREFIX.len()..][..BODY_LEN]);
        MessageId(text)
    }

    /// The half-open range of attempt ids that belong to this delivery.
    #[must_use]
    pub fn attempt_range(&self) -> (String, String) {
        range("atmpt_", &self.0[Self::PREFIX.len()..])
    }
}

impl AttemptId {
    /// The id of the `number`-th attempt (from 1) of a delivery.
    #[must_use]
    pub fn new(delivery: &DeliveryId, number: u32) -> Self {
        let mut text = Self::blank();
        let body = &mut text[Self::PREFIX.len()..];
        let (start, suffix) = body.split_at_mut(BODY_LEN + DELIVERY_SUFFIX_LEN);
        start.copy_from_slice(&delivery.0[DeliveryId::PREFIX.len()..]);
        write_base62(suffix, u64::from(number));
        Self(text)
    }

    #[must_use]
    pub fn delivery_id(&self) -> DeliveryId {
        let mut text = DeliveryId::blank();
        text[DeliveryId::PREFIX.len()..]
            .copy_from_slice(&self.0[Self::PREFIX.len()..][..BODY_LEN + DELIVERY_SUFFIX_LEN]);
        DeliveryId(text)
    }

    #[must_use]
    pub fn message_id(&self) -> MessageId {
        self.delivery_id().message_id()
    }
}

fn time_part(moment: Timestamp) -> u64 {
    u64::try_from(moment.0).unwrap_or(0)
}

/// Writes the low digits of `value`, most significant first.
fn write_base62(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = ALPHABET[usize::try_from(value % 62).unwrap_or(0)];
        value /= 62;
    }
}

fn range(prefix: &str, body: &[u8]) -> (String, String) {
    let body = std::str::from_utf8(body).unwrap_or_default();
    // '~' sorts after every character of the alphabet.
    (format!("{prefix}{body}"), format!("{prefix}{body}~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_508_812_345);

    #[test]
    fn text_order_is_order_of_creation() {
        let entropy = Entropy::seeded(1);
        let ids: Vec<MessageId> =
            (0..200).map(|ms| MessageId::new(NOW.plus_ms(ms * 7), &entropy)).collect();
        assert!(ids.is_sorted());
        assert!(MessageId::floor(NOW) <= ids[0] && ids[0] < MessageId::floor(NOW.plus_ms(1)));
        assert_eq!(ids[3].moment(), NOW.plus_ms(21));
    }

    #[test]
    fn lengths_are_those_that_clients_know() {
        let entropy = Entropy::seeded(1);
        assert_eq!(AppId::new(NOW, &entropy).as_str().len(), 31);
        assert_eq!(EndpointId::new(NOW, &entropy).as_str().len(), 30);
        assert_eq!(MessageId::new(NOW, &entropy).as_str().len(), 31);
    }

    #[test]
    fn an_attempt_names_its_delivery_and_its_message() {
        let entropy = Entropy::seeded(2);
        let message = MessageId::new(NOW, &entropy);
        let delivery = DeliveryId::new(&message, &entropy);
        let attempt = AttemptId::new(&delivery, 61);
        assert_eq!(attempt.delivery_id(), delivery);
        assert_eq!(attempt.message_id(), message);
        assert!(attempt.as_str().ends_with("0z"));
        let (low, high) = message.attempt_range();
        assert!(low.as_str() <= attempt.as_str() && attempt.as_str() < high.as_str());
    }

    #[test]
    fn foreign_text_is_refused() {
        let id = MessageId::new(NOW, &Entropy::seeded(3));
        assert_eq!(id.as_str().parse(), Ok(id));
        assert!("msg_short".parse::<MessageId>().is_err());
        assert!(id.as_str().parse::<AppId>().is_err());
        assert!(id.as_str().replace('0', "é").parse::<MessageId>().is_err());
    }
}
