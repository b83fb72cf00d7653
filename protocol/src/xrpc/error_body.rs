//! The JSON body of every XRPC error answer.

use serde::{Deserialize, Serialize};

/// `{"error": name, "message": text}`, in this key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A name from [`super::names`] or from the method's lexicon.
    pub error: String,
    /// What was wrong, for humans. Other implementations sometimes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ErrorBody {
    /// An error with a message.
    #[must_use]
    pub fn new(error: &str, message: impl Into<String>) -> Self {
        Self {
            error: error.to_owned(),
            message: Some(message.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_error_first_and_leaves_out_a_missing_message() {
        let body = ErrorBody::new(super::super::names::INVALID_REQUEST, "no such \"thing\"");
        let json = serde_json::to_string(&body).unwrap();
        assert_eq!(
            json,
            r#"{"error":"InvalidRequest","message":"no such \"thing\""}"#
        );
        let bare: ErrorBody = serde_json::from_str(r#"{"error":"NotFound","more":1}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"error":"NotFound"}"#
        );
    }
}
