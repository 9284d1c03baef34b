//! The headers that a sender of a scheme would send, to try a receiver with.

use super::key::base64;
use super::{Key, Scheme};
use crate::signature::{MAX_SIGNATURES, Signer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    #[error("there is no secret to sign with")]
    NoKey,
    #[error("a public key cannot sign")]
    PublicKey,
    #[error("this scheme signs with a shared secret")]
    NotShared,
    #[error("at most {MAX_SIGNATURES} secrets can sign")]
    TooMany,
}

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    pub scheme: Scheme,
    pub id: &'a str,
    pub timestamp_s: i64,
    pub body: &'a [u8],
}

impl ToSign<'_> {
    /// Headers with a signature for each key; GitHub and Shopify send that of the first.
    pub fn headers(&self, keys: &[Key]) -> Result<Vec<(&'static str, String)>, CannotSign> {
        let first = keys.first().ok_or(CannotSign::NoKey)?;
        if keys.len() > MAX_SIGNATURES {
            return Err(CannotSign::TooMany);
        }
        let name = self.scheme.signature_header();
        let signed = match self.scheme {
            Scheme::Webhook => self.standard(["webhook-id", "webhook-timestamp"], keys)?,
            Scheme::Svix => self.standard(["svix-id", "svix-timestamp"], keys)?,
            Scheme::Stripe => vec![(name, self.stripe(keys)?)],
            Scheme::Github => vec![(name, format!("sha256={}", hex(&self.tag(first, "")?)))],
            Scheme::Shopify => vec![(name, base64(self.tag(first, "")?))],
        };
        Ok(signed)
    }

    fn standard(
        &self,
        [id, timestamp]: [&'static str; 2],
        keys: &[Key],
    ) -> Result<Vec<(&'static str, String)>, CannotSign> {
        let prefix = format!("{}.{}.", self.id, self.timestamp_s);
        let one = |key: &Key| -> Result<String, CannotSign> {
            if key.is_hmac() {
                return Ok(format!("v1,{}", base64(self.tag(key, &prefix)?)));
            }
            let signer = Signer::new(key.private().ok_or(CannotSign::PublicKey)?);
            let mut signature = String::new();
            signer.sign_into(self.id, self.timestamp_s, self.body, &mut signature);
            Ok(signature)
        };
        let signatures: Vec<String> = keys.iter().map(one).collect::<Result<_, _>>()?;
        Ok(vec![
            (id, self.id.to_owned()),
            (timestamp, self.timestamp_s.to_string()),
            (self.scheme.signature_header(), signatures.join(" ")),
        ])
    }

    fn stripe(&self, keys: &[Key]) -> Result<String, CannotSign> {
        let prefix = format!("{}.", self.timestamp_s);
        let mut header = format!("t={}", self.timestamp_s);
        for key in keys {
            header.push_str(",v1=");
            header.push_str(&hex(&self.tag(key, &prefix)?));
        }
        Ok(header)
    }

    fn tag(&self, key: &Key, prefix: &str) -> Result<Vec<u8>, CannotSign> {
        let tag = key.tag(prefix, self.body).ok_or(CannotSign::NotShared)?;
        Ok(tag.as_ref().to_vec())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
