//! `rochdale lexicon check`: every fault of a set of schemas.

use std::path::PathBuf;
use std::sync::Arc;

use rochdale_lexicons::schema::{Definition, Permission};
use rochdale_lexicons::{check_references, known};

use super::{Sources, Verdict, line, say, sources};
use crate::run::RunError;

/// What is said of a permission that a set cannot give.
const VOID: &str = "gives nothing: a set gives repo and rpc permissions (rpc with aud * or inheritAud, not both) \
                    on NSIDs of its own authority";

/// Arguments of `rochdale lexicon check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Schema files, or folders that are searched for files ending in .json.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What is wrong with schemas, and what could not be checked.
pub(super) struct Findings {
    pub(super) faults: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Checks what the schemas refer to: each other, and those that are carried.
pub(super) fn references(sources: &Sources) -> Findings {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    for source in sources.values() {
        let (found, missing) = check_references(&source.document, |id| {
            let own = sources.get(id).map(|source| Arc::clone(&source.document));
            own.or_else(|| known::document(id).map(Arc::new))
        });
        faults.extend(found.iter().map(|fault| line(&source.path, fault)));
        if let Some(Definition::PermissionSet(set)) = source.document.main().map(|main| &**main) {
            let given = |permission: &Permission| permission.is_given_by(source.document.id());
            for (place, _) in set
                .permissions
                .iter()
                .enumerate()
                .filter(|(_, it)| !given(it))
            {
                let text = format_args!("note: defs.main.permissions[{place}] {VOID}");
                notes.push(line(&source.path, &text));
            }
        }
        for id in missing {
            let text = format_args!("note: refers to {id}, which is not at hand: not checked");
            notes.push(line(&source.path, &text));
        }
    }
    Findings { faults, notes }
}

/// Prints the faults and how many there are.
pub(super) fn run(args: &Args) -> Result<Verdict, RunError> {
    let (sources, mut faults) = sources(&args.paths)?;
    let found = references(&sources);
    faults.extend(found.faults);
    for text in faults.iter().chain(&found.notes) {
        say(text);
    }
    let (schemas, count) = (sources.len(), faults.len());
    let are = if schemas == 1 {
        "schema is"
    } else {
        "schemas are"
    };
    if faults.is_empty() {
        say(&format_args!("{schemas} {are} good"));
        return Ok(Verdict::Good);
    }
    let s = if count == 1 { "" } else { "s" };
    say(&format_args!("{count} fault{s}; {schemas} {are} readable"));
    Ok(Verdict::Bad)
}
