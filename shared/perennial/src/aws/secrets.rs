//! The secrets of the revalidate endpoint, from Secrets Manager.

use serde_json::{Value, json};

use super::Account;
use crate::settings::Settings;
use crate::store::StoreError;

const ACTION: &str = "secretsmanager:GetSecretValue";

/// The secrets that are live: those of the settings, or else those of the secret that the settings name. There is no
/// store here that only the owner can read, so the settings must give the one or the other.
///
/// # Errors
/// There is none, or it cannot be read; and what to do.
pub async fn live_secrets(settings: &Settings, account: &Account) -> Result<Vec<String>, StoreError> {
    if !settings.revalidate_secrets.is_empty() {
        return Ok(settings.revalidate_secrets.clone());
    }
    let Some(id) = &settings.revalidate_secrets_from else {
        return Err(StoreError::Refused(
            "nobody may call the revalidate endpoint yet: set PERENNIAL_REVALIDATE_SECRETS_FROM to the ARN of a Secrets Manager secret, or PERENNIAL_REVALIDATE_SECRETS to one or more secrets, separated by commas".into(),
        ));
    };
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
