//! What tree and query give of one file, in one pass: candidates for definitions, comments,
//! attributes, and the statements around them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use onyx_protocol::facts::NodeKind;
use onyx_protocol::ingest::Notice;
use tree_sitter::{
    Node, ParseOptions, Parser, QueryCursor, QueryCursorOptions, StreamingIterator, Tree,
};

use super::comments::Prelude;
use super::grammar::{Grammar, Role};
use super::watch::Watch;

/// Nodes deeper than this are not looked at. Hand-written code stays below a few hundred, machine-made
/// chains of operators below a few thousand; tree-sitter's query cursor counts depth in 16 bits.
pub(super) const MAX_TREE_DEPTH: u32 = 10_000;

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
}

thread_local! {
    // Both keep buffers that are worth more than they cost.
    static PARSER: RefCell<Parser> = RefCell::new(Parser::new());
    static CURSOR: RefCell<QueryCursor> = RefCell::new(QueryCursor::new());
}

/// The syntax tree of `source`.
pub(super) fn tree(grammar: &Grammar, source: &str, watch: &Watch<'_>) -> Result<Tree, Notice> {
    PARSER.with_borrow_mut(|parser| {
        parser
            .set_language(&grammar.language)
            // Fails for tables of another tree-sitter version only, which are compiled in.
            .expect("grammar and tree-sitter versions fit together");
        let bytes = source.as_bytes();
        let mut progress = |_: &_| watch.poll();
        let tree = parser.parse_with_options(
            &mut |at, _| bytes.get(at..).unwrap_or_default(),
            None,
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

/// Runs the grammar's query over the tree.
pub(super) fn find<'t>(
    grammar: &Grammar,
    tree: &'t Tree,
    source: &'t str,
    watch: &Watch<'_>,
) -> Result<Found<'t>, Notice> {
    let mut found = Found::default();
    CURSOR.with_borrow_mut(|cursor| {
        let mut progress = |_: &_| watch.poll();
        let options = QueryCursorOptions::new().progress_callback(&mut progress);
        cursor.set_max_start_depth(Some(MAX_TREE_DEPTH));
        let mut matches = cursor.matches_with_options(
            &grammar.query,
            tree.root_node(),
            source.as_bytes(),
            options,
        );
        while let Some(matched) = matches.next() {
            let captures =
                matched.captures().iter().map(|c| (grammar.roles[c.index as usize], c.node));
            found.take(matched.pattern_index, captures, source);
        }
    });
    watch.check()?;
    found.arrange();
    Ok(found)
}

/// The line of the first node deeper than `MAX_TREE_DEPTH`, from 1.
pub(super) fn first_too_deep(tree: &Tree) -> Option<u32> {
    let mut cursor = tree.walk();
    let mut depth = 0;
    loop {
        // What has fewer descendants than levels are left cannot reach that deep.
        let levels_left = (MAX_TREE_DEPTH - depth) as usize;
        let reaches = cursor.node().descendant_count() > levels_left;
        if reaches && cursor.goto_first_child() {
            depth += 1;
            if depth == MAX_TREE_DEPTH {
                let row = cursor.node().start_position().row;
                return Some(u32::try_from(row + 1).unwrap_or(u32::MAX));
            }
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return None;
            }
            depth -= 1;
        }
    }
}

impl<'t> Found<'t> {
    fn take(
        &mut self,
        pattern: usize,
        captures: impl Iterator<Item = (Role, Node<'t>)>,
        source: &'t str,
    ) {
        let mut definition = None;
        let (mut name, mut body, mut holder) = (None, None, None);
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
                Role::Other => {}
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
