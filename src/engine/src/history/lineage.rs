//! Which definition of a commit is which of its parent's: identity through edits, renames and moves.
//!
//! A pure function of the changed files before and after, in this order:
//!
//! 1. *Same place*: in one file (or the file it was renamed from) the same kind and qualified name, and the
//!    same place among those that share them, as an ingest of an edited file keeps nodes.
//! 2. Of what is left in all files of the commit, types and other containers first, then functions, then
//!    values, each against what is left of the same language:
//!    * *exact*: the same name and text elsewhere;
//!    * *by name*: the same name, and bodies alike enough for how near the place is;
//!    * *by body*: another name, and bodies very much alike.
//!
//!    When a container is recognised, so are its members of the same name at once.
//!
//! Every definition is matched once at most, the best pairs first. How alike bodies are, `similarity` says.

use std::collections::HashMap;

use onyx_protocol::facts::{Definition, FileFacts, Language, NodeKind};

use super::similarity::{Body, Postings, dice, names_alike};

/// Bodies of fewer words say little: thresholds are stricter.
const SMALL_WORDS: usize = 12;
/// Bodies of fewer words say nothing without a name.
const TINY_WORDS: usize = 5;

/// How alike bodies of one name must be, by how near the place is.
const SAME_OWNER: f32 = 0.20;
const OWNER_OF_SAME_NAME: f32 = 0.30;
const TOP_LEVEL: f32 = 0.35;
const ELSEWHERE: f32 = 0.50;
/// Added to those for small bodies.
const SMALL_EXTRA: f32 = 0.15;

/// How alike bodies must be without the name.
const RENAMED_NEAR: f32 = 0.55;
const RENAMED_FAR: f32 = 0.70;
/// For small bodies.
const RENAMED_SMALL: f32 = 0.85;
/// Two candidates closer than this are told apart by more than their bodies, or not at all.
const MARGIN: f32 = 0.03;

/// One version of a file.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) language: Language,
    pub(super) facts: &'a FileFacts,
    pub(super) text: &'a str,
}

/// A changed file: before, after, or both; of a renamed one both.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) old: Option<Side<'a>>,
    pub(super) new: Option<Side<'a>>,
}

/// A definition: number of the pair, number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) pair: u32,
    pub(super) definition: u32,
}

/// What a new definition was before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Origin {
    pub(super) old: Place,
    /// 1 by name; less by how alike bodies are.
    pub(super) similarity: f32,
}

/// What is known of all definitions of a commit.
pub(super) struct Lineage<'a> {
    pairs: &'a [Pair<'a>],
    /// By pair and new definition.
    origins: Vec<Vec<Option<Origin>>>,
    /// By pair and new definition: not to be looked for any further.
    closed: Vec<Vec<bool>>,
    /// By pair and old definition: whether it is some new one's origin.
    used: Vec<Vec<bool>>,
}

fn definitions<'a>(side: Option<Side<'a>>) -> &'a [Definition] {
    side.map_or(&[], |side| side.facts.definitions.as_slice())
}

