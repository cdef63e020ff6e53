//! JavaScript and TypeScript: functions, classes, types, imports and exports of both kinds, JSX.
//!
//! A JSX element of a component is a call of it: what it renders is what the component gives.

use onyx_protocol::code::{Expr, ExprId, ReferenceKind, ScopeKind, TypeId, Within, flags};
use onyx_protocol::facts::NodeKind;
use tree_sitter::Node;

use super::builder::ImportText;
use super::ecma_assignment::{assignment, bases_by_call, properties_by_call};
use super::ecma_bind::{bind, share};
use super::ecma_declaration::{class, declare, function, heritage, type_declaration};
use super::ecma_jsdoc::{Told, either};
use super::ecma_lift::lift;
use super::ecma_module::{export, give, import, require};
use super::ecma_shape::{self as shape, Source, bare, count, last, required_by};
use super::{Builder, Extractor, Step};

/// Most values kept of one function's returns.
const MAX_VALUES: usize = 6;

pub(super) struct Ecma;

const FUNCTION: u8 = 1;
const CLASS: u8 = 2;
const TYPE: u8 = 3;
const NAMESPACE: u8 = 4;
const BLOCK: u8 = 5;
const FOR_IN: u8 = 6;
const CATCH: u8 = 7;
const OBJECT: u8 = 8;
const PAIR: u8 = 9;
const DECLARATOR: u8 = 10;
const FIELD: u8 = 11;
const ASSIGNMENT: u8 = 12;
const RETURN: u8 = 13;
const IMPORT: u8 = 14;
const EXPORT: u8 = 15;
const CALL: u8 = 16;
const NEW: u8 = 17;
const MEMBER: u8 = 18;
const NAME: u8 = 19;
const TYPE_NAME: u8 = 20;
const JSX: u8 = 21;
const HERITAGE: u8 = 22;
const IGNORED: u8 = 23;
const JSX_END: u8 = 24;
const GENERIC: u8 = 25;

impl Extractor for Ecma {
    fn tag(&self, kind: &str) -> u8 {
        match kind {
            "function_declaration"
            | "generator_function_declaration"
            | "function_expression"
            | "generator_function"
            | "arrow_function"
            | "method_definition"
            | "function_signature"
            | "method_signature"
            | "abstract_method_signature" => FUNCTION,
            "class_declaration" | "abstract_class_declaration" | "class" => CLASS,
            "interface_declaration" | "type_alias_declaration" | "enum_declaration" => TYPE,
            "internal_module" | "module" => NAMESPACE,
            "statement_block" | "for_statement" | "switch_body" => BLOCK,
            "for_in_statement" => FOR_IN,
            "catch_clause" => CATCH,
            "object" => OBJECT,
            "pair" => PAIR,
            "variable_declarator" => DECLARATOR,
            "public_field_definition" | "field_definition" | "property_signature" => FIELD,
            "assignment_expression" => ASSIGNMENT,
            "return_statement" => RETURN,
            "import_statement" => IMPORT,
            "export_statement" => EXPORT,
            "call_expression" => CALL,
            "new_expression" => NEW,
            "member_expression" => MEMBER,
            "identifier" | "shorthand_property_identifier" => NAME,
            "type_identifier" | "nested_type_identifier" => TYPE_NAME,
            "jsx_opening_element" | "jsx_self_closing_element" => JSX,
            "jsx_closing_element" => JSX_END,
            "generic_type" => GENERIC,
            "extends_clause" | "implements_clause" | "extends_type_clause" | "class_heritage" => {
                HERITAGE
            }
            "string" | "comment" | "regex" | "predefined_type" | "literal_type"
            | "import_alias" => IGNORED,
            _ => 0,
        }
    }

