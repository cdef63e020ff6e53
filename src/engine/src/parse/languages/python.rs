//! Python: methods by their class, fields by their assignment, docstrings, names as `__qualname__`.

use onyx_protocol::facts::{FileFacts, NodeKind, Visibility};
use tree_sitter::Node;

use super::{Details, Rules};
use crate::parse::comments::CommentKind;
use crate::parse::found::Found;
use crate::parse::site::{Site, add, child_before, is_code};
use crate::parse::text::dedent;

pub(in crate::parse) struct Python;

impl Rules for Python {
    fn define(&self, site: &Site<'_, '_>) -> Option<Details> {
        match site.kind {
            NodeKind::Function => function(site),
            NodeKind::Class => {
                let mut details = Details::new(NodeKind::Class, site.name_text()?, visible(site)?);
                details.attributes = decorators(site);
                details.doc = docstring(site.node, site.source);
                Some(details)
            }
            NodeKind::TypeAlias => type_alias(site),
            NodeKind::Field => attribute_of_self(site),
            _ => variable(site),
        }
    }

    fn comment(&self, text: &str) -> CommentKind {
        const TOOLS: [&str; 9] =
            ["!", "type:", "noqa", "pragma", "pylint", "fmt:", "mypy:", "isort:", "-*-"];
        let text = text.trim_start_matches('#').trim_start();
        if TOOLS.iter().any(|tool| text.starts_with(tool)) {
            CommentKind::Ignored
        } else {
            CommentKind::Plain
        }
    }

    fn has_trailing_docs(&self) -> bool {
        false
    }

    fn first_assignment_defines(&self) -> bool {
        true
    }

    /// In `a = b = 1` one assignment stands in the other.
    fn holds_others(&self, kind: NodeKind) -> bool {
        is_code(kind) || kind == NodeKind::Class
    }

    fn finish(&self, facts: &mut FileFacts, root: Node<'_>, _found: &Found<'_>, source: &str) {
        facts.doc = first_string(root, source).unwrap_or_default();
    }
}

fn function(site: &Site<'_, '_>) -> Option<Details> {
    let name = site.name_text()?;
    let mut attributes = decorators(site);
    let named = |decorators: &[String], names: &[&str]| {
        decorators.iter().any(|decorator| names.contains(&last_name(decorator)))
    };
    let is_member = site.owner_kind() == Some(NodeKind::Class);
    let kind = if !is_member {
        NodeKind::Function
    } else if name == "__init__" {
        NodeKind::Constructor
    } else if named(
        &attributes,
        &["property", "cached_property", "abstractproperty", "setter", "getter", "deleter"],
    ) {
        NodeKind::Property
    } else {
        NodeKind::Method
    };
    if named(&attributes, &["staticmethod"]) {
        add(&mut attributes, "static");
    }
    if named(&attributes, &["abstractmethod", "abstractproperty"]) {
        add(&mut attributes, "abstract");
    }
    if child_before(site.node, "async", site.name_start()).is_some() {
        add(&mut attributes, "async");
    }
    if name.starts_with("test_") && !site.is_local() {
        add(&mut attributes, "test");
    }
    let mut details = Details::new(kind, name, visible(site)?);
    details.attributes = attributes;
    details.doc = docstring(site.node, site.source);
    details.scope = Some(match site.owner() {
        Some(owner) if is_code(owner.kind) => {
            format!("{}.<locals>.{name}.<locals>", owner.qualified_name)
        }
        Some(owner) => format!("{}.{name}.<locals>", owner.qualified_name),
        None => format!("{name}.<locals>"),
    });
    Some(details)
}

/// The last name of a dotted decorator: `setter` of `x.setter`, `property` of `abc.property()`.
fn last_name(decorator: &str) -> &str {
    let path = decorator.split('(').next().unwrap_or(decorator).trim_end();
    path.rsplit('.').next().unwrap_or(path)
}

fn variable(site: &Site<'_, '_>) -> Option<Details> {
    let name = site.name_text()?;
    let kind = match site.owner_kind() {
        None if is_constant(name) => NodeKind::Constant,
        None if is_type_alias(site) => NodeKind::TypeAlias,
        None => NodeKind::Variable,
        Some(NodeKind::Class) => NodeKind::Field,
        Some(_) => return None,
    };
    let mut details = Details::new(kind, name, visible(site)?);
    details.doc = attribute_docstring(site);
    Some(details)
}

