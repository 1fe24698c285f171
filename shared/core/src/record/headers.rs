//! The header fields that a page may set. An accepted field is valid in every kind of answer: the standalone server's,
//! and a Lambda function's buffered and streamed ones. Pure.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::base::limits::Limits;

/// Header fields by lower-case name. The values of one name keep the page's order; the order of different names has no
/// meaning (RFC 9110 section 5.3).
pub type Headers = BTreeMap<String, Vec<String>>;

/// Bytes of a field line besides name and value: `: ` and CRLF.
const SEPARATORS_BYTES: usize = 4;

/// A group of field names that a page may not set, and the advice of its error.
struct ForbiddenNames {
    names: &'static [&'static str],
    prefixes: &'static [&'static str],
    substrings: &'static [&'static str],
    advice: &'static str,
}

/// A name that is in several groups gets the advice of the first one.
const FORBIDDEN: &[ForbiddenNames] = &[
    ForbiddenNames {
        names: &["surrogate-key", "surrogate-keys", "xkey", "x-xkey", "cdn-tag", "x-litespeed-tag"],
        prefixes: &[],
        substrings: &["cache-tag", "cache-group"],
        advice: "give the page's tags with `Outcome::tag`; Perennial passes them on to the shared cache",
    },
    // A shared cache that obeys one of these fields ignores `Cache-Control`, and would keep a stale answer for as long
    // as a fresh one (RFC 9213 for `…-cache-control`; the caches' manuals for the others).
    ForbiddenNames {
        names: &["expires", "pragma", "age", "warning", "x-reverse-proxy-ttl"],
        prefixes: &["surrogate-", "edge-", "cdn-"],
        substrings: &["cache-control"],
        advice: "give the page's freshness with `Outcome::revalidate` or `Outcome::expires_at`; caches get it from Perennial",
    },
    ForbiddenNames {
        names: &["vary", "netlify-vary"],
        prefixes: &[],
        substrings: &[],
        advice: "a page is the same for everybody; declare what it depends on with `Route::query`",
    },
    ForbiddenNames {
        names: &["location"],
        prefixes: &[],
        substrings: &[],
        advice: "send visitors elsewhere with `Outcome::redirect`",
    },
    ForbiddenNames {
        names: &["cookie", "authorization", "authentication-info", "www-authenticate"],
        prefixes: &["set-cookie", "proxy-auth", "sec-"],
        substrings: &[],
        advice: "leave it out: it is for one visitor, and a stored page is for everybody",
    },
    ForbiddenNames {
        names: &[],
        prefixes: &[
            "x-accel-",
            "x-sendfile",
            "x-lighttpd-",
            "x-litespeed-",
            "x-reproxy-",
            "x-envoy-",
            "x-cache",
        ],
        substrings: &[],
        advice: "leave it out: a server in front would obey or replace this header",
    },
    // The connection fields of RFC 9110 section 7.6.1 and RFC 9113 section 8.2.2.
    ForbiddenNames {
        names: &[
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "host",
        ],
        prefixes: &["proxy-"],
        substrings: &[],
        advice: "leave it out: it belongs to one connection",
    },
    // Lambda function URLs rename `server` and `x-amzn-…`. CloudFront sets `via` and reserves the other names:
    // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
    ForbiddenNames {
        names: &["server", "via", "x-real-ip"],
        prefixes: &["x-amz", "x-edge-", "x-perennial-"],
        substrings: &[],
        advice: "leave it out or give it another name: Perennial or AWS uses this one",
    },
    ForbiddenNames {
        names: &[
            "accept-ranges",
            "cache-status",
            "content-digest",
            "content-encoding",
            "content-length",
            "content-md5",
            "content-range",
            "date",
            "digest",
            "etag",
            "last-modified",
            "repr-digest",
            "status",
        ],
        prefixes: &[],
        substrings: &[],
        advice: "leave it out: Perennial sets this header",
    },
];

/// Representation fields that describe the HTML and not the data JSON (RFC 9110 section 8).
const HTML_ONLY: [&str; 3] = ["content-type", "content-disposition", "content-location"];

impl ForbiddenNames {
    fn contains(&self, name: &str) -> bool {
        self.names.contains(&name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
            || self.substrings.iter().any(|part| name.contains(part))
    }
}

/// Checks one field; `name` is in lower case.
///
/// # Errors
/// "the header `x`: " with the mistake and advice.
pub(crate) fn parse_field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let error = |what: String| format!("the header `{}`: {what}", name.escape_debug());
    let Ok(header_name) = HeaderName::try_from(name) else {
        let advice = "a name is made of letters, digits and `-` (RFC 9110 section 5.1)";
        return Err(error(format!("HTTP does not allow this name; {advice}")));
    };
    if let Some(forbidden) = FORBIDDEN.iter().find(|forbidden| forbidden.contains(name)) {
        return Err(error(forbidden.advice.to_owned()));
    }
    if let Some(c) = value.chars().find(|c| !c.is_ascii()) {
        let advice =
            "percent-encode it, or write the parameter as RFC 8187 has it (`title*=UTF-8''caf%C3%A9`)";
        return Err(error(format!("its value holds `{}`, which is not ASCII; {advice}", c.escape_debug())));
    }
    if let Some(c) = value.chars().find(|c| c.is_ascii_control() && *c != '\t') {
        return Err(error(format!(
            "its value holds the control character `{}`; take it out",
            c.escape_debug()
        )));
    }
    if value.trim_matches([' ', '\t']) != value {
        return Err(error("its value begins or ends with white space; trim it".into()));
    }
    HeaderValue::try_from(value)
        .map(|value| (header_name, value))
        .map_err(|_| error("HTTP does not allow its value; give visible ASCII".into()))
}

