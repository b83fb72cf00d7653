//! What there is to move, what will not move, and what stands in the way, before anything is changed.

use rochdale_protocol::syntax::{Did, Handle};
use rochdale_service::clock::SystemClock;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::blobs;
use super::document::Documents;
use super::error::MigrateError;
use super::journal::{Journal, LostBlob};
use super::remote::{Remote, RemoteError, Session};
use super::talk::Talk;
use super::{Args, identity};

/// How long the old server's word is good, in seconds.
const WORD_SECONDS: u64 = 300;

/// What `describeServer` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Server {
    /// The server's DID.
    pub(super) did: Did,
    #[serde(default)]
    available_user_domains: Vec<String>,
    #[serde(default)]
    invite_code_required: bool,
    #[serde(default)]
    pub(super) blob_upload_limit: Option<u64>,
}

/// What `checkAccountStatus` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// Whether the account is awake.
    pub(super) activated: bool,
    /// Whether the DID document fits.
    pub(super) valid_did: bool,
    /// Records.
    pub(super) indexed_records: u64,
    /// Blobs that records refer to.
    pub(super) expected_blobs: u64,
    /// Blobs that are there.
    pub(super) imported_blobs: u64,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Survey {
    /// The handle at the new PDS.
    pub(super) handle: Handle,
    /// The mail address there.
    pub(super) email: String,
    moves: Vec<String>,
    stays: Vec<String>,
    obstacles: Vec<String>,
}

/// Asks one server what it is.
pub(super) async fn server(remote: &Remote) -> Result<Server, MigrateError> {
    let nsid = "com.atproto.server.describeServer";
    Ok(remote.ask_publicly(nsid, &[]).await?)
}

/// Looks at both servers and the identity. Of a move that was begun only the names are taken over.
pub(super) async fn look(
    args: &Args,
    talk: &Talk,
    old: &Remote,
    new: &Remote,
    documents: &Documents,
    begun: Option<&Journal>,
) -> Result<Survey, MigrateError> {
    if let (Some(journal), false) = (begun, args.dry_run) {
        return Ok(Survey::of_names(journal.handle().clone(), journal.email()));
    }
    let session = old.session().await?;
    let (from, to) = (server(old).await?, server(new).await?);
    let mut survey = names(args, &session, &from, &to);
    survey.look_at_account(&session, old).await;
    survey.look_at_preferences(old).await;
    survey.look_at_leaving(old, &to).await;
    identity::look(args, &mut survey, documents, &session.did, old).await?;
    if args.dry_run {
        survey.look_at_blobs(talk, old, &session, &to).await?;
    }
    Ok(survey)
}

/// The names at the new place, and why they do not do.
fn names(args: &Args, session: &Session, from: &Server, to: &Server) -> Survey {
    let mut obstacles = Vec::new();
    let wanted = args.new_handle.as_ref().unwrap_or(&session.handle);
    let handle = wanted
        .parse::<Handle>()
        .unwrap_or_else(|_syntax| Handle::invalid());
    let under = |server: &Server| {
        let domains = &server.available_user_domains;
        domains
            .iter()
            .any(|domain| handle.as_str().ends_with(domain.as_str()))
    };
    if handle == Handle::invalid() {
        obstacles.push(format!(
            "{wanted:?} is no handle: choose one with --new-handle"
        ));
    } else if under(from) && !under(to) {
        let domains = to.available_user_domains.join(", ");
        obstacles.push(format!(
            "the handle {handle} belongs to the old PDS: choose one under {domains} with --new-handle"
        ));
    }
    let email = args
        .email
        .clone()
        .or_else(|| session.email.clone())
        .unwrap_or_default();
    if email.is_empty() {
        obstacles.push("the old PDS does not tell the mail address: give --email".to_owned());
    }
    if to.invite_code_required && args.invite_code.is_none() {
        obstacles.push("the new PDS takes an invite code: give --invite-code".to_owned());
    }
    let mut survey = Survey::of_names(handle, &email);
    survey.obstacles = obstacles;
    survey
}

impl Survey {
    /// A survey that found nothing yet.
    pub(super) fn of_names(handle: Handle, email: &str) -> Self {
        Self {
            handle,
            email: email.to_owned(),
            moves: Vec::new(),
            stays: Vec::new(),
            obstacles: Vec::new(),
        }
    }

    /// Something that moves.
    pub(super) fn moves(&mut self, what: String) {
        self.moves.push(what);
    }

    /// Something that does not move.
    pub(super) fn stays(&mut self, what: String) {
        self.stays.push(what);
    }

    /// Something in the way.
    pub(super) fn obstacle(&mut self, what: String) {
        self.obstacles.push(what);
    }

