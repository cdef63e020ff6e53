//! Which definition of a commit is which of its parent's: identity through edits, renames and moves.
//!
//! A pure function of the changed files before and after, in this order:
//!
//! 1. *Same place*: in one file (or the file it was renamed from) the same kind and qualified name, and the
//!    same place among those that share them, as an ingest of an edited file keeps nodes.
//! 2. Of what is left in all files of the commit, types and other containers first, then functions, then
//!    values, each against what is left of the same language (`search`):
//!    * *exact*: the same name and text elsewhere;
//!    * *by name*: the same name, and bodies alike enough for how near the place is;
//!    * *by body*: another name, and bodies very much alike.
//!
//!    When a container is recognised, so are its members of the same name at once.
//! 3. *By members*: a container whose members went on in a new one is that one.
//!
//! Every definition is matched once at most, the best pairs first. How alike bodies are, `similarity` says.

use std::collections::{HashMap, HashSet};

use onyx_protocol::WireError;
use onyx_protocol::facts::{Definition, FileFacts, Language, NodeKind};

use super::search::Search;
use super::similarity::Body;

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
    pub(super) pairs: &'a [Pair<'a>],
    /// By pair and new definition.
    pub(super) origins: Vec<Vec<Option<Origin>>>,
    /// By pair and new definition: not to be looked for any further.
    closed: Vec<Vec<bool>>,
    /// By pair and old definition: whether it is some new one's origin.
    used: Vec<Vec<bool>>,
}

pub(super) fn definitions<'a>(side: Option<Side<'a>>) -> &'a [Definition] {
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

    pub(super) fn before(&self, place: Place) -> &'a Definition {
        &definitions(self.pairs[place.pair as usize].old)[place.definition as usize]
    }

    pub(super) fn after(&self, place: Place) -> &'a Definition {
        &definitions(self.pairs[place.pair as usize].new)[place.definition as usize]
    }

    /// The other steps: what moved or has another name. `check` is asked often, and an error of it ends them.
    pub(super) fn across(
        &mut self,
        check: &dyn Fn() -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        for class in [Class::Container, Class::Function, Class::Value] {
            let (old, new) = self.left(class);
            if !old.is_empty() && !new.is_empty() {
                Search::new(self, old, new, check).run()?;
            }
        }
        self.by_members(check)
    }

    /// Definitions of a class that are left, before and after.
    pub(super) fn left(&self, class: Class) -> (Vec<Item<'a>>, Vec<Item<'a>>) {
        let old = self.items(class, |pair| pair.old, |lineage, place| !lineage.is_used(place));
        let new = self.items(class, |pair| pair.new, Self::is_open);
        (old, new)
    }

    fn items(
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

    /// Names that at most so many definitions of the changed files have, as `plain` writes them.
    pub(super) fn rare_names(&self, most: u32, plain: fn(&str) -> String) -> HashSet<String> {
        let sides = self.pairs.iter().flat_map(|pair| [pair.old, pair.new]);
        let mut counts: HashMap<String, u32> = HashMap::new();
        for definition in sides.flat_map(definitions) {
            *counts.entry(plain(&definition.name)).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count <= most).map(|(name, _)| name).collect()
    }

    /// How near the place of one is to that of the other.
    pub(super) fn nearness(&self, old: Place, new: Place) -> Nearness {
        let (before, now) = (self.before(old), self.after(new));
        let (a, b) = (owner_name(before), owner_name(now));
        let is_origin = |a: u32, b: u32| {
            let origin = self.origin(Place { definition: b, ..new }).map(|origin| origin.old);
            origin == Some(Place { definition: a, ..old })
        };
        match (before.parent, now.parent) {
            (Some(a), Some(b)) if is_origin(a, b) => return Nearness::SameOwner,
            _ => {}
        }
        // Methods of Go and other members that lie outside their owner, too.
        if old.pair == new.pair && a == b {
            return Nearness::SameOwner;
        }
        let is_function = |place: &u32, side: Option<Side<'a>>| {
            Class::of(definitions(side)[*place as usize].kind) == Class::Function
        };
        let functions = |place: Place, side: Option<Side<'a>>| {
            ancestors(definitions(side), place.definition)
                .into_iter()
                .filter(|ancestor| is_function(ancestor, side))
                .collect::<Vec<_>>()
        };
        let around_now = functions(new, self.pairs[new.pair as usize].new);
        let around_before = functions(old, self.pairs[old.pair as usize].old);
        if around_now.iter().any(|b| around_before.iter().any(|a| is_origin(*a, *b))) {
            return Nearness::Enclosed;
        }
        match (old.pair == new.pair, a == b) {
            (_, true) if a.is_empty() => Nearness::TopLevel,
            (_, true) => Nearness::OwnerOfSameName,
            (true, false) => Nearness::SameFile,
            (false, false) => Nearness::Elsewhere,
        }
    }
}

