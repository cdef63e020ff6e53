//! What tree and query give of one file, in one pass: candidates for definitions, comments,
//! attributes, and the statements around them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;

use onyx_protocol::facts::NodeKind;
use onyx_protocol::ingest::Notice;
use tree_sitter::{Node, ParseOptions, Parser, QueryCursor, StreamingIterator, Tree};

use super::comments::Prelude;
use super::grammar::{Grammar, Role, Root};
use super::watch::Watch;

/// Nodes marked `@small` are not entered when they have no more nodes than this, themselves included.
/// The least definition that could stand in one, `() => {}` as a value, has more.
const SMALL: usize = 8;

/// What a pattern captured around one `@definition`.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'t> {
    pub kind: NodeKind,
    pub node: Node<'t>,
    pub name: Option<Node<'t>>,
    pub body: Option<Node<'t>>,
    pub holder: Option<Node<'t>>,
    /// Patterns that come first in the query file win.
    pattern: usize,
}

/// Everything captured in one file.
#[derive(Default)]
pub(super) struct Found<'t> {
    pub candidates: Vec<Candidate<'t>>,
    pub prelude: Prelude<'t>,
    /// From a wrapped node's id to its wrapper.
    pub wrappers: HashMap<usize, Node<'t>>,
    pub exports: HashSet<&'t str>,
    pub package: Option<Node<'t>>,
    /// First bytes of `yield`s, in order.
    pub yields: Vec<usize>,
    /// The nodes that are looked at again, in order.
    pub visits: Vec<Visit<'t>>,
}

/// A node with a tag, or with nodes in it.
#[derive(Clone, Copy)]
pub(super) struct Visit<'t> {
    pub node: Node<'t>,
    /// Of a node with a tag, the field of its parent it stands in.
    pub field: Option<NonZeroU16>,
    /// Place in `visits` behind what is in it.
    pub end: u32,
}

thread_local! {
    // Both keep buffers that are worth more than they cost.
    static PARSER: RefCell<Parser> = RefCell::new(Parser::new());
    static QUERIES: RefCell<QueryCursor> = RefCell::new(QueryCursor::new());
}

/// The syntax tree of `source`. `old` is the tree of a text that differs only where it was edited.
pub(super) fn tree(
    grammar: &Grammar,
    source: &str,
    old: Option<&Tree>,
    watch: &Watch<'_>,
) -> Result<Tree, Notice> {
    PARSER.with_borrow_mut(|parser| {
        parser
            .set_language(&grammar.language)
            // Fails for tables of another tree-sitter version only, which are compiled in.
            .expect("grammar and tree-sitter versions fit together");
        let bytes = source.as_bytes();
        let mut progress = |_: &_| watch.poll();
        let tree = parser.parse_with_options(
            &mut |at, _| bytes.get(at..).unwrap_or_default(),
            old,
            Some(ParseOptions::new().progress_callback(&mut progress)),
        );
        if tree.is_none() {
            // Or the next file would continue this one.
            parser.reset();
        }
        watch.check()?;
        // Without a language or after a cancel there is no tree: neither is the case here.
        Ok(tree.expect("a parser with a language that was not stopped gives a tree"))
    })
}

/// Finds what the grammar's query captures.
///
/// Run over a whole tree, tree-sitter's query cursor costs half as much as parsing, most of it at
/// nodes no pattern begins with. So the tree is walked here and the query is run at the nodes of a
/// kind that begins a pattern, for patterns that begin right there.
///
/// With tags (by node kind; 0 for none) it keeps the `visits` of a second walk, which would cost as much.
pub(super) fn find<'t>(
    grammar: &Grammar,
    tree: &'t Tree,
    source: &'t str,
    tags: Option<&[u8]>,
    watch: &Watch<'_>,
) -> Result<Found<'t>, Notice> {
    let mut found = Found::default();
    // Places of the visits around the cursor, and how many they were where the patterns end.
    let mut around: Vec<u32> = Vec::with_capacity(64);
    let mut only_visits: Option<usize> = None;
    let mut statement: Option<Node<'t>> = None;
    QUERIES.with_borrow_mut(|queries| {
        queries.set_max_start_depth(Some(0));
        let mut cursor = tree.walk();
        let mut steps = 0_u32;
        'tree: loop {
            let node = cursor.node();
            let kind = usize::from(node.kind_id());
            let (mut enter, mut is_small) = (true, false);
            match grammar.roots.get(kind).copied().filter(|_| only_visits.is_none()) {
                None | Some(Root::None) => {}
                Some(Root::Lone(Role::Small)) => {
                    is_small = node.descendant_count() <= SMALL;
                    enter = !is_small || tags.is_some();
                }
                Some(Root::Lone(Role::Statement)) => statement = Some(node),
                Some(Root::Lone(role)) => {
                    enter = role != Role::Comment;
                    found.take(0, [(role, node)].into_iter(), None, source);
                }
                Some(Root::Patterns) => {
                    let begins = |s: &Node<'_>| s.start_byte() == node.start_byte();
                    let around = statement.filter(begins);
                    let mut matches = queries.matches(&grammar.query, node, source.as_bytes());
                    while let Some(matched) = matches.next() {
                        let captures = matched.captures().iter();
                        let captures = captures.map(|c| (grammar.roles[c.index as usize], c.node));
                        found.take(matched.pattern_index, captures, around, source);
                    }
                }
            }
            steps += 1;
            if steps.is_multiple_of(1 << 10) && watch.poll().is_break() {
                break;
            }
            let tag = tags.and_then(|tags| tags.get(kind).copied()).unwrap_or(0);
            let field = if tag != 0 { cursor.field_id() } else { None };
            let place = found.visits.len() as u32;
            if enter && cursor.goto_first_child() {
                if tags.is_some() {
                    if is_small {
                        only_visits = Some(around.len());
                    }
                    found.visits.push(Visit { node, field, end: place + 1 });
                    around.push(place);
                }
                continue;
            }
            if tag != 0 {
                found.visits.push(Visit { node, field, end: place + 1 });
            }
            while !cursor.goto_next_sibling() {
                let end = found.visits.len() as u32;
                if let Some(place) = around.pop() {
                    found.visits[place as usize].end = end;
                }
                if only_visits == Some(around.len()) {
                    only_visits = None;
                }
                if !cursor.goto_parent() {
                    break 'tree;
                }
            }
        }
    });
    watch.check()?;
    found.arrange();
    Ok(found)
}

