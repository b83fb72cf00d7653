//! Reading the types of values.

use rochdale_protocol::data::{Map, Value};

use super::Reader;
use crate::Reference;
use crate::schema::fault::SchemaFault;
use crate::schema::field::{
    Array, Blob, Boolean, Format, Integer, MediaRange, Object, Property, Text, Type, Union,
};

/// Where a type stands, which decides what it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::schema) enum Place {
    /// A definition of its own.
    Named,
    /// A property of an object or an element of an array.
    Field,
    /// A parameter in a URL.
    Parameter,
    /// An element of a parameter that is an array.
    ParameterItem,
    /// What a request, answer or message is.
    Body,
}

impl Place {
    fn allows(self, kind: &str) -> bool {
        match self {
            Self::Named => !matches!(kind, "ref" | "union" | "unknown"),
            Self::Field => true,
            Self::Parameter => matches!(kind, "boolean" | "integer" | "string" | "array"),
            Self::ParameterItem => matches!(kind, "boolean" | "integer" | "string"),
            Self::Body => matches!(kind, "object" | "ref" | "union"),
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Named => {
                "a definition is a record, a method, a permission set, a token, an object, an array or a plain value"
            }
            Self::Field => {
                "a value is a plain value, an array, an object, a ref, a union or unknown"
            }
            Self::Parameter => {
                "a parameter is a boolean, an integer, a string or an array of those"
            }
            Self::ParameterItem => "elements are booleans, integers or strings",
            Self::Body => "it must be an object, a ref or a union",
        }
    }
}

/// Types that name something but are no values.
const NO_VALUES: [&str; 8] = [
    "token",
    "params",
    "permission",
    "record",
    "query",
    "procedure",
    "subscription",
    "permission-set",
];

impl Reader {
    /// The type that a value describes, where it may stand.
    pub(super) fn field(&mut self, value: Option<&Value>, place: Place) -> Option<Type> {
        self.deeper(|reader| reader.field_here(value, place))
    }

    fn field_here(&mut self, value: Option<&Value>, place: Place) -> Option<Type> {
        let map = self.object(value)?;
        let kind = self.kind(map)?;
        let known = matches!(
            kind,
            "boolean"
                | "integer"
                | "string"
                | "bytes"
                | "cid-link"
                | "blob"
                | "array"
                | "object"
                | "ref"
                | "union"
                | "unknown"
        );
        if !known && !NO_VALUES.contains(&kind) {
            return self.fault_at("type", SchemaFault::UnknownType(kind.to_owned()));
        }
        if !known || !place.allows(kind) {
            let (kind, allowed) = (kind.to_owned(), place.allowed());
            return self.fault(SchemaFault::Misplaced { kind, allowed });
        }
        self.text(map, "description");
        match kind {
            "boolean" => Some(Type::Boolean(self.boolean(map))),
            "integer" => Some(Type::Integer(self.integer(map))),
            "string" => Some(Type::Text(self.string(map))),
            "bytes" => Some(Type::Bytes(self.limits(map, "minLength", "maxLength"))),
            "cid-link" => Some(Type::Link),
            "blob" => Some(Type::Blob(self.blob(map))),
            "array" => self.array(map, place).map(Type::Array),
            "object" => Some(Type::Object(self.properties(map, Place::Field))),
            "ref" => self.reference(map).map(Type::Reference),
            "union" => Some(Type::Union(self.union(map))),
            _ => Some(Type::Unknown),
        }
    }

    fn boolean(&mut self, map: &Map) -> Boolean {
        let read = Boolean {
            default: self.flag(map, "default"),
            constant: self.flag(map, "const"),
        };
        self.not_both(read.default.is_some(), read.constant.is_some());
        read
    }

    fn integer(&mut self, map: &Map) -> Integer {
        let read = Integer {
            minimum: self.number(map, "minimum"),
            maximum: self.number(map, "maximum"),
            options: self
                .list(map, "enum", "a list of integers", Value::as_integer)
                .map(Into::into),
            default: self.number(map, "default"),
            constant: self.number(map, "const"),
        };
        if let (Some(minimum), Some(maximum)) = (read.minimum, read.maximum)
            && minimum > maximum
        {
            self.fault::<()>(SchemaFault::Limits { minimum, maximum });
        }
        self.not_both(read.default.is_some(), read.constant.is_some());
        read
    }

