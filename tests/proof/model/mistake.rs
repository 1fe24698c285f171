//! Mistakes that somebody could make: each of them has to break a promise.

/// One mistake in an otherwise right protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A commit does not look whether a newer render is shown.
    CommitsAnyTicket,
    /// A render reads the epoch after it has fetched its content.
    ReadsEpochAfterFetch,
    /// A record gets the epoch of the moment in which it is committed.
    WritesEpochOfCommit,
    /// A publisher's call renders without having marked the page.
    SkipsTheMark,
    /// An invalidation stamps the tag with the epoch before it.
    StampsTheOldEpoch,
    /// Giving a lease back does not look whose it is.
    ReleasesAnyLease,
    /// A job's ticket is not exchanged when it is taken up.
    ResumesWithoutExchange,
    /// A job is taken up whatever tickets were handed out since, under the newest of them.
    ResumesAnyTicket,
    /// A grant does not look whether somebody else holds a lease.
    IgnoresLeases,
    /// A grant hands out the same ticket again.
    TicketsStandStill,
    /// A grant does not believe that leases end.
    LeasesNeverEnd,
    /// A grant does not believe that back-offs end.
    BackOffsNeverEnd,
    /// A failure takes the record with it.
    FailureErasesTheRecord,
    /// A publisher is answered before the render is committed.
    AcknowledgesBeforeCommit,
    /// A publisher's call shares a render that had begun before it came.
    SharesBegunRenders,
    /// A deleted page is forgotten, and its tickets begin again.
    TicketsRestartAfterDelete,
    /// Visitors of a stale page wait for its renewal.
    StaleVisitorsWait,
    /// On AWS: the slot is told of a commit before the record is written.
    TellsTheSlotFirst,
    /// A page is forgotten when any ticket is given back, not only its first.
    ForgetsOtherTickets,
    /// On AWS: a page is forgotten in the call that gives its first ticket back, which may be repeated.
    ForgetsAtOnce,
    /// On AWS: tickets of a slot that was lost begin again, whatever is shown.
    LostTicketsRestart,
    /// A publisher's call overtakes another one's render.
    DemandsOvertakeEachOther,
    /// A publisher's call, in another process, shares a render that had begun before it marked the page.
    SharesEarlierRenders,
    /// A publisher's call shares what is shown although a newer ticket is about.
    SharesWhatMayBeReplaced,
    /// A job that was taken up before is dropped, whatever became of that.
    DropsJobsTakenUpBefore,
}

/// All of them, with the scenario in which each is noticed first and the promise that it breaks there.
pub(crate) const ALL: [(Mistake, &str, &str); 25] = [
    (Mistake::CommitsAnyTicket, "stale", "1: what is shown never gets older"),
    (Mistake::ReadsEpochAfterFetch, "stale", "2: fresh is as new as what was marked"),
    (Mistake::WritesEpochOfCommit, "stale", "2: fresh is as new as what was marked"),
    (Mistake::SkipsTheMark, "demand", "2: fresh is as new as what was marked"),
    (Mistake::StampsTheOldEpoch, "stale", "2: fresh is as new as what was marked"),
    (Mistake::ReleasesAnyLease, "demand", "4: one render at a time"),
    (Mistake::ResumesWithoutExchange, "queue", "4: one render at a time"),
    (Mistake::ResumesAnyTicket, "queue", "4: one render at a time"),
    (Mistake::IgnoresLeases, "stale", "4: one render at a time"),
    (Mistake::TicketsStandStill, "demand", "6: what was acknowledged as shown is shown"),
    (Mistake::LeasesNeverEnd, "stale", "7: no page stays stuck"),
    (Mistake::BackOffsNeverEnd, "stale", "7: no page stays stuck"),
    (Mistake::FailureErasesTheRecord, "stale", "1: what is shown never gets older"),
    (Mistake::AcknowledgesBeforeCommit, "demand", "6: what was acknowledged as shown is shown"),
    (Mistake::SharesBegunRenders, "demands", "6: what was acknowledged as shown is shown"),
    (Mistake::TicketsRestartAfterDelete, "delete", "1: what is shown never gets older"),
    (Mistake::StaleVisitorsWait, "stale", "12: nobody waits who can be served"),
    (Mistake::TellsTheSlotFirst, "stale on AWS", "7: no page stays stuck"),
    (Mistake::ForgetsOtherTickets, "missing", "4: no two renders have one ticket"),
    (Mistake::ForgetsAtOnce, "missing on AWS", "4: no two renders have one ticket"),
    (Mistake::LostTicketsRestart, "missing, deleted on AWS", "4: no two renders have one ticket"),
    (Mistake::DemandsOvertakeEachOther, "demands", "4: one render at a time"),
    (Mistake::SharesEarlierRenders, "demands", "6: what was acknowledged as shown is shown"),
    (Mistake::SharesWhatMayBeReplaced, "demands", "6: what was acknowledged as shown is shown"),
    (Mistake::DropsJobsTakenUpBefore, "stale", "6: no job is dropped undone"),
];
