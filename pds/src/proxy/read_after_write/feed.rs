//! A list of posts by time: where the caller's own ones go, and what their author looks like.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::own::Own;
use super::{Unchanged, profile};

const REPOST: &str = "app.bsky.feed.defs#reasonRepost";
const PIN: &str = "app.bsky.feed.defs#reasonPin";

/// What a feed is asked for, as far as it matters here.
#[derive(Default)]
pub(super) struct Parameters {
    pub(super) actor: String,
    pub(super) filter: String,
    cursor: String,
}

impl Parameters {
    pub(super) fn parse(query: &str) -> Self {
        let mut parameters = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "actor" => parameters.actor = value.into_owned(),
                "filter" => parameters.filter = value.into_owned(),
                "cursor" => parameters.cursor = value.into_owned(),
                _ => (),
            }
        }
        parameters
    }

    /// What is new belongs there.
    pub(super) fn is_first_page(&self) -> bool {
        self.cursor.is_empty()
    }
}

/// The items of a feed.
pub(super) fn items(value: &mut Value) -> Result<&mut Vec<Value>, Unchanged> {
    value
        .get_mut("feed")
        .and_then(Value::as_array_mut)
        .ok_or(Unchanged::Shape("feed"))
}

/// Puts the new profile beside every post of the caller.
pub(super) fn show_authors(items: &mut [Value], own: &Own) {
    for item in items {
        if let Some(post) = item.get_mut("post") {
            profile::show_author(post, own);
        }
    }
}

/// Inserts post views, newest first as everything there. Those older than the last item belong to a
/// later page, and those that are there already stay as they are.
pub(super) fn insert(items: &mut Vec<Value>, posts: Vec<Value>) {
    let present: HashSet<String> = items
        .iter()
        .filter_map(|item| text(item, "/post/uri").map(str::to_owned))
        .collect();
    let last = items.last().and_then(time).unwrap_or_default().to_owned();
    for post in posts {
        let at = |pointer: &str| post.pointer(pointer).and_then(Value::as_str);
        let (uri, when) = (
            at("/uri").unwrap_or_default(),
            at("/indexedAt").unwrap_or_default(),
        );
        if present.contains(uri) || when <= last.as_str() {
            continue;
        }
        // A pinned post stays on top, whatever its time.
        let older = |item: &Value| !is(item, PIN) && time(item).is_some_and(|time| time <= when);
        let place = items.iter().position(older).unwrap_or(items.len());
        items.insert(place, json!({ "post": post }));
    }
}

/// When an item came to be where it is: a repost when it was reposted.
fn time(item: &Value) -> Option<&str> {
    let reposted = is(item, REPOST)
        .then(|| text(item, "/reason/indexedAt"))
        .flatten();
    reposted.or_else(|| text(item, "/post/indexedAt"))
}

fn is(item: &Value, reason: &str) -> bool {
    text(item, "/reason/$type") == Some(reason)
}

fn text<'a>(item: &'a Value, pointer: &str) -> Option<&'a str> {
    item.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(uri: &str, at: &str) -> Value {
        json!({ "post": { "uri": uri, "indexedAt": at } })
    }

    fn reasoned(uri: &str, at: &str, reason: &str, reason_at: &str) -> Value {
        let mut item = item(uri, at);
        item["reason"] = json!({ "$type": reason, "indexedAt": reason_at });
        item
    }

    fn inserted(mut items: Vec<Value>, posts: &[(&str, &str)]) -> Vec<String> {
        let posts = posts
            .iter()
            .map(|(uri, at)| json!({ "uri": uri, "indexedAt": at }));
        insert(&mut items, posts.collect());
        let uris = items
            .iter()
            .map(|item| text(item, "/post/uri").unwrap().to_owned());
        uris.collect()
    }

    #[test]
    fn own_posts_go_where_their_time_puts_them() {
        let items = vec![item("d", "2026-01-04"), item("b", "2026-01-02")];
        let own = [("c", "2026-01-03"), ("e", "2026-01-05")];
        assert_eq!(inserted(items.clone(), &own), ["e", "d", "c", "b"]);
        assert_eq!(inserted(items.clone(), &[("a", "2026-01-01")]), ["d", "b"]);
        assert_eq!(inserted(items, &[("d", "2026-01-06")]), ["d", "b"]);
        assert_eq!(inserted(Vec::new(), &own), ["e", "c"]);
    }

    #[test]
    fn reposts_count_from_the_repost_and_pins_stay_on_top() {
        let items = vec![
            reasoned("pinned", "2020-01-01", PIN, ""),
            reasoned("old", "2019-01-01", REPOST, "2026-01-06"),
            item("b", "2026-01-02"),
        ];
        let own = [("c", "2026-01-03"), ("z", "2026-01-07")];
        assert_eq!(inserted(items, &own), ["pinned", "z", "old", "c", "b"]);
    }
}
