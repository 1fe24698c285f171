//! Orders to the shared cache, gathered: one is under way at a time, and what is asked for meanwhile is the next.
//!
//! A burst of calls for one page, or one call for many, is then an order or two instead of one each, and nobody waits
//! for a timer: the first order goes out at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::edge::{Edge, Purged};
use crate::engine::Engine;
use crate::store::Stores;

/// What became of an order; the error says what to do.
pub(crate) type Told = Result<Purged, Arc<str>>;

/// Orders that have not begun, oldest first.
#[derive(Default)]
pub(crate) struct Purges {
    waiting: Mutex<VecDeque<Order>>,
    /// Held while one is under way.
    sending: tokio::sync::Mutex<()>,
}

struct Order {
    tags: BTreeSet<String>,
    tell: watch::Sender<Option<Told>>,
}

impl Purges {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Order>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Stores> Engine<S> {
    /// Has the shared cache forget what carries these tags, and returns once it has accepted an order that was sent
    /// after this call came. The order goes out even if nobody waits for it any more.
    pub(crate) async fn purge(self: &Arc<Self>, tags: &[String]) -> Told {
        let mut told = {
            let mut waiting = self.purges.waiting();
            let most = self.stores.edge().items_max();
            match waiting.back_mut().filter(|order| order.tags.len() + tags.len() <= most) {
                Some(order) => {
                    order.tags.extend(tags.iter().cloned());
                    order.tell.subscribe()
                }
                None => {
                    let (tell, told) = watch::channel(None);
                    let tags = tags.iter().cloned().collect();
                    waiting.push_back(Order { tags, tell });
                    let engine = self.clone();
                    self.tasks.spawn(async move { engine.send_next_order().await });
                    told
                }
            }
        };
        let answer = told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        answer.unwrap_or_else(|| Err("the order to the shared cache panicked".into()))
    }

    async fn send_next_order(&self) {
        let _sending = self.purges.sending.lock().await;
        let Some(Order { tags, tell }) = self.purges.waiting().pop_front() else { return };
        let tags: Vec<_> = tags.into_iter().collect();
        let told = self.stores.edge().purge(&tags).await.map_err(|e| e.to_string().into());
        tell.send_replace(Some(told));
    }
}
