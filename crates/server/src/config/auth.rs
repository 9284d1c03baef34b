use std::fmt;

use super::format::Format;
use super::setting::section;

const MIN_TOKEN_CHARACTERS: usize = 16;

section! {
    /// Who may call the API.
    Auth = "auth" {
        /// The first admin token, instead of a generated one. Has no flag: a command line is no place for a secret.
        admin_token: Option<Secret> = "", "DOORBELL_ADMIN_TOKEN", token().optional();
    }
}

/// A text that debug output does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn token() -> Format<Secret> {
    let format =
        Format::new(format!("at least {MIN_TOKEN_CHARACTERS} visible ASCII characters"), |text| {
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("has a character that a request header cannot carry".to_owned());
            }
            match text.len() {
                MIN_TOKEN_CHARACTERS.. => Ok(Secret(text.to_owned())),
                length => Err(format!("has only {length} characters")),
            }
        });
    format.secret()
}
