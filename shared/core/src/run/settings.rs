//! Settings: read once at the start, from a lookup, and refused by name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::limits::Limits;
use crate::base::reader::Reader;
use crate::base::text::is_build_id;
use crate::cdn::cloudfront::settings::CloudFrontSettings;
use crate::stores::aws::settings::{AccountSettings, AwsSettings};

/// Every limit and choice of a deployment. Each field names the variable it is read from and its default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `BUILD_ID` (`dev-build`): which build's pages are shown and made. Letters, digits, `.`, `_`, `-`; at most 64.
    pub build_id: Arc<str>,
    /// `PERENNIAL_STORE` (`.perennial`): folder of the embedded store.
    pub store: PathBuf,
    /// `PERENNIAL_LISTEN` (`127.0.0.1:3000`): where the standalone server listens. Without it, `PORT` (none), which many
    /// platforms give: that port of all the machine's addresses.
    pub listen: SocketAddr,
    /// `PERENNIAL_BASE_PATH` (the site's own): the path before every page's, like `/docs`.
    pub base_path: Option<String>,
    /// `PERENNIAL_ORIGIN` (the site's own): the origin of absolute URLs, like `https://example.com`.
    pub origin: Option<String>,
    /// `PERENNIAL_TRAILING_SLASH` (the site's own): `true` or `false`.
    pub trailing_slash: Option<bool>,
    /// `PERENNIAL_REVALIDATE_SECRETS` (none): who may call the revalidate endpoint; comma-separated, all live.
    pub revalidate_secrets: Vec<String>,
    /// `PERENNIAL_REVALIDATE_SECRETS_FROM` (none): ARN of the Secrets Manager secret, or of the SSM parameter, that holds
    /// those secrets instead, all live, comma-separated.
    pub revalidate_secrets_from: Option<String>,
    /// `PERENNIAL_METRICS_TOKENS` (none): what may read the metrics, and nothing else; comma-separated, all live.
    pub metrics_tokens: Vec<String>,
    /// `PERENNIAL_WEBHOOKS` (the site's own): file of the rules that say which pages change with a publisher's payload.
    pub webhooks: Option<PathBuf>,
    /// The stores of an AWS account; none: the embedded store.
    pub aws: Option<AwsSettings>,
    /// The CloudFront distribution in front; none: no shared cache is told.
    pub cloudfront: Option<CloudFrontSettings>,
    /// Whether the process is a function of AWS Lambda itself, not of an emulator: `AWS_LAMBDA_INITIALIZATION_TYPE`
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>) is given.
    pub on_lambda: bool,
    /// Whether the process is a function, on AWS Lambda or in an emulator: `AWS_LAMBDA_RUNTIME_API` is given.
    pub is_function: bool,
    /// Limits.
    pub limits: Limits,
}

impl Default for Settings {
    /// What an empty environment gives.
    fn default() -> Self {
        Self::read(std::iter::empty()).expect("defaults are valid")
    }
}

/// Settings that cannot be used: every mistake, one a line.
#[derive(Debug, thiserror::Error)]
#[error("settings cannot be used:\n  {}", .0.join("\n  "))]
pub struct SettingsError(Vec<String>);

impl Settings {
    /// The AWS account that a part of them needs; none if none does.
    pub fn account(&self) -> Option<&AccountSettings> {
        let of_edge = self.cloudfront.as_ref().map(|edge| &edge.account);
        self.aws.as_ref().map(|aws| &aws.account).or(of_edge)
    }

    /// Reads the process's environment; the defaults stand in for variables that are unset.
    ///
    /// # Errors
    /// [`SettingsError`].
    #[allow(clippy::disallowed_methods, reason = "this is where settings are read, once")]
    pub fn from_env(defaults: &[(&str, &str)]) -> Result<Self, SettingsError> {
        let given: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .collect();
        let unset = defaults.iter().filter(|(name, _)| !given.iter().any(|(n, _)| n == name));
        let defaults: Vec<_> = unset.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self::read(given.into_iter().chain(defaults))
    }

