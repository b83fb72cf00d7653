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
    /// The permissions that the set gives when it is called `id`.
    pub fn given(&self, id: &Nsid) -> impl Iterator<Item = &Permission> {
        self.permissions
            .iter()
            .filter(|permission| permission.is_given_by(id))
    }
}

impl Permission {
    /// Whether the set called `set` can give this permission: all that it names has the set's own
    /// authority, or lies below it.
    #[must_use]
    pub fn is_given_by(&self, set: &Nsid) -> bool {
        let governed = |named: &Nsid| {
            let below = named.as_str().strip_prefix(set.authority());
            below.is_some_and(|rest| rest.starts_with('.'))
        };
        match self {
            Self::Repo { collections, .. } => collections.iter().all(governed),
            Self::Rpc { methods, .. } => methods.iter().all(governed),
            Self::Void { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Document;
    use crate::schema::Definition;

    #[test]
    fn a_set_gives_only_what_lies_at_or_below_its_own_authority() {
        let permission = |names: &str| {
            format!(r#"{{"type":"permission","resource":"repo","collection":[{names}]}}"#)
        };
        let permissions = [
            permission(r#""com.example.calendar.event""#),
            permission(r#""com.example.calendar.deep.event""#),
            permission(r#""com.example.calendar.event","com.example.other""#),
            permission(r#""com.example.calendars.event""#),
            permission(r#""com.example.note""#),
            permission(r#""*""#),
            r#"{"type":"permission","resource":"blob","accept":["*/*"]}"#.to_owned(),
            r#"{"type":"permission","resource":"rpc","lxm":["com.example.calendar.list"],"aud":"did:web:a.example"}"#
                .to_owned(),
            r#"{"type":"permission","resource":"rpc","lxm":["com.example.calendar.list"],"aud":"*"}"#.to_owned(),
        ];
        let text = format!(
            r#"{{"lexicon":1,"id":"com.example.calendar.auth","defs":{{"main":{{"type":"permission-set","permissions":[{}]}}}}}}"#,
            permissions.join(",")
        );
        let document = Document::parse(text.as_bytes()).unwrap();
        let Some(Definition::PermissionSet(set)) = document.main().map(|main| &**main) else {
            panic!("it is no permission set")
        };
        let given: Vec<usize> = (0..permissions.len())
            .filter(|place| set.permissions[*place].is_given_by(document.id()))
            .collect();
        assert_eq!(given, [0, 1, 8]);
        assert_eq!(set.given(document.id()).count(), 3);
    }
}
