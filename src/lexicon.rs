//! `rochdale lexicon check|diff|publish`: for authors of schemas. What is a fault and what breaks is
//! the lexicon crate's to say; here it is read from files, printed and turned into an exit code.

mod check;
mod diff;
mod publish;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rochdale_lexicons::{Document, SchemaError};
use rochdale_protocol::syntax::Nsid;
use rochdale_resolver::lexicon::folder::{self, SchemaFile};

use crate::run::{self, RunError};

/// Below the help of each command.
const EXIT_CODES: &str = "\
Exit codes:
  0  nothing is wrong
  1  a schema has faults, a change breaks, or the server refused a schema
  2  it could not be done: a file cannot be read, a wrong option, no answer, a wrong password";

/// The commands for schemas.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Checks schemas and prints every fault with its file and place.
    #[command(after_help = EXIT_CODES)]
    Check(check::Args),
    /// Compares two versions of schemas and says which changes break the rules of evolution.
    #[command(after_help = EXIT_CODES)]
    Diff(diff::Args),
    /// Publishes schemas as records of an account, and prints the DNS records they need.
    #[command(after_help = EXIT_CODES)]
    Publish(publish::Args),
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
}

/// Runs a command and answers with its exit code.
pub(crate) fn run(args: Args) -> ExitCode {
    let verdict = match args.command {
        Command::Check(args) => check::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Publish(args) => run::to_end(publish::run(args)),
    };
    match verdict {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            run::explain(&error);
            ExitCode::from(2)
        }
    }
}

/// A schema and the file it stands in.
struct Source {
    path: PathBuf,
    text: Vec<u8>,
    document: Arc<Document>,
}

/// Schemas by NSID.
type Sources = BTreeMap<Nsid, Source>;

/// Reads files and folders. Answers the schemas, and a line for every fault.
fn sources(paths: &[PathBuf]) -> Result<(Sources, Vec<String>), RunError> {
    let (mut sources, mut faults) = (Sources::new(), Vec::new());
    for path in paths {
        let read = folder::read(path)?;
        if read.is_empty() {
            let cause = format!("{} holds no file that ends in .json", path.display());
            return Err(RunError::Lexicon(cause));
        }
        for file in read {
            take(file, &mut sources, &mut faults);
        }
    }
    Ok((sources, faults))
}

fn take(file: SchemaFile, sources: &mut Sources, faults: &mut Vec<String>) {
    let SchemaFile {
        path,
        text,
        document,
    } = file;
    match document {
        Err(SchemaError { faults: found }) => {
            faults.extend(found.iter().map(|fault| line(&path, fault)));
        }
        Ok(document) => {
            let id = document.id().clone();
            if let Some(other) = sources.get(&id) {
                let other = other.path.display();
                faults.push(line(&path, &format_args!("id: {id} stands in {other} too")));
                return;
            }
            let document = Arc::new(document);
            sources.insert(
                id,
                Source {
                    path,
                    text,
                    document,
                },
            );
        }
    }
}

fn line(path: &Path, fault: &dyn std::fmt::Display) -> String {
    format!("{}: {fault}", path.display())
}

#[expect(clippy::print_stdout, reason = "what the command was asked for")]
fn say(line: &dyn std::fmt::Display) {
    println!("{line}");
}
