//! JavaScript's and TypeScript's modules: ESM and CommonJS, what is imported and what is given.

use onyx_protocol::code::{Attribute, Expr, ExprId, Import, ReferenceKind, Within, flags};
use tree_sitter::Node;

use super::builder::ImportText;
use super::ecma::{alias, shared};
use super::ecma_shape::{bare, key, required, string};
use super::{Builder, Step};

pub(super) fn import<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    let source = node.child_by_field_name("source");
    let module = source.and_then(|n| string(n, b.source)).unwrap_or_default();
    let mut binds = false;
    for child in children {
        match child.kind() {
            // import x = require("m")
            "import_require_clause" => {
                let source = child.child_by_field_name("source");
                let module = source.and_then(|n| string(n, b.source)).unwrap_or_default();
                if let Some(name) = child.named_child(0) {
                    let (local, flags) = (b.text(name), flags::MODULE | flags::DYNAMIC);
                    b.import(
                        ImportText { local, module: module.into(), flags, ..ImportText::default() },
                        name,
                    );
                    binds = true;
                }
            }
            "import_clause" => {
                let mut cursor = child.walk();
                let parts: Vec<Node<'t>> = child.named_children(&mut cursor).collect();
                for part in parts {
                    binds = true;
                    imported(b, part, module);
                }
            }
            _ => {}
        }
    }
    if let Some(source) = source.filter(|_| !binds && !module.is_empty()) {
        let flags = flags::MODULE;
        let import = ImportText { module: module.into(), flags, ..ImportText::default() };
        b.import(import, source);
    }
}

/// `const x = require("m")`, `const { a } = await import("m")`, at the top of a file.
pub(super) fn require<'t>(b: &mut Builder<'_, 't>, name: Node<'t>, value: Node<'t>) -> bool {
    let mut call = bare(value);
    let mut member = None;
    if call.kind() == "await_expression" {
        call = call.named_child(0).map_or(call, bare);
    }
    if call.kind() == "member_expression" {
        member = call.child_by_field_name("property").map(|n| b.text(n));
        call = call.child_by_field_name("object").map_or(call, bare);
    }
    if call.kind() != "call_expression" {
        return false;
    }
    let Some(module) = required(call, b.source) else { return false };
    let level = 0;
    match name.kind() {
        "identifier" => {
            let local = b.text(name);
            let flags = flags::DYNAMIC | if member.is_some() { 0 } else { flags::MODULE };
            let name_text = member.unwrap_or_default();
            let import = ImportText { local, module: module.into(), name: name_text, level, flags };
            b.import(import, name);
        }
        "object_pattern" if member.is_none() => {
            let mut cursor = name.walk();
            let parts: Vec<Node<'t>> = name.named_children(&mut cursor).collect();
            for part in parts {
                let (of, local) = match part.kind() {
                    "shorthand_property_identifier_pattern" => (Some(part), Some(part)),
                    "pair_pattern" => (
                        part.child_by_field_name("key"),
                        part.child_by_field_name("value").filter(|n| n.kind() == "identifier"),
                    ),
                    _ => (None, None),
                };
                if let (Some(of), Some(local)) = (of, local) {
                    let (name, local) = (b.text(of), b.text(local));
                    let flags = flags::DYNAMIC;
                    let import = ImportText { local, module: module.into(), name, level, flags };
                    b.import(import, of);
                }
            }
        }
        _ => return false,
    }
    b.done = call.id();
    true
}

/// Gives something to other files under a name.
pub(super) fn give<'t>(b: &mut Builder<'_, 't>, name: &'t str, value: ExprId) {
    if value != 0 {
        let name = b.shared.name(name);
        let (owner, within) = (Within::EXPORTS, Within::FILE);
        b.attributes.push(Attribute { owner, name, ty: 0, value, within });
    }
}

/// `module.exports = value`
pub(super) fn exported_whole<'t>(b: &mut Builder<'_, 't>, number: Option<u32>, right: Node<'t>) {
    if right.kind() != "object" {
        let value = match number {
            Some(number) => b.shared.expr(Expr::Definition(number)),
            None => shared(b, right),
        };
        give(b, "export=", value);
        return;
    }
    let mut cursor = right.walk();
    let children: Vec<Node<'t>> = right.named_children(&mut cursor).collect();
    for child in children {
        let name = match child.kind() {
            "shorthand_property_identifier" => Some(child),
            "pair" => child.child_by_field_name("key"),
            "method_definition" => child.child_by_field_name("name"),
            "spread_element" => {
                let call = child.named_child(0).filter(|n| n.kind() == "call_expression");
                if let Some(module) = call.and_then(|call| required(call, b.source)) {
                    reexport(b, "", module, "", flags::GLOB | flags::DYNAMIC, child);
                }
                None
            }
            _ => None,
        };
        let Some(name) = name.and_then(|n| key(n, b.source)) else { continue };
        let value = match (b.definition(child), child.child_by_field_name("value")) {
            (Some(number), _) => b.shared.expr(Expr::Definition(number)),
            (None, Some(value)) => shared(b, value),
            (None, None) => b.shared.named_expr(name),
        };
        give(b, name, value);
    }
}