impl<'a> Lineage<'a> {
    /// The first step: what is in the same place.
    pub(super) fn in_place(pairs: &'a [Pair<'a>]) -> Self {
        let count = |side: fn(&Pair<'a>) -> Option<Side<'a>>| {
            pairs.iter().map(move |pair| definitions(side(pair)).len())
        };
        let mut lineage = Self {
            pairs,
            origins: count(|pair| pair.new).map(|n| vec![None; n]).collect(),
            closed: count(|pair| pair.new).map(|n| vec![false; n]).collect(),
            used: count(|pair| pair.old).map(|n| vec![false; n]).collect(),
        };
        for (number, pair) in pairs.iter().enumerate() {
            if pair.old.is_some() && pair.new.is_some() {
                lineage.match_file(number as u32);
            }
        }
        lineage
    }

    fn match_file(&mut self, pair: u32) {
        let files = self.pairs[pair as usize];
        let mut waiting: HashMap<(NodeKind, &str), Vec<u32>> = HashMap::new();
        // Backwards, so that the first is the last of its list.
        for (number, definition) in definitions(files.old).iter().enumerate().rev() {
            let key = (definition.kind, definition.qualified_name.as_str());
            waiting.entry(key).or_default().push(number as u32);
        }
        for (number, definition) in definitions(files.new).iter().enumerate() {
            let key = (definition.kind, definition.qualified_name.as_str());
            if let Some(old) = waiting.get_mut(&key).and_then(Vec::pop) {
                let new = Place { pair, definition: number as u32 };
                self.set(new, Place { pair, definition: old }, 1.0);
            }
        }
    }

    /// Says what a new definition was, from knowledge of another kind.
    pub(super) fn set(&mut self, new: Place, old: Place, similarity: f32) {
        self.origins[new.pair as usize][new.definition as usize] = Some(Origin { old, similarity });
        self.closed[new.pair as usize][new.definition as usize] = true;
        self.used[old.pair as usize][old.definition as usize] = true;
    }

    /// Says that a new definition has no origin among the old ones.
    pub(super) fn close(&mut self, new: Place) {
        self.closed[new.pair as usize][new.definition as usize] = true;
    }

    /// What a new definition was.
    pub(super) fn origin(&self, new: Place) -> Option<Origin> {
        self.origins[new.pair as usize][new.definition as usize]
    }

    /// Whether an old definition goes on as a new one.
    pub(super) fn is_used(&self, old: Place) -> bool {
        self.used[old.pair as usize][old.definition as usize]
    }

    /// Whether it is not known yet what a new definition was.
    pub(super) fn is_open(&self, new: Place) -> bool {
        !self.closed[new.pair as usize][new.definition as usize]
    }

    fn old(&self, place: Place) -> &'a Definition {
        &definitions(self.pairs[place.pair as usize].old)[place.definition as usize]
    }

    fn new(&self, place: Place) -> &'a Definition {
        &definitions(self.pairs[place.pair as usize].new)[place.definition as usize]
    }

    /// The second step: what moved or has another name.
    pub(super) fn across(&mut self) {
        for class in [Class::Container, Class::Function, Class::Value] {
            let old = self.left(class, |pair| pair.old, |lineage, place| !lineage.is_used(place));
            let new = self.left(class, |pair| pair.new, Self::is_open);
            if old.is_empty() || new.is_empty() {
                continue;
            }
            let mut search = Search::new(self, old, new);
            search.exact();
            search.by_name();
            search.by_body();
        }
    }

    /// Definitions of a class that are left of one side.
    fn left(
        &self,
        class: Class,
        side: fn(&Pair<'a>) -> Option<Side<'a>>,
        is_left: fn(&Self, Place) -> bool,
    ) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        for (pair, files) in self.pairs.iter().enumerate() {
            let Some(file) = side(files) else { continue };
            for (number, definition) in file.facts.definitions.iter().enumerate() {
                let place = Place { pair: pair as u32, definition: number as u32 };
                if Class::of(definition.kind) == class && is_left(self, place) {
                    items.push(Item { place, definition, side: file, body: None });
                }
            }
        }
        items
    }

    /// Members of a container that was recognised, by name.
    fn members(&mut self, old: Place, new: Place) {
        let inner = |side: Option<Side<'a>>, place: Place| {
            let all = definitions(side);
            let owner = place.definition;
            let end = all[owner as usize].end_byte;
            let behind = all.iter().enumerate().skip(owner as usize + 1);
            behind
                .take_while(move |(_, definition)| definition.start_byte < end)
                .filter(move |(_, definition)| definition.parent == Some(owner))
                .map(move |(number, _)| Place { definition: number as u32, ..place })
                .collect::<Vec<_>>()
        };
        let mut waiting: HashMap<(NodeKind, &str), Vec<Place>> = HashMap::new();
        for member in inner(self.pairs[old.pair as usize].old, old).into_iter().rev() {
            if !self.is_used(member) {
                let definition = self.old(member);
                waiting.entry((definition.kind, &definition.name)).or_default().push(member);
            }
        }
        if waiting.is_empty() {
            return;
        }
        for member in inner(self.pairs[new.pair as usize].new, new) {
            let definition = self.new(member);
            let key = (definition.kind, definition.name.as_str());
            if self.is_open(member)
                && let Some(before) = waiting.get_mut(&key).and_then(Vec::pop)
            {
                self.set(member, before, 1.0);
                self.members(before, member);
            }
        }
    }

    /// How near the place of one is to that of the other.
    fn nearness(&self, old: Place, new: Place) -> Nearness {
        let (before, now) = (self.old(old), self.new(new));
        if let (Some(a), Some(b)) = (before.parent, now.parent) {
            let origin = self.origin(Place { definition: b, ..new }).map(|origin| origin.old);
            if origin == Some(Place { definition: a, ..old }) {
                return Nearness::SameOwner;
            }
        }
        let (a, b) = (owner_name(before), owner_name(now));
        match (old.pair == new.pair, a == b) {
            // Methods of Go and other members that lie outside their owner, too.
            (true, true) => Nearness::SameOwner,
            (false, true) if a.is_empty() => Nearness::TopLevel,
            (false, true) => Nearness::OwnerOfSameName,
            (true, false) => Nearness::SameFile,
            (false, false) => Nearness::Elsewhere,
        }
    }
}

