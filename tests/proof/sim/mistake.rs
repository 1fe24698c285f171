//! Mistakes that somebody could make: fixed seeds must notice each of them.

/// One mistake in a world that is right otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A commit does not look whether a newer render is shown.
    CommitsAnyTicket,
    /// A grant hands out the same ticket again.
    TicketsStandStill,
    /// A deleted page is forgotten instead of replaced by a tombstone.
    ForgetsTombstones,
    /// An invalidation is acknowledged, and nothing was written.
    MarksNothing,
    /// Reading a page does not look at its tags.
    ForgetsMarks,
    /// Tags that could not be read count as never invalidated.
    BelievesWhatIsLeftOut,
    /// A render is told an epoch that has not come yet.
    PreparesAnEpochAhead,
    /// A failed render takes the record with it.
    FailuresErase,
    /// A grant does not look whether somebody else holds a lease.
    IgnoresLeases,
    /// A job is taken up whatever tickets were handed out since.
    ResumesAnyTicket,
    /// A body is not stored as it was given.
    TearsBodies,
    /// An acknowledged invalidation is lost when a process dies.
    MarksInMemory,
    /// A publisher's render is acknowledged, and nothing was written.
    CommitsNothing,
    /// A body is acknowledged, and nothing was written.
    PutsNothing,
    /// A grant does not believe that leases end.
    LeasesNeverEnd,
    /// A grant does not believe that back-offs end.
    BackOffsNeverEnd,
    /// A store that has failed is never asked again.
    NeverTriesAgain,
    /// Long waits have no end of their own.
    LongWaitsNeverEnd,
    /// A stale answer is as cacheable as a fresh one.
    StaleIsCacheable,
    /// An error may be kept by caches.
    ErrorsAreCacheable,
    /// What a visitor sent gets into what is stored.
    StoresTheVisitor,
    /// Builds share their records.
    MixesBuilds,
    /// An invalidation is heard of by its own build alone.
    MarksOneBuild,
    /// A deletion is heard of by its own build alone.
    DeletesOneBuild,
    /// An order to the cache in front is acknowledged, and goes out when all else is done.
    PurgesLater,
    /// The removal of deleted pages is acknowledged by the queue, and forgotten.
    ForgetsRemovals,
    /// A job of another build is acknowledged, and nothing was done.
    AcknowledgesOtherBuilds,
    /// A process renders as many pages at once as it is asked for.
    RendersWithoutLimit,
    /// The memory cache has no limit.
    RemembersWithoutLimit,
    /// Pages that do not exist are not counted.
    CountsNoNotFound,
    /// A visitor waits for the renewal of a stale page.
    VisitorsWait,
}

/// All of them, each with the invariant whose check must notice it.
pub(crate) const ALL: [(Mistake, u8); 31] = [
    (Mistake::CommitsAnyTicket, 1),
    (Mistake::ForgetsTombstones, 1),
    (Mistake::MarksNothing, 2),
    (Mistake::ForgetsMarks, 2),
    (Mistake::BelievesWhatIsLeftOut, 2),
    (Mistake::PreparesAnEpochAhead, 2),
    (Mistake::FailuresErase, 3),
    (Mistake::IgnoresLeases, 4),
    (Mistake::ResumesAnyTicket, 4),
    (Mistake::TicketsStandStill, 4),
    (Mistake::TearsBodies, 5),
    (Mistake::PutsNothing, 5),
    (Mistake::MarksInMemory, 6),
    (Mistake::CommitsNothing, 6),
    (Mistake::DeletesOneBuild, 6),
    (Mistake::PurgesLater, 6),
    (Mistake::ForgetsRemovals, 6),
    (Mistake::AcknowledgesOtherBuilds, 6),
    (Mistake::LeasesNeverEnd, 7),
    (Mistake::BackOffsNeverEnd, 7),
    (Mistake::NeverTriesAgain, 7),
    (Mistake::LongWaitsNeverEnd, 7),
    (Mistake::StaleIsCacheable, 8),
    (Mistake::ErrorsAreCacheable, 8),
    (Mistake::StoresTheVisitor, 9),
    (Mistake::MixesBuilds, 10),
    (Mistake::MarksOneBuild, 10),
    (Mistake::CountsNoNotFound, 11),
    (Mistake::RendersWithoutLimit, 11),
    (Mistake::RemembersWithoutLimit, 11),
    (Mistake::VisitorsWait, 12),
];