/// One name of an import clause, or several.
fn imported<'t>(b: &mut Builder<'_, 't>, part: Node<'t>, module: &'t str) {
    let import =
        |local, name, flags| ImportText { local, module: module.into(), name, level: 0, flags };
    match part.kind() {
        "identifier" => {
            let local = b.text(part);
            b.import(import(local, "default", flags::OF_DEFAULT), part);
        }
        "namespace_import" => {
            if let Some(name) = part.named_child(0) {
                let local = b.text(name);
                b.import(import(local, "", flags::MODULE), name);
            }
        }
        "named_imports" => {
            let mut cursor = part.walk();
            let children: Vec<Node<'t>> = part.named_children(&mut cursor).collect();
            for child in children.into_iter().filter(|n| n.kind() == "import_specifier") {
                let Some(name) = child.child_by_field_name("name") else { continue };
                let of = key(name, b.source).unwrap_or_default();
                let local = child.child_by_field_name("alias").map_or(of, |n| b.text(n));
                b.import(import(local, of, 0), name);
            }
        }
        _ => {}
    }
}

/// What is imported only to be given on: no name of the file's own.
fn reexport<'t>(
    b: &mut Builder<'_, 't>,
    local: &'t str,
    module: &'t str,
    name: &'t str,
    flags: u16,
    at: Node<'t>,
) {
    let (local, module) = (b.shared.name(local), b.shared.name(module));
    let name = b.shared.name(name);
    let number = u32::try_from(b.imports.len()).unwrap_or(0);
    let (owner, level, flags) = (Within::EXPORTS, 0, flags | flags::REEXPORT);
    b.imports.push(Import { owner, local, module, name, level, flags });
    b.refer(ReferenceKind::Import, number, at);
}

/// `export ...`
pub(super) fn export<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Step {
    let source = node.child_by_field_name("source");
    let module = source.and_then(|n| string(n, b.source));
    let declaration = node.child_by_field_name("declaration");
    let mut is_default = false;
    let mut is_whole = false;
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.children(&mut cursor).collect();
    for &child in &children {
        match child.kind() {
            "default" => is_default = true,
            "=" => is_whole = true,
            "*" => {
                if let (Some(module), Some(source)) = (module, source) {
                    reexport(b, "", module, "", flags::GLOB, source);
                }
            }
            "namespace_export" => {
                let name = child.named_child(0).and_then(|n| key(n, b.source));
                if let (Some(module), Some(name)) = (module, name) {
                    reexport(b, name, module, "", flags::MODULE, child);
                }
            }
            "export_clause" => {
                clause(b, child, module);
            }
            _ => {}
        }
    }
    if let Some(declaration) = declaration {
        exported(b, declaration, is_default);
        return Step::Into;
    }
    if is_default || is_whole {
        let value = node.child_by_field_name("value");
        let value = value.or_else(|| children.iter().rev().copied().find(Node::is_named));
        let Some(value) = value else { return Step::Skip };
        let shape = match b.definition(node) {
            Some(number) => {
                alias(b, number, value);
                b.shared.expr(Expr::Definition(number))
            }
            None => shared(b, value),
        };
        give(b, if is_default { "default" } else { "export=" }, shape);
        return Step::Into;
    }
    Step::Skip
}

/// `export { a, b as c }`, perhaps from a module.
fn clause<'t>(b: &mut Builder<'_, 't>, clause: Node<'t>, module: Option<&'t str>) {
    let mut cursor = clause.walk();
    let children: Vec<Node<'t>> = clause.named_children(&mut cursor).collect();
    for child in children.into_iter().filter(|n| n.kind() == "export_specifier") {
        let Some(name) = child.child_by_field_name("name") else { continue };
        let of = key(name, b.source).unwrap_or_default();
        let alias = child.child_by_field_name("alias");
        let given = alias.and_then(|n| key(n, b.source)).unwrap_or(of);
        match module {
            Some(module) => reexport(b, given, module, of, 0, name),
            None => {
                let value = b.shared.named_expr(of);
                give(b, given, value);
            }
        }
    }
}

/// A declaration behind `export`.
fn exported<'t>(b: &mut Builder<'_, 't>, declaration: Node<'t>, is_default: bool) {
    let mut nodes = vec![declaration];
    if matches!(
        declaration.kind(),
        "lexical_declaration" | "variable_declaration" | "ambient_declaration"
    ) {
        let mut cursor = declaration.walk();
        nodes = declaration.named_children(&mut cursor).collect();
        if let [inner] = nodes[..]
            && inner.kind().ends_with("_declaration")
            && declaration.kind() == "ambient_declaration"
        {
            return exported(b, inner, is_default);
        }
    }
    for node in nodes {
        for number in b.definitions_at(node) {
            b.declared(number).flags |= flags::EXPORTED;
            if is_default {
                let value = b.shared.expr(Expr::Definition(number));
                give(b, "default", value);
            }
        }
    }
}
