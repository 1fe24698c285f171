//! Addresses inside the site, with its base path before them.

/// An internal path as it is written in a link: `/guides/x` under `/docs` is `/docs/guides/x`, `/` is `/docs`.
/// Anything that is not a path of this site stays as it is.
pub(crate) fn href(base: &str, to: &str) -> String {
    let internal = to.starts_with('/') && !to.starts_with("//");
    match to {
        "/" if !base.is_empty() => base.to_owned(),
        _ if internal => format!("{base}{to}"),
        _ => to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::href;

    #[test]
    fn internal_links_get_the_base_path() {
        assert_eq!(href("/docs", "/"), "/docs");
        assert_eq!(href("/docs", "/guides/a#b"), "/docs/guides/a#b");
        assert_eq!(href("", "/"), "/");
        for outside in ["https://example.com/", "//example.com", "#part", "mailto:a@example.com"] {
            assert_eq!(href("/docs", outside), outside);
        }
    }
}
