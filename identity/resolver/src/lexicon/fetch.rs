//! One published schema: from its NSID over DNS to an account, and from the account's server with a
//! proof that the account's repository holds it.

use std::sync::Arc;

use bytes::Bytes;
use rochdale_lexicons::{Document, SCHEMA_COLLECTION, authority};
use rochdale_protocol::{
    data::{Cid, Value, cbor},
    repo::proof::{self, ProofError},
    syntax::{AtUri, Did, Nsid, RecordKey, RecordPath, SyntaxError, disallowed_tld},
};

use super::LexiconError;
use crate::{
    ResolveError, Resolver,
    network::{Get, NetworkError},
};

/// Largest proof that is fetched: a record, the path to it and the commit.
const PROOF_LIMIT_BYTES: usize = 2 << 20;

/// A schema as its authority publishes it.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where.
    pub uri: AtUri,
    /// The version.
    pub cid: Cid,
    /// The record, as DAG-CBOR.
    pub record: Bytes,
    /// What it says.
    pub document: Arc<Document>,
}

/// Fetches and reads the schema `id`.
pub(super) async fn fetch(resolver: &Resolver, id: &Nsid) -> Result<Arc<Published>, LexiconError> {
    let did = authority_of(resolver, id).await?;
    let key = id
        .as_str()
        .parse::<RecordKey>()
        .map_err(|error: SyntaxError| invalid(id, &error))?;
    let path = RecordPath::new(collection(id)?, key);
    let (cid, record) = match record(resolver, id, &did, &path, false).await {
        // The account may have changed its server or key since its document was cached.
        Err(Refusal::Unproven(_) | Refusal::Status(_)) => {
            record(resolver, id, &did, &path, true).await
        }
        first => first,
    }
    .map_err(|refusal| match refusal {
        Refusal::Unproven(cause) => invalid(id, &cause),
        Refusal::Status(reason) => not_published(id, &reason),
        Refusal::Error(error) => error,
    })?;
    let value = cbor::decode(&record).map_err(|error| invalid(id, &error))?;
    if value.get("$type").and_then(Value::as_text) != Some(SCHEMA_COLLECTION) {
        return Err(invalid(id, &"its $type is not com.atproto.lexicon.schema"));
    }
    let document = Document::read(&value).map_err(|error| invalid(id, &error))?;
    if document.id() != id {
        return Err(invalid(id, &format_args!("its id is {}", document.id())));
    }
    Ok(Arc::new(Published {
        uri: AtUri::record(did, &path),
        cid,
        record,
        document: Arc::new(document),
    }))
}

fn collection(id: &Nsid) -> Result<Nsid, LexiconError> {
    SCHEMA_COLLECTION
        .parse()
        .map_err(|error: SyntaxError| invalid(id, &error))
}

/// The account that DNS names for the authority of `id`: exactly one.
async fn authority_of(resolver: &Resolver, id: &Nsid) -> Result<Did, LexiconError> {
    let name = authority::dns_name(id)
        .ok_or_else(|| not_published(id, &"its authority is too long for a name in DNS"))?;
    if disallowed_tld(&name) {
        return Err(not_published(
            id,
            &"its authority lies in a domain that is never resolved",
        ));
    }
    let records = match resolver.network().txt(&name).await {
        Ok(records) => records,
        Err(NetworkError::NoSuchName) => {
            return Err(not_published(
                id,
                &format_args!("there is no TXT record {name}"),
            ));
        }
        Err(NetworkError::Refused(cause) | NetworkError::Transport(cause)) => {
            return Err(unreachable(id, &format_args!("DNS: {cause}")));
        }
    };
    let mut named = records
        .iter()
        .filter_map(|record| record.strip_prefix("did="));
    match (named.next(), named.next()) {
        (Some(did), None) => did
            .parse::<Did>()
            .map_err(|error: SyntaxError| not_published(id, &error)),
        (None, _) => Err(not_published(
            id,
            &format_args!("no TXT record {name} has a did="),
        )),
        (Some(_), Some(_)) => Err(not_published(
            id,
            &format_args!("more than one TXT record {name} has a did="),
        )),
    }
}

/// Why a record was not had.
enum Refusal {
    /// What came proves nothing.
    Unproven(ProofError),
    /// The server says no.
    Status(String),
    Error(LexiconError),
}

/// The record at `path`, proven by the account's signature.
async fn record(
    resolver: &Resolver,
    id: &Nsid,
    did: &Did,
    path: &RecordPath,
    afresh: bool,
) -> Result<(Cid, Bytes), Refusal> {
    let found = if afresh {
        resolver.refresh(did).await
    } else {
        resolver.did_document(did).await
    };
    let document = found.map_err(|error| Refusal::Error(of_account(id, &error)))?;
    let says_no = |reason: &str| Refusal::Error(not_published(id, &format_args!("{did} {reason}")));
    let server = document.pds().ok_or_else(|| says_no("names no server"))?;
    let key = document
        .signing_key()
        .ok_or_else(|| says_no("names no signing key"))?;
    // Of a DID, only `%` means something else in a URL.
    let repo = did.as_str().replace('%', "%25");
    let get = Get {
        url: format!(
            "{server}/xrpc/com.atproto.sync.getRecord?did={repo}&collection={}&rkey={}",
            path.collection, path.rkey
        ),
        host: None,
        max_bytes: PROOF_LIMIT_BYTES,
        redirects: 0,
        accept: "application/vnd.ipld.car",
        trusted: false,
    };
    let reply = match resolver.network().get(get).await {
        Ok(reply) => reply,
        Err(error) => return Err(Refusal::Error(unreachable(id, &error))),
    };
    match reply.status {
        200 => {}
        429 | 500.. => {
            let cause = format_args!("{server} answered with status {}", reply.status);
            return Err(Refusal::Error(unreachable(id, &cause)));
        }
        status => {
            return Err(Refusal::Status(format!(
                "{server} answered with status {status}"
            )));
        }
    }
    let proven = proof::verify(&reply.body, did, path, key).map_err(Refusal::Unproven)?;
    let gone = || {
        Refusal::Error(not_published(
            id,
            &format_args!("{did} has no record of it"),
        ))
    };
    proven.record.ok_or_else(gone)
}

fn of_account(id: &Nsid, error: &ResolveError) -> LexiconError {
    if error.is_transient() {
        unreachable(id, error)
    } else {
        not_published(id, error)
    }
}

fn not_published(id: &Nsid, reason: &dyn std::fmt::Display) -> LexiconError {
    LexiconError::NotPublished {
        nsid: id.as_str().into(),
        reason: reason.to_string().into(),
    }
}

fn invalid(id: &Nsid, cause: &dyn std::fmt::Display) -> LexiconError {
    LexiconError::Invalid {
        nsid: id.as_str().into(),
        cause: cause.to_string().into(),
    }
}

fn unreachable(id: &Nsid, cause: &dyn std::fmt::Display) -> LexiconError {
    LexiconError::Unreachable {
        nsid: id.as_str().into(),
        cause: cause.to_string().into(),
    }
}
