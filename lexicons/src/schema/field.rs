//! The types of values: what a property, an element of an array or a named type can be.

use super::Use;
use crate::Reference;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Boolean(Boolean),
    /// An integer.
    Integer(Integer),
    /// Text.
    Text(Text),
    /// Bytes, of a length in bytes.
    Bytes(Limits),
    /// A link to another object.
    Link,
    /// A reference to a blob.
    Blob(Blob),
    /// A list.
    Array(Array),
    /// An object with named properties.
    Object(Object),
    /// Whatever the named definition is.
    Reference(Reference),
    /// An object that says by its `$type` which of several it is.
    Union(Union),
    /// Any object.
    Unknown,
}

/// The type of a boolean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boolean {
    /// What an absent one counts as.
    pub default: Option<bool>,
    /// The one value allowed.
    pub constant: Option<bool>,
}

/// The type of an integer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integer {
    /// Least value.
    pub minimum: Option<i64>,
    /// Greatest value.
    pub maximum: Option<i64>,
    /// The values allowed, if not all are.
    pub options: Option<Box<[i64]>>,
    /// What an absent one counts as.
    pub default: Option<i64>,
    /// The one value allowed.
    pub constant: Option<i64>,
}

/// The type of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The grammar it must follow.
    pub format: Option<Format>,
    /// Its length in bytes of UTF-8.
    pub bytes: Limits,
    /// Its length in extended grapheme clusters.
    pub graphemes: Limits,
    /// The values allowed, if not all are.
    pub options: Option<Box<[Box<str>]>>,
    /// Values with a meaning; others are allowed.
    pub known: Box<[Box<str>]>,
    /// What an absent one counts as.
    pub default: Option<Box<str>>,
    /// The one value allowed.
    pub constant: Option<Box<str>>,
}

/// Limits of a length, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Least length.
    pub minimum: Option<u64>,
    /// Greatest length.
    pub maximum: Option<u64>,
}

/// The grammars that a text can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the format of that name")]
pub enum Format {
    AtIdentifier,
    AtUri,
    Cid,
    Datetime,
    Did,
    Handle,
    Nsid,
    Tid,
    RecordKey,
    Uri,
    Language,
}

impl Format {
    /// All formats by name.
    pub const ALL: [(&'static str, Self); 11] = [
        ("at-identifier", Self::AtIdentifier),
        ("at-uri", Self::AtUri),
        ("cid", Self::Cid),
        ("datetime", Self::Datetime),
        ("did", Self::Did),
        ("handle", Self::Handle),
        ("nsid", Self::Nsid),
        ("tid", Self::Tid),
        ("record-key", Self::RecordKey),
        ("uri", Self::Uri),
        ("language", Self::Language),
    ];
}

/// The type of a reference to a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob {
    /// The media types allowed, if not all are.
    pub accept: Option<Box<[MediaRange]>>,
    /// Greatest size, in bytes.
    pub max_bytes: Option<u64>,
}

/// A media type, or a range of them such as `image/*`. Compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange(Box<str>);

impl MediaRange {
    /// Reads one: `a/b`, `a/*` or `*/*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        let part = |part: &str| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            part == "*" || (!part.is_empty() && part.bytes().all(token))
        };
        (part(kind) && part(rest) && (kind != "*" || rest == "*")).then(|| Self(text.into()))
    }

    /// As the schema has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a media type lies in the range. Parameters after a `;` do not count.
    #[must_use]
    pub fn contains(&self, mime: &str) -> bool {
        let mime = mime.split(';').next().unwrap_or_default().trim_ascii_end();
        let (Some((kind, rest)), Some((wanted_kind, wanted_rest))) =
            (mime.split_once('/'), self.0.split_once('/'))
        else {
            return false;
        };
        (wanted_kind == "*" || wanted_kind.eq_ignore_ascii_case(kind))
            && (wanted_rest == "*" || wanted_rest.eq_ignore_ascii_case(rest))
    }
}

/// The type of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// The type of each element.
    pub items: Box<Type>,
    /// The number of elements.
    pub length: Limits,
}

/// The type of an object. Properties that are not declared are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The declared properties.
    pub properties: Vec<Property>,
}

/// A declared property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its key.
    pub name: Box<str>,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it may be null.
    pub nullable: bool,
    /// The type of its value.
    pub value: Type,
}

impl Object {
    /// A property by its key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| &*property.name == name)
    }
}

/// The type of an object that says which of several it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Union {
    /// The variants.
    pub variants: Vec<Reference>,
    /// Whether there can be no others.
    pub closed: bool,
}

impl Type {
    /// What it is called in a schema.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Link => "cid-link",
            Self::Blob(_) => "blob",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Reference(_) => "ref",
            Self::Union(_) => "union",
            Self::Unknown => "unknown",
        }
    }

    /// Calls `found` for every reference inside, with its place. Types nest no deeper than the
    /// reader lets them.
    pub(crate) fn each_reference(&self, path: &mut String, found: &mut dyn FnMut(&str, Use<'_>)) {
        match self {
            Self::Reference(reference) => found(path, Use::Value(reference)),
            Self::Union(union) => {
                for variant in &union.variants {
                    found(path, Use::Variant(variant));
                }
            }
            Self::Array(array) => within(path, "items", |path| {
                array.items.each_reference(path, found);
            }),
            Self::Object(object) => object.each_reference(path, found),
            Self::Boolean(_)
            | Self::Integer(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Link
            | Self::Blob(_)
            | Self::Unknown => {}
        }
    }
}

impl Object {
    pub(crate) fn each_reference(&self, path: &mut String, found: &mut dyn FnMut(&str, Use<'_>)) {
        for property in &self.properties {
            within(path, "properties", |path| {
                within(path, &property.name, |path| {
                    property.value.each_reference(path, found);
                });
            });
        }
    }
}

/// Runs `inside` with `segment` at the end of the path.
pub(crate) fn within<T>(
    path: &mut String,
    segment: &str,
    inside: impl FnOnce(&mut String) -> T,
) -> T {
    let length = path.len();
    if !segment.starts_with('[') {
        path.push('.');
    }
    path.push_str(segment);
    let outcome = inside(path);
    path.truncate(length);
    outcome
}
