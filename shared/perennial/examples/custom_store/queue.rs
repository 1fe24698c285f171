//! The queue: messages that are hidden while somebody works on them.

use std::time::Duration;

use perennial::Millis;
use perennial::parts::ports::error::StoreError;
use perennial::parts::ports::job::Job;
use perennial::parts::ports::queue::{Delivery, Queue};

use crate::{InMemory, Result};

/// A job, as it was sent.
pub(crate) struct Message {
    text: String,
    due: Millis,
    deliveries: u32,
}

/// How often a call that waits for a job looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl InMemory {
    fn take_due(&self, hidden: Duration) -> Option<Delivery> {
        let (mut shared, now) = (self.lock(), self.clock.now());
        let (number, message) = shared.jobs.iter_mut().find(|(_, message)| message.due <= now)?;
        (message.due, message.deliveries) = (now.plus(hidden), message.deliveries + 1);
        let (receipt, deliveries) = (number.to_string(), message.deliveries);
        Some(Delivery { message: message.text.clone(), receipt, deliveries })
    }
}

impl Queue for InMemory {
    async fn send(&self, job: &Job, delay: Duration) -> Result<()> {
        let message = Message { text: job.to_json(), due: self.clock.now().plus(delay), deliveries: 0 };
        let mut shared = self.lock();
        let number = shared.number();
        shared.jobs.insert(number, message);
        Ok(())
    }

    async fn take(&self, hidden: Duration, wait: Duration) -> Result<Option<Delivery>> {
        for _ in 0..wait.as_millis() / LOOK_EVERY.as_millis() {
            match self.take_due(hidden) {
                None => self.clock.sleep(LOOK_EVERY).await,
                taken => return Ok(taken),
            }
        }
        Ok(self.take_due(hidden))
    }

    async fn keep(&self, delivery: &Delivery, hidden: Duration) -> Result<()> {
        self.give_back(&delivery.receipt, hidden).await
    }

    async fn finish(&self, delivery: Delivery) -> Result<()> {
        self.lock().jobs.retain(|number, _| number.to_string() != delivery.receipt);
        Ok(())
    }

    async fn give_back(&self, receipt: &str, delay: Duration) -> Result<()> {
        let due = self.clock.now().plus(delay);
        let number = receipt.parse().map_err(|_| StoreError::refused("no receipt of this queue"))?;
        self.lock().jobs.get_mut(&number).into_iter().for_each(|message: &mut Message| message.due = due);
        Ok(())
    }
}
