//! JavaScript and TypeScript: what a function is by where it is assigned, exports, modifiers.

use onyx_protocol::facts::{FileFacts, NodeKind, Visibility};
use tree_sitter::Node;

use super::{Details, Rules};
use crate::parse::comments::{CommentKind, has_words};
use crate::parse::found::Found;
use crate::parse::site::{Site, add, child_before, children_before, is_code};
use crate::parse::text::fold;

/// Longest object in `object.name = function`, in bytes; others are left out of the name.
const MAX_OBJECT_BYTES: usize = 100;

pub(in crate::parse) struct EcmaScript;

impl Rules for EcmaScript {
    fn define(&self, site: &Site<'_, '_>) -> Option<Details> {
        let mut details = match site.node.kind() {
            "assignment_expression" => assignment(site)?,
            "variable_declarator" => variable(site)?,
            "class" => class_expression(site)?,
            "required_parameter" | "optional_parameter" => parameter_property(site)?,
            "export_statement" => Details::new(site.kind, default_name(site), Visibility::Public),
            _ => member_or_declaration(site)?,
        };
        details.attributes = attributes(site, &details);
        Some(details)
    }

    fn comment(&self, text: &str) -> CommentKind {
        const TOOLS: [&str; 16] = [
            "eslint",
            "@ts-",
            "prettier",
            "istanbul",
            "c8 ",
            "v8 ",
            "jshint",
            "jslint",
            "tslint",
            "biome",
            "global ",
            "globals ",
            "#region",
            "#endregion",
            "<reference",
            "@preserve",
        ];
        let bare = text.trim_start_matches(['/', '*', '!']).trim_start();
        if TOOLS.iter().any(|tool| bare.starts_with(tool)) || !has_words(text) || is_licence(text) {
            CommentKind::Ignored
        } else if text.starts_with("/**") {
            CommentKind::Doc
        } else {
            CommentKind::Plain
        }
    }

    fn first_assignment_defines(&self) -> bool {
        true
    }

    fn finish(&self, facts: &mut FileFacts, _root: Node<'_>, found: &Found<'_>, source: &str) {
        for definition in facts.definitions.iter_mut().filter(|d| d.parent.is_none()) {
            if found.exports.contains(definition.name.as_str()) {
                definition.visibility = Visibility::Public;
                add(&mut definition.attributes, "exported");
            }
        }
        let doc = found.prelude.head(source, |text| self.comment(text));
        let is_own = ["@file", "@module", "@packageDocumentation"].iter().any(|t| doc.contains(t));
        let first = facts.definitions.first();
        if is_own || first.is_none_or(|definition| definition.doc != doc) {
            facts.doc = doc;
        }
    }
}

fn is_licence(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("copyright") || lower.contains("licensed") || lower.contains("@license")
}

/// `"a b"` is named a b; `[Symbol.iterator]` and `#secret` as they are written.
fn unquoted(name: &str) -> &str {
    let quoted = ['"', '\'', '`'].iter().find_map(|&q| name.strip_prefix(q)?.strip_suffix(q));
    quoted.unwrap_or(name).trim()
}

fn name(site: &Site<'_, '_>) -> Option<String> {
    let name = fold(unquoted(site.name_text()?), MAX_OBJECT_BYTES);
    (!name.is_empty()).then_some(name)
}

fn is_exported(site: &Site<'_, '_>) -> bool {
    let wrapper = site.holder.and_then(|holder| site.found.wrappers.get(&holder.id()));
    [Some(&site.outer), wrapper].into_iter().flatten().any(|n| n.kind() == "export_statement")
}

/// Who may use a declaration that has no modifier.
fn declared(site: &Site<'_, '_>) -> Visibility {
    if site.is_local() {
        Visibility::Private
    } else if is_exported(site) {
        Visibility::Public
    } else {
        match site.owner() {
            None => Visibility::Package,
            Some(owner) if owner.kind == NodeKind::Module => {
                // What an ambient module declares it exports.
                let is_ambient = site.owner_node().is_some_and(|node| node.kind() == "module");
                if is_ambient { owner.visibility } else { Visibility::Private }
            }
            Some(owner) => owner.visibility,
        }
    }
}

