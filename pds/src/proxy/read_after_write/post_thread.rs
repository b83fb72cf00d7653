//! `app.bsky.feed.getPostThread`: the caller's own new replies, and whole threads that begin with a
//! post which the AppView does not know yet.

use rochdale_service::xrpc::Query;
use serde::Deserialize;
use serde_json::{Value, json};

use super::own::{Own, OwnPost};
use super::{Showing, Unchanged, post, profile};

/// The name under which an AppView refuses a thread that it does not know.
pub(super) const NOT_FOUND: &str = "NotFound";

const NSID: &str = "app.bsky.feed.getPostThread";
const THREAD: &str = "app.bsky.feed.defs#threadViewPost";
/// Levels of replies when the caller does not say.
const DEPTH: i64 = 6;
const PARENT_HEIGHT: i64 = 80;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    uri: String,
    depth: Option<i64>,
    parent_height: Option<i64>,
}

fn parameters(query: &str) -> Option<Parameters> {
    Query::parse(query).ok().map(|Query(parameters)| parameters)
}

/// The caller's replies, of which some may belong to the thread.
pub(super) fn posts(own: &Own) -> Vec<&OwnPost> {
    let is_reply = |post: &&OwnPost| post::reply_to(&post.record, "root").is_some();
    own.posts.iter().filter(is_reply).collect()
}

/// Adds the views of the caller's replies, and their new profile.
pub(super) fn show(
    value: &mut Value,
    own: &Own,
    posts: &[Value],
    query: &str,
) -> Result<(), Unchanged> {
    let thread = value.get_mut("thread");
    let thread = thread.ok_or(Unchanged::Shape("thread"))?;
    if is_thread(thread) {
        show_authors(thread, own);
        let depth = parameters(query).and_then(|parameters| parameters.depth);
        add_replies(thread, posts, depth.unwrap_or(DEPTH));
    }
    Ok(())
}

/// The thread of a post of the caller that the AppView does not know.
pub(super) async fn local(showing: &Showing<'_>) -> Result<Option<Value>, Unchanged> {
    let Some(asked) = parameters(showing.query) else {
        return Ok(None);
    };
    let own = showing.own;
    let uri = own.own_uri(&asked.uri);
    let Some(first) = own
        .posts
        .iter()
        .find(|post| Some(&post.uri) == uri.as_ref())
    else {
        return Ok(None);
    };
    let mut thread = thread_view(post::view(first, showing).await?);
    let replies = post::views(posts(own), showing).await?;
    add_replies(&mut thread, &replies, asked.depth.unwrap_or(DEPTH));
    let height = asked.parent_height.unwrap_or(PARENT_HEIGHT);
    let above = above(first, height, showing).await?;
    if let (Some(fields), Some(above)) = (thread.as_object_mut(), above) {
        fields.insert("parent".to_owned(), above);
    }
    Ok(Some(json!({ "thread": thread })))
}

/// What a post answers: own posts first, the rest as the AppView knows it.
async fn above(
    post: &OwnPost,
    mut height: i64,
    showing: &Showing<'_>,
) -> Result<Option<Value>, Unchanged> {
    let mut own_parents = Vec::new();
    let mut parent = post::reply_to(&post.record, "parent");
    let mut top = None;
    while let Some(uri) = parent.filter(|_| height > 0) {
        height -= 1;
        let Some(known) = showing.own.posts.iter().find(|post| post.uri == uri) else {
            top = upstream(uri, height, showing).await;
            break;
        };
        own_parents.push(thread_view(post::view(known, showing).await?));
        // A reply is newer than what it answers: more steps than posts would be a circle.
        if own_parents.len() > showing.own.posts.len() {
            break;
        }
        parent = post::reply_to(&known.record, "parent");
    }
    for mut view in own_parents.into_iter().rev() {
        if let (Some(fields), Some(above)) = (view.as_object_mut(), top.take()) {
            fields.insert("parent".to_owned(), above);
        }
        top = Some(view);
    }
    Ok(top)
}

#[derive(Deserialize)]
struct Thread {
    thread: Value,
}

/// The thread above a post, if the AppView has it: without, the post is shown alone.
async fn upstream(uri: &str, height: i64, showing: &Showing<'_>) -> Option<Value> {
    let height = height.to_string();
    let query = [("uri", uri), ("parentHeight", &height), ("depth", "0")];
    let answer = showing.call.ask::<Thread>(NSID, &query).await;
    answer.ok().map(|answer| answer.thread)
}

fn thread_view(post: Value) -> Value {
    json!({ "$type": THREAD, "post": post })
}

/// Puts post views into the thread that they belong to, as far as it is shown.
fn add_replies(thread: &mut Value, posts: &[Value], depth: i64) {
    let root = thread
        .pointer("/post/record")
        .and_then(|record| post::reply_to(record, "root"))
        .or_else(|| uri(thread));
    let root = root.unwrap_or_default().to_owned();
    // Oldest first: a reply to an own reply finds it in place.
    for reply in posts {
        let to = |end| post::reply_to(reply.get("record")?, end);
        let is_there = |uri: &str| holds(thread, uri);
        if to("root") != Some(&root) || reply_uri(reply).is_none_or(is_there) {
            continue;
        }
        if let Some(parent) = to("parent") {
            insert(thread, parent, reply, depth);
        }
    }
}

fn reply_uri(reply: &Value) -> Option<&str> {
    reply.get("uri")?.as_str()
}

fn is_thread(view: &Value) -> bool {
    view.get("$type").and_then(Value::as_str) == Some(THREAD)
}

fn uri(thread: &Value) -> Option<&str> {
    thread.pointer("/post/uri")?.as_str()
}

fn replies(thread: &Value) -> &[Value] {
    let replies = thread.get("replies").and_then(Value::as_array);
    replies.map_or(&[], Vec::as_slice)
}

fn holds(thread: &Value, wanted: &str) -> bool {
    uri(thread) == Some(wanted) || replies(thread).iter().any(|reply| holds(reply, wanted))
}

/// Puts `reply` under the post `parent`, at most `depth` levels below. The answer was read as JSON,
/// which bounds how deep this goes.
fn insert(thread: &mut Value, parent: &str, reply: &Value, depth: i64) -> bool {
    if depth < 1 {
        return false;
    }
    if uri(thread) == Some(parent) {
        if let Some(fields) = thread.as_object_mut() {
            let replies = fields.entry("replies").or_insert_with(|| json!([]));
            if let Some(replies) = replies.as_array_mut() {
                replies.insert(0, thread_view(reply.clone()));
            }
        }
        return true;
    }
    let below = thread.get_mut("replies").and_then(Value::as_array_mut);
    below.is_some_and(|below| {
        below
            .iter_mut()
            .any(|one| insert(one, parent, reply, depth - 1))
    })
}

fn show_authors(thread: &mut Value, own: &Own) {
    if let Some(post) = thread.get_mut("post") {
        profile::show_author(post, own);
    }
    if let Some(parent) = thread.get_mut("parent") {
        show_authors(parent, own);
    }
    let below = thread.get_mut("replies").and_then(Value::as_array_mut);
    for reply in below.into_iter().flatten() {
        show_authors(reply, own);
    }
}
