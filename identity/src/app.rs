//! What every handler shares.

use http::StatusCode;

use crate::directory::Directory;

/// What every handler shares.
#[derive(Debug)]
pub(crate) struct App {
    /// The rules and the data.
    pub(crate) directory: Directory,
    /// What is answered about a DID that was ended.
    pub(crate) tombstone_status: StatusCode,
}
