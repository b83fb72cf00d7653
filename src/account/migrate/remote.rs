//! A PDS as a client sees it: one session, calls that are repeated when that is safe, bodies that are
//! passed on without being held.
//!
//! Owns sign-in, renewal of the session, waiting when a server asks for patience, and what a refusal
//! means. Must not know the steps of a move.

use std::io::{self, Write};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use rochdale_protocol::syntax::Did;
use rochdale_service::clock::SystemClock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::error::MigrateError;

/// What we say we are.
pub(super) const USER_AGENT: &str = concat!("rochdale/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A server may be silent for so long: it takes a large repository in, for instance.
const SILENCE: Duration = Duration::from_secs(600);
/// Repetitions of a call that failed for reasons that pass.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A server that wants us to wait longer than this is refused the pleasure.
const PATIENCE: Duration = Duration::from_secs(26 * 60 * 60);
/// A pause longer than this is told.
const WAIT_UNSAID: Duration = Duration::from_secs(5);
/// Largest answer that is read into memory, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// No connection, or it broke off.
    #[error("the {who} at {url} could not be reached: {reason}")]
    Unreachable {
        /// Old or new.
        who: &'static str,
        /// Its address.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// It answered with an error.
    #[error("the {who} refused {nsid} with status {status}: {message} ({name})")]
    Refused {
        /// Old or new.
        who: &'static str,
        /// The method.
        nsid: String,
        /// HTTP status.
        status: u16,
        /// The error's name.
        name: String,
        /// Its text.
        message: String,
        /// How long it wants us to wait.
        wait: Option<Duration>,
    },
    /// Its answer is not what the protocol says.
    #[error("the {who} answered {nsid} with something else: {what}")]
    Odd {
        /// Old or new.
        who: &'static str,
        /// The method.
        nsid: String,
        /// What is wrong.
        what: String,
    },
}

impl RemoteError {
    /// Whether it is the refusal called `name`.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == wanted)
    }

    /// Whether a mailed code was wrong, used or too old.
    pub(super) fn is_bad_token(&self) -> bool {
        self.is("InvalidToken") || self.is("ExpiredToken")
    }

    /// Whether the server said no, rather than failing: another attempt would give the same answer.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 429,
            Self::Unreachable { .. } => false,
            Self::Odd { .. } => true,
        }
    }

    /// How long to wait before another attempt, when the server said so.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused { wait, .. } => *wait,
            Self::Unreachable { .. } | Self::Odd { .. } => None,
        }
    }

    /// What the server said, without who and where.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Refused { name, message, .. } => format!("{message} ({name})"),
            Self::Unreachable { .. } | Self::Odd { .. } => self.to_string(),
        }
    }
}

/// What a sign-in takes.
#[derive(Clone)]
pub(super) struct SignIn {
    /// Handle or DID.
    pub(super) identifier: String,
    /// The main password.
    pub(super) password: String,
    /// A mailed code.
    pub(super) second_factor: Option<String>,
    /// Whether a taken-down account may come in.
    pub(super) allow_takendown: bool,
}

/// What a sign-in brings.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    /// The account.
    pub(super) did: Did,
    /// Its handle.
    pub(super) handle: String,
    access_jwt: String,
    refresh_jwt: String,
    /// Its mail address.
    pub(super) email: Option<String>,
    /// Whether signing in takes a second factor.
    #[serde(default)]
    pub(super) email_auth_factor: bool,
    /// Whether it is active; servers that do not say so have active accounts only.
    pub(super) active: Option<bool>,
    /// Why it is not active.
    pub(super) status: Option<String>,
}

/// A client of one PDS.
pub(super) struct Remote {
    /// `old PDS` or `new PDS`.
    who: &'static str,
    /// Its origin.
    pub(super) url: String,
    http: Client,
    sign_in: Option<SignIn>,
    session: Mutex<Option<Session>>,
}

