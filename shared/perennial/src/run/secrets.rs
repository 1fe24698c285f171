//! The publishers' secrets: what each is for, and which are live. They are read again now and then, so that one can be
//! changed without a restart.

pub mod purpose;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::base::clock::Millis;
use crate::ports::error::StoreError;

/// Secrets that are kept elsewhere are read again after this long. Until then one that was added is refused, and one
/// that was taken away is accepted: have both live for as long when you change them.
const KEPT: Duration = Duration::from_secs(300);

/// After a reading that failed, what is known is used for this long before another is tried.
const RETRY: Duration = Duration::from_secs(10);

/// Secrets that are being read.
pub type Reading = Pin<Box<dyn Future<Output = Result<Vec<String>, StoreError>> + Send>>;

/// Where secrets are read from.
pub type ReadSecrets = Box<dyn Fn() -> Reading + Send + Sync>;

/// What is made of the live secrets, for whoever checks something against them.
pub struct LiveSecrets<T> {
    made: Mutex<Option<Made<T>>>,
    /// Nowhere: they are what they were at the start.
    read: Option<ReadSecrets>,
    make: fn(&[String]) -> Result<T, String>,
}

struct Made<T> {
    until: Millis,
    of: Vec<String>,
    it: Arc<T>,
}

impl<T> LiveSecrets<T> {
    /// Of secrets that the settings give.
    ///
    /// # Errors
    /// Nothing can be made of them, and why.
    pub fn given(secrets: Vec<String>, make: fn(&[String]) -> Result<T, String>) -> Result<Self, String> {
        let it = Arc::new(make(&secrets)?);
        let made = Made { until: Millis(u64::MAX), of: secrets, it };
        Ok(Self { made: Mutex::new(Some(made)), read: None, make })
    }

    /// Of secrets that are kept elsewhere, and read when they are first needed.
    pub fn kept_elsewhere(read: ReadSecrets, make: fn(&[String]) -> Result<T, String>) -> Self {
        Self { made: Mutex::new(None), read: Some(read), make }
    }

    /// What is made of the secrets that are live now. Those who come while they are read wait for the one reading.
    ///
    /// # Errors
    /// They have never been read, and cannot be; or nothing can be made of them.
    pub async fn get(&self, now: Millis) -> Result<Arc<T>, StoreError> {
        let mut made = self.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| now < made.until) {
            return Ok(made.it.clone());
        }
        let Some(read) = &self.read else {
            return Err(StoreError::Refused("the clock is beyond all time".into()));
        };
        let fresh = read().await.and_then(|secrets| match made.as_ref().filter(|old| old.of == secrets) {
            Some(old) => Ok((old.it.clone(), secrets)),
            None => {
                let it = (self.make)(&secrets).map_err(StoreError::Refused)?;
                Ok((Arc::new(it), secrets))
            }
        });
        match (fresh, made.as_mut()) {
            (Ok((it, of)), _) => {
                *made = Some(Made { until: now.plus(KEPT), of, it: it.clone() });
                Ok(it)
            }
            (Err(error), Some(old)) => {
                tracing::error!("the secrets cannot be read again; those known so far stay live: {error}");
                old.until = now.plus(RETRY);
                Ok(old.it.clone())
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

    fn elsewhere(answers: Vec<Answer>) -> (Arc<Lock<Vec<Answer>>>, LiveSecrets<String>) {
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
        let down = || Err(StoreError::Refused("down".into()));
        let (left, live) =
            elsewhere(vec![down(), secrets(&["a"]), secrets(&["a", "b"]), down(), secrets(&["b"])]);
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