    async fn look_at_account(&mut self, session: &Session, old: &Remote) {
        if let Some(status) = session
            .status
            .as_deref()
            .filter(|_| session.active == Some(false))
        {
            self.moves(format!("an account that is {status} at the old PDS"));
        }
        match status(old).await {
            Ok(status) => {
                self.moves(format!(
                    "{} records, {} blobs",
                    status.indexed_records, status.imported_blobs
                ));
                let missing = status.expected_blobs.saturating_sub(status.imported_blobs);
                if missing > 0 {
                    self.stays(format!(
                        "{missing} blobs that the old PDS itself does not have"
                    ));
                }
            }
            Err(error) => self.moves(format!(
                "all records and blobs (the old PDS does not count them: {})",
                error.reason()
            )),
        }
        if let Ok(list) = old
            .ask::<Value>("com.atproto.server.listAppPasswords", &[])
            .await
        {
            let count = list
                .get("passwords")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            if count > 0 {
                self.stays(format!(
                    "{count} app passwords: make new ones at the new PDS"
                ));
            }
        }
        if session.email_auth_factor {
            self.stays("the second factor at sign-in: turn it on again".to_owned());
        }
        self.stays("signed-in apps and sessions: sign in anew".to_owned());
        self.stays(
            "direct messages: they are on neither PDS but with the chat service, under the same DID"
                .to_owned(),
        );
    }

    async fn look_at_preferences(&mut self, old: &Remote) {
        match preferences(old).await {
            Ok(preferences) => self.moves(format!("{} preferences", preferences.len())),
            Err(error) => self.stays(format!("preferences: {}", error.reason())),
        }
    }

    /// Whether the old PDS vouches for the account, without which nothing moves.
    async fn look_at_leaving(&mut self, old: &Remote, to: &Server) {
        if let Err(error) = vouched(old, &to.did).await {
            let why = error.reason();
            self.obstacle(format!("the old PDS does not vouch for the account: {why}"));
        }
    }

    async fn look_at_blobs(
        &mut self,
        talk: &Talk,
        old: &Remote,
        session: &Session,
        to: &Server,
    ) -> Result<(), MigrateError> {
        let lost = blobs::look(talk, old, &session.did, to.blob_upload_limit).await?;
        for LostBlob { cid, reason, .. } in lost {
            self.stays(format!("blob {cid}: {reason}"));
        }
        Ok(())
    }

    /// Prints what was found.
    pub(super) fn report(&self) -> Result<(), MigrateError> {
        let talk = Talk::new();
        talk.print(&format!(
            "New handle: {}. Mail address: {}.",
            self.handle, self.email
        ))?;
        for (title, lines) in [
            ("Moves:", &self.moves),
            ("Does not move:", &self.stays),
            ("In the way:", &self.obstacles),
        ] {
            if !lines.is_empty() {
                talk.print(title)?;
            }
            for line in lines {
                talk.print(&format!("  - {line}"))?;
            }
        }
        talk.print("Nothing was changed.")
    }

    /// Refuses a move that something is in the way of.
    pub(super) fn check(&self) -> Result<(), MigrateError> {
        if self.obstacles.is_empty() {
            Ok(())
        } else {
            Err(MigrateError::Obstacles(self.obstacles.clone()))
        }
    }
}

/// How the account is doing at one place.
pub(super) async fn status(remote: &Remote) -> Result<Status, RemoteError> {
    let nsid = "com.atproto.server.checkAccountStatus";
    remote.ask(nsid, &[]).await
}

/// The preferences at one place.
pub(super) async fn preferences(remote: &Remote) -> Result<Vec<Box<RawValue>>, RemoteError> {
    #[derive(Deserialize)]
    struct Answer {
        preferences: Vec<Box<RawValue>>,
    }
    let answer: Answer = remote.ask("app.bsky.actor.getPreferences", &[]).await?;
    Ok(answer.preferences)
}

/// The old server's word that the account is the caller's, for the server called `to`.
pub(super) async fn vouched(old: &Remote, to: &Did) -> Result<String, RemoteError> {
    #[derive(Deserialize)]
    struct Answer {
        token: String,
    }
    let nsid = "com.atproto.server.getServiceAuth";
    let expires = SystemClock::shared().now_ms() / 1000 + WORD_SECONDS;
    let (aud, exp) = (to.as_str(), expires.to_string());
    let lxm = "com.atproto.server.createAccount";
    let query = [("aud", aud), ("lxm", lxm), ("exp", &exp)];
    let answer: Answer = old.ask(nsid, &query).await?;
    Ok(answer.token)
}
