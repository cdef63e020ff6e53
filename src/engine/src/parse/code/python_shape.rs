//! Shapes of Python's expressions and annotations.

use onyx_protocol::code::{Expr, ExprId, Type, TypeId};
use tree_sitter::Node;

use super::{Interner, MAX_SHAPE};

/// What is between the quotes.
pub(super) fn content<'t>(string: Node<'_>, source: &'t str) -> Option<&'t str> {
    let mut cursor = string.walk();
    let content = string.named_children(&mut cursor).find(|n| n.kind() == "string_content")?;
    source.get(content.byte_range())
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
        "identifier" => Expr::Name(pool.name(text(node))),
        "attribute" => {
            let object = of(field!(node, "object"), pool);
            let name = field!(node, "attribute").map_or("", text);
            Expr::Member(object, pool.name(name))
        }
        "call" => {
            let callee = field!(node, "function");
            let arguments = field!(node, "arguments");
            if callee.is_some_and(|callee| text(callee) == "super") {
                Expr::Super
            } else {
                // typing.cast(T, x) is a T.
                let first = arguments.and_then(|a| a.named_child(0));
                if let (Some("cast" | "typing.cast" | "t.cast"), Some(first)) =
                    (callee.map(text), first)
                {
                    let ty = ty(first, source, pool, depth + 1);
                    return pool.expr(Expr::OfType(ty));
                }
                let count = arguments.map_or(0, |a| a.named_child_count());
                let callee = of(callee, pool);
                Expr::Call(callee, u8::try_from(count).unwrap_or(u8::MAX))
            }
        }
        "subscript" => {
            let value = field!(node, "value");
            let index = field!(node, "subscript");
            let value = of(value, pool);
            match index.map(|index| index.kind()) {
                Some("slice") => return value,
                Some("integer") => match index.map_or("", text).parse::<u8>() {
                    Ok(index) => Expr::Part(value, index),
                    Err(_) => Expr::Index(value),
                },
                _ => Expr::Index(value),
            }
        }
        "await" => Expr::Await(of(node.named_child(0), pool)),
        "parenthesized_expression" => return of(node.named_child(0), pool),
        "named_expression" => return of(field!(node, "value"), pool),
        "conditional_expression" => {
            let one = of(node.named_child(0), pool);
            let other = of(node.named_child(2), pool);
            Expr::Either(one, other)
        }
        "boolean_operator" => {
            let one = of(field!(node, "left"), pool);
            let other = of(field!(node, "right"), pool);
            let is_or = field!(node, "operator").is_some_and(|o| o.kind() == "or");
            if is_or { Expr::Either(one, other) } else { return other }
        }
        "tuple" | "expression_list" => {
            let mut cursor = node.walk();
            let parts: Vec<Node<'t>> = node.named_children(&mut cursor).take(16).collect();
            Expr::Tuple(parts.into_iter().map(|part| of(Some(part), pool)).collect())
        }
        "string" | "concatenated_string" => {
            let is_bytes = text(node).trim_start_matches(['r', 'R']).starts_with(['b', 'B']);
            return pool.value_of(&["builtins", if is_bytes { "bytes" } else { "str" }]);
        }
        "integer" => return pool.value_of(&["builtins", "int"]),
        "float" => return pool.value_of(&["builtins", "float"]),
        "true" | "false" | "comparison_operator" | "not_operator" => {
            return pool.value_of(&["builtins", "bool"]);
        }
        "list" | "list_comprehension" | "set" | "set_comprehension" | "generator_expression" => {
            let name = if node.kind().starts_with("set") { "set" } else { "list" };
            let first = match node.kind() {
                "list" | "set" => of(node.named_child(0), pool),
                _ => 0,
            };
            let item = pool.ty(if first == 0 { Type::Unknown } else { Type::Of(first) });
            let path = vec![pool.name("builtins"), pool.name(name)];
            let ty = pool.ty(Type::Named(path, vec![item]));
            Expr::OfType(ty)
        }
        "dictionary" | "dictionary_comprehension" => {
            return pool.value_of(&["builtins", "dict"]);
        }
        "lambda" => Expr::Lambda(of(field!(node, "body"), pool)),
        _ => return 0,
    };
    pool.expr(shape)
}

/// The shape of an annotation or base class.
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
        "type" | "parenthesized_expression" => {
            node.named_child(0).map_or(0, |inner| ty(inner, source, pool, depth + 1))
        }
        "identifier" | "attribute" => named(text(node), pool),
        "subscript" | "generic_type" => {
            let mut cursor = node.walk();
            let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
            let Some((head, rest)) = children.split_first() else { return 0 };
            let mut arguments = Vec::new();
            for &child in rest {
                if matches!(child.kind(), "type_parameter" | "tuple") {
                    let mut inner = child.walk();
                    let parts: Vec<Node<'t>> = child.named_children(&mut inner).collect();
                    arguments.extend(parts.into_iter().map(|n| ty(n, source, pool, depth + 1)));
                } else {
                    arguments.push(ty(child, source, pool, depth + 1));
                }
            }
            let path: Vec<u32> =
                text(*head).split('.').map(|part| pool.name(part.trim())).collect();
            pool.ty(Type::Named(path, arguments))
        }
        "binary_operator" | "union_type" => {
            let mut cursor = node.walk();
            let parts: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
            let parts = parts.into_iter().map(|n| ty(n, source, pool, depth + 1));
            let parts: Vec<TypeId> = parts.filter(|&part| part != 0).collect();
            match parts[..] {
                [] => 0,
                [one] => one,
                _ => pool.ty(Type::Union(parts)),
            }
        }
        "member_type" => named(text(node), pool),
        "string" => content(node, source).map_or(0, |inside| quoted(inside, pool)),
        "call" => {
            let of = expr(node, source, pool, depth + 1);
            pool.ty(Type::Of(of))
        }
        _ => 0,
    }
}

fn named<'t>(path: &'t str, pool: &mut Interner<'t>) -> TypeId {
    if path == "None" {
        return 0;
    }
    let is_path = path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if !is_path {
        return 0;
    }
    let path = path.split('.').map(|part| pool.name(part)).collect();
    pool.ty(Type::Named(path, Vec::new()))
}

/// A type in quotes: a path, `Optional[path]`, alternatives.
fn quoted<'t>(text: &'t str, pool: &mut Interner<'t>) -> TypeId {
    let text = text.trim();
    if let Some(at) = top_level_bar(text) {
        let (one, other) = (quoted(&text[..at], pool), quoted(&text[at + 1..], pool));
        return match (one, other) {
            (0, one) | (one, 0) => one,
            _ => pool.ty(Type::Union(vec![one, other])),
        };
    }
    match text.split_once('[').and_then(|(head, rest)| Some((head, rest.strip_suffix(']')?))) {
        Some((head, inside)) => {
            let path = head.split('.').map(|part| pool.name(part.trim())).collect();
            let arguments =
                if inside.contains(['[', ',']) { Vec::new() } else { vec![quoted(inside, pool)] };
            pool.ty(Type::Named(path, arguments))
        }
        None => named(text, pool),
    }
}

/// Where the last `|` outside brackets is.
fn top_level_bar(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let mut last = None;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            '|' if depth == 0 => last = Some(at),
            _ => {}
        }
    }
    last
}
