//! Bringing a record together with everything that its references reach, in other documents too.

use std::collections::HashMap;
use std::sync::Arc;

use rochdale_protocol::data::Value;
use rochdale_protocol::syntax::{Nsid, RecordKey};

use crate::schema::{Definition, Fault, Record, SchemaFault, Type, Use};
use crate::validate::{Context, Invalid, KeyError};
use crate::{Document, Reference};

/// Most definitions that the references of one record may reach.
const MAX_DEFINITIONS: usize = 1024;

/// Why no record type can be made of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The main definition is no record.
    #[error("{0} does not define a record")]
    NotARecord(Nsid),
    /// A reference that is at fault, whatever the value.
    #[error("{document} at {fault}")]
    Reference {
        /// The document it stands in.
        document: Nsid,
        /// Where and what.
        fault: Fault,
    },
    /// References without end.
    #[error("{0} refers to more than {MAX_DEFINITIONS} definitions")]
    TooMany(Nsid),
}

/// The records of one collection: what they hold and what their keys look like.
///
/// A document that could not be had is no obstacle: a value that comes to it is told apart from one
/// that is wrong ([`Invalid::missing_schema`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordType {
    id: Nsid,
    definition: Arc<Definition>,
    targets: HashMap<Reference, Arc<Definition>>,
    missing: Vec<Nsid>,
}

impl RecordType {
    /// The record that `document` defines. `find` answers other documents; it is asked once for
    /// each.
    ///
    /// # Errors
    /// When the document defines no record, or a reference is at fault.
    pub fn link(
        document: &Arc<Document>,
        mut find: impl FnMut(&Nsid) -> Option<Arc<Document>>,
    ) -> Result<Self, LinkError> {
        let id = document.id().clone();
        let definition = document
            .main()
            .filter(|main| matches!(***main, Definition::Record(_)));
        let definition = definition.ok_or_else(|| LinkError::NotARecord(id.clone()))?;
        let mut documents = HashMap::from([(id.clone(), Some(Arc::clone(document)))]);
        let (mut targets, mut missing) = (HashMap::new(), Vec::new());
        let mut open = vec![(id.clone(), Arc::clone(definition))];
        while let Some((home, definition)) = open.pop() {
            for (path, reference, is_variant) in references(&definition) {
                if targets.contains_key(&reference) {
                    continue;
                }
                if targets.len() >= MAX_DEFINITIONS {
                    return Err(LinkError::TooMany(id));
                }
                let Some(nsid) = reference.nsid() else {
                    continue;
                };
                let found = documents.entry(nsid.clone()).or_insert_with(|| find(&nsid));
                let Some(found) = found else {
                    if !missing.contains(&nsid) {
                        missing.push(nsid);
                    }
                    continue;
                };
                let target = target(found, &reference, is_variant).map_err(|fault| {
                    let document = home.clone();
                    let fault = Fault { path, fault };
                    LinkError::Reference { document, fault }
                })?;
                open.push((nsid, Arc::clone(target)));
                targets.insert(reference, Arc::clone(target));
            }
        }
        let definition = Arc::clone(definition);
        Ok(Self {
            id,
            definition,
            targets,
            missing,
        })
    }

    /// The collection.
    #[must_use]
    pub fn id(&self) -> &Nsid {
        &self.id
    }

    /// Documents that references reach but `find` did not answer.
    #[must_use]
    pub fn missing(&self) -> &[Nsid] {
        &self.missing
    }

    /// Whether records may have this key.
    ///
    /// # Errors
    /// Says what keys look like here.
    pub fn check_key(&self, key: &RecordKey) -> Result<(), KeyError> {
        match &*self.definition {
            Definition::Record(Record { key: kind, .. }) if !kind.accepts(key) => Err(KeyError {
                collection: self.id.clone(),
                key: key.clone(),
                kind: kind.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether a value is a record of this type, its `$type` included. Stops at the first fault.
    ///
    /// # Errors
    /// Says where and why not.
    pub fn validate(&self, record: &Value) -> Result<(), Invalid> {
        let context = Context {
            targets: &self.targets,
        };
        context.record(&self.id, &self.definition, record)
    }

    /// How many definitions are held.
    #[must_use]
    pub fn definitions(&self) -> usize {
        self.targets.len() + 1
    }
}

fn references(definition: &Definition) -> Vec<(String, Reference, bool)> {
    let mut found = Vec::new();
    let mut path = String::new();
    definition.each_reference(&mut path, &mut |path, used| {
        let path = path.trim_start_matches('.').to_owned();
        found.push((
            path,
            used.reference().clone(),
            matches!(used, Use::Variant(_)),
        ));
    });
    found
}

/// What a reference refers to in its document, if that can be referred to so.
fn target<'d>(
    document: &'d Document,
    reference: &Reference,
    is_variant: bool,
) -> Result<&'d Arc<Definition>, SchemaFault> {
    let text = || reference.as_str().to_owned();
    let Some(target) = document.get(reference.name()) else {
        return Err(SchemaFault::NoDefinition(text()));
    };
    match &**target {
        Definition::Record(_) | Definition::Type(Type::Object(_)) => Ok(target),
        Definition::Type(_) if !is_variant => Ok(target),
        Definition::Type(_) => Err(SchemaFault::Target(
            text(),
            "no object, as variants of a union must be",
        )),
        Definition::Token
        | Definition::Query(_)
        | Definition::Procedure(_)
        | Definition::Subscription(_)
        | Definition::PermissionSet(_) => Err(SchemaFault::Target(text(), "no type of a value")),
    }
}

/// What is wrong with the references of a document, as far as `find` knows the others. Answers also
/// the documents that it does not know.
pub fn check_references(
    document: &Document,
    mut find: impl FnMut(&Nsid) -> Option<Arc<Document>>,
) -> (Vec<Fault>, Vec<Nsid>) {
    let (mut faults, mut missing) = (Vec::new(), Vec::new());
    document.each_reference(&mut |path, used| {
        let reference = used.reference();
        let Some(nsid) = reference.nsid() else { return };
        let is_variant = matches!(used, Use::Variant(_));
        let checked = if nsid == *document.id() {
            target(document, reference, is_variant).map(|_target| ())
        } else if let Some(other) = find(&nsid) {
            target(&other, reference, is_variant).map(|_target| ())
        } else {
            if !missing.contains(&nsid) {
                missing.push(nsid);
            }
            Ok(())
        };
        if let Err(fault) = checked {
            let path = path.to_owned();
            faults.push(Fault { path, fault });
        }
    });
    (faults, missing)
}

#[cfg(test)]
mod tests;