/// What is around a definition, inside out.
fn ancestors(all: &[Definition], definition: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut at = all[definition as usize].parent;
    while let Some(parent) = at {
        found.push(parent);
        at = all[parent as usize].parent;
    }
    found
}

/// A qualified name without the name.
pub(super) fn owner_name(definition: &Definition) -> &str {
    definition.qualified_name.strip_suffix(definition.name.as_str()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Nearness {
    SameOwner,
    /// Somewhere in the same function.
    Enclosed,
    OwnerOfSameName,
    SameFile,
    TopLevel,
    Elsewhere,
}

/// What may become what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Container,
    Function,
    Value,
}

impl Class {
    pub(super) fn of(kind: NodeKind) -> Self {
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
            | NodeKind::Enum
            | NodeKind::TypeAlias => Self::Container,
            NodeKind::Function
            | NodeKind::Method
            | NodeKind::Constructor
            | NodeKind::Property
            | NodeKind::Macro => Self::Function,
            NodeKind::EnumMember | NodeKind::Field | NodeKind::Constant | NodeKind::Variable => {
                Self::Value
            }
        }
    }
}

/// Whether one may have become the other, as far as kinds and languages say.
pub(super) fn may_be_one(old: &Item<'_>, new: &Item<'_>) -> bool {
    let alone = [NodeKind::Module, NodeKind::Impl, NodeKind::Macro, NodeKind::EnumMember];
    let (a, b) = (old.definition.kind, new.definition.kind);
    // TypeScript is one language with or without JSX.
    let plain = |language| if language == Language::Tsx { Language::TypeScript } else { language };
    (a == b || !(alone.contains(&a) || alone.contains(&b)))
        && plain(old.side.language) == plain(new.side.language)
}

/// A definition that is looked for.
pub(super) struct Item<'a> {
    pub(super) place: Place,
    pub(super) definition: &'a Definition,
    pub(super) side: Side<'a>,
    /// Read when it is first compared.
    body: Option<Body>,
}

