//! Rust: items, impl blocks, paths, `use` trees, patterns, closures.

use std::borrow::Cow;

use onyx_protocol::code::{
    Expr, ExprId, Generic, Parameter, ReferenceKind, ScopeKind, Type, TypeId, Within, flags,
};
use tree_sitter::{Node, Point};

use super::builder::ImportText;
use super::rust_macro::tokens;
use super::{Builder, Extractor, Interner, MAX_SHAPE, Step};

pub(super) struct Rust;

const FUNCTION: u8 = 1;
const IMPL: u8 = 2;
const TRAIT: u8 = 3;
const TYPE_ITEM: u8 = 4;
const MODULE: u8 = 5;
const FIELD: u8 = 6;
const VALUE_ITEM: u8 = 7;
const ALIAS: u8 = 8;
const USE: u8 = 9;
const LET: u8 = 10;
const CLOSURE: u8 = 11;
const ARM: u8 = 12;
const BLOCK: u8 = 13;
const LET_CONDITION: u8 = 14;
const FOR: u8 = 15;
const CALL: u8 = 16;
const FIELD_EXPRESSION: u8 = 17;
const SCOPED: u8 = 18;
const IDENTIFIER: u8 = 19;
const TYPE_NAME: u8 = 20;
const STRUCT_EXPRESSION: u8 = 21;
const MACRO: u8 = 22;
const IGNORED: u8 = 23;
const SCOPED_TYPE: u8 = 24;
const EXTERN_CRATE: u8 = 25;
const BOUNDS: u8 = 26;

