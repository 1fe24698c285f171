//! The secrets of the revalidate endpoint, from Secrets Manager.

use serde_json::{Value, json};

use super::Account;
use crate::store::StoreError;

const ACTION: &str = "secretsmanager:GetSecretValue";

/// The secrets in the secret of that ARN.
///
/// # Errors
/// It cannot be read, or holds none; and what to do.
pub async fn read_secrets(id: &str, account: &Account) -> Result<Vec<String>, StoreError> {
    let what = format!("read the secret {id}");
    let asked = json!({ "SecretId": id }).to_string();
    let answer = account.caller.json(ACTION, "secretsmanager.GetSecretValue", &what, asked).await?;
    listed(&answer).ok_or_else(|| {
        StoreError::Refused(format!(
            "the secret {id} of PERENNIAL_REVALIDATE_SECRETS_FROM holds no secrets: give it a text of one or more, separated by single commas"
        ))
    })
}

/// The secrets in an answer; `None` if there are none, or an empty one among them, with which anybody could call.
fn listed(answer: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = answer.get("SecretString")?.as_str()?;
    let secrets: Vec<_> = text.split(',').map(|secret| secret.trim().to_owned()).collect();
    (!secrets.iter().any(String::is_empty)).then_some(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_secret_opens_nothing() {
        assert_eq!(listed(br#"{"SecretString":"one, two\n"}"#).unwrap(), ["one", "two"]);
        for bad in [
            &br#"{"SecretString":""}"#[..],
            br#"{"SecretString":"a,,b"}"#,
            br#"{"SecretBinary":"YQ=="}"#,
            b"",
            b"{}",
        ] {
            assert_eq!(listed(bad), None);
        }
    }
}
