//! Go: the shapes of expressions and types.

use onyx_protocol::code::{Expr, ExprId, Type, TypeId};
use tree_sitter::Node;

use super::golang::{bare_type, children, fields, name_node};
use super::{Interner, MAX_SHAPE};

/// What a literal's body makes: its type may be left to the literal around it.
pub(super) fn literal_of<'t>(
    body: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    let Some(parent) = body.parent().filter(|_| depth < MAX_SHAPE) else { return 0 };
    match parent.kind() {
        "composite_literal" => expr(parent, source, pool, depth),
        "literal_element" => {
            let Some(mut around) = parent.parent() else { return 0 };
            if around.kind() == "keyed_element" {
                let Some(up) = around.parent() else { return 0 };
                around = up;
            }
            match literal_of(around, source, pool, depth + 1) {
                0 => 0,
                of => pool.expr(Expr::Index(of)),
            }
        }
        _ => 0,
    }
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
    match node.kind() {
        "identifier" => pool.named_expr(text(node)),
        "selector_expression" => {
            let of = field!(node, "operand").map_or(0, |n| expr(n, source, pool, depth + 1));
            let name = pool.name(field!(node, "field").map_or("", text));
            pool.expr(Expr::Member(of, name))
        }
        "parenthesized_expression" => {
            node.named_child(0).map_or(0, |n| expr(n, source, pool, depth + 1))
        }
        "unary_expression" => {
            let of = field!(node, "operand").map_or(0, |n| expr(n, source, pool, depth + 1));
            match field!(node, "operator").map_or("", text) {
                "&" | "*" => of,
                "<-" if of != 0 => pool.expr(Expr::Await(of)),
                _ => 0,
            }
        }
        "call_expression" => {
            let Some(callee) = field!(node, "function") else { return 0 };
            let arguments = children(field!(node, "arguments"));
            if callee.kind() == "identifier" {
                match (text(callee), arguments.first()) {
                    ("new" | "make", Some(first)) => {
                        let ty = type_argument(*first, source, pool, depth + 1);
                        return pool.expr(Expr::OfType(ty));
                    }
                    ("append" | "min" | "max", Some(first)) => {
                        return expr(*first, source, pool, depth + 1);
                    }
                    _ => {}
                }
            }
            let of = expr(callee, source, pool, depth + 1);
            let count = u8::try_from(arguments.len()).unwrap_or(u8::MAX);
            if of == 0 { 0 } else { pool.expr(Expr::Call(of, count)) }
        }
        "type_conversion_expression" => {
            let Some(of) = field!(node, "type") else { return 0 };
            match of.kind() {
                "generic_type" => {
                    let of = type_expr(bare_type(of), source, pool);
                    pool.expr(Expr::Call(of, 1))
                }
                _ => {
                    let ty = ty(of, source, pool, depth + 1);
                    pool.expr(Expr::OfType(ty))
                }
            }
        }
        "type_assertion_expression" | "composite_literal" => {
            let ty = field!(node, "type").map_or(0, |n| ty(n, source, pool, depth + 1));
            if ty == 0 { 0 } else { pool.expr(Expr::OfType(ty)) }
        }
        "index_expression" => {
            let of = field!(node, "operand").map_or(0, |n| expr(n, source, pool, depth + 1));
            if of == 0 { 0 } else { pool.expr(Expr::Index(of)) }
        }
        "type_instantiation_expression" => {
            let of = node.named_child(0).map_or(0, |n| type_expr(bare_type(n), source, pool));
            if of == 0 { 0 } else { pool.expr(Expr::Index(of)) }
        }
        "slice_expression" => {
            field!(node, "operand").map_or(0, |n| expr(n, source, pool, depth + 1))
        }
        "func_literal" => {
            let result =
                field!(node, "result").map_or(0, |n| result_type(n, source, pool, depth + 1));
            let gives = pool.expr(Expr::OfType(result));
            pool.expr(Expr::Lambda(gives))
        }
        "binary_expression" => {
            let operator = field!(node, "operator").map_or("", text);
            match operator {
                "==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||" => pool.value_of(&["bool"]),
                "<<" | ">>" => field!(node, "left").map_or(0, |n| expr(n, source, pool, depth + 1)),
                _ => {
                    // Both have one type; a constant takes the other's.
                    let is_literal = |n: &Node<'_>| n.kind().ends_with("_literal");
                    let operand = field!(node, "left")
                        .filter(|n| !is_literal(n))
                        .or_else(|| field!(node, "right"));
                    operand.map_or(0, |n| expr(n, source, pool, depth + 1))
                }
            }
        }
        "interpreted_string_literal" | "raw_string_literal" => pool.value_of(&["string"]),
        "int_literal" => pool.value_of(&["int"]),
        "float_literal" => pool.value_of(&["float64"]),
        "rune_literal" => pool.value_of(&["rune"]),
        "true" | "false" => pool.value_of(&["bool"]),
        // A literal's element.
        "literal_element" => node.named_child(0).map_or(0, |n| expr(n, source, pool, depth + 1)),
        _ => 0,
    }
}

