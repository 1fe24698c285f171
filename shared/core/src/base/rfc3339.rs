//! Instants as text (RFC 3339).

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::base::clock::Millis;

/// The last second of the year 9999, the last year that RFC 3339 can write.
const LAST_S: u64 = 253_402_300_799;

/// The instant in UTC, to the second: `2026-11-23T09:00:00Z`. A later instant than the year 9999 becomes its last
/// second.
pub fn to_rfc3339(at: Millis) -> String {
    let at = OffsetDateTime::UNIX_EPOCH + Duration::from_secs((at.0 / 1000).min(LAST_S));
    at.format(&Rfc3339).expect("a year of four digits")
}

/// Reads an instant (RFC 3339 section 5.6): `2026-11-23T09:00:00Z`, `2026-11-23T10:00:00.5+01:00`. `None` for other
/// text and for instants before 1970.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

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
    fn offsets_and_fractions_are_read() {
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
    fn other_text_is_no_instant() {
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
