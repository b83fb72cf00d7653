//! Why a move stopped.

use std::path::PathBuf;

use rochdale_protocol::syntax::Did;
use rochdale_service::car_file::CarFileError;

use super::remote::RemoteError;

/// Why a move stopped, and what to do. The old account is as it was, unless the text says more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// An address that is none.
    #[error("{0:?} is no address of a server: write it as https://host")]
    Address(String),
    /// From and to are one.
    #[error("--from and --to are the same server: {0}")]
    SamePlace(String),
    /// The password is of the limited kind.
    #[error("this looks like an app password: moving takes the main password of the account")]
    AppPassword,
    /// The account signed in to is another.
    #[error("the account at the old PDS is {0}, not the one of --did")]
    OtherDid(Did),
    /// Something is missing that only the person can give.
    #[error("{0}")]
    Waiting(String),
    /// What was found makes the move impossible.
    #[error("the move cannot begin: {}", .0.join("; "))]
    Obstacles(Vec<String>),
    /// The journal cannot be read or written.
    #[error("journal {}: {cause}", path.display())]
    Journal {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        cause: std::io::Error,
    },
    /// The journal is of another move.
    #[error("journal {} is of another move, {what}: give another --journal", path.display())]
    OtherMove {
        /// Where it is.
        path: PathBuf,
        /// Of which one.
        what: String,
    },
    /// A server refused or failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The repository from the old PDS is not good.
    #[error("the repository of the old PDS cannot be used: {0}")]
    Repository(String),
    /// The identity cannot be changed as it must.
    #[error("the identity cannot be changed: {0}")]
    Identity(String),
    /// What arrived is not what left.
    #[error("the new account is not right, so the old one stays active: {0}")]
    Check(String),
    /// The key file is none.
    #[error("{} holds no rotation key: it must be 64 hex digits", .0.display())]
    KeyFile(PathBuf),
    /// The system refused something.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

impl From<CarFileError> for MigrateError {
    fn from(error: CarFileError) -> Self {
        match error {
            CarFileError::Disk(cause) => Self::System(cause),
            CarFileError::Car(_) | CarFileError::TooManyBlocks | CarFileError::Roots => {
                Self::Repository(error.to_string())
            }
        }
    }
}

impl MigrateError {
    /// The process's exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Address(_) | Self::SamePlace(_) => 2,
            Self::Waiting(_) => 3,
            Self::AppPassword
            | Self::OtherDid(_)
            | Self::Obstacles(_)
            | Self::Journal { .. }
            | Self::OtherMove { .. }
            | Self::Remote(_)
            | Self::Repository(_)
            | Self::Identity(_)
            | Self::Check(_)
            | Self::KeyFile(_)
            | Self::System(_) => 1,
        }
    }
}