    /// Reads settings from names and values. An empty value is none. Unknown names that begin with `PERENNIAL_` are errors, so that a
    /// misspelt setting does not silently mean its default; `PERENNIAL_SITE_…` names are the site's own.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn read(given: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let mut r = Reader::new(given.into_iter().collect());
        let build_id = r.text("BUILD_ID").unwrap_or_else(|| "dev-build".to_owned());
        if !is_build_id(&build_id) {
            r.errors.push(format!(
                "BUILD_ID is `{build_id}`: give 1 to 64 letters, digits, `.`, `_` or `-`, not beginning with `.`"
            ));
        }
        let store = PathBuf::from(r.text("PERENNIAL_STORE").unwrap_or_else(|| ".perennial".to_owned()));
        let listen = read_listen(&mut r);
        let base_path = r.text("PERENNIAL_BASE_PATH");
        let origin = r.text("PERENNIAL_ORIGIN");
        let trailing_slash = r.optional("PERENNIAL_TRAILING_SLASH");
        let secrets = r.text("PERENNIAL_REVALIDATE_SECRETS");
        let revalidate_secrets: Vec<_> =
            secrets.iter().flat_map(|s| s.split(',')).map(|s| s.trim().to_owned()).collect();
        if revalidate_secrets.iter().any(String::is_empty) {
            r.errors.push("PERENNIAL_REVALIDATE_SECRETS holds an empty secret: give them separated by single commas, or unset it".into());
        }
        let metrics_tokens = metrics_tokens(&mut r, &revalidate_secrets);
        let on_lambda = r.text("AWS_LAMBDA_INITIALIZATION_TYPE").is_some();
        let is_function = r.text("AWS_LAMBDA_RUNTIME_API").is_some();
        let revalidate_secrets_from = r.text("PERENNIAL_REVALIDATE_SECRETS_FROM");
        let webhooks = r.text("PERENNIAL_WEBHOOKS").map(PathBuf::from);
        let needed_by = AwsSettings::asked_by(&mut r).or_else(|| CloudFrontSettings::asked_by(&mut r));
        let account = AccountSettings::read(&mut r, needed_by);
        let aws = AwsSettings::read(&mut r, &account);
        let cloudfront = CloudFrontSettings::read(&mut r, &account, aws.is_some());
        let limits = Limits::read(&mut r);
        r.end().map_err(SettingsError)?;
        let build_id = build_id.into();
        Ok(Self {
            build_id,
            store,
            listen,
            base_path,
            origin,
            trailing_slash,
            revalidate_secrets,
            revalidate_secrets_from,
            metrics_tokens,
            webhooks,
            aws,
            cloudfront,
            on_lambda,
            is_function,
            limits,
        })
    }
}

fn read_listen(r: &mut Reader) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], 3000));
    if r.text("PERENNIAL_LISTEN").is_some() {
        return r.or("PERENNIAL_LISTEN", default);
    }
    r.optional("PORT").map_or(default, |port: u16| SocketAddr::from(([0, 0, 0, 0], port)))
}

