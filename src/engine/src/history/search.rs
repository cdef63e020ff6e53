//! Looking for definitions that moved or have another name, among those of one class that are left.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use onyx_protocol::WireError;
use onyx_protocol::facts::NodeKind;

use super::lineage::{Class, Item, Lineage, Nearness, may_be_one};
use super::similarity::{Postings, alike, names_alike};

/// Bodies of fewer words say little: thresholds are stricter.
const SMALL_WORDS: usize = 12;
/// Bodies of fewer words say nothing without a name.
const TINY_WORDS: usize = 5;

/// How alike bodies of one name must be, by how near the place is.
const SAME_OWNER: f32 = 0.25;
const ENCLOSED: f32 = 0.30;
const OWNER_OF_SAME_NAME: f32 = 0.35;
const SAME_FILE: f32 = 0.45;
const TOP_LEVEL: f32 = 0.40;
const ELSEWHERE: f32 = 0.55;
/// Added to those for bodies that say little.
const SMALL_EXTRA: f32 = 0.15;
/// Taken off where nothing else of the name is gone or new.
const ONLY_ONE: f32 = 0.12;

/// How alike bodies must be without the name.
const RENAMED_NEAR: f32 = 0.66;
const RENAMED_FAR: f32 = 0.75;
/// For small bodies.
const RENAMED_SMALL: f32 = 0.85;
/// Taken off where the names are much alike.
const LIKE_NAME: f32 = 0.16;
/// How alike names must be for that.
const NAMES_ALIKE: f32 = 0.60;
/// Two candidates closer than this are told apart by more than their bodies, or not at all.
const MARGIN: f32 = 0.03;

/// A name is rare if no more definitions of the changed files have it, before and after together.
const MANY_NAMESAKES: u32 = 4;
/// Most namesakes that one is compared with, of each sort: of the same owner, in the same file, anywhere.
const MAX_NAMESAKES: usize = 16;

/// Two that may be one.
struct Candidate {
    old: usize,
    new: usize,
    nearness: Nearness,
    similarity: f32,
    /// What the best are chosen by.
    score: f32,
}

/// Old definitions by something they share.
struct Groups<K>(HashMap<K, Vec<usize>>);

impl<K: Hash + Eq> Groups<K> {
    fn new(keys: impl Iterator<Item = (usize, K)>) -> Self {
        let mut groups = Self(HashMap::new());
        for (number, key) in keys {
            groups.0.entry(key).or_default().push(number);
        }
        groups
    }

    fn some(&self, key: &K) -> &[usize] {
        let all = self.0.get(key).map_or(&[][..], Vec::as_slice);
        &all[..all.len().min(MAX_NAMESAKES)]
    }
}

/// A name without what says who may use it.
fn plain_name(name: &str) -> String {
    name.bytes()
        .filter(|byte| !matches!(byte, b'_' | b'#' | b'$'))
        .map(|byte| byte.to_ascii_lowercase() as char)
        .collect()
}

pub(super) struct Search<'l, 'a> {
    lineage: &'l mut Lineage<'a>,
    old: Vec<Item<'a>>,
    new: Vec<Item<'a>>,
    check: &'l dyn Fn() -> Result<(), WireError>,
}

impl<'l, 'a> Search<'l, 'a> {
    pub(super) fn new(
        lineage: &'l mut Lineage<'a>,
        old: Vec<Item<'a>>,
        new: Vec<Item<'a>>,
        check: &'l dyn Fn() -> Result<(), WireError>,
    ) -> Self {
        Self { lineage, old, new, check }
    }

    pub(super) fn run(mut self) -> Result<(), WireError> {
        self.exact()?;
        self.by_name()?;
        self.by_body()
    }

    fn old_left(&self) -> impl Iterator<Item = (usize, &Item<'a>)> {
        let all = self.old.iter().enumerate();
        all.filter(|(_, item)| !self.lineage.is_used(item.place))
    }

    fn new_left(&self) -> impl Iterator<Item = (usize, &Item<'a>)> {
        self.new.iter().enumerate().filter(|(_, item)| self.lineage.is_open(item.place))
    }

