//! Rust: items, impl blocks, paths, `use` trees, patterns, closures.

use onyx_protocol::code::{Expr, ReferenceKind, ScopeKind, Within, flags};
use tree_sitter::Node;

use super::builder::ImportText;
use super::rust_bind::{bind, closure};
use super::rust_items::{bound_types, function, generics, impl_block, module, type_item, use_tree};
use super::rust_macro::tokens;
use super::rust_shape::{call, expr, ty, type_expr};
use super::{Builder, Extractor, Step};

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
                    let target = call(node, b.source, &mut b.own, 0);
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
pub(super) fn name_node(node: Node<'_>) -> Node<'_> {
    let name = field!(node, "field").or_else(|| field!(node, "name"));
    name.unwrap_or(node)
}

pub(super) fn last_child(node: Node<'_>) -> Option<Node<'_>> {
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
