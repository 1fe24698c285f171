//! The publishers that Perennial knows: one file and one folder each, and one row of the table `PROVIDERS`.
//!
//! # Add a webhook provider
//!
//! Everything about `acme` is in `providers/`, and no file elsewhere names it:
//!
//! | file | holds | needed |
//! |---|---|---|
//! | `acme.rs` | a [`Provider`]: its name, its header field, how it signs, and where it says so | if a header field tells its deliveries |
//! | `acme/payload.json` | a delivery as the publisher documents it, with its source; further ones are `acme/payload_deleted.json` and so on | always |
//! | `acme/rules.json` | rules for that delivery, on the pages of the conformance site | always |
//! | `acme/guide.md` | its section of the guide on webhooks: the steps, and a rule | always |
//! | `acme/signed.json` | deliveries that the publisher's own code has signed | if it signs |
//! | `acme/key.md` | its rows in the table of keys of the guide on security | if it signs |
//!
//! 1. Write the folder; `github/` is a plain example, `contentful.rs` one that signs a form of its own.
//! 2. Declare the file below, and give it a row in `PROVIDERS`.
//! 3. Run `tests/tools/guides`: it puts the folder's text into the guides.
//! 4. Run `tests/run unit`. Its tests go over every row and folder: deliveries verify, a changed byte makes them wrong, no
//!    delivery verifies as another provider's, rules fit the documented payload, and the guides are complete.
//!    `tests/run conformance` sends the documented payload to a site; a second implementation of the signature there
//!    (`webhooks.rs`) is welcome, and not needed.
//!
//! A publisher without a header field of its own, like WordPress, has a folder alone: its deliveries show a secret, and rules
//! recognise its payload by a member.

pub mod contentful;
pub mod ghost;
pub mod github;
pub mod hygraph;
pub mod kontent_ai;
pub mod other;
pub mod sanity;
pub mod shopify;
pub mod standard_webhooks;
pub mod storyblok;
pub mod strapi;
pub mod stripe;
pub mod woocommerce;

use http::HeaderMap;

use crate::webhooks::provider::Provider;
use crate::webhooks::signature::scheme::Scheme;

/// Every provider, in the order in which messages list them.
static PROVIDERS: &[&Provider] = &[
    &standard_webhooks::PROVIDER,
    &github::PROVIDER,
    &stripe::PROVIDER,
    &shopify::PROVIDER,
    &contentful::PROVIDER,
    &sanity::PROVIDER,
    &storyblok::PROVIDER,
    &ghost::PROVIDER,
    &woocommerce::PROVIDER,
    &hygraph::PROVIDER,
    &kontent_ai::PROVIDER,
    &strapi::PROVIDER,
    &other::PROVIDER,
];

/// Every provider, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Provider> + Clone {
    PROVIDERS.iter().copied()
}

/// The provider of that name.
pub fn by_name(name: &str) -> Option<&'static Provider> {
    all().find(|provider| provider.name == name)
}

/// Every way to sign, with its provider.
pub fn schemes() -> impl Iterator<Item = (&'static Provider, &'static Scheme)> {
    all().flat_map(|provider| provider.schemes.iter().map(move |scheme| (provider, scheme)))
}

/// Whether a request is signed, rightly or not.
pub fn is_signed(headers: &HeaderMap) -> bool {
    schemes().any(|(_, scheme)| scheme.is_used_by(headers))
}

/// The sender of a request, as its header fields tell: [`other::PROVIDER`] if none does.
pub fn of_request(headers: &HeaderMap) -> &'static Provider {
    let signer = schemes().find(|(_, scheme)| scheme.is_used_by(headers)).map(|(provider, _)| provider);
    let by_header = || {
        let has_header = |name: &str| headers.contains_key(name);
        all().find(|provider| provider.header.is_some_and(has_header))
    };
    signer.or_else(by_header).unwrap_or(&other::PROVIDER)
}

/// The header fields that a request claims to be signed, beside the body.
pub fn listed_fields(headers: &HeaderMap) -> Vec<String> {
    schemes().flat_map(|(_, scheme)| scheme.listed_fields(headers)).collect()
}

#[cfg(test)]
mod folders;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::run::secrets::purpose::Purpose;
    use crate::webhooks::signature::scheme::DeliveryId;

    const WEBHOOKS: &str = include_str!("../../../site/content/guides/webhooks.md");
    const SECURITY: &str = include_str!("../../../site/content/guides/security.md");

    /// A provider is known by its header field, signed or not, and the guide's table for dry runs lists that field.
    #[test]
    fn a_header_field_names_the_sender() {
        let of = |name: &str| {
            let name: HeaderName = name.parse().unwrap();
            of_request(&HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]))
        };
        let (_, table) = WEBHOOKS.split_once("| provider | field |\n|---|---|\n").unwrap();
        let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
        for provider in all() {
            for scheme in provider.schemes.iter().filter(|scheme| scheme.companion.is_none()) {
                assert_eq!(of(scheme.header), provider);
            }
            let Some(header) = provider.header else { continue };
            assert_eq!(of(header), provider);
            let row = format!("| `{}` | `{header}` |", provider.name);
            assert!(rows.contains(&&*row), "the guide on webhooks has no row {row}");
        }
        assert_eq!(of("accept"), &other::PROVIDER);
        assert_eq!(rows.len(), PROVIDERS.len() - 1);
    }

    /// The table of keys in the guide on security has a row for each, and says how long a signature counts.
    #[test]
    fn the_guide_on_security_has_every_key() {
        let (_, keys) = SECURITY.split_once("## Keys").unwrap();
        let (keys, _) = keys.split_once("\n## ").unwrap();
        let rows: Vec<&str> = keys.lines().filter(|line| line.starts_with("| ")).collect();
        let row = |parts: &[String]| rows.iter().find(|row| parts.iter().all(|part| row.contains(&**part)));
        for purpose in Purpose::ALL {
            assert!(row(&[format!("label `{}`", purpose.label())]).is_some(), "{purpose:?}");
        }
        for (provider, scheme) in schemes() {
            let lasts = match &scheme.time {
                Some(time) => format!("| {} minutes |", time.tolerance.as_secs() / 60),
                None => "| ever |".to_owned(),
            };
            let parts = [format!("`{}`", scheme.header), format!("`{}:`", provider.name), lasts];
            let row = row(&parts).unwrap_or_else(|| panic!("no row with {parts:?}"));
            let is_known_by_body = scheme.time.is_none() && !matches!(scheme.id, DeliveryId::None);
            assert_eq!(row.contains("after five minutes"), is_known_by_body, "{row}");
        }
    }
}