/// A qualified name without the name.
fn owner_name(definition: &Definition) -> &str {
    definition.qualified_name.strip_suffix(definition.name.as_str()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    SameOwner,
    OwnerOfSameName,
    SameFile,
    TopLevel,
    Elsewhere,
}

/// What may become what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Container,
    Function,
    Value,
}

impl Class {
    fn of(kind: NodeKind) -> Self {
        match kind {
            NodeKind::Module
            | NodeKind::Class
            | NodeKind::Struct
            | NodeKind::Union
            | NodeKind::Record
            | NodeKind::Annotation
            | NodeKind::Interface
            | NodeKind::Trait
            | NodeKind::Impl
            | NodeKind::Enum => Self::Container,
            NodeKind::Function
            | NodeKind::Method
            | NodeKind::Constructor
            | NodeKind::Property
            | NodeKind::Macro => Self::Function,
            NodeKind::EnumMember
            | NodeKind::TypeAlias
            | NodeKind::Field
            | NodeKind::Constant
            | NodeKind::Variable => Self::Value,
        }
    }
}

/// Kinds that may become each other beyond being of one class.
fn are_kin(a: NodeKind, b: NodeKind) -> bool {
    let alone = [NodeKind::Module, NodeKind::Impl, NodeKind::Macro, NodeKind::EnumMember];
    a == b || !(alone.contains(&a) || alone.contains(&b))
}

fn are_one_language(a: Language, b: Language) -> bool {
    let plain = |language| if language == Language::Tsx { Language::TypeScript } else { language };
    plain(a) == plain(b)
}

/// A definition that is looked for.
struct Item<'a> {
    place: Place,
    definition: &'a Definition,
    side: Side<'a>,
    /// Read when it is first compared.
    body: Option<Body>,
}

impl Item<'_> {
    fn body(&mut self) -> &Body {
        self.body.get_or_insert_with(|| {
            let span = self.definition.start_byte as usize..self.definition.end_byte as usize;
            Body::new(self.side.text.get(span).unwrap_or_default(), &self.definition.name)
        })
    }
}

/// Two that may be one.
struct Candidate {
    old: usize,
    new: usize,
    nearness: Nearness,
    similarity: f32,
    /// What the best are chosen by.
    score: f32,
}

struct Search<'l, 'a> {
    lineage: &'l mut Lineage<'a>,
    old: Vec<Item<'a>>,
    new: Vec<Item<'a>>,
}

