//! Which file of the product names which: arrows, and the circles that they make.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::paths::{Import, Item, Named, Said, said};
use crate::source::{File, Tree};

/// Every crate of the product, and the folder of its code.
const CRATES: [(&str, &str); 7] = [
    ("perennial_core", "shared/core/src/"),
    ("perennial_serve", "functions/serve/src/"),
    ("perennial_regenerate", "functions/regenerate/src/"),
    ("perennial_revalidate", "functions/revalidate/src/"),
    ("perennial_standalone", "functions/standalone/src/"),
    ("perennial", "shared/perennial/src/"),
    ("site", "shared/site/src/"),
];

/// One file of a crate.
pub(crate) struct Node<'a> {
    pub(crate) file: &'a File,
    pub(crate) krate: &'static str,
    /// Where its module is: `["record", "content"]`; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<&'a str>,
    said: Said<'a>,
}

/// A path in one file that leads to another.
pub(crate) struct Arrow<'a> {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) at: usize,
    /// What it names there; none: the module itself.
    pub(crate) item: Option<&'a str>,
    /// Where that is defined, if the other file only passes it on.
    pub(crate) defined: Option<usize>,
}

pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    by_module: BTreeMap<(&'static str, Vec<&'a str>), usize>,
}

/// A module of a file, and the rest of a path that led there.
struct Place<'a> {
    node: usize,
    inside: Vec<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Graph<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        let mut nodes = vec![];
        for file in tree.rust() {
            let Some((krate, name)) =
                CRATES.iter().find_map(|(krate, folder)| Some((*krate, file.path.strip_prefix(folder)?)))
            else {
                continue;
            };
            let name = name.trim_end_matches(".rs");
            let root = ["lib", "main"].contains(&name);
            let module: Vec<_> = if root { vec![] } else { name.split('/').collect() };
            nodes.push(Node { file, krate, module, said: said(&file.code) });
        }
        let tests: Vec<_> = nodes.iter().flat_map(Node::tests).collect();
        let is_test = |node: &Node<'_>| {
            tests.iter().any(|(krate, test)| *krate == node.krate && node.module.starts_with(test))
        };
        nodes.retain(|node| !is_test(node));
        // A program names its library by the crate's name, so only the library is found by module.
        let libraries = nodes.iter().enumerate().filter(|(_, node)| !node.is_main());
        let by_module = libraries.map(|(n, node)| ((node.krate, node.module.clone()), n)).collect();
        Self { nodes, by_module }
    }

    /// Where an inherent `impl` stands, and the file that defines its type.
    pub(crate) fn methods(&self) -> impl Iterator<Item = (usize, usize, &Named<'a>)> {
        let all =
            self.nodes.iter().enumerate().flat_map(|(n, node)| node.said.methods.iter().map(move |m| (n, m)));
        all.filter_map(|(n, named)| Some((n, self.definition(n, named)?, named)))
    }

    /// The file that defines what a path names.
    fn definition(&self, from: usize, named: &Named<'a>) -> Option<usize> {
        let node = &self.nodes[from];
        let [name] = named.names[..] else {
            return Some(self.follow(self.absolute(from, named, 0)?, 0).node);
        };
        if node.defines(&named.inside, name) {
            return Some(from);
        }
        let import = node.import(&named.inside, name)?;
        Some(self.follow(self.absolute(from, &import.path, 0)?, 0).node)
    }

    pub(crate) fn arrows(&self) -> Vec<Arrow<'a>> {
        let mut arrows = vec![];
        for (from, node) in self.nodes.iter().enumerate() {
            let imports = node.said.imports.iter().map(|import| &import.path);
            for named in imports.chain(&node.said.paths) {
                let Some(path) = self.absolute(from, named, 0) else { continue };
                let abroad = path.0 != node.krate || node.is_main();
                let place = self.place(path);
                let end = self.pass_on(&place, 0);
                let defined = end.filter(|&end| end != place.node);
                // Another crate's front is there to be named: the arrow leads on to what is meant.
                let to = if abroad { defined.unwrap_or(place.node) } else { place.node };
                if to != from {
                    let defined = defined.filter(|_| !abroad);
                    arrows.push(Arrow { from, to, at: named.at, item: place.rest.first().copied(), defined });
                }
            }
        }
        arrows
    }

    /// A path from the root of a crate of the product; none: it leads elsewhere.
    fn absolute(&self, from: usize, named: &Named<'a>, depth: usize) -> Option<(&'static str, Vec<&'a str>)> {
        let node = &self.nodes[from];
        let (first, rest) = named.names.split_first()?;
        let here = [&node.module[..], &named.inside].concat();
        match *first {
            "crate" => return Some((node.krate, rest.to_vec())),
            "self" => return Some((node.krate, [&here[..], rest].concat())),
            "super" => {
                let ups = named.names.iter().take_while(|name| **name == "super").count();
                let base = &here[..here.len().checked_sub(ups)?];
                return Some((node.krate, [base, &named.names[ups..]].concat()));
            }
            _ => {}
        }
        if let Some(import) = node.import(&named.inside, first).filter(|import| import.path.at != named.at) {
            let through = (depth < 8).then(|| self.absolute(from, &import.path, depth + 1)).flatten();
            return through.map(|(krate, names)| (krate, [&names[..], rest].concat()));
        }
        let is_child =
            |items: &[Item<'_>]| items.iter().any(|i| i.inside == named.inside && i.name == *first);
        if is_child(&node.said.children) || is_child(&node.said.inline) {
            return Some((node.krate, [&here[..], &named.names].concat()));
        }
        let (krate, _) = CRATES.iter().find(|(krate, _)| krate == first)?;
        Some((krate, rest.to_vec()))
    }

    /// The deepest file on the way of a path, and the deepest module in it.
    fn place(&self, (krate, names): (&'static str, Vec<&'a str>)) -> Place<'a> {
        let found = (0..=names.len()).rev().find_map(|length| {
            let node = *self.by_module.get(&(krate, names[..length].to_vec()))?;
            Some(Place { node, inside: vec![], rest: names[length..].to_vec() })
        });
        let mut place = found.expect("every crate has a lib.rs");
        while let Some(name) = place.rest.first().copied()
            && self.nodes[place.node].said.inline.contains(&Item { inside: place.inside.clone(), name })
        {
            place.inside.push(name);
            place.rest.remove(0);
        }
        place
    }

    /// The end of a path, behind all that only passes it on.
    fn follow(&self, path: (&'static str, Vec<&'a str>), depth: usize) -> Place<'a> {
        let place = self.place(path);
        match self.pass_on(&place, depth) {
            Some(node) => Place { node, ..place },
            None => place,
        }
    }

    /// The file that defines what is named at this place; none: nobody knows.
    fn pass_on(&self, place: &Place<'a>, depth: usize) -> Option<usize> {
        let node = &self.nodes[place.node];
        let Some(name) = place.rest.first().copied() else { return Some(place.node) };
        if node.defines(&place.inside, name) || depth > 8 {
            return Some(place.node);
        }
        if let Some(import) = node.import(&place.inside, name) {
            let (krate, names) = self.absolute(place.node, &import.path, 0)?;
            let whole = (krate, [&names[..], &place.rest[1..]].concat());
            return self.pass_on(&self.place(whole), depth + 1);
        }
        let all = node.said.imports.iter().filter(|i| i.alias.is_none() && i.path.inside == place.inside);
        all.filter_map(|import| self.absolute(place.node, &import.path, 0)).find_map(|(krate, names)| {
            let there = self.place((krate, [&names[..], &place.rest].concat()));
            let known = there.rest.first().is_none_or(|name| {
                let node = &self.nodes[there.node];
                node.defines(&there.inside, name) || node.import(&there.inside, name).is_some()
            });
            if known { self.pass_on(&there, depth + 1) } else { None }
        })
    }

    /// The shortest circle of each knot (files that all lead to one another), and how many files the knot has.
    pub(crate) fn circles(&self, arrows: &[Arrow<'_>]) -> Vec<(Vec<usize>, usize)> {
        let mut next = vec![BTreeSet::new(); self.nodes.len()];
        for arrow in arrows {
            next[arrow.from].insert(arrow.to);
        }
        let round: Vec<_> = (0..next.len()).map(|start| shortest(&next, start, start)).collect();
        let mut seen = BTreeSet::new();
        let mut circles = vec![];
        for start in 0..next.len() {
            if round[start].is_none() || seen.contains(&start) {
                continue;
            }
            let there_and_back = |&other: &usize| {
                round[other].is_some()
                    && (other == start
                        || shortest(&next, start, other).is_some() && shortest(&next, other, start).is_some())
            };
            let knot: Vec<_> = (start..next.len()).filter(there_and_back).collect();
            let circle = knot.iter().filter_map(|&n| round[n].clone()).min_by_key(Vec::len);
            circles.extend(circle.map(|circle| (circle, knot.len())));
            seen.extend(knot);
        }
        circles
    }

    /// `record/content.rs`, or the whole path outside the library.
    pub(crate) fn name(&self, node: usize) -> &'a str {
        let path = self.nodes[node].file.path.as_str();
        path.strip_prefix(CRATES[0].1).unwrap_or(path)
    }
}

