//! The row of a method that an AppView answers and that shows the member's own newest records.

use axum::extract::{Request, State};
use rochdale_service::xrpc::Kind::Query;
use rochdale_service::xrpc::{Limits, Method, method};

use crate::app::Pds;
use crate::auth::Member;
use crate::proxy::read_after_write::{self, View};

pub(super) fn row(view: View) -> Method<Pds> {
    let handle = move |State(pds): State<Pds>, caller: Member, request: Request| async move {
        read_after_write::answer(&pds, &caller, view, request).await
    };
    method(view.nsid(), Query, "member", Limits::DEFAULT, handle)
}