/// Checks the fields that a render gave. `other_bytes` is the size of the page's other header fields (a redirect's
/// `Location`), which count against the same limit.
///
/// # Errors
/// A sentence that names the first forbidden field, or the exceeded limit, and its correction.
pub(crate) fn check(
    given: Vec<(String, String)>,
    other_bytes: usize,
    limits: &Limits,
) -> Result<Headers, String> {
    let fields_max = usize::from(limits.max_page_headers);
    if given.len() > fields_max {
        return Err(format!(
            "the page sets {} header fields, the limit is {fields_max} (PERENNIAL_MAX_PAGE_HEADERS)",
            given.len()
        ));
    }
    let lengths = given.iter().map(|(name, value)| name.len() + value.len() + SEPARATORS_BYTES);
    let bytes = lengths.fold(other_bytes, usize::saturating_add);
    if bytes > limits.max_page_header_bytes {
        return Err(format!(
            "the page's header fields have {bytes} bytes, a redirect's destination among them; the limit is {} \
             (PERENNIAL_MAX_PAGE_HEADER_BYTES)",
            limits.max_page_header_bytes
        ));
    }
    let mut headers = Headers::new();
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        parse_field(&name, &value).map_err(of_page)?;
        headers.entry(name).or_default().push(value);
    }
    Ok(headers)
}

/// A stored page's fields, as answers with its HTML carry them. Forbidden fields, which earlier versions may have
/// stored, are left out.
pub fn fields(headers: &Headers) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    lines(headers).filter_map(|(name, value)| parse_field(name, value).ok())
}

/// A stored page's fields, as answers with its data JSON carry them: [`fields`] without those that describe the HTML.
pub fn data_fields(headers: &Headers) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    fields(headers).filter(|(name, _)| !HTML_ONLY.contains(&name.as_str()))
}

/// The error of the first stored field that [`fields`] leaves out.
pub(crate) fn stored_field_error(headers: &Headers) -> Option<String> {
    lines(headers).find_map(|(name, value)| parse_field(name, value).err()).map(of_page)
}

fn of_page(error: String) -> String {
    format!("the page sets {error}")
}

/// One name and value per field line.
fn lines(headers: &Headers) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_str())))
}

/// The JSON form of [`Headers`]: a string, or a list of strings for a name with several values.
pub(crate) mod stored {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::record::headers::Headers;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Values {
        One(String),
        Many(Vec<String>),
    }

