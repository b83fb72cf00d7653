//! What can be wrong with a schema document.

use std::fmt;

use rochdale_protocol::data::json::JsonError;
use rochdale_protocol::syntax::SyntaxError;

use crate::reference::ReferenceError;

/// A document that is no schema: everything that is wrong with it, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// What is wrong, in the order of the document.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct Fault {
    /// Where, such as `defs.main.record.properties.text`; `$` is the whole document.
    pub path: String,
    /// What.
    pub fault: SchemaFault,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// Not JSON of the data model.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field that must be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field of another kind than the language has it.
    #[error("must be {0}")]
    Expected(&'static str),
    /// `$type` is there and is another.
    #[error("must be com.atproto.lexicon.schema, not `{0}`")]
    RecordType(String),
    /// Another version of the language.
    #[error("must be 1, the only version of the language")]
    Version,
    /// The id is no NSID.
    #[error(transparent)]
    Id(SyntaxError),
    /// No definitions.
    #[error("must have at least one definition")]
    NoDefinitions,
    /// A name that no reference can reach.
    #[error("`{0}` cannot name a definition: it is empty or holds `#` or `.`")]
    DefinitionName(String),
    /// A `type` that the language does not have.
    #[error("`{0}` is no type of the language")]
    UnknownType(String),
    /// A type of another place.
    #[error("a {kind} may not stand here: {allowed}")]
    Misplaced {
        /// The type.
        kind: String,
        /// What may stand here.
        allowed: &'static str,
    },
    /// A record, method or permission set under another name than `main`.
    #[error("a {0} must be the definition `main`")]
    NotMain(String),
    /// A reference that can refer to nothing.
    #[error("`{text}` is no reference: {cause}")]
    Reference {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        cause: ReferenceError,
    },
    /// Both a constant and a default.
    #[error("`const` and `default` exclude each other")]
    ConstAndDefault,
    /// A lower limit above the upper one.
    #[error("{minimum} is more than {maximum}, so nothing can be valid")]
    Limits {
        /// The lower limit.
        minimum: i64,
        /// The upper limit.
        maximum: i64,
    },
    /// A length below zero.
    #[error("must not be negative")]
    Negative,
    /// A size that nothing has.
    #[error("must be more than zero")]
    NotPositive,
    /// `required` or `nullable` names a property that is not declared.
    #[error("`{0}` is not among the properties")]
    NotAProperty(String),
    /// A string format that the language does not have.
    #[error("`{0}` is no string format of the language")]
    Format(String),
    /// A token in a list that names its document only by `#`.
    #[error("the token `{0}` must be written with its NSID")]
    LocalToken(String),
    /// A record key type that the language does not have.
    #[error("`{0}` is no record key type: use tid, nsid, any or literal:VALUE")]
    KeyType(String),
    /// A closed union without variants.
    #[error("a closed union without variants can hold nothing")]
    EmptyUnion,
    /// An encoding that is no media type.
    #[error("`{0}` is no media type or range such as application/json")]
    MediaType(String),
    /// A key that is no language tag.
    #[error(transparent)]
    Language(SyntaxError),
    /// Types in each other without end.
    #[error("types are nested more than 32 deep")]
    Depth,
    /// A reference to a definition that its document does not have.
    #[error("refers to {0}, which does not exist")]
    NoDefinition(String),
    /// A reference to something that is no value, or no variant of a union.
    #[error("refers to {0}, which is {1}")]
    Target(String, &'static str),
}

impl SchemaError {
    pub(crate) fn one(path: &str, fault: SchemaFault) -> Self {
        let path = path.to_owned();
        Self {
            faults: vec![Fault { path, fault }],
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.faults.iter().enumerate() {
            let gap = if place == 0 { "" } else { "; " };
            write!(f, "{gap}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SchemaError {}
