//! `rochdale account migrate`: the whole move of an account, from and to any PDS.
//!
//! Owns the order of the steps. Each can be repeated without harm, and the journal says after each,
//! durably, that it is done: whatever kills this process, the same command goes on. Until the new
//! account is active the old one is only read. Must not keep a password or token anywhere but in
//! memory. Follows the atproto account migration guide.

mod arrival;
mod blobs;
mod check;
mod document;
mod error;
mod identity;
mod journal;
mod remote;
mod repository;
mod survey;
mod talk;

use std::path::PathBuf;
use std::process::ExitCode;

use rochdale_protocol::syntax::Did;
use rochdale_service::outbound::{Outbound, Policy};

use self::document::Documents;
use self::error::MigrateError;
use self::journal::{Journal, Step};
use self::remote::{Remote, SignIn};
use self::talk::Talk;

/// What `--help` says below the flags.
pub(crate) const MORE_HELP: &str = "\
Passwords are asked for; without a terminal they come from the environment:
  MIGRATE_OLD_PASSWORD  the main password at the old PDS (no app password)
  MIGRATE_NEW_PASSWORD  the password to set at the new PDS

The move goes step by step: account, repository, preferences, blobs, identity, activate, check,
deactivate. The journal file notes every step that is done; it holds no password and no token. If
anything stops the move, run the same command again: it goes on where it was. The old account stays
as it is until the new one is active.

The identity step needs a code that the old PDS mails to you. Without a terminal the command ends with
code 3 after it had the mail sent; run it again with --code. For a did:web you edit the document
yourself: the command says what to write, and waits. A did:web that has no account anywhere has
nothing to move: its owner signs up with the token of `rochdale account prove`.

Exit codes:
  0  moved, and everything came along (or --dry-run: the report is printed)
  1  stopped; run the same command again to go on
  2  the flags make no sense
  3  waiting for you: a code, a password or an edited document is missing
  4  moved, but something that the report names did not come along

Example:
  rochdale account migrate --from https://old.example --to https://pds.example.coop \\
    --handle ada.old.example --new-handle ada.example.coop --invite-code pds-example-coop-abcde-fghij";

/// Flags of `rochdale account migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The PDS that the account is at now, such as `https://old.example`.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The PDS that it moves to.
    #[arg(long, value_name = "URL")]
    to: String,
    /// The account's present handle.
    #[arg(long, value_name = "HANDLE", required_unless_present = "did")]
    handle: Option<String>,
    /// The account's DID, instead of its handle.
    #[arg(long, value_name = "DID")]
    did: Option<Did>,
    /// The handle at the new PDS, when the present one cannot come along.
    #[arg(long, value_name = "HANDLE")]
    new_handle: Option<String>,
    /// The mail address for the new account; the present one by default.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// An invite code of the new PDS.
    #[arg(long, value_name = "CODE")]
    invite_code: Option<String>,
    /// The code that the old PDS mailed for changing the identity.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// The second factor that the old PDS asks for at sign-in.
    #[arg(long, value_name = "CODE")]
    second_factor: Option<String>,
    /// The second factor that the new PDS asks for, where the account sleeps there from before.
    #[arg(long, value_name = "CODE")]
    new_second_factor: Option<String>,
    /// A did:key of your own that shall be able to change the identity, strongest first; repeatable.
    /// Keys of your own that stand in the identity already stay without this.
    #[arg(long = "rotation-key", value_name = "DID:KEY")]
    rotation_keys: Vec<String>,
    /// A file with your own rotation key, 64 hex digits (secp256k1): it signs instead of the old PDS,
    /// and no code is needed.
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
    /// Only says what would move and what would not; changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// The journal. By default rochdale-move-DID.json in the present folder.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The did:plc directory.
    #[arg(long, value_name = "URL", default_value = "https://plc.directory")]
    plc_url: String,
}

/// How a move ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// With everything, or it was only looked at.
    Complete,
    /// Without some of it.
    Incomplete,
}