    #[derive(Serialize)]
    #[serde(untagged)]
    enum ValuesRef<'a> {
        One(&'a str),
        Many(&'a [String]),
    }

    pub(crate) fn serialize<S: Serializer>(headers: &Headers, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(headers.iter().map(|(name, values)| match &values[..] {
            [value] => (name, ValuesRef::One(value)),
            values => (name, ValuesRef::Many(values)),
        }))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Headers, D::Error> {
        let stored = std::collections::BTreeMap::<String, Values>::deserialize(from)?;
        let values = |values| match values {
            Values::One(value) => vec![value],
            Values::Many(values) => values,
        };
        Ok(stored.into_iter().map(|(name, given)| (name, values(given))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::settings::Settings;

    fn check_one(name: &str, value: &str) -> Result<Headers, String> {
        check(vec![(name.to_owned(), value.to_owned())], 0, &Settings::default().limits)
    }

    #[test]
    fn values_are_visible_ascii_with_white_space_inside() {
        for value in ["", "a", "a b\tc", "default-src 'self'; img-src *", "!\"#~"] {
            assert_eq!(check_one("X-Topic", value).unwrap()["x-topic"], [value]);
        }
        for (value, advice) in [
            ("café", "RFC 8187"),
            ("новости", "percent-encode"),
            ("a\u{a0}b", "percent-encode"),
            ("a\r\nset-cookie: b=c", "take it out"),
            ("a\0", "take it out"),
            ("a\u{7f}", "take it out"),
            (" a", "trim it"),
            ("a\t", "trim it"),
        ] {
            let error = check_one("x-topic", value).unwrap_err();
            assert!(error.contains("`x-topic`") && error.contains(advice), "{error}");
        }
        for name in ["", "bad name", ":status", "a:b", "é", "a\r\nb"] {
            assert!(check_one(name, "x").unwrap_err().contains("this name"), "{name}");
        }
    }

    #[test]
    fn forbidden_names_are_refused_with_the_advice_of_their_group() {
        const NAMES: [(&str, &[&str]); 7] = [
            (
                "Outcome::revalidate",
                &[
                    "Cache-Control",
                    "cdn-cache-control",
                    "cloudflare-cdn-cache-control",
                    "netlify-cdn-cache-control",
                    "vercel-cdn-cache-control",
                    "x-some-future-cache-control",
                    "x-litespeed-cache-control",
                    "surrogate-control",
                    "edge-control",
                    "expires",
                    "pragma",
                    "age",
                ],
            ),
            (
                "Outcome::tag",
                &[
                    "cache-tag",
                    "cache-tags",
                    "x-cache-tags",
                    "edge-cache-tag",
                    "netlify-cache-tag",
                    "surrogate-key",
                    "xkey",
                    "cache-groups",
                    "cache-group-invalidation",
                    "cdn-tag",
                ],
            ),
            ("Route::query", &["Vary", "netlify-vary"]),
            (
                "for one visitor",
                &["set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate", "authorization"],
            ),
            (
                "in front",
                &[
                    "x-accel-redirect",
                    "x-accel-expires",
                    "x-sendfile",
                    "x-lighttpd-send-file",
                    "x-cache",
                    "x-reproxy-url",
                    "x-litespeed-vary",
                ],
            ),
            (
                "another name",
                &["x-amzn-remapped-date", "x-amz-cf-id", "x-edge-a", "x-perennial-cache", "via"],
            ),
            ("Perennial sets this header", &["content-range", "etag", "content-digest", "status", "date"]),
        ];
        for (advice, names) in NAMES {
            for name in names {
                let error = check_one(name, "x").unwrap_err();
                assert!(error.contains(&name.to_ascii_lowercase()) && error.contains(advice), "{error}");
            }
        }
        for name in ["connection", "Transfer-Encoding", "keep-alive", "proxy-connection", "te", "location"] {
            assert!(check_one(name, "x").is_err(), "{name}");
        }
        for name in ["link", "content-type", "content-language", "x-robots-tag", "server-timing", "refresh"] {
            assert!(check_one(name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn lines_of_one_name_stay_in_order_whatever_its_case() {
        let given = [("Link", "<a>"), ("x-a", "1"), ("link", "<b>"), ("LINK", "<a>")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let headers = check(given, 0, &Settings::default().limits).unwrap();
        let sent: Vec<_> = fields(&headers).collect();
        let sent: Vec<_> = sent.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(sent, [("link", "<a>"), ("link", "<b>"), ("link", "<a>"), ("x-a", "1")]);
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        let limits = Settings::default().limits;
        let fields_max = usize::from(limits.max_page_headers);
        let many = |n: usize| (0..n).map(|i| (format!("x-{i}"), String::new())).collect();
        assert!(check(many(fields_max), 0, &limits).is_ok());
        assert!(check(many(fields_max + 1), 0, &limits).unwrap_err().contains("PERENNIAL_MAX_PAGE_HEADERS"));
        let long = |bytes: usize| vec![("x".to_owned(), "x".repeat(bytes - 1 - SEPARATORS_BYTES))];
        assert!(check(long(limits.max_page_header_bytes), 0, &limits).is_ok());
        for (bytes, other) in
            [(limits.max_page_header_bytes + 1, 0), (3 << 20, 0), (limits.max_page_header_bytes, 1)]
        {
            let error = check(long(bytes), other, &limits).unwrap_err();
            assert!(error.contains("PERENNIAL_MAX_PAGE_HEADER_BYTES"), "{error}");
        }
    }

    #[test]
    fn answers_leave_out_forbidden_fields_that_earlier_versions_stored() {
        let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        let headers = Headers::from([one("x-topic", "café"), one("cdn-cache-control", "x"), one("x-a", "1")]);
        let sent: Vec<_> = fields(&headers).map(|(name, _)| name.to_string()).collect();
        assert_eq!(sent, ["x-a"]);
        assert!(stored_field_error(&headers).unwrap().contains("cdn-cache-control"));
        assert_eq!(stored_field_error(&Headers::from([one("x-a", "1")])), None);
    }

    #[test]
    fn the_data_json_carries_no_field_that_describes_the_html() {
        let one = |name: &str| (name.to_owned(), vec!["x".to_owned()]);
        let headers =
            Headers::from([one("content-type"), one("content-disposition"), one("link"), one("x-a")]);
        let sent: Vec<_> = data_fields(&headers).map(|(name, _)| name.to_string()).collect();
        assert_eq!(sent, ["link", "x-a"]);
        assert_eq!(fields(&headers).count(), 4);
    }
}
