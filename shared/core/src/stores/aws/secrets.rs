//! The secrets of the revalidate endpoint, from Secrets Manager or an SSM parameter.

use serde_json::{Value, json};

use crate::ports::error::StoreError;
use crate::stores::aws::account::{Account, read_parameter};

const ACTION: &str = "secretsmanager:GetSecretValue";

/// Reads the secrets from the Secrets Manager secret, or from the SSM parameter, with this ARN. A parameter's name
/// (`/site/secrets`) will do, too.
///
/// # Errors
/// The secret or parameter cannot be read, or holds no secrets. The message says what to do.
pub async fn read_secrets(id: &str, account: &Account) -> Result<Vec<String>, StoreError> {
    let text = if is_parameter(id) {
        read_parameter(account, id).await?
    } else {
        let what = format!("read the secret {id}");
        let asked = json!({ "SecretId": id }).to_string();
        secret_text(&account.caller.json(ACTION, "secretsmanager.GetSecretValue", &what, asked).await?)
    };
    text.as_deref().and_then(listed).ok_or_else(|| {
        StoreError::refused(format!(
            "{id} of PERENNIAL_REVALIDATE_SECRETS_FROM holds no secrets: give it a text of one or more, separated by single commas"
        ))
    })
}

/// Whether the id is that of an SSM parameter. By custom, names of parameters begin with a slash, and names in Secrets Manager
/// do not.
fn is_parameter(id: &str) -> bool {
    id.starts_with('/') || id.split(':').nth(2) == Some("ssm")
}

fn secret_text(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(answer.get("SecretString")?.as_str()?.to_owned())
}

/// The secrets in a text; `None` without any, or with an empty one, which anybody could guess.
fn listed(text: &str) -> Option<Vec<String>> {
    let secrets: Vec<_> = text.split(',').map(|secret| secret.trim().to_owned()).collect();
    (!secrets.iter().any(String::is_empty)).then_some(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_secret_opens_nothing() {
        let of = |answer: &[u8]| secret_text(answer).as_deref().and_then(listed);
        assert_eq!(of(br#"{"SecretString":"one, two\n"}"#).unwrap(), ["one", "two"]);
        for bad in [
            &br#"{"SecretString":""}"#[..],
            br#"{"SecretString":"a,,b"}"#,
            br#"{"SecretBinary":"YQ=="}"#,
            b"",
            b"{}",
        ] {
            assert_eq!(of(bad), None);
        }
    }

    #[test]
    fn where_secrets_are_shows_in_the_name() {
        assert!(
            is_parameter("arn:aws:ssm:eu-west-1:1:parameter/site/secrets") && is_parameter("/site/secrets")
        );
        assert!(!is_parameter("arn:aws:secretsmanager:eu-west-1:1:secret:ssm-x") && !is_parameter("site"));
    }
}