impl Extractor for Rust {
    fn tag(&self, kind: &str) -> u8 {
        match kind {
            "function_item" | "function_signature_item" => FUNCTION,
            "impl_item" => IMPL,
            "trait_item" => TRAIT,
            "struct_item" | "union_item" | "enum_item" | "enum_variant" => TYPE_ITEM,
            "mod_item" => MODULE,
            "field_declaration" => FIELD,
            "const_item" | "static_item" => VALUE_ITEM,
            "type_item" | "associated_type" => ALIAS,
            "use_declaration" => USE,
            "extern_crate_declaration" => EXTERN_CRATE,
            "let_declaration" => LET,
            "closure_expression" => CLOSURE,
            "match_arm" => ARM,
            "block" | "if_expression" | "while_expression" => BLOCK,
            "let_condition" => LET_CONDITION,
            "for_expression" => FOR,
            "call_expression" => CALL,
            "field_expression" => FIELD_EXPRESSION,
            "scoped_identifier" => SCOPED,
            "scoped_type_identifier" => SCOPED_TYPE,
            "identifier" => IDENTIFIER,
            "type_identifier" => TYPE_NAME,
            "struct_expression" => STRUCT_EXPRESSION,
            "macro_invocation" => MACRO,
            "trait_bounds" => BOUNDS,
            "attribute_item"
            | "inner_attribute_item"
            | "macro_definition"
            | "lifetime"
            | "visibility_modifier"
            | "line_comment"
            | "block_comment"
            | "string_literal" => IGNORED,
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
            FUNCTION => function(b, node),
            IMPL => impl_block(b, node),
            TRAIT | TYPE_ITEM => type_item(b, node),
            MODULE => module(b, node),
            FIELD => {
                if let Some(number) = b.definition(node) {
                    let of = field!(node, "type");
                    let ty = of.map_or(0, |n| ty(n, b.source, &mut b.shared, 0));
                    b.declared(number).ty = ty;
                    b.within = Within::definition(number);
                }
            }
            VALUE_ITEM | ALIAS => {
                if let Some(number) = b.definition(node) {
                    let of = field!(node, "type");
                    let ty = of.map_or(0, |n| ty(n, b.source, &mut b.shared, 0));
                    let generics = generics(b, node);
                    let bounds = field!(node, "bounds");
                    let bases = bounds.map(|n| bound_types(n, b.source, &mut b.shared));
                    let declared = b.declared(number);
                    declared.ty = ty;
                    declared.generics = generics;
                    declared.bases = bases.unwrap_or_default();
                    b.within = Within::definition(number);
                    if tag == VALUE_ITEM {
                        b.open(ScopeKind::Block, Within::definition(number));
                    }
                }
            }
            USE => {
                let public = node.child(0).is_some_and(|n| n.kind() == "visibility_modifier");
                if let Some(argument) = field!(node, "argument") {
                    let mut path = Vec::new();
                    use_tree(b, argument, &mut path, public, 0);
                }
                return Step::Skip;
            }
            EXTERN_CRATE => {
                if let Some(name) = field!(node, "name") {
                    let module = b.text(name);
                    let local = field!(node, "alias").map_or(module, |n| b.text(n));
                    let flags = flags::MODULE;
                    let module = format!("::{module}").into();
                    b.import(ImportText { local, module, flags, ..ImportText::default() }, name);
                }
                return Step::Skip;
            }
            LET => {
                let pattern = field!(node, "pattern");
                let of = field!(node, "type");
                let ty = of.map_or(0, |n| ty(n, b.source, &mut b.own, 0));
                let value = field!(node, "value");
                let value = value.map_or(0, |n| expr(n, b.source, &mut b.own, 0));
                if let Some(pattern) = pattern {
                    bind(b, pattern, value, ty, node.end_position(), 0);
                }
            }
            CLOSURE => closure(b, node),
            ARM => {
                let value = b.around.len().checked_sub(2).map(|of| b.around[of]);
                let value = value.and_then(|of| field!(of, "value"));
                let value = value.map_or(0, |n| expr(n, b.source, &mut b.own, 0));
                b.open(ScopeKind::Block, Within::FILE);
                if let Some(pattern) = field!(node, "pattern") {
                    let inner = pattern.named_child(0).unwrap_or(pattern);
                    bind(b, inner, value, 0, pattern.start_position(), 0);
                }
            }
            BLOCK => b.open(ScopeKind::Block, Within::FILE),
            LET_CONDITION => {
                let value = field!(node, "value");
                let value = value.map_or(0, |n| expr(n, b.source, &mut b.own, 0));
                if let Some(pattern) = field!(node, "pattern") {
                    bind(b, pattern, value, 0, node.end_position(), 0);
                }
            }
            FOR => {
                b.open(ScopeKind::Block, Within::FILE);
                let value = field!(node, "value");
                let of = value.map_or(0, |n| expr(n, b.source, &mut b.own, 0));
                let element = b.own.expr(Expr::Element(of));
                if let Some(pattern) = field!(node, "pattern") {
                    let from = value.map_or(node.start_position(), |n| n.end_position());
                    bind(b, pattern, element, 0, from, 0);
                }
            }
            CALL => {
                if let Some(mut callee) = field!(node, "function") {
                    if callee.kind() == "generic_function" {
                        callee = field!(callee, "function").unwrap_or(callee);
                    }
                    let target = expr(node, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Call, target, name_node(callee));
                    b.done = callee.id();
                }
            }
            FIELD_EXPRESSION | SCOPED => {
                if b.done != node.id() {
                    let target = expr(node, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Read, target, name_node(node));
                }
            }
            SCOPED_TYPE => {
                if b.done != node.id() {
                    let target = type_expr(node, b.source, &mut b.own, 0);
                    let kind = if field == Some("trait") {
                        ReferenceKind::Inherit
                    } else {
                        ReferenceKind::Type
                    };
                    b.refer(kind, target, name_node(node));
                }
            }
            IDENTIFIER => identifier(b, node, field),
            TYPE_NAME => {
                if field == Some("name") && b.parent_kind() != "struct_expression"
                    || b.done == node.id()
                {
                    return Step::Skip;
                }
                let text = b.text(node);
                if text != "Self" {
                    let target = b.own.named_expr(text);
                    let kind = if field == Some("trait") {
                        ReferenceKind::Inherit
                    } else {
                        ReferenceKind::Type
                    };
                    b.refer(kind, target, node);
                }
            }
            STRUCT_EXPRESSION => {
                if let Some(mut name) = field!(node, "name") {
                    if name.kind() == "generic_type" {
                        name = field!(name, "type").unwrap_or(name);
                    }
                    let target = type_expr(name, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Instantiate, target, name_node(name));
                    b.done = name.id();
                }
            }
            MACRO => {
                if let Some(name) = field!(node, "macro") {
                    let last = field!(name, "name").unwrap_or(name);
                    let text = b.text(last);
                    let callee = b.own.named_expr(format!("{text}!"));
                    let target = b.own.expr(Expr::Call(callee, 0));
                    b.refer(ReferenceKind::Call, target, last);
                }
                let mut cursor = node.walk();
                let tree = node.named_children(&mut cursor).find(|n| n.kind() == "token_tree");
                if let Some(tree) = tree {
                    tokens(b, tree, 0);
                }
                return Step::Skip;
            }
            BOUNDS => {}
            _ => return Step::Skip,
        }
        Step::Into
    }
}

