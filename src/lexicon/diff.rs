//! `rochdale lexicon diff`: what changed between two versions of schemas.

use std::path::PathBuf;
use std::slice;

use rochdale_lexicons::{Effect, compare};

use super::{Sources, Verdict, say, sources};
use crate::run::RunError;

/// Arguments of `rochdale lexicon diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The older version: a schema file, or a folder of them.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer version: a schema file, or a folder of them.
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

fn read(path: &PathBuf) -> Result<Sources, RunError> {
    let (sources, faults) = sources(slice::from_ref(path))?;
    match faults.into_iter().next() {
        None => Ok(sources),
        Some(fault) => Err(RunError::Lexicon(fault)),
    }
}

/// Prints the changes; those that break make the verdict.
pub(super) fn run(args: &Args) -> Result<Verdict, RunError> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let mut worst = Effect::Compatible;
    let mut note = |effect: Effect, text: std::fmt::Arguments<'_>| {
        worst = worst.max(effect);
        say(&format_args!("{effect:10}  {text}"));
    };
    for (id, before) in &old {
        let Some(after) = new.get(id) else {
            note(Effect::Breaking, format_args!("{id}: the schema is gone"));
            continue;
        };
        for change in compare(&before.document, &after.document) {
            note(
                change.effect,
                format_args!("{id}: {}: {}", change.path, change.text),
            );
        }
    }
    for id in new.keys().filter(|id| !old.contains_key(*id)) {
        note(Effect::Compatible, format_args!("{id}: the schema is new"));
    }
    Ok(match worst {
        Effect::Breaking => Verdict::Bad,
        Effect::Compatible | Effect::Loosened => Verdict::Good,
    })
}