    fn enter<'t>(
        &self,
        b: &mut Builder<'_, 't>,
        tag: u8,
        node: Node<'t>,
        field: Option<&'t str>,
    ) -> Step {
        match tag {
            FUNCTION => function(b, node, field),
            CLASS => class(b, node),
            TYPE => type_declaration(b, node),
            NAMESPACE => {
                if let Some(number) = b.definition(node) {
                    b.open(ScopeKind::Module, Within::definition(number));
                }
            }
            // The body of a function is the function's scope.
            BLOCK => {
                if field != Some("body") || node.kind() != "statement_block" {
                    b.open(ScopeKind::Block, Within::FILE);
                }
            }
            FOR_IN => for_in(b, node),
            CATCH => {
                b.open(ScopeKind::Block, Within::FILE);
                if let Some(parameter) = node.child_by_field_name("parameter") {
                    bind(b, parameter, 0, 0, 0);
                }
            }
            OBJECT => object(b, node),
            PAIR => {
                let value = node.child_by_field_name("value");
                if let (Some(number), Some(value)) = (b.definition(node), value) {
                    b.by_node.entry(value.id()).or_insert(number);
                    b.declared(number).flags |= flags::HIDDEN;
                }
            }
            DECLARATOR => declarator(b, node),
            FIELD => super::ecma_declaration::field(b, node),
            ASSIGNMENT => assignment(b, node),
            RETURN => returned(b, node),
            IMPORT => {
                import(b, node);
                return Step::Skip;
            }
            EXPORT => return export(b, node),
            CALL => call(b, node),
            NEW => {
                if let Some(of) = node.child_by_field_name("constructor") {
                    let target = own(b, node);
                    b.refer(ReferenceKind::Instantiate, target, name_node(bare(of)));
                    b.done = bare(of).id();
                }
            }
            MEMBER => {
                if b.done != node.id() {
                    let target = own(b, node);
                    b.refer(ReferenceKind::Read, target, name_node(node));
                }
            }
            NAME => {
                let is_name = matches!(field, Some("name" | "pattern" | "parameter" | "label"));
                if b.done != node.id() && !is_name {
                    let text = b.text(node);
                    let target = b.own.named_expr(text);
                    b.refer(ReferenceKind::Read, target, node);
                }
            }
            TYPE_NAME => {
                // The name of a declaration or of a generic type, which is referred to already.
                if field != Some("name") {
                    type_name(b, node, ReferenceKind::Type);
                }
                return Step::Skip;
            }
            GENERIC => {
                if let Some(name) = node.child_by_field_name("name") {
                    type_name(b, name, ReferenceKind::Type);
                }
            }
            JSX => {
                if let Some(name) = node.child_by_field_name("name") {
                    b.done = name.id();
                    let is_component = name.kind() == "member_expression"
                        || b.text(name).starts_with(char::is_uppercase);
                    if is_component && name.kind() != "jsx_namespace_name" {
                        let callee = own(b, name);
                        let target = b.own.expr(Expr::Call(callee, 1));
                        b.refer(ReferenceKind::Call, target, name_node(name));
                    }
                }
            }
            HERITAGE => heritage(b, node),
            _ => return Step::Skip,
        }
        Step::Into
    }
}

/// Shape of an expression in the body.
pub(super) fn own<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> ExprId {
    let source = Source { text: b.source, by_node: &b.by_node };
    shape::expr(node, source, &mut b.own, 0)
}

/// Shape of an expression for others; locals in it are replaced by what they are set to.
pub(super) fn shared<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> ExprId {
    if is_top(b) {
        let source = Source { text: b.source, by_node: &b.by_node };
        return shape::expr(node, source, &mut b.shared, 0);
    }
    let value = own(b, node);
    lift(b, value, 0)
}

pub(super) fn own_type<'t>(b: &mut Builder<'_, 't>, node: Option<Node<'t>>) -> TypeId {
    let source = Source { text: b.source, by_node: &b.by_node };
    node.map_or(0, |node| shape::ty(node, source, &mut b.own, 0))
}

pub(super) fn shared_type<'t>(b: &mut Builder<'_, 't>, node: Option<Node<'t>>) -> TypeId {
    let source = Source { text: b.source, by_node: &b.by_node };
    node.map_or(0, |node| shape::ty(node, source, &mut b.shared, 0))
}

/// Whether names declared here are those of the file or a namespace.
pub(super) fn is_top(b: &Builder<'_, '_>) -> bool {
    matches!(b.scopes[b.scope as usize].kind, ScopeKind::File | ScopeKind::Module)
}

/// The node whose position a reference to `node` has: its last name.
pub(super) fn name_node(node: Node<'_>) -> Node<'_> {
    let name = match node.kind() {
        "member_expression" | "nested_identifier" => last(node),
        "identifier" | "type_identifier" => None,
        _ => node.child_by_field_name("name"),
    };
    name.unwrap_or(node)
}

pub(super) fn type_name<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, kind: ReferenceKind) {
    let target = match node.kind() {
        "nested_type_identifier" => {
            let module = node.child_by_field_name("module").map_or(0, |n| own(b, n));
            let name = node.child_by_field_name("name").map_or("", |n| b.text(n));
            let name = b.own.name(name);
            b.own.expr(Expr::Path(module, name))
        }
        _ => {
            let text = b.text(node);
            b.own.named_expr(text)
        }
    };
    b.refer(kind, target, name_node(node));
}

