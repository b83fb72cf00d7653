//! `rochdale lexicon publish`: schemas become records of an account. A change that breaks is not
//! published unless its author insists.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rochdale_lexicons::{Document, Effect, SCHEMA_COLLECTION, authority, compare};
use rochdale_protocol::syntax::{Did, Nsid, SyntaxError};
use rochdale_service::config::Secret;
use rochdale_service::outbound::{Limits, Outbound, Policy};
use serde_json::{Value, json};

use super::{Source, Verdict, check, say, sources};
use crate::run::RunError;

/// The variable that holds the password.
const PASSWORD: &str = "ROCHDALE_PASSWORD";

/// Arguments of `rochdale lexicon publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Schema files, or folders that are searched for files ending in .json.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Origin of the account's PDS, such as `https://pds.example.coop`.
    #[arg(long, value_name = "URL")]
    pds: String,
    /// Handle or DID of the account. Its password (better an app password) is taken from
    /// ROCHDALE_PASSWORD, or asked for.
    #[arg(long, value_name = "HANDLE")]
    handle: String,
    /// Publishes changes that break, too. Better give a schema that breaks a new NSID.
    #[arg(long)]
    allow_breaking: bool,
    /// Says what would be published, and publishes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The account's server, and the token it gave.
struct Server {
    outbound: Outbound,
    origin: String,
    token: Option<String>,
}

/// The account that publishes.
struct Session {
    server: Server,
    did: Did,
}

/// Publishes what has no faults.
pub(super) async fn run(args: Args) -> Result<Verdict, RunError> {
    let (schemas, mut faults) = sources(&args.paths)?;
    faults.extend(check::references(&schemas).faults);
    if !faults.is_empty() {
        for fault in &faults {
            say(fault);
        }
        say(&"nothing was published");
        return Ok(Verdict::Bad);
    }
    let session = Session::open(&args).await?;
    let mut verdict = Verdict::Good;
    for (id, source) in &schemas {
        if !session.publish(id, source, &args).await? {
            verdict = Verdict::Bad;
        }
    }
    let names: BTreeSet<String> = schemas.keys().filter_map(authority::dns_name).collect();
    say(&"\nSchemas are found by these DNS records; each may exist only once:");
    for name in names {
        say(&format_args!("{name}. 300 IN TXT \"did={}\"", session.did));
    }
    Ok(verdict)
}

impl Session {
    async fn open(args: &Args) -> Result<Self, RunError> {
        let user_agent = concat!("rochdale/", env!("CARGO_PKG_VERSION")).to_owned();
        let outbound = Outbound::new(Policy {
            dev: false,
            user_agent,
        })?;
        let origin = args.pds.trim_end_matches('/').to_owned();
        let password = password(&args.handle)?;
        let credentials = json!({ "identifier": args.handle, "password": password.expose() });
        let mut server = Server {
            outbound,
            origin,
            token: None,
        };
        let answer = server
            .call("com.atproto.server.createSession", &credentials)
            .await?;
        let answer =
            answer.map_err(|refusal| failed(&format_args!("signing in failed: {refusal}")))?;
        let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let did = field("did")
            .parse::<Did>()
            .map_err(|error: SyntaxError| failed(&error))?;
        server.token = Some(field("accessJwt").to_owned());
        Ok(Self { server, did })
    }

    /// Publishes one schema; whether it now stands there.
    async fn publish(&self, id: &Nsid, source: &Source, args: &Args) -> Result<bool, RunError> {
        if let Some(published) = self.published(id).await? {
            let changes = compare(&published, &source.document);
            if changes.is_empty() && published == *source.document && args.dry_run {
                say(&format_args!("{id}: unchanged"));
                return Ok(true);
            }
            let breaking = changes
                .iter()
                .filter(|change| change.effect == Effect::Breaking);
            let mut breaks = false;
            for change in breaking {
                say(&format_args!(
                    "{id}: breaking: {}: {}",
                    change.path, change.text
                ));
                breaks = true;
            }
            if breaks && !args.allow_breaking {
                say(&format_args!(
                    "{id}: not published: it breaks what is published"
                ));
                return Ok(false);
            }
        }
        if args.dry_run {
            say(&format_args!("{id}: would be published"));
            return Ok(true);
        }
        let mut record: Value =
            serde_json::from_slice(&source.text).map_err(|error| failed(&error))?;
        if let Some(fields) = record.as_object_mut() {
            fields.insert("$type".to_owned(), json!(SCHEMA_COLLECTION));
        }
        let write = json!({
            "repo": self.did, "collection": SCHEMA_COLLECTION, "rkey": id, "record": record,
        });
        match self
            .server
            .call("com.atproto.repo.putRecord", &write)
            .await?
        {
            Ok(answer) if answer.get("commit").is_none_or(Value::is_null) => {
                say(&format_args!("{id}: unchanged"));
                Ok(true)
            }
            Ok(_) => {
                say(&format_args!("{id}: published"));
                Ok(true)
            }
            Err(refusal) => {
                say(&format_args!("{id}: refused: {refusal}"));
                Ok(false)
            }
        }
    }

    /// The version that is published, if there is one that can be read.
    async fn published(&self, id: &Nsid) -> Result<Option<Document>, RunError> {
        // Of a DID, only `%` means something else in a URL.
        let repo = self.did.as_str().replace('%', "%25");
        let url = format!(
            "{}/xrpc/com.atproto.repo.getRecord?repo={repo}&collection={SCHEMA_COLLECTION}&rkey={id}",
            self.server.origin
        );
        let limits = Limits {
            trusted: true,
            timeout_ms: 20_000,
            max_bytes: 4 << 20,
            ..Limits::default()
        };
        let answer = self
            .server
            .outbound
            .get(&url, limits)
            .await
            .map_err(|cause| failed(&cause))?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = value.get("value").map(Value::to_string);
        Ok(text.and_then(|text| Document::parse(text.as_bytes()).ok()))
    }
}

impl Server {
    /// The answer, or the server's refusal in words.
    async fn call(&self, method: &str, body: &Value) -> Result<Result<Value, String>, RunError> {
        let url = format!("{}/xrpc/{method}", self.origin);
        let limits = Limits {
            trusted: true,
            timeout_ms: 20_000,
            ..Limits::default()
        };
        let body = body.to_string().into_bytes();
        let answer = self
            .outbound
            .post_json_as(&url, body, self.token.as_deref(), limits)
            .await;
        let answer = answer.map_err(|cause| failed(&cause))?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            return Ok(Ok(value));
        }
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        Ok(Err(format!(
            "{} {}: {}",
            answer.status,
            field("error"),
            field("message")
        )))
    }
}

fn failed(cause: &dyn std::fmt::Display) -> RunError {
    RunError::Lexicon(cause.to_string())
}

/// From the environment, else typed by a person, unseen where the terminal can do that.
fn password(handle: &str) -> Result<Secret, RunError> {
    if let Some(password) = std::env::var(PASSWORD).ok().filter(|text| !text.is_empty()) {
        return Ok(Secret::new(password));
    }
    let mut prompt = std::io::stderr().lock();
    write!(prompt, "Password of {handle}: ")?;
    prompt.flush()?;
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        echo(false);
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if is_terminal {
        echo(true);
        writeln!(prompt)?;
    }
    read?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// Best effort: on a system without `stty` the password is seen while it is typed.
fn echo(on: bool) {
    let mode = if on { "echo" } else { "-echo" };
    let stty = Command::new("stty")
        .arg(mode)
        .stdin(Stdio::inherit())
        .status();
    if let Err(error) = stty {
        tracing::debug!(%error, "the terminal's echo cannot be switched");
    }
}
