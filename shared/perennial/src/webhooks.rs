//! What publishers' payloads say: who sent one. Pure.

/// Whose payload it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Who signs by <https://www.standardwebhooks.com>: Clerk, Resend, Supabase, and others through Svix.
    StandardWebhooks,
    /// GitHub.
    GitHub,
    /// Stripe.
    Stripe,
    /// Shopify.
    Shopify,
    /// Contentful.
    Contentful,
    /// Sanity.
    Sanity,
    /// Storyblok.
    Storyblok,
    /// Strapi.
    Strapi,
    /// Anybody else who has shown a secret.
    Secret,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::StandardWebhooks,
        Self::GitHub,
        Self::Stripe,
        Self::Shopify,
        Self::Contentful,
        Self::Sanity,
        Self::Storyblok,
        Self::Strapi,
        Self::Secret,
    ];

    /// Its name in rules, logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::GitHub => "github",
            Self::Stripe => "stripe",
            Self::Shopify => "shopify",
            Self::Contentful => "contentful",
            Self::Sanity => "sanity",
            Self::Storyblok => "storyblok",
            Self::Strapi => "strapi",
            Self::Secret => "secret",
        }
    }
}