/// Who may use a member of a class.
fn member(site: &Site<'_, '_>) -> Visibility {
    let modifier = child_before(site.node, "accessibility_modifier", site.name_start());
    match modifier.map(|modifier| site.text(modifier)) {
        Some("private") => Visibility::Private,
        Some("protected") => Visibility::Protected,
        _ if site.name_text().is_some_and(|name| name.starts_with('#')) => Visibility::Private,
        _ => Visibility::Public,
    }
}

fn member_or_declaration(site: &Site<'_, '_>) -> Option<Details> {
    let name = name(site)?;
    let owner = site.owner_kind();
    let kind = match site.node.kind() {
        "method_definition" | "method_signature" | "abstract_method_signature" => {
            let accessor = children_before(site.node, site.name_start())
                .iter()
                .any(|child| matches!(child.kind(), "get" | "set"));
            match owner {
                _ if accessor => NodeKind::Property,
                Some(NodeKind::Class) if name == "constructor" => NodeKind::Constructor,
                _ => NodeKind::Method,
            }
        }
        _ => site.kind,
    };
    let is_signature = site.node.kind() == "method_signature";
    let owns_signatures =
        matches!(owner, Some(NodeKind::Class | NodeKind::Interface | NodeKind::TypeAlias));
    if is_signature && !owns_signatures {
        return None;
    }
    let visibility = match site.node.kind() {
        "pair" => declared(site),
        "method_definition" if owner != Some(NodeKind::Class) => declared(site),
        "property_signature" | "method_signature" if owner != Some(NodeKind::Class) => {
            site.owner().map_or(Visibility::Public, |owner| owner.visibility)
        }
        "method_definition"
        | "method_signature"
        | "abstract_method_signature"
        | "field_definition"
        | "public_field_definition" => member(site),
        _ => declared(site),
    };
    Some(Details::new(kind, name, visibility))
}

/// `const f = ...` and its like.
fn variable(site: &Site<'_, '_>) -> Option<Details> {
    let value = site.node.child_by_field_name("value");
    let is_import = value.is_some_and(|value| {
        let value = site.text(value);
        value.starts_with("require(") || value.starts_with("await import(")
    });
    let kind = match site.kind {
        NodeKind::Variable if is_import => return None,
        // In a function it is nobody's but the function's.
        NodeKind::Variable if site.is_local() => return None,
        NodeKind::Variable => {
            let holder = site.holder.and_then(|holder| holder.child(0));
            let is_const = holder.is_some_and(|keyword| keyword.kind() == "const");
            if is_const { NodeKind::Constant } else { NodeKind::Variable }
        }
        kind => kind,
    };
    Some(Details::new(kind, name(site)?, declared(site)))
}

/// `object.name = function ...` and `this.name = ...`
fn assignment(site: &Site<'_, '_>) -> Option<Details> {
    let left = site.node.child_by_field_name("left")?;
    let object = left.child_by_field_name("object")?;
    let object_text = fold(site.text(object), MAX_OBJECT_BYTES + 1);
    let name = name(site)?;
    let own_kind = |kind| if site.kind == NodeKind::Method { kind } else { site.kind };
    if object_text == "module" && name == "exports" {
        let named = site.node.child_by_field_name("right")?.child_by_field_name("name");
        let name = named.map_or("module.exports", |name| site.text(name));
        return Some(Details::new(own_kind(NodeKind::Function), name, Visibility::Public));
    }
    if object_text == "exports" || object_text == "module.exports" {
        return Some(Details::new(own_kind(NodeKind::Function), name, Visibility::Public));
    }
    let owner = site.owner();
    if object.kind() == "this" {
        let class = owner.filter(|owner| owner.kind == NodeKind::Constructor);
        let class = class.and_then(|constructor| constructor.parent);
        if site.kind == NodeKind::Field && class.is_none() {
            return None;
        }
        let mut details = Details::new(site.kind, name, member(site));
        details.parent = class;
        return Some(details);
    }
    let visibility = declared(site);
    let is_path = object_text.len() <= MAX_OBJECT_BYTES
        && object_text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.'));
    let around = owner.map(|owner| format!("{}.", owner.qualified_name)).unwrap_or_default();
    let mut details = Details::new(own_kind(NodeKind::Method), name, visibility);
    if is_path {
        details.qualified_name = Some(format!("{around}{object_text}.{}", details.name));
    }
    Some(details)
}

