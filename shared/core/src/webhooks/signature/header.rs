//! Header fields that hold signatures. Pure.

use http::HeaderMap;

/// The value of a header field that the request has exactly once.
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Names and values of `t=1,v1=a`.
pub fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|pair| pair.trim().split_once('='))
}

/// The value of the first pair of that name.
pub fn pair<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    pairs(value).find(|(n, _)| *n == name).map(|(_, value)| value)
}
