//! What the store knows of tags.

use perennial::parts::freshness::{Epochs, is_shown};
use perennial::parts::key::tags::{page_tags, user_tag};
use perennial::parts::ports::pages::snapshot::Stamp;
use perennial::parts::record::page_record::{Epoch, Record};

use crate::mistake::Mistake;
use crate::store::{Place, Row, Store};

impl Store {
    pub(crate) fn newest(&self, build: &str, tags: impl Iterator<Item = String>) -> Epochs {
        let tags = tags.map(|tag| self.name(build, &tag));
        let all = |tag: String| {
            let unkept: Vec<_> = self.unkept.iter().filter(|(t, _)| *t == tag).map(|(_, e)| *e).collect();
            self.tags.get(&tag).copied().into_iter().chain(unkept)
        };
        tags.flat_map(all).fold(Epochs::default(), Epochs::max)
    }

    /// A tag is the same in all builds.
    fn name(&self, build: &str, tag: &str) -> String {
        if self.has(Mistake::MarksOneBuild) { format!("{build} {tag}") } else { tag.to_owned() }
    }

    pub(crate) fn advance(&mut self) -> Epoch {
        self.version += 1;
        self.epoch += 1;
        self.epoch
    }

    pub(crate) fn stamp(&mut self, build: &str, tag: &str, epoch: Epoch, how: Stamp) {
        self.version += 1;
        let tag = self.name(build, tag);
        let gone = how == Stamp::Gone && !self.has(Mistake::DeletesOneBuild);
        let epochs = Epochs { newest: epoch, gone: if gone { epoch } else { 0 }, partial: false };
        match self.mistake {
            Some(Mistake::MarksNothing) => {}
            Some(Mistake::MarksInMemory) => self.unkept.push((tag, epochs)),
            _ => {
                let kept = self.tags.entry(tag).or_default();
                *kept = epochs.max(*kept);
            }
        }
    }

    /// Whether nothing that the record carries was deleted since.
    pub(crate) fn is_shown(&self, place: &Place, record: &Record) -> bool {
        let tags = page_tags(&place.1).into_iter().chain(record.tags.iter().map(|tag| user_tag(tag)));
        is_shown(record, self.newest(&place.0, tags))
    }

    /// Records in which there is nothing to show.
    pub(crate) fn bare(&self) -> impl Iterator<Item = &Place> {
        let record = |(place, row): (_, &Row)| Some((place, row.record.clone()?));
        let records = self.rows.iter().filter_map(record);
        records.filter(|(place, record)| !self.is_shown(place, record)).map(|(place, _)| place)
    }
}
