//! Permission sets: permissions that an app asks for under one name
//! (atproto "Permissions" specification).

use std::collections::BTreeMap;

use rochdale_protocol::syntax::Nsid;

/// Permissions that are asked for together, with the words to ask for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet {
    /// A short name for people.
    pub title: Option<Box<str>>,
    /// The same by language tag.
    pub titles: BTreeMap<Box<str>, Box<str>>,
    /// One or two sentences for people.
    pub detail: Option<Box<str>>,
    /// The same by language tag.
    pub details: BTreeMap<Box<str>, Box<str>>,
    /// The permissions.
    pub permissions: Vec<Permission>,
}

/// One permission of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Writing records.
    Repo {
        /// To these collections.
        collections: Vec<Nsid>,
        /// In these ways (create, update, delete); all when empty.
        actions: Vec<Box<str>>,
    },
    /// Calling methods of other services.
    Rpc {
        /// These methods.
        methods: Vec<Nsid>,
        /// Of which service.
        audience: Audience,
    },
    /// A permission that a set cannot give: it grants nothing.
    Void {
        /// What it would have been about.
        resource: Box<str>,
    },
}

/// Whose methods may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Any service's.
    Any,
    /// Those of the service that is named where the set is asked for.
    Inherited,
}

impl PermissionSet {
    /// Whether the set called `id` may give permissions on `named`: only what has the set's own
    /// authority, or lies below it.
    #[must_use]
    pub fn governs(id: &Nsid, named: &Nsid) -> bool {
        let below = named.as_str().strip_prefix(id.authority());
        below.is_some_and(|rest| rest.starts_with('.'))
    }
}
