//! JSON, read without loss of digits or characters. Pure.

use std::borrow::Cow;

use serde_json::Value;

/// UTF-8's mark. Senders on .NET put the mark before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON. A byte order mark is ignored, as RFC 8259, section 8.1, allows. An integer of more than 64 bits becomes a
/// text of its digits: a number would lose some digits. Half a character (`"\ud83d"`, RFC 8259, section 8.2) becomes
/// U+FFFD: programs that cut texts anywhere write halves. If several members have one name, the last member counts.
///
/// # Errors
/// The bytes are no JSON, are nested deeper than 127 levels (serde_json's own limit), or are not UTF-8; the text says where.
pub fn read_json(bytes: &[u8]) -> Result<Value, String> {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match text {
        // The marks of UTF-16, and a first letter of two bytes or four.
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..] => {
            Err("it is UTF-16 or UTF-32; JSON is sent as UTF-8 (RFC 8259, section 8.1)".into())
        }
        text => serde_json::from_slice(&normalized(text)).map_err(|e| e.to_string()),
    }
}

/// The same JSON with integers of more than 64 bits as texts, and with U+FFFD for halves of characters.
pub(super) fn normalized(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let (mut at, mut copied) = (0, 0);
    let mut in_string = false;
    while let Some(&byte) = json.get(at) {
        let (len, instead) = match byte {
            b'"' => {
                in_string = !in_string;
                (1, None)
            }
            b'\\' if in_string => match (code_unit(json, at), code_unit(json, at + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, None),
                (Some(0xd800..=0xdfff), _) => (6, Some(b"\\ufffd".to_vec())),
                _ => (2, None),
            },
            b'-' | b'0'..=b'9' if !in_string => {
                let is_of_number = |b: &&u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let len = json[at..].iter().take_while(is_of_number).count();
                let number = &json[at..at + len];
                (len, is_long_integer(number).then(|| [b"\"", number, b"\""].concat()))
            }
            _ => (1, None),
        };
        if let Some(instead) = instead {
            out.extend_from_slice(&json[copied..at]);
            out.extend_from_slice(&instead);
            copied = at + len;
        }
        at += len;
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.extend_from_slice(&json[copied..]);
    Cow::Owned(out)
}

/// The UTF-16 code unit of an escape like `\u00e9`.
fn code_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_long_integer(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    // The shortest that may be too long: 2^63 has 19 digits.
    if digits.len() < 19 || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let text = std::str::from_utf8(number).unwrap_or_default();
    text.parse::<u64>().is_err() && text.parse::<i64>().is_err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_keep_their_digits() {
        for digits in
            ["9007199254740993", "18446744073709551615", "18446744073709551616", "-9223372036854775809", "1"]
        {
            let read = read_json(format!("[{digits}, {{\"a\":{digits} }},\"{digits}\"]").as_bytes()).unwrap();
            for value in [&read[0], &read[1]["a"], &read[2]] {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                assert_eq!(text, digits);
            }
        }
        assert_eq!(
            read_json(br#"["a\"18446744073709551616", 5, 1.5]"#).unwrap(),
            json!(["a\"18446744073709551616", 5, 1.5])
        );
        for other in ["018446744073709551616", "18446744073709551616a", "-", "1-8446744073709551616"] {
            assert!(read_json(other.as_bytes()).is_err(), "{other}");
        }
        assert!(read_json(b"184467440737095516160.5").unwrap().is_f64());
    }

    #[test]
    fn half_a_character_takes_nothing_else_away() {
        for (text, expected) in [
            (r#"{"a":"x\ud83d","b":1}"#, json!({"a": "x\u{fffd}", "b": 1})),
            (
                r#"["\ud83d\ude00\udE00\uD83D\u0041\\ud83d\n"]"#,
                json!(["\u{1f600}\u{fffd}\u{fffd}A\\ud83d\n"]),
            ),
            (
                r#"{"\ud83d\ud83d\ude00":[18446744073709551616]}"#,
                json!({"\u{fffd}\u{1f600}": ["18446744073709551616"]}),
            ),
        ] {
            assert_eq!(read_json(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for bad in [r#""\ud8"#, r#""\ud83"#, r#""\ud83d"#, r#"\ud83d"#, r#""\"#] {
            assert!(read_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_stands_before_the_text_is_no_part_of_it() {
        assert_eq!(read_json("\u{feff} {\"a\":1}".as_bytes()).unwrap(), json!({"a": 1}));
        let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [&utf16[..], &[&[0xff, 0xfe], &utf16[..]].concat(), b"\xfe\xff\0{\0}", b"\0{\0}"] {
            assert!(read_json(bytes).unwrap_err().contains("UTF-8"), "{bytes:?}");
        }
        for bad in ["", "{} {}", "{}x", "\"\\", "\"", &"[".repeat(100_000), "\u{feff}\u{feff}{}"] {
            assert!(read_json(bad.as_bytes()).is_err(), "{bad:.20}");
        }
        assert!(read_json(b"\xff{}").is_err());
        assert_eq!(read_json(br#"{"a":1,"a":2}"#).unwrap(), json!({"a": 2}));
    }
}
