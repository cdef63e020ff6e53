//! Declarations without bodies, in one line.

use std::ops::Range;

use onyx_protocol::facts::NodeKind;
use tree_sitter::Node;

use super::found::Found;
use super::site::children_before;
use super::text::fold_without;

/// Longest signature, in bytes.
const MAX_SIGNATURE_BYTES: usize = 1 << 10;
/// A constant, field or variable up to this length is shown with its value.
const MAX_VALUE_BYTES: usize = 160;

/// The parts a signature is made of.
pub(super) struct Parts<'t> {
    pub kind: NodeKind,
    /// The definition's node.
    pub node: Node<'t>,
    /// The node whose span is the definition's.
    pub outer: Node<'t>,
    /// The statement around several definitions, when it is not `outer`.
    pub holder: Option<Node<'t>>,
    /// First byte of its name: attributes before it are not part of the signature.
    pub name_start: usize,
    /// Where the signature ends, if not with the node.
    pub end: Option<usize>,
}

/// The signature of a definition.
pub(super) fn signature(parts: &Parts<'_>, found: &Found<'_>, source: &str) -> String {
    let cut = |range: Range<usize>, max: usize| {
        // What is cut at `max` needs no holes far behind it.
        let near = range.start..range.end.min(range.start.saturating_add(4 * MAX_SIGNATURE_BYTES));
        fold_without(source, range, &found.prelude.spans(near, parts.name_start), max)
    };
    let mut start = parts.outer.start_byte();
    let mut text = String::new();
    if let Some(holder) = parts.holder
        && (holder.start_byte() < start || holder.end_byte() > parts.outer.end_byte())
    {
        // One of several declared together: what they share stands before the first of them.
        start = parts.node.start_byte();
        let shared = shared_end(holder, parts.node.kind());
        text = cut(holder.start_byte()..shared.min(start), MAX_SIGNATURE_BYTES);
        text.push(' ');
    }
    let end = parts.end.unwrap_or(parts.outer.end_byte()).max(start);
    let room = MAX_SIGNATURE_BYTES.saturating_sub(text.len());
    let mut own = cut(start..end, room);
    if has_value(parts.kind)
        && own.len() + text.len() > MAX_VALUE_BYTES
        && let Some(value) = value(parts.node)
    {
        own = cut(start..value.start_byte().max(start), room);
        own.truncate(own.trim_end_matches(['=', ':', ' ']).len());
    }
    text.push_str(&own);
    let kept = text.trim_end_matches(['{', ';', ',', ' ']);
    let kept = kept.strip_suffix("=>").or(kept.strip_suffix('=')).unwrap_or(kept);
    text.truncate(kept.trim_end_matches([':', ' ']).len());
    text
}

/// Where the first of several definitions in a statement begins: after `const`, `private static int`.
fn shared_end(holder: Node<'_>, kind: &str) -> usize {
    let stop = |child: &&Node<'_>| {
        let kind_here = child.kind();
        kind_here == kind || kind_here == "(" || kind_here.ends_with("_list")
    };
    let children = children_before(holder, holder.start_byte().saturating_add(MAX_SIGNATURE_BYTES));
    children.iter().find(stop).map_or(holder.start_byte(), |child| child.start_byte())
}

fn has_value(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Constant | NodeKind::Variable | NodeKind::Field | NodeKind::EnumMember)
}

fn value(node: Node<'_>) -> Option<Node<'_>> {
    node.child_by_field_name("value").or_else(|| node.child_by_field_name("right"))
}
