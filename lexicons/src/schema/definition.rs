//! Definitions: what a schema document gives names to.

use rochdale_protocol::syntax::{Nsid, RecordKey, Tid};

use super::field::within;
use super::{Object, PermissionSet, Type, Union, Use};

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// Records of a collection.
    Record(Record),
    /// A method that reads.
    Query(Method),
    /// A method that changes.
    Procedure(Method),
    /// A stream of messages.
    Subscription(Subscription),
    /// Permissions that are asked for together.
    PermissionSet(PermissionSet),
    /// A name with a meaning and no value.
    Token,
    /// A named type.
    Type(Type),
}

/// Records of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What their keys look like.
    pub key: RecordKeyType,
    /// What they hold.
    pub object: Object,
}

/// What the keys of a collection look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKeyType {
    /// Any record key.
    Any,
    /// A TID.
    Tid,
    /// An NSID.
    Nsid,
    /// This one.
    Literal(RecordKey),
}

impl RecordKeyType {
    /// Reads `tid`, `nsid`, `any` or `literal:VALUE`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "any" => Self::Any,
            "tid" => Self::Tid,
            "nsid" => Self::Nsid,
            literal => Self::Literal(literal.strip_prefix("literal:")?.parse().ok()?),
        })
    }

    /// Whether a key is of this kind.
    #[must_use]
    pub fn accepts(&self, key: &RecordKey) -> bool {
        match self {
            Self::Any => true,
            Self::Tid => key.as_str().parse::<Tid>().is_ok(),
            Self::Nsid => key.as_str().parse::<Nsid>().is_ok(),
            Self::Literal(literal) => literal == key,
        }
    }
}

impl std::fmt::Display for RecordKeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Tid => f.write_str("tid"),
            Self::Nsid => f.write_str("nsid"),
            Self::Literal(literal) => write!(f, "literal:{literal}"),
        }
    }
}

/// A method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// What stands in the URL.
    pub parameters: Option<Object>,
    /// What is sent.
    pub input: Option<Body>,
    /// What is answered.
    pub output: Option<Body>,
    /// Names of its errors.
    pub errors: Vec<Box<str>>,
}

/// What a request or an answer carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub encoding: Box<str>,
    /// Its type: an object, a reference or a union.
    pub schema: Option<Type>,
}

/// A stream of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What stands in the URL.
    pub parameters: Option<Object>,
    /// The messages.
    pub message: Union,
    /// Names of its errors.
    pub errors: Vec<Box<str>>,
}

impl Definition {
    /// What it is called in a schema.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Query(_) => "query",
            Self::Procedure(_) => "procedure",
            Self::Subscription(_) => "subscription",
            Self::PermissionSet(_) => "permission-set",
            Self::Token => "token",
            Self::Type(value) => value.kind(),
        }
    }

    /// The object that a value of this definition is, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Record(record) => Some(&record.object),
            Self::Type(Type::Object(object)) => Some(object),
            Self::Type(_)
            | Self::Query(_)
            | Self::Procedure(_)
            | Self::Subscription(_)
            | Self::PermissionSet(_)
            | Self::Token => None,
        }
    }

    pub(crate) fn each_reference(&self, path: &mut String, found: &mut dyn FnMut(&str, Use<'_>)) {
        match self {
            Self::Record(record) => within(path, "record", |path| {
                record.object.each_reference(path, found);
            }),
            Self::Query(method) | Self::Procedure(method) => {
                for (key, body) in [("input", &method.input), ("output", &method.output)] {
                    if let Some(schema) = body.as_ref().and_then(|body| body.schema.as_ref()) {
                        within(path, key, |path| {
                            within(path, "schema", |path| schema.each_reference(path, found));
                        });
                    }
                }
            }
            Self::Subscription(stream) => within(path, "message", |path| {
                within(path, "schema", |path| {
                    for variant in &stream.message.variants {
                        found(path, Use::Variant(variant));
                    }
                });
            }),
            Self::PermissionSet(_) | Self::Token => {}
            Self::Type(value) => value.each_reference(path, found),
        }
    }
}
