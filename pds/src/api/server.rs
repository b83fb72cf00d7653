//! `com.atproto.server.*`: accounts and sessions.

mod app_password;
mod bearer_token;
mod create_account;
mod create_session;
mod delete_session;
mod describe_server;
mod email;
mod get_service_auth;
mod get_session;
pub(in crate::api) mod invite;
mod lifecycle;
pub(in crate::api) mod mail_budget;
mod password;
mod refresh_session;
mod reserve_signing_key;
mod session_view;

use rochdale_service::xrpc::Kind::{Procedure, Query};
use rochdale_service::xrpc::{Budget, Limits, Method, method};

use crate::app::Pds;

const PLAIN: Limits = Limits::DEFAULT;
const SIGN_UP: Limits = PLAIN.per_ip(&[Budget {
    name: "sign-up",
    points: 100,
    seconds: 300,
}]);
const RESET: Limits = PLAIN.per_ip(&[Budget {
    name: "password-reset",
    points: 50,
    seconds: 300,
}]);
const DELETE: Limits = PLAIN.per_ip(&[Budget {
    name: "account-delete",
    points: 50,
    seconds: 300,
}]);
const RESERVE: Limits = PLAIN.per_ip(&[Budget {
    name: "reserve-key",
    points: 20,
    seconds: 300,
}]);
/// Passwords cost work: an address may try many accounts, but not without end.
const SIGN_IN: Limits = PLAIN.per_ip(&[Budget {
    name: "sign-in",
    points: 300,
    seconds: 300,
}]);
const MAIL: Limits = PLAIN.per_ip(&[
    Budget {
        name: "reset-request-hour",
        points: 15,
        seconds: 3600,
    },
    Budget {
        name: "reset-request-day",
        points: 50,
        seconds: 86_400,
    },
]);

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(describe_server::NSID, Query, "none", PLAIN, describe_server::handle),
        method(create_account::NSID, Procedure, "none or service", SIGN_UP, create_account::handle),
        method(create_session::NSID, Procedure, "none", SIGN_IN, create_session::handle),
        method(refresh_session::NSID, Procedure, "refresh", PLAIN, refresh_session::handle),
        method(delete_session::NSID, Procedure, "refresh", PLAIN, delete_session::handle),
        method(get_session::NSID, Query, "member", PLAIN, get_session::handle),
        method(get_service_auth::NSID, Query, "any member", PLAIN, get_service_auth::handle),
        method(app_password::CREATE, Procedure, "full", PLAIN, app_password::create),
        method(app_password::LIST, Query, "member", PLAIN, app_password::list),
        method(app_password::REVOKE, Procedure, "member", PLAIN, app_password::revoke),
        method(invite::CREATE_ONE, Procedure, "admin", PLAIN, invite::create_one),
        method(invite::CREATE, Procedure, "admin", PLAIN, invite::create_many),
        method(invite::OF_ACCOUNT, Query, "full", PLAIN, invite::of_account),
        method(reserve_signing_key::NSID, Procedure, "none", RESERVE, reserve_signing_key::handle),
        method(password::REQUEST, Procedure, "none", MAIL, password::request),
        method(password::RESET, Procedure, "none", RESET, password::reset),
        method(email::REQUEST_CONFIRMATION, Procedure, "member", PLAIN, email::request_confirmation),
        method(email::CONFIRM, Procedure, "member", PLAIN, email::confirm),
        method(email::REQUEST_UPDATE, Procedure, "full", PLAIN, email::request_update),
        method(email::UPDATE, Procedure, "full", PLAIN, email::update),
        method(lifecycle::ACTIVATE, Procedure, "full", PLAIN, lifecycle::activate),
        method(lifecycle::DEACTIVATE, Procedure, "full or taken down", PLAIN, lifecycle::deactivate),
        method(lifecycle::REQUEST_DELETE, Procedure, "full", PLAIN, lifecycle::request_delete),
        method(lifecycle::DELETE, Procedure, "password and code", DELETE, lifecycle::delete),
        method(lifecycle::CHECK, Query, "member", PLAIN, lifecycle::check),
    ]
}
