//! What is declared about one setting, and the macro that declares a section of them.

use super::format::Format;

/// One setting, as its section declares it.
#[derive(Debug, Clone)]
pub struct Setting {
    pub section: &'static str,
    pub section_doc: &'static str,
    pub key: &'static str,
    pub env: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    /// What a good value looks like, to follow "expected".
    pub expects: String,
    /// The text as it may be printed.
    pub show: fn(&str) -> String,
    /// Secrets have no flag: other users of the machine can read a command line.
    pub has_flag: bool,
}

pub const ENV_PREFIX: &str = "DOORBELL_";

impl Setting {
    /// `section.key`, as a TOML file spells it.
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// `--listen` for `DOORBELL_LISTEN`.
    pub fn flag(&self) -> Option<String> {
        let name = self.env.strip_prefix(ENV_PREFIX).unwrap_or(self.env);
        self.has_flag.then(|| name.to_lowercase().replace('_', "-"))
    }
}

/// The fixed part of a declaration; the format adds the rest.
pub struct Declaration {
    pub section: &'static str,
    pub section_doc: &'static str,
    pub key: &'static str,
    pub env: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
}

impl Declaration {
    pub fn with<T>(self, format: &Format<T>) -> Setting {
        Setting {
            section: self.section,
            section_doc: self.section_doc,
            key: self.key,
            env: self.env,
            default: self.default,
            doc: self.doc,
            expects: format.expects.clone(),
            show: format.show,
            has_flag: !format.secret,
        }
    }
}

/// Declares a section: a struct with one typed field per setting, and `read`, which reads them all.
///
/// ```ignore
/// section! {
///     /// What the section is about.
///     Log = "log" {
///         /// What the setting means.
///         filter: String = "info", "DOORBELL_LOG", log_filter();
///     }
/// }
/// ```
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $section:ident = $name:literal {
            $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, $env:literal, $format:expr; )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug)]
        pub struct $section {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl $section {
            const DOC: &'static str = concat!($($section_doc),+);

            /// Reads every setting before it asks whether all were good, so that no mistake hides another.
            pub(super) fn read(reader: &mut $crate::config::Reader) -> Option<Self> {
                $( let $key = {
                    let declaration = $crate::config::setting::Declaration {
                        section: $name,
                        section_doc: Self::DOC,
                        key: stringify!($key),
                        env: $env,
                        default: $default,
                        doc: concat!($($doc),+),
                    };
                    reader.read(declaration, $format)
                }; )+
                Some(Self { $( $key: $key?, )+ })
            }
        }
    };
}
pub(super) use section;
