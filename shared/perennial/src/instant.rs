//! Instants as people and programs write them: RFC 3339, in the Gregorian calendar. Pure.

use crate::clock::Millis;

const DAY_MS: u64 = 86_400_000;

/// `2026-11-23T09:00:00Z`, to the second.
pub fn to_rfc3339(at: Millis) -> String {
    let (days, rest) = (at.0 / DAY_MS, at.0 % DAY_MS / 1000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads `2026-11-23T09:00:00Z` or `2026-11-23T10:00:00.5+01:00` (RFC 3339 section 5.6), from 1970 on.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let is_marked = marks.iter().all(|(at, mark)| bytes[*at] == *mark);
    if !is_marked || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let field = |at: std::ops::Range<usize>| number(&text[at]);
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    // 60 is a leap second, which Unix time does not count.
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    let days = days(year, month, day)?;
    let (fraction_ms, zone) = fraction(&text[19..])?;
    let local = days * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 + fraction_ms;
    let utc = i64::try_from(local).ok()?.checked_sub(offset_ms(zone)?)?;
    u64::try_from(utc).ok().map(Millis)
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The milliseconds of `.5` before a zone, and the zone.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let ms = rest[..digits].bytes().chain(std::iter::repeat(b'0')).take(3);
    Some((ms.fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0')), &rest[digits..]))
}

fn offset_ms(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let ms = i64::try_from((hours * 60 + minutes) * 60_000).ok()?;
    (hours < 24 && minutes < 60).then_some(sign * ms)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Leap years before a year.
fn leaps(year: u64) -> u64 {
    let before = year - 1;
    before / 4 - before / 100 + before / 400
}

fn days_to_year(year: u64) -> u64 {
    (year - 1970) * 365 + leaps(year) - leaps(1970)
}

fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if day == 0 || day > month_days(year, month) {
        return None;
    }
    Some(days_to_year(year) + (1..month).map(|month| month_days(year, month)).sum::<u64>() + day - 1)
}

fn date(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366;
    while days_to_year(year + 1) <= days {
        year += 1;
    }
    let (mut rest, mut month) = (days - days_to_year(year), 1);
    while rest >= month_days(year, month) {
        rest -= month_days(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written() {
        // date -u -d @N +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(to_rfc3339(Millis(seconds * 1000)), text);
            assert_eq!(parse_rfc3339(text), Some(Millis(seconds * 1000)), "{text}");
        }
        for day in 0..60_000 {
            let at = Millis(day * DAY_MS + 1000);
            assert_eq!(parse_rfc3339(&to_rfc3339(at)), Some(at));
        }
    }

    #[test]
    fn zones_and_fractions_count() {
        let at = Some(Millis(1_800_000_000_500));
        for text in [
            "2027-01-15T08:00:00.5Z",
            "2027-01-15t08:00:00.500999z",
            "2027-01-15 09:00:00.50+01:00",
            "2027-01-14T21:30:00.500-10:30",
        ] {
            assert_eq!(parse_rfc3339(text), at, "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_instant() {
        for text in [
            "",
            "tomorrow",
            "2027-01-15",
            "2027-01-15T08:00:00",
            "2027-01-15T08:00Z",
            "2027-02-29T08:00:00Z",
            "2027-13-01T08:00:00Z",
            "2027-00-01T08:00:00Z",
            "2027-01-00T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-01-15T08:60:00Z",
            "2027-01-15T08:00:00.Z",
            "2027-01-15T08:00:00+1:00",
            "2027-01-15T08:00:00+01:60",
            "2027-01-15T08:00:00Zx",
            "+027-01-15T08:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2027-01-15T08:00:00é",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
