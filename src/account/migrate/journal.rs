//! The journal of a move: which steps are done, durably, so that a killed move goes on.
//!
//! Owns the file. Must not hold a password or a token: a signed identity operation is public once
//! it is used, and good for nothing but the move.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::{Did, Handle, Tid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::MigrateError;
use super::survey::Survey;
use super::talk::Talk;
use super::{Outcome, remote};

/// One step of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    /// The account exists at the new PDS, asleep.
    Account,
    /// Its repository is there.
    Repository,
    /// Its preferences are there.
    Preferences,
    /// Its blobs are there.
    Blobs,
    /// Its DID document names the new PDS.
    Identity,
    /// It is awake there.
    Activate,
    /// What is there was compared with what was here.
    Check,
    /// The old account is asleep.
    Deactivate,
}

impl Step {
    /// All steps, in order.
    pub(super) const ALL: [Self; 8] = [
        Self::Account,
        Self::Repository,
        Self::Preferences,
        Self::Blobs,
        Self::Identity,
        Self::Activate,
        Self::Check,
        Self::Deactivate,
    ];

    /// What it does, in a few words.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Account => "account at the new PDS",
            Self::Repository => "repository",
            Self::Preferences => "preferences",
            Self::Blobs => "blobs",
            Self::Identity => "identity",
            Self::Activate => "activation",
            Self::Check => "check of the new account",
            Self::Deactivate => "deactivation of the old account",
        }
    }
}

/// The repository as it was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copied {
    /// The old commit.
    pub(super) commit: Cid,
    /// Its revision.
    pub(super) rev: Tid,
    /// Root of its tree.
    pub(super) data: Cid,
    /// Records.
    pub(super) records: u64,
}

/// A blob that the old PDS does not hand out, or the new one does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LostBlob {
    /// The blob.
    pub(super) cid: String,
    /// A record that refers to it.
    pub(super) record: String,
    /// What the server said.
    pub(super) reason: String,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Pages {
    version: u32,
    from: String,
    to: String,
    did: Did,
    /// Handle and mail address at the new PDS.
    handle: Handle,
    email: String,
    done: Vec<Step>,
    #[serde(default)]
    repository: Option<Copied>,
    #[serde(default)]
    lost_blobs: Vec<LostBlob>,
    /// What else did not come along, in words.
    #[serde(default)]
    left_behind: Vec<String>,
    /// The signed operation, from signing until the directory has it.
    #[serde(default)]
    operation: Option<Box<RawValue>>,
}

/// The journal of one move.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    pages: Pages,
}

const VERSION: u32 = 1;

impl Journal {
    /// Where the journal of a move of `did` is by default.
    pub(super) fn default_path(did: &Did) -> PathBuf {
        let name: String = did
            .as_str()
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        format!("rochdale-move-{name}.json").into()
    }

    /// The journal that `path` holds, if there is one.
    ///
    /// # Errors
    /// A file that is no journal, or is of another move.
    pub(super) fn open(
        path: &Path,
        from: &str,
        to: &str,
        did: &Did,
    ) -> Result<Option<Self>, MigrateError> {
        let failed = |cause| MigrateError::Journal {
            path: path.to_owned(),
            cause,
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        };
        let pages: Pages = serde_json::from_slice(&bytes).map_err(|cause| failed(cause.into()))?;
        if pages.version != VERSION {
            let version = format!("version {} is not known here", pages.version);
            return Err(failed(io::Error::other(version)));
        }
        if (pages.from.as_str(), pages.to.as_str(), &pages.did) != (from, to, did) {
            return Err(MigrateError::OtherMove {
                path: path.to_owned(),
                what: format!("{} from {} to {}", pages.did, pages.from, pages.to),
            });
        }
        Ok(Some(Self {
            path: path.to_owned(),
            pages,
        }))
    }

