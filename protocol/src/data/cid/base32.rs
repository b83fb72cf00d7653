//! RFC 4648 base32 in lower case, without padding, on caller-supplied buffers.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// How many digits `bytes` bytes take.
pub(super) fn encoded_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// Writes the digits of `bytes` to `out`, which has room for exactly [`encoded_len`] of them.
pub(super) fn encode(bytes: &[u8], out: &mut [u8]) {
    let mut digits = out.iter_mut();
    let mut put = |value: u32| {
        if let Some(digit) = digits.next() {
            *digit = ALPHABET
                .get(value as usize & 31)
                .copied()
                .unwrap_or_default();
        }
    };
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(buffer >> bits);
        }
    }
    if bits > 0 {
        put(buffer << (5 - bits));
    }
}

/// Decodes to the front of `out` and returns the number of bytes. `None` if a digit is foreign, the
/// length impossible, a bit past the end set, or `out` too small.
pub(super) fn decode(digits: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut bytes = out.iter_mut();
    let (mut buffer, mut bits, mut length) = (0_u32, 0, 0);
    for digit in digits {
        let value = match digit {
            b'a'..=b'z' => digit - b'a',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        buffer = buffer << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *bytes.next()? = (buffer >> bits) as u8;
            length += 1;
        }
    }
    let rest = buffer & ((1 << bits) - 1);
    (bits < 5 && rest == 0).then_some(length)
}