    /// Pairs that have something in common, the likely ones of each new definition.
    fn likely<K: Hash + Eq + Clone>(
        &self,
        key: impl Fn(&Item<'a>) -> K,
    ) -> Result<Vec<(usize, usize)>, WireError> {
        // The owner as it is written: what moved with it is told apart by it.
        let owner = |item: &Item<'a>| {
            let definition = item.definition;
            definition.qualified_name.len() - definition.name.len()
        };
        let of_owner =
            |item: &Item<'a>| (key(item), &item.definition.qualified_name[..owner(item)]);
        let in_file = |item: &Item<'a>| (key(item), item.place.pair);
        let by_owner = Groups::new(self.old_left().map(|(n, item)| (n, of_owner(item))));
        let by_file = Groups::new(self.old_left().map(|(n, item)| (n, in_file(item))));
        let by_key = Groups::new(self.old_left().map(|(n, item)| (n, key(item))));
        let mut pairs = Vec::new();
        let mut seen = Vec::new();
        for (new, item) in self.new_left() {
            (self.check)()?;
            seen.clear();
            seen.extend_from_slice(by_owner.some(&of_owner(item)));
            seen.extend_from_slice(by_file.some(&in_file(item)));
            seen.extend_from_slice(by_key.some(&key(item)));
            seen.sort_unstable();
            seen.dedup();
            let fit = seen.iter().filter(|old| may_be_one(&self.old[**old], item));
            pairs.extend(fit.map(|old| (*old, new)));
        }
        Ok(pairs)
    }

    fn take(&mut self, candidate: &Candidate, similarity: f32) {
        let (old, new) = (self.old[candidate.old].place, self.new[candidate.new].place);
        self.lineage.set(new, old, similarity);
        self.lineage.members(old, new);
    }

