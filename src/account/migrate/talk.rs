//! Talking to the person: lines, questions and progress.
//!
//! On a terminal progress is a bar; elsewhere it is a line now and then. What was asked for goes to
//! standard output, everything else to standard error. Secrets are never shown.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::MigrateError;
use super::journal::Step;

/// Without a terminal, progress is a line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The person, as far as they are there.
#[derive(Debug)]
pub(super) struct Talk {
    /// Somebody sees a terminal.
    shows_bars: bool,
    /// Somebody can answer.
    can_ask: bool,
}

impl Talk {
    /// Whoever is at standard input and error.
    pub(super) fn new() -> Self {
        let shows_bars = io::stderr().is_terminal();
        Self {
            shows_bars,
            can_ask: shows_bars && io::stdin().is_terminal(),
        }
    }

    /// A line for the person. Nobody listening is no failure.
    pub(super) fn say(&self, text: &str) {
        let _deaf = writeln!(io::stderr(), "{text}");
    }

    /// A step begins.
    pub(super) fn step(&self, step: Step) {
        self.say(&format!("- {}", step.what()));
    }

    /// A line that was asked for.
    pub(super) fn print(&self, text: &str) -> Result<(), MigrateError> {
        Ok(writeln!(io::stdout(), "{text}")?)
    }

    /// The move stopped.
    pub(super) fn failed(&self, error: &MigrateError) {
        self.say(&format!("rochdale: {error}"));
    }

    /// Whether the person can be asked.
    pub(super) fn can_ask(&self) -> bool {
        self.can_ask
    }

    /// A password: from the environment, else asked for without showing it.
    pub(super) fn secret(&self, variable: &str, what: &str) -> Result<String, MigrateError> {
        if let Some(secret) = std::env::var(variable).ok().filter(|text| !text.is_empty()) {
            return Ok(secret);
        }
        if !self.can_ask {
            let missing = format!("{what} is missing: set {variable}, or run this in a terminal");
            return Err(MigrateError::Waiting(missing));
        }
        let mut term = Term::stderr();
        loop {
            write!(term, "{what}: ")?;
            let secret = term.read_secure_line()?;
            if !secret.is_empty() {
                return Ok(secret);
            }
        }
    }

    /// A code that the person was sent.
    pub(super) fn code(&self, flag: &str, what: &str) -> Result<String, MigrateError> {
        if !self.can_ask {
            let missing = format!("{what}: run the same command again with {flag} CODE");
            return Err(MigrateError::Waiting(missing));
        }
        let mut term = Term::stderr();
        loop {
            write!(term, "{what}. Code: ")?;
            let code = term.read_line()?.trim().to_owned();
            if !code.is_empty() {
                return Ok(code);
            }
        }
    }

    /// Progress over `total` things; with 0 nobody knows how many.
    pub(super) fn progress(&self, what: &'static str, total: u64, unit: Unit) -> Progress {
        let bar = self.shows_bars.then(|| {
            let bar = if total == 0 {
                ProgressBar::new_spinner()
            } else {
                ProgressBar::new(total)
            };
            let template = match (unit, total) {
                (Unit::Bytes, _) => "  {msg} {bytes} {bytes_per_sec} {spinner}",
                (Unit::Things, 0) => "  {msg} {pos} {spinner}",
                (Unit::Things, _) => "  {msg} {bar:30} {pos}/{len} {eta}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.set_message(what);
            bar
        });
        Progress {
            bar,
            what,
            total,
            unit,
            done: AtomicU64::new(0),
            begun: Instant::now(),
            lines: AtomicU64::new(0),
        }
    }
}

/// What progress is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes.
    Bytes,
    /// Anything else.
    Things,
}

/// Progress of one piece of work; gone from the terminal when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    unit: Unit,
    done: AtomicU64,
    begun: Instant,
    lines: AtomicU64,
}

impl Progress {
    /// So many more are done.
    pub(super) fn add(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let due = self.begun.elapsed().as_secs() / LINE_EVERY.as_secs();
        if self.lines.fetch_max(due, Ordering::Relaxed) < due {
            let of = if self.total > 0 {
                format!(" of {}", self.total)
            } else {
                String::new()
            };
            let unit = match self.unit {
                Unit::Bytes => " bytes",
                Unit::Things => "",
            };
            let _deaf = writeln!(io::stderr(), "  {}: {done}{of}{unit}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
