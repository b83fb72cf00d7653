//! How many operations a DID may have in a time. A rule of the directory, not a server's limit: it
//! keeps logs short for everybody who mirrors them.

const HOUR_MS: i64 = 3_600_000;

/// The longest window, milliseconds: older operations need not be looked at.
pub(super) const LONGEST_MS: i64 = 7 * 24 * HOUR_MS;

/// With fewer operations in all no window can be full.
pub(super) const SMALLEST: i64 = 10;

/// Name, length and allowed number of each window.
const WINDOWS: [(&str, i64, usize); 3] = [
    ("hour", HOUR_MS, 10),
    ("day", 24 * HOUR_MS, 30),
    ("week", LONGEST_MS, 100),
];

/// A window that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("To many operations within last {window} (max {max})")]
pub(crate) struct TooMany {
    window: &'static str,
    max: usize,
}

/// Checks that one more operation is allowed, given when those that hold were accepted.
pub(super) fn check(times_ms: &[i64], now_ms: i64) -> Result<(), TooMany> {
    for (window, length_ms, max) in WINDOWS {
        let since_ms = now_ms.saturating_sub(length_ms);
        if times_ms
            .iter()
            .filter(|time_ms| **time_ms > since_ms)
            .count()
            >= max
        {
            return Err(TooMany { window, max });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_is_full_at_its_number_and_empties_with_time() {
        let now_ms = 1_700_000_000_000;
        let at = |ages_ms: &[i64]| -> Vec<i64> { ages_ms.iter().map(|age| now_ms - age).collect() };
        let refused = |times: &[i64]| check(times, now_ms).err().map(|refusal| refusal.window);
        assert_eq!(refused(&at(&[HOUR_MS - 1; 9])), None);
        assert_eq!(refused(&at(&[HOUR_MS - 1; 10])), Some("hour"));
        assert_eq!(refused(&at(&[HOUR_MS; 10])), None);
        assert_eq!(refused(&at(&[HOUR_MS; 30])), Some("day"));
        assert_eq!(refused(&at(&[24 * HOUR_MS; 99])), None);
        assert_eq!(refused(&at(&[24 * HOUR_MS; 100])), Some("week"));
        assert_eq!(refused(&at(&[LONGEST_MS; 1000])), None);
        let message = check(&at(&[0; 10]), now_ms).unwrap_err().to_string();
        assert_eq!(message, "To many operations within last hour (max 10)");
    }
}
