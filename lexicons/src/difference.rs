//! What changed between two versions of a schema, and whom it hurts.
//!
//! Follows the rules of evolution in the atproto "Lexicon" specification: fields may be added when
//! they are optional; what is required stays; types and names do not change; nothing gets tighter;
//! open unions may gain variants. What breaks these needs a new NSID.

mod limits;
#[cfg(test)]
mod tests;
mod value;

use crate::Document;
use crate::schema::{
    Body, Definition, Method, Object, PermissionSet, RecordKeyType, Subscription, Type,
};

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, such as `defs.main.record.properties.text`.
    pub path: String,
    /// Whom it hurts.
    pub effect: Effect,
    /// What, for people.
    pub text: String,
}

/// Whom a change hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nobody.
    Compatible,
    /// Software that knows only the older version may refuse some of the newer data.
    Loosened,
    /// The rules of evolution forbid it.
    Breaking,
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Compatible => "compatible",
            Self::Loosened => "loosened",
            Self::Breaking => "breaking",
        })
    }
}

/// What changed from `old` to `new`, in the order of the document.
#[must_use]
pub fn compare(old: &Document, new: &Document) -> Vec<Change> {
    let mut comparison = Comparison::default();
    if old.id() != new.id() {
        let text = format!("the id was {}, is {}", old.id(), new.id());
        comparison.within("id", |c| c.note(Effect::Breaking, text));
    }
    comparison.within("defs", |c| {
        for (name, old) in old.definitions() {
            c.within(name, |c| match new.get(name) {
                Some(new) => c.definition(old, new),
                None => c.note(Effect::Breaking, format!("the {} is gone", old.kind())),
            });
        }
        for (name, new) in new.definitions() {
            if old.get(name).is_none() {
                c.within(name, |c| {
                    c.note(Effect::Compatible, format!("a {} is new", new.kind()));
                });
            }
        }
    });
    comparison.changes
}

/// What was found so far, and where the comparison is.
#[derive(Default)]
struct Comparison {
    path: Vec<String>,
    changes: Vec<Change>,
}

impl Comparison {
    fn within(&mut self, segment: &str, compare: impl FnOnce(&mut Self)) {
        self.path.push(segment.to_owned());
        compare(self);
        self.path.pop();
    }

    fn note(&mut self, effect: Effect, text: impl Into<String>) {
        let (path, text) = (self.path.join("."), text.into());
        self.changes.push(Change { path, effect, text });
    }

    fn definition(&mut self, old: &Definition, new: &Definition) {
        match (old, new) {
            (Definition::Record(old), Definition::Record(new)) => {
                self.within("key", |c| c.key(&old.key, &new.key));
                self.within("record", |c| c.object(&old.object, &new.object));
            }
            (Definition::Query(old), Definition::Query(new))
            | (Definition::Procedure(old), Definition::Procedure(new)) => self.method(old, new),
            (Definition::Subscription(old), Definition::Subscription(new)) => {
                self.subscription(old, new);
            }
            (Definition::PermissionSet(old), Definition::PermissionSet(new)) => {
                self.permissions(old, new);
            }
            (Definition::Token, Definition::Token) => {}
            (Definition::Type(old), Definition::Type(new)) => self.value(old, new),
            (old, new) => self.kind(old.kind(), new.kind()),
        }
    }

    fn kind(&mut self, old: &str, new: &str) {
        self.note(Effect::Breaking, format!("the type was {old}, is {new}"));
    }

    fn key(&mut self, old: &RecordKeyType, new: &RecordKeyType) {
        if old != new {
            let effect = if *new == RecordKeyType::Any {
                Effect::Loosened
            } else {
                Effect::Breaking
            };
            self.note(effect, format!("the record key type was {old}, is {new}"));
        }
    }

    fn method(&mut self, old: &Method, new: &Method) {
        self.parameters(old.parameters.as_ref(), new.parameters.as_ref());
        self.within("input", |c| {
            c.body(old.input.as_ref(), new.input.as_ref(), Effect::Breaking);
        });
        self.within("output", |c| {
            c.body(old.output.as_ref(), new.output.as_ref(), Effect::Compatible);
        });
        self.errors(&old.errors, &new.errors);
    }

    fn subscription(&mut self, old: &Subscription, new: &Subscription) {
        self.parameters(old.parameters.as_ref(), new.parameters.as_ref());
        self.within("message", |c| {
            c.within("schema", |c| c.union(&old.message, &new.message));
        });
        self.errors(&old.errors, &new.errors);
    }