/// The files on the shortest way from one to another, without the last.
fn shortest(next: &[BTreeSet<usize>], from: usize, to: usize) -> Option<Vec<usize>> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for &after in &next[node] {
            if after == to {
                let mut way = vec![node];
                while way[way.len() - 1] != from {
                    way.push(before[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            if after != from && !before.contains_key(&after) {
                before.insert(after, node);
                queue.push_back(after);
            }
        }
    }
    None
}

impl<'a> Node<'a> {
    pub(crate) fn is_main(&self) -> bool {
        self.file.path.ends_with("/main.rs")
    }

    /// Modules of files that only tests have.
    fn tests(&self) -> Vec<(&'static str, Vec<&'a str>)> {
        let module = |item: &Item<'a>| [&self.module[..], &item.inside, &[item.name]].concat();
        self.said.test_children.iter().map(|item| (self.krate, module(item))).collect()
    }

    fn defines(&self, inside: &[&str], name: &str) -> bool {
        let has = |items: &[Item<'_>]| items.iter().any(|item| item.inside == inside && item.name == name);
        has(&self.said.items) || has(&self.said.inline) || has(&self.said.children)
    }

    fn import(&self, inside: &[&str], name: &str) -> Option<&Import<'a>> {
        self.said.imports.iter().find(|import| import.alias == Some(name) && import.path.inside == inside)
    }
}
