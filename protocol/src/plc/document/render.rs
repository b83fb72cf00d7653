//! Writes the DID document of a did:plc in the shape of the reference directory.
//!
//! Ids of verification methods are full DID URLs, ids of services are fragments: clients rely on
//! this asymmetry.

use super::DidDocument;
use crate::crypto::Curve;
use crate::plc::data::{DidData, canonical_entries};
use serde::Serialize;

const CONTEXT: [&str; 2] = [
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/multikey/v1",
];
const CONTEXT_K256: &str = "https://w3id.org/security/suites/secp256k1-2019/v1";
const CONTEXT_P256: &str = "https://w3id.org/security/suites/ecdsa-2019/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "@context")]
    context: Vec<&'static str>,
    id: &'a str,
    also_known_as: &'a [String],
    verification_method: Vec<Method<'a>>,
    service: Vec<Service<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Method<'a> {
    id: String,
    r#type: &'static str,
    controller: &'a str,
    public_key_multibase: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service<'a> {
    id: String,
    r#type: &'a str,
    service_endpoint: &'a str,
}

impl DidDocument {
    /// The document of a did:plc as compact JSON. Rotation keys are not part of it.
    #[must_use]
    pub fn render(data: &DidData) -> String {
        let mut context = CONTEXT.to_vec();
        let mut verification_method = Vec::with_capacity(data.verification_methods.len());
        for (name, key) in canonical_entries(&data.verification_methods) {
            let suite = match Curve::of_did_key(key) {
                Some(Curve::K256) => Some(CONTEXT_K256),
                Some(Curve::P256) => Some(CONTEXT_P256),
                None => None,
            };
            if let Some(suite) = suite.filter(|suite| !context.contains(suite)) {
                context.push(suite);
            }
            verification_method.push(Method {
                id: format!("{}#{name}", data.did),
                r#type: "Multikey",
                controller: data.did.as_str(),
                public_key_multibase: key.strip_prefix("did:key:").unwrap_or(key),
            });
        }
        let service = canonical_entries(&data.services)
            .into_iter()
            .map(|(name, service)| Service {
                id: format!("#{name}"),
                r#type: &service.kind,
                service_endpoint: &service.endpoint,
            })
            .collect();
        let document = Document {
            context,
            id: data.did.as_str(),
            also_known_as: &data.also_known_as,
            verification_method,
            service,
        };
        #[expect(clippy::expect_used, reason = "structs of strings always serialise")]
        serde_json::to_string(&document).expect("plain struct")
    }
}
