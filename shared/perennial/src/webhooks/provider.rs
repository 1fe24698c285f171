//! Who publishes. Pure.

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
    /// Ghost.
    Ghost,
    /// WooCommerce.
    WooCommerce,
    /// Hygraph, once GraphCMS.
    Hygraph,
    /// Kontent.ai.
    KontentAi,
    /// Strapi.
    Strapi,
    /// Anybody else who has shown a secret.
    Secret,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::StandardWebhooks,
        Self::GitHub,
        Self::Stripe,
        Self::Shopify,
        Self::Contentful,
        Self::Sanity,
        Self::Storyblok,
        Self::Ghost,
        Self::WooCommerce,
        Self::Hygraph,
        Self::KontentAi,
        Self::Strapi,
        Self::Secret,
    ];

    /// Whether its deliveries carry a signature. Others show a secret.
    pub fn signs(self) -> bool {
        !matches!(self, Self::Strapi | Self::Secret)
    }

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
            Self::Ghost => "ghost",
            Self::WooCommerce => "woocommerce",
            Self::Hygraph => "hygraph",
            Self::KontentAi => "kontent-ai",
            Self::Strapi => "strapi",
            Self::Secret => "secret",
        }
    }
}
