//! A member with a session at the PDS.

use serde_json::{Value, json};

use crate::Stack;

/// An XRPC error as the server answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The `error` field.
    pub name: String,
    /// The `message` field.
    pub message: String,
}

/// What a write answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// at:// address of the record.
    pub uri: String,
    /// CID of the record.
    pub cid: String,
    /// Revision of the commit that holds it.
    pub rev: String,
}

/// A member who is signed in.
#[derive(Debug, Clone)]
pub struct Member {
    /// The member's DID.
    pub did: String,
    /// The member's handle.
    pub handle: String,
    /// Access token.
    pub access: String,
    /// Refresh token.
    pub refresh: String,
    /// Base URL of the PDS.
    pub pds: String,
    /// The client that every actor shares.
    pub http: reqwest::Client,
}

/// The JSON of a successful answer (`null` when empty), or the error it carries.
pub(crate) async fn refuse(answer: reqwest::Response) -> Result<Value, Refused> {
    let status = answer.status();
    let bytes = answer.bytes().await.expect("the whole answer");
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(body);
    }
    let field = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    Err(Refused {
        status: status.as_u16(),
        name: field("error"),
        message: field("message"),
    })
}

impl Member {
    /// Every member's password.
    pub const PASSWORD: &str = "one member one vote";

    pub(crate) fn from_session(stack: &Stack, session: &Value) -> Self {
        let text = |key: &str| session[key].as_str().expect(key).to_owned();
        Self {
            did: text("did"),
            handle: text("handle"),
            access: text("accessJwt"),
            refresh: text("refreshJwt"),
            pds: stack.pds.clone(),
            http: stack.http.clone(),
        }
    }

    /// The same member, signed in at the PDS with the base URL `pds`.
    pub async fn at(&self, pds: &str) -> Self {
        let answer = self
            .http
            .post(format!("{pds}/xrpc/com.atproto.server.createSession"))
            .json(&json!({ "identifier": self.did, "password": Self::PASSWORD }))
            .send()
            .await
            .expect("the PDS answers");
        let session = refuse(answer).await.expect("a session");
        let text = |key: &str| session[key].as_str().expect(key).to_owned();
        Self {
            handle: text("handle"),
            access: text("accessJwt"),
            refresh: text("refreshJwt"),
            pds: pds.to_owned(),
            ..self.clone()
        }
    }

    /// Uploads a blob; gives the reference to put into a record.
    pub async fn uploads(&self, kind: &str, bytes: Vec<u8>) -> Value {
        let request = self
            .http
            .post(format!("{}/xrpc/com.atproto.repo.uploadBlob", self.pds))
            .bearer_auth(&self.access)
            .header("content-type", kind)
            .body(bytes);
        let answer = request.send().await.expect("the PDS answers");
        refuse(answer).await.expect("the blob is accepted")["blob"].clone()
    }

    /// Calls a procedure with a JSON body.
    ///
    /// # Errors
    /// The XRPC error that the PDS answered.
    pub async fn call(&self, nsid: &str, body: &Value) -> Result<Value, Refused> {
        let answer = self
            .http
            .post(format!("{}/xrpc/{nsid}", self.pds))
            .bearer_auth(&self.access)
            .json(body)
            .send()
            .await
            .expect("the PDS answers");
        refuse(answer).await
    }

    /// Calls a procedure without a body.
    ///
    /// # Errors
    /// The XRPC error that the PDS answered.
    pub async fn tell(&self, nsid: &str) -> Result<Value, Refused> {
        let request = self
            .http
            .post(format!("{}/xrpc/{nsid}", self.pds))
            .bearer_auth(&self.access);
        refuse(request.send().await.expect("the PDS answers")).await
    }

    /// Calls a query; `query` is the part after `?`.
    ///
    /// # Errors
    /// The XRPC error that the PDS answered.
    pub async fn ask(&self, nsid: &str, query: &str) -> Result<Value, Refused> {
        let request = self
            .http
            .get(format!("{}/xrpc/{nsid}?{query}", self.pds))
            .bearer_auth(&self.access);
        refuse(request.send().await.expect("the PDS answers")).await
    }

    /// Creates one record.
    ///
    /// # Errors
    /// The XRPC error that the PDS answered.
    pub async fn creates(&self, collection: &str, record: &Value) -> Result<Created, Refused> {
        let body = json!({ "repo": self.did, "collection": collection, "record": record });
        let answer = self.call("com.atproto.repo.createRecord", &body).await?;
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        Ok(Created {
            uri: text(&answer["uri"]),
            cid: text(&answer["cid"]),
            rev: text(&answer["commit"]["rev"]),
        })
    }

    /// Posts `text`.
    pub async fn posts(&self, text: &str) -> Created {
        self.creates("app.bsky.feed.post", &Self::post(text))
            .await
            .expect("the post is accepted")
    }

    /// A post as a record.
    pub fn post(text: &str) -> Value {
        json!({
            "$type": "app.bsky.feed.post",
            "text": text,
            "createdAt": "2026-01-01T00:00:00.000Z",
        })
    }

    /// All records of a collection, in the order of `listRecords`, page by page.
    pub async fn records(&self, collection: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!(
                "repo={}&collection={collection}&limit=100{cursor}",
                self.did
            );
            let page = self
                .ask("com.atproto.repo.listRecords", &query)
                .await
                .expect("a page of records");
            all.extend(page["records"].as_array().expect("records").iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// The repository as a CAR file.
    pub async fn export(&self) -> Vec<u8> {
        let url = format!(
            "{}/xrpc/com.atproto.sync.getRepo?did={}",
            self.pds, self.did
        );
        let answer = self.http.get(url).send().await.expect("the PDS answers");
        assert!(
            answer.status().is_success(),
            "getRepo answered {}",
            answer.status()
        );
        answer.bytes().await.expect("the whole repository").to_vec()
    }

    /// CID and revision of the present head.
    pub async fn head(&self) -> (String, String) {
        let head = self
            .ask(
                "com.atproto.sync.getLatestCommit",
                &format!("did={}", self.did),
            )
            .await
            .expect("a head");
        let text = |key: &str| head[key].as_str().expect(key).to_owned();
        (text("cid"), text("rev"))
    }
}