/// The origin of an address: scheme, host and port.
pub(super) fn origin(text: &str) -> Result<String, MigrateError> {
    let refuse = || MigrateError::Address(text.to_owned());
    let url = reqwest::Url::parse(text).map_err(|_syntax| refuse())?;
    let is_origin = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty();
    if !is_origin {
        return Err(refuse());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The host of an origin.
pub(super) fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// The HTTP client of a move.
pub(super) fn client() -> Result<Client, MigrateError> {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::limited(3))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE)
        .build()
        .map_err(|cause| MigrateError::System(io::Error::other(cause)))
}

impl Remote {
    /// A client of the PDS at `url`, not signed in.
    pub(super) fn new(who: &'static str, http: Client, url: String) -> Self {
        Self {
            who,
            url,
            http,
            sign_in: None,
            session: Mutex::new(None),
        }
    }

    /// `old PDS` or `new PDS`.
    pub(super) fn who(&self) -> &'static str {
        self.who
    }

    /// Signs in, and remembers how, to do so again when the session cannot be renewed.
    pub(super) async fn sign_in(&mut self, sign_in: SignIn) -> Result<(), RemoteError> {
        let session = self.create_session(&sign_in).await?;
        self.sign_in = Some(sign_in);
        self.session = Mutex::new(Some(session));
        Ok(())
    }

    async fn create_session(&self, sign_in: &SignIn) -> Result<Session, RemoteError> {
        let mut body = json!({ "identifier": sign_in.identifier, "password": sign_in.password });
        if let Some(fields) = body.as_object_mut() {
            if sign_in.allow_takendown {
                fields.insert("allowTakendown".to_owned(), Value::Bool(true));
            }
            if let Some(code) = &sign_in.second_factor {
                fields.insert("authFactorToken".to_owned(), code.clone().into());
            }
        }
        self.call_as("com.atproto.server.createSession", &body, None)
            .await
    }

    /// The session as it was at sign-in.
    pub(super) async fn session(&self) -> Result<Session, RemoteError> {
        let session = self.session.lock().await;
        session
            .clone()
            .ok_or_else(|| self.odd("session", "not signed in"))
    }

    /// Whose session it is.
    pub(super) fn did(&mut self) -> Result<Did, RemoteError> {
        let did = self
            .session
            .get_mut()
            .as_ref()
            .map(|session| session.did.clone());
        did.ok_or_else(|| self.odd("session", "not signed in"))
    }

    /// A query with the session, its answer as `T`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        nsid: &str,
        query: &[(&str, &str)],
    ) -> Result<T, RemoteError> {
        let answer = self.get(nsid, query).await?;
        self.read(nsid, answer).await
    }

    /// A query with the session, its answer still to be read.
    pub(super) async fn get(
        &self,
        nsid: &str,
        query: &[(&str, &str)],
    ) -> Result<Response, RemoteError> {
        let url = self.address(nsid, query)?;
        self.repeated(nsid, |http| http.get(url.clone())).await
    }

    /// A query without the session, as a stranger.
    pub(super) async fn ask_publicly<T: DeserializeOwned>(
        &self,
        nsid: &str,
        query: &[(&str, &str)],
    ) -> Result<T, RemoteError> {
        let url = self.address(nsid, query)?;
        let answer = self.once(nsid, self.http.get(url)).await?;
        self.read(nsid, answer).await
    }

    /// A procedure with the session.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        nsid: &str,
        body: &Value,
    ) -> Result<T, RemoteError> {
        let url = self.address(nsid, &[])?;
        let answer = self.repeated(nsid, |http| http.post(url.clone()).json(body));
        self.read(nsid, answer.await?).await
    }

    /// A procedure with the session and without input.
    pub(super) async fn tell(&self, nsid: &str) -> Result<(), RemoteError> {
        let url = self.address(nsid, &[])?;
        self.repeated(nsid, |http| http.post(url.clone())).await?;
        Ok(())
    }

    /// A procedure with the session whose input is text in JSON and whose answer does not matter.
    pub(super) async fn hand_in(&self, nsid: &str, body: &str) -> Result<(), RemoteError> {
        let url = self.address(nsid, &[])?;
        let request = |http: &Client| {
            let request = http.post(url.clone());
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_owned())
        };
        self.repeated(nsid, request).await?;
        Ok(())
    }

    /// A procedure with another token than the session's, or none.
    pub(super) async fn call_as<T: DeserializeOwned>(
        &self,
        nsid: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Result<T, RemoteError> {
        let mut request = self.http.post(self.address(nsid, &[])?).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = self.once(nsid, request).await?;
        self.read(nsid, answer).await
    }

    /// A procedure whose input is a stream. It cannot be repeated here: the caller can.
    pub(super) async fn upload(
        &self,
        nsid: &str,
        kind: &str,
        bytes: Option<u64>,
        body: Body,
    ) -> Result<Value, RemoteError> {
        let token = self.token().await?;
        let mut request = self
            .http
            .post(self.address(nsid, &[])?)
            .bearer_auth(token)
            .header(CONTENT_TYPE, kind);
        if let Some(bytes) = bytes {
            request = request.header(reqwest::header::CONTENT_LENGTH, bytes);
        }
        let answer = self.once(nsid, request.body(body)).await?;
        self.read(nsid, answer).await
    }

    /// Makes the next call carry a fresh token, when a stream was refused for its token.
    pub(super) async fn renew(&self) -> Result<(), RemoteError> {
        let mut session = self.session.lock().await;
        let Some(present) = session.as_ref() else {
            return Ok(());
        };
        let refresh = self
            .http
            .post(self.address("com.atproto.server.refreshSession", &[])?)
            .bearer_auth(&present.refresh_jwt);
        let renewed = match self
            .once("com.atproto.server.refreshSession", refresh)
            .await
        {
            Ok(answer) => self.read("com.atproto.server.refreshSession", answer).await,
            Err(error) => Err(error),
        };
        let renewed: Session = match (renewed, &self.sign_in) {
            (Ok(renewed), _) => renewed,
            (Err(_refused), Some(sign_in)) => self.create_session(sign_in).await?,
            (Err(error), None) => return Err(error),
        };
        *session = Some(Session {
            email: present.email.clone(),
            email_auth_factor: present.email_auth_factor,
            ..renewed
        });
        Ok(())
    }

    async fn token(&self) -> Result<String, RemoteError> {
        Ok(self.session().await?.access_jwt)
    }

    fn address(&self, nsid: &str, query: &[(&str, &str)]) -> Result<reqwest::Url, RemoteError> {
        let url = format!("{}/xrpc/{nsid}", self.url);
        let parsed = if query.is_empty() {
            reqwest::Url::parse(&url)
        } else {
            reqwest::Url::parse_with_params(&url, query)
        };
        parsed.map_err(|cause| self.odd(nsid, &cause.to_string()))
    }

    /// Sends a request that may be sent again: with a renewed session when it ran out, after a pause
    /// when the server fails or asks for one.
    async fn repeated(
        &self,
        nsid: &str,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, RemoteError> {
        let mut tries = Tries::new();
        loop {
            let token = self.token().await?;
            match self
                .once(nsid, request(&self.http).bearer_auth(token))
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.after(error, &[self]).await?,
            }
        }
    }

    /// Sends a request once.
    async fn once(&self, nsid: &str, request: RequestBuilder) -> Result<Response, RemoteError> {
        let answer = request
            .send()
            .await
            .map_err(|cause| self.unreachable(&cause))?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.refused(nsid, answer).await)
        }
    }

    async fn refused(&self, nsid: &str, answer: Response) -> RemoteError {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct ErrorBody {
            error: String,
            message: String,
        }
        let status = answer.status();
        let wait = (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| asked_to_wait(&answer))
            .flatten();
        let bytes = self.bytes(nsid, answer).await.unwrap_or_default();
        let body: ErrorBody = serde_json::from_slice(&bytes).unwrap_or_default();
        RemoteError::Refused {
            who: self.who,
            nsid: nsid.to_owned(),
            status: status.as_u16(),
            name: clean(body.error),
            message: clean(body.message),
            wait,
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        nsid: &str,
        answer: Response,
    ) -> Result<T, RemoteError> {
        let bytes = self.bytes(nsid, answer).await?;
        // Some procedures answer nothing, which then stands for anything.
        let bytes = if bytes.is_empty() {
            b"null"
        } else {
            &bytes[..]
        };
        serde_json::from_slice(bytes).map_err(|cause| self.odd(nsid, &cause.to_string()))
    }

    async fn bytes(&self, nsid: &str, mut answer: Response) -> Result<Vec<u8>, RemoteError> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|cause| self.unreachable(&cause))?
        {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(self.odd(nsid, "the answer is too long"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// A failure of the network, as one of this server.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> RemoteError {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            reason = error.to_string();
            cause = error.source();
        }
        RemoteError::Unreachable {
            who: self.who,
            url: self.url.clone(),
            reason,
        }
    }

    /// An answer that is not what it must be.
    pub(super) fn odd(&self, nsid: &str, what: &str) -> RemoteError {
        RemoteError::Odd {
            who: self.who,
            nsid: nsid.to_owned(),
            what: what.to_owned(),
        }
    }
}