/// `name: TypeAlias = ...`
fn is_type_alias(site: &Site<'_, '_>) -> bool {
    site.field_text("type").is_some_and(|annotation| last_name(annotation) == "TypeAlias")
}

fn is_constant(name: &str) -> bool {
    name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase)
}

/// `type Name[T] = ...`
fn type_alias(site: &Site<'_, '_>) -> Option<Details> {
    if site.is_local() {
        return None;
    }
    let name = site.name_text()?.split('[').next()?.trim_end();
    Some(Details::new(NodeKind::TypeAlias, name, visible(site)?))
}

/// A field that the constructor assigns: it belongs to the class, not to `__init__`.
fn attribute_of_self(site: &Site<'_, '_>) -> Option<Details> {
    let name = site.name_text()?;
    let constructor = site.owner().filter(|owner| owner.kind == NodeKind::Constructor)?;
    let receiver = site.owner_node()?.child_by_field_name("parameters")?.named_child(0)?;
    let receiver = site.source.get(receiver.byte_range())?;
    let before = site.source.get(site.node.start_byte()..site.name_start())?;
    let object = before.trim_end().strip_suffix('.')?.trim_end();
    let object = object.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    if object != receiver {
        return None;
    }
    let mut details = Details::new(NodeKind::Field, name, visible(site)?);
    details.parent = constructor.parent;
    details.doc = attribute_docstring(site);
    Some(details)
}

/// By the leading underscore; what is local to a function is its own. None when the name is empty.
fn visible(site: &Site<'_, '_>) -> Option<Visibility> {
    let name = site.name_text()?;
    let is_special = name.starts_with("__") && name.ends_with("__");
    let is_field = site.kind == NodeKind::Field;
    Some(if (name.starts_with('_') && !is_special) || (!is_field && site.is_local()) {
        Visibility::Private
    } else {
        Visibility::Public
    })
}

fn decorators(site: &Site<'_, '_>) -> Vec<String> {
    site.attributes(|text| text.trim_start_matches('@'))
}

fn docstring(node: Node<'_>, source: &str) -> Option<String> {
    first_string(node.child_by_field_name("body")?, source)
}

/// The string that is the first statement of a block or module.
fn first_string(block: Node<'_>, source: &str) -> Option<String> {
    let mut cursor = block.walk();
    let first = block.named_children(&mut cursor).find(|child| child.kind() != "comment")?;
    string_statement(first, source)
}

/// The text of a statement that is a string and nothing else.
fn string_statement(statement: Node<'_>, source: &str) -> Option<String> {
    let expression = match statement.kind() {
        "expression_statement" if statement.named_child_count() == 1 => statement.named_child(0)?,
        // Where an error has swallowed the module, its first string stands bare.
        "string" => statement,
        _ => return None,
    };
    let strings = match expression.kind() {
        "string" => vec![expression],
        "concatenated_string" => {
            let mut cursor = expression.walk();
            expression.named_children(&mut cursor).filter(|n| n.kind() == "string").collect()
        }
        _ => return None,
    };
    let mut text = String::new();
    for string in strings {
        let start = string.named_child(0).filter(|n| n.kind() == "string_start")?;
        let prefix = source.get(start.byte_range())?;
        // Neither bytes nor f-strings are documentation.
        if prefix.contains(['b', 'B', 'f', 'F', 't', 'T']) {
            return None;
        }
        let whole = source.get(string.byte_range())?;
        let inside = whole.get(prefix.len()..)?;
        let quotes = prefix.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        text.push_str(inside.strip_suffix(quotes).unwrap_or(inside));
    }
    Some(dedent(&text))
}

/// The string directly below an assignment, which documents it as Sphinx and PEP 257 have it.
fn attribute_docstring(site: &Site<'_, '_>) -> Option<String> {
    let after = site.source.get(site.node.end_byte()..)?;
    let rest = after.trim_start_matches([' ', '\t', '\r']).strip_prefix('\n')?;
    let indented = rest.trim_start_matches([' ', '\t']);
    let bare = indented.strip_prefix(['r', 'R']).unwrap_or(indented);
    let quotes = ["\"\"\"", "'''"].into_iter().find(|quotes| bare.starts_with(quotes))?;
    let inside = &bare[quotes.len()..];
    let end = inside.find(quotes)?;
    // A statement of its own: nothing else may stand on its last line.
    let tail = inside[end + quotes.len()..].lines().next().unwrap_or_default().trim();
    (tail.is_empty() || tail.starts_with('#')).then(|| dedent(&inside[..end]))
}
