//! Functions, classes and types of JavaScript and TypeScript: what they say of themselves, and what
//! `this` is in them.

use onyx_protocol::code::{
    Expr, ExprId, Generic, Parameter, ReferenceKind, ScopeKind, Type, TypeId, Within, flags,
};
use onyx_protocol::facts::NodeKind;
use tree_sitter::Node;

use super::Builder;
use super::ecma::{is_top, name_node, own, own_type, shared, shared_type, type_name};
use super::ecma_assignment::{attached_to, prototype_of};
use super::ecma_bind::bind;
use super::ecma_jsdoc::{Told, either};
use super::ecma_lift::{found, lift};
use super::ecma_shape::{self as shape, Source, bare};

/// Binds the name of a local function or class, and hides it from where it cannot be seen.
pub(super) fn declare<'t>(b: &mut Builder<'_, 't>, number: u32, name: Node<'t>) {
    if is_top(b) {
        return;
    }
    let value = b.own.expr(Expr::Definition(number));
    let text = b.text(name);
    b.bind(text, 0, value, name.start_position());
    // In a function without name it belongs to another one.
    let parent = b.facts(number).parent.map_or(Within::FILE, Within::definition);
    let scope = &b.scopes[b.scope as usize];
    // So does what is in a block.
    let is_direct = scope.kind == ScopeKind::Function && scope.within != Within::FILE;
    if !is_direct || scope.within != parent {
        b.declared(number).flags |= flags::HIDDEN;
    }
}

pub(super) fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, field: Option<&'t str>) {
    let kind = node.kind();
    let number = b.definition(node);
    let is_member = b.scopes[b.scope as usize].kind == ScopeKind::Type;
    let mut bits = 0;
    for index in 0..node.child_count() {
        let Some(child) = node.child(index) else { break };
        bits |= match child.kind() {
            "async" => flags::ASYNC,
            "static" => flags::STATIC,
            "abstract" => flags::ABSTRACT,
            "*" => flags::GENERATOR,
            "get"
            | "set"
            | "accessibility_modifier"
            | "override_modifier"
            | "decorator"
            | "readonly"
            | "function" => 0,
            _ => break,
        };
    }
    bits |= match kind {
        "function_signature" => flags::ELSEWHERE,
        "method_signature" if is_member => flags::ELSEWHERE,
        "generator_function" | "generator_function_declaration" => flags::GENERATOR,
        _ => 0,
    };
    let name = node.child_by_field_name("name");
    if let (Some(number), Some(name)) = (number, name) {
        match kind {
            "function_declaration" | "generator_function_declaration" => declare(b, number, name),
            "method_definition" if !is_member => bits |= flags::HIDDEN,
            _ => {}
        }
    }
    b.open(ScopeKind::Function, number.map_or(Within::FILE, Within::definition));
    if kind != "arrow_function" {
        receiver(b, node, number, field, is_member);
    }
    if let Some(number) = number {
        let facts = b.facts(number);
        let is_override = is_member || field == Some("value") && in_class(b, number);
        if is_override && !matches!(facts.kind, NodeKind::Constructor) {
            b.refer(ReferenceKind::Override, 0, name.unwrap_or(node));
        }
        if facts.kind == NodeKind::Property
            && node.child(0).is_some_and(|n| n.kind() == "set" || n.kind() == "static")
            && b.text(node).trim_start_matches("static").trim_start().starts_with("set ")
        {
            bits |= flags::HIDDEN;
        }
    }
    let told = Told::of(b, number);
    let parameters = parameters(b, node, number, &told, &mut bits);
    let returns = node.child_by_field_name("return_type");
    let Some(number) = number else { return };
    let ty = shared_type(b, returns);
    let generics = generics(b, node);
    let body = node.child_by_field_name("body");
    let value = match body.filter(|n| ty == 0 && n.kind() != "statement_block") {
        Some(body) => {
            let value = own(b, body);
            lift(b, value, 0)
        }
        None => 0,
    };
    let values = [told.result(b), value];
    let declared = b.declared(number);
    declared.flags |= bits;
    declared.parameters = parameters;
    declared.ty = ty;
    declared.generics = generics;
    declared.values.extend(values.into_iter().filter(|&value| value != 0));
}

