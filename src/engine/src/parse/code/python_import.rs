//! Names that go in and out of a Python module: imports and `__all__`.

use onyx_protocol::code::{Export, flags};
use tree_sitter::Node;

use super::Builder;
use super::builder::ImportText;
use super::python_shape::content;

pub(super) fn import<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    for child in children {
        let (path, alias) = match child.kind() {
            "dotted_name" => (child, None),
            "aliased_import" => {
                let Some(path) = field!(child, "name") else { continue };
                (path, field!(child, "alias"))
            }
            _ => continue,
        };
        let text = b.text(path);
        let local = match alias {
            Some(alias) => b.text(alias),
            None => text.split('.').next().unwrap_or(text).trim(),
        };
        let module = squeezed(text);
        // `import a.b` binds a, and a.b is there as its member.
        let flags = flags::MODULE | if alias.is_none() { flags::OF_TYPE } else { 0 };
        b.import(ImportText { local, module, flags, ..ImportText::default() }, path);
    }
}

/// A dotted name without white space.
fn squeezed(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains(char::is_whitespace) {
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().into()
    } else {
        text.into()
    }
}

pub(super) fn import_from<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(module) = field!(node, "module_name") else { return };
    let text = b.text(module);
    let path = text.trim_start_matches(['.', ' ']);
    let dots = text[..text.len() - path.len()].bytes().filter(|&c| c == b'.').count();
    let level = u8::try_from(dots).unwrap_or(u8::MAX);
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    for child in children {
        if child.id() == module.id() {
            continue;
        }
        let (name, alias, flags) = match child.kind() {
            "dotted_name" => (b.text(child), None, 0),
            "aliased_import" => {
                let Some(name) = field!(child, "name") else { continue };
                (b.text(name), field!(child, "alias"), 0)
            }
            "wildcard_import" => ("", None, flags::GLOB),
            _ => continue,
        };
        let local = alias.map_or(name, |alias| b.text(alias));
        let flags = flags | flags::REEXPORT;
        b.import(ImportText { local, module: squeezed(path), name, level, flags }, child);
    }
}

/// `__all__.extend([...])`, `__all__.append("x")`
pub(super) fn public_names<'t>(b: &mut Builder<'_, 't>, callee: Node<'t>, call: Node<'t>) {
    if callee.kind() != "attribute" || b.scope != 0 {
        return;
    }
    let object = field!(callee, "object").map_or("", |object| b.text(object));
    if object == "__all__"
        && let Some(arguments) = field!(call, "arguments")
    {
        let names = strings(arguments, b.source);
        public(b, names);
    }
}

pub(super) fn public<'t>(b: &mut Builder<'_, 't>, names: Vec<&'t str>) {
    for name in names {
        let value = b.shared.named_expr(name);
        let name = b.shared.name(name);
        b.exports.push(Export { name, value });
    }
}

/// The strings in a list or tuple.
pub(super) fn strings<'t>(node: Node<'t>, source: &'t str) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor) {
        match child.kind() {
            "string" => found.extend(content(child, source)),
            "list" | "tuple" => {
                let mut inner = child.walk();
                let strings = child.named_children(&mut inner).filter(|n| n.kind() == "string");
                found.extend(strings.filter_map(|n| content(n, source)));
            }
            _ => {}
        }
    }
    found
}
