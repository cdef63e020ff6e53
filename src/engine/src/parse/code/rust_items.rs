//! Items of Rust: functions, impl blocks, types, modules, `use` trees.

use std::borrow::Cow;

use onyx_protocol::code::{
    Expr, Generic, Parameter, ReferenceKind, ScopeKind, TypeId, Within, flags,
};
use tree_sitter::Node;

use super::builder::ImportText;
use super::rust::{last_child, name_node};
use super::rust_bind::bind;
use super::rust_shape::{ty, type_expr};
use super::{Builder, Interner};

pub(super) fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    let in_type = b.holder().kind == ScopeKind::Type;
    b.open(ScopeKind::Function, number.map_or(Within::FILE, Within::definition));
    let Some(number) = number else { return };
    if let Some(name) = field!(node, "name").filter(|_| in_type) {
        b.refer(ReferenceKind::Override, 0, name);
    }
    let source = b.source;
    let mut bits = 0;
    let mut parameters = Vec::new();
    if let Some(list) = field!(node, "parameters") {
        let mut cursor = list.walk();
        let children: Vec<Node<'t>> = list.named_children(&mut cursor).collect();
        for child in children {
            match child.kind() {
                "self_parameter" => bits |= flags::RECEIVER,
                "parameter" => {
                    let pattern = field!(child, "pattern");
                    let of = field!(child, "type");
                    let mut name = pattern;
                    while let Some(inner) =
                        name.filter(|n| n.kind() != "identifier" && n.kind() != "self")
                    {
                        name = match inner.kind() {
                            "mut_pattern" | "ref_pattern" => last_child(inner),
                            _ => None,
                        };
                    }
                    let text = name.map_or("", |n| b.text(n));
                    if text == "self" {
                        bits |= flags::RECEIVER;
                        continue;
                    }
                    let shared = of.map_or(0, |n| ty(n, source, &mut b.shared, 0));
                    let name_id = b.shared.name(text);
                    parameters.push(Parameter {
                        name: name_id,
                        ty: shared,
                        default: 0,
                        optional: false,
                    });
                    if let Some(pattern) = pattern.filter(|_| name.is_none()) {
                        let of = of.map_or(0, |n| ty(n, source, &mut b.own, 0));
                        let value = b.own.expr(Expr::OfType(of));
                        bind(b, pattern, value, 0, pattern.start_position(), 0);
                    }
                }
                _ => {}
            }
        }
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        if child.kind() == "function_modifiers"
            && b.text(child).split_whitespace().any(|w| w == "async")
        {
            bits |= flags::ASYNC;
        }
    }
    if node.kind() == "function_signature_item" {
        bits |= flags::ABSTRACT;
    }
    let returns = field!(node, "return_type");
    let returns = returns.map_or(0, |n| ty(n, source, &mut b.shared, 0));
    let generics = generics(b, node);
    let declared = b.declared(number);
    declared.flags |= bits;
    declared.parameters = parameters;
    declared.ty = returns;
    declared.generics = generics;
}

/// Type parameters with their bounds, those of the where clause included.
pub(super) fn generics<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Vec<Generic> {
    let source = b.source;
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let mut generics: Vec<Generic> = Vec::new();
    if let Some(list) = field!(node, "type_parameters") {
        let mut cursor = list.walk();
        for child in list.named_children(&mut cursor) {
            if !matches!(
                child.kind(),
                "type_parameter"
                    | "constrained_type_parameter"
                    | "optional_type_parameter"
                    | "type_identifier"
            ) {
                continue;
            }
            let name = child
                .child_by_field_name("name")
                .or_else(|| field!(child, "left"))
                .unwrap_or(child);
            let bounds = field!(child, "bounds");
            let bounds = bounds.map(|n| bound_types(n, source, &mut b.shared)).unwrap_or_default();
            let name = b.shared.name(text(name));
            generics.push(Generic { name, bounds });
        }
    }
    let mut cursor = node.walk();
    if let Some(clause) = node.named_children(&mut cursor).find(|n| n.kind() == "where_clause") {
        let mut cursor = clause.walk();
        for predicate in clause.named_children(&mut cursor) {
            let (Some(left), Some(bounds)) =
                (field!(predicate, "left"), field!(predicate, "bounds"))
            else {
                continue;
            };
            let name = b.shared.name(text(left));
            let bounds = bound_types(bounds, source, &mut b.shared);
            match generics.iter_mut().find(|generic| generic.name == name) {
                Some(generic) => generic.bounds.extend(bounds),
                None if left.kind() == "type_identifier" => generics.push(Generic { name, bounds }),
                None => {}
            }
        }
    }
    generics
}

pub(super) fn bound_types<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
) -> Vec<TypeId> {
    let mut cursor = node.walk();
    let bounds = node.named_children(&mut cursor).map(|n| ty(n, source, pool, 0));
    bounds.filter(|&bound| bound != 0).collect()
}

