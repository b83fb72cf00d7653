//! Reading permission sets. What a set cannot give is kept as void, so that a set that asks for
//! too much still gives the rest.

use std::collections::BTreeMap;

use rochdale_protocol::data::{Map, Value};
use rochdale_protocol::syntax::{Language, Nsid};

use super::Reader;
use crate::schema::fault::SchemaFault;
use crate::schema::permission::{Audience, Permission, PermissionSet};

impl Reader {
    pub(super) fn permission_set(&mut self, map: &Map) -> Option<PermissionSet> {
        let title = self.text(map, "title").map(Into::into);
        let titles = self.translations(map, "title:lang");
        let detail = self.text(map, "detail").map(Into::into);
        let details = self.translations(map, "detail:lang");
        let values = self.needed(map, "permissions")?;
        let permissions = self.nested("permissions", |reader| {
            let Some(values) = values.as_array() else {
                return reader.fault(SchemaFault::Expected("a list of permissions"));
            };
            let mut read = Vec::with_capacity(values.len());
            for (place, value) in values.iter().enumerate() {
                read.extend(
                    reader.nested(&format!("[{place}]"), |reader| reader.permission(value)),
                );
            }
            Some(read)
        })?;
        Some(PermissionSet {
            title,
            titles,
            detail,
            details,
            permissions,
        })
    }

    fn translations(&mut self, map: &Map, key: &str) -> BTreeMap<Box<str>, Box<str>> {
        let mut texts = BTreeMap::new();
        let Some(declared) = self.scalar(map, key, "an object of strings", Value::as_map) else {
            return texts;
        };
        self.nested(key, |reader| {
            for language in declared.keys() {
                if let Err(error) = language.parse::<Language>() {
                    reader.fault_at::<()>(language, SchemaFault::Language(error));
                }
                if let Some(text) = reader.text(declared, language) {
                    texts.insert(language.into(), text.into());
                }
            }
        });
        texts
    }

    fn permission(&mut self, value: &Value) -> Option<Permission> {
        let map = self.object(Some(value))?;
        let kind = self.kind(map)?;
        if kind != "permission" {
            let (kind, allowed) = (kind.to_owned(), "the list holds permissions");
            return self.fault(SchemaFault::Misplaced { kind, allowed });
        }
        let resource = self.needed_text(map, "resource")?;
        let given = match resource {
            "repo" => self.repo(map),
            "rpc" => self.rpc(map),
            _ => None,
        };
        let resource = resource.into();
        Some(given.unwrap_or(Permission::Void { resource }))
    }

    fn repo(&mut self, map: &Map) -> Option<Permission> {
        let actions = self.texts(map, "action").unwrap_or_default();
        let collections = self.names(map, "collection")?;
        let mut names = actions.iter().map(|action| &**action);
        let known = names.all(|action| matches!(action, "create" | "update" | "delete"));
        known.then_some(Permission::Repo {
            collections,
            actions,
        })
    }

    fn rpc(&mut self, map: &Map) -> Option<Permission> {
        let inherits = self.flag(map, "inheritAud").unwrap_or(false);
        let audience = match (self.text(map, "aud"), inherits) {
            (Some("*"), false) => Audience::Any,
            (None, true) => Audience::Inherited,
            _ => return None,
        };
        let methods = self.names(map, "lxm")?;
        Some(Permission::Rpc { methods, audience })
    }

    /// The NSIDs of a list; `None` when one is none, such as `*`, or there are none.
    fn names(&mut self, map: &Map, key: &'static str) -> Option<Vec<Nsid>> {
        let texts = self.texts(map, key)?;
        let names: Option<Vec<Nsid>> = texts.iter().map(|text| text.parse().ok()).collect();
        names.filter(|names| !names.is_empty())
    }
}