impl<'l, 'a> Search<'l, 'a> {
    fn new(lineage: &'l mut Lineage<'a>, old: Vec<Item<'a>>, new: Vec<Item<'a>>) -> Self {
        Self { lineage, old, new }
    }

    fn is_left(&self, old: usize, new: usize) -> bool {
        !self.lineage.is_used(self.old[old].place) && self.lineage.is_open(self.new[new].place)
    }

    fn may_be_one(&self, old: usize, new: usize) -> bool {
        let (a, b) = (&self.old[old], &self.new[new]);
        are_kin(a.definition.kind, b.definition.kind)
            && are_one_language(a.side.language, b.side.language)
    }

    /// Pairs of one name.
    fn namesakes(&self) -> Vec<(usize, usize)> {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, item) in self.old.iter().enumerate() {
            if !self.lineage.is_used(item.place) {
                by_name.entry(&item.definition.name).or_default().push(number);
            }
        }
        let mut pairs = Vec::new();
        for (new, item) in self.new.iter().enumerate() {
            let Some(old) = by_name.get(item.definition.name.as_str()) else { continue };
            if self.lineage.is_open(item.place) {
                let fit = old.iter().filter(|old| self.may_be_one(**old, new));
                pairs.extend(fit.map(|old| (*old, new)).take(MAX_NAMESAKES));
            }
        }
        pairs
    }

    fn take(&mut self, candidate: &Candidate, similarity: f32) {
        let (old, new) = (self.old[candidate.old].place, self.new[candidate.new].place);
        self.lineage.set(new, old, similarity);
        self.lineage.members(old, new);
    }

    /// Takes the best candidates first.
    fn take_best(&mut self, mut candidates: Vec<Candidate>, by_name: bool) {
        candidates.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then_with(|| a.nearness.cmp(&b.nearness)).then_with(|| {
                let place = |c: &Candidate| (self.old[c.old].place, self.new[c.new].place);
                place(a).cmp(&place(b))
            })
        });
        for candidate in &candidates {
            if self.is_left(candidate.old, candidate.new) {
                let is_name = by_name && candidate.nearness <= Nearness::OwnerOfSameName;
                self.take(candidate, if is_name { 1.0 } else { candidate.similarity });
            }
        }
    }

    /// The same name and text elsewhere.
    fn exact(&mut self) {
        let mut candidates = Vec::new();
        for (old, new) in self.namesakes() {
            let (a, b) = (&self.old[old], &self.new[new]);
            if a.definition.hash != b.definition.hash || a.definition.kind != b.definition.kind {
                continue;
            }
            let nearness = self.lineage.nearness(a.place, b.place);
            let is_value = Class::of(a.definition.kind) == Class::Value;
            let words = self.old[old].body().words;
            let is_said = nearness <= Nearness::OwnerOfSameName
                || (words >= TINY_WORDS && !is_value)
                || words >= SMALL_WORDS
                || (nearness == Nearness::TopLevel && words >= TINY_WORDS);
            if is_said {
                let score = 5.0 - nearness as u8 as f32;
                candidates.push(Candidate { old, new, nearness, similarity: 1.0, score });
            }
        }
        self.take_best(candidates, true);
    }

    fn by_name(&mut self) {
        let mut candidates = Vec::new();
        for (old, new) in self.namesakes() {
            let nearness = self.lineage.nearness(self.old[old].place, self.new[new].place);
            let similarity = dice(self.old[old].body(), self.new[new].body());
            let words = self.old[old].body().words.min(self.new[new].body().words);
            let is_value = Class::of(self.old[old].definition.kind) == Class::Value;
            let mut enough = match nearness {
                Nearness::SameOwner => SAME_OWNER,
                Nearness::OwnerOfSameName => OWNER_OF_SAME_NAME,
                Nearness::TopLevel => TOP_LEVEL,
                Nearness::SameFile | Nearness::Elsewhere => ELSEWHERE,
            };
            if nearness > Nearness::OwnerOfSameName && words < SMALL_WORDS {
                enough += SMALL_EXTRA;
            }
            if nearness > Nearness::TopLevel && (words < TINY_WORDS || is_value) {
                continue;
            }
            // In one owner the name is enough: only its kind is another.
            let kept = nearness == Nearness::SameOwner && words < SMALL_WORDS;
            if similarity >= enough || kept {
                let score = similarity + 0.1 * (4.0 - nearness as u8 as f32);
                candidates.push(Candidate { old, new, nearness, similarity, score });
            }
        }
        self.take_best(candidates, true);
    }

    fn by_body(&mut self) {
        let mut postings = Postings::default();
        for number in 0..self.old.len() {
            if !self.lineage.is_used(self.old[number].place) {
                postings.add(number, self.old[number].body());
            }
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for new in 0..self.new.len() {
            if !self.lineage.is_open(self.new[new].place) {
                continue;
            }
            for old in postings.like(self.new[new].body()) {
                if !self.may_be_one(old, new)
                    || self.old[old].definition.name == self.new[new].definition.name
                {
                    continue;
                }
                let nearness = self.lineage.nearness(self.old[old].place, self.new[new].place);
                let similarity = dice(self.old[old].body(), self.new[new].body());
                let words = self.old[old].body().words.min(self.new[new].body().words);
                let is_value = Class::of(self.old[old].definition.kind) == Class::Value;
                let is_near = nearness <= Nearness::SameFile;
                let enough = match () {
                    () if words < TINY_WORDS || (is_value && words < SMALL_WORDS) => continue,
                    () if words < SMALL_WORDS && nearness > Nearness::OwnerOfSameName => continue,
                    () if words < SMALL_WORDS || is_value => RENAMED_SMALL,
                    () if is_near => RENAMED_NEAR,
                    () => RENAMED_FAR,
                };
                if similarity >= enough {
                    let (a, b) = (self.old[old].definition, self.new[new].definition);
                    let score = similarity
                        + 0.1 * names_alike(&a.name, &b.name)
                        + if is_near { 0.05 } else { 0.0 };
                    candidates.push(Candidate { old, new, nearness, similarity, score });
                }
            }
        }
        let clear = clear(&candidates);
        let candidates =
            candidates.into_iter().zip(clear).filter(|(_, clear)| *clear).map(|(c, _)| c).collect();
        self.take_best(candidates, false);
    }
}

