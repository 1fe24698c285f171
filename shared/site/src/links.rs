//! Links inside the site, under its base path.

/// The `href` of an internal path: under the base path `/docs`, `/guides/x` is `/docs/guides/x` and `/` is `/docs`. Any other
/// address stays unchanged.
pub(crate) fn href(base: &str, to: &str) -> String {
    let is_internal = to.starts_with('/') && !to.starts_with("//");
    match to {
        "/" if !base.is_empty() => base.to_owned(),
        _ if is_internal => format!("{base}{to}"),
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
