//! Reads a DID document of any method, as the atproto DID spec says: what atproto needs is picked
//! out, everything else is ignored. A missing key or PDS makes a broken account, not an error.

use crate::crypto::{Curve, PublicKey};
use crate::syntax::{Did, Handle};
use serde_json::Value;

/// Why a document was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not a JSON object.
    #[error("DID document is not a JSON object: {0}")]
    NotJson(String),
    /// `id` is missing or names another DID.
    #[error("DID document has id {found:?}, expected {expected:?}")]
    WrongId {
        /// The document's `id`.
        found: String,
        /// The DID that was resolved.
        expected: String,
    },
    /// Too large to be looked at.
    #[error("DID document has {0} bytes, more than the allowed 65536")]
    TooLarge(usize),
}

/// Largest document that is read.
const DOCUMENT_LIMIT_BYTES: usize = 64 * 1024;

/// A DID document, with the parts that atproto uses already parsed.
#[derive(Clone, Debug)]
pub struct DidDocument {
    did: Did,
    handle: Option<Handle>,
    signing_key: Option<PublicKey>,
    methods: Vec<VerificationMethod>,
    services: Vec<DocumentService>,
    json: Box<str>,
}

/// One verification method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationMethod {
    /// The part of the id after the DID, with its `#`.
    pub fragment: String,
    /// `Multikey` or one of the older types.
    pub kind: String,
    /// Who controls the key; the DID itself in well-formed documents.
    pub controller: String,
    /// The key as text.
    pub public_key_multibase: String,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentService {
    /// The part of the id after the DID, with its `#`.
    pub fragment: String,
    /// For instance `AtprotoPersonalDataServer`.
    pub kind: String,
    /// The URL.
    pub endpoint: String,
}

impl VerificationMethod {
    /// The key, unless its type is unknown or its text is no key of that type.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        let text = &self.public_key_multibase;
        match self.kind.as_str() {
            "Multikey" => PublicKey::from_multibase(text).ok(),
            "EcdsaSecp256k1VerificationKey2019" => legacy_key(Curve::K256, text),
            "EcdsaSecp256r1VerificationKey2019" => legacy_key(Curve::P256, text),
            _ => None,
        }
    }
}

/// Documents of the older types mostly carry a bare point, some a multikey.
fn legacy_key(curve: Curve, text: &str) -> Option<PublicKey> {
    PublicKey::from_legacy_multibase(curve, text)
        .or_else(|_| PublicKey::from_multibase(text))
        .ok()
        .filter(|key| key.curve() == curve)
}

impl DidDocument {
    /// Parses the document of `expected`.
    pub fn parse(bytes: &[u8], expected: &Did) -> Result<Self, DocumentError> {
        if bytes.len() > DOCUMENT_LIMIT_BYTES {
            return Err(DocumentError::TooLarge(bytes.len()));
        }
        let not_json = |reason: &dyn ToString| DocumentError::NotJson(reason.to_string());
        let json = str::from_utf8(bytes).map_err(|error| not_json(&error))?;
        let value: Value = serde_json::from_str(json).map_err(|error| not_json(&error))?;
        let Value::Object(object) = &value else {
            return Err(not_json(&"it is another value"));
        };
        let found = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if found != expected.as_str() {
            let found = found.chars().take(200).collect();
            return Err(DocumentError::WrongId {
                found,
                expected: expected.to_string(),
            });
        }
        let list = |name: &str| {
            object
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let handle = list("alsoKnownAs")
            .filter_map(Value::as_str)
            .filter_map(|name| name.strip_prefix("at://"))
            .find_map(|name| name.parse().ok());
        let methods: Vec<_> = list("verificationMethod")
            .filter_map(|entry| read_method(entry, expected))
            .collect();
        let services = list("service")
            .filter_map(|entry| read_service(entry, expected))
            .collect();
        let signing_key = first_key(&methods, "#atproto", expected);
        let json = json.into();
        Ok(Self {
            did: expected.clone(),
            handle,
            signing_key,
            methods,
            services,
            json,
        })
    }

    /// The DID this document describes.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The claimed handle. Whether the handle points back must still be checked.
    #[must_use]
    pub const fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// The key that signs the repository and service tokens (`#atproto`).
    #[must_use]
    pub const fn signing_key(&self) -> Option<&PublicKey> {
        self.signing_key.as_ref()
    }

    /// The key under a fragment such as `#atproto_label`.
    #[must_use]
    pub fn key(&self, fragment: &str) -> Option<PublicKey> {
        first_key(&self.methods, fragment, &self.did)
    }

    /// The origin of the PDS: scheme, host and port, without a slash at the end.
    #[must_use]
    pub fn pds(&self) -> Option<&str> {
        self.service("#atproto_pds")
            .filter(|service| service.kind == "AtprotoPersonalDataServer")
            .and_then(|service| origin(&service.endpoint))
    }

    /// The first service under a fragment such as `#atproto_labeler`.
    #[must_use]
    pub fn service(&self, fragment: &str) -> Option<&DocumentService> {
        self.services
            .iter()
            .find(|service| service.fragment == fragment)
    }

    /// All verification methods that could be read.
    #[must_use]
    pub fn verification_methods(&self) -> &[VerificationMethod] {
        &self.methods
    }

    /// All services that could be read.
    #[must_use]
    pub fn services(&self) -> &[DocumentService] {
        &self.services
    }

    /// The document as it was received.
    #[must_use]
    pub const fn json(&self) -> &str {
        &self.json
    }
}

/// Only the first method under the fragment counts, even if its key cannot be read.
fn first_key(methods: &[VerificationMethod], fragment: &str, did: &Did) -> Option<PublicKey> {
    methods
        .iter()
        .find(|method| method.fragment == fragment)
        .filter(|method| method.controller == did.as_str())
        .and_then(VerificationMethod::public_key)
}

fn read_method(entry: &Value, did: &Did) -> Option<VerificationMethod> {
    Some(VerificationMethod {
        fragment: fragment(entry, did)?,
        kind: text(entry, "type")?,
        controller: text(entry, "controller").unwrap_or_default(),
        public_key_multibase: text(entry, "publicKeyMultibase").unwrap_or_default(),
    })
}

fn read_service(entry: &Value, did: &Did) -> Option<DocumentService> {
    Some(DocumentService {
        fragment: fragment(entry, did)?,
        kind: text(entry, "type")?,
        endpoint: text(entry, "serviceEndpoint")?,
    })
}

/// Ids are written both ways: `#name` and `did:…#name`.
fn fragment(entry: &Value, did: &Did) -> Option<String> {
    let id = entry.get("id")?.as_str()?;
    let fragment = id.strip_prefix(did.as_str()).unwrap_or(id);
    fragment.starts_with('#').then(|| fragment.to_owned())
}

fn text(entry: &Value, name: &str) -> Option<String> {
    entry.get(name)?.as_str().map(str::to_owned)
}

/// Takes an http or https URL that is an origin and nothing more.
fn origin(url: &str) -> Option<&str> {
    let origin = url.strip_suffix('/').unwrap_or(url);
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"))?;
    let plain = !host.is_empty()
        && host.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        });
    plain.then_some(origin)
}