/// The node whose position a reference has: its last name.
fn name_node(node: Node<'_>) -> Node<'_> {
    let name = field!(node, "field").or_else(|| field!(node, "name"));
    name.unwrap_or(node)
}

fn last_child(node: Node<'_>) -> Option<Node<'_>> {
    let last = node.named_child_count().checked_sub(1)?;
    node.named_child(u32::try_from(last).ok()?)
}

fn identifier(b: &mut Builder<'_, '_>, node: Node<'_>, field: Option<&str>) {
    if b.done == node.id() || matches!(field, Some("name" | "alias" | "pattern" | "label")) {
        return;
    }
    let text = b.text(node);
    let parent = b.parent_kind();
    let is_pattern = parent.ends_with("_pattern")
        || matches!(parent, "closure_parameters" | "captured_pattern" | "match_pattern")
        || (parent == "for_expression" && field == Some("pattern"));
    if is_pattern && field != Some("type") && text.starts_with(|c: char| !c.is_uppercase()) {
        return;
    }
    if text == "Self" {
        return;
    }
    let target = b.own.named_expr(text);
    b.refer(ReferenceKind::Read, target, node);
}

fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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
fn generics<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Vec<Generic> {
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

fn bound_types<'t>(node: Node<'t>, source: &'t str, pool: &mut Interner<'t>) -> Vec<TypeId> {
    let mut cursor = node.walk();
    let bounds = node.named_children(&mut cursor).map(|n| ty(n, source, pool, 0));
    bounds.filter(|&bound| bound != 0).collect()
}

fn impl_block<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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

fn type_item<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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

fn module<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    if field!(node, "body").is_none()
        && let Some(number) = number
    {
        b.declared(number).flags |= flags::ELSEWHERE;
    }
    b.open(ScopeKind::Module, number.map_or(Within::FILE, Within::definition));
}

/// The imports of a `use` tree. `path` is what stands before it.
fn use_tree<'t>(
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

fn closure<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
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
fn bind<'t>(
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

/// The shape of an expression.
pub(super) fn expr<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    if depth > MAX_SHAPE {
        return 0;
    }
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let of = |node: Option<Node<'t>>, pool: &mut Interner<'t>| {
        node.map_or(0, |node| expr(node, source, pool, depth + 1))
    };
    let shape = match node.kind() {
        "identifier" | "crate" | "super" => Expr::Name(pool.name(text(node))),
        "self" => Expr::SelfRef,
        "scoped_identifier" => return type_expr(node, source, pool, depth),
        "field_expression" => {
            let object = of(field!(node, "value"), pool);
            let name = field!(node, "field").map_or("", text);
            Expr::Member(object, pool.name(name))
        }
        "call_expression" => {
            let arguments = field!(node, "arguments");
            let count = arguments.map_or(0, |a| a.named_child_count());
            let callee = of(field!(node, "function"), pool);
            Expr::Call(callee, u8::try_from(count).unwrap_or(u8::MAX))
        }
        "generic_function" => return of(field!(node, "function"), pool),
        "try_expression" => Expr::Try(of(node.named_child(0), pool)),
        "await_expression" => Expr::Await(of(node.named_child(0), pool)),
        "reference_expression" => return of(field!(node, "value"), pool),
        "unary_expression" => {
            let inner = of(node.named_child(0), pool);
            if text(node).starts_with('*') { Expr::Deref(inner) } else { return inner }
        }
        "parenthesized_expression" => return of(node.named_child(0), pool),
        "index_expression" => {
            let value = of(node.named_child(0), pool);
            match node.named_child(1).map(|n| n.kind()) {
                Some("range_expression") => return value,
                _ => Expr::Index(value),
            }
        }
        "struct_expression" => {
            let name = field!(node, "name");
            let ty = name.map_or(0, |n| ty(n, source, pool, depth + 1));
            Expr::OfType(ty)
        }
        "type_cast_expression" => {
            let of = field!(node, "type");
            let ty = of.map_or(0, |n| ty(n, source, pool, depth + 1));
            Expr::OfType(ty)
        }
        "closure_expression" => Expr::Lambda(of(field!(node, "body"), pool)),
        "block" | "unsafe_block" => {
            let last = last_child(node);
            return of(last.filter(|n| n.kind() != "let_declaration"), pool);
        }
        "if_expression" => {
            let one = of(field!(node, "consequence"), pool);
            let other = field!(node, "alternative").and_then(|n| n.named_child(0));
            let other = of(other, pool);
            Expr::Either(one, other)
        }
        "macro_invocation" => match field!(node, "macro").map_or("", text) {
            "vec" => return pool.value_of(&["Vec"]),
            "format" => return pool.value_of(&["String"]),
            _ => return 0,
        },
        "string_literal" | "raw_string_literal" => return pool.value_of(&["str"]),
        "boolean_literal" => return pool.value_of(&["bool"]),
        "integer_literal" => return pool.value_of(&["i32"]),
        "char_literal" => return pool.value_of(&["char"]),
        "float_literal" => return pool.value_of(&["f64"]),
        "tuple_expression" => {
            let mut cursor = node.walk();
            let parts: Vec<Node<'t>> = node.named_children(&mut cursor).take(16).collect();
            Expr::Tuple(parts.into_iter().map(|part| of(Some(part), pool)).collect())
        }
        "array_expression" => {
            let first = of(node.named_child(0), pool);
            let item = pool.ty(if first == 0 { Type::Unknown } else { Type::Of(first) });
            let ty = pool.ty(Type::Array(item));
            Expr::OfType(ty)
        }
        _ => return 0,
    };
    pool.expr(shape)
}

