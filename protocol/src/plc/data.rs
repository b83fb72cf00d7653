//! The state of a DID after an operation.

use crate::syntax::Did;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One service of a DID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What kind of service it is, for instance `AtprotoPersonalDataServer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is, normally an `https` origin.
    pub endpoint: String,
}

/// What a DID's document is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DidData {
    /// The DID itself.
    pub did: Did,
    /// Who may sign the next operation, `did:key` strings, strongest first.
    pub rotation_keys: Vec<String>,
    /// Name to `did:key`.
    pub verification_methods: BTreeMap<String, String>,
    /// `at://` handles, the first one counts.
    pub also_known_as: Vec<String>,
    /// Name to service.
    pub services: BTreeMap<String, Service>,
}

/// The entries of a map in DAG-CBOR key order: shorter keys first, then bytewise.
pub(super) fn canonical_entries<T>(map: &BTreeMap<String, T>) -> Vec<(&String, &T)> {
    let mut entries: Vec<_> = map.iter().collect();
    // The sort is stable and the map is bytewise sorted already.
    entries.sort_by_key(|(key, _)| key.len());
    entries
}
