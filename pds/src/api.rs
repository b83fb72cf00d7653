//! The HTTP interface: the route table, and one file per method or family of methods below.
//!
//! Handlers extract, call the domain once and shape the answer. Must hold no SQL and no rules.

pub mod actor;
pub mod admin;
pub mod error;
pub mod feed;
pub mod identity;
pub mod lexicon;
pub mod notification;
pub(crate) mod operator;
mod paging;
pub mod repo;
pub mod server;
pub mod sync;
pub mod temp;
mod view;

use rochdale_service::xrpc::{Limits, Method, fallback};

use crate::app::Pds;
use crate::proxy;

/// Every method that is answered here; anything else goes to the service that the caller names.
#[must_use]
pub fn table() -> Vec<Method<Pds>> {
    [
        server::rows(),
        identity::rows(),
        repo::rows(),
        sync::rows(),
        admin::rows(),
        actor::rows(),
        feed::rows(),
        notification::rows(),
        temp::rows(),
        lexicon::rows(),
    ]
    .concat()
}

/// What happens to the methods that are not in the table.
#[must_use]
pub fn rest() -> Method<Pds> {
    fallback(
        "session",
        Limits::body(proxy::BODY_BYTES_MAX),
        proxy::handle,
    )
}
