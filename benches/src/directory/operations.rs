//! Genesis operations, signed ahead of time.

use crate::Failure;
use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::plc::{Operation, Service, UnsignedOperation};
use std::collections::BTreeMap;

/// A DID that can be registered.
#[derive(Debug)]
pub(super) struct Genesis {
    pub(super) did: String,
    pub(super) json: String,
}

impl Genesis {
    /// The DID of a made-up account with this number.
    pub(super) fn new(number: usize) -> Result<Self, Failure> {
        let key = random_key(Curve::K256)?;
        let name = key.public().to_did_key();
        let service = Service {
            kind: "AtprotoPersonalDataServer".to_owned(),
            endpoint: "https://pds.bench.example".to_owned(),
        };
        let operation = UnsignedOperation {
            rotation_keys: vec![name.clone()],
            verification_methods: BTreeMap::from([("atproto".to_owned(), name)]),
            also_known_as: vec![format!("at://member{number}.bench.example")],
            services: BTreeMap::from([("atproto_pds".to_owned(), service)]),
            prev: None,
        };
        let operation = Operation::Plc(operation.sign(&key));
        Ok(Self {
            did: operation.founded_did().to_string(),
            json: operation.to_json(),
        })
    }
}

/// A key from the system's randomness.
pub(crate) fn random_key(curve: Curve) -> Result<SigningKey, Failure> {
    // One draw in 2^128 is no key: then the bench ends, which is as good as drawing again.
    Ok(SigningKey::from_bytes(curve, &rand::random::<[u8; 32]>())?)
}
