//! `com.atproto.repo.*`: records and blobs of one account.

mod apply_writes;
mod create_record;
mod delete_record;
mod describe_repo;
mod get_record;
mod import_repo;
mod list_missing_blobs;
mod list_records;
mod own_repo;
mod put_record;
mod upload_blob;

use rochdale_service::xrpc::Kind::{Procedure, Query};
use rochdale_service::xrpc::{Limits, Method, method};

use crate::app::Pds;
use crate::config;

const PLAIN: Limits = Limits::DEFAULT;
const WRITE: Limits = Limits::body(1_000_000);
/// One byte more than any blob: it is the configured limit that answers.
const UPLOAD: Limits = Limits::body(config::BLOB_LIMIT_MAX_BYTES + 1);
const IMPORT: Limits = Limits::body(16 << 30);

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(create_record::NSID, Procedure, "member", WRITE, create_record::handle),
        method(put_record::NSID, Procedure, "member", WRITE, put_record::handle),
        method(delete_record::NSID, Procedure, "member", PLAIN, delete_record::handle),
        method(apply_writes::NSID, Procedure, "member", WRITE, apply_writes::handle),
        method(upload_blob::NSID, Procedure, "member or service", UPLOAD, upload_blob::handle),
        method(import_repo::NSID, Procedure, "full", IMPORT, import_repo::handle),
        method(list_missing_blobs::NSID, Query, "member", PLAIN, list_missing_blobs::handle),
        method(describe_repo::NSID, Query, "none", PLAIN, describe_repo::handle),
        method(get_record::NSID, Query, "none", PLAIN, get_record::handle),
        method(list_records::NSID, Query, "none", PLAIN, list_records::handle),
    ]
}
