//! Comparing types of the same kind.

use super::{Comparison, Effect};
use crate::schema::{Blob, Boolean, Integer, MediaRange, Text, Union};

impl Comparison {
    pub(super) fn boolean(&mut self, old: &Boolean, new: &Boolean) {
        self.constant(old.constant, new.constant);
        self.default_value(old.default, new.default);
    }

    pub(super) fn integer(&mut self, old: &Integer, new: &Integer) {
        self.least("minimum", old.minimum, new.minimum);
        self.most("maximum", old.maximum, new.maximum);
        self.options(old.options.as_deref(), new.options.as_deref());
        self.constant(old.constant, new.constant);
        self.default_value(old.default, new.default);
    }

    pub(super) fn text(&mut self, old: &Text, new: &Text) {
        if old.format != new.format {
            let effect = if new.format.is_none() {
                Effect::Loosened
            } else {
                Effect::Breaking
            };
            self.within("format", |c| c.note(effect, "the format changed"));
        }
        self.limits("Length", old.bytes, new.bytes);
        self.limits("Graphemes", old.graphemes, new.graphemes);
        self.options(old.options.as_deref(), new.options.as_deref());
        if old.known != new.known {
            self.within("knownValues", |c| {
                c.note(Effect::Compatible, "the known values changed");
            });
        }
        self.constant(old.constant.as_ref(), new.constant.as_ref());
        self.default_value(old.default.as_ref(), new.default.as_ref());
    }

    pub(super) fn blob(&mut self, old: &Blob, new: &Blob) {
        self.most("maxSize", old.max_bytes, new.max_bytes);
        // A range lies in another when the other contains it, taken as a media type.
        let covers = |ranges: &Option<Box<[MediaRange]>>, range: &MediaRange| {
            ranges
                .as_ref()
                .is_none_or(|ranges| ranges.iter().any(|other| other.contains(range.as_str())))
        };
        self.within("accept", |c| match (&old.accept, &new.accept) {
            (None, Some(ranges)) if !ranges.iter().any(|range| range.as_str() == "*/*") => {
                c.note(Effect::Breaking, "only some media types are accepted now");
            }
            (Some(ranges), _) => {
                for gone in ranges.iter().filter(|range| !covers(&new.accept, range)) {
                    c.note(
                        Effect::Breaking,
                        format!("{} is no longer accepted", gone.as_str()),
                    );
                }
                let new = new.accept.iter().flatten();
                for added in new.filter(|range| !covers(&old.accept, range)) {
                    c.note(
                        Effect::Loosened,
                        format!("{} is accepted now", added.as_str()),
                    );
                }
            }
            (None, _) => {}
        });
    }

    pub(super) fn union(&mut self, old: &Union, new: &Union) {
        match (old.closed, new.closed) {
            (false, true) => self.note(Effect::Breaking, "the union was open, is closed"),
            (true, false) => self.note(Effect::Loosened, "the union was closed, is open"),
            _ => {}
        }
        for gone in old
            .variants
            .iter()
            .filter(|variant| !new.variants.contains(variant))
        {
            self.note(Effect::Breaking, format!("the variant {gone} is gone"));
        }
        for added in new
            .variants
            .iter()
            .filter(|variant| !old.variants.contains(variant))
        {
            let effect = if old.closed {
                Effect::Breaking
            } else {
                Effect::Compatible
            };
            self.note(effect, format!("the variant {added} is new"));
        }
    }
}
