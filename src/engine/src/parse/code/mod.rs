//! The facts of `onyx_protocol::code`: what a file's names mean to others, and its references.
//!
//! One more pass over the tree, along the visits that `found` kept: each language has a table from node kinds to a tag and
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
mod ecma;
mod ecma_assignment;
mod ecma_bind;
mod ecma_declaration;
mod ecma_jsdoc;
mod ecma_lift;
mod ecma_module;
mod ecma_shape;
mod golang;
mod golang_shape;
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

use std::num::NonZeroU16;
use std::sync::OnceLock;

use onyx_protocol::code::{Body, Interface};
use onyx_protocol::facts::{Definition, Language};
use tree_sitter::Node;

pub(super) use builder::Builder;
pub(super) use pool::Interner;

use super::found::Visit;
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
        Language::TypeScript | Language::Tsx | Language::JavaScript => &ecma::Ecma,
        Language::Go => &golang::Go,
        _ => return None,
    })
}

/// `Extractor` with the walk around it, as an object.
trait ObjectExtractor: Sync {
    fn walk<'t>(
        &self,
        builder: &mut Builder<'_, 't>,
        visits: &[Visit<'t>],
        tables: &'static Tables,
        watch: &Watch<'_>,
    );
    fn tag_of(&self, kind: &str) -> u8;
}

/// What to put back behind a node.
struct Frame {
    scope: u32,
    within: onyx_protocol::code::Within,
    in_type: bool,
    /// Place of the first visit behind the node.
    end: u32,
}

impl Frame {
    fn put_back(&self, builder: &mut Builder<'_, '_>) {
        (builder.scope, builder.within, builder.in_type) = (self.scope, self.within, self.in_type);
    }
}

impl<E: Extractor> ObjectExtractor for E {
    fn tag_of(&self, kind: &str) -> u8 {
        self.tag(kind)
    }

    fn walk<'t>(
        &self,
        builder: &mut Builder<'_, 't>,
        visits: &[Visit<'t>],
        tables: &'static Tables,
        watch: &Watch<'_>,
    ) {
        let mut frames: Vec<Frame> = Vec::with_capacity(64);
        let (mut place, mut steps) = (0_u32, 0_u32);
        while let Some(&Visit { node, field, end }) = visits.get(place as usize) {
            while let Some(frame) = frames.pop_if(|frame| frame.end <= place) {
                frame.put_back(builder);
                builder.around.pop();
            }
            let frame = Frame {
                scope: builder.scope,
                within: builder.within,
                in_type: builder.in_type,
                end,
            };
            let step = match tables.tag(node) {
                0 => Step::Into,
                tag => self.enter(builder, tag, node, field.and_then(|id| tables.field(id))),
            };
            steps += 1;
            if steps.is_multiple_of(1 << 12) && watch.poll().is_break() {
                return;
            }
            if step == Step::Into && end > place + 1 {
                frames.push(frame);
                builder.around.push(node);
                place += 1;
            } else {
                frame.put_back(builder);
                place = end;
            }
        }
    }
}

/// The number of a field in the grammar a node is of; one that no field has when there is none.
fn field_number(node: Node<'_>, name: &str) -> u16 {
    node.language().field_id_for_name(name).map_or(u16::MAX, std::num::NonZeroU16::get)
}

/// What is looked up for a language's nodes by their numbers.
pub(super) struct Tables {
    /// By node kind id.
    pub tags: Vec<u8>,
    /// By field id.
    fields: Vec<String>,
}

impl Tables {
    fn tag(&self, node: Node<'_>) -> u8 {
        self.tags.get(usize::from(node.kind_id())).copied().unwrap_or(0)
    }

    fn field(&self, id: NonZeroU16) -> Option<&str> {
        self.fields.get(usize::from(id.get())).map(String::as_str)
    }
}

/// The tables of a language, made at their first use.
pub(super) fn tables(language: Language, grammar: &tree_sitter::Language) -> &'static Tables {
    static TABLES: [OnceLock<Tables>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    TABLES[language as usize].get_or_init(|| {
        let count = u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX);
        let tag = |id| match extractor(language) {
            Some(of) if grammar.node_kind_is_named(id) => {
                of.tag_of(grammar.node_kind_for_id(id).unwrap_or_default())
            }
            _ => 0,
        };
        let last = u16::try_from(grammar.field_count()).unwrap_or(u16::MAX - 1);
        let field = |id| grammar.field_name_for_id(id).unwrap_or_default().to_owned();
        Tables { tags: (0..count).map(tag).collect(), fields: (0..=last).map(field).collect() }
    })
}

/// Interface and body of one file. `nodes` are the nodes of its definitions, by their numbers.
pub(super) fn extract<'t>(
    language: Language,
    tables: &'static Tables,
    visits: &[Visit<'t>],
    source: &'t str,
    definitions: &[Definition],
    nodes: &[Node<'t>],
    watch: &Watch<'_>,
) -> (Interface, Body) {
    let mut builder = Builder::new(language, source, definitions, nodes);
    if let Some(extractor) = extractor(language) {
        extractor.walk(&mut builder, visits, tables, watch);
    }
    builder.finish()
}