fn for_in<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    b.open(ScopeKind::Block, Within::FILE);
    let (left, right) = (node.child_by_field_name("left"), node.child_by_field_name("right"));
    let operator = node.child_by_field_name("operator").map_or("", |n| n.kind());
    if let (Some(left), Some(right), Some(_)) = (left, right, node.child_by_field_name("kind")) {
        let element = match operator {
            "of" => {
                let of = own(b, right);
                if of == 0 { 0 } else { b.own.expr(Expr::Element(of)) }
            }
            _ => 0,
        };
        bind(b, left, element, 0, 0);
    }
}

/// Methods of an object have it as `this`.
fn object<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut cursor = node.walk();
    let has_methods = node.named_children(&mut cursor).any(|child| match child.kind() {
        "method_definition" => true,
        "pair" => {
            let value = child.child_by_field_name("value");
            value.is_some_and(|n| n.kind() == "function_expression")
        }
        _ => false,
    });
    if has_methods {
        b.open(ScopeKind::Block, Within::FILE);
        let value = own(b, node);
        b.bind("{}", 0, value, node.start_position());
    }
}

fn declarator<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(name) = node.child_by_field_name("name") else { return };
    let value = node.child_by_field_name("value");
    let annotation = node.child_by_field_name("type");
    let number = b.definition(node);
    if let Some(number) = number
        && matches!(b.facts(number).kind, NodeKind::Function | NodeKind::Class)
    {
        if let Some(value) = value {
            alias(b, number, value);
        }
        declare(b, number, name);
        return;
    }
    if !is_top(b) {
        let ty = own_type(b, annotation);
        let value = value.map_or(0, |n| own(b, n));
        let scope = b.scope;
        let is_var = b.scopes[scope as usize].kind == ScopeKind::Block
            && b.parent_kind() == "variable_declaration";
        if is_var {
            while b.scopes[b.scope as usize].kind == ScopeKind::Block {
                b.scope = b.scopes[b.scope as usize].parent;
            }
        }
        bind(b, name, value, ty, 0);
        b.scope = scope;
        return;
    }
    if let Some(value) = value {
        if require(b, name, value) {
            return;
        }
        // `const app = module.exports = ...`
        let mut inner = value;
        while inner.kind() == "assignment_expression" {
            let left = inner.child_by_field_name("left").map_or("", |n| b.text(n));
            if left == "module.exports" && name.kind() == "identifier" {
                let text = b.text(name);
                let value = b.shared.named_expr(text);
                give(b, "export=", value);
            }
            match inner.child_by_field_name("right") {
                Some(right) => inner = right,
                None => break,
            }
        }
    }
    let value = value.map_or(0, |n| shared(b, n));
    let told = Told::of(b, number).value(b);
    let value = either(told, value, &mut b.shared);
    let ty = shared_type(b, annotation);
    let owner = b.holder().within;
    share(b, node, name, value, ty, owner);
    if let Some(number) = number {
        b.within = Within::definition(number);
    }
}

/// The function or class that a definition's value is, calls of wrappers around it left out.
pub(super) fn alias<'t>(b: &mut Builder<'_, 't>, number: u32, value: Node<'t>) {
    let mut value = bare(value);
    while value.kind() == "call_expression"
        && let Some(arguments) = value.child_by_field_name("arguments")
        && let Some(first) = arguments.named_child(0)
    {
        value = bare(first);
    }
    b.by_node.entry(value.id()).or_insert(number);
}

fn returned<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(value) = node.named_child(0) else { return };
    let holder = b.holder();
    let Some(number) = holder.within.number().filter(|_| holder.kind == ScopeKind::Function) else {
        return;
    };
    let declared = &b.declared[number as usize];
    if declared.ty != 0 || declared.values.len() >= MAX_VALUES {
        return;
    }
    let value = own(b, value);
    let value = lift(b, value, 0);
    let values = &mut b.declared(number).values;
    if value != 0 && !values.contains(&value) {
        values.push(value);
    }
}

fn call<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    if b.done == node.id() {
        return;
    }
    let Some(callee) = node.child(0).map(bare) else { return };
    if let Some(module) = required_by(node, callee, b.source) {
        let flags = flags::MODULE | flags::DYNAMIC;
        b.import(ImportText { module: module.into(), flags, ..ImportText::default() }, node);
        b.done = callee.id();
        return;
    }
    let mut of = own(b, callee);
    if *b.own.get(of) == Expr::Super {
        let name = b.own.name("constructor");
        of = b.own.expr(Expr::Member(of, name));
    }
    let target = b.own.expr(Expr::Call(of, count(node)));
    b.refer(ReferenceKind::Call, target, name_node(callee));
    if callee.kind() != "call_expression" {
        b.done = callee.id();
    }
    if b.scope != 0 && b.text(callee).starts_with("Object.define") {
        properties_by_call(b, node, callee);
    }
    if b.scope == 0 && callee.kind() != "call_expression" {
        bases_by_call(b, node, callee);
    }
}