/// The attempts at one piece of work.
pub(super) struct Tries {
    made: u32,
    pause: Duration,
    renewed: bool,
}

impl Tries {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            made: 1,
            pause: FIRST_PAUSE,
            renewed: false,
        }
    }

    /// Comes back when another attempt makes sense: with new sessions at `remotes` when one ran out,
    /// after a pause when a server failed, or as long as it asked for.
    pub(super) async fn after(
        &mut self,
        error: RemoteError,
        remotes: &[&Remote],
    ) -> Result<(), RemoteError> {
        if error.is("ExpiredToken") && !self.renewed {
            self.renewed = true;
            for remote in remotes {
                remote.renew().await?;
            }
            return Ok(());
        }
        if let Some(wait) = error.wait() {
            if wait > WAIT_UNSAID {
                let minutes = wait.as_secs().div_ceil(60);
                let _deaf = writeln!(io::stderr(), "  {error}: going on in {minutes} min");
            }
            tokio::time::sleep(wait).await;
            return Ok(());
        }
        if error.is_final() || self.made >= ATTEMPTS {
            return Err(error);
        }
        self.made += 1;
        tokio::time::sleep(self.pause).await;
        self.pause *= 3;
        Ok(())
    }
}

/// A server's words, fit for a terminal.
fn clean(text: String) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(500)
        .collect()
}

/// How long a server that limits requests wants us to wait.
fn asked_to_wait(answer: &Response) -> Option<Duration> {
    let number = |name: &str| -> Option<u64> {
        answer
            .headers()
            .get(name)?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let until_reset = || {
        let now_s = SystemClock::shared().now_ms() / 1000;
        let reset = number("ratelimit-reset")?;
        Some(reset.saturating_sub(now_s))
    };
    let seconds = number("retry-after").or_else(until_reset)?;
    let wait = Duration::from_secs(seconds.max(1));
    (wait <= PATIENCE).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin() {
        assert_eq!(
            origin("https://pds.example/").unwrap(),
            "https://pds.example"
        );
        assert_eq!(
            origin("http://localhost:2583").unwrap(),
            "http://localhost:2583"
        );
        for bad in [
            "pds.example",
            "ftp://x",
            "https://x/path",
            "https://u@x",
            "https://x?q",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert_eq!(host("https://pds.example"), "pds.example");
    }

    #[test]
    fn words_of_a_server_do_not_reach_the_terminal_as_commands() {
        assert_eq!(clean("\x1b[2Jgone\n".to_owned()), "[2Jgone");
    }
}
