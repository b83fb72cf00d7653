//! What a PDS is commonly got wrong at, proven over HTTP against a started server with a real
//! directory. One file per subject; `row_N` in a name is row N of the list of peers' mistakes.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]
#![allow(
    dead_code,
    reason = "every subject uses its own part of the support modules"
)]

#[path = "support/directory.rs"]
mod directory;
#[path = "support/firehose.rs"]
mod firehose;
#[path = "support/member.rs"]
mod member;
#[path = "support/server.rs"]
mod server;
#[path = "support/site.rs"]
mod site;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/upstream.rs"]
mod upstream;

// Accounts, sessions and mail.
#[path = "checklist/account.rs"]
mod account;
#[path = "checklist/account_deactivation.rs"]
mod account_deactivation;
#[path = "checklist/account_deletion.rs"]
mod account_deletion;
#[path = "checklist/account_status.rs"]
mod account_status;
#[path = "checklist/app_passwords.rs"]
mod app_passwords;
#[path = "checklist/auth.rs"]
mod auth;
#[path = "checklist/email_confirmation.rs"]
mod email_confirmation;
#[path = "checklist/get_service_auth.rs"]
mod get_service_auth;
#[path = "checklist/handle_validation.rs"]
mod handle_validation;
#[path = "checklist/handles.rs"]
mod handles;
#[path = "checklist/invite_codes.rs"]
mod invite_codes;
#[path = "checklist/invites_admin.rs"]
mod invites_admin;
#[path = "checklist/mail.rs"]
mod mail;
#[path = "checklist/plc_operations.rs"]
mod plc_operations;
#[path = "checklist/preferences.rs"]
mod preferences;
#[path = "checklist/second_factor.rs"]
mod second_factor;

// Records, repositories, the event stream, moderation, repair, and the server below its methods.
#[path = "checklist/admin.rs"]
mod admin;
#[path = "checklist/blobs.rs"]
mod blobs;
#[path = "checklist/crud.rs"]
mod crud;
#[path = "checklist/file_uploads.rs"]
mod file_uploads;
#[path = "checklist/layer.rs"]
mod layer;
#[path = "checklist/limits.rs"]
mod limits;
#[path = "checklist/moderation.rs"]
mod moderation;
#[path = "checklist/races.rs"]
mod races;
#[path = "checklist/record_rules.rs"]
mod record_rules;
#[path = "checklist/relays.rs"]
mod relays;
#[path = "checklist/repair.rs"]
mod repair;
#[path = "checklist/sequencer.rs"]
mod sequencer;
#[path = "checklist/streams.rs"]
mod streams;
#[path = "checklist/syncs.rs"]
mod syncs;

// Calls that another service answers.
#[path = "checklist/proxied.rs"]
mod proxied;
#[path = "checklist/read_after_write.rs"]
mod read_after_write;

// Moving here and away.
#[path = "checklist/account_migration.rs"]
mod account_migration;
