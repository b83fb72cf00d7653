//! What every identifier kept as text has in common: one macro gives each type the same traits.
//!
//! The type itself supplies `fn check(&str) -> Result<Arc<str>, &'static str>`: the normalised text,
//! or the rule that the input breaks.

/// Implements the shared traits of a `struct $name(Arc<str>)` whose errors are `SyntaxError::$name`.
macro_rules! text_identifier {
    ($name:ident, $expecting:literal) => {
        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::syntax::SyntaxError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::check(text)
                    .map(Self)
                    .map_err(|reason| $crate::syntax::SyntaxError::$name {
                        value: $crate::syntax::quoted(text),
                        reason,
                    })
            }
        }

        $crate::syntax::text::text_traits!($name, $expecting);
    };
}

/// The traits that need no more than `as_str` and `FromStr`.
macro_rules! text_traits {
    ($name:ident, $expecting:literal) => {
        impl TryFrom<String> for $name {
            type Error = $crate::syntax::SyntaxError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::syntax::SyntaxError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        $crate::syntax::text::deserialize_from_text!($name, $expecting);
    };
}

/// `Deserialize` through `FromStr`, without an intermediate `String` where the input allows it.
macro_rules! deserialize_from_text {
    ($name:ident, $expecting:literal) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

pub(crate) use {deserialize_from_text, text_identifier, text_traits};
