//! What Rust's patterns bind, and the parameters of closures.

use onyx_protocol::code::{Expr, ExprId, ScopeKind, TypeId, Within};
use tree_sitter::{Node, Point};

use super::rust::{last_child, name_node};
use super::rust_shape::{expr, ty};
use super::{Builder, MAX_SHAPE};

pub(super) fn closure<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let source = b.source;
    // What the function it is an argument of passes to it.
    let call = match b.around[..] {
        [.., call, arguments] if arguments.kind() == "arguments" => Some(call),
        _ => None,
    };
    let callee = call.and_then(|call| field!(call, "function"));
    let callee = callee.map_or(0, |n| expr(n, source, &mut b.own, 0));
    b.open(ScopeKind::Function, Within::FILE);
    let Some(list) = field!(node, "parameters") else { return };
    let mut cursor = list.walk();
    let children: Vec<Node<'t>> = list.named_children(&mut cursor).collect();
    for (index, child) in (0_u8..).zip(children) {
        let (pattern, of) = match child.kind() {
            "parameter" => (field!(child, "pattern"), field!(child, "type")),
            _ => (Some(child), None),
        };
        let of = of.map_or(0, |n| ty(n, source, &mut b.own, 0));
        let value = if callee == 0 { 0 } else { b.own.expr(Expr::Passed(callee, index)) };
        if let Some(pattern) = pattern {
            bind(b, pattern, value, of, child.start_position(), 0);
        }
    }
}

/// Binds the names of a pattern that `value` is matched with.
pub(super) fn bind<'t>(
    b: &mut Builder<'_, 't>,
    pattern: Node<'t>,
    value: ExprId,
    ty_id: TypeId,
    from: Point,
    depth: u8,
) {
    if depth > MAX_SHAPE {
        return;
    }
    let source = b.source;
    match pattern.kind() {
        "identifier" => {
            let text = b.text(pattern);
            if text.starts_with(|c: char| !c.is_uppercase()) {
                b.bind(text, ty_id, value, from);
            }
        }
        "mut_pattern" | "ref_pattern" | "reference_pattern" => {
            let last = last_child(pattern);
            if let Some(inner) = last {
                bind(b, inner, value, ty_id, from, depth + 1);
            }
        }
        "tuple_pattern" | "slice_pattern" => {
            let value = typed(b, value, ty_id);
            let is_slice = pattern.kind() == "slice_pattern";
            let mut cursor = pattern.walk();
            let parts: Vec<Node<'t>> = pattern.named_children(&mut cursor).collect();
            for (index, part) in (0_u8..).zip(parts) {
                let shape = if is_slice { Expr::Index(value) } else { Expr::Part(value, index) };
                let value = if value == 0 { 0 } else { b.own.expr(shape) };
                bind(b, part, value, 0, from, depth + 1);
            }
        }
        "tuple_struct_pattern" => {
            let value = typed(b, value, ty_id);
            let Some(path) = field!(pattern, "type") else { return };
            let last = b.text(name_node(path));
            let mut cursor = pattern.walk();
            let parts: Vec<Node<'t>> =
                pattern.named_children(&mut cursor).filter(|n| n.id() != path.id()).collect();
            for (index, part) in (0_u8..).zip(parts) {
                let inner = if matches!(last, "Some" | "Ok" | "Err") {
                    let name = b.own.name(last);
                    if value == 0 { 0 } else { b.own.expr(Expr::Payload(value, name)) }
                } else {
                    let of = ty(path, source, &mut b.own, 0);
                    let of = b.own.expr(Expr::OfType(of));
                    let name = b.own.name(index.to_string());
                    b.own.expr(Expr::Member(of, name))
                };
                bind(b, part, inner, 0, from, depth + 1);
            }
        }
        "struct_pattern" => {
            let Some(path) = field!(pattern, "type") else { return };
            let of = ty(path, source, &mut b.own, 0);
            let of = b.own.expr(Expr::OfType(of));
            let mut cursor = pattern.walk();
            let fields: Vec<Node<'t>> = pattern
                .named_children(&mut cursor)
                .filter(|n| n.kind() == "field_pattern")
                .collect();
            for field in fields {
                let Some(name) = field!(field, "name") else { continue };
                let text = b.text(name);
                let id = b.own.name(text);
                let value = b.own.expr(Expr::Member(of, id));
                match field!(field, "pattern") {
                    Some(inner) => bind(b, inner, value, 0, from, depth + 1),
                    None => b.bind(text, 0, value, from),
                }
            }
        }
        "captured_pattern" => {
            if let Some(name) = pattern.named_child(0) {
                bind(b, name, value, ty_id, from, depth + 1);
            }
            if let Some(inner) = pattern.named_child(1) {
                bind(b, inner, value, ty_id, from, depth + 1);
            }
        }
        "or_pattern" | "match_pattern" => {
            let mut cursor = pattern.walk();
            let parts: Vec<Node<'t>> = pattern.named_children(&mut cursor).take(8).collect();
            for part in parts {
                bind(b, part, value, ty_id, from, depth + 1);
            }
        }
        _ => {}
    }
}

/// The value, or if only its type is known a value of that.
fn typed(b: &mut Builder<'_, '_>, value: ExprId, ty: TypeId) -> ExprId {
    if ty == 0 { value } else { b.own.expr(Expr::OfType(ty)) }
}
