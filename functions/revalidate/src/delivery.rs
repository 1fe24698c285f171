//! An authenticated request, and the part of it that its sender must have written. Pure.

use std::time::Duration;

use http::HeaderMap;
use perennial_core::ports::journal::DELIVERY_KEPT;
use perennial_core::record::publish_request::{Fingerprint, Publisher};
use perennial_core::webhooks::provider::Provider;
use perennial_core::webhooks::providers;
use perennial_core::webhooks::verify::{SignedText, Verified};

/// How long a delivery that is signed without a time is recognised by its body, whatever its id. Bodies of GitHub and Shopify
/// hold times and numbers. A sender who signs like them may send the same body for its next publish: to lose that publish
/// would be worse than to carry one out twice. Deliveries of a publisher whose bodies may be equal at two events are never
/// recognised.
pub const SAME_BODY_KEPT: Duration = Duration::from_secs(5 * 60);

/// An authenticated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The sender.
    pub provider: &'static Provider,
    /// The delivery's id: [`Verified::id`].
    pub id: Option<String>,
    /// Tells the delivery from others, whatever its id; `None` for a call with a secret, and for a provider whose deliveries
    /// may agree in all that is signed.
    pub fingerprint: Option<Fingerprint>,
    /// The secret: [`perennial_core::webhooks::secret::key_id`] of it.
    pub key_id: String,
    /// The part of the request that only the sender can have written.
    pub authenticated: Authenticated,
}

/// The part of a request that only its sender can have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authenticated {
    /// All of the request: it came with a secret.
    Request,
    /// The body and these header fields: the request came with a signature, and an attacker who has seen the delivery may
    /// have sent it again with other fields.
    Body(Vec<String>),
}

impl Delivery {
    /// A call with a secret.
    pub fn with_secret(headers: &HeaderMap, key_id: impl Into<String>) -> Self {
        let provider = providers::of_request(headers);
        let key_id = key_id.into();
        Self { provider, id: None, fingerprint: None, key_id, authenticated: Authenticated::Request }
    }

    /// A delivery with these header fields, if its signature were right: for a dry run.
    pub fn unverified(headers: &HeaderMap) -> Self {
        let authenticated = match providers::is_signed(headers) {
            true => Authenticated::Body(providers::listed_fields(headers)),
            false => Authenticated::Request,
        };
        Self { authenticated, ..Self::with_secret(headers, "") }
    }

    /// Whether a signature lets the delivery in, and not a secret that it shows.
    pub fn is_signed(&self) -> bool {
        self.authenticated != Authenticated::Request
    }

    /// The publisher, as the journal has it. A header field that is not signed does not say whose a call with a secret is.
    pub fn publisher(&self) -> Publisher {
        Publisher {
            key_id: self.key_id.clone(),
            provider: self.is_signed().then(|| self.provider.name.to_owned()),
            delivery_id: self.id.clone(),
        }
    }
}

impl From<Verified> for Delivery {
    fn from(verified: Verified) -> Self {
        let Verified { provider, id, signed, key_id, signed_fields } = verified;
        let fingerprint = signed.map(|SignedText { digest, has_time }| {
            let kept = if has_time { DELIVERY_KEPT } else { SAME_BODY_KEPT };
            Fingerprint { digest, kept }
        });
        Self { provider, id, fingerprint, key_id, authenticated: Authenticated::Body(signed_fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as its signature may be right, and longer, a delivery with a signed time is known.
    #[test]
    fn a_delivery_is_known_for_longer_than_its_time_counts() {
        let tolerances = providers::schemes().filter_map(|(_, scheme)| Some(scheme.time.as_ref()?.tolerance));
        assert!(tolerances.map(|tolerance| tolerance * 2).all(|counts| counts < DELIVERY_KEPT));
        // The guide on security says "after five minutes".
        assert_eq!(SAME_BODY_KEPT, Duration::from_secs(5 * 60));
    }
}
