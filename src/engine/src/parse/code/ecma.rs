//! JavaScript and TypeScript: functions, classes, types, imports and exports of both kinds, JSX.
//!
//! A JSX element of a component is a call of it: what it renders is what the component gives.

use onyx_protocol::code::{
    Attribute, Binding, Expr, ExprId, Generic, Parameter, ReferenceKind, ScopeKind, Type, TypeId,
    Within, flags,
};
use onyx_protocol::facts::NodeKind;
use tree_sitter::Node;

use super::builder::ImportText;
use super::ecma_bind::{bind, share};
use super::ecma_lift::{found, lift};
use super::ecma_module::{export, exported_whole, give, import, require};
use super::ecma_shape::{self as shape, Source, bare, count, required};
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
            "string" | "comment" | "regex" | "predefined_type" | "literal_type" | "import_alias" => {
                IGNORED
            }
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
            FIELD => self::field(b, node),
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

fn own_type<'t>(b: &mut Builder<'_, 't>, node: Option<Node<'t>>) -> TypeId {
    let source = Source { text: b.source, by_node: &b.by_node };
    node.map_or(0, |node| shape::ty(node, source, &mut b.own, 0))
}

fn shared_type<'t>(b: &mut Builder<'_, 't>, node: Option<Node<'t>>) -> TypeId {
    let source = Source { text: b.source, by_node: &b.by_node };
    node.map_or(0, |node| shape::ty(node, source, &mut b.shared, 0))
}

/// Whether names declared here are those of the file or a namespace.
fn is_top(b: &Builder<'_, '_>) -> bool {
    matches!(b.scopes[b.scope as usize].kind, ScopeKind::File | ScopeKind::Module)
}

/// The node whose position a reference to `node` has: its last name.
fn name_node(node: Node<'_>) -> Node<'_> {
    let name = node.child_by_field_name("property");
    name.or_else(|| node.child_by_field_name("name")).unwrap_or(node)
}

fn type_name<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, kind: ReferenceKind) {
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

/// Binds the name of a local function or class, and hides it from where it cannot be seen.
fn declare<'t>(b: &mut Builder<'_, 't>, number: u32, name: Node<'t>) {
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

fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, field: Option<&'t str>) {
    let kind = node.kind();
    let number = b.definition(node);
    let is_member = b.scopes[b.scope as usize].kind == ScopeKind::Type;
    let mut bits = 0;
    for index in 0..u32::try_from(node.child_count()).unwrap_or(0) {
        let Some(child) = node.child(index) else { break };
        bits |= match child.kind() {
            "async" => flags::ASYNC,
            "static" => flags::STATIC,
            "abstract" => flags::ABSTRACT,
            "*" => flags::GENERATOR,
            "get" | "set" | "accessibility_modifier" | "override_modifier" | "decorator"
            | "readonly" | "function" => 0,
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
    let parameters = parameters(b, node, number, &mut bits);
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
    let declared = b.declared(number);
    declared.flags |= bits;
    declared.parameters = parameters;
    declared.ty = ty;
    declared.generics = generics;
    if value != 0 {
        declared.values.push(value);
    }
}

/// Whether a definition is a member of a class.
fn in_class(b: &Builder<'_, '_>, number: u32) -> bool {
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
            Some("right") => set_on(b, node),
            _ => 0,
        };
        b.bind("this", 0, value, at);
    }
}

/// What a function is set on by a computed name: `x[name] = function`, `X.prototype[name] = function`.
fn set_on<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> ExprId {
    let left = node.parent().and_then(|n| n.child_by_field_name("left"));
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

/// X in `X.prototype`.
fn prototype_of<'t>(node: Node<'t>, b: &Builder<'_, 't>) -> Option<Node<'t>> {
    let of = node.child_by_field_name("object").filter(|n| n.kind() == "identifier")?;
    let property = node.child_by_field_name("property")?;
    (b.text(property) == "prototype").then_some(of)
}

/// The definition that the receiver of a method outside its type names.
fn attached_to(b: &Builder<'_, '_>, receiver: TypeId) -> Option<u32> {
    let name = match b.shared.get_type(receiver) {
        Type::Named(path, _) => *path.last()?,
        Type::Of(expr) => match b.shared.get(*expr) {
            Expr::Name(name) => *name,
            _ => return None,
        },
        _ => return None,
    };
    b.top_level(b.shared.text(name))
}

/// The type or function whose fields `this.name` are at the present place.
fn this_owner(b: &Builder<'_, '_>) -> Option<Within> {
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
        let call = node.parent().filter(|n| n.kind() == "arguments").and_then(|n| n.parent());
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
            let name = b.shared.name(name.unwrap_or_default());
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

fn class<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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
fn heritage<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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
fn type_declaration<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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
            let clause = node.named_children(&mut cursor).find(|n| n.kind() == "extends_type_clause");
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
            && node.parent().is_some_and(|n| n.kind() == "variable_declaration");
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
    let ty = shared_type(b, annotation);
    let owner = b.holder().within;
    share(b, node, name, value, ty, owner);
    if let Some(number) = number {
        b.within = Within::definition(number);
    }
}

