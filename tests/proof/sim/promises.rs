//! What publishers are promised beyond their answer: that the cache in front was told, that marked pages are renewed, and
//! that nothing stays stored of deleted ones.

use std::collections::BTreeSet;

use perennial::parts::ports::job::{Job, Task};
use perennial::parts::record::page_record::Stored;

use crate::history::{Aim, Invalidation};
use crate::mistake::Mistake;
use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// Orders to the cache in front: when, and by which tags.
    orders: Vec<(usize, Vec<String>)>,
    /// Walks that were sent to the queue: of which publish, over which route; none for all routes.
    walks: BTreeSet<(String, Option<String>)>,
    /// Walks and removals that have come to their end: of which publish, over which route.
    pub(crate) ended: BTreeSet<(String, String)>,
    /// A job was lost, or set aside.
    pub(crate) jobs_lost: bool,
}

impl World {
    /// The cache in front is told to forget.
    pub(crate) fn ordered(&mut self, tags: &[String]) {
        let moment = self.number();
        if !self.has(Mistake::PurgesLater) {
            self.promises.orders.push((moment, tags.to_vec()));
        }
    }

    /// Whether the queue keeps a job that it accepts.
    pub(crate) fn takes(&mut self, job: &Job) -> bool {
        match &job.task {
            Task::Walk(walk) if walk.second_look.is_none() => {
                self.promises.walks.insert((walk.publish.clone(), walk.route.clone()));
                true
            }
            Task::Remove(_) => !self.has(Mistake::ForgetsRemovals),
            _ => true,
        }
    }

    /// 6: who is told of success may rely on the cache in front: it was told since the call came.
    pub(crate) fn check_order(&mut self, place: usize) {
        let Invalidation { tag, began, .. } = &self.history.invalidations[place];
        let told = self.promises.orders.iter().any(|(moment, tags)| moment > began && tags.contains(tag));
        if !told {
            let what = format!("a call for {tag} is answered before the cache in front was told");
            self.breaks(6, what);
        }
    }

    /// 6: at the end, when no job was lost.
    pub(crate) fn check_promises(&mut self) {
        if self.promises.jobs_lost {
            return;
        }
        let Promises { walks, ended, .. } = &self.promises;
        let is_kept = |(publish, route): &&(String, Option<String>)| match route {
            Some(route) => ended.contains(&(publish.clone(), route.clone())),
            None => walks.iter().any(|(of, route)| of == publish && route.is_some()),
        };
        if let Some((publish, route)) = walks.iter().find(|walk| !is_kept(walk)) {
            let what = format!("the renewal of {publish} ({route:?}) was promised, and never ended");
            return self.breaks(6, what);
        }
        let stays = self.store.rows.iter().find(|((build, page), row)| {
            let stored = row.record.as_ref().filter(|record| record.stored != Stored::Deleted);
            let gone = |record: &perennial::parts::record::page_record::Record| {
                let user = record.tags.iter().map(|tag| perennial::parts::key::tags::user_tag(tag));
                let tags = perennial::parts::key::tags::page_tags(page).into_iter().chain(user);
                let is_gone = |tag: &String| self.store.tags.get(tag).is_some_and(|e| e.gone > record.epoch);
                tags.into_iter().any(|tag| is_gone(&tag) && self.was_deleted_by(build, &tag))
            };
            stored.is_some_and(|record| gone(record))
        });
        if let Some((build, page)) = stays.map(|(place, _)| place.clone()) {
            self.breaks(6, format!("{page} of {build} was deleted, and is still stored"));
        }
    }

    /// Whether a tag was deleted through this build, and all who tried were told that it was.
    fn was_deleted_by(&self, build: &str, tag: &str) -> bool {
        let deletions = self.history.invalidations.iter();
        let mut of_tag = deletions.filter(|told| told.aim == Aim::Deleted && told.tag == tag).peekable();
        of_tag.peek().is_some() && of_tag.all(|told| told.acknowledged.is_some() && *told.build == *build)
    }
}
