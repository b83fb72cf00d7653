//! The three operation types, their canonical bytes, identifiers and signing.

use super::data::{DidData, Service, canonical_entries};
use super::encoding::{JsonSink, Sink};
use super::error::{PlcError, SignatureFault};
use super::parse;
use crate::crypto::{CryptoError, PublicKey, Signature, SigningKey};
use crate::data::{Cid, cbor::Encoder};
use crate::syntax::Did;
use std::collections::BTreeMap;

/// A signed did:plc operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `plc_operation`: genesis or update.
    Plc(PlcOperation),
    /// `plc_tombstone`: ends the DID.
    Tombstone(Tombstone),
    /// `create`: a genesis of the first format, readable but never accepted anew.
    LegacyCreate(LegacyCreate),
}

/// A `plc_operation` without its signature: the whole state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedOperation {
    /// Who may sign the next operation, `did:key` strings, strongest first.
    pub rotation_keys: Vec<String>,
    /// Name to `did:key`.
    pub verification_methods: BTreeMap<String, String>,
    /// `at://` handles, the first one counts.
    pub also_known_as: Vec<String>,
    /// Name to service.
    pub services: BTreeMap<String, Service>,
    /// The operation this one follows; `None` for a genesis.
    pub prev: Option<Cid>,
}

/// A signed `plc_operation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlcOperation {
    /// What was signed.
    pub content: UnsignedOperation,
    /// The signature as text, base64url; it is part of what the CID is taken over.
    pub sig: String,
}

/// A signed `plc_tombstone`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The operation this one follows.
    pub prev: Cid,
    /// The signature as text, base64url.
    pub sig: String,
}

/// A signed legacy `create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyCreate {
    /// The repository signing key, also the weaker rotation key.
    pub signing_key: String,
    /// The stronger rotation key.
    pub recovery_key: String,
    /// A bare handle.
    pub handle: String,
    /// The PDS, possibly without a scheme.
    pub service: String,
    /// The signature as text, base64url.
    pub sig: String,
}

impl UnsignedOperation {
    /// The canonical bytes that are signed.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.write(&mut encoder, None);
        encoder.into_bytes()
    }

    /// Signs with a rotation key.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> PlcOperation {
        let sig = sign(key, &self.to_cbor());
        PlcOperation { content: self, sig }
    }

    fn write(&self, sink: &mut impl Sink, sig: Option<&str>) {
        sink.map(if sig.is_some() { 7 } else { 6 });
        write_head(sink, sig, self.prev.as_ref(), "plc_operation");
        sink.text("services");
        sink.map(self.services.len());
        for (id, service) in canonical_entries(&self.services) {
            sink.text(id);
            sink.map(2);
            for text in ["type", &service.kind, "endpoint", &service.endpoint] {
                sink.text(text);
            }
            sink.end();
        }
        sink.end();
        for (name, list) in [
            ("alsoKnownAs", &self.also_known_as),
            ("rotationKeys", &self.rotation_keys),
        ] {
            sink.text(name);
            sink.array(list.len());
            for text in list {
                sink.text(text);
            }
            sink.end();
        }
        sink.text("verificationMethods");
        sink.map(self.verification_methods.len());
        for (id, key) in canonical_entries(&self.verification_methods) {
            sink.text(id);
            sink.text(key);
        }
        sink.end();
        sink.end();
    }
}

impl Tombstone {
    /// Makes and signs a tombstone after `prev`.
    #[must_use]
    pub fn sign(prev: Cid, key: &SigningKey) -> Self {
        let mut tombstone = Self {
            prev,
            sig: String::new(),
        };
        let mut encoder = Encoder::new();
        tombstone.write(&mut encoder, None);
        tombstone.sig = sign(key, &encoder.into_bytes());
        tombstone
    }

    fn write(&self, sink: &mut impl Sink, sig: Option<&str>) {
        sink.map(if sig.is_some() { 3 } else { 2 });
        write_head(sink, sig, Some(&self.prev), "plc_tombstone");
        sink.end();
    }
}

