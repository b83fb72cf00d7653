//! `com.atproto.admin.*`: what the operator does, with Basic credentials of user `admin`.

mod account;
mod invites;
mod subject;

use rochdale_service::xrpc::Kind::{Procedure, Query};
use rochdale_service::xrpc::{Limits, Method, method};

use crate::app::Pds;

const PLAIN: Limits = Limits::DEFAULT;

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(account::INFO, Query, "admin", PLAIN, account::info),
        method(account::INFOS, Query, "admin", PLAIN, account::infos),
        method(account::SEARCH, Query, "admin", PLAIN, account::search),
        method(account::HANDLE, Procedure, "admin", PLAIN, account::update_handle),
        method(account::EMAIL, Procedure, "admin", PLAIN, account::update_email),
        method(account::PASSWORD, Procedure, "admin", PLAIN, account::update_password),
        method(account::DELETE, Procedure, "admin", PLAIN, account::delete),
        method(account::SEND_EMAIL, Procedure, "admin", PLAIN, account::send_email),
        method(subject::GET, Query, "admin", PLAIN, subject::get),
        method(subject::UPDATE, Procedure, "admin", PLAIN, subject::update),
        method(invites::LIST, Query, "admin", PLAIN, invites::list),
        method(invites::DISABLE, Procedure, "admin", PLAIN, invites::disable),
        method(invites::ENABLE_ACCOUNT, Procedure, "admin", PLAIN, invites::enable_account),
        method(invites::DISABLE_ACCOUNT, Procedure, "admin", PLAIN, invites::disable_account),
    ]
}
