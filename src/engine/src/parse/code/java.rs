//! Java: types and their members, imports, locals, lambdas, patterns.
//!
//! A call's target is `Expr::Invoke`, as methods are chosen by their arguments. A method reference is
//! one whose callee is a `Path`; a constant in a `case` is one whose callee is a `Payload`. The
//! parameter of a lambda is what is `Passed` to a `Part` of a call, or to a value of a declared type.

use onyx_protocol::code::{
    Expr, ExprId, Generic, Parameter, ReferenceKind, ScopeKind, Type, TypeId, Within, flags,
};
use tree_sitter::Node;

use super::builder::ImportText;
use super::java_shape::{arguments, children, expr, lambda_parameters, ty, ty_with, type_names};
use super::{Builder, Extractor, Interner, Step};

pub(super) struct Java;

const TYPE: u8 = 1;
const METHOD: u8 = 2;
const FIELD: u8 = 3;
const DECLARATOR: u8 = 4;
const LOCAL: u8 = 5;
const LAMBDA: u8 = 6;
const BLOCK: u8 = 7;
const FOR_EACH: u8 = 8;
const INVOCATION: u8 = 9;
const CREATION: u8 = 10;
const CONSTRUCTION: u8 = 11;
const METHOD_REFERENCE: u8 = 12;
const FIELD_ACCESS: u8 = 13;
const IDENTIFIER: u8 = 14;
const IMPORT: u8 = 15;
const SKIPPED: u8 = 16;
const TYPE_NAME: u8 = 17;
const HERITAGE: u8 = 18;
const TYPE_ARGUMENTS: u8 = 19;
const ANNOTATION: u8 = 20;
const ENUM_CONSTANT: u8 = 21;
const INSTANCE_OF: u8 = 22;
const TYPE_PATTERN: u8 = 23;
const RECORD_PATTERN: u8 = 24;
const SWITCH_LABEL: u8 = 25;
const LABELED: u8 = 26;
const CATCH: u8 = 27;
const RESOURCE: u8 = 28;
const BODY: u8 = 29;
const TYPE_PARAMETER: u8 = 30;
const RECORD_COMPONENT: u8 = 31;
const PACKAGE: u8 = 32;

