//! Secrets on disk: one file each, readable by its owner alone, made on first start.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Secret;
use crate::clock;

/// No secret is longer than this.
const MAX_BYTES: u64 = 4_096;

/// Why a key file cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others may read it.
    #[error(
        "the key file {} can be read by others (mode {mode:o}): run `chmod 600 {}`, and replace the key \
         if somebody may have read it",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold what it should.
    #[error("the key file {} should hold {expected}; restore it from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// It cannot be read or made.
    #[error("cannot use the key file {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
}

/// Reads a key of 32 bytes (64 hex digits in the file), making it from the system's random source on
/// first use.
///
/// # Errors
/// A file that others may read, that holds something else, or that cannot be read or made.
pub fn read_or_create_key_file(path: &Path) -> Result<[u8; 32], KeyFileError> {
    let text = read_or_create(path, || hex(&clock::random::<32>()))?;
    let malformed = || KeyFileError::Malformed {
        path: path.to_owned(),
        expected: "64 hex digits",
    };
    let digits = text.trim();
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(malformed());
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_not_text| malformed())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_not_hex| malformed())?;
    }
    Ok(key)
}

/// Reads a password, making one on first use.
///
/// # Errors
/// As [`read_or_create_key_file`]; an empty file is malformed.
pub fn read_or_create_password_file(path: &Path) -> Result<Secret, KeyFileError> {
    let text = read_or_create(path, || hex(&clock::random::<16>()))?;
    let password = text.trim();
    if password.is_empty() {
        let expected = "a password on its first line";
        return Err(KeyFileError::Malformed {
            path: path.to_owned(),
            expected,
        });
    }
    Ok(Secret::new(password))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

fn read_or_create(path: &Path, make: impl FnOnce() -> String) -> Result<String, KeyFileError> {
    let io = |cause| KeyFileError::Io {
        path: path.to_owned(),
        cause,
    };
    match File::open(path) {
        Ok(file) => read(path, file),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            let text = make();
            create(path, &text).map_err(io)?;
            Ok(text)
        }
        Err(cause) => Err(io(cause)),
    }
}

fn read(path: &Path, file: File) -> Result<String, KeyFileError> {
    let io = |cause| KeyFileError::Io {
        path: path.to_owned(),
        cause,
    };
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// The folder of a file; the present one for a bare name, whose parent is empty.
fn folder_of(path: &Path) -> &Path {
    let named = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

/// Writes the secret beside its place, syncs it and moves it there: a crash leaves no half a key.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = folder_of(path);
    if !folder.try_exists()? {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/one.key");
        let key = read_or_create_key_file(&path).unwrap();
        assert_eq!(read_or_create_key_file(&path).unwrap(), key);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let folder_mode = std::fs::metadata(path.parent().unwrap())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(folder_mode & 0o777, 0o700);
    }

    #[test]
    fn a_bare_file_name_lies_in_the_present_folder() {
        assert_eq!(folder_of(Path::new("one.key")), Path::new("."));
        assert_eq!(folder_of(Path::new("keys/one.key")), Path::new("keys"));
        assert_eq!(folder_of(Path::new("/one.key")), Path::new("/"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.key");
        read_or_create_key_file(&path).unwrap();
        for mode in [0o640, 0o604, 0o644] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read_or_create_key_file(&path).unwrap_err().to_string();
            assert!(
                error.contains("chmod 600") && error.contains("one.key"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_damaged_key_and_an_empty_password_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.key");
        read_or_create_key_file(&path).unwrap();
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32)] {
            std::fs::write(&path, text).unwrap();
            assert!(read_or_create_key_file(&path).is_err(), "{text:?}");
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read_or_create_password_file(&path).is_err());
        std::fs::write(&path, "open sesame\n").unwrap();
        assert_eq!(
            read_or_create_password_file(&path).unwrap().expose(),
            "open sesame"
        );
    }
}
