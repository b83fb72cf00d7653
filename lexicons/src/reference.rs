//! References from one definition to another: `nsid`, `nsid#name`, `#name`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use rochdale_protocol::syntax::{Nsid, SyntaxError};

/// The name of the definition that a bare NSID refers to.
pub(crate) const MAIN: &str = "main";

/// A definition anywhere, in the form in which it stands in a value's `$type`: `nsid` for the main
/// definition of a document, `nsid#name` for another.
#[derive(Clone)]
pub struct Reference {
    text: Box<str>,
    /// Where the `#` stands, or the end.
    nsid_bytes: usize,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// What stands before the `#` is no NSID.
    #[error(transparent)]
    Nsid(#[from] SyntaxError),
    /// What stands after the `#` names nothing.
    #[error("a name must follow the `#`, without another `#`")]
    Name,
}

impl Reference {
    /// The definition `name` of the document `id`.
    #[must_use]
    pub fn new(id: &Nsid, name: &str) -> Self {
        let nsid_bytes = id.as_str().len();
        let text = if name == MAIN {
            id.as_str().into()
        } else {
            format!("{id}#{name}").into()
        };
        Self { text, nsid_bytes }
    }

    /// Reads a reference that stands in the document `home`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str, home: &Nsid) -> Result<Self, ReferenceError> {
        let Some((nsid, name)) = text.split_once('#') else {
            return Ok(Self::new(&text.parse()?, MAIN));
        };
        if name.is_empty() || name.contains('#') {
            return Err(ReferenceError::Name);
        }
        if nsid.is_empty() {
            return Ok(Self::new(home, name));
        }
        Ok(Self::new(&nsid.parse()?, name))
    }

    /// The text, as a `$type` has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The NSID of the document, as text.
    #[must_use]
    pub fn document(&self) -> &str {
        self.text.get(..self.nsid_bytes).unwrap_or_default()
    }

    /// The NSID of the document.
    #[must_use]
    pub fn nsid(&self) -> Option<Nsid> {
        // Parsed once already; it is kept as text because references are compared with `$type`.
        self.document().parse().ok()
    }

    /// The name of the definition in its document.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(self.nsid_bytes + 1..).unwrap_or(MAIN)
    }
}

// All of these go by the text alone, so that a reference is found by the `$type` of a value.

impl PartialEq for Reference {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Reference {}

impl Hash for Reference {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Reference {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_kept_as_a_type_has_it() {
        let home: Nsid = "com.example.home".parse().unwrap();
        for (text, kept, document, name) in [
            ("com.example.a", "com.example.a", "com.example.a", "main"),
            (
                "com.example.a#main",
                "com.example.a",
                "com.example.a",
                "main",
            ),
            ("com.example.a#b", "com.example.a#b", "com.example.a", "b"),
            ("#b", "com.example.home#b", "com.example.home", "b"),
            ("#main", "com.example.home", "com.example.home", "main"),
        ] {
            let reference = Reference::parse(text, &home).unwrap();
            assert_eq!(reference.as_str(), kept);
            assert_eq!((reference.document(), reference.name()), (document, name));
            assert_eq!(reference.nsid().unwrap().as_str(), document);
        }
    }

    #[test]
    fn what_names_no_definition_is_refused() {
        let home: Nsid = "com.example.home".parse().unwrap();
        for text in [
            "",
            "#",
            "com.example.a#",
            "com.example.a#b#c",
            "com#b",
            "a b#c",
        ] {
            assert!(Reference::parse(text, &home).is_err(), "{text}");
        }
    }
}