impl LegacyCreate {
    fn write(&self, sink: &mut impl Sink, sig: Option<&str>) {
        sink.map(if sig.is_some() { 7 } else { 6 });
        write_head(sink, sig, None, "create");
        let fields = [
            ("handle", &self.handle),
            ("service", &self.service),
            ("signingKey", &self.signing_key),
            ("recoveryKey", &self.recovery_key),
        ];
        for (name, value) in fields {
            sink.text(name);
            sink.text(value);
        }
        sink.end();
    }
}

/// The three keys every type starts with, in canonical order.
fn write_head(sink: &mut impl Sink, sig: Option<&str>, prev: Option<&Cid>, kind: &str) {
    if let Some(sig) = sig {
        sink.text("sig");
        sink.text(sig);
    }
    sink.text("prev");
    match prev {
        Some(prev) => sink.text(&prev.to_string()),
        None => sink.null(),
    }
    sink.text("type");
    sink.text(kind);
}

impl Operation {
    /// Parses JSON. Strict: exactly the fields of the type, no key twice, `prev` present even when
    /// null.
    pub fn from_json(bytes: &[u8]) -> Result<Self, PlcError> {
        parse::from_json(bytes)
    }

    /// Parses canonical DAG-CBOR of a signed operation; any other encoding of it is refused.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, PlcError> {
        let operation = parse::from_cbor(bytes)?;
        if operation.to_cbor() != bytes {
            return Err(PlcError::NotAnOperation(
                "its DAG-CBOR is not canonical".into(),
            ));
        }
        Ok(operation)
    }

    /// Compact JSON, keys in DAG-CBOR order as the reference directory emits them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut sink = JsonSink::default();
        self.write(&mut sink, true);
        sink.finish()
    }

    /// The canonical bytes including the signature; the CID and the DID are taken over these.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.write(&mut encoder, true);
        encoder.into_bytes()
    }

    /// The canonical bytes without the signature: what was signed.
    #[must_use]
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.write(&mut encoder, false);
        encoder.into_bytes()
    }

    fn write(&self, sink: &mut impl Sink, signed: bool) {
        let sig = signed.then_some(self.sig());
        match self {
            Self::Plc(operation) => operation.content.write(sink, sig),
            Self::Tombstone(tombstone) => tombstone.write(sink, sig),
            Self::LegacyCreate(create) => create.write(sink, sig),
        }
    }

    /// The CID of the signed operation.
    #[must_use]
    pub fn cid(&self) -> Cid {
        Cid::dag_cbor(&self.to_cbor())
    }

    /// The DID that this operation founds, should it be a genesis.
    #[must_use]
    pub fn founded_did(&self) -> Did {
        let digest = *self.cid().digest();
        let hash = data_encoding::BASE32_NOPAD
            .encode(&digest)
            .to_ascii_lowercase();
        let id: String = hash.chars().take(24).collect();
        #[expect(
            clippy::expect_used,
            reason = "24 base32 digits always make a valid did:plc"
        )]
        format!("did:plc:{id}").parse().expect("valid did:plc")
    }

    /// The operation this one follows; `None` for a genesis.
    #[must_use]
    pub const fn prev(&self) -> Option<&Cid> {
        match self {
            Self::Plc(operation) => operation.content.prev.as_ref(),
            Self::Tombstone(tombstone) => Some(&tombstone.prev),
            Self::LegacyCreate(_) => None,
        }
    }

    /// The signature as text.
    #[must_use]
    pub fn sig(&self) -> &str {
        match self {
            Self::Plc(operation) => &operation.sig,
            Self::Tombstone(tombstone) => &tombstone.sig,
            Self::LegacyCreate(create) => &create.sig,
        }
    }

    /// Whether this ends the DID.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        matches!(self, Self::Tombstone(_))
    }

    /// Who may sign the next operation, strongest first; nobody after a tombstone.
    #[must_use]
    pub fn rotation_keys(&self) -> Vec<&str> {
        match self {
            Self::Plc(operation) => operation
                .content
                .rotation_keys
                .iter()
                .map(String::as_str)
                .collect(),
            Self::Tombstone(_) => Vec::new(),
            Self::LegacyCreate(create) => vec![&create.recovery_key, &create.signing_key],
        }
    }

    /// The state of the DID after this operation, `None` after a tombstone. Legacy operations are
    /// brought into today's form.
    #[must_use]
    pub fn data(&self, did: &Did) -> Option<DidData> {
        match self {
            Self::Plc(operation) => {
                let UnsignedOperation {
                    rotation_keys,
                    verification_methods,
                    also_known_as,
                    services,
                    ..
                } = operation.content.clone();
                let did = did.clone();
                Some(DidData {
                    did,
                    rotation_keys,
                    verification_methods,
                    also_known_as,
                    services,
                })
            }
            Self::Tombstone(_) => None,
            Self::LegacyCreate(create) => Some(create.data(did)),
        }
    }

    /// The index of the first of `keys` that verifies this operation's signature.
    ///
    /// Keys that are no k256 or p256 key verify nothing.
    pub fn verify(&self, keys: &[&str]) -> Result<usize, PlcError> {
        let refuse = |fault| PlcError::InvalidSignature {
            operation: self.to_json(),
            fault,
        };
        let signature = decode_signature(self.sig()).map_err(refuse)?;
        let message = self.unsigned_bytes();
        let mut fault = SignatureFault::NoKey;
        for (index, key) in keys.iter().enumerate() {
            let Ok(key) = PublicKey::from_did_key(key) else {
                continue;
            };
            match key.verify(&message, &signature) {
                Ok(()) => return Ok(index),
                // A malleated signature is told apart from a foreign one.
                Err(CryptoError::HighS) if key.verify_malleable(&message, &signature).is_ok() => {
                    fault = SignatureFault::Form(CryptoError::HighS);
                }
                Err(_) => {}
            }
        }
        if fault == SignatureFault::NoKey && is_der(signature.as_bytes()) {
            fault = SignatureFault::Der;
        }
        Err(refuse(fault))
    }
}

