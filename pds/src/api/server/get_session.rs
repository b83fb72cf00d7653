//! `com.atproto.server.getSession`: who the caller is.

use axum::extract::State;
use rochdale_service::xrpc::Output;

use super::session_view::SessionView;
use crate::app::Pds;
use crate::auth::Member;

pub(super) const NSID: &str = "com.atproto.server.getSession";

pub(super) async fn handle(State(pds): State<Pds>, caller: Member) -> Output<SessionView> {
    Output(SessionView::of(&pds, &caller.account, None).await)
}
