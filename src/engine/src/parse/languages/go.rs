//! Go: receivers, exported names, comments directly above.

use onyx_protocol::facts::{FileFacts, NodeKind, Visibility};
use tree_sitter::Node;

use super::{Details, Rules};
use crate::parse::comments::{CommentKind, has_words};
use crate::parse::found::Found;
use crate::parse::site::{Site, add};

pub(in crate::parse) struct Go;

impl Rules for Go {
    fn define(&self, site: &Site<'_, '_>) -> Option<Details> {
        let mut name = site.name_text().filter(|&name| name != "_")?;
        let owner = site.owner_kind();
        match site.node.kind() {
            // In an anonymous type they are nobody's members.
            "method_elem" if owner != Some(NodeKind::Interface) => return None,
            "field_declaration" => {
                if !matches!(owner, Some(NodeKind::Struct | NodeKind::Field | NodeKind::TypeAlias))
                {
                    return None;
                }
                name = type_name(name);
            }
            _ => {}
        }
        let is_exported = name.chars().next().is_some_and(char::is_uppercase);
        let visibility = match is_exported {
            _ if site.is_local() => Visibility::Private,
            true => Visibility::Public,
            false => Visibility::Package,
        };
        let mut details = Details::new(site.kind, name, visibility);
        if let Some(receiver) = site.field_text("receiver") {
            let of = type_name(receiver.trim_end_matches([')', ' ', '\t', '\n', ',']));
            let pointed = receiver.split('[').next().unwrap_or_default().contains('*');
            let of = if pointed { format!("(*{of})") } else { of.to_owned() };
            details.qualified_name = Some(format!("{of}.{name}"));
        }
        if let Some(keyword) = match site.kind {
            NodeKind::Struct => Some("struct"),
            NodeKind::Interface => Some("interface"),
            _ => None,
        } {
            let start = site.node.child_by_field_name("type")?.start_byte();
            details.signature_end = Some(start + keyword.len());
        }
        if is_test(site, name) {
            add(&mut details.attributes, "test");
        }
        Some(details)
    }

    fn comment(&self, text: &str) -> CommentKind {
        let bare = text.strip_prefix("//").unwrap_or(text);
        // Directives: //go:build, //nolint:..., //export name; they have no space.
        let word = bare.split([' ', ':']).next().unwrap_or_default();
        let is_directive = bare.len() < text.len()
            && !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase())
            && (bare[word.len()..].starts_with(':') || matches!(word, "nolint" | "export"));
        if is_directive || bare.starts_with(" +build") || !has_words(text) {
            CommentKind::Ignored
        } else {
            CommentKind::Plain
        }
    }

    fn finish(&self, facts: &mut FileFacts, root: Node<'_>, found: &Found<'_>, source: &str) {
        let mut cursor = root.walk();
        let clause = root.named_children(&mut cursor).find(|n| n.kind() == "package_clause");
        if let Some(clause) = clause {
            let lead = found.prelude.before(clause.start_byte(), source, |c| self.comment(c));
            facts.doc = lead.doc;
        }
    }
}

/// The bare name of a type: `List` of `*pkg.List[T]` and of the receiver `(l *List[T]`.
fn type_name(text: &str) -> &str {
    let text = text.split('[').next().unwrap_or(text).trim_end();
    text.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or(text)
}

fn is_test(site: &Site<'_, '_>, name: &str) -> bool {
    let prefixed = ["Test", "Benchmark", "Fuzz"].iter().any(|prefix| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| !rest.starts_with(char::is_lowercase))
    });
    site.kind == NodeKind::Function
        && site.parent.is_none()
        && prefixed
        && site.field_text("parameters").is_some_and(|p| p.contains("*testing."))
}
