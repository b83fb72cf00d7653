//! Who may publish a schema: the holder of the domain that its NSID names.

use rochdale_protocol::syntax::Nsid;

/// Longest name in DNS, in bytes.
const MAX_NAME_BYTES: usize = 253;

/// The DNS name whose TXT record `did=…` says which account publishes the schema `id`:
/// `_lexicon.lab.example.com` for `com.example.lab.getThing`. `None` when it is too long for DNS.
///
/// A schema has exactly one authority; neither parents nor children of the name are asked.
#[must_use]
pub fn dns_name(id: &Nsid) -> Option<String> {
    let name = id
        .authority()
        .rsplit('.')
        .fold(String::from("_lexicon"), |name, label| name + "." + label);
    (name.len() <= MAX_NAME_BYTES).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> Option<String> {
        dns_name(&id.parse().unwrap())
    }

    #[test]
    fn the_name_is_the_reversed_authority_without_the_last_segment() {
        assert_eq!(
            of("edu.university.dept.lab.blogging.getPost").unwrap(),
            "_lexicon.blogging.lab.dept.university.edu"
        );
        assert_eq!(
            of("APP.Bsky.feed.postGate").unwrap(),
            "_lexicon.feed.bsky.app"
        );
    }

    #[test]
    fn an_authority_that_dns_cannot_name_has_none() {
        let label = "a".repeat(60);
        assert!(of(&format!("{label}.{label}.{label}.{label}.{label}.x")).is_none());
    }
}
