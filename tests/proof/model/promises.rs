//! What must hold in every state, by the number of the invariant in ARCHITECTURE.md; and what must happen at some time,
//! or the model would promise nothing.

use perennial::parts::freshness::{State, Why};
use stateright::Property;

use super::actors::{Phase, Role};
use super::{Job, Protocol, World};

/// All of them.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always("1: what is shown never gets older", never_older),
        Property::always("2: fresh is as new as what was marked", fresh_is_new),
        Property::always("4: one render at a time", one_at_a_time),
        Property::always("4: no two renders have one ticket", one_ticket_each),
        Property::always("6: what was acknowledged as shown is shown", acknowledged_is_shown),
        Property::always("6: no job is dropped undone", |_: &Protocol, world: &World| !world.told.lost),
        Property::always("7: no page stays stuck", gets_well),
        Property::always("12: nobody waits who can be served", nobody_waits),
        Property::sometimes("a commit comes too late", |_: &Protocol, world: &World| {
            rendered(world).any(|generation| generation < world.store.generation())
        }),
        Property::sometimes("a render outlives its lease", |_: &Protocol, world: &World| {
            world.actors.iter().any(|a| a.phase.is_rendering() && a.until <= world.now)
        }),
        Property::sometimes("a job's ticket is no longer the newest", |_: &Protocol, world: &World| {
            world
                .jobs
                .iter()
                .any(|job| matches!(job, Job::Refresh(ticket) if *ticket < world.store.slot.ticket))
        }),
        Property::sometimes("a page is stale because it was marked", |_: &Protocol, world: &World| {
            matches!(world.store.state(world.now), State::Stale { why: Why::Invalidated, .. })
        }),
        Property::sometimes(
            "a render that began before a mark is shown after it",
            |_: &Protocol, world: &World| {
                world.store.record.as_ref().is_some_and(|r| r.content < world.told.marked && r.generation > 1)
            },
        ),
        Property::sometimes("a publisher waits for another's render", |_: &Protocol, world: &World| {
            let marked = world.actors.iter().any(|actor| matches!(actor.phase, Phase::Marked { .. }));
            marked && world.store.slot.demand_at(world.now).is_some()
        }),
        Property::sometimes("a visitor waits", |_: &Protocol, world: &World| {
            world.actors.iter().any(|actor| matches!(actor.phase, Phase::Waits { .. }))
        }),
    ]
}

/// The one of that name.
pub(crate) fn of(name: &str) -> Property<Protocol> {
    all().into_iter().find(|promise| promise.name == name).expect("a promise")
}

/// Generations of renders that are ready to be committed.
fn rendered(world: &World) -> impl Iterator<Item = u64> + '_ {
    world.actors.iter().filter_map(|actor| match &actor.phase {
        Phase::Fetched { record } => Some(record.generation),
        _ => None,
    })
}

fn never_older(_: &Protocol, world: &World) -> bool {
    world.store.generation() >= world.told.generation
}

fn fresh_is_new(_: &Protocol, world: &World) -> bool {
    let is_fresh = matches!(world.store.state(world.now), State::Fresh { .. });
    let is_new = world.store.record.as_ref().is_none_or(|record| record.content >= world.told.marked);
    !world.told.lied && (is_new || !is_fresh)
}

/// Renders that were pre-empted, and those whose lease has ended, do not count.
fn one_at_a_time(_: &Protocol, world: &World) -> bool {
    world.actors.iter().filter(|actor| is_rendering(world, &actor.phase) && actor.until > world.now).count()
        <= 1
}

fn one_ticket_each(_: &Protocol, world: &World) -> bool {
    let rendering = world.actors.iter().map(|actor| &actor.phase).filter(|phase| is_rendering(world, phase));
    let tickets: Vec<_> = rendering.filter_map(Phase::ticket).collect();
    let twice = tickets.iter().enumerate().any(|(at, ticket)| tickets[at + 1..].contains(ticket));
    !twice && !tickets.contains(&world.store.generation())
}

/// Not if it is shown already, and only has not heard of it.
fn is_rendering(world: &World, phase: &Phase) -> bool {
    let heard = !matches!(phase, Phase::Fetched { record } if world.store.record.as_ref() == Some(record));
    heard && phase.is_rendering()
}

fn acknowledged_is_shown(_: &Protocol, world: &World) -> bool {
    world.store.record.as_ref().map_or(0, |record| record.content) >= world.told.shown
}

fn nobody_waits(_: &Protocol, world: &World) -> bool {
    let waits = |phase: &Phase| matches!(phase, Phase::Waits { .. }) || phase.is_rendering();
    !(0..6).any(|who| {
        Role::of(who) == Role::Visitor && world.actors[who].servable && waits(&world.actors[who].phase)
    })
}

/// Once nothing goes wrong any more, a few visits in the time of a lease make the page fresh, and everybody has been
/// answered. Looked at where nobody can go on: each other state leads to such a one by steps that are tried anyway.
fn gets_well(protocol: &Protocol, world: &World) -> bool {
    /// A lease and a back-off end within two ticks; the visit after them sends a job or renders.
    const ROUNDS: u8 = 4;
    let mut world = world.clone();
    if protocol.goes_on(&mut world) {
        return true;
    }
    for _ in 0..ROUNDS {
        while protocol.goes_on(&mut world) {}
        let at_rest = world.actors.iter().all(|actor| matches!(actor.phase, Phase::Idle | Phase::Done));
        if at_rest && matches!(world.store.state(world.now), State::Fresh { .. }) {
            return true;
        }
        protocol.tick(&mut world);
        for who in (0..6).filter(|&who| Role::of(who) == Role::Visitor) {
            world.actors[who].visits = 1;
        }
    }
    false
}

impl Protocol {
    /// Somebody who can takes a step, other than a publisher who has not come yet. `false` if nobody can.
    fn goes_on(&self, world: &mut World) -> bool {
        for who in 0..6 {
            let idle = world.actors[who].phase == Phase::Idle;
            if Role::of(who) == Role::Worker && idle && !world.jobs.is_empty() {
                let job = world.jobs.remove(0);
                self.deliver(world, who, job);
                return true;
            }
            if self.can_step(world, who) && !(idle && Role::of(who) == Role::Publisher) {
                let before = world.clone();
                self.step(world, who);
                if *world != before {
                    return true;
                }
            }
        }
        false
    }
}