/// Whether a definition is a member of a class.
pub(super) fn in_class(b: &Builder<'_, '_>, number: u32) -> bool {
    b.facts(number).parent.is_some_and(|parent| b.facts(parent).kind == NodeKind::Class)
}

/// What `this` is in a function that has one of its own.
fn receiver<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    number: Option<u32>,
    field: Option<&'t str>,
    is_member: bool,
) {
    let scope = b.scope;
    let at = node.start_position();
    let owner = number.and_then(|number| {
        let receiver = b.declared[number as usize].receiver;
        if receiver != 0 {
            return Some(attached_to(b, receiver).map_or(Within::FILE, Within::definition));
        }
        let facts = b.facts(number);
        if is_member || in_class(b, number) {
            return facts.parent.map(Within::definition);
        }
        let makes = facts.kind == NodeKind::Function && facts.name.starts_with(char::is_uppercase);
        makes.then(|| Within::definition(number))
    });
    b.selves.insert(scope, owner.unwrap_or(Within::FILE));
    if owner.is_none() {
        // A method of an object has the object, another function nobody knows what.
        let is_of_object = node.kind() == "method_definition" || number.is_some();
        let object = b.own.name("{}");
        let known = is_of_object && found(b, object).is_some();
        let value = match field {
            _ if known => b.own.expr(Expr::Name(object)),
            Some("right") => set_on(b),
            _ => 0,
        };
        b.bind("this", 0, value, at);
    }
}

/// What the function the walk is at is set on by a computed name: `x[name] = function`,
/// `X.prototype[name] = function`.
fn set_on(b: &mut Builder<'_, '_>) -> ExprId {
    let left = b.parent().and_then(|n| n.child_by_field_name("left"));
    let left = left.filter(|n| n.kind() == "subscript_expression");
    let Some(object) = left.and_then(|n| n.child_by_field_name("object")) else { return 0 };
    match object.kind() {
        "identifier" => own(b, object),
        _ => match prototype_of(object, b) {
            Some(of) => {
                let ty = own_type(b, Some(of));
                b.own.expr(Expr::OfType(ty))
            }
            None => 0,
        },
    }
}

/// The type or function whose fields `this.name` are at the present place.
pub(super) fn this_owner(b: &Builder<'_, '_>) -> Option<Within> {
    let mut scope = b.scope;
    loop {
        if let Some(&owner) = b.selves.get(&scope) {
            return Some(owner).filter(|&owner| owner != Within::FILE);
        }
        let inner = &b.scopes[scope as usize];
        if inner.kind == ScopeKind::Type {
            return Some(inner.within).filter(|&owner| owner != Within::FILE);
        }
        if scope == 0 {
            return None;
        }
        scope = inner.parent;
    }
}