impl Extractor for Java {
    fn tag(&self, kind: &str) -> u8 {
        match kind {
            "class_declaration"
            | "interface_declaration"
            | "enum_declaration"
            | "record_declaration"
            | "annotation_type_declaration" => TYPE,
            "method_declaration"
            | "constructor_declaration"
            | "compact_constructor_declaration"
            | "annotation_type_element_declaration" => METHOD,
            "field_declaration" | "constant_declaration" => FIELD,
            "variable_declarator" => DECLARATOR,
            "local_variable_declaration" => LOCAL,
            "lambda_expression" => LAMBDA,
            "block"
            | "for_statement"
            | "try_with_resources_statement"
            | "catch_clause"
            | "switch_block"
            | "switch_rule"
            | "static_initializer" => BLOCK,
            "enhanced_for_statement" => FOR_EACH,
            "method_invocation" => INVOCATION,
            "object_creation_expression" => CREATION,
            "explicit_constructor_invocation" => CONSTRUCTION,
            "method_reference" => METHOD_REFERENCE,
            "field_access" => FIELD_ACCESS,
            "identifier" => IDENTIFIER,
            "import_declaration" => IMPORT,
            "package_declaration" => PACKAGE,
            "module_declaration"
            | "scoped_identifier"
            | "inferred_parameters"
            | "receiver_parameter"
            | "break_statement"
            | "continue_statement" => SKIPPED,
            "type_identifier" | "scoped_type_identifier" => TYPE_NAME,
            "superclass" | "super_interfaces" | "extends_interfaces" => HERITAGE,
            "type_arguments" => TYPE_ARGUMENTS,
            "annotation" | "marker_annotation" => ANNOTATION,
            "enum_constant" => ENUM_CONSTANT,
            "instanceof_expression" => INSTANCE_OF,
            "type_pattern" | "record_pattern_component" => TYPE_PATTERN,
            "record_pattern" => RECORD_PATTERN,
            "switch_label" => SWITCH_LABEL,
            "labeled_statement" => LABELED,
            "catch_formal_parameter" => CATCH,
            "resource" => RESOURCE,
            "class_body" => BODY,
            "type_parameter" => TYPE_PARAMETER,
            "formal_parameter" => RECORD_COMPONENT,
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
            TYPE => type_declaration(b, node),
            METHOD => method(b, node),
            FIELD => fields(b, node),
            DECLARATOR => {
                if let Some(number) = b.definition(node) {
                    b.open(ScopeKind::Block, Within::definition(number));
                }
            }
            LOCAL => local(b, node),
            LAMBDA => lambda(b, node),
            BLOCK => b.open(ScopeKind::Block, Within::FILE),
            FOR_EACH => {
                b.open(ScopeKind::Block, Within::FILE);
                let value = field!(node, "value");
                let of = value.map_or(0, |value| expr(value, b.source, &mut b.own, 0));
                let element = b.own.expr(Expr::Element(of));
                bind(b, node, element);
            }
            INVOCATION => {
                let target = expr(node, b.source, &mut b.own, 0);
                let name = field!(node, "name").unwrap_or(node);
                b.refer(ReferenceKind::Call, target, name);
            }
            CREATION => creation(b, node),
            CONSTRUCTION => {
                if let Some(which) = field!(node, "constructor") {
                    let callee = expr(which, b.source, &mut b.own, 0);
                    let list = field!(node, "arguments");
                    let arguments = arguments(list, b.source, &mut b.own, 0);
                    let target = b.own.expr(Expr::Invoke(callee, arguments));
                    b.refer(ReferenceKind::Call, target, which);
                }
            }
            METHOD_REFERENCE => method_reference(b, node),
            FIELD_ACCESS => {
                if let Some(name) = field!(node, "field").filter(|n| n.kind() != "this") {
                    let target = expr(node, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Read, target, name);
                }
            }
            IDENTIFIER => {
                let is_name =
                    matches!(field, Some("name" | "key" | "parameters" | "field" | "scope"));
                if !is_name && b.done != node.id() {
                    let text = b.text(node);
                    let target = b.own.named_expr(text);
                    b.refer(ReferenceKind::Read, target, node);
                }
            }
            IMPORT => {
                import(b, node);
                return Step::Skip;
            }
            SKIPPED => return Step::Skip,
            PACKAGE => {
                // What the file's names mean depends on it, so it belongs to the body.
                let text = b.text(node);
                b.own.name(text);
                return Step::Skip;
            }
            TYPE_NAME => {
                if b.done != node.id() {
                    let kind = if b.in_type { ReferenceKind::Inherit } else { ReferenceKind::Type };
                    type_reference(b, kind, node);
                }
                return Step::Skip;
            }
            HERITAGE => b.in_type = true,
            TYPE_ARGUMENTS => b.in_type = false,
            ANNOTATION => {
                if let Some(name) = field!(node, "name") {
                    type_reference(b, ReferenceKind::Type, name);
                }
            }
            ENUM_CONSTANT => enum_constant(b, node),
            INSTANCE_OF => {
                if let Some(name) = field!(node, "name") {
                    let of = field!(node, "right");
                    let of = of.map_or(0, |of| ty(of, b.source, &mut b.own, 0));
                    let text = b.text(name);
                    b.bind(text, of, 0, name.start_position());
                }
            }
            TYPE_PATTERN => {
                let parts = children(node);
                if let [of, name] = parts[..]
                    && name.kind() == "identifier"
                {
                    let of = ty(of, b.source, &mut b.own, 0);
                    let text = b.text(name);
                    b.bind(text, of, 0, name.start_position());
                    b.done = name.id();
                }
            }
            RECORD_PATTERN => {
                if let Some(name) = node.named_child(0).filter(|n| n.kind() == "identifier") {
                    type_reference(b, ReferenceKind::Type, name);
                    b.done = name.id();
                }
            }
            SWITCH_LABEL => return switch_label(b, node),
            LABELED => b.done = node.named_child(0).map_or(0, |label| label.id()),
            CATCH => {
                let of = children(node).into_iter().find(|n| n.kind() == "catch_type");
                let of = of.map_or(0, |of| ty(of, b.source, &mut b.own, 0));
                if let Some(name) = field!(node, "name") {
                    let text = b.text(name);
                    b.bind(text, of, 0, name.start_position());
                }
            }
            RESOURCE => {
                let value = field!(node, "value");
                let value = value.map_or(0, |value| expr(value, b.source, &mut b.own, 0));
                bind(b, node, value);
            }
            BODY => {
                // Those of declarations are open already.
                let around = b.parent().filter(|parent| {
                    matches!(parent.kind(), "object_creation_expression" | "enum_constant")
                });
                if let Some(number) = around.and_then(|around| b.definition(around)) {
                    b.open(ScopeKind::Type, Within::definition(number));
                }
            }
            TYPE_PARAMETER => {
                let mut all = children(node).into_iter();
                b.done = all.find(|n| n.kind() == "type_identifier").map_or(0, |n| n.id());
            }
            _ => {
                // Only those of records are definitions.
                if let Some(number) = b.definition(node) {
                    let of = shared_type(b, node);
                    b.declared(number).ty = of;
                }
            }
        }
        Step::Into
    }
}

