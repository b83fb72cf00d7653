//! Getting over a frame that can neither be read nor named.
//!
//! A frame whose number is unknown (too large, or not CBOR) ends the connection and would come again on the next one. So the
//! cursor is moved past it in growing steps, for numbers may have gaps.

/// Doubling ends here, far above any number.
const STEPS_MAX: u32 = 40;

/// A place in a host's stream that it does not get over.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stuck {
    at: Option<u64>,
    times: u32,
}

impl Stuck {
    /// A frame after `at` was unusable and did not show its number.
    pub(super) fn note(&mut self, at: Option<u64>) {
        let times = if self.at == at {
            self.times.saturating_add(1)
        } else {
            1
        };
        *self = Self { at, times };
    }

    /// Where to continue when everything up to `received` has been received: one further at first, then in doubling steps.
    pub(super) fn cursor(&self, received: Option<u64>) -> Option<u64> {
        match received {
            Some(at) if self.times > 0 && self.at == received => {
                Some(at + (1 << (self.times - 1).min(STEPS_MAX)))
            }
            received => received,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_without_a_number_is_stepped_over_in_growing_steps() {
        let mut stuck = Stuck::default();
        assert_eq!(stuck.cursor(Some(10)), Some(10));
        stuck.note(Some(10));
        assert_eq!(stuck.cursor(Some(10)), Some(11));
        stuck.note(Some(10));
        stuck.note(Some(10));
        assert_eq!(stuck.cursor(Some(10)), Some(14));
        assert_eq!(stuck.cursor(Some(15)), Some(15));
        stuck.note(Some(15));
        assert_eq!(stuck.cursor(Some(15)), Some(16));
        assert_eq!(stuck.cursor(None), None);
    }
}