/// The function or class that a definition's value is, a wrapper's call around it left out.
fn alias<'t>(b: &mut Builder<'_, 't>, number: u32, value: Node<'t>) {
    let mut value = bare(value);
    if value.kind() == "call_expression"
        && let Some(arguments) = value.child_by_field_name("arguments")
        && let Some(first) = arguments.named_child(0)
    {
        value = first;
    }
    b.by_node.entry(value.id()).or_insert(number);
}

/// Fields of classes and interfaces.
fn field<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(number) = b.definition(node) else { return };
    let value = node.child_by_field_name("value");
    let mut bits = 0;
    for index in 0..u32::try_from(node.child_count()).unwrap_or(0) {
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
    let declared = b.declared(number);
    declared.ty = ty;
    declared.values = if value == 0 { Vec::new() } else { vec![value] };
    b.within = Within::definition(number);
}

fn assignment<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let (Some(left), Some(right)) =
        (node.child_by_field_name("left"), node.child_by_field_name("right"))
    else {
        return;
    };
    let number = b.definition(node);
    if let Some(number) = number
        && b.facts(number).kind != NodeKind::Field
    {
        b.by_node.entry(right.id()).or_insert(number);
        b.declared(number).flags |= flags::HIDDEN;
    }
    match left.kind() {
        "identifier" => reassigned(b, left, right),
        "member_expression" => {
            let (Some(object), Some(name)) =
                (left.child_by_field_name("object"), left.child_by_field_name("property"))
            else {
                return;
            };
            let name = b.text(name);
            if object.kind() == "this" {
                this_field(b, number, name, right);
                return;
            }
            match (b.text(object), name) {
                ("module", "exports") => exported_whole(b, number, right),
                ("exports" | "module.exports", _) => {
                    let mut value = right;
                    while let Some(inner) = value
                        .child_by_field_name("right")
                        .filter(|_| value.kind() == "assignment_expression")
                    {
                        value = inner;
                    }
                    let number = number.or_else(|| b.definition(value));
                    let value = match number {
                        Some(number) => b.shared.expr(Expr::Definition(number)),
                        None => shared(b, value),
                    };
                    give(b, name, value);
                }
                _ => attached(b, number, object, name, right),
            }
        }
        _ => {}
    }
}

/// `X.prototype.m = function`, `x.m = function`, `X.prototype = { ... }`
fn attached<'t>(
    b: &mut Builder<'_, 't>,
    number: Option<u32>,
    object: Node<'t>,
    name: &'t str,
    right: Node<'t>,
) {
    if name == "prototype" && object.kind() == "identifier" {
        let of = b.text(object);
        match right.kind() {
            "object" => prototype(b, of, right),
            // Object.create(Base.prototype), new Base()
            "call_expression" | "new_expression" => {
                let arguments = right.child_by_field_name("arguments");
                let first = arguments.and_then(|n| n.named_child(0));
                let base = match right.child_by_field_name("constructor") {
                    Some(constructor) => Some(constructor),
                    None => first.and_then(|n| prototype_of(n, b)),
                };
                if let Some(base) = base {
                    inherits(b, of, base);
                }
            }
            _ => {}
        }
        return;
    }
    let Some(number) = number else {
        attached_value(b, object, name, right);
        return;
    };
    let receiver = match object.kind() {
        "identifier" => {
            let text = b.text(object);
            let own = b.own.name(text);
            if found(b, own).is_some() {
                return;
            }
            if let Some(of) = b.top_level(text) {
                own_object(b, of);
            }
            let of = b.shared.named_expr(text);
            b.shared.ty(Type::Of(of))
        }
        _ => match prototype_of(object, b) {
            Some(of) => {
                let of = b.shared.name(b.text(of));
                b.shared.ty(Type::Named(vec![of], Vec::new()))
            }
            None => return,
        },
    };
    b.declared(number).receiver = receiver;
}

/// A constant that gets methods is an object of its own type.
fn own_object(b: &mut Builder<'_, '_>, of: u32) {
    let is_object = matches!(b.facts(of).kind, NodeKind::Constant | NodeKind::Variable);
    if is_object && b.declared[of as usize].ty == 0 {
        let ty = b.shared.ty(Type::SelfType);
        b.declared(of).ty = ty;
    }
}

