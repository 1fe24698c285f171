//! The publishers' live secrets. Secrets in a secret store are read again every five minutes, so that they can be rotated
//! without a restart. `named` tells the use of each secret.

pub mod purpose;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::base::clock::Millis;
use crate::ports::error::StoreError;

/// How long secrets from a secret store are used before they are read again. Until then a new secret is refused and a removed
/// one accepted: keep both live for this long when you rotate a secret.
const KEPT: Duration = Duration::from_secs(300);

/// How long the last known secrets are used after a failed read, before the next try.
const RETRY: Duration = Duration::from_secs(10);

/// A read of the secrets that is under way.
pub type Reading = Pin<Box<dyn Future<Output = Result<Vec<String>, StoreError>> + Send>>;

/// Reads the secrets from a secret store.
pub type ReadSecrets = Box<dyn Fn() -> Reading + Send + Sync>;

/// A value made of the live secrets, for example a verifier; made anew whenever the secrets change.
pub struct LiveSecrets<T> {
    made: Mutex<Option<Made<T>>>,
    /// `None`: the secrets come from the settings and never change.
    read: Option<ReadSecrets>,
    make: fn(&[String]) -> Result<T, String>,
}

struct Made<T> {
    until: Millis,
    secrets: Vec<String>,
    value: Arc<T>,
}

impl<T> LiveSecrets<T> {
    /// From secrets in the settings.
    ///
    /// # Errors
    /// The message of `make`, which refused the secrets.
    pub fn given(secrets: Vec<String>, make: fn(&[String]) -> Result<T, String>) -> Result<Self, String> {
        let value = Arc::new(make(&secrets)?);
        let made = Made { until: Millis(u64::MAX), secrets, value };
        Ok(Self { made: Mutex::new(Some(made)), read: None, make })
    }

    /// From secrets in a secret store. The first [`LiveSecrets::get`] reads them.
    pub fn kept_elsewhere(read: ReadSecrets, make: fn(&[String]) -> Result<T, String>) -> Self {
        Self { made: Mutex::new(None), read: Some(read), make }
    }

    /// The value made of the secrets that are live at `now`. Simultaneous callers share one read. A failed read is logged, and
    /// the last known value stays.
    ///
    /// # Errors
    /// The first read failed, or `make` refused the first secrets.
    pub async fn get(&self, now: Millis) -> Result<Arc<T>, StoreError> {
        let mut made = self.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| now < made.until) {
            return Ok(made.value.clone());
        }
        let Some(read) = &self.read else {
            return Err(StoreError::refused("the clock shows the end of time"));
        };
        let fresh =
            read().await.and_then(|secrets| match made.as_ref().filter(|old| old.secrets == secrets) {
                Some(old) => Ok((old.value.clone(), secrets)),
                None => {
                    let value = (self.make)(&secrets).map_err(StoreError::refused)?;
                    Ok((Arc::new(value), secrets))
                }
            });
        match (fresh, made.as_mut()) {
            (Ok((value, secrets)), _) => {
                *made = Some(Made { until: now.plus(KEPT), secrets, value: value.clone() });
                Ok(value)
            }
            (Err(error), Some(old)) => {
                tracing::error!(
                    "the secrets cannot be read again; the last known secrets stay live: {error}"
                );
                old.until = now.plus(RETRY);
                Ok(old.value.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;

    use super::*;

    type Answer = Result<Vec<String>, StoreError>;

    fn secret_store(answers: Vec<Answer>) -> (Arc<Lock<Vec<Answer>>>, LiveSecrets<String>) {
        let left = Arc::new(Lock::new(answers));
        let answers = left.clone();
        let read: ReadSecrets = Box::new(move || {
            let answer = answers.lock().unwrap().remove(0);
            Box::pin(async move { answer })
        });
        (left, LiveSecrets::kept_elsewhere(read, |secrets| Ok(secrets.join("+"))))
    }

    fn secrets(names: &[&str]) -> Answer {
        Ok(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[tokio::test]
    async fn a_changed_secret_is_live_within_five_minutes_and_a_failed_reading_changes_nothing() {
        let down = || Err(StoreError::refused("down"));
        let (left, live) =
            secret_store(vec![down(), secrets(&["a"]), secrets(&["a", "b"]), down(), secrets(&["b"])]);
        assert!(live.get(Millis(0)).await.is_err());
        for (at_s, expected, left_then) in
            [(1, "a", 3), (300, "a", 3), (301, "a+b", 2), (601, "a+b", 1), (610, "a+b", 1), (611, "b", 0)]
        {
            assert_eq!(*live.get(Millis(at_s * 1000)).await.unwrap(), expected, "after {at_s} s");
            assert_eq!(left.lock().unwrap().len(), left_then, "after {at_s} s");
        }
    }

    #[tokio::test]
    async fn given_secrets_stay() {
        let live = LiveSecrets::given(vec!["a".into()], |secrets| Ok(secrets.len())).unwrap();
        assert_eq!(*live.get(Millis(1 << 50)).await.unwrap(), 1);
        assert!(LiveSecrets::<()>::given(vec![], |_| Err("none".into())).is_err());
    }
}
