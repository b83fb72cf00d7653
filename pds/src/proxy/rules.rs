//! Which methods are never passed on, and which take more than a plain app password.

/// Methods of the account itself: nobody else answers them in the member's name.
const PROTECTED: [&str; 16] = [
    "com.atproto.admin.sendEmail",
    "com.atproto.identity.requestPlcOperationSignature",
    "com.atproto.identity.signPlcOperation",
    "com.atproto.identity.updateHandle",
    "com.atproto.server.activateAccount",
    "com.atproto.server.confirmEmail",
    "com.atproto.server.createAppPassword",
    "com.atproto.server.deactivateAccount",
    "com.atproto.server.getAccountInviteCodes",
    "com.atproto.server.getSession",
    "com.atproto.server.listAppPasswords",
    "com.atproto.server.requestAccountDelete",
    "com.atproto.server.requestEmailConfirmation",
    "com.atproto.server.requestEmailUpdate",
    "com.atproto.server.revokeAppPassword",
    "com.atproto.server.updateEmail",
];
/// Private messages: the whole namespace, so that a new method is covered too.
const PRIVATE_MESSAGES: &str = "chat.bsky.";
const CREATE_ACCOUNT: &str = "com.atproto.server.createAccount";

/// Whether the method is never passed on and never vouched for. Case does not matter.
#[must_use]
pub fn is_protected(nsid: &str) -> bool {
    PROTECTED.iter().any(|name| name.eq_ignore_ascii_case(nsid))
}

/// Whether the method takes the main password or a privileged app password.
#[must_use]
pub fn is_privileged(nsid: &str) -> bool {
    let lower = nsid.to_ascii_lowercase();
    lower.starts_with(PRIVATE_MESSAGES) || nsid.eq_ignore_ascii_case(CREATE_ACCOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_own_methods_stay_here_in_any_spelling() {
        assert!(is_protected("com.atproto.server.getSession"));
        assert!(is_protected("com.atproto.SERVER.getsession"));
        assert!(!is_protected("app.bsky.feed.getTimeline"));
        assert!(!is_protected("com.atproto.server.createAccount"));
    }

    #[test]
    fn every_chat_method_and_moving_out_take_a_privileged_session() {
        assert!(is_privileged("chat.bsky.convo.someNewMethod"));
        assert!(is_privileged("CHAT.bsky.convo.listConvos"));
        assert!(is_privileged("com.atproto.server.createAccount"));
        assert!(!is_privileged("app.bsky.feed.getTimeline"));
        assert!(!is_privileged("chat.bskyx.convo.listConvos"));
    }
}
