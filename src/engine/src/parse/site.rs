//! One candidate where it stands, as the languages' rules see it.

use onyx_protocol::facts::{Definition, NodeKind};
use tree_sitter::Node;

use super::found::Found;
use super::text::fold;

/// Longest attribute kept, in bytes.
const MAX_ATTRIBUTE_BYTES: usize = 200;

/// A candidate and its surroundings.
pub(super) struct Site<'a, 't> {
    pub source: &'t str,
    /// The kind its pattern gave it.
    pub kind: NodeKind,
    /// The node captured as definition.
    pub node: Node<'t>,
    /// The node captured as name.
    pub name: Option<Node<'t>>,
    /// The statement captured around it, alone there or not.
    pub holder: Option<Node<'t>>,
    /// The outermost node whose span is its own.
    pub outer: Node<'t>,
    /// First byte, attributes included.
    pub start: usize,
    /// Index of the definition it stands in.
    pub parent: Option<u32>,
    /// All definitions before it.
    pub definitions: &'a [Definition],
    /// Their nodes.
    pub nodes: &'a [Node<'t>],
    /// Everything else in the file.
    pub found: &'a Found<'t>,
}

impl<'a, 't> Site<'a, 't> {
    /// The text of a node.
    pub fn text(&self, node: Node<'_>) -> &'t str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// The text of the node captured as name; None when there is none or an error left it empty.
    pub fn name_text(&self) -> Option<&'t str> {
        self.name.map(|name| self.text(name)).filter(|name| !name.is_empty())
    }

    /// The text of a field of the definition's node.
    pub fn field_text(&self, field: &str) -> Option<&'t str> {
        self.node.child_by_field_name(field).map(|node| self.text(node))
    }

    /// The definition it stands in.
    pub fn owner(&self) -> Option<&'a Definition> {
        self.definitions.get(self.parent? as usize)
    }

    /// The node of the definition it stands in.
    pub fn owner_node(&self) -> Option<Node<'t>> {
        self.nodes.get(self.parent? as usize).copied()
    }

    /// The kind of the definition it stands in.
    pub fn owner_kind(&self) -> Option<NodeKind> {
        self.owner().map(|owner| owner.kind)
    }

    /// Whether it stands in a function: then nobody outside sees it.
    pub fn is_local(&self) -> bool {
        let mut owner = self.owner();
        while let Some(definition) = owner {
            if is_code(definition.kind) {
                return true;
            }
            owner = definition.parent.and_then(|parent| self.definitions.get(parent as usize));
        }
        false
    }

    /// First byte of its name, or of the node when it has none.
    pub fn name_start(&self) -> usize {
        self.name.map_or(self.node.start_byte(), |name| name.start_byte())
    }

    /// Its attributes or decorators as written, without the markers given by `strip`.
    pub fn attributes(&self, strip: impl Fn(&str) -> &str) -> Vec<String> {
        let start = self.holder.map_or(self.start, |holder| holder.start_byte().min(self.start));
        let range = start..self.name_start().max(self.node.start_byte());
        let nodes = self.found.prelude.attributes(range);
        nodes.map(|node| fold(strip(self.text(node)).trim(), MAX_ATTRIBUTE_BYTES)).collect()
    }
}

/// Kinds with code in them.
pub(super) fn is_code(kind: NodeKind) -> bool {
    matches!(
        kind,
        NodeKind::Function | NodeKind::Method | NodeKind::Constructor | NodeKind::Property
    )
}

/// The children of a node that begin before byte `end`, in order.
pub(super) fn children_before<'t>(node: Node<'t>, end: usize) -> Vec<Node<'t>> {
    let mut children = Vec::new();
    let mut cursor = node.walk();
    let mut more = cursor.goto_first_child();
    while more && cursor.node().start_byte() < end {
        children.push(cursor.node());
        more = cursor.goto_next_sibling();
    }
    children
}

/// The first child of a kind among those that begin before byte `end`.
pub(super) fn child_before<'t>(node: Node<'t>, kind: &str, end: usize) -> Option<Node<'t>> {
    children_before(node, end).into_iter().find(|child| child.kind() == kind)
}

/// Adds a word unless it is there.
pub(super) fn add(words: &mut Vec<String>, word: &str) {
    if !words.iter().any(|w| w == word) {
        words.push(word.to_owned());
    }
}