/// Most definitions of one name that one is compared with.
const MAX_NAMESAKES: usize = 200;

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
    let mut best_of_new: HashMap<usize, f32> = HashMap::new();
    for candidate in candidates {
        let best = best_of_new.entry(candidate.new).or_insert(f32::MIN);
        *best = best.max(candidate.score);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Limits, parse};

    /// A file before and after, empty for one that is not there.
    type Texts<'a> = (&'a str, &'a str);

    /// What new definitions were, as "new <- old", of those that were not in the same place.
    fn across(language: Language, files: &[Texts<'_>]) -> Vec<String> {
        let facts = |text: &str| parse(language, text, &Limits::default(), &|| false).unwrap().0;
        let parsed: Vec<_> = files.iter().map(|(a, b)| (facts(a), facts(b))).collect();
        let side = |facts, text: &'static str| Side { language, facts, text };
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let pairs: Vec<Pair<'_>> = files
            .iter()
            .zip(&parsed)
            .map(|((a, b), (old, new))| Pair {
                old: (!a.is_empty()).then(|| side(old, leak(a))),
                new: (!b.is_empty()).then(|| side(new, leak(b))),
            })
            .collect();
        let mut lineage = Lineage::in_place(&pairs);
        let mut found = Vec::new();
        let placed: Vec<Vec<bool>> = lineage.closed.clone();
        lineage.across();
        for (pair, origins) in lineage.origins.iter().enumerate() {
            for (number, origin) in origins.iter().enumerate() {
                let Some(origin) = origin.filter(|_| !placed[pair][number]) else { continue };
                let new = &parsed[pair].1.definitions[number];
                let old =
                    &parsed[origin.old.pair as usize].0.definitions[origin.old.definition as usize];
                found.push(format!("{} <- {}", new.qualified_name, old.qualified_name));
            }
        }
        found
    }

    const SUM: &str = "(items, limit):\n    total = 0\n    for item in items:\n        if item.price > limit:\n            total += item.price * item.count\n    return round(total, 2)\n";
    const OPEN: &str = "(path, mode):\n    handle = open(path, mode)\n    try:\n        return handle.read().decode('utf-8')\n    finally:\n        handle.close()\n";

    #[test]
    fn equals_are_told_apart_by_their_order() {
        let one = "def f(): return 1\ndef f(): return 2\n";
        let facts = parse(Language::Python, one, &Limits::default(), &|| false).unwrap().0;
        let side = Some(Side { language: Language::Python, facts: &facts, text: one });
        let pairs = [Pair { old: side, new: side }];
        let lineage = Lineage::in_place(&pairs);
        for definition in 0..2 {
            let place = Place { pair: 0, definition };
            assert_eq!(lineage.origin(place), Some(Origin { old: place, similarity: 1.0 }));
        }
    }

    #[test]
    fn a_function_is_found_under_another_name_and_in_another_file() {
        let python = |files: &[Texts<'_>]| across(Language::Python, files);
        let (f, g) = (format!("def f{SUM}"), format!("def g{SUM}"));
        assert_eq!(python(&[(&f, &g)]), ["g <- f"]);
        let (x, xf) = ("X = 1\n", format!("X = 1\n{f}"));
        assert_eq!(python(&[(&xf, x), ("", &f)]), ["f <- f"]);
        let edited = f.replace("round(total, 2)", "round(total, digits)");
        assert_eq!(python(&[(&xf, x), ("", &edited)]), ["f <- f"]);
        assert_eq!(python(&[(&xf, x), ("", &g)]), ["g <- f"]);
    }

    #[test]
    fn what_has_little_in_common_is_another() {
        let python = |files: &[Texts<'_>]| across(Language::Python, files);
        let (f, other) = (format!("def f{SUM}"), format!("def g{OPEN}"));
        assert!(python(&[(&f, &other)]).is_empty());
        // The name alone does not do across files.
        assert!(
            python(&[
                (&f, "X = 1\n"),
                ("", &format!("class C:\n    def f{}", OPEN.replace('\n', "\n    ")))
            ])
            .is_empty()
        );
        // Small bodies are alike by chance.
        assert!(python(&[("def f(): return 1\n", "def g(): return 1\n")]).is_empty());
        // Which of two that are as good it was, nobody knows.
        let two =
            format!("def g{0}\ndef h{0}", SUM.replace("limit", "bound").replace("total", "sum"));
        assert!(python(&[(&f, &two)]).is_empty());
    }

    #[test]
    fn members_follow_their_owner() {
        let class = |name: &str| {
            format!(
                "class {name}:\n    x = 1\n    def a(self): return 1\n    def b{}",
                SUM.replace('\n', "\n    ")
            )
        };
        let found = across(Language::Python, &[(&class("Old"), &class("New"))]);
        assert_eq!(found, ["New <- Old", "New.x <- Old.x", "New.a <- Old.a", "New.b <- Old.b"]);
    }

    #[test]
    fn kinds_of_one_class_may_become_each_other() {
        let body = "{ let mut total = 0; for item in items { if item.price > limit { total += item.price * item.count; } } total / 2 }";
        let free = format!("struct S;\nfn sum(items: &[Item], limit: u32) -> u32 {body}\n");
        let method = format!(
            "struct S;\nimpl S {{ fn sum(&self, items: &[Item], limit: u32) -> u32 {body} }}\n"
        );
        assert_eq!(across(Language::Rust, &[(&free, &method)]), ["S::sum <- sum"]);
    }
}
