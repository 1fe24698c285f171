//! The gate: whatever leaves a process parks here until the scheduler lets it through, or has it fail.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perennial::parts::ports::error::StoreError;
use tokio::sync::oneshot;

use crate::world::World;

/// A process, by its number.
pub(crate) type NodeId = usize;

/// A visitor, a publisher or a delivery, by its number.
pub(crate) type ActorId = usize;

tokio::task_local! {
    /// On whose behalf the task runs; not known in tasks that the product spawns.
    pub(crate) static ACTOR: ActorId;
}

/// A handle of the world, shared by all who live in it.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

impl Sim {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that leaves a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Read,
    Epochs,
    Begin,
    Resume,
    Prepare,
    Renew,
    Commit,
    Fail,
    Release,
    Invalidate,
    List,
    CountNotFound,
    Publish,
    PutBody,
    GetBody,
    RemoveBody,
    Send,
    Take,
    GiveBack,
    Purge,
    Journal,
    Fetch,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Carried out and answered.
    Go,
    /// Carried out now, answered later.
    Slow,
    /// Carried out twice, as if it had been repeated.
    Twice,
    /// Not carried out, and that is known.
    Refuse,
    /// Not carried out, which is not known.
    Vanish,
    /// Carried out, and its answer lost.
    Lose,
    /// A read that is carried out but for what is beside the record.
    Partly,
    /// Carried out by a process that dies meanwhile.
    Die,
}

impl Verdict {
    pub(crate) fn is_fault(self) -> bool {
        matches!(self, Verdict::Refuse | Verdict::Vanish | Verdict::Lose)
    }
}

/// A call at the gate.
pub(crate) struct Parked {
    pub(crate) node: NodeId,
    pub(crate) actor: Option<ActorId>,
    pub(crate) op: Op,
    /// What it is about: a page's key, a tag.
    pub(crate) about: Arc<str>,
    /// Carried out already, and on its way back.
    pub(crate) answering: bool,
    /// Since when.
    pub(crate) since: u64,
    pub(crate) open: oneshot::Sender<Verdict>,
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parked { node, op, about, .. } = self;
        let answer = if self.answering { " (its answer)" } else { "" };
        write!(f, "n{node} {op:?}{answer} {about}")?;
        self.actor.map_or(Ok(()), |actor| write!(f, " for #{actor}"))
    }
}

/// A process's way out of itself.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) sim: Sim,
    pub(crate) node: NodeId,
}

impl Link {
    /// Parks until the gate opens. Never, if the process is dead.
    async fn park(&self, op: Op, about: &Arc<str>, answering: bool) -> Verdict {
        let (open, opened) = oneshot::channel();
        let actor = ACTOR.try_with(|actor| *actor).ok();
        {
            let mut world = self.sim.lock();
            let (about, since) = (about.clone(), world.now);
            world.park(Parked { node: self.node, actor, op, about, answering, since, open });
        }
        match opened.await {
            Ok(verdict) => verdict,
            Err(_) => std::future::pending().await,
        }
    }

    /// A call: `run` is what it does when it is carried out.
    pub(crate) async fn call<T: Send>(
        &self,
        op: Op,
        about: impl Into<Arc<str>>,
        run: impl FnMut(&mut World) -> T + Send,
    ) -> Result<T, StoreError> {
        self.call_partly(op, about, run, |_| {}).await
    }

    /// A call of which a part may be left out: `leave_out` takes it away.
    pub(crate) async fn call_partly<T: Send>(
        &self,
        op: Op,
        about: impl Into<Arc<str>>,
        mut run: impl FnMut(&mut World) -> T + Send,
        leave_out: impl FnOnce(&mut T) + Send,
    ) -> Result<T, StoreError> {
        let about = about.into();
        let mut verdict = self.park(op, &about, false).await;
        let mut done = None;
        if !matches!(verdict, Verdict::Refuse | Verdict::Vanish) {
            let mut world = self.sim.lock();
            done = Some(run(&mut world));
            if verdict == Verdict::Twice {
                done = Some(run(&mut world));
            }
        }
        match verdict {
            Verdict::Slow => verdict = self.park(op, &about, true).await,
            Verdict::Die => std::future::pending().await,
            _ => {}
        }
        match (verdict, done) {
            (Verdict::Refuse, _) => Err(StoreError::unavailable("the store is busy")),
            (Verdict::Vanish | Verdict::Lose, _) | (_, None) => {
                Err(StoreError::unsure("the connection was lost"))
            }
            (Verdict::Partly, Some(mut done)) => {
                leave_out(&mut done);
                Ok(done)
            }
            (_, Some(done)) => Ok(done),
        }
    }
}
