//! Numbers: every way to write an integer is read exactly, everything else is refused.

use super::JsonFault;
use crate::data::MAX_INTEGER;

/// More digits than any integer within the range has.
const MAX_DIGITS: usize = 17;
/// Beyond this an exponent decides alone; the sum with any count of digits still fits.
const MAX_EXPONENT: i64 = 1 << 40;

/// Reads the number at the front of `text`: its value, and how many bytes it takes.
pub(super) fn read(text: &[u8]) -> Result<(i64, usize), JsonFault> {
    let mut rest = text;
    let negative = take(&mut rest, |b| b == b'-');
    let whole = digits(&mut rest);
    match whole {
        [] => return Err(JsonFault::Expected("a digit")),
        [b'0', _, ..] => return Err(JsonFault::Expected("a number without leading zeros")),
        _ => {}
    }
    let fraction = if take(&mut rest, |b| b == b'.') {
        match digits(&mut rest) {
            [] => return Err(JsonFault::Expected("a digit after the decimal point")),
            fraction => fraction,
        }
    } else {
        &[]
    };
    let exponent = if take(&mut rest, |b| matches!(b, b'e' | b'E')) {
        let negative = take(&mut rest, |b| b == b'-') || {
            take(&mut rest, |b| b == b'+');
            false
        };
        match digits(&mut rest) {
            [] => return Err(JsonFault::Expected("a digit in the exponent")),
            digits => exponent_value(digits, negative),
        }
    } else {
        0
    };
    let magnitude = evaluate(whole, fraction, exponent)?;
    Ok((
        if negative { -magnitude } else { magnitude },
        text.len() - rest.len(),
    ))
}

/// `whole.fraction × 10^exponent`, if it is an integer within the range.
fn evaluate(whole: &[u8], fraction: &[u8], exponent: i64) -> Result<i64, JsonFault> {
    let significant = whole
        .iter()
        .chain(fraction)
        .map(|digit| i64::from(digit - b'0'));
    let count = whole.len() + fraction.len();
    let trailing_zeros = significant
        .clone()
        .rev()
        .take_while(|digit| *digit == 0)
        .count();
    let leading_zeros = significant.clone().take_while(|digit| *digit == 0).count();
    if leading_zeros == count {
        return Ok(0);
    }
    // What is left is `digits × 10^scale` with no zero at either end of `digits`.
    let digits = count - leading_zeros - trailing_zeros;
    let scale = exponent - fraction.len() as i64 + trailing_zeros as i64;
    if scale < 0 {
        return Err(JsonFault::Float);
    }
    if digits > MAX_DIGITS || scale > MAX_DIGITS as i64 {
        return Err(JsonFault::IntegerRange);
    }
    let mut value = 0_i64;
    let zeros = std::iter::repeat_n(0, scale as usize);
    for digit in significant.skip(leading_zeros).take(digits).chain(zeros) {
        value = value * 10 + digit;
        if value > MAX_INTEGER {
            return Err(JsonFault::IntegerRange);
        }
    }
    Ok(value)
}

fn exponent_value(digits: &[u8], negative: bool) -> i64 {
    let magnitude = digits.iter().fold(0_i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(MAX_EXPONENT)
    });
    if negative { -magnitude } else { magnitude }
}

/// Takes the digits at the front.
fn digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, after) = rest.split_at(length);
    *rest = after;
    digits
}

/// Takes the first byte if it is the right one.
fn take(rest: &mut &[u8], wanted: impl Fn(u8) -> bool) -> bool {
    match rest.split_first() {
        Some((first, after)) if wanted(*first) => {
            *rest = after;
            true
        }
        _ => false,
    }
}