    /// A new journal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn begin(
        path: &Path,
        from: &str,
        to: &str,
        did: &Did,
        survey: &Survey,
    ) -> Result<Self, MigrateError> {
        let journal = Self {
            path: path.to_owned(),
            pages: Pages {
                version: VERSION,
                from: from.to_owned(),
                to: to.to_owned(),
                did: did.clone(),
                handle: survey.handle.clone(),
                email: survey.email.clone(),
                done: Vec::new(),
                repository: None,
                lost_blobs: Vec::new(),
                left_behind: Vec::new(),
                operation: None,
            },
        };
        journal.save()?;
        Ok(journal)
    }

    /// Writes everything, so that it is there after a power cut: to a new file, then in place of the
    /// old one.
    fn save(&self) -> Result<(), MigrateError> {
        let write = || {
            let mut text = serde_json::to_vec_pretty(&self.pages)?;
            text.push(b'\n');
            let mut fresh = self.path.clone().into_os_string();
            fresh.push(".new");
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|cause| MigrateError::Journal {
            path: self.path.clone(),
            cause,
        })
    }

    /// A file beside the journal, with another ending.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        self.path.with_extension(ending)
    }

    /// Whose move it is.
    pub(super) fn did(&self) -> &Did {
        &self.pages.did
    }

    /// The handle at the new PDS.
    pub(super) fn handle(&self) -> &Handle {
        &self.pages.handle
    }

    /// The mail address at the new PDS.
    pub(super) fn email(&self) -> &str {
        &self.pages.email
    }

    /// Whether a step is done.
    pub(super) fn is_done(&self, step: Step) -> bool {
        self.pages.done.contains(&step)
    }

    /// Notes that a step is done.
    pub(super) fn finish(&mut self, step: Step) -> Result<(), MigrateError> {
        if !self.is_done(step) {
            self.pages.done.push(step);
        }
        self.save()
    }

    /// The repository as it was copied last.
    pub(super) fn repository(&self) -> Option<&Copied> {
        self.pages.repository.as_ref()
    }

    /// Notes which state of the repository was copied.
    pub(super) fn copied(&mut self, copied: Copied) -> Result<(), MigrateError> {
        self.pages.repository = Some(copied);
        self.save()
    }

    /// Blobs that could not be moved.
    pub(super) fn lost_blobs(&self) -> &[LostBlob] {
        &self.pages.lost_blobs
    }

    /// Notes which blobs could not be moved, in place of what was noted before.
    pub(super) fn lose_blobs(&mut self, lost: Vec<LostBlob>) -> Result<(), MigrateError> {
        self.pages.lost_blobs = lost;
        self.save()
    }

    /// Notes something that does not come along.
    pub(super) fn leave_behind(&mut self, what: String) -> Result<(), MigrateError> {
        if !self.pages.left_behind.contains(&what) {
            self.pages.left_behind.push(what);
        }
        self.save()
    }

    /// The signed operation that waits to be handed in.
    pub(super) fn operation(&self) -> Option<&RawValue> {
        self.pages.operation.as_deref()
    }

    /// Keeps the signed operation, or forgets it.
    pub(super) fn set_operation(
        &mut self,
        operation: Option<Box<RawValue>>,
    ) -> Result<(), MigrateError> {
        self.pages.operation = operation;
        self.save()
    }

    /// Says how it ended.
    pub(super) fn report(&self, talk: &Talk) -> Result<Outcome, MigrateError> {
        let Pages {
            did,
            handle,
            to,
            repository,
            lost_blobs,
            left_behind,
            ..
        } = &self.pages;
        let records = repository.as_ref().map_or(0, |copied| copied.records);
        talk.print(&format!(
            "{did} ({handle}) lives at {to} now, with {records} records. The old account is deactivated."
        ))?;
        for blob in lost_blobs {
            let LostBlob {
                cid,
                record,
                reason,
            } = blob;
            talk.print(&format!("not moved: blob {cid} of {record}: {reason}"))?;
        }
        for what in left_behind {
            talk.print(&format!("not moved: {what}"))?;
        }
        let server = remote::host(to);
        talk.print(&format!(
            "Sign in to your apps anew, at {server}. The journal {} is of no more use.",
            self.path.display()
        ))?;
        Ok(if lost_blobs.is_empty() && left_behind.is_empty() {
            Outcome::Complete
        } else {
            Outcome::Incomplete
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        Survey::of_names("ada.test".parse().unwrap(), "ada@coop.example")
    }

    #[test]
    fn a_journal_goes_on_where_it_was_and_only_for_its_own_move() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("move.json");
        let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let open = |to: &str| Journal::open(&path, "https://a.example", to, &did);
        assert!(open("https://b.example").unwrap().is_none());
        let (from, to) = ("https://a.example", "https://b.example");
        let mut journal = Journal::begin(&path, from, to, &did, &survey()).unwrap();
        journal.finish(Step::Account).unwrap();
        journal.leave_behind("a thing".to_owned()).unwrap();
        let again = open("https://b.example").unwrap().unwrap();
        assert!(again.is_done(Step::Account) && !again.is_done(Step::Repository));
        assert_eq!(again.pages.left_behind, ["a thing"]);
        assert!(matches!(
            open("https://c.example"),
            Err(MigrateError::OtherMove { .. })
        ));
        fs::write(&path, "{").unwrap();
        assert!(matches!(
            open("https://b.example"),
            Err(MigrateError::Journal { .. })
        ));
    }
}
