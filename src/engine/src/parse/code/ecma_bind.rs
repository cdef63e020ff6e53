//! What the patterns of JavaScript and TypeScript bind.

use onyx_protocol::code::{Attribute, Expr, ExprId, TypeId, Within};
use tree_sitter::{Node, Point};

use super::Builder;
use super::ecma::own;
use super::ecma_shape::key;

/// The name and key of each part of an object pattern.
fn parts<'t>(b: &Builder<'_, 't>, pattern: Node<'t>) -> Vec<(Option<&'t str>, Node<'t>)> {
    let mut cursor = pattern.walk();
    let children: Vec<Node<'t>> = pattern.named_children(&mut cursor).collect();
    let mut found = Vec::new();
    for child in children {
        match child.kind() {
            "shorthand_property_identifier_pattern" => found.push((Some(b.text(child)), child)),
            "object_assignment_pattern" => {
                if let Some(left) = child.child_by_field_name("left") {
                    found.push((Some(b.text(left)), left));
                }
            }
            "pair_pattern" => {
                let name = child.child_by_field_name("key").and_then(|n| key(n, b.source));
                if let Some(value) = child.child_by_field_name("value") {
                    found.push((name, value));
                }
            }
            "rest_pattern" => found.extend(child.named_child(0).map(|inner| (None, inner))),
            _ => {}
        }
    }
    found
}

/// The parts of an array pattern with their places.
fn places<'t>(pattern: Node<'t>) -> Vec<(u8, Node<'t>)> {
    let mut found = Vec::new();
    let mut index = 0_u8;
    let mut cursor = pattern.walk();
    for child in pattern.children(&mut cursor) {
        match child.kind() {
            "," => index = index.saturating_add(1),
            _ if child.is_named() => found.push((index, child)),
            _ => {}
        }
    }
    found
}

/// Binds the names of a pattern in the present scope.
pub(super) fn bind<'t>(
    b: &mut Builder<'_, 't>,
    pattern: Node<'t>,
    value: ExprId,
    ty: TypeId,
    depth: u8,
) {
    if depth > 12 {
        return;
    }
    let at: Point = pattern.start_position();
    match pattern.kind() {
        "identifier" | "shorthand_property_identifier_pattern" => {
            let text = b.text(pattern);
            b.bind(text, ty, value, at);
        }
        "object_pattern" | "array_pattern" => {
            let value = if ty == 0 { value } else { b.own.expr(Expr::OfType(ty)) };
            if pattern.kind() == "object_pattern" {
                for (name, inner) in parts(b, pattern) {
                    let value = match name {
                        Some(name) if value != 0 => {
                            let name = b.own.name(name);
                            b.own.expr(Expr::Member(value, name))
                        }
                        _ => 0,
                    };
                    bind(b, inner, value, 0, depth + 1);
                }
            } else {
                for (index, inner) in places(pattern) {
                    let value = if value == 0 { 0 } else { b.own.expr(Expr::Part(value, index)) };
                    bind(b, inner, value, 0, depth + 1);
                }
            }
        }
        "assignment_pattern" => {
            if let Some(left) = pattern.child_by_field_name("left") {
                let right = pattern.child_by_field_name("right").map_or(0, |n| own(b, n));
                let value = match (value, right) {
                    (0, other) | (other, 0) => other,
                    _ => b.own.expr(Expr::Either(value, right)),
                };
                bind(b, left, value, ty, depth + 1);
            }
        }
        "rest_pattern" => {
            if let Some(inner) = pattern.named_child(0) {
                bind(b, inner, 0, 0, depth + 1);
            }
        }
        _ => {}
    }
}

/// Names that a pattern at the top of a file or namespace binds.
pub(super) fn share<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    pattern: Node<'t>,
    value: ExprId,
    ty: TypeId,
    owner: Within,
) {
    match pattern.kind() {
        "identifier" | "shorthand_property_identifier_pattern" => {
            let text = b.text(pattern);
            match b.definition_named(node, text) {
                Some(number) => {
                    let declared = b.declared(number);
                    // Methods may have been attached to it already.
                    declared.ty = if ty == 0 { declared.ty } else { ty };
                    declared.values = if value == 0 { Vec::new() } else { vec![value] };
                }
                None => {
                    let name = b.shared.name(text);
                    let within = Within::FILE;
                    b.attributes.push(Attribute { owner, name, ty, value, within });
                }
            }
        }
        "object_pattern" => {
            let value = if ty == 0 { value } else { b.shared.expr(Expr::OfType(ty)) };
            for (name, inner) in parts(b, pattern) {
                let value = match name {
                    Some(name) if value != 0 => {
                        let name = b.shared.name(name);
                        b.shared.expr(Expr::Member(value, name))
                    }
                    _ => 0,
                };
                share(b, node, inner, value, 0, owner);
            }
        }
        "array_pattern" => {
            for (index, inner) in places(pattern) {
                let value = if value == 0 { 0 } else { b.shared.expr(Expr::Part(value, index)) };
                share(b, node, inner, value, 0, owner);
            }
        }
        "assignment_pattern" => {
            if let Some(left) = pattern.child_by_field_name("left") {
                share(b, node, left, value, ty, owner);
            }
        }
        _ => {}
    }
}
