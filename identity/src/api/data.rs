//! `GET /:did/data`: the state of a DID without the form of a document.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use rochdale_protocol::plc::{DidData, Service};
use serde::{Serialize, Serializer};

use super::answer::{JSON, versioned};
use super::{error::ApiError, path::DidInPath, resolve::state};
use crate::app::App;

pub(super) async fn data(
    State(app): State<Arc<App>>,
    did: DidInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (data, version) = state(&app, did)?;
    Ok(versioned(&headers, &version, JSON, || render(&data)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    did: &'a str,
    verification_methods: Ordered<'a, String>,
    rotation_keys: &'a [String],
    also_known_as: &'a [String],
    services: Ordered<'a, Service>,
}

/// Keys in DAG-CBOR order: shorter first, then bytewise.
struct Ordered<'a, T>(&'a BTreeMap<String, T>);

impl<T: Serialize> Serialize for Ordered<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|(key, _)| key.len());
        serializer.collect_map(entries)
    }
}

fn render(data: &DidData) -> String {
    let data = Data {
        did: data.did.as_str(),
        verification_methods: Ordered(&data.verification_methods),
        rotation_keys: &data.rotation_keys,
        also_known_as: &data.also_known_as,
        services: Ordered(&data.services),
    };
    #[expect(clippy::expect_used, reason = "structs of strings always serialise")]
    serde_json::to_string(&data).expect("plain struct")
}
