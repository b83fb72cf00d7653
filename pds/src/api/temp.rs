//! `com.atproto.temp.checkSignupQueue`: apps poll it; nobody waits here.

use rochdale_service::xrpc::Kind::Query;
use rochdale_service::xrpc::{Limits, Method, Output, method};
use serde::Serialize;

use crate::app::Pds;
use crate::auth::Member;

#[derive(Serialize)]
struct Queue {
    activated: bool,
}

async fn check(_caller: Member) -> Output<Queue> {
    Output(Queue { activated: true })
}

pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![method(
        "com.atproto.temp.checkSignupQueue",
        Query,
        "member",
        Limits::DEFAULT,
        check,
    )]
}