    /// None declared is the same as no parameters at all.
    fn parameters(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let none = Object::default();
        self.within("parameters", |c| {
            c.object(old.unwrap_or(&none), new.unwrap_or(&none));
        });
    }

    /// `added`: what it means that there is a body where there was none.
    fn body(&mut self, old: Option<&Body>, new: Option<&Body>, added: Effect) {
        match (old, new) {
            (None, None) => {}
            (None, Some(_)) => self.note(added, "a body is new"),
            (Some(_), None) => self.note(Effect::Breaking, "the body is gone"),
            (Some(old), Some(new)) => {
                if !old.encoding.eq_ignore_ascii_case(&new.encoding) {
                    let text = format!("the encoding was {}, is {}", old.encoding, new.encoding);
                    self.note(Effect::Breaking, text);
                }
                self.within("schema", |c| match (&old.schema, &new.schema) {
                    (None, None) => {}
                    (None, Some(_)) => c.note(Effect::Breaking, "a schema is demanded"),
                    (Some(_), None) => c.note(Effect::Loosened, "the schema is gone"),
                    (Some(old), Some(new)) => c.value(old, new),
                });
            }
        }
    }

    fn errors(&mut self, old: &[Box<str>], new: &[Box<str>]) {
        self.within("errors", |c| {
            for gone in old.iter().filter(|name| !new.contains(name)) {
                c.note(Effect::Loosened, format!("the error {gone} is gone"));
            }
            for added in new.iter().filter(|name| !old.contains(name)) {
                c.note(Effect::Compatible, format!("the error {added} is new"));
            }
        });
    }

    /// A set may change at any time: those who were granted it get what it says now.
    fn permissions(&mut self, old: &PermissionSet, new: &PermissionSet) {
        self.within("permissions", |c| {
            if old.permissions != new.permissions {
                c.note(Effect::Loosened, "the permissions of the set changed");
            }
        });
        if (&old.title, &old.titles, &old.detail, &old.details)
            != (&new.title, &new.titles, &new.detail, &new.details)
        {
            self.note(Effect::Compatible, "title or detail changed");
        }
    }

    fn object(&mut self, old: &Object, new: &Object) {
        self.within("properties", |c| {
            for was in &old.properties {
                c.within(&was.name, |c| match new.get(&was.name) {
                    None if was.required => c.note(Effect::Breaking, "a required property is gone"),
                    None => c.note(Effect::Loosened, "an optional property is gone"),
                    Some(is) => {
                        match (was.required, is.required) {
                            (false, true) => c.note(Effect::Breaking, "was optional, is required"),
                            (true, false) => c.note(Effect::Breaking, "was required, is optional"),
                            _ => {}
                        }
                        match (was.nullable, is.nullable) {
                            (true, false) => c.note(Effect::Breaking, "may no longer be null"),
                            (false, true) => c.note(Effect::Loosened, "may now be null"),
                            _ => {}
                        }
                        c.value(&was.value, &is.value);
                    }
                });
            }
            for is in new
                .properties
                .iter()
                .filter(|is| old.get(&is.name).is_none())
            {
                c.within(&is.name, |c| {
                    if is.required {
                        c.note(Effect::Breaking, "a required property is new");
                    } else {
                        c.note(Effect::Compatible, "an optional property is new");
                    }
                });
            }
        });
    }

    fn value(&mut self, old: &Type, new: &Type) {
        match (old, new) {
            (Type::Boolean(old), Type::Boolean(new)) => self.boolean(old, new),
            (Type::Integer(old), Type::Integer(new)) => self.integer(old, new),
            (Type::Text(old), Type::Text(new)) => self.text(old, new),
            (Type::Bytes(old), Type::Bytes(new)) => self.limits("Length", *old, *new),
            (Type::Blob(old), Type::Blob(new)) => self.blob(old, new),
            (Type::Array(old), Type::Array(new)) => {
                self.limits("Length", old.length, new.length);
                self.within("items", |c| c.value(&old.items, &new.items));
            }
            (Type::Object(old), Type::Object(new)) => self.object(old, new),
            (Type::Reference(old), Type::Reference(new)) if old == new => {}
            (Type::Reference(old), Type::Reference(new)) => {
                self.note(
                    Effect::Breaking,
                    format!("referred to {old}, refers to {new}"),
                );
            }
            (Type::Union(old), Type::Union(new)) => self.union(old, new),
            (Type::Link, Type::Link) | (Type::Unknown, Type::Unknown) => {}
            (old, new) => self.kind(old.kind(), new.kind()),
        }
    }
}