/// The type of a declaration and what is behind its name, as others see it.
fn shared_type<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> TypeId {
    let (of, brackets) = (field!(node, "type"), field!(node, "dimensions"));
    ty_with(of, brackets, b.source, &mut b.shared)
}

/// Binds the name of a node with its type, or with what it is set to when it has none.
fn bind<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, value: ExprId) {
    let Some(name) = field!(node, "name") else { return };
    let (of, brackets) = (field!(node, "type"), field!(node, "dimensions"));
    let of = ty_with(of, brackets, b.source, &mut b.own);
    let text = b.text(name);
    b.bind(text, of, if of == 0 { value } else { 0 }, name.start_position());
}

/// The words before a declaration.
#[derive(Default)]
struct Modifiers {
    is_static: bool,
    is_private: bool,
    is_override: bool,
}

fn modifiers(node: Node<'_>, source: &str) -> Modifiers {
    let mut found = Modifiers::default();
    let mut cursor = node.walk();
    let list = node.children(&mut cursor).find(|child| child.kind() == "modifiers");
    if let Some(list) = list {
        let mut cursor = list.walk();
        for word in list.children(&mut cursor) {
            match word.kind() {
                "static" => found.is_static = true,
                "private" => found.is_private = true,
                "marker_annotation" => {
                    found.is_override |= source.get(word.byte_range()) == Some("@Override");
                }
                _ => {}
            }
        }
    }
    found
}

/// An expression that is the path of a type, at its last name.
fn type_path<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Option<(ExprId, Node<'t>)> {
    let mut names = Vec::new();
    type_names(node, &mut names);
    let (first, rest) = names.split_first()?;
    let text = b.text(*first);
    let mut path = b.own.named_expr(text);
    for name in rest {
        let text = b.text(*name);
        let name = b.own.name(text);
        path = b.own.expr(Expr::Path(path, name));
    }
    Some((path, rest.last().copied().unwrap_or(*first)))
}

fn type_reference<'t>(b: &mut Builder<'_, 't>, kind: ReferenceKind, node: Node<'t>) {
    if let Some((path, name)) = type_path(b, node)
        && b.text(name) != "var"
    {
        b.refer(kind, path, name);
    }
}

/// The types in a clause of a declaration.
fn listed<'t>(b: &mut Builder<'_, 't>, clause: Node<'t>, bases: &mut Vec<TypeId>) {
    for child in children(clause) {
        match child.kind() {
            "type_list" => listed(b, child, bases),
            _ => bases.push(ty(child, b.source, &mut b.shared, 0)),
        }
    }
}

fn generics<'t>(node: Node<'t>, source: &'t str, pool: &mut Interner<'t>) -> Vec<Generic> {
    let Some(list) = field!(node, "type_parameters") else { return Vec::new() };
    let mut found = Vec::new();
    for parameter in children(list) {
        let mut generic = Generic::default();
        for part in children(parameter) {
            match part.kind() {
                "type_identifier" | "identifier" => {
                    generic.name = pool.name(source.get(part.byte_range()).unwrap_or_default());
                }
                "type_bound" => {
                    let bounds = children(part).into_iter();
                    generic.bounds = bounds.map(|bound| ty(bound, source, pool, 0)).collect();
                }
                _ => {}
            }
        }
        found.push(generic);
    }
    found
}

