//! Datetimes, as the `datetime` string format of Lexicon takes them: the common part of RFC 3339
//! and ISO 8601, with a time zone, between the years 0000 and 9999.

use std::sync::Arc;

use super::text::text_identifier;

/// A datetime. Keeps the text it was read from, since writing it anew would change a record's CID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datetime(Arc<str>);

text_identifier!(Datetime, "a datetime");

/// 0000-01-01T00:00:00.000Z.
const MIN_UNIX_MS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
const MAX_UNIX_MS: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

/// The numbers in a datetime of the right shape, not yet checked for sense.
struct Fields {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    millisecond: u32,
    offset_negative: bool,
    offset_hour: u32,
    offset_minute: u32,
}

impl Datetime {
    /// The datetime of a Unix time in milliseconds, as `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    /// Times outside of the years 0000 to 9999 become the nearest end.
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        let unix_ms = unix_ms.clamp(MIN_UNIX_MS, MAX_UNIX_MS);
        let (days, ms) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1000 % 60, ms % 1000);
        let text =
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
        Self(text.into())
    }

    /// Unix time in milliseconds; digits past the millisecond are cut off.
    pub fn unix_ms(&self) -> i64 {
        // A value exists only if its text was evaluated before.
        fields(&self.0)
            .and_then(|fields| evaluate(&fields))
            .unwrap_or_default()
    }

    /// Whether the text has the shape of a datetime, with no regard to sense: month 13 passes.
    pub fn is_well_formed(text: &str) -> bool {
        fields(text).is_ok()
    }

    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        evaluate(&fields(text)?)?;
        Ok(text.into())
    }
}

/// Reads bytes from the front of a text.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn expect(&mut self, wanted: u8, reason: &'static str) -> Result<(), &'static str> {
        (self.next() == Some(wanted)).then_some(()).ok_or(reason)
    }

    /// Exactly `digits` decimal digits, the first of them at most `highest`.
    fn number(
        &mut self,
        digits: u32,
        highest: u8,
        reason: &'static str,
    ) -> Result<u32, &'static str> {
        let mut number = 0;
        for i in 0..digits {
            let byte = self.next().filter(u8::is_ascii_digit).ok_or(reason)?;
            if i == 0 && byte > highest {
                return Err(reason);
            }
            number = number * 10 + u32::from(byte - b'0');
        }
        Ok(number)
    }
}

/// Checks the shape and reads the numbers.
fn fields(text: &str) -> Result<Fields, &'static str> {
    const DATE: &str = "the date must be YYYY-MM-DD";
    const TIME: &str = "the time must be HH:MM:SS";
    if text.len() > super::MAX_DATETIME_BYTES {
        return Err("it is longer than 64 bytes");
    }
    let mut scanner = Scanner(text.as_bytes());
    let year = scanner.number(4, b'9', DATE)?;
    scanner.expect(b'-', DATE)?;
    let month = scanner.number(2, b'1', DATE)?;
    scanner.expect(b'-', DATE)?;
    let day = scanner.number(2, b'3', DATE)?;
    scanner.expect(b'T', "an upper-case `T` must separate date and time")?;
    let hour = scanner.number(2, b'2', TIME)?;
    scanner.expect(b':', TIME)?;
    let minute = scanner.number(2, b'6', TIME)?;
    scanner.expect(b':', TIME)?;
    let second = scanner.number(2, b'6', TIME)?;
    let millisecond = if scanner.peek() == Some(b'.') {
        fraction(&mut scanner)?
    } else {
        0
    };
    let (offset_negative, offset_hour, offset_minute) = offset(&mut scanner)?;
    if scanner.peek().is_some() {
        return Err("something follows the time zone");
    }
    Ok(Fields {
        year,
        month,
        day,
        hour,
        minute,
        second,
        millisecond,
        offset_negative,
        offset_hour,
        offset_minute,
    })
}

/// The fraction of a second, cut to milliseconds.
fn fraction(scanner: &mut Scanner<'_>) -> Result<u32, &'static str> {
    scanner.next();
    let (mut digits, mut millisecond) = (0_u32, 0);
    while let Some(byte) = scanner.peek().filter(u8::is_ascii_digit) {
        scanner.next();
        if digits < 3 {
            millisecond += u32::from(byte - b'0') * 10_u32.pow(2 - digits);
        }
        digits += 1;
    }
    match digits {
        1..=20 => Ok(millisecond),
        _ => Err("the fraction of a second must be 1 to 20 digits"),
    }
}

/// The time zone: sign, hours, minutes.
fn offset(scanner: &mut Scanner<'_>) -> Result<(bool, u32, u32), &'static str> {
    const ZONE: &str = "it must end with a time zone, `Z` or `+HH:MM`";
    let negative = match scanner.next() {
        Some(b'Z') => return Ok((false, 0, 0)),
        Some(b'+') => false,
        Some(b'-') => true,
        Some(_) | None => return Err(ZONE),
    };
    let hour = scanner.number(2, b'2', ZONE)?;
    scanner.expect(b':', ZONE)?;
    let minute = scanner.number(2, b'5', ZONE)?;
    if negative && hour == 0 && minute == 0 {
        return Err("the time zone `-00:00` is not allowed");
    }
    Ok((negative, hour, minute))
}

/// Checks that the numbers make a time and returns it, in Unix milliseconds.
fn evaluate(fields: &Fields) -> Result<i64, &'static str> {
    if !(1..=12).contains(&fields.month) {
        return Err("there is no such month");
    }
    if !(1..=days_in_month(fields.year, fields.month)).contains(&fields.day) {
        return Err("there is no such day");
    }
    if fields.hour > 23 || fields.minute > 59 || fields.second > 59 {
        return Err("there is no such time of day");
    }
    if fields.offset_hour > 23 {
        return Err("there is no such time zone");
    }
    let seconds = (fields.hour * 60 + fields.minute) * 60 + fields.second;
    let offset_ms = i64::from(fields.offset_hour * 60 + fields.offset_minute) * 60_000;
    let local_ms = days_from_civil(fields.year, fields.month, fields.day) * DAY_MS
        + i64::from(seconds) * 1000
        + i64::from(fields.millisecond);
    let unix_ms = if fields.offset_negative {
        local_ms + offset_ms
    } else {
        local_ms - offset_ms
    };
    if !(MIN_UNIX_MS..=MAX_UNIX_MS).contains(&unix_ms) {
        return Err("in UTC it lies outside of the years 0000 to 9999");
    }
    Ok(unix_ms)
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that
/// the leap day is the last of its year.
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