    fn string(&mut self, map: &Map) -> Text {
        let format = self.text(map, "format").and_then(|name| {
            let found = Format::ALL.iter().find(|(known, _)| *known == name);
            match found {
                Some((_, format)) => Some(*format),
                None => self.fault_at("format", SchemaFault::Format(name.to_owned())),
            }
        });
        let read = Text {
            format,
            bytes: self.limits(map, "minLength", "maxLength"),
            graphemes: self.limits(map, "minGraphemes", "maxGraphemes"),
            options: self.values(map, "enum").map(Into::into),
            known: self.values(map, "knownValues").unwrap_or_default().into(),
            default: self.text(map, "default").map(Into::into),
            constant: self.text(map, "const").map(Into::into),
        };
        self.not_both(read.default.is_some(), read.constant.is_some());
        read
    }

    /// A list of texts, among them perhaps tokens.
    fn values(&mut self, map: &Map, key: &'static str) -> Option<Vec<Box<str>>> {
        let values = self.texts(map, key)?;
        for value in values.iter().filter(|value| value.starts_with('#')) {
            self.fault_at::<()>(key, SchemaFault::LocalToken(value.to_string()));
        }
        Some(values)
    }

    fn blob(&mut self, map: &Map) -> Blob {
        let accept = self.texts(map, "accept").map(|texts| {
            let mut ranges = Vec::with_capacity(texts.len());
            for text in texts {
                match MediaRange::parse(&text) {
                    Some(range) => ranges.push(range),
                    None => {
                        self.fault_at::<()>("accept", SchemaFault::MediaType(text.into()));
                    }
                }
            }
            ranges.into()
        });
        let max_bytes = self.length(map, "maxSize");
        if max_bytes == Some(0) {
            self.fault_at::<()>("maxSize", SchemaFault::NotPositive);
        }
        Blob { accept, max_bytes }
    }

    fn array(&mut self, map: &Map, place: Place) -> Option<Array> {
        let length = self.limits(map, "minLength", "maxLength");
        let place = if place == Place::Parameter {
            Place::ParameterItem
        } else {
            Place::Field
        };
        let items = self.needed(map, "items")?;
        let items = self.nested("items", |reader| reader.field(Some(items), place))?;
        let items = Box::new(items);
        Some(Array { items, length })
    }

    /// The properties of an object or of parameters. None declared is an object of any kind.
    pub(super) fn properties(&mut self, map: &Map, place: Place) -> Object {
        let required = self.texts(map, "required").unwrap_or_default();
        let nullable = if place == Place::Field {
            self.texts(map, "nullable").unwrap_or_default()
        } else {
            Vec::new()
        };
        let declared = match map.get("properties") {
            None => None,
            Some(value) => self.nested("properties", |reader| reader.object(Some(value))),
        };
        for (key, names) in [("required", &required), ("nullable", &nullable)] {
            for name in names {
                if !declared.is_some_and(|declared| declared.contains_key(name)) {
                    self.fault_at::<()>(key, SchemaFault::NotAProperty(name.to_string()));
                }
            }
        }
        let mut properties = Vec::with_capacity(declared.map_or(0, Map::len));
        for (name, value) in declared.iter().flat_map(|declared| declared.iter()) {
            let value = self.nested("properties", |reader| {
                reader.nested(name, |reader| reader.field(Some(value), place))
            });
            let Some(value) = value else { continue };
            let is = |names: &[Box<str>]| names.iter().any(|given| &**given == name);
            properties.push(Property {
                name: name.into(),
                required: is(&required),
                nullable: is(&nullable),
                value,
            });
        }
        Object { properties }
    }

    fn reference(&mut self, map: &Map) -> Option<Reference> {
        let text = self.needed_text(map, "ref")?;
        self.parse_reference("ref", text)
    }

    fn parse_reference(&mut self, key: &str, text: &str) -> Option<Reference> {
        match Reference::parse(text, &self.id) {
            Ok(reference) => Some(reference),
            Err(cause) => {
                let text = text.to_owned();
                self.fault_at(key, SchemaFault::Reference { text, cause })
            }
        }
    }

    pub(super) fn union(&mut self, map: &Map) -> Union {
        let closed = self.flag(map, "closed").unwrap_or(false);
        if self.needed(map, "refs").is_none() {
            return Union {
                variants: Vec::new(),
                closed,
            };
        }
        let texts = self.texts(map, "refs").unwrap_or_default();
        if texts.is_empty() && closed {
            self.fault::<()>(SchemaFault::EmptyUnion);
        }
        let variants = texts
            .iter()
            .filter_map(|text| self.parse_reference("refs", text));
        let variants = variants.collect();
        Union { variants, closed }
    }

    fn not_both(&mut self, default: bool, constant: bool) {
        if default && constant {
            self.fault::<()>(SchemaFault::ConstAndDefault);
        }
    }
}