pub(super) fn impl_block<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    b.open(ScopeKind::Type, number.map_or(Within::FILE, Within::definition));
    let Some(number) = number else { return };
    let source = b.source;
    let of = field!(node, "type").map_or(0, |n| ty(n, source, &mut b.shared, 0));
    let bases = field!(node, "trait").map(|n| ty(n, source, &mut b.shared, 0));
    let generics = generics(b, node);
    let declared = b.declared(number);
    declared.ty = of;
    declared.bases = bases.into_iter().collect();
    declared.generics = generics;
}

pub(super) fn type_item<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    b.open(ScopeKind::Type, number.map_or(Within::FILE, Within::definition));
    let Some(number) = number else { return };
    let source = b.source;
    let generics = generics(b, node);
    let mut bases = Vec::new();
    if let Some(bounds) = field!(node, "bounds") {
        bases = bound_types(bounds, source, &mut b.shared);
        let mut cursor = bounds.walk();
        let children: Vec<Node<'t>> = bounds.named_children(&mut cursor).collect();
        for child in children {
            let bare = field!(child, "type").filter(|_| child.kind() == "generic_type");
            let bare = bare.unwrap_or(child);
            if matches!(bare.kind(), "type_identifier" | "scoped_type_identifier") {
                let target = type_expr(bare, source, &mut b.own, 0);
                b.refer(ReferenceKind::Inherit, target, name_node(bare));
            }
        }
    }
    // The types of a tuple struct or variant, in order.
    let mut parameters = Vec::new();
    let mut cursor = node.walk();
    if let Some(list) =
        node.named_children(&mut cursor).find(|n| n.kind() == "ordered_field_declaration_list")
    {
        let mut cursor = list.walk();
        for child in list.children_by_field_name("type", &mut cursor) {
            let ty = ty(child, source, &mut b.shared, 0);
            parameters.push(Parameter { name: 0, ty, default: 0, optional: false });
        }
    }
    let declared = b.declared(number);
    declared.generics = generics;
    declared.bases = bases;
    declared.parameters = parameters;
}

pub(super) fn module<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    if field!(node, "body").is_none()
        && let Some(number) = number
    {
        b.declared(number).flags |= flags::ELSEWHERE;
    }
    b.open(ScopeKind::Module, number.map_or(Within::FILE, Within::definition));
}

/// The imports of a `use` tree. `path` is what stands before it.
pub(super) fn use_tree<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    path: &mut Vec<&'t str>,
    public: bool,
    depth: u8,
) {
    if depth > 100 {
        return;
    }
    let more = if public { flags::REEXPORT } else { 0 };
    let before = path.len();
    match node.kind() {
        "use_list" => {
            let mut cursor = node.walk();
            let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
            for child in children {
                use_tree(b, child, path, public, depth + 1);
            }
        }
        "scoped_use_list" => {
            if let Some(head) = field!(node, "path") {
                segments(b.source, head, path);
            } else if b.text(node).starts_with("::") {
                path.push("");
            }
            if let Some(list) = field!(node, "list") {
                use_tree(b, list, path, public, depth + 1);
            }
        }
        "use_wildcard" => {
            if let Some(head) = node.named_child(0) {
                segments(b.source, head, path);
            }
            let module = path.join("::").into();
            let flags = more | flags::GLOB;
            b.import(ImportText { module, flags, ..ImportText::default() }, node);
        }
        "use_as_clause" => {
            if let Some(head) = field!(node, "path") {
                segments(b.source, head, path);
                let alias = field!(node, "alias").map_or("", |n| b.text(n));
                let at = name_node(head);
                use_one(b, path, alias, more, at);
            }
        }
        _ => {
            segments(b.source, node, path);
            let local = match path.last() {
                // `use a::{self}`
                Some(&"self") if path.len() > 1 => path[path.len() - 2],
                Some(last) => last,
                None => "",
            };
            use_one(b, path, local, more, name_node(node));
        }
    }
    path.truncate(before);
}

fn use_one<'t>(
    b: &mut Builder<'_, 't>,
    path: &[&'t str],
    local: &'t str,
    flags: u16,
    at: Node<'t>,
) {
    let path = match path {
        [head @ .., "self"] if !head.is_empty() => head,
        _ => path,
    };
    let Some((name, module)) = path.split_last() else { return };
    // `use x as _` binds no name.
    let local = if local == "_" { "" } else { local };
    let module: Cow<'t, str> = module.join("::").into();
    b.import(ImportText { local, module, name, level: 0, flags }, at);
}

fn segments<'t>(source: &'t str, node: Node<'t>, path: &mut Vec<&'t str>) {
    let text = source.get(node.byte_range()).unwrap_or_default();
    path.extend(text.split("::").map(str::trim));
}
