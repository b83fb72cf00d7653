//! What every handler shares.

use std::sync::Arc;

use http::StatusCode;
use rochdale_service::stream::Stream;

use crate::api::Turnstile;
use crate::directory::Directory;

/// What every handler shares.
#[derive(Debug)]
pub(crate) struct App {
    /// The rules and the data.
    pub(crate) directory: Directory,
    /// The operations as they are accepted.
    pub(crate) stream: Arc<Stream>,
    /// Who may submit how often.
    pub(crate) turnstile: Turnstile,
    /// What is answered about a DID that was ended.
    pub(crate) tombstone_status: StatusCode,
}