impl LegacyCreate {
    fn data(&self, did: &Did) -> DidData {
        let bare = self
            .handle
            .trim_start_matches("http://")
            .trim_start_matches("https://")
            .to_owned();
        let handle = if bare.starts_with("at://") {
            bare
        } else {
            format!("at://{bare}")
        };
        let has_scheme =
            self.service.starts_with("http://") || self.service.starts_with("https://");
        let endpoint = if has_scheme {
            self.service.clone()
        } else {
            format!("https://{}", self.service)
        };
        let pds = Service {
            kind: "AtprotoPersonalDataServer".into(),
            endpoint,
        };
        DidData {
            did: did.clone(),
            rotation_keys: vec![self.recovery_key.clone(), self.signing_key.clone()],
            verification_methods: BTreeMap::from([("atproto".into(), self.signing_key.clone())]),
            also_known_as: vec![handle],
            services: BTreeMap::from([("atproto_pds".into(), pds)]),
        }
    }
}

fn sign(key: &SigningKey, message: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(key.sign(message).as_bytes())
}

/// Strict: the text must be the one and only encoding of 64 bytes, or two texts (and so two CIDs)
/// would carry one signature.
fn decode_signature(text: &str) -> Result<Signature, SignatureFault> {
    let bytes = data_encoding::BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| SignatureFault::Encoding)?;
    if bytes.len() != 64 && is_der(&bytes) {
        return Err(SignatureFault::Der);
    }
    Signature::from_bytes(&bytes).map_err(SignatureFault::Form)
}

/// Whether the bytes are a DER sequence of the right length. Some DER signatures have 64 bytes.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, length, 0x02, rest @ ..] if usize::from(*length) == rest.len() + 1)
}
