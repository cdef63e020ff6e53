//! Rust: impl blocks give their methods a name, `pub` their owners' visibility.

use onyx_protocol::facts::{FileFacts, NodeKind, Visibility};
use tree_sitter::Node;

use super::{Details, Rules};
use crate::parse::comments::{CommentKind, clean};
use crate::parse::found::Found;
use crate::parse::site::{Site, add, child_before};
use crate::parse::text::fold;

/// Longest spelling of a type in a name, in bytes.
const MAX_TYPE_BYTES: usize = 300;

pub(in crate::parse) struct Rust;

impl Rules for Rust {
    fn define(&self, site: &Site<'_, '_>) -> Option<Details> {
        let mut details = match site.kind {
            NodeKind::Impl => impl_block(site)?,
            kind => Details::new(member_kind(site, kind), site.name_text()?, visibility(site)),
        };
        details.attributes = attributes(site);
        match site.kind {
            NodeKind::Macro => {
                let exported = details.attributes.iter().any(|a| a == "macro_export");
                details.visibility =
                    if exported { Visibility::Public } else { Visibility::Package };
                details.signature_end = site.name.map(|name| name.end_byte());
            }
            // The types of a tuple struct or variant are its declaration, not its body.
            NodeKind::Struct | NodeKind::EnumMember => {
                let body = site.node.child_by_field_name("body");
                details.signature_end = body
                    .filter(|body| body.kind() == "ordered_field_declaration_list")
                    .map(|_| site.node.end_byte());
            }
            _ => {}
        }
        Some(details)
    }

    fn comment(&self, text: &str) -> CommentKind {
        let is_doc = |marker: &str, more: &str| text.starts_with(marker) && !text.starts_with(more);
        if is_doc("///", "////") || (is_doc("/**", "/***") && text != "/**/") {
            CommentKind::Doc
        } else if text.starts_with("//!") || text.starts_with("/*!") {
            CommentKind::Inner
        } else {
            CommentKind::Ignored
        }
    }

    fn has_trailing_docs(&self) -> bool {
        false
    }

    fn finish(&self, facts: &mut FileFacts, _root: Node<'_>, found: &Found<'_>, source: &str) {
        let first = facts.definitions.first().map_or(source.len(), |d| d.start_byte as usize);
        let comments = found.prelude.comments(first, source);
        let inner = comments.filter(|(_, text)| self.comment(text) == CommentKind::Inner);
        facts.doc = clean(inner.map(|(_, text)| text));
    }
}

fn member_kind(site: &Site<'_, '_>, kind: NodeKind) -> NodeKind {
    let is_member = matches!(site.owner_kind(), Some(NodeKind::Impl | NodeKind::Trait));
    if kind == NodeKind::Function && is_member { NodeKind::Method } else { kind }
}

/// `Type` or `Trait for Type`; what it holds is qualified `Type::` or `<Type as Trait>::`.
fn impl_block(site: &Site<'_, '_>) -> Option<Details> {
    let self_type = site.name?;
    let spelled = fold(site.text(self_type), MAX_TYPE_BYTES);
    if spelled.is_empty() {
        return None;
    }
    let (name, scope) = match site.node.child_by_field_name("trait") {
        Some(of) => {
            let negative = child_before(site.node, "!", of.start_byte()).map_or("", |_| "!");
            let of = fold(site.text(of), MAX_TYPE_BYTES);
            (format!("{negative}{of} for {spelled}"), format!("<{spelled} as {of}>"))
        }
        None => {
            let bare = match self_type.kind() {
                "generic_type" => self_type.child_by_field_name("type").unwrap_or(self_type),
                _ => self_type,
            };
            let bare_text = fold(site.text(bare), MAX_TYPE_BYTES);
            let is_path = bare.kind().ends_with("identifier") || bare.kind() == "primitive_type";
            let scope = if is_path { bare_text } else { format!("<{bare_text}>") };
            (spelled, scope)
        }
    };
    let around = site.owner().map(|owner| format!("{}::", owner.qualified_name));
    let around = around.unwrap_or_default();
    let mut details = Details::new(NodeKind::Impl, name, Visibility::Public);
    details.qualified_name = Some(format!("{around}impl {}", details.name));
    details.scope = Some(format!("{around}{scope}"));
    Some(details)
}

fn visibility(site: &Site<'_, '_>) -> Visibility {
    if let Some(modifier) = child_before(site.node, "visibility_modifier", site.name_start()) {
        return match site.text(modifier) {
            "pub" => Visibility::Public,
            "pub(self)" => Visibility::Private,
            _ => Visibility::Package,
        };
    }
    let of_owner = site.owner().map_or(Visibility::Private, |owner| owner.visibility);
    match site.owner_kind() {
        Some(NodeKind::Trait | NodeKind::Enum | NodeKind::EnumMember) => of_owner,
        // What a trait promises is as public as the trait.
        Some(NodeKind::Impl)
            if site.owner_node().is_some_and(|n| n.child_by_field_name("trait").is_some()) =>
        {
            Visibility::Public
        }
        _ => Visibility::Private,
    }
}

fn attributes(site: &Site<'_, '_>) -> Vec<String> {
    let mut attributes = site.attributes(|text| {
        let text = text.trim_start_matches('#').trim_start();
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
    });
    let is_test = |attribute: &String| {
        let path = attribute.split(['(', '=']).next().unwrap_or_default().trim();
        path.rsplit("::").next() == Some("test")
    };
    if attributes.iter().any(is_test) {
        add(&mut attributes, "test");
    }
    if let Some(modifiers) = child_before(site.node, "function_modifiers", site.name_start()) {
        for word in ["async", "unsafe"] {
            if site.text(modifiers).split_whitespace().any(|w| w == word) {
                add(&mut attributes, word);
            }
        }
    }
    attributes
}
