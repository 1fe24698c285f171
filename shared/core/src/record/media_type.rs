//! Media types: the values of `Content-Type` (RFC 9110 section 8.3.1), and which of them are worth compressing. Pure.

/// Checks a media type with its parameters.
///
/// # Errors
/// A sentence with the right form.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if is_media_type(text) {
        return Ok(());
    }
    Err(format!(
        "the content type `{}` is no media type: give its `Blob` one, such as `image/png` or `text/plain; charset=utf-8` \
         (RFC 9110 section 8.3.1)",
        text.escape_debug()
    ))
}

fn is_media_type(text: &str) -> bool {
    let end = text.find(';').unwrap_or(text.len());
    let (essence, mut parameters) = text.split_at(end);
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    // `*` is a token, but a type with it names no content (section 12.5.1).
    if !is_token(kind) || !is_token(subtype.trim_end_matches([' ', '\t'])) || essence.contains('*') {
        return false;
    }
    while let Some(rest) = parameters.strip_prefix(';') {
        let rest = rest.trim_start_matches([' ', '\t']);
        let Some((name, rest)) = rest.split_once('=') else { return false };
        let Some(value_bytes) = value_bytes(rest) else { return false };
        if !is_token(name) {
            return false;
        }
        parameters = rest[value_bytes..].trim_start_matches([' ', '\t']);
        // White space may stand before a semicolon, not at the end (a field's value is trimmed).
        if parameters.is_empty() && value_bytes < rest.len() {
            return false;
        }
    }
    parameters.is_empty() && !text.ends_with([' ', '\t'])
}

/// The length of a parameter's value, a token or a quoted string, at the start of this text.
fn value_bytes(text: &str) -> Option<usize> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        return is_token(&text[..end]).then_some(end);
    };
    let mut is_escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            b'"' if !is_escaped => return Some(at + 2),
            b'\t' | b' '..=b'~' => is_escaped = byte == b'\\' && !is_escaped,
            _ => return None,
        }
    }
    None
}

/// A token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Types besides `text/…`, `…+json`, `…+xml` and `…+yaml` whose content is not compressed by itself.
const COMPRESSIBLE: [&str; 21] = [
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/ndjson",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
    "image/x-icon",
    "model/obj",
    "model/stl",
];

/// Whether content of this type is worth compressing. Content of other types, such as PNG, WOFF2, ZIP and PDF, is
/// compressed by itself, or nobody knows.
pub fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || ["+json", "+xml", "+yaml"].iter().any(|suffix| essence.ends_with(suffix))
        || COMPRESSIBLE.contains(&essence.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_two_tokens_and_parameters() {
        for right in [
            "image/png",
            "text/plain; charset=utf-8",
            "text/plain;charset=\"utf-8\"",
            "TEXT/HTML ; Charset=UTF-8 ; x=y",
            "application/vnd.api+json",
            "multipart/mixed; boundary=\"a \\\" b;\"; c=d",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "png",
            ".png",
            "image/",
            "/png",
            "image/png/x",
            "image /png",
            "*/*",
            "image/*",
            "text/plain;",
            "text/plain; charset",
            "text/plain; charset=",
            "text/plain; charset=\"utf-8",
            "text/plain; charset=utf-8 ",
            " image/png",
            "image/png\r\nset-cookie: a=b",
            "image/größe",
            "text/plain, text/html",
            "text/plain; a=\"\u{7f}\"",
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains("content type") && error.contains("image/png"), "{error}");
            assert!(error.bytes().all(|b| b != b'\n'), "one line: {error}");
        }
    }

    #[test]
    fn what_is_compressed_by_itself_is_left_alone() {
        for yes in [
            "text/css",
            "TEXT/HTML; charset=utf-8",
            "application/json",
            "application/atom+xml; charset=utf-8",
            "image/svg+xml",
            "application/wasm",
            "font/ttf",
        ] {
            assert!(is_compressible(yes), "{yes}");
        }
        for no in [
            "image/png",
            "image/jpeg",
            "font/woff2",
            "application/zip",
            "application/pdf",
            "video/mp4",
            "application/octet-stream",
            "",
        ] {
            assert!(!is_compressible(no), "{no}");
        }
    }
}
