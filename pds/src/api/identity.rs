//! `com.atproto.identity.*`: names, documents and operations on a member's DID.

mod plc_operation;
mod resolve;
mod update_handle;

use rochdale_service::xrpc::Kind::{Procedure, Query};
use rochdale_service::xrpc::{Budget, Limits, Method, method};

use crate::app::Pds;

const PLAIN: Limits = Limits::DEFAULT;
/// A look-up may make this server ask others.
const REFRESH: Limits = PLAIN.per_ip(&[Budget {
    name: "refresh-identity",
    points: 100,
    seconds: 300,
}]);

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(resolve::HANDLE, Query, "none", PLAIN, resolve::handle),
        method(resolve::DID, Query, "none", PLAIN, resolve::did),
        method(resolve::IDENTITY, Query, "none", PLAIN, resolve::identity),
        method(resolve::REFRESH, Procedure, "none", REFRESH, resolve::refresh),
        method(update_handle::NSID, Procedure, "member", PLAIN, update_handle::handle),
        method(plc_operation::RECOMMENDED, Query, "any member", PLAIN, plc_operation::recommended),
        method(plc_operation::REQUEST, Procedure, "full or taken down", PLAIN, plc_operation::request),
        method(plc_operation::SIGN, Procedure, "full or taken down", PLAIN, plc_operation::sign),
        method(plc_operation::SUBMIT, Procedure, "member", PLAIN, plc_operation::submit),
    ]
}