fn parameters<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    number: Option<u32>,
    told: &Told,
    bits: &mut u16,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let single = node.child_by_field_name("parameter");
    let list = node.child_by_field_name("parameters");
    let mut children: Vec<Node<'t>> = single.into_iter().collect();
    if let Some(list) = list {
        let mut cursor = list.walk();
        children.extend(list.named_children(&mut cursor).filter(|n| n.kind() != "comment"));
    }
    // What the function it is an argument of passes to it.
    let mut callee = 0;
    if number.is_none() && !children.is_empty() {
        let is_argument = b.parent_kind() == "arguments";
        let call = b.above(1).filter(|_| is_argument);
        let of = call.and_then(|call| call.child_by_field_name("function")).map(bare);
        callee = of.filter(|n| n.kind() == "member_expression").map_or(0, |n| own(b, n));
    }
    for (index, child) in (0_u8..=u8::MAX).zip(children) {
        let is_typed = matches!(child.kind(), "required_parameter" | "optional_parameter");
        let annotation = child.child_by_field_name("type").filter(|_| is_typed);
        let mut pattern = if is_typed { child.child_by_field_name("pattern") } else { Some(child) };
        let mut default = child.child_by_field_name("value").filter(|_| is_typed);
        if let Some(inner) = pattern.filter(|n| n.kind() == "assignment_pattern") {
            pattern = inner.child_by_field_name("left");
            default = inner.child_by_field_name("right");
        }
        let Some(mut pattern) = pattern else { continue };
        let mut rest = false;
        if pattern.kind() == "rest_pattern" {
            rest = true;
            *bits |= flags::VARIADIC;
            pattern = pattern.named_child(0).unwrap_or(pattern);
        }
        let name = matches!(pattern.kind(), "identifier" | "this").then(|| b.text(pattern));
        let mut ty = shared_type(b, annotation);
        if rest && ty == 0 {
            ty = b.shared.ty(Type::Array(0));
        }
        if let Some(field) = b.definition(child) {
            b.declared(field).ty = ty;
        }
        if number.is_some() {
            let value = match default {
                Some(default) if ty == 0 => {
                    let source = Source { text: b.source, by_node: &b.by_node };
                    shape::expr(default, source, &mut b.shared, 0)
                }
                _ => 0,
            };
            let name = name.unwrap_or_default();
            let told = if ty == 0 { told.parameter(name, b) } else { 0 };
            let value = either(told, value, &mut b.shared);
            let name = b.shared.name(name);
            let optional = default.is_some() || rest || child.kind() == "optional_parameter";
            // `this` is declared, not passed.
            parameters.push(Parameter { name, ty, default: value, optional });
        }
        if number.is_none() || name.is_none() {
            let ty = own_type(b, annotation);
            let mut value = default.map_or(0, |n| own(b, n));
            if callee != 0 && value == 0 && !rest {
                value = b.own.expr(Expr::Passed(callee, index));
            }
            bind(b, pattern, value, ty, 0);
        }
    }
    parameters
}

/// Type parameters with their bounds.
fn generics<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Vec<Generic> {
    let Some(list) = node.child_by_field_name("type_parameters") else { return Vec::new() };
    let mut generics = Vec::new();
    let mut cursor = list.walk();
    let children: Vec<Node<'t>> = list.named_children(&mut cursor).collect();
    for child in children.into_iter().filter(|n| n.kind() == "type_parameter") {
        let name = child.child_by_field_name("name").map_or("", |n| b.text(n));
        let name = b.shared.name(name);
        let bound = child.child_by_field_name("constraint");
        let bound = shared_type(b, bound);
        generics.push(Generic { name, bounds: if bound == 0 { Vec::new() } else { vec![bound] } });
    }
    generics
}

pub(super) fn class<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    let name = node.child_by_field_name("name");
    if let Some(number) = number {
        match node.kind() {
            "class" if b.facts(number).name == "<anonymous>" => {
                b.declared(number).flags |= flags::HIDDEN;
            }
            "class" => {}
            _ => {
                if let Some(name) = name {
                    declare(b, number, name);
                }
            }
        }
    }
    let mut bases = Vec::new();
    let mut cursor = node.walk();
    let heritage = node.named_children(&mut cursor).find(|n| n.kind() == "class_heritage");
    if let Some(heritage) = heritage {
        let mut cursor = heritage.walk();
        let clauses: Vec<Node<'t>> = heritage.named_children(&mut cursor).collect();
        for clause in clauses {
            match clause.kind() {
                "implements_clause" => {
                    let mut cursor = clause.walk();
                    let types: Vec<Node<'t>> = clause.named_children(&mut cursor).collect();
                    for of in types {
                        let base = shared_type(b, Some(of));
                        bases.push(base);
                    }
                }
                "extends_clause" => {
                    let value = clause.child_by_field_name("value");
                    let arguments = clause.child_by_field_name("type_arguments");
                    bases.extend(value.map(|value| base(b, value, arguments)));
                }
                _ => bases.push(base(b, clause, None)),
            }
        }
    }
    b.open(ScopeKind::Type, number.map_or(Within::FILE, Within::definition));
    if let Some(number) = number {
        let generics = generics(b, node);
        let declared = b.declared(number);
        declared.bases = bases;
        declared.generics = generics;
    }
}

