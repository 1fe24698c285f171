//! The header fields that a page may carry. What is accepted here, every answer can carry: the standalone server's, a
//! function's whole one and its stream. Pure.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::base::limits::Limits;

/// Header fields by name, in lower case: the values of one name in the order in which the page gave them, which is all
/// of their order that counts (RFC 9110 section 5.3).
pub type Headers = BTreeMap<String, Vec<String>>;

/// What a field takes besides its name and value: `: ` and the line's end.
const SEPARATORS_BYTES: usize = 4;

/// Names that are not a page's to set, and what to do instead.
struct Kind {
    is: &'static [&'static str],
    begins: &'static [&'static str],
    holds: &'static [&'static str],
    cure: &'static str,
}

/// The first kind that a name is of counts.
const KINDS: &[Kind] = &[
    Kind {
        is: &["surrogate-key", "surrogate-keys", "xkey", "x-xkey", "cdn-tag", "x-litespeed-tag"],
        begins: &[],
        holds: &["cache-tag", "cache-group"],
        cure: "give the names that the page is invalidated by with `Outcome::tag`; the shared cache is told of them",
    },
    // Shared caches that follow one of these ignore `Cache-Control`: a stale answer would stay with them for as long as
    // a fresh one (RFC 9213 for `…-cache-control`, the caches' own manuals for the others).
    Kind {
        is: &["expires", "pragma", "age", "warning", "x-reverse-proxy-ttl"],
        begins: &["surrogate-", "edge-", "cdn-"],
        holds: &["cache-control"],
        cure: "say how long the page lasts with `Outcome::revalidate` or `Outcome::expires_at`; caches are told by that",
    },
    Kind {
        is: &["vary", "netlify-vary"],
        begins: &[],
        holds: &[],
        cure: "a page is the same for everybody; declare what it depends on with `Route::query`",
    },
    Kind {
        is: &["location"],
        begins: &[],
        holds: &[],
        cure: "send visitors elsewhere with `Outcome::redirect`",
    },
    Kind {
        is: &["cookie", "authorization", "authentication-info", "www-authenticate"],
        begins: &["set-cookie", "proxy-auth", "sec-"],
        holds: &[],
        cure: "leave it out: it is for one visitor, and a stored page is for everybody",
    },
    Kind {
        is: &[],
        begins: &[
            "x-accel-",
            "x-sendfile",
            "x-lighttpd-",
            "x-litespeed-",
            "x-reproxy-",
            "x-envoy-",
            "x-cache",
        ],
        holds: &[],
        cure: "leave it out: a server in front would follow it, or replace it",
    },
    // RFC 9110 section 7.6.1, and what RFC 9113 section 8.2.2 adds.
    Kind {
        is: &[
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "host",
        ],
        begins: &["proxy-"],
        holds: &[],
        cure: "leave it out: it belongs to one connection",
    },
    // Function URLs rename `server` and what begins with `x-amzn-`; CloudFront writes `via` and keeps the others for itself:
    // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
    Kind {
        is: &["server", "via", "x-real-ip"],
        begins: &["x-amz", "x-edge-", "x-perennial-"],
        holds: &[],
        cure: "leave it out or give it another name: this one is taken by Perennial or by AWS",
    },
    Kind {
        is: &[
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
        begins: &[],
        holds: &[],
        cure: "leave it out: Perennial answers for it",
    },
];

/// Fields that describe the HTML, not the data JSON beside it (RFC 9110 section 8).
const OF_HTML_ALONE: [&str; 3] = ["content-type", "content-disposition", "content-location"];

impl Kind {
    fn has(&self, name: &str) -> bool {
        self.is.contains(&name)
            || self.begins.iter().any(|part| name.starts_with(part))
            || self.holds.iter().any(|part| name.contains(part))
    }
}

/// Judges one field, its name in lower case.
fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = |what: String| format!("the page sets the header `{}`: {what}", name.escape_debug());
    let Ok(parsed) = HeaderName::try_from(name) else {
        let cure = "a name is made of letters, digits and `-` (RFC 9110 section 5.1)";
        return Err(wrong(format!("HTTP does not allow this name; {cure}")));
    };
    if let Some(kind) = KINDS.iter().find(|kind| kind.has(name)) {
        return Err(wrong(kind.cure.to_owned()));
    }
    if let Some(c) = value.chars().find(|c| !c.is_ascii()) {
        let cure = "percent-encode it, or write the parameter as RFC 8187 has it (`title*=UTF-8''caf%C3%A9`)";
        return Err(wrong(format!("its value holds `{}`, which is not ASCII; {cure}", c.escape_debug())));
    }
    if let Some(c) = value.chars().find(|c| c.is_ascii_control() && *c != '\t') {
        return Err(wrong(format!(
            "its value holds the control character `{}`; take it out",
            c.escape_debug()
        )));
    }
    if value.trim_matches([' ', '\t']) != value {
        return Err(wrong("its value begins or ends with white space; trim it".into()));
    }
    HeaderValue::try_from(value)
        .map(|value| (parsed, value))
        .map_err(|_| wrong("HTTP does not allow its value; give visible ASCII".into()))
}