/// A path as an expression: of values and of types.
pub(super) fn type_expr<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    if depth > MAX_SHAPE {
        return 0;
    }
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let shape = match node.kind() {
        "scoped_identifier" | "scoped_type_identifier" => {
            let name = field!(node, "name").map_or("", text);
            let Some(path) = field!(node, "path") else {
                // `::name`: a crate.
                let root = pool.named_expr("::");
                let name = pool.name(name);
                return pool.expr(Expr::Path(root, name));
            };
            let path = type_expr(path, source, pool, depth + 1);
            Expr::Path(path, pool.name(name))
        }
        "generic_type" | "bracketed_type" | "primitive_type" => {
            let ty = ty(node, source, pool, depth + 1);
            Expr::Static(ty)
        }
        "identifier" | "type_identifier" | "crate" | "super" | "self" | "metavariable" => {
            Expr::Name(pool.name(text(node)))
        }
        _ => return 0,
    };
    pool.expr(shape)
}

/// The shape of a type.
pub(super) fn ty<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> TypeId {
    if depth > MAX_SHAPE {
        return 0;
    }
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let inner = |node: Option<Node<'t>>, pool: &mut Interner<'t>| {
        node.map_or(0, |node| ty(node, source, pool, depth + 1))
    };
    let all = |node: Node<'t>, pool: &mut Interner<'t>| {
        let mut cursor = node.walk();
        let parts: Vec<Node<'t>> =
            node.named_children(&mut cursor).filter(|n| n.kind() != "lifetime").collect();
        let parts = parts.into_iter().map(|n| ty(n, source, pool, depth + 1));
        parts.collect::<Vec<TypeId>>()
    };
    let shape = match node.kind() {
        "type_identifier" | "identifier" | "primitive_type" => match text(node) {
            "Self" => Type::SelfType,
            name => Type::Named(vec![pool.name(name)], Vec::new()),
        },
        "scoped_type_identifier" | "scoped_identifier" => {
            let path = field!(node, "path");
            let name = pool.name(field!(node, "name").map_or("", text));
            match path.map(|path| (path.kind(), path)) {
                None => Type::Named(vec![pool.name("::"), name], Vec::new()),
                Some(("crate" | "super" | "self", path)) => {
                    Type::Named(vec![pool.name(text(path)), name], Vec::new())
                }
                Some((_, path)) => {
                    let before = ty(path, source, pool, depth + 1);
                    match pool.get_type(before).clone() {
                        Type::Named(mut path, arguments) if arguments.is_empty() => {
                            path.push(name);
                            Type::Named(path, Vec::new())
                        }
                        _ => Type::Projection(before, 0, name),
                    }
                }
            }
        }
        "crate" | "super" | "self" => Type::Named(vec![pool.name(text(node))], Vec::new()),
        "generic_type" => {
            let head = inner(field!(node, "type"), pool);
            let arguments = field!(node, "type_arguments");
            let arguments = arguments.map(|n| all(n, pool)).unwrap_or_default();
            match pool.get_type(head).clone() {
                Type::Named(path, _) => Type::Named(path, arguments),
                other => other,
            }
        }
        "reference_type" | "pointer_type" => Type::Reference(inner(field!(node, "type"), pool)),
        "array_type" => Type::Array(inner(field!(node, "element"), pool)),
        "tuple_type" => Type::Tuple(all(node, pool)),
        "unit_type" => Type::Tuple(Vec::new()),
        "dynamic_type" | "abstract_type" => {
            let of = inner(field!(node, "trait"), pool);
            match pool.get_type(of) {
                Type::All(_) => return of,
                _ => Type::All(vec![of]),
            }
        }
        "bounded_type" => Type::All(all(node, pool).into_iter().filter(|&t| t != 0).collect()),
        "bracketed_type" => return inner(node.named_child(0), pool),
        "qualified_type" => {
            let of = inner(field!(node, "type"), pool);
            let alias = inner(field!(node, "alias"), pool);
            Type::Projection(of, alias, 0)
        }
        "function_type" => {
            let returns = inner(field!(node, "return_type"), pool);
            // `impl Fn(..) -> T`
            Type::Function(returns)
        }
        "type_binding" | "higher_ranked_trait_bound" | "type_arguments" | "removed_trait_bound" => {
            return inner(field!(node, "type"), pool);
        }
        _ => return 0,
    };
    pool.ty(shape)
}
