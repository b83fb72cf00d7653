//! Numbers as every C2SP text writes them: ASCII digits without leading zeros.

/// The number of a text; `None` for any other spelling of it and for what 64 bits cannot hold.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    // `parse` alone would take a plus sign, and refuses the empty text.
    if is_decimal && !has_leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("10"), Some(10));
        assert_eq!(parse("18446744073709551615"), Some(u64::MAX));
        let others = [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1\n",
            "1_0",
            "0x1",
            "1.0",
            "١",
            "18446744073709551616",
        ];
        for other in others {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