/// Judges the fields that a render gave. `other_bytes`: what else of the page stands in the head of its answers.
///
/// # Errors
/// Names the first field that no page may carry, or the limit that is passed, and says what to do.
pub(crate) fn check(
    given: Vec<(String, String)>,
    other_bytes: usize,
    limits: &Limits,
) -> Result<Headers, String> {
    let most = usize::from(limits.max_page_headers);
    if given.len() > most {
        return Err(format!(
            "the page sets {} header fields, the limit is {most} (PERENNIAL_MAX_PAGE_HEADERS)",
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
        field(&name, &value)?;
        headers.entry(name).or_default().push(value);
    }
    Ok(headers)
}

/// The fields of a stored page as its answers carry them. A field that no page may carry, which earlier versions have
/// stored, is left out.
pub fn fields(headers: &Headers) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    each(headers).filter_map(|(name, value)| field(name, value).ok())
}

/// The same for the data JSON: without what describes the HTML alone.
pub fn data_fields(headers: &Headers) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    fields(headers).filter(|(name, _)| !OF_HTML_ALONE.contains(&name.as_str()))
}

/// What is wrong with the first stored field that answers leave out.
pub(crate) fn left_out(headers: &Headers) -> Option<String> {
    each(headers).find_map(|(name, value)| field(name, value).err())
}

fn each(headers: &Headers) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_str())))
}

/// The stored form of [`Headers`]: a value, or a list of values where a name has several.
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
    enum Written<'a> {
        One(&'a str),
        Many(&'a [String]),
    }

    pub(crate) fn serialize<S: Serializer>(headers: &Headers, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(headers.iter().map(|(name, values)| match &values[..] {
            [value] => (name, Written::One(value)),
            values => (name, Written::Many(values)),
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

    fn judged(name: &str, value: &str) -> Result<Headers, String> {
        check(vec![(name.to_owned(), value.to_owned())], 0, &Settings::default().limits)
    }

    #[test]
    fn values_are_visible_ascii_with_white_space_inside() {
        for value in ["", "a", "a b\tc", "default-src 'self'; img-src *", "!\"#~"] {
            assert_eq!(judged("X-Topic", value).unwrap()["x-topic"], [value]);
        }
        for (value, cure) in [
            ("café", "RFC 8187"),
            ("новости", "percent-encode"),
            ("a\u{a0}b", "percent-encode"),
            ("a\r\nset-cookie: b=c", "take it out"),
            ("a\0", "take it out"),
            ("a\u{7f}", "take it out"),
            (" a", "trim it"),
            ("a\t", "trim it"),
        ] {
            let error = judged("x-topic", value).unwrap_err();
            assert!(error.contains("`x-topic`") && error.contains(cure), "{error}");
        }
        for name in ["", "bad name", ":status", "a:b", "é", "a\r\nb"] {
            assert!(judged(name, "x").unwrap_err().contains("this name"), "{name}");
        }
    }

    #[test]
    fn names_that_undo_what_answers_say_are_refused_by_kind() {
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
            ("Perennial answers for it", &["content-range", "etag", "content-digest", "status", "date"]),
        ];
        for (cure, names) in NAMES {
            for name in names {
                let error = judged(name, "x").unwrap_err();
                assert!(error.contains(&name.to_ascii_lowercase()) && error.contains(cure), "{error}");
            }
        }
        for name in ["connection", "Transfer-Encoding", "keep-alive", "proxy-connection", "te", "location"] {
            assert!(judged(name, "x").is_err(), "{name}");
        }
        for name in ["link", "content-type", "content-language", "x-robots-tag", "server-timing", "refresh"] {
            assert!(judged(name, "x").is_ok(), "{name}");
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
        let most = usize::from(limits.max_page_headers);
        let many = |n: usize| (0..n).map(|i| (format!("x-{i}"), String::new())).collect();
        assert!(check(many(most), 0, &limits).is_ok());
        assert!(check(many(most + 1), 0, &limits).unwrap_err().contains("PERENNIAL_MAX_PAGE_HEADERS"));
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
    fn what_earlier_versions_stored_is_answered_without_what_no_page_may_carry() {
        let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        let headers = Headers::from([one("x-topic", "café"), one("cdn-cache-control", "x"), one("x-a", "1")]);
        let sent: Vec<_> = fields(&headers).map(|(name, _)| name.to_string()).collect();
        assert_eq!(sent, ["x-a"]);
        assert!(left_out(&headers).unwrap().contains("cdn-cache-control"));
        assert_eq!(left_out(&Headers::from([one("x-a", "1")])), None);
    }

    #[test]
    fn the_data_json_is_not_described_as_html() {
        let one = |name: &str| (name.to_owned(), vec!["x".to_owned()]);
        let headers =
            Headers::from([one("content-type"), one("content-disposition"), one("link"), one("x-a")]);
        let sent: Vec<_> = data_fields(&headers).map(|(name, _)| name.to_string()).collect();
        assert_eq!(sent, ["link", "x-a"]);
        assert_eq!(fields(&headers).count(), 4);
    }
}
