//! Java: modifiers, constants, anonymous classes, Javadoc.

use onyx_protocol::facts::{FileFacts, NodeKind, Visibility};
use tree_sitter::Node;

use super::{Details, Rules};
use crate::parse::comments::{CommentKind, has_words};
use crate::parse::found::Found;
use crate::parse::site::{Site, add, child_before};

pub(in crate::parse) struct Java;

impl Rules for Java {
    fn define(&self, site: &Site<'_, '_>) -> Option<Details> {
        let name = site.name_text()?;
        if site.node.kind() == "object_creation_expression" {
            let of = name.split('<').next().unwrap_or(name).trim_end();
            let name = format!("<anonymous {of}>");
            return Some(Details::new(NodeKind::Class, name, Visibility::Private));
        }
        let modifiers = modifiers(site);
        let has = |word: &str| modifiers.contains(&word);
        let kind = match site.kind {
            NodeKind::Field if has("static") && has("final") => NodeKind::Constant,
            kind => kind,
        };
        let visibility = if site.is_local() {
            Visibility::Private
        } else if has("public") {
            Visibility::Public
        } else if has("protected") {
            Visibility::Protected
        } else if has("private") {
            Visibility::Private
        } else {
            implied(site)
        };
        let mut attributes = site.attributes(|text| text.trim_start_matches('@'));
        let is_test = attributes.iter().any(|annotation| {
            let name = annotation.split('(').next().unwrap_or_default();
            let name = name.rsplit('.').next().unwrap_or_default().trim();
            matches!(name, "Test" | "ParameterizedTest" | "RepeatedTest" | "TestFactory")
        });
        if is_test {
            add(&mut attributes, "test");
        }
        for word in ["static", "abstract"] {
            if has(word) {
                add(&mut attributes, word);
            }
        }
        let mut details = Details::new(kind, name, visibility);
        details.attributes = attributes;
        Some(details)
    }

    fn comment(&self, text: &str) -> CommentKind {
        let is_javadoc = text.starts_with("/**") && text.len() > "/**/".len();
        if !has_words(text) {
            CommentKind::Ignored
        } else if is_javadoc || (text.starts_with("///") && !text.starts_with("////")) {
            CommentKind::Doc
        } else {
            CommentKind::Plain
        }
    }

    fn finish(&self, facts: &mut FileFacts, root: Node<'_>, found: &Found<'_>, source: &str) {
        let mut cursor = root.walk();
        let clause = root.named_children(&mut cursor).find(|n| n.kind() == "package_declaration");
        if let Some(clause) = clause {
            // Plain comments there are licences.
            let lead = found.prelude.before(clause.start_byte(), source, |text| {
                match self.comment(text) {
                    CommentKind::Doc => CommentKind::Doc,
                    _ => CommentKind::Ignored,
                }
            });
            facts.doc = lead.doc;
        }
    }
}

/// The words and annotations before a declaration; of a field, before its type.
fn modifiers<'t>(site: &Site<'_, 't>) -> Vec<&'t str> {
    let node = site.holder.unwrap_or(site.node);
    let Some(modifiers) = child_before(node, "modifiers", site.name_start()) else {
        return Vec::new();
    };
    let mut cursor = modifiers.walk();
    modifiers.children(&mut cursor).map(|child| site.text(child)).collect()
}

/// What holds without a modifier.
fn implied(site: &Site<'_, '_>) -> Visibility {
    match site.owner_kind() {
        Some(NodeKind::Interface | NodeKind::Annotation) => Visibility::Public,
        Some(NodeKind::Enum) if site.kind == NodeKind::Constructor => Visibility::Private,
        _ if site.kind == NodeKind::EnumMember => Visibility::Public,
        // A record's components are read through public accessors.
        Some(NodeKind::Record) if site.node.kind() == "formal_parameter" => Visibility::Public,
        _ => Visibility::Package,
    }
}
