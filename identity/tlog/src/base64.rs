//! Standard base64 with padding, as every C2SP text writes bytes: one text for any bytes.

use std::fmt;

use data_encoding::BASE64;

/// The bytes of a text; `None` for any other spelling of them.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    // The decoder also takes several padded texts in a row.
    if text.trim_end_matches('=').contains('=') {
        return None;
    }
    BASE64.decode(text.as_bytes()).ok()
}

/// The text of bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// How long the text of this many bytes is.
pub(crate) fn encoded_bytes(bytes: usize) -> usize {
    BASE64.encode_len(bytes)
}

/// Writes the text of bytes.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    write!(f, "{}", BASE64.encode_display(bytes))
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, encoded_bytes};

    #[test]
    fn bytes_have_one_text() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(encoded_bytes(bytes.len()), text.len());
        }
        let others = [
            "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v=", "=", "==", "====", "Zg==Zg==",
            "Zm8=Zm8=", "Zg==Zm9v", "Zm9v\n", " Zm9v", "Zm 9v", "Zm9-", "Zm9_", "Zm9é",
        ];
        for other in others {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }
}