fn type_declaration<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    b.open(ScopeKind::Type, number.map_or(Within::FILE, Within::definition));
    b.in_type = false;
    let Some(number) = number else { return };
    let mut bases = Vec::new();
    for child in children(node) {
        if matches!(child.kind(), "superclass" | "super_interfaces" | "extends_interfaces") {
            listed(b, child, &mut bases);
        }
    }
    let generics = generics(node, b.source, &mut b.shared);
    let is_static = modifiers(node, b.source).is_static;
    let function = match node.kind() {
        "interface_declaration" => function(b, node),
        _ => 0,
    };
    let declared = b.declared(number);
    declared.bases = bases;
    declared.receiver = function;
    declared.generics = generics;
    declared.flags |= if is_static { flags::STATIC } else { 0 };
}

/// The name of the one method of an interface that a lambda stands for; what is no name when there
/// are several, unknown when there is none.
fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> TypeId {
    let Some(body) = field!(node, "body") else { return 0 };
    let mut found = None;
    for method in children(body) {
        let is_abstract = method.kind() == "method_declaration" && field!(method, "body").is_none();
        let Some(name) = field!(method, "name").filter(|_| is_abstract) else {
            continue;
        };
        let name = b.text(name);
        if matches!(name, "equals" | "hashCode" | "toString") {
            continue;
        }
        if found.is_some() {
            return b.shared.ty(Type::SelfType);
        }
        found = Some(name);
    }
    let Some(name) = found else { return 0 };
    let path = vec![b.shared.name(name)];
    b.shared.ty(Type::Named(path, Vec::new()))
}

fn method<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    b.open(ScopeKind::Function, number.map_or(Within::FILE, Within::definition));
    let modifiers = modifiers(node, b.source);
    let name = field!(node, "name");
    let is_method = node.kind() == "method_declaration";
    if let Some(name) = name
        && number.is_some()
        && is_method
        && !modifiers.is_static
        && !modifiers.is_private
    {
        b.refer(ReferenceKind::Override, 0, name);
    }
    let source = b.source;
    // A record's compact constructor has the record's components.
    let of = match node.kind() {
        "compact_constructor_declaration" => b.above(1).unwrap_or(node),
        _ => node,
    };
    let list = field!(of, "parameters").map(children).unwrap_or_default();
    let mut bits = if modifiers.is_static { flags::STATIC } else { 0 };
    if modifiers.is_override {
        bits |= flags::OVERRIDE;
    }
    if is_method && field!(node, "body").is_none() {
        bits |= flags::ABSTRACT;
    }
    let mut parameters = Vec::new();
    for child in list {
        let declarator = match child.kind() {
            "formal_parameter" => child,
            "spread_parameter" => {
                bits |= flags::VARIADIC;
                let mut parts = children(child).into_iter();
                let Some(found) = parts.find(|n| n.kind() == "variable_declarator") else {
                    continue;
                };
                found
            }
            _ => continue,
        };
        let shape = |pool: &mut Interner<'t>| {
            let brackets = field!(declarator, "dimensions");
            if declarator.id() == child.id() {
                return ty_with(field!(child, "type"), brackets, source, pool);
            }
            let mut parts = children(child).into_iter();
            let is_type = |n: &Node<'_>| {
                !matches!(n.kind(), "modifiers" | "annotation" | "marker_annotation")
            };
            let of = ty_with(parts.find(is_type), brackets, source, pool);
            pool.ty(Type::Array(of))
        };
        let Some(name) = field!(declarator, "name") else { continue };
        let text = b.text(name);
        let of = shape(&mut b.shared);
        let name_id = b.shared.name(text);
        parameters.push(Parameter { name: name_id, ty: of, default: 0, optional: false });
        if number.is_none() {
            let of = shape(&mut b.own);
            b.bind(text, of, 0, name.start_position());
        }
    }
    let returns = shared_type(b, node);
    let generics = generics(node, source, &mut b.shared);
    if let Some(number) = number {
        let declared = b.declared(number);
        declared.flags |= bits;
        declared.parameters = parameters;
        declared.generics = generics;
        declared.ty = returns;
    }
}