/// `x.m = value` and `X.prototype.m = value`, of a value that is no function here.
fn attached_value<'t>(b: &mut Builder<'_, 't>, object: Node<'t>, name: &'t str, right: Node<'t>) {
    let of = match object.kind() {
        "identifier" => Some(object),
        _ => prototype_of(object, b),
    };
    let Some(text) = of.map(|of| b.text(of)) else { return };
    let local = b.own.name(text);
    let Some(of) = b.top_level(text).filter(|_| found(b, local).is_none()) else { return };
    let mut value = right;
    while let Some(inner) = value.child_by_field_name("right") {
        if value.kind() != "assignment_expression" {
            break;
        }
        // `x.a = x.b = function`: the function is defined by the inner one.
        if let Some(number) = b.definition(value) {
            let value = b.shared.expr(Expr::Definition(number));
            set(b, of, name, value);
            return;
        }
        value = inner;
    }
    let value = shared(b, value);
    set(b, of, name, value);
}

fn set<'t>(b: &mut Builder<'_, 't>, of: u32, name: &'t str, value: ExprId) {
    if value != 0 {
        own_object(b, of);
        let (owner, name) = (Within::definition(of), b.shared.name(name));
        b.attributes.push(Attribute { owner, name, ty: 0, value, within: Within::FILE });
    }
}

/// The methods of an object that is a prototype.
fn prototype<'t>(b: &mut Builder<'_, 't>, of: &'t str, object: Node<'t>) {
    let mut cursor = object.walk();
    let children: Vec<Node<'t>> = object.named_children(&mut cursor).collect();
    for child in children {
        if let Some(number) = b.definition(child) {
            let name = b.shared.name(of);
            let receiver = b.shared.ty(Type::Named(vec![name], Vec::new()));
            b.declared(number).receiver = receiver;
        }
    }
}

/// A function's prototype has another's behind it.
fn inherits<'t>(b: &mut Builder<'_, 't>, of: &str, base: Node<'t>) {
    if let Some(number) = b.top_level(of) {
        let base = shared_type(b, Some(base));
        let bases = &mut b.declared(number).bases;
        if base != 0 && !bases.contains(&base) {
            bases.push(base);
        }
    }
}

/// `this.name = value`
fn this_field<'t>(b: &mut Builder<'_, 't>, number: Option<u32>, name: &'t str, right: Node<'t>) {
    let Some(owner) = this_owner(b) else { return };
    let number = number.filter(|&number| b.facts(number).kind != NodeKind::Field);
    let value = match number {
        Some(number) => {
            if b.facts(number).parent.map(Within::definition) == Some(owner) && in_class(b, number) {
                // A member like those written in the class.
                b.declared(number).flags &= !flags::HIDDEN;
                return;
            }
            b.shared.expr(Expr::Definition(number))
        }
        None => {
            let value = own(b, right);
            lift(b, value, 0)
        }
    };
    if value != 0 {
        let name = b.shared.name(name);
        let within = b.within;
        b.attributes.push(Attribute { owner, name, ty: 0, value, within });
    }
}

/// `name = value`
fn reassigned<'t>(b: &mut Builder<'_, 't>, left: Node<'t>, right: Node<'t>) {
    let text = b.text(left);
    let name = b.own.name(text);
    if let Some(number) = found(b, name) {
        let Binding { scope, ty, value: before, .. } = b.bindings[number as usize];
        if ty != 0 {
            return;
        }
        let mut value = own(b, right);
        if scope != b.scope && before != 0 {
            // Perhaps, perhaps not.
            value = if value == 0 { before } else { b.own.expr(Expr::Either(before, value)) };
        }
        let present = b.scope;
        b.scope = scope;
        b.bind(text, 0, value, left.end_position());
        b.scope = present;
        return;
    }
    if is_top(b) && matches!(text, "exports" | "module") {
        return;
    }
    if let Some(number) = b.top_level(text)
        && matches!(b.facts(number).kind, NodeKind::Variable)
    {
        let value = shared(b, right);
        if value != 0 {
            let (owner, name, within) = (Within::FILE, b.shared.name(text), b.within);
            b.attributes.push(Attribute { owner, name, ty: 0, value, within });
        }
    }
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
    let Some(callee) = node.child_by_field_name("function").map(bare) else { return };
    if let Some(module) = required(node, b.source) {
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
    if b.scope == 0 && callee.kind() != "call_expression" {
        bases_by_call(b, node, callee);
    }
}

/// `util.inherits(A, B)`, `Object.setPrototypeOf(A.prototype, B.prototype)`
fn bases_by_call<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, callee: Node<'t>) {
    let name = b.text(name_node(callee));
    if !matches!(name, "inherits" | "setPrototypeOf" | "assign") {
        return;
    }
    let Some(arguments) = node.child_by_field_name("arguments") else { return };
    let part = |index: u32| {
        let node = arguments.named_child(index)?;
        let is_prototype = node.child_by_field_name("property").is_some_and(|n| b.text(n) == "prototype");
        if is_prototype { node.child_by_field_name("object") } else { Some(node) }
    };
    if let (Some(of), Some(base)) = (part(0), part(1)) {
        let of = b.text(of);
        match (name, base.kind()) {
            ("assign", "object") => prototype(b, of, base),
            ("assign", _) => {}
            _ => inherits(b, of, base),
        }
    }
}
