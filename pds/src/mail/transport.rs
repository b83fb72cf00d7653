//! Where mails go: to a mail server, or into a folder of `*.eml` files when none is configured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::response::Category;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

/// How long one command to the mail server may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Mails kept in the folder; older ones are removed.
const FOLDER_MAILS_MAX: usize = 1000;

/// A way to send mail.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// A mail server.
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// A folder for people and tests to read.
    Folder(PathBuf),
}

/// Why a mail did not go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It may go later: the server is down, busy, or does not accept us.
    #[error("{0}")]
    Later(String),
    /// The server refused the receiver or the mail itself.
    #[error("{0}")]
    Never(String),
}

/// The mail server that a URL names.
///
/// # Errors
/// Says what is wrong with the URL, without quoting it: it may hold a password.
pub(crate) fn mail_server(url: &str) -> Result<AsyncSmtpTransportBuilder, &'static str> {
    let parsed = url::Url::parse(url).map_err(|_syntax| "it is not a URL")?;
    if !matches!(parsed.scheme(), "smtp" | "smtps") || !parsed.has_host() {
        return Err("it does not begin with smtp:// or smtps:// and a host");
    }
    AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
        .map_err(|_cause| "its host, port or tls parameter is not understood")
}

impl Transport {
    /// A connection to a mail server; it is made when the first mail is sent. Call it inside of the
    /// runtime: idle connections are watched by a task.
    pub(crate) fn smtp(server: AsyncSmtpTransportBuilder) -> Self {
        Self::Smtp(server.timeout(Some(TIMEOUT)).build())
    }

    /// Sends one mail, which is number `id`.
    pub(crate) async fn send(&self, mail: &lettre::Message, id: i64) -> Result<(), SendError> {
        match self {
            Self::Smtp(server) => match server.send_raw(mail.envelope(), &mail.formatted()).await {
                Ok(_accepted) => Ok(()),
                Err(error) => Err(smtp_error(&error)),
            },
            Self::Folder(folder) => write(folder, id, mail.formatted(), FOLDER_MAILS_MAX)
                .await
                .map_err(|cause| SendError::Later(format!("{}: {cause}", folder.display()))),
        }
    }
}

/// Only what the server says of this very mail (55x) is final: a wrong password (53x) or a wrong
/// set-up is mended by the operator, and no mail should be lost by then.
fn smtp_error(error: &lettre::transport::smtp::Error) -> SendError {
    let about_the_mail = error
        .status()
        .is_some_and(|code| code.category == Category::MailSystem);
    let said = with_causes(error);
    if error.is_permanent() && about_the_mail {
        SendError::Never(said)
    } else {
        SendError::Later(said)
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said.chars().take(500).collect()
}

/// Names sort by age, so that a folder listing reads like a mailbox.
async fn write(folder: &Path, id: i64, bytes: Vec<u8>, keep: usize) -> std::io::Result<()> {
    let path = folder.join(format!("{id:012}.eml"));
    let partial = folder.join(format!(".{id}.part"));
    tokio::fs::create_dir_all(folder).await?;
    tokio::fs::write(&partial, bytes).await?;
    tokio::fs::rename(&partial, &path).await?;
    let mut names = names(folder).await?;
    let too_many = names.len().saturating_sub(keep);
    names.truncate(too_many);
    for name in names {
        tokio::fs::remove_file(folder.join(name)).await?;
    }
    Ok(())
}

/// The mails in a folder, oldest first; an absent folder is empty.
async fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        if let Ok(name) = entry.file_name().into_string()
            && name.ends_with(".eml")
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The newest mails in a folder with a number below `before`, newest first, each with its number, at
/// most `limit`.
pub(crate) async fn newest(
    folder: &Path,
    before: Option<i64>,
    limit: usize,
) -> std::io::Result<Vec<(i64, String)>> {
    let names = names(folder).await?;
    let numbered = names.iter().rev().filter_map(|name| {
        let id: i64 = name.strip_suffix(".eml")?.parse().ok()?;
        before
            .is_none_or(|before| id < before)
            .then_some((id, name))
    });
    let mut mails = Vec::new();
    for (id, name) in numbered.take(limit) {
        match tokio::fs::read(folder.join(name)).await {
            Ok(bytes) => mails.push((id, String::from_utf8_lossy(&bytes).into_owned())),
            // A newer mail took its place meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(mails)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_mail_server_is_a_url_and_is_never_quoted() {
        for good in [
            "smtp://localhost:1025",
            "smtps://ada:secret@mail.example.org",
            "smtp://ada:secret@mail.example.org:587?tls=required",
        ] {
            assert!(mail_server(good).is_ok(), "{good}");
        }
        for bad in [
            "mail.example.org",
            "http://x:secret@y",
            "smtp://",
            "smtp://a?tls=maybe",
        ] {
            let why = mail_server(bad).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_folder_lists_its_newest_mail_first_and_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("outbox");
        assert!(newest(&outbox, None, 10).await.unwrap().is_empty());
        for id in 8..=12 {
            let mail = format!("mail {id}").into_bytes();
            write(&outbox, id, mail, 3).await.unwrap();
        }
        let mail = |id: i64| (id, format!("mail {id}"));
        let two = newest(&outbox, None, 2).await.unwrap();
        assert_eq!(two, [mail(12), mail(11)]);
        assert_eq!(newest(&outbox, None, 9).await.unwrap().len(), 3);
        assert_eq!(newest(&outbox, Some(12), 1).await.unwrap(), [mail(11)]);
        assert_eq!(newest(&outbox, Some(10), 9).await.unwrap(), []);
    }
}
