//! Comparing what bounds a value: the same bound can only stay or get looser.

use super::{Comparison, Effect};
use crate::schema::Limits;

impl Comparison {
    pub(super) fn limits(&mut self, of: &str, old: Limits, new: Limits) {
        self.least(&format!("min{of}"), old.minimum, new.minimum);
        self.most(&format!("max{of}"), old.maximum, new.maximum);
    }

    /// A lower bound.
    pub(super) fn least<T: Ord + std::fmt::Display>(
        &mut self,
        name: &str,
        old: Option<T>,
        new: Option<T>,
    ) {
        // No lower bound is below every bound, as `None` is.
        let effect = if new > old {
            Effect::Breaking
        } else {
            Effect::Loosened
        };
        self.bound(name, effect, old, new);
    }

    /// An upper bound.
    pub(super) fn most<T: Ord + std::fmt::Display>(
        &mut self,
        name: &str,
        old: Option<T>,
        new: Option<T>,
    ) {
        let tighter = match (&old, &new) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(old), Some(new)) => new < old,
        };
        let effect = if tighter {
            Effect::Breaking
        } else {
            Effect::Loosened
        };
        self.bound(name, effect, old, new);
    }

    /// A value that must be just so: a constant.
    pub(super) fn constant<T: Eq + std::fmt::Display>(&mut self, old: Option<T>, new: Option<T>) {
        let effect = if new.is_none() {
            Effect::Loosened
        } else {
            Effect::Breaking
        };
        self.bound("const", effect, old, new);
    }

    /// What an absent value counts as.
    pub(super) fn default_value<T: Eq + std::fmt::Display>(
        &mut self,
        old: Option<T>,
        new: Option<T>,
    ) {
        self.bound("default", Effect::Loosened, old, new);
    }

    /// The values allowed, if not all are.
    pub(super) fn options<T: Eq + std::fmt::Display>(
        &mut self,
        old: Option<&[T]>,
        new: Option<&[T]>,
    ) {
        self.within("enum", |c| match (old, new) {
            (None, None) => {}
            (None, Some(_)) => c.note(Effect::Breaking, "only some values are allowed now"),
            (Some(_), None) => c.note(Effect::Loosened, "all values are allowed now"),
            (Some(old), Some(new)) => {
                for gone in old.iter().filter(|value| !new.contains(value)) {
                    c.note(Effect::Breaking, format!("{gone} is no longer allowed"));
                }
                for added in new.iter().filter(|value| !old.contains(value)) {
                    c.note(Effect::Loosened, format!("{added} is allowed now"));
                }
            }
        });
    }

    fn bound<T: PartialEq + std::fmt::Display>(
        &mut self,
        name: &str,
        effect: Effect,
        old: Option<T>,
        new: Option<T>,
    ) {
        if old == new {
            return;
        }
        let say =
            |value: Option<T>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        let text = format!("was {}, is {}", say(old), say(new));
        self.within(name, |c| c.note(effect, text));
    }
}