fn fields<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let is_static = modifiers(node, b.source).is_static || node.kind() == "constant_declaration";
    let of = field!(node, "type");
    for declarator in children(node) {
        if let Some(number) = b.definition(declarator) {
            let brackets = field!(declarator, "dimensions");
            let of = ty_with(of, brackets, b.source, &mut b.shared);
            let declared = b.declared(number);
            declared.ty = of;
            declared.flags |= if is_static { flags::STATIC } else { 0 };
        }
    }
}

fn local<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let of = field!(node, "type");
    for declarator in children(node) {
        if declarator.kind() != "variable_declarator" {
            continue;
        }
        let Some(name) = field!(declarator, "name") else { continue };
        let brackets = field!(declarator, "dimensions");
        let of = ty_with(of, brackets, b.source, &mut b.own);
        let value = match field!(declarator, "value") {
            Some(value) if of == 0 => expr(value, b.source, &mut b.own, 0),
            _ => 0,
        };
        let text = b.text(name);
        b.bind(text, of, value, name.start_position());
    }
}

fn lambda<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let (parameters, typed) = lambda_parameters(node);
    let to = if typed || parameters.is_empty() { 0 } else { given_to(b, node) };
    b.open(ScopeKind::Function, Within::FILE);
    for (index, parameter) in (0_u8..).zip(parameters) {
        if typed {
            bind(b, parameter, 0);
        } else if parameter.kind() == "identifier" {
            let value = if to == 0 { 0 } else { b.own.expr(Expr::Passed(to, index)) };
            let text = b.text(parameter);
            b.bind(text, 0, value, parameter.start_position());
        }
    }
}

/// What a lambda is given to: a part of a call, or a value of a declared type.
fn given_to<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> ExprId {
    let source = b.source;
    let Some(parent) = b.parent() else { return 0 };
    let of = match parent.kind() {
        "argument_list" => {
            let at = children(parent).iter().position(|n| n.id() == node.id());
            let (Some(call), Some(Ok(at))) = (b.above(1), at.map(u8::try_from)) else {
                return 0;
            };
            let call = match call.kind() {
                "object_creation_expression" => {
                    let of = expr(call, source, &mut b.own, 0);
                    let arguments = arguments(Some(parent), source, &mut b.own, 0);
                    b.own.expr(Expr::Invoke(of, arguments))
                }
                _ => expr(call, source, &mut b.own, 0),
            };
            return if call == 0 { 0 } else { b.own.expr(Expr::Part(call, at)) };
        }
        "variable_declarator" => b.above(1).and_then(|declaration| field!(declaration, "type")),
        "cast_expression" => field!(parent, "type"),
        "assignment_expression" => {
            let left = field!(parent, "left");
            let left = left.map_or(0, |left| expr(left, source, &mut b.own, 0));
            let of = b.own.ty(Type::Of(left));
            return b.own.expr(Expr::OfType(of));
        }
        "return_statement" => {
            let is_function =
                |n: &Node<'_>| matches!(n.kind(), "method_declaration" | "lambda_expression");
            let around = (1..).map_while(|level| b.above(level)).find(is_function);
            around.and_then(|method| field!(method, "type"))
        }
        _ => None,
    };
    match of.map_or(0, |of| ty(of, source, &mut b.own, 0)) {
        0 => 0,
        of => b.own.expr(Expr::OfType(of)),
    }
}

fn creation<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(of) = field!(node, "type") else { return };
    let Some((mut path, name)) = type_path(b, of) else { return };
    if let Some(outer) = node.child(0).filter(|first| first.kind() != "new") {
        let outer = expr(outer, b.source, &mut b.own, 0);
        let text = b.text(name);
        let name = b.own.name(text);
        path = b.own.expr(Expr::Member(outer, name));
    }
    b.done = match of.kind() {
        "generic_type" => of.named_child(0).map_or(0, |head| head.id()),
        _ => of.id(),
    };
    if let Some(number) = b.definition(node) {
        // A class without name extends what it is made of.
        let base = ty(of, b.source, &mut b.shared, 0);
        b.declared(number).bases = vec![base];
        let outer = b.within;
        b.within = Within::definition(number);
        b.refer(ReferenceKind::Inherit, path, name);
        b.within = outer;
        return;
    }
    let arguments = arguments(field!(node, "arguments"), b.source, &mut b.own, 0);
    let target = b.own.expr(Expr::Invoke(path, arguments));
    b.refer(ReferenceKind::Instantiate, target, name);
}

