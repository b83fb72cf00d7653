//! Someone with an account, as their app sees them.

use serde_json::{Value, json};

use crate::server::{Server, bearer, ok};

/// A signed-in member: their identity and the tokens of one session.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) did: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Member {
    /// The member of a session as `createAccount` and `createSession` answer it.
    pub(crate) fn of(session: &Value) -> Self {
        let text = |key: &str| session[key].as_str().expect(key).to_owned();
        Self {
            did: text("did"),
            access: text("accessJwt"),
            refresh: text("refreshJwt"),
        }
    }

    /// The `Authorization` of the session.
    pub(crate) fn auth(&self) -> String {
        bearer(&self.access)
    }

    /// The `Authorization` that renews and ends the session.
    pub(crate) fn refresh_auth(&self) -> String {
        bearer(&self.refresh)
    }

    /// Calls a procedure.
    pub(crate) async fn call(&self, server: &Server, nsid: &str, body: Value) -> (u16, Value) {
        server.call(nsid, &self.auth(), body).await
    }

    /// Asks a query.
    pub(crate) async fn ask(&self, server: &Server, query: &str) -> (u16, Value) {
        server.ask(query, &self.auth()).await
    }

    /// The session as the server sees it.
    pub(crate) async fn session(&self, server: &Server) -> Value {
        ok(self.ask(server, "com.atproto.server.getSession").await)
    }

    /// Writes a post.
    pub(crate) async fn post(&self, server: &Server, text: &str) -> (u16, Value) {
        let body = json!({
            "repo": self.did,
            "collection": "app.bsky.feed.post",
            "record": { "text": text, "createdAt": "2026-01-01T00:00:00Z" },
        });
        self.call(server, "com.atproto.repo.createRecord", body)
            .await
    }
}