impl<'t> Found<'t> {
    fn take(
        &mut self,
        pattern: usize,
        captures: impl Iterator<Item = (Role, Node<'t>)>,
        statement: Option<Node<'t>>,
        source: &'t str,
    ) {
        let mut definition = None;
        let (mut name, mut body, mut holder) = (None, None, statement);
        let (mut wrapper, mut wrapped) = (None, None);
        for (role, node) in captures {
            match role {
                Role::Definition(kind) => definition = Some((kind, node)),
                Role::Name => name = Some(node),
                Role::Body => body = Some(node),
                Role::Holder => holder = Some(node),
                Role::Wrapper => wrapper = Some(node),
                Role::Wrapped => wrapped = Some(node),
                Role::Comment => self.prelude.push(node, false, source),
                Role::Attribute => self.prelude.push(node, true, source),
                Role::Export => {
                    self.exports.extend(source.get(node.byte_range()));
                }
                Role::Package => self.package = self.package.or(Some(node)),
                Role::Yield => self.yields.push(node.start_byte()),
                Role::Statement | Role::Small | Role::Other => {}
            }
        }
        if let Some((kind, node)) = definition {
            self.candidates.push(Candidate { kind, node, name, body, holder, pattern });
        }
        if let (Some(wrapper), Some(wrapped)) = (wrapper, wrapped) {
            self.wrappers.insert(wrapped.id(), wrapper);
        }
    }

    /// Orders what was captured, and keeps one candidate for each definition.
    fn arrange(&mut self) {
        self.prelude.arrange();
        self.yields.sort_unstable();
        let key = |c: &Candidate<'_>| {
            (c.node.start_byte(), c.node.id(), c.name.map(|n| n.start_byte()), c.pattern)
        };
        self.candidates.sort_unstable_by_key(key);
        self.candidates.dedup_by_key(|c| (c.node.id(), c.name.map(|n| n.id())));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onyx_protocol::facts::Language;

    use super::*;
    use crate::parse::grammar::grammar;

    /// The naive twin of `find`: the query over the whole tree.
    fn find_all<'t>(grammar: &Grammar, tree: &'t Tree, source: &'t str) -> Found<'t> {
        let mut found = Found::default();
        let mut queries = QueryCursor::new();
        let mut matches = queries.matches(&grammar.query, tree.root_node(), source.as_bytes());
        while let Some(matched) = matches.next() {
            let captures = matched.captures().iter();
            let captures = captures.map(|c| (grammar.roles[c.index as usize], c.node));
            found.take(matched.pattern_index, captures, None, source);
        }
        found.arrange();
        found
    }

    #[test]
    fn finds_what_the_query_finds_over_the_whole_tree() {
        let files = [
            (Language::Rust, include_str!("found.rs")),
            (Language::Rust, include_str!("../../tests/fixtures/shapes.rs")),
            (Language::Python, include_str!("../../tests/fixtures/shapes.py")),
            (Language::JavaScript, include_str!("../../tests/fixtures/shapes.js")),
            (Language::TypeScript, include_str!("../../tests/fixtures/shapes.ts")),
            (Language::Tsx, include_str!("../../tests/fixtures/shapes.tsx")),
            (Language::Go, include_str!("../../tests/fixtures/shapes.go")),
            (Language::Java, include_str!("../../tests/fixtures/Shapes.java")),
        ];
        for (language, source) in files {
            let watch = Watch::new(Duration::from_secs(60), &|| false);
            let grammar = grammar(language).unwrap();
            let tree = tree(grammar, source, None, &watch).unwrap();
            let fast = find(grammar, &tree, source, None, &watch).unwrap();
            let naive = find_all(grammar, &tree, source);
            let candidates = |found: &Found<'_>| {
                let candidates = found.candidates.iter();
                let parts = candidates.map(|c| {
                    (c.kind, c.node.id(), c.name.map(|n| n.id()), c.body.map(|n| n.id()), c.pattern)
                });
                parts.collect::<Vec<_>>()
            };
            assert!(candidates(&naive).len() > 5, "{language:?}");
            assert_eq!(candidates(&fast), candidates(&naive), "{language:?}");
            let spans = |found: &Found<'_>| found.prelude.spans(0..source.len(), source.len());
            assert_eq!(spans(&fast), spans(&naive), "{language:?}");
            assert_eq!(fast.exports, naive.exports);
            assert_eq!(fast.yields, naive.yields);
            assert_eq!(fast.package.map(|n| n.id()), naive.package.map(|n| n.id()));
            let wrapped = |found: &Found<'_>| {
                let mut ids: Vec<_> = found.wrappers.iter().map(|(k, v)| (*k, v.id())).collect();
                ids.sort_unstable();
                ids
            };
            assert_eq!(wrapped(&fast), wrapped(&naive));
        }
    }
}