/// Runs the move; the code says how it ended.
pub(crate) async fn run(args: Args) -> ExitCode {
    let talk = Talk::new();
    match migrate(args, &talk).await {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(4),
        Err(error) => {
            talk.failed(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Everything that the steps work with.
struct Move<'a> {
    args: &'a Args,
    talk: &'a Talk,
    old: Remote,
    new: Remote,
    documents: Documents,
    journal: Journal,
}

async fn migrate(args: Args, talk: &Talk) -> Result<Outcome, MigrateError> {
    let (from, to) = (remote::origin(&args.from)?, remote::origin(&args.to)?);
    if from == to {
        return Err(MigrateError::SamePlace(to));
    }
    let http = remote::client()?;
    let outbound = Outbound::new(Policy {
        dev: true,
        user_agent: remote::USER_AGENT.to_owned(),
    })
    .map_err(|cause| MigrateError::System(std::io::Error::other(cause)))?;
    let documents = Documents::new(remote::origin(&args.plc_url)?, outbound);

    let mut old = sign_in_at_old(&args, talk, &http, from).await?;
    let did = old.did()?;
    if args.did.as_ref().is_some_and(|wanted| *wanted != did) {
        return Err(MigrateError::OtherDid(did));
    }
    let new = Remote::new("new PDS", http, to);
    let path = args
        .journal
        .clone()
        .unwrap_or_else(|| Journal::default_path(&did));
    let begun = Journal::open(&path, &old.url, &new.url, &did)?;
    let survey = survey::look(&args, talk, &old, &new, &documents, begun.as_ref()).await?;
    if args.dry_run {
        survey.report()?;
        return Ok(Outcome::Complete);
    }
    survey.check()?;
    let journal = match begun {
        Some(journal) => {
            talk.say(&format!("going on with the move in {}", path.display()));
            journal
        }
        None => Journal::begin(&path, &old.url, &new.url, &did, &survey)?,
    };
    let mut work = Move {
        args: &args,
        talk,
        old,
        new,
        documents,
        journal,
    };
    work.go().await?;
    work.journal.report(talk)
}

async fn sign_in_at_old(
    args: &Args,
    talk: &Talk,
    http: &reqwest::Client,
    from: String,
) -> Result<Remote, MigrateError> {
    let did = args.did.as_ref().map(Did::to_string);
    let identifier = did.or_else(|| args.handle.clone()).unwrap_or_default();
    let password = talk.secret("MIGRATE_OLD_PASSWORD", "Password at the old PDS")?;
    let looks_like_app_password =
        password.len() == 19 && password.split('-').all(|part| part.len() == 4);
    if looks_like_app_password {
        return Err(MigrateError::AppPassword);
    }
    let mut old = Remote::new("old PDS", http.clone(), from);
    let sign_in = SignIn {
        identifier,
        password,
        second_factor: args.second_factor.clone(),
        // Leaving is open to those whose account was taken down, too.
        allow_takendown: true,
    };
    sign_in_with_factor(talk, &mut old, sign_in, "--second-factor").await?;
    Ok(old)
}

/// Signs in, with the mailed code where a second factor is asked for; `flag` is the option that brings it.
async fn sign_in_with_factor(
    talk: &Talk,
    remote: &mut Remote,
    mut sign_in: SignIn,
    flag: &str,
) -> Result<(), MigrateError> {
    let who = remote.who();
    match remote.sign_in(sign_in.clone()).await {
        Err(error) if error.is("AuthFactorTokenRequired") => {
            let code = talk.code(flag, &format!("The {who} mailed a sign-in code"))?;
            sign_in.second_factor = Some(code);
            Ok(remote.sign_in(sign_in).await?)
        }
        // Codes are good once, and the command is run more than once.
        Err(error) if sign_in.second_factor.is_some() && error.is_bad_token() => {
            let reason = error.reason();
            let again = format!(
                "the {who} does not take the sign-in code: {reason}. \
                 Run the same command without {flag} to be mailed a new one"
            );
            Err(MigrateError::Waiting(again))
        }
        done => Ok(done?),
    }
}

impl Move<'_> {
    async fn go(&mut self) -> Result<(), MigrateError> {
        if !self.journal.is_done(Step::Deactivate) {
            self.arrive().await?;
        }
        for step in Step::ALL {
            if self.journal.is_done(step) {
                continue;
            }
            self.talk.step(step);
            match step {
                // Being signed in at the new place, which every start brings about.
                Step::Account => {}
                Step::Repository => self.move_repository().await?,
                Step::Preferences => self.move_preferences().await?,
                Step::Blobs => self.move_blobs().await?,
                Step::Identity => {
                    self.catch_up().await?;
                    self.move_identity().await?;
                }
                Step::Activate => self.activate().await?,
                Step::Check => self.check().await?,
                Step::Deactivate => self.deactivate_old().await?,
            }
            self.journal.finish(step)?;
        }
        Ok(())
    }
}
