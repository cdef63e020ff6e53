//! What Python binds: assignments, patterns, `with` and `except`, and what functions return.

use onyx_protocol::code::{Attribute, Expr, ExprId, ScopeKind, TypeId, Within, flags};
use tree_sitter::Node;

use super::Builder;
use super::python_import::{public, strings};
use super::python_shape::{expr, ty};

/// Most values kept of one function's returns.
const MAX_VALUES: usize = 6;

pub(super) fn assignment<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, augmented: bool) {
    let Some(left) = field!(node, "left") else { return };
    let right = field!(node, "right");
    let annotation = field!(node, "type");
    // `a = b = value`
    let mut right = right;
    while let Some(inner) = right.filter(|r| r.kind() == "assignment") {
        right = field!(inner, "right");
    }
    let source = b.source;
    if b.is_shared() {
        let value = match right {
            Some(right) if !augmented => expr(right, source, &mut b.shared, 0),
            _ => 0,
        };
        let ty = annotation.map_or(0, |node| ty(node, source, &mut b.shared, 0));
        if b.holder().kind == ScopeKind::File
            && left.kind() == "identifier"
            && b.text(left) == "__all__"
        {
            let names = right.map(|right| strings(right, source)).unwrap_or_default();
            b.exports_all |= !augmented;
            public(b, names);
        }
        let owner = b.holder().within;
        share_pattern(b, node, left, value, ty, owner, Within::FILE);
        return;
    }
    if left.kind() == "attribute" {
        self_attribute(b, node, left, right, annotation);
        return;
    }
    if augmented {
        return;
    }
    let value = right.map_or(0, |right| expr(right, source, &mut b.own, 0));
    let ty = annotation.map_or(0, |node| ty(node, source, &mut b.own, 0));
    if left.kind() == "identifier" {
        if value != 0 || ty != 0 || right.is_some() {
            let text = b.text(left);
            b.bind(text, ty, value, node.end_position());
        }
    } else {
        bind_pattern(b, left, value, node.end_position());
        let mut cursor = left.walk();
        let parts: Vec<Node<'t>> = left.named_children(&mut cursor).collect();
        for part in parts.into_iter().filter(|part| part.kind() == "attribute") {
            self_attribute(b, node, part, None, None);
        }
    }
}

/// Names that a pattern at the top of a file or class binds.
fn share_pattern<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    left: Node<'t>,
    value: ExprId,
    ty: TypeId,
    owner: Within,
    within: Within,
) {
    match left.kind() {
        "identifier" => {
            let name = b.text(left);
            match b.definition_named(node, name) {
                Some(number) => {
                    let declared = b.declared(number);
                    declared.ty = ty;
                    declared.values = if value == 0 { Vec::new() } else { vec![value] };
                }
                None if value != 0 || ty != 0 => {
                    let name = b.shared.name(name);
                    b.attributes.push(Attribute { owner, name, ty, value, within });
                }
                None => {}
            }
        }
        "pattern_list" | "tuple_pattern" | "list_pattern" => {
            let mut cursor = left.walk();
            let parts: Vec<Node<'t>> = left.named_children(&mut cursor).collect();
            for (index, part) in (0_u8..).zip(parts) {
                let value = if value == 0 { 0 } else { b.shared.expr(Expr::Part(value, index)) };
                share_pattern(b, node, part, value, 0, owner, within);
            }
        }
        _ => {}
    }
}

/// `self.name = value` in a method.
fn self_attribute<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    left: Node<'t>,
    right: Option<Node<'t>>,
    annotation: Option<Node<'t>>,
) {
    let (Some(object), Some(name)) = (field!(left, "object"), field!(left, "attribute")) else {
        return;
    };
    let Some(method) = b.within.number() else { return };
    let facts = b.facts(method);
    let is_method = b.declared[method as usize].flags & flags::RECEIVER != 0;
    let Some(class) = facts.parent.filter(|_| is_method) else { return };
    let receiver = b.declared[method as usize].parameters.first().map_or(0, |p| p.name);
    let object = b.text(object);
    if receiver == 0 || b.shared.name(object) != receiver {
        return;
    }
    let source = b.source;
    let value = right.map_or(0, |right| expr(right, source, &mut b.shared, 0));
    let ty = annotation.map_or(0, |node| ty(node, source, &mut b.shared, 0));
    let text = b.text(name);
    if let Some(number) = b.definition_named(node, text) {
        b.declared(number).ty = ty;
    }
    let name = b.shared.name(text);
    let (owner, within) = (Within::definition(class), b.within);
    b.attributes.push(Attribute { owner, name, ty, value, within });
}

/// Names that a pattern in a function binds.
pub(super) fn bind_pattern<'t>(
    b: &mut Builder<'_, 't>,
    left: Node<'t>,
    value: ExprId,
    from: tree_sitter::Point,
) {
    match left.kind() {
        "identifier" => {
            let text = b.text(left);
            b.bind(text, 0, value, from);
        }
        "pattern_list"
        | "tuple_pattern"
        | "list_pattern"
        | "parenthesized_expression"
        | "tuple" => {
            let mut cursor = left.walk();
            let parts: Vec<Node<'t>> = left.named_children(&mut cursor).collect();
            for (index, part) in (0_u8..).zip(parts) {
                let value = if value == 0 { 0 } else { b.own.expr(Expr::Part(value, index)) };
                bind_pattern(b, part, value, from);
            }
        }
        "list_splat_pattern" => {
            if let Some(name) = left.named_child(0) {
                bind_pattern(b, name, 0, from);
            }
        }
        _ => {}
    }
}

/// `with x as y`, `except E as e`.
pub(super) fn as_pattern<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let (Some(of), Some(alias)) = (node.named_child(0), field!(node, "alias")) else {
        return;
    };
    let Some(target) = alias.named_child(0) else { return };
    let parent = b.parent_kind();
    let mut value = expr(of, b.source, &mut b.own, 0);
    match parent {
        "with_item" => value = b.own.expr(Expr::Enter(value)),
        "except_clause" | "except_group_clause" => {
            // A tuple of classes gives a value of one of them.
            value = match b.own.get(value).clone() {
                Expr::Tuple(_) => 0,
                _ => b.own.expr(Expr::Call(value, 0)),
            };
        }
        _ => {}
    }
    bind_pattern(b, target, value, target.start_position());
}

pub(super) fn returned<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(value) = node.named_child(0).filter(|n| n.kind() != "none") else { return };
    let holder = b.holder();
    let Some(number) = holder.within.number().filter(|_| holder.kind == ScopeKind::Function) else {
        return;
    };
    let declared = &b.declared[number as usize];
    if declared.ty != 0 || declared.values.len() >= MAX_VALUES {
        return;
    }
    let value = expr(value, b.source, &mut b.shared, 0);
    let value = local_value(b, value);
    let values = &mut b.declared(number).values;
    if !values.contains(&value) {
        values.push(value);
    }
}

/// A returned local is what it was last set to, as far as others can see that.
fn local_value(b: &mut Builder<'_, '_>, value: ExprId) -> ExprId {
    let &Expr::Name(name) = b.shared.get(value) else { return value };
    let text = b.shared.text(name).to_owned();
    let own = b.own.name(text);
    let scope = b.scope;
    let found = b
        .bindings
        .iter()
        .rev()
        .take(200)
        .find(|binding| binding.name == own && b.is_inside(scope, binding.scope));
    match found {
        Some(binding) if binding.ty == 0 => {
            let value = binding.value;
            b.shared.copy(&b.own, value)
        }
        Some(_) => 0,
        None => value,
    }
}