    /// Takes the best candidates first.
    fn take_best(&mut self, mut candidates: Vec<Candidate>) {
        candidates.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then_with(|| a.nearness.cmp(&b.nearness)).then_with(|| {
                let place = |c: &Candidate| (self.old[c.old].place, self.new[c.new].place);
                place(a).cmp(&place(b))
            })
        });
        for candidate in &candidates {
            let (old, new) = (&self.old[candidate.old], &self.new[candidate.new]);
            if self.lineage.is_used(old.place) || !self.lineage.is_open(new.place) {
                continue;
            }
            let is_name = candidate.nearness <= Nearness::OwnerOfSameName
                && old.definition.name == new.definition.name;
            self.take(candidate, if is_name { 1.0 } else { candidate.similarity });
        }
    }

    /// The same name and text elsewhere.
    fn exact(&mut self) -> Result<(), WireError> {
        let key = |item: &Item<'a>| {
            let definition = item.definition;
            (definition.kind, definition.name.as_str(), definition.hash)
        };
        let mut candidates = Vec::new();
        for (old, new) in self.likely(key)? {
            (self.check)()?;
            let (a, b) = (&self.old[old], &self.new[new]);
            let nearness = self.lineage.nearness(a.place, b.place);
            let is_value = Class::of(a.definition.kind) == Class::Value;
            let words = self.old[old].body().words;
            let is_said = nearness <= Nearness::OwnerOfSameName
                || (words >= TINY_WORDS && !is_value)
                || words >= SMALL_WORDS
                || (nearness == Nearness::TopLevel && words >= TINY_WORDS);
            if is_said {
                let score = 5.0 - f32::from(nearness as u8);
                candidates.push(Candidate { old, new, nearness, similarity: 1.0, score });
            }
        }
        self.take_best(candidates);
        Ok(())
    }

    /// Names that one definition has that is gone, and one that is new, and that are rare: what many have
    /// in common, constructors and the like, says little.
    fn only_ones(&self) -> (HashSet<String>, HashSet<String>) {
        let rare = self.lineage.rare_names(MANY_NAMESAKES, plain_name);
        let only = |items: &mut dyn Iterator<Item = &Item<'a>>| {
            let mut counts: HashMap<String, u32> = HashMap::new();
            for item in items {
                *counts.entry(plain_name(&item.definition.name)).or_default() += 1;
            }
            let once =
                counts.into_iter().filter(|(name, count)| *count == 1 && rare.contains(name));
            once.map(|(name, _)| name).collect()
        };
        (
            only(&mut self.old_left().map(|(_, item)| item)),
            only(&mut self.new_left().map(|(_, item)| item)),
        )
    }

    fn by_name(&mut self) -> Result<(), WireError> {
        let name = |item: &Item<'a>| plain_name(&item.definition.name);
        let (only_old, only_new) = self.only_ones();
        let mut candidates = Vec::new();
        for (old, new) in self.likely(name)? {
            (self.check)()?;
            let nearness = self.lineage.nearness(self.old[old].place, self.new[new].place);
            let similarity = alike(self.old[old].body(), self.new[new].body());
            let words = self.old[old].body().words.min(self.new[new].body().words);
            let (a, b) = (self.old[old].definition, self.new[new].definition);
            let is_value = Class::of(a.kind) == Class::Value;
            let is_same = a.name == b.name;
            let mut enough = match nearness {
                Nearness::SameOwner => SAME_OWNER,
                Nearness::Enclosed => ENCLOSED,
                Nearness::OwnerOfSameName => OWNER_OF_SAME_NAME,
                Nearness::SameFile => SAME_FILE,
                Nearness::TopLevel => TOP_LEVEL,
                Nearness::Elsewhere => ELSEWHERE,
            };
            // Constructors move with their owners, which were looked for before.
            let is_constructor = a.kind == NodeKind::Constructor;
            let says_little = words < SMALL_WORDS || is_constructor;
            if says_little && (nearness > Nearness::OwnerOfSameName || !is_same) {
                enough += SMALL_EXTRA;
            } else if nearness > Nearness::OwnerOfSameName {
                let name = name(&self.new[new]);
                if only_old.contains(&name) && only_new.contains(&name) {
                    enough -= ONLY_ONE;
                }
            }
            let is_near =
                nearness <= Nearness::OwnerOfSameName || nearness == Nearness::TopLevel && is_same;
            if (words < TINY_WORDS || is_value) && !is_near {
                continue;
            }
            // In one owner the name is enough: only its kind is another.
            let kept = is_same && nearness == Nearness::SameOwner && words < SMALL_WORDS;
            if similarity >= enough || kept {
                let score = similarity
                    + 0.1 * (5.0 - f32::from(nearness as u8))
                    + if is_same { 0.2 } else { 0.0 };
                candidates.push(Candidate { old, new, nearness, similarity, score });
            }
        }
        self.take_best(candidates);
        Ok(())
    }

    fn by_body(&mut self) -> Result<(), WireError> {
        let mut postings = Postings::default();
        let old: Vec<usize> = self.old_left().map(|(number, _)| number).collect();
        let new: Vec<usize> = self.new_left().map(|(number, _)| number).collect();
        for number in old {
            (self.check)()?;
            postings.add(number, self.old[number].body());
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for new in new {
            (self.check)()?;
            for old in postings.like(self.new[new].body()) {
                let (a, b) = (self.old[old].definition, self.new[new].definition);
                if !may_be_one(&self.old[old], &self.new[new]) || a.name == b.name {
                    continue;
                }
                let nearness = self.lineage.nearness(self.old[old].place, self.new[new].place);
                let similarity = alike(self.old[old].body(), self.new[new].body());
                let words = self.old[old].body().words.min(self.new[new].body().words);
                let is_value = Class::of(a.kind) == Class::Value;
                let is_near = nearness <= Nearness::SameFile;
                let names = names_alike(&a.name, &b.name);
                let mut enough = match () {
                    () if words < TINY_WORDS || (is_value && words < SMALL_WORDS) => continue,
                    () if words < SMALL_WORDS && !is_near => continue,
                    () if words < SMALL_WORDS || is_value => RENAMED_SMALL,
                    // Mostly declarations of files.
                    () if a.kind == NodeKind::Module => RENAMED_SMALL,
                    () if is_near => RENAMED_NEAR,
                    () => RENAMED_FAR,
                };
                if names >= NAMES_ALIKE {
                    enough -= LIKE_NAME;
                }
                if similarity >= enough {
                    let score = similarity + 0.1 * names + if is_near { 0.05 } else { 0.0 };
                    candidates.push(Candidate { old, new, nearness, similarity, score });
                }
            }
        }
        let clear = clear(&candidates);
        let candidates =
            candidates.into_iter().zip(clear).filter(|(_, clear)| *clear).map(|(c, _)| c).collect();
        self.take_best(candidates);
        Ok(())
    }
}

/// Which candidates have no rival that is as good for the same old definition and is no better for
/// another: of two tests written from one pattern neither is the one that went.
fn clear(candidates: &[Candidate]) -> Vec<bool> {
    let mut best: HashMap<usize, (f32, f32)> = HashMap::new();
    for candidate in candidates {
        let (first, second) = best.entry(candidate.old).or_insert((f32::MIN, f32::MIN));
        if candidate.score > *first {
            (*first, *second) = (candidate.score, *first);
        } else if candidate.score > *second {
            *second = candidate.score;
        }
    }
    candidates
        .iter()
        .map(|candidate| {
            let (first, second) = best[&candidate.old];
            let has_rival = second > f32::MIN && first - second < MARGIN;
            // With a rival only a body that is the same in all but the name counts.
            !has_rival || candidate.similarity >= 0.95 && candidate.score >= first
        })
        .collect()
}
