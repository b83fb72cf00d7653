//! Schemas in files: the operator's own, and those that an author checks before publishing them.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rochdale_lexicons::{Document, Fault, Library, LibraryError, SchemaError};

/// Files in one folder, at most, those in folders below it counted too.
const FILES: usize = 10_000;
/// Folders in each other, at most.
const DEPTH: usize = 16;
/// Largest schema, in bytes.
const FILE_BYTES: u64 = 1 << 20;

/// Why schemas in files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaFolderError {
    /// A file or folder that cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Too many files, or folders in each other.
    #[error("{path} holds more than {FILES} schemas or {DEPTH} folders in each other")]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is no schema.
    #[error("{path}: {fault}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        fault: Box<Fault>,
    },
    /// Schemas that contradict each other.
    #[error("the schemas in {path}: {cause}")]
    Library {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        cause: Box<LibraryError>,
    },
}

/// One schema file, read.
#[derive(Debug)]
pub struct SchemaFile {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: Vec<u8>,
    /// What it says.
    pub document: Result<Document, SchemaError>,
}

/// The schemas that are carried, and those in `folder`, which win.
///
/// # Errors
/// Names the file and the place in it.
pub fn library(folder: Option<&Path>) -> Result<Library, SchemaFolderError> {
    let Some(folder) = folder else {
        return Ok(Library::default());
    };
    let mut documents = Vec::new();
    for SchemaFile { path, document, .. } in read(folder)? {
        match document {
            Ok(document) => documents.push(document),
            Err(SchemaError { faults }) => {
                if let Some(fault) = faults.into_iter().next() {
                    let fault = Box::new(fault);
                    return Err(SchemaFolderError::Schema { path, fault });
                }
            }
        }
    }
    let path = folder.to_owned();
    Library::new(documents).map_err(|cause| {
        let cause = Box::new(cause);
        SchemaFolderError::Library { path, cause }
    })
}

/// Reads a schema file, or every file that ends in `.json` in a folder and those below it, in the
/// order of their names.
///
/// # Errors
/// When a file or folder cannot be read, or there are too many. A file that is no schema is no
/// error here.
pub fn read(path: &Path) -> Result<Vec<SchemaFile>, SchemaFolderError> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, path, 0, &mut files)?;
    } else {
        files.push(path.to_owned());
    }
    files.into_iter().map(read_file).collect()
}

fn collect(
    top: &Path,
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), SchemaFolderError> {
    let unreadable = |cause| SchemaFolderError::Unreadable {
        path: folder.to_owned(),
        cause,
    };
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let entries: Result<Vec<PathBuf>, io::Error> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut entries = entries.map_err(unreadable)?;
    entries.sort();
    for path in entries {
        if files.len() >= FILES || depth >= DEPTH {
            let path = top.to_owned();
            return Err(SchemaFolderError::TooMany { path });
        }
        if path.is_dir() {
            collect(top, &path, depth + 1, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: PathBuf) -> Result<SchemaFile, SchemaFolderError> {
    let mut text = Vec::new();
    let file = File::open(&path);
    let read = file.and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut text));
    if let Err(cause) = read {
        return Err(SchemaFolderError::Unreadable { path, cause });
    }
    if text.len() as u64 > FILE_BYTES {
        let cause = io::Error::other("it is larger than 1 MiB");
        return Err(SchemaFolderError::Unreadable { path, cause });
    }
    let document = Document::parse(&text);
    Ok(SchemaFile {
        path,
        text,
        document,
    })
}
