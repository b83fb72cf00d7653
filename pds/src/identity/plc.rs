//! The DID directory as a client sees it (did:plc specification, HTTP API).
//!
//! Owns the calls and what their failures mean. Must not decide what an operation says.

use rochdale_protocol::data::Cid;
use rochdale_protocol::plc::{DidData, Operation, UnsignedOperation};
use rochdale_protocol::syntax::Did;
use rochdale_service::outbound::{Limits, Outbound, OutboundError};
use serde::Deserialize;

/// Operations are at most 4,000 bytes; answers of the directory to them are short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const TIMEOUT_MS: u64 = 10_000;
/// A message of the directory is passed on no longer than this.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why the directory did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlcClientError {
    /// It refused the operation and said why.
    #[error("the DID directory refused: {message}")]
    Refused {
        /// Its own words.
        message: String,
    },
    /// It does not know the DID.
    #[error("{0} is not registered in the DID directory")]
    NotFound(Did),
    /// The DID was ended.
    #[error("{0} has been tombstoned")]
    Tombstoned(Did),
    /// It could not be reached.
    #[error("the DID directory could not be reached")]
    Unreachable {
        /// Why.
        #[source]
        cause: OutboundError,
    },
    /// It answered with a failure of its own, or with something that is no operation.
    #[error("the DID directory failed with status {status}")]
    Failed {
        /// HTTP status.
        status: u16,
    },
}

/// The newest state of a DID.
#[derive(Debug, Clone)]
pub struct PlcState {
    /// What the next operation follows.
    pub head: Cid,
    /// The state.
    pub data: DidData,
}

impl PlcState {
    /// An operation that follows this state and changes nothing yet.
    #[must_use]
    pub fn next(&self) -> UnsignedOperation {
        UnsignedOperation {
            rotation_keys: self.data.rotation_keys.clone(),
            verification_methods: self.data.verification_methods.clone(),
            also_known_as: self.data.also_known_as.clone(),
            services: self.data.services.clone(),
            prev: Some(self.head),
        }
    }
}

/// A client of one directory.
#[derive(Debug, Clone)]
pub struct PlcClient {
    url: String,
    outbound: Outbound,
}

impl PlcClient {
    /// A client of the directory at `url`, an origin without a slash at the end.
    #[must_use]
    pub fn new(url: String, outbound: Outbound) -> Self {
        Self { url, outbound }
    }

    /// Hands an operation in.
    ///
    /// # Errors
    /// [`PlcClientError::Refused`] with the directory's reason, or a failure to reach it.
    pub async fn submit(&self, did: &Did, operation: &Operation) -> Result<(), PlcClientError> {
        let url = format!("{}/{did}", self.url);
        let body = operation.to_json().into_bytes();
        let answer = self.outbound.post_json(&url, body, limits()).await;
        let answer = answer.map_err(|cause| PlcClientError::Unreachable { cause })?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(refusal(status, &answer.body, did)),
        }
    }

    /// The newest state of a DID.
    ///
    /// # Errors
    /// A DID that is unknown or ended, or a directory that fails.
    pub async fn state(&self, did: &Did) -> Result<PlcState, PlcClientError> {
        let url = format!("{}/{did}/log/last", self.url);
        let answer = self.outbound.get(&url, limits()).await;
        let answer = answer.map_err(|cause| PlcClientError::Unreachable { cause })?;
        if !(200..=299).contains(&answer.status) {
            return Err(refusal(answer.status, &answer.body, did));
        }
        let failed = PlcClientError::Failed {
            status: answer.status,
        };
        let Ok(operation) = Operation::from_json(&answer.body) else {
            return Err(failed);
        };
        let data = operation
            .data(did)
            .ok_or_else(|| PlcClientError::Tombstoned(did.clone()))?;
        Ok(PlcState {
            head: operation.cid(),
            data,
        })
    }
}

/// The directory's address is the operator's choice: it may be on this machine.
fn limits() -> Limits<'static> {
    Limits {
        max_bytes: ANSWER_BYTES_MAX,
        timeout_ms: TIMEOUT_MS,
        accept: "application/json",
        trusted: true,
        ..Limits::default()
    }
}

#[derive(Deserialize)]
struct Answer {
    message: String,
}

fn refusal(status: u16, body: &[u8], did: &Did) -> PlcClientError {
    match status {
        404 => PlcClientError::NotFound(did.clone()),
        410 => PlcClientError::Tombstoned(did.clone()),
        400..=499 => {
            let message = match serde_json::from_slice::<Answer>(body) {
                Ok(answer) => answer.message,
                Err(_not_json) => format!("status {status}"),
            };
            let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
            PlcClientError::Refused { message }
        }
        _other => PlcClientError::Failed { status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did() -> Did {
        "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap()
    }

    #[test]
    fn the_directorys_reason_is_passed_on_and_its_failures_are_not_the_callers() {
        let refused = refusal(400, br#"{"message":"Invalid signature"}"#, &did());
        assert_eq!(
            refused.to_string(),
            "the DID directory refused: Invalid signature"
        );
        assert!(matches!(
            refusal(500, b"<html>", &did()),
            PlcClientError::Failed { status: 500 }
        ));
        assert!(matches!(
            refusal(429, b"slow", &did()),
            PlcClientError::Refused { .. }
        ));
        assert!(matches!(
            refusal(410, b"", &did()),
            PlcClientError::Tombstoned(_)
        ));
        assert!(matches!(
            refusal(404, b"", &did()),
            PlcClientError::NotFound(_)
        ));
    }
}