fn method_reference<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let parts = children(node);
    let Some(&object) = parts.first() else { return };
    let last = node.child_count().checked_sub(1);
    let Some(name) = last.and_then(|last| node.child(last)) else { return };
    let is_type =
        matches!(object.kind(), "type_identifier" | "scoped_type_identifier" | "generic_type");
    if name.kind() == "new" {
        if let Some((path, at)) = type_path(b, object) {
            b.refer(ReferenceKind::Instantiate, path, at);
            b.done = match object.kind() {
                "generic_type" => object.named_child(0).map_or(0, |head| head.id()),
                _ => object.id(),
            };
        }
        return;
    }
    let of = match is_type {
        true => {
            let of = ty(object, b.source, &mut b.own, 0);
            b.own.expr(Expr::Static(of))
        }
        false => expr(object, b.source, &mut b.own, 0),
    };
    let text = b.text(name);
    let method = b.own.name(text);
    let callee = b.own.expr(Expr::Path(of, method));
    let target = b.own.expr(Expr::Invoke(callee, Vec::new()));
    b.refer(ReferenceKind::Read, target, name);
    b.done = name.id();
}

fn enum_constant<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(number) = b.definition(node) else { return };
    let parent = b.facts(number).parent;
    let of = parent.map_or(0, |parent| b.declared[parent as usize].name);
    let of = b.shared.text(of).to_owned();
    let path = vec![b.shared.name(of.clone())];
    let base = b.shared.ty(Type::Named(path, Vec::new()));
    b.declared(number).bases = vec![base];
    b.open(ScopeKind::Block, Within::definition(number));
    if let (Some(list), Some(name)) = (field!(node, "arguments"), field!(node, "name")) {
        let arguments = arguments(Some(list), b.source, &mut b.own, 0);
        let path = b.own.named_expr(of);
        let target = b.own.expr(Expr::Invoke(path, arguments));
        b.refer(ReferenceKind::Instantiate, target, name);
    }
}

/// Names in a `case` are the constants of what is switched over, or any others.
fn switch_label<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Step {
    let labels = children(node);
    if !labels.iter().any(|label| label.kind() == "identifier") {
        return Step::Into;
    }
    let is_switch = |n: &Node<'_>| n.kind() == "switch_expression";
    let around = (0..).map_while(|level| b.above(level)).find(is_switch);
    let of = around.and_then(|switch| field!(switch, "condition"));
    let of = of.map_or(0, |of| expr(of, b.source, &mut b.own, 0));
    let mut step = Step::Skip;
    for label in labels {
        if label.kind() == "identifier" {
            let text = b.text(label);
            let name = b.own.name(text);
            let callee = b.own.expr(Expr::Payload(of, name));
            let target = b.own.expr(Expr::Invoke(callee, Vec::new()));
            b.refer(ReferenceKind::Read, target, label);
            b.done = label.id();
        } else {
            step = Step::Into;
        }
    }
    step
}

fn import<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut cursor = node.walk();
    let (mut path, mut bits) = (None, 0);
    for child in node.children(&mut cursor) {
        match child.kind() {
            "static" => bits |= flags::OF_TYPE,
            "asterisk" => bits |= flags::GLOB,
            "identifier" | "scoped_identifier" => path = Some(child),
            _ => {}
        }
    }
    let Some(path) = path else { return };
    let text = b.text(path);
    if bits & flags::GLOB != 0 {
        let module = text.into();
        b.import(ImportText { module, flags: bits, ..ImportText::default() }, path);
        return;
    }
    let (module, name) = text.rsplit_once('.').unwrap_or(("", text));
    let (name, module) = (name.trim(), module.trim().into());
    b.import(ImportText { local: name, module, name, level: 0, flags: bits }, path);
}
