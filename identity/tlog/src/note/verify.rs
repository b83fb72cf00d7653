//! Whose signatures count.

use std::collections::BTreeMap;

use super::{KeyId, KeyName, Note, NoteError, VerifierKey};

/// The keys that are known, found by what a signature line says.
#[derive(Clone, Debug, Default)]
pub struct Verifiers(BTreeMap<(KeyName, KeyId), VerifierKey>);

impl Verifiers {
    /// A set of keys. The same key may come twice; [`NoteError::AmbiguousKey`] if two different
    /// ones have one name and ID, for then a signature line does not say whose it is.
    pub fn new(keys: impl IntoIterator<Item = VerifierKey>) -> Result<Self, NoteError> {
        let mut known = BTreeMap::new();
        for key in keys {
            let place = (key.name().clone(), key.id());
            match known.get(&place) {
                Some(other) if *other != key => {
                    return Err(NoteError::AmbiguousKey(place.0, place.1));
                }
                _ => known.insert(place, key),
            };
        }
        Ok(Self(known))
    }

    /// The key of a name and ID.
    #[must_use]
    pub fn get(&self, name: &KeyName, id: KeyId) -> Option<&VerifierKey> {
        // The map's keys are pairs, and a pair of references is no reference to a pair.
        self.0.get(&(name.clone(), id))
    }
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// Whose it is.
    pub key: &'a VerifierKey,
    /// When the cosigner says that it signed, in Unix seconds; `None` from a key that names no time.
    pub time_s: Option<u64>,
}

pub(super) fn verify<'a>(
    note: &Note,
    known: &'a Verifiers,
) -> Result<Vec<Verified<'a>>, NoteError> {
    let mut verified = Vec::new();
    for signature in note.signatures() {
        let Some(key) = known.get(signature.name(), signature.id()) else {
            continue;
        };
        let Some(time_s) = key.verify(note.text(), signature.bytes()) else {
            let name = signature.name().clone();
            return Err(NoteError::BadSignature(name, signature.id()));
        };
        verified.push(Verified { key, time_s });
    }
    if verified.is_empty() {
        return Err(NoteError::UnknownSigners);
    }
    Ok(verified)
}
