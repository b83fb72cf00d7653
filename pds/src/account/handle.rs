//! Which handles an account here may have.
//!
//! Pure rules over already valid handles: allowed top-level domains, the shape and the reserved
//! words of names under this server's own domains. Resolving a name elsewhere is the resolver's.

use std::collections::HashSet;

use rochdale_protocol::syntax::Handle;

/// Shortest and longest first label of a handle under a domain of this server.
const LABEL_LENGTHS: std::ops::RangeInclusive<usize> = 3..=18;
const RESERVED: &str = include_str!("reserved_handles.txt");
/// Why a handle cannot be had here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Its top-level domain is not one of the public DNS.
    #[error("Handle TLD is invalid or disallowed")]
    DisallowedTld,
    /// Its first label is too short.
    #[error("Handle too short")]
    TooShort,
    /// Its first label is too long.
    #[error("Handle too long")]
    TooLong,
    /// There is more than one label in front of the server's domain.
    #[error("Invalid characters in handle: only one name in front of the domain is allowed")]
    DottedName,
    /// The word is kept for the server or for someone well known.
    #[error("Reserved handle")]
    Reserved,
    /// Not under a domain of this server.
    #[error("Not a supported handle domain")]
    UnsupportedDomain,
}

/// Who sets a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBy {
    /// The member.
    Member,
    /// The operator, whom the reserved words do not bind.
    Operator,
}

/// The handle rules of one server.
#[derive(Debug, Clone)]
pub struct HandleRules {
    domains: Vec<String>,
    /// Handles that the operator lists by their whole name: they are under no domain of this server
    /// but its own all the same, such as the bare domain.
    names: HashSet<String>,
    host: String,
    allow_test: bool,
    reserved: HashSet<&'static str>,
}

impl HandleRules {
    /// Rules for names under those of `domains` that have a leading dot, and for the others as they
    /// are, of a server called `host`.
    #[must_use]
    pub fn new(domains: Vec<String>, host: String, allow_test: bool) -> Self {
        let (domains, names): (Vec<_>, Vec<_>) = domains
            .into_iter()
            .partition(|domain| domain.starts_with('.'));
        let reserved = RESERVED
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        Self {
            domains,
            names: names.into_iter().collect(),
            host,
            allow_test,
            reserved,
        }
    }

    /// The domains that names may be had under, each with a leading dot.
    #[must_use]
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Whether the handle is this server's to give, and to answer for.
    #[must_use]
    pub fn is_ours(&self, handle: &Handle) -> bool {
        self.names.contains(handle.as_str()) || self.name_under_our_domain(handle).is_some()
    }

    fn name_under_our_domain<'a>(&self, handle: &'a Handle) -> Option<&'a str> {
        self.domains
            .iter()
            .filter_map(|domain| handle.as_str().strip_suffix(domain.as_str()))
            .min_by_key(|name| name.len())
            .filter(|name| !name.is_empty())
    }

    /// Checks what holds for every handle, wherever its domain is.
    ///
    /// # Errors
    /// [`HandleError::DisallowedTld`].
    pub fn check_any(&self, handle: &Handle) -> Result<(), HandleError> {
        if handle.is_disallowed_tld() || (handle.tld() == "test" && !self.allow_test) {
            return Err(HandleError::DisallowedTld);
        }
        Ok(())
    }

    /// Checks a handle that must be this server's to give.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_ours(&self, handle: &Handle, by: SetBy) -> Result<(), HandleError> {
        self.check_any(handle)?;
        if self.names.contains(handle.as_str()) {
            return Ok(());
        }
        let name = self
            .name_under_our_domain(handle)
            .ok_or(HandleError::UnsupportedDomain)?;
        if name.contains('.') {
            return Err(HandleError::DottedName);
        }
        if name.len() < *LABEL_LENGTHS.start() {
            return Err(HandleError::TooShort);
        }
        if name.len() > *LABEL_LENGTHS.end() {
            return Err(HandleError::TooLong);
        }
        let reserved = self.reserved.contains(name) || handle.as_str() == self.host;
        if by == SetBy::Member && reserved {
            return Err(HandleError::Reserved);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> HandleRules {
        let domains = vec![
            ".coop.social".to_owned(),
            ".test".to_owned(),
            ".social".to_owned(),
        ];
        HandleRules::new(domains, "pds-one.social".to_owned(), true)
    }

    fn check(text: &str) -> Result<(), HandleError> {
        rules().check_ours(&text.parse().unwrap(), SetBy::Member)
    }

    #[test]
    fn names_are_one_label_of_three_to_eighteen_characters() {
        assert_eq!(check("ada.test"), Ok(()));
        assert_eq!(check("abcdefghijklmnopqr.test"), Ok(()));
        assert_eq!(check("al.test"), Err(HandleError::TooShort));
        assert_eq!(check("abcdefghijklmnopqrs.test"), Err(HandleError::TooLong));
        assert_eq!(check("ada.love.test"), Err(HandleError::DottedName));
    }

    #[test]
    fn reserved_words_and_the_servers_own_name_bind_members_only() {
        for reserved in ["admin.test", "pds-one.social", "www.social"] {
            assert_eq!(check(reserved), Err(HandleError::Reserved), "{reserved}");
            let handle = reserved.parse().unwrap();
            assert_eq!(
                rules().check_ours(&handle, SetBy::Operator),
                Ok(()),
                "{reserved}"
            );
        }
        assert_eq!(check("adminn.test"), Ok(()));
    }

    #[test]
    fn a_bare_domain_is_a_handle_only_where_the_operator_lists_it() {
        let bare: Handle = "coop.social".parse().unwrap();
        let strict = HandleRules::new(vec![".coop.social".to_owned()], "coop.social".into(), false);
        assert!(!strict.is_ours(&bare));
        let domains = vec![".coop.social".to_owned(), "coop.social".to_owned()];
        let rules = HandleRules::new(domains, "coop.social".to_owned(), false);
        assert!(rules.is_ours(&bare));
        assert_eq!(rules.check_ours(&bare, SetBy::Member), Ok(()));
        assert_eq!(
            rules.domains(),
            [".coop.social"],
            "nobody signs up under it"
        );
        for other in ["xcoop.social", "b.a.coop.social", "www.coop.social"] {
            let other = other.parse().unwrap();
            assert!(rules.check_ours(&other, SetBy::Member).is_err(), "{other}");
        }
    }

    #[test]
    fn a_domain_elsewhere_is_unsupported_and_special_tlds_are_refused() {
        assert_eq!(check("ada.bsky.app"), Err(HandleError::UnsupportedDomain));
        assert!(!rules().is_ours(&"ada.bsky.app".parse().unwrap()));
        let handle = "ada.onion".parse().unwrap();
        assert_eq!(rules().check_any(&handle), Err(HandleError::DisallowedTld));
        let strict = HandleRules::new(vec![".test".to_owned()], "x.y".to_owned(), false);
        let handle = "ada.test".parse().unwrap();
        assert_eq!(strict.check_any(&handle), Err(HandleError::DisallowedTld));
    }

    #[test]
    fn every_reserved_word_is_a_lower_case_label_and_listed_once() {
        let words: Vec<&str> = RESERVED
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        assert!(words.len() > 200);
        for word in &words {
            let plain = word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(plain, "{word:?}");
        }
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
    }
}