/// The tokens of the metrics, none of which may be a publisher's secret.
fn metrics_tokens(r: &mut Reader, secrets: &[String]) -> Vec<String> {
    let given = r.text("PERENNIAL_METRICS_TOKENS");
    let tokens: Vec<_> = given.iter().flat_map(|t| t.split(',')).map(|t| t.trim().to_owned()).collect();
    if tokens.iter().any(String::is_empty) {
        r.errors.push("PERENNIAL_METRICS_TOKENS holds an empty token: give them separated by single commas, or unset it".into());
    }
    let is_token = |secret: &String| {
        tokens.iter().any(|token| secret == token || secret.ends_with(&format!(":{token}")))
    };
    if secrets.iter().any(is_token) {
        r.errors.push("PERENNIAL_METRICS_TOKENS holds a secret of PERENNIAL_REVALIDATE_SECRETS: give the metrics a token of their own, which opens nothing else".into());
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::cloudfront::settings::EdgePurge;

    fn read(given: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn only_a_function_that_is_told_to_streams() {
        let name = "PERENNIAL_STREAM_BODY_BYTES";
        let limit = |given: &[(&str, &str)]| read(given).unwrap().limits.stream_body_bytes;
        assert_eq!(limit(&[]), Some(1 << 20));
        assert_eq!(limit(&[(name, "off")]), None);
        let on_lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
        assert_eq!(limit(&[on_lambda]), None);
        assert_eq!(limit(&[on_lambda, (name, "")]), None);
        assert_eq!(limit(&[on_lambda, (name, "0")]), Some(0));
        let error = read(&[(name, "never")]).unwrap_err().to_string();
        assert!(
            error.contains(
                "PERENNIAL_STREAM_BODY_BYTES is `never`: it must be a whole number of bytes, or `off`"
            ),
            "{error}"
        );
    }

    #[test]
    fn every_mistake_is_named() {
        let error = read(&[
            ("PERENNIAL_LEASE_MS", "soon"),
            ("PERENNIAL_MAX_CONCURRENT_RENDERS", "0"),
            ("PERENNIAL_TRAILING_SLASH", "yes"),
            ("PERENNIAL_LISTEN", "localhost"),
            ("PERENNIAL_REVALIDATE_SECRETS", "a,,b,secret:t"),
            ("PERENNIAL_METRICS_TOKENS", "t,,u"),
            ("PERENNIAL_MEMORY_CASH_BYTES", "1"),
            ("PERENNIAL_SECRET", "s"),
            ("PERENNIAL_COLOUR", "green"),
            ("BUILD_ID", "../x"),
            ("PERENNIAL_TABLE", "t"),
            ("PERENNIAL_QUEUE_URL", "http://queue"),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("PERENNIAL_EDGE_PURGE", "some"),
            ("PERENNIAL_EDGE_WINDOW_MS", "65536"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "PERENNIAL_LEASE_MS is `soon`: it must be a whole number",
            "PERENNIAL_MAX_CONCURRENT_RENDERS is `0`",
            "PERENNIAL_TRAILING_SLASH is `yes`: it must be `true` or `false`",
            "PERENNIAL_LISTEN is `localhost`: it must be a port, or an IP address and a port, like 3000, ",
            "empty secret",
            "empty token",
            "PERENNIAL_METRICS_TOKENS holds a secret of",
            "PERENNIAL_MEMORY_CASH_BYTES is no setting; did you mean PERENNIAL_MEMORY_CACHE_BYTES?",
            "PERENNIAL_SECRET is no setting; did you mean PERENNIAL_REVALIDATE_SECRETS?",
            "PERENNIAL_COLOUR is no setting; the guide on settings lists all",
            "BUILD_ID is `../x`",
            "PERENNIAL_BUCKET and PERENNIAL_TABLE are given together",
            "AWS_REGION is not set",
            "AWS_SECRET_ACCESS_KEY is not set",
            "PERENNIAL_EDGE_PURGE is `some`: it must be `tags`, `paths` or `off`",
            "PERENNIAL_EDGE_WINDOW_MS is `65536`: it must be a whole number, at most 65535",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn what_is_given_is_used() {
        let settings = read(&[
            ("PERENNIAL_REVALIDATE_SECRETS", "one, two"),
            ("PERENNIAL_MEMORY_CACHE_BYTES", "0"),
            ("PERENNIAL_SITE_ANYTHING", "x"),
            ("PERENNIAL_TRAILING_SLASH", ""),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(settings.revalidate_secrets, ["one", "two"]);
        assert_eq!(settings.limits.memory_cache_bytes, 0);
        assert_eq!(&*settings.build_id, "dev-build");
        assert!(settings.aws.is_none());
    }

    #[test]
    fn a_platforms_port_counts_where_no_address_is_given() {
        let listen = |given: &[(&str, &str)]| read(given).map(|settings| settings.listen.to_string());
        assert_eq!(listen(&[]).unwrap(), "127.0.0.1:3000");
        assert_eq!(listen(&[("PORT", "8080")]).unwrap(), "0.0.0.0:8080");
        let both = [("PORT", "8080"), ("PERENNIAL_LISTEN", "localhost:3001")];
        assert_eq!(listen(&both).unwrap(), "127.0.0.1:3001");
        let error = listen(&[("PORT", "web")]).unwrap_err().to_string();
        assert!(error.contains("PORT is `web`: it must be a whole number"), "{error}");
    }

    #[test]
    fn the_stores_on_aws_are_given_together_and_their_keys_are_not_shown() {
        let settings = read(&[
            ("PERENNIAL_TABLE", "pages"),
            ("PERENNIAL_BUCKET", "bodies"),
            ("PERENNIAL_QUEUE_URL", "https://sqs.example/1/jobs"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hidden-key"),
            ("AWS_SESSION_TOKEN", "hidden-token"),
        ])
        .unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("AKID") && !shown.contains("hidden"), "{shown}");
        let (aws, edge) = (settings.aws.unwrap(), settings.cloudfront.unwrap());
        assert_eq!((&*aws.table, &*aws.account.region), ("pages", "eu-west-1"));
        assert_eq!((edge.purge, edge.max_purges, edge.distribution), (EdgePurge::Tags, 100, None));
    }

    #[test]
    fn a_distribution_needs_an_account_and_no_stores_in_it() {
        let keys = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        for name in ["PERENNIAL_DISTRIBUTION", "PERENNIAL_DISTRIBUTION_FROM"] {
            let error = read(&[(name, "E1")]).unwrap_err().to_string();
            assert!(error.contains(&format!("AWS_REGION is not set, and {name} is")), "{error}");
            let settings = read(&[&[(name, "E1")][..], &keys].concat()).unwrap();
            assert!(settings.aws.is_none() && settings.cloudfront.is_some(), "{name}");
            let off = read(&[(name, "E1"), ("PERENNIAL_EDGE_PURGE", "off")]).unwrap();
            assert!(off.cloudfront.is_none(), "nobody is told");
        }
        assert!(read(&keys).unwrap().cloudfront.is_none());
    }
}