impl Item<'_> {
    pub(super) fn body(&mut self) -> &Body {
        self.body.get_or_insert_with(|| {
            let span = self.definition.start_byte as usize..self.definition.end_byte as usize;
            Body::new(self.side.text.get(span).unwrap_or_default(), &self.definition.name)
        })
    }
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
        lineage.across(&|| Ok(())).unwrap();
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

    #[test]
    fn a_name_that_only_one_has_needs_less() {
        let python = |files: &[Texts<'_>]| across(Language::Python, files);
        let typed = "(items: list[Item], limit: float) -> float:\n    found = [i for i in items if i.price > limit]\n    return round(sum(i.price * i.count for i in found), 2)\n";
        let (old, new) = (format!("def total_above{SUM}"), format!("def total_above{typed}"));
        assert_eq!(python(&[(&old, "X = 1\n"), ("", &new)]), ["total_above <- total_above"]);
        let private = new.replace("total_above", "_total_above");
        assert_eq!(python(&[(&old, "X = 1\n"), ("", &private)]), ["_total_above <- total_above"]);
        // What many are called says less.
        let others = "class A:\n    def total_above(self): return 1\nclass B:\n    def total_above(self): return 2\nclass C:\n    def total_above(self): return 3\n";
        let many = format!("{others}X = 1\n");
        assert!(python(&[(&old, "X = 1\n"), ("", &new), (others, &many)]).is_empty());
    }

    #[test]
    fn what_is_in_the_same_function_stays_the_same() {
        let old = "def option(name):\n    def decorator(f):\n        def callback(ctx, value):\n            if not value:\n                ctx.abort()\n        return add(f, name, callback)\n    return decorator\n";
        let new = "def option(name):\n    def callback(ctx: Context, value: bool) -> None:\n        if not value:\n            ctx.abort()\n    return add(name, callback)\n";
        let found = across(Language::Python, &[(old, new)]);
        assert_eq!(
            found,
            ["option.<locals>.callback <- option.<locals>.decorator.<locals>.callback"]
        );
    }

    #[test]
    fn a_type_is_known_by_its_methods() {
        let body = "{\n\tvar all []string\n\tif d&1 == 1 {\n\t\tall = append(all, \"error\")\n\t}\n\treturn strings.Join(all, \", \")\n}\n";
        let old = format!("package p\n\ntype Before int\n\nfunc (d Before) names() string {body}");
        let new = format!("package p\n\ntype After int\n\nfunc (d After) names() string {body}");
        let found = across(Language::Go, &[(&old, &new)]);
        assert_eq!(found, ["After <- Before", "After.names <- Before.names"]);
    }

    #[test]
    fn a_constructor_goes_with_its_class() {
        let class = |name: &str| {
            format!(
                "class {name} {{\n  {name}() {{ super(); }}\n  int sum(int[] items) {{ int total = 0; for (int item : items) {{ total += item; }} return total; }}\n}}\n"
            )
        };
        let found = across(Language::Java, &[(&class("Old"), &class("New"))]);
        assert_eq!(found, ["New <- Old", "New.New <- Old.Old", "New.sum <- Old.sum"]);
    }

    #[test]
    fn it_ends_when_it_is_not_wanted_any_more() {
        let (old, new) = (format!("def f{SUM}"), format!("def g{SUM}"));
        let facts = |text| parse(Language::Python, text, &Limits::default(), &|| false).unwrap().0;
        let (before, now) = (facts(&old), facts(&new));
        let side = |facts, text| Some(Side { language: Language::Python, facts, text });
        let pairs = [Pair { old: side(&before, &old), new: side(&now, &new) }];
        let gone = || Err(WireError::new(onyx_protocol::ErrorKind::Canceled, "canceled"));
        assert!(Lineage::in_place(&pairs).across(&gone).is_err());
    }

    /// Everything of many files goes and comes, under a handful of names: no pair of all is looked at.
    #[test]
    fn a_large_commit_takes_no_more_than_its_size() {
        let file = |number: usize, word: &str| -> String {
            (0..20)
                .map(|n| format!("class C{n}:\n    def run(self): return self.{word}({number}, {n}, self.a, self.b)\n"))
                .collect()
        };
        let files: Vec<(String, String)> =
            (0..200).map(|n| (file(n, "load"), file(n, "store"))).collect();
        let facts =
            |text: &str| parse(Language::Python, text, &Limits::default(), &|| false).unwrap().0;
        let parsed: Vec<_> = files.iter().map(|(a, b)| (facts(a), facts(b))).collect();
        let side = |facts, text| Some(Side { language: Language::Python, facts, text });
        let mut pairs = Vec::new();
        for ((old, new), (before, now)) in files.iter().zip(&parsed) {
            pairs.push(Pair { old: side(before, old.as_str()), new: None });
            pairs.push(Pair { old: None, new: side(now, new.as_str()) });
        }
        let asked = std::cell::Cell::new(0u64);
        let mut lineage = Lineage::in_place(&pairs);
        let count = || -> Result<(), WireError> {
            asked.set(asked.get() + 1);
            Ok(())
        };
        lineage.across(&count).unwrap();
        // 4,000 classes and 4,000 methods; all pairs would be 32 million.
        assert!(asked.get() < 2_000_000, "{}", asked.get());
    }
}