/// The first argument of `new` and `make`, which the grammar may take for an expression.
pub(super) fn type_argument<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> TypeId {
    match node.kind() {
        "identifier" | "selector_expression" | "call_expression" => {
            let of = expr(node, source, pool, depth);
            pool.ty(Type::Of(of))
        }
        _ => ty(node, source, pool, depth),
    }
}

/// The name or path of a type as an expression.
pub(super) fn type_expr<'t>(node: Node<'t>, source: &'t str, pool: &mut Interner<'t>) -> ExprId {
    named_of(node, source, pool)
}

pub(super) fn named_of<'t>(node: Node<'_>, source: &'t str, pool: &mut Interner<'t>) -> ExprId {
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    if node.kind() != "qualified_type" {
        return pool.named_expr(text(node));
    }
    let package = field!(node, "package").map_or("", text);
    let of = pool.named_expr(package);
    let name = pool.name(field!(node, "name").map_or("", text));
    pool.expr(Expr::Member(of, name))
}

/// What a function gives: one type, or several at once.
pub(super) fn result_type<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> TypeId {
    if node.kind() != "parameter_list" {
        return ty(node, source, pool, depth);
    }
    let mut all = Vec::new();
    for parameter in children(Some(node)) {
        let of = field!(parameter, "type");
        let of = of.map_or(0, |n| ty(n, source, pool, depth + 1));
        let count = fields(parameter, "name").len().max(1);
        all.extend(std::iter::repeat_n(of, count));
    }
    match all[..] {
        [] => 0,
        [one] => one,
        _ => pool.ty(Type::Tuple(all)),
    }
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
    match node.kind() {
        "type_identifier" | "identifier" => {
            let name = pool.name(text(node));
            pool.ty(Type::Named(vec![name], Vec::new()))
        }
        "qualified_type" => {
            let package = pool.name(field!(node, "package").map_or("", text));
            let name = pool.name(field!(node, "name").map_or("", text));
            pool.ty(Type::Named(vec![package, name], Vec::new()))
        }
        "generic_type" => {
            let Some(of) = field!(node, "type") else { return 0 };
            let mut path = Vec::new();
            if let Some(package) = field!(of, "package") {
                path.push(pool.name(text(package)));
            }
            path.push(pool.name(text(name_node(of))));
            let arguments = children(field!(node, "type_arguments"));
            let arguments = arguments.into_iter().map(|n| ty(n, source, pool, depth + 1)).collect();
            pool.ty(Type::Named(path, arguments))
        }
        "pointer_type" => {
            let of = node.named_child(0).map_or(0, |n| ty(n, source, pool, depth + 1));
            pool.ty(Type::Reference(of))
        }
        "parenthesized_type" | "type_elem" | "type_constraint" => match children(Some(node))[..] {
            [one] => ty(one, source, pool, depth + 1),
            _ => 0,
        },
        "slice_type" | "array_type" | "implicit_length_array_type" => {
            let of = field!(node, "element").map_or(0, |n| ty(n, source, pool, depth + 1));
            pool.ty(Type::Array(of))
        }
        "map_type" => {
            let key = field!(node, "key").map_or(0, |n| ty(n, source, pool, depth + 1));
            let value = field!(node, "value").map_or(0, |n| ty(n, source, pool, depth + 1));
            let name = pool.name("map");
            pool.ty(Type::Named(vec![name], vec![key, value]))
        }
        "channel_type" => {
            let of = field!(node, "value").map_or(0, |n| ty(n, source, pool, depth + 1));
            let name = pool.name("chan");
            pool.ty(Type::Named(vec![name], vec![of]))
        }
        "function_type" => {
            let of = field!(node, "result").map_or(0, |n| result_type(n, source, pool, depth + 1));
            pool.ty(Type::Function(of))
        }
        "struct_type" => {
            let mut all = Vec::new();
            for field in children(node.named_child(0)) {
                let of = field!(field, "type");
                let of = of.map_or(0, |n| ty(n, source, pool, depth + 1));
                let names = fields(field, "name");
                if names.is_empty() && field.kind() == "field_declaration" {
                    all.push((0, of));
                }
                all.extend(names.into_iter().map(|name| (pool.name(text(name)), of)));
            }
            pool.ty(Type::Struct(all))
        }
        _ => 0,
    }
}
