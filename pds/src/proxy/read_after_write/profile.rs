//! `app.bsky.actor.getProfile(s)` and the author of every post: what the newest profile record says.

use serde_json::{Map, Value, json};

use super::Unchanged;
use super::own::Own;

/// How much of a profile a view shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Name and avatar, beside a post.
    Basic,
    /// Description and banner too.
    Full,
}

/// Puts the new profile into a `getProfile`.
pub(super) fn show(profile: &mut Value, own: &Own) {
    update(profile, own, Detail::Full);
}

/// Puts the new profile into a `getProfiles`.
pub(super) fn show_all(value: &mut Value, own: &Own) -> Result<(), Unchanged> {
    let profiles = value.get_mut("profiles").and_then(Value::as_array_mut);
    for profile in profiles.ok_or(Unchanged::Shape("profiles"))? {
        update(profile, own, Detail::Full);
    }
    Ok(())
}

/// Puts the new profile beside a post of the caller.
pub(super) fn show_author(post: &mut Value, own: &Own) {
    if let Some(author) = post.get_mut("author") {
        update(author, own, Detail::Basic);
    }
}

/// The caller as the author of a post.
pub(super) fn author(own: &Own) -> Value {
    let mut author = json!({ "did": own.did.as_str(), "handle": own.handle });
    if let (Some(fields), Some(record)) = (author.as_object_mut(), &own.profile) {
        write(fields, record, own, Detail::Basic);
    }
    author
}

fn update(profile: &mut Value, own: &Own, detail: Detail) {
    let Some(record) = own.profile.as_ref().filter(|_| own.profile_is_new) else {
        return;
    };
    let Some(fields) = profile.as_object_mut() else {
        return;
    };
    if fields.get("did").and_then(Value::as_str) == Some(own.did.as_str()) {
        write(fields, record, own, detail);
    }
}

fn write(fields: &mut Map<String, Value>, record: &Value, own: &Own, detail: Detail) {
    let text = |name: &str| record.get(name).filter(|value| value.is_string()).cloned();
    let image = |name: &str| {
        let cid = blob_cid(record.get(name)?)?;
        Some(Value::String(own.image(name, cid)))
    };
    set(fields, "displayName", text("displayName"));
    set(fields, "avatar", image("avatar"));
    if detail == Detail::Full {
        set(fields, "description", text("description"));
        set(fields, "banner", image("banner"));
    }
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => _ = fields.insert(name.to_owned(), value),
        None => _ = fields.remove(name),
    }
}

/// The CID of a blob in a record, of the present or the oldest form.
pub(super) fn blob_cid(blob: &Value) -> Option<&str> {
    blob.pointer("/ref/$link")
        .or_else(|| blob.get("cid"))?
        .as_str()
}