/// A base class: a path with type arguments, or whatever an expression gives.
fn base<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, arguments: Option<Node<'t>>) -> TypeId {
    let ty = shared_type(b, Some(node));
    match b.shared.get_type(ty).clone() {
        Type::Named(path, _) => {
            let Some(list) = arguments else { return ty };
            let mut cursor = list.walk();
            let parts: Vec<Node<'t>> = list.named_children(&mut cursor).collect();
            let parts = parts.into_iter().map(|n| shared_type(b, Some(n))).collect();
            b.shared.ty(Type::Named(path, parts))
        }
        _ => {
            let of = shared(b, node);
            b.shared.ty(Type::Of(of))
        }
    }
}

/// References to bases, from the type.
pub(super) fn heritage<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    for child in children {
        match child.kind() {
            "identifier" | "member_expression" => {
                let target = own(b, child);
                b.refer(ReferenceKind::Inherit, target, name_node(child));
                b.done = child.id();
            }
            "type_identifier" | "nested_type_identifier" => {
                type_name(b, child, ReferenceKind::Inherit);
            }
            "generic_type" => {
                if let Some(name) = child.child_by_field_name("name") {
                    type_name(b, name, ReferenceKind::Inherit);
                }
            }
            _ => {}
        }
    }
}

/// Interfaces, type aliases, enums.
pub(super) fn type_declaration<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(number) = b.definition(node) else {
        b.open(ScopeKind::Block, Within::FILE);
        return;
    };
    b.open(ScopeKind::Type, Within::definition(number));
    let generics = generics(b, node);
    let (mut bases, mut ty) = (Vec::new(), 0);
    match node.kind() {
        "interface_declaration" => {
            let mut cursor = node.walk();
            let clause =
                node.named_children(&mut cursor).find(|n| n.kind() == "extends_type_clause");
            if let Some(clause) = clause {
                let mut cursor = clause.walk();
                let types: Vec<Node<'t>> = clause.named_children(&mut cursor).collect();
                bases = types.into_iter().map(|n| shared_type(b, Some(n))).collect();
            }
        }
        "type_alias_declaration" => {
            let value = node.child_by_field_name("value");
            ty = match value.map(|n| n.kind()) {
                // Its members are its own.
                Some("object_type") => b.shared.ty(Type::SelfType),
                _ => shared_type(b, value),
            };
        }
        _ => {}
    }
    let declared = b.declared(number);
    declared.generics = generics;
    declared.bases = bases;
    declared.ty = ty;
}

/// Fields of classes and interfaces.
pub(super) fn field<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(number) = b.definition(node) else { return };
    let value = node.child_by_field_name("value");
    let mut bits = 0;
    for index in 0..node.child_count() {
        match node.child(index).map(|n| n.kind()) {
            Some("static") => bits |= flags::STATIC,
            Some("property_identifier" | "=" | ":") | None => break,
            _ => {}
        }
    }
    b.declared(number).flags |= bits;
    if b.facts(number).kind == NodeKind::Method {
        if let Some(value) = value {
            b.by_node.entry(value.id()).or_insert(number);
        }
        return;
    }
    let annotation = node.child_by_field_name("type");
    let ty = shared_type(b, annotation);
    let value = value.filter(|_| ty == 0).map_or(0, |n| {
        let value = own(b, n);
        lift(b, value, 0)
    });
    let told = Told::of(b, Some(number)).value(b);
    let value = either(told, value, &mut b.shared);
    let declared = b.declared(number);
    declared.ty = ty;
    declared.values = if value == 0 { Vec::new() } else { vec![value] };
    b.within = Within::definition(number);
}