/// A class expression that no other pattern has named.
fn class_expression(site: &Site<'_, '_>) -> Option<Details> {
    let named_by_owner = site.owner_node().is_some_and(|owner| {
        let value = owner.child_by_field_name("value");
        let value = value.or_else(|| owner.child_by_field_name("right"));
        value.is_some_and(|value| value.id() == site.node.id())
    });
    // A class keeps no class expression as its value; a field or a method may.
    if named_by_owner && site.owner_kind() == Some(NodeKind::Class) {
        return None;
    }
    let name = site.name_text().unwrap_or("<anonymous>");
    Some(Details::new(NodeKind::Class, name, declared(site)))
}

/// `constructor(private x: number)`
fn parameter_property(site: &Site<'_, '_>) -> Option<Details> {
    let constructor = site.owner().filter(|owner| owner.kind == NodeKind::Constructor)?;
    let mut details = Details::new(NodeKind::Field, name(site)?, member(site));
    details.parent = constructor.parent;
    Some(details)
}

/// The name of `export default function name () {}`, perhaps in wrappers, or `default`.
fn default_name(site: &Site<'_, '_>) -> String {
    let value = site.node.child_by_field_name("value").map(unwrapped);
    let name = value.and_then(|value| value.child_by_field_name("name"));
    name.map_or("default", |name| site.text(name)).to_owned()
}

/// The function in `memo(forwardRef(() => ...))`.
fn unwrapped(mut value: Node<'_>) -> Node<'_> {
    while value.kind() == "call_expression"
        && let Some(arguments) = value.child_by_field_name("arguments")
        && let Some(first) = arguments.named_child(0)
    {
        value = first;
    }
    value
}

fn attributes(site: &Site<'_, '_>, details: &Details) -> Vec<String> {
    let mut attributes = site.attributes(|text| text.trim_start_matches('@'));
    let is_abstract =
        matches!(site.node.kind(), "abstract_class_declaration" | "abstract_method_signature");
    if is_abstract {
        add(&mut attributes, "abstract");
    }
    let value = ["value", "right"].into_iter().find_map(|f| site.node.child_by_field_name(f));
    let value = value.filter(|_| is_code(details.kind)).map(unwrapped);
    let of_value = value.into_iter().flat_map(|value| {
        let parameters = value.child_by_field_name("parameters");
        children_before(value, parameters.map_or(value.end_byte(), |p| p.start_byte()))
    });
    for child in children_before(site.node, site.name_start().max(site.node.start_byte() + 1))
        .into_iter()
        .chain(of_value)
    {
        match child.kind() {
            "async" => add(&mut attributes, "async"),
            "static" => add(&mut attributes, "static"),
            "abstract" => add(&mut attributes, "abstract"),
            "*" => add(&mut attributes, "generator"),
            _ => {}
        }
    }
    let is_common_js = site.node.kind() == "assignment_expression"
        && details.parent.or(site.parent).is_none()
        && details.visibility == Visibility::Public;
    if is_exported(site) || is_common_js {
        add(&mut attributes, "exported");
    }
    attributes
}
