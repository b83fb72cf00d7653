//! `com.atproto.admin.*`: what operators do with their passwords, and most of it also the
//! configured moderation service with its tokens. Every change is in the audit log first.

mod account;
mod invites;
mod subject;

pub(super) use account::find as find_account;

use rochdale_service::xrpc::Kind::{Procedure, Query};
use rochdale_service::xrpc::{Limits, Method, method};

use crate::app::Pds;

const PLAIN: Limits = Limits::DEFAULT;

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(account::INFO, Query, "moderator", PLAIN, account::info),
        method(account::INFOS, Query, "moderator", PLAIN, account::infos),
        method(account::SEARCH, Query, "moderator", PLAIN, account::search),
        method(account::HANDLE, Procedure, "admin", PLAIN, account::update_handle),
        method(account::EMAIL, Procedure, "admin", PLAIN, account::update_email),
        method(account::PASSWORD, Procedure, "admin", PLAIN, account::update_password),
        method(account::SIGNING_KEY, Procedure, "admin", PLAIN, account::update_signing_key),
        method(account::DELETE, Procedure, "admin", PLAIN, account::delete),
        method(account::SEND_EMAIL, Procedure, "moderator", PLAIN, account::send_email),
        method(subject::GET, Query, "moderator", PLAIN, subject::get),
        method(subject::UPDATE, Procedure, "moderator", PLAIN, subject::update),
        method(invites::LIST, Query, "moderator", PLAIN, invites::list),
        method(invites::DISABLE, Procedure, "moderator", PLAIN, invites::disable),
        method(invites::ENABLE_ACCOUNT, Procedure, "moderator", PLAIN, invites::enable_account),
        method(invites::DISABLE_ACCOUNT, Procedure, "moderator", PLAIN, invites::disable_account),
    ]
}
