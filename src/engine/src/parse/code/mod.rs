//! The facts of `onyx_protocol::code`: what a file's names mean to others, and its references.
//!
//! One more pass over the tree, with a cursor: each language has a table from node kinds to a tag and
//! an `Extractor` that is asked at the nodes with a tag. What a handler opens (scope, definition) holds
//! for the node's inside and is closed behind it. Expressions and types are turned into shapes by
//! functions that recurse at most `MAX_SHAPE` deep; the walk itself does not recurse.
//!
//! A language is one file here, with its line in `extractor`; one that is long has the shapes of its
//! expressions and types, and what its patterns bind, in files beside it.

/// The child in a field of its parent. The field's number is found once for each place this stands in,
/// so it must stand in the part of one language.
macro_rules! field {
    ($node:expr, $name:literal) => {{
        static NUMBER: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
        let node: tree_sitter::Node<'_> = $node;
        let number = *NUMBER.get_or_init(|| $crate::parse::code::field_number(node, $name));
        node.child_by_field_id(number)
    }};
}

mod builder;
mod java;
mod java_shape;
mod pool;
mod python;
mod python_bind;
mod python_import;
mod python_shape;
mod rust;
mod rust_bind;
mod rust_items;
mod rust_macro;
mod rust_shape;

use std::sync::OnceLock;

use onyx_protocol::code::{Body, Interface};
use onyx_protocol::facts::{Definition, Language};
use tree_sitter::{Node, Tree};

pub(super) use builder::Builder;
pub(super) use pool::Interner;

use super::watch::Watch;

/// Deepest shape of an expression or type; what lies deeper is unknown.
pub(super) const MAX_SHAPE: u8 = 24;

/// What to do with a node's children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Into,
    Skip,
}

/// A language's part.
pub(super) trait Extractor: Sync {
    /// The tag of a node kind; 0 for those that are only walked through.
    fn tag(&self, kind: &str) -> u8;

    /// A node with a tag. `field` is the name of the field of its parent it stands in.
    fn enter<'t>(
        &self,
        builder: &mut Builder<'_, 't>,
        tag: u8,
        node: Node<'t>,
        field: Option<&'t str>,
    ) -> Step;
}

fn extractor(language: Language) -> Option<&'static dyn ObjectExtractor> {
    Some(match language {
        Language::Java => &java::Java,
        Language::Python => &python::Python,
        Language::Rust => &rust::Rust,
        _ => return None,
    })
}

/// `Extractor` with the walk around it, as an object.
trait ObjectExtractor: Sync {
    fn walk<'t>(
        &self,
        builder: &mut Builder<'_, 't>,
        tree: &'t Tree,
        tags: &[u8],
        watch: &Watch<'_>,
    );
    fn tag_of(&self, kind: &str) -> u8;
}

/// What to put back behind a node.
struct Frame {
    scope: u32,
    within: onyx_protocol::code::Within,
    in_type: bool,
}

impl<E: Extractor> ObjectExtractor for E {
    fn tag_of(&self, kind: &str) -> u8 {
        self.tag(kind)
    }

    fn walk<'t>(
        &self,
        builder: &mut Builder<'_, 't>,
        tree: &'t Tree,
        tags: &[u8],
        watch: &Watch<'_>,
    ) {
        let mut cursor = tree.walk();
        let mut frames: Vec<Frame> = Vec::with_capacity(64);
        let mut steps = 0_u32;
        loop {
            let frame =
                Frame { scope: builder.scope, within: builder.within, in_type: builder.in_type };
            let node = cursor.node();
            let tag = tags.get(usize::from(node.kind_id())).copied().unwrap_or(0);
            let step = match tag {
                0 => Step::Into,
                _ => self.enter(builder, tag, node, cursor.field_name()),
            };
            steps += 1;
            if steps.is_multiple_of(1 << 12) && watch.poll().is_break() {
                return;
            }
            if step == Step::Into && cursor.goto_first_child() {
                frames.push(frame);
                builder.around.push(node);
                continue;
            }
            (builder.scope, builder.within, builder.in_type) =
                (frame.scope, frame.within, frame.in_type);
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
                builder.around.pop();
                if let Some(frame) = frames.pop() {
                    (builder.scope, builder.within, builder.in_type) =
                        (frame.scope, frame.within, frame.in_type);
                }
            }
        }
    }
}

/// The number of a field in the grammar a node is of; one that no field has when there is none.
fn field_number(node: Node<'_>, name: &str) -> u16 {
    node.language().field_id_for_name(name).map_or(u16::MAX, std::num::NonZeroU16::get)
}

/// Tags by node kind id of a language's grammar.
fn tags(
    language: Language,
    tables: &tree_sitter::Language,
    of: &dyn ObjectExtractor,
) -> &'static [u8] {
    static TAGS: [OnceLock<Vec<u8>>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    TAGS[language as usize].get_or_init(|| {
        let count = u16::try_from(tables.node_kind_count()).unwrap_or(u16::MAX);
        let tag = |id| match tables.node_kind_is_named(id) {
            true => of.tag_of(tables.node_kind_for_id(id).unwrap_or_default()),
            false => 0,
        };
        (0..count).map(tag).collect()
    })
}

/// Interface and body of one file. `nodes` are the nodes of its definitions, by their numbers.
pub(super) fn extract<'t>(
    language: Language,
    tables: &tree_sitter::Language,
    tree: &'t Tree,
    source: &'t str,
    definitions: &[Definition],
    nodes: &[Node<'t>],
    watch: &Watch<'_>,
) -> (Interface, Body) {
    let mut builder = Builder::new(language, source, definitions, nodes);
    if let Some(extractor) = extractor(language) {
        extractor.walk(&mut builder, tree, tags(language, tables, extractor), watch);
    }
    builder.finish()
}
