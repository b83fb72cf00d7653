//! One description of an operation's structure, written as canonical DAG-CBOR or as JSON.
//!
//! Both forms come from the same calls, so their key order cannot differ.

use crate::data::cbor::Encoder;

/// Takes the structure of an operation piece by piece. Map keys are texts, in canonical order.
pub(super) trait Sink {
    /// Opens a map of `len` keys.
    fn map(&mut self, len: usize);
    /// Opens an array of `len` elements.
    fn array(&mut self, len: usize);
    /// A key or a string.
    fn text(&mut self, text: &str);
    /// The null value.
    fn null(&mut self);
    /// Closes the innermost map or array.
    fn end(&mut self);
}

impl Sink for Encoder {
    fn map(&mut self, len: usize) {
        Encoder::map(self, len);
    }
    fn array(&mut self, len: usize) {
        Encoder::array(self, len);
    }
    fn text(&mut self, text: &str) {
        Encoder::text(self, text);
    }
    fn null(&mut self) {
        Encoder::null(self);
    }
    fn end(&mut self) {}
}

/// Writes compact JSON, escaped as `JSON.stringify` does.
#[derive(Default)]
pub(super) struct JsonSink {
    out: String,
    open: Vec<Level>,
}

struct Level {
    is_map: bool,
    items: usize,
}

impl JsonSink {
    pub(super) fn finish(self) -> String {
        self.out
    }

    fn separate(&mut self) {
        let Some(level) = self.open.last_mut() else {
            return;
        };
        if level.is_map && level.items % 2 == 1 {
            self.out.push(':');
        } else if level.items > 0 {
            self.out.push(',');
        }
        level.items += 1;
    }

    fn open(&mut self, is_map: bool) {
        self.separate();
        self.out.push(if is_map { '{' } else { '[' });
        self.open.push(Level { is_map, items: 0 });
    }
}

impl Sink for JsonSink {
    fn map(&mut self, _len: usize) {
        self.open(true);
    }
    fn array(&mut self, _len: usize) {
        self.open(false);
    }
    fn text(&mut self, text: &str) {
        self.separate();
        push_json_string(&mut self.out, text);
    }
    fn null(&mut self) {
        self.separate();
        self.out.push_str("null");
    }
    fn end(&mut self) {
        if let Some(level) = self.open.pop() {
            self.out.push(if level.is_map { '}' } else { ']' });
        }
    }
}

/// Appends a JSON string with its quotes.
pub(super) fn push_json_string(out: &mut String, text: &str) {
    if text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    #[expect(clippy::expect_used, reason = "a string always serialises")]
    out.push_str(&serde_json::to_string(text).expect("string"));
}
