//! `com.atproto.sync.*`: repositories as blocks, for relays, indexers and members who move.

mod get_blob;
mod get_blocks;
mod get_record;
mod get_repo;
mod head;
mod list_blobs;
mod list_repos;
mod range;
mod repo_status;
mod subscribe_repos;
pub(super) mod visible;

use rochdale_service::xrpc::Kind::{Query, Subscription};
use rochdale_service::xrpc::{Budget, Limits, Method, method};

use crate::app::Pds;

const PLAIN: Limits = Limits::DEFAULT;
const EXPORT: Limits = PLAIN.outside_global().per_ip(&[Budget {
    name: "get-repo",
    points: 6_000,
    seconds: 300,
}]);

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Method<Pds>> {
    vec![
        method(get_repo::NSID, Query, "viewer", EXPORT, get_repo::handle),
        method(get_repo::CHECKOUT, Query, "viewer", EXPORT, get_repo::checkout),
        method(get_record::NSID, Query, "viewer", PLAIN, get_record::handle),
        method(get_blocks::NSID, Query, "viewer", PLAIN, get_blocks::handle),
        method(get_blob::NSID, Query, "viewer", PLAIN, get_blob::handle),
        method(head::LATEST_COMMIT, Query, "viewer", PLAIN, head::latest_commit),
        method(head::HEAD, Query, "viewer", PLAIN, head::head),
        method(repo_status::NSID, Query, "none", PLAIN, repo_status::handle),
        method(list_blobs::NSID, Query, "viewer", PLAIN, list_blobs::handle),
        method(list_repos::NSID, Query, "none", PLAIN, list_repos::handle),
        method(subscribe_repos::NSID, Subscription, "none", PLAIN, subscribe_repos::handle),
    ]
}
