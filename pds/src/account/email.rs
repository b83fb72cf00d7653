//! Which mail addresses are accepted, and how they are shown where they should not be read.

/// Why an address is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// None was given.
    #[error("Email is required")]
    Missing,
    /// Not an address.
    #[error("This email address is not supported, please use a different email.")]
    Unsupported,
}

/// Longest address, in bytes (RFC 5321).
const ADDRESS_BYTES_MAX: usize = 254;

/// Hosts of throw-away mailboxes. Short on purpose: an operator who needs more asks for invites.
const DISPOSABLE: [&str; 12] = [
    "10minutemail.com",
    "disposeamail.com",
    "dispostable.com",
    "fakeinbox.com",
    "guerrillamail.com",
    "maildrop.cc",
    "mailinator.com",
    "sharklasers.com",
    "temp-mail.org",
    "tempmail.com",
    "trashmail.com",
    "yopmail.com",
];

/// Checks an address and answers it without surrounding space.
///
/// # Errors
/// [`EmailError::Missing`] without an address, [`EmailError::Unsupported`] for one that mail cannot
/// be sent to or that is a throw-away.
pub fn check(address: Option<&str>) -> Result<String, EmailError> {
    let address = address.map(str::trim).filter(|text| !text.is_empty());
    let address = address.ok_or(EmailError::Missing)?;
    let (name, host) = address.rsplit_once('@').ok_or(EmailError::Unsupported)?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_graphic() && !br#"<>()[],;:\""#.contains(&byte))
    };
    let name_ok = !name.is_empty()
        && name.len() <= 64
        && plain(name)
        && !name.contains('@')
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..");
    let host_ok = host.contains('.')
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    let disposable = DISPOSABLE.contains(&host.to_ascii_lowercase().as_str());
    if name_ok && host_ok && !disposable && address.len() <= ADDRESS_BYTES_MAX {
        Ok(address.to_owned())
    } else {
        Err(EmailError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_pass() {
        for good in ["ada@coop.example", "a.b+c@x-y.co.uk", " ada@coop.example "] {
            assert_eq!(check(Some(good)), Ok(good.trim().to_owned()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(check(None), Err(EmailError::Missing));
        assert_eq!(check(Some(" ")), Err(EmailError::Missing));
        for bad in [
            "ada",
            "ada@",
            "@x.org",
            "ada@localhost",
            "a b@x.org",
            "ada@x..org",
            "a@b@x.org",
            ".a@x.org",
            "a..b@x.org",
            "ada@-x.org",
            "ada@x.org\r\nBcc: all@x.org",
            "a<b@x.org",
            "ada@mailinator.com",
        ] {
            assert_eq!(check(Some(bad)), Err(EmailError::Unsupported), "{bad:?}");
        }
    }
}
