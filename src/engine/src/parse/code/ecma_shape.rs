//! Shapes of JavaScript's and TypeScript's expressions and types.

use onyx_protocol::code::{Expr, ExprId, Type, TypeId};
use tree_sitter::Node;

use super::pool::QuickMap;
use super::{Interner, MAX_SHAPE};

/// Most members kept of one object.
const MAX_MEMBERS: usize = 256;
/// Deepest shape that is remembered; deeper ones may have been cut off.
const MAX_KEPT: u8 = 10;

/// What shapes are made from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, 't> {
    pub text: &'t str,
    /// Definitions by their nodes.
    pub by_node: &'a QuickMap<usize, u32>,
}

impl<'t> Source<'_, 't> {
    pub fn of(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }
}

/// The name of the module in `require("x")` and `import("x")`.
pub(super) fn required<'t>(call: Node<'t>, text: &'t str) -> Option<&'t str> {
    required_by(call, call.child_by_field_name("function")?, text)
}

/// The same where the callee is known.
pub(super) fn required_by<'t>(call: Node<'t>, callee: Node<'t>, text: &'t str) -> Option<&'t str> {
    let is_import = match callee.kind() {
        "import" => true,
        "identifier" => text.get(callee.byte_range()) == Some("require"),
        _ => false,
    };
    let arguments = call.child_by_field_name("arguments").filter(|_| is_import)?;
    string(arguments.named_child(0)?, text)
}

/// What is between the quotes of a string.
pub(super) fn string<'t>(node: Node<'_>, text: &'t str) -> Option<&'t str> {
    if node.kind() != "string" {
        return None;
    }
    let range = node.start_byte() + 1..node.end_byte().saturating_sub(1);
    text.get(range).filter(|inside| !inside.is_empty())
}

/// The name of a member's key, quotes left out; None when it is computed.
pub(super) fn key<'t>(node: Node<'_>, text: &'t str) -> Option<&'t str> {
    match node.kind() {
        "string" => string(node, text),
        "computed_property_name" => None,
        _ => text.get(node.byte_range()),
    }
}

/// The last child: of a call the arguments, of a member its name. Faster than by field.
pub(super) fn last(node: Node<'_>) -> Option<Node<'_>> {
    node.child(node.child_count().checked_sub(1)?)
}

/// What a call wraps: a wrapped component is the component, as the caller sees it. So it is with React's own
/// wrappers and those of the libraries that connect components with a store or a router.
pub(super) fn wrapped<'t>(call: Node<'t>, callee: Node<'t>, text: &str) -> Option<Node<'t>> {
    let named = |node: Node<'_>| text.get(node.byte_range()).unwrap_or_default();
    let wraps = match callee.kind() {
        // connect(state, actions)(Component)
        "call_expression" => {
            let of = callee.child_by_field_name("function");
            of.is_some_and(|of| matches!(named(of), "connect" | "inject"))
        }
        _ => matches!(
            named(callee),
            "memo"
                | "React.memo"
                | "forwardRef"
                | "React.forwardRef"
                | "observer"
                | "withRouter"
                | "Object.freeze"
        ),
    };
    let arguments = call.child_by_field_name("arguments").filter(|_| wraps)?;
    arguments.named_child(0)
}

/// Whether an expression is a call that wraps something.
fn is_wrapper(node: Node<'_>, text: &str) -> bool {
    let node = bare(node);
    let callee = node.child_by_field_name("function").map(bare);
    node.kind() == "call_expression" && callee.is_some_and(|c| wrapped(node, c, text).is_some())
}

/// The number of arguments of a call.
pub(super) fn count(call: Node<'_>) -> u8 {
    let arguments = last(call).filter(|n| n.kind() == "arguments");
    u8::try_from(arguments.map_or(0, |a| a.named_child_count())).unwrap_or(u8::MAX)
}

/// Without parentheses and what only says a type.
pub(super) fn bare(mut node: Node<'_>) -> Node<'_> {
    while matches!(
        node.kind(),
        "parenthesized_expression" | "non_null_expression" | "satisfies_expression"
    ) {
        match node.named_child(0) {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node
}

/// The shape of an expression. What calls and members are is remembered: the parts of a chain are
/// asked for again one by one.
pub(super) fn expr<'t>(
    node: Node<'t>,
    source: Source<'_, 't>,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    let is_kept =
        depth < MAX_KEPT && matches!(node.kind(), "call_expression" | "member_expression");
    if is_kept && let Some(&id) = pool.kept.get(&node.id()) {
        return id;
    }
    let id = made_expr(node, source, pool, depth);
    if is_kept {
        pool.kept.insert(node.id(), id);
    }
    id
}

fn made_expr<'t>(
    node: Node<'t>,
    source: Source<'_, 't>,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    if depth > MAX_SHAPE {
        return 0;
    }
    let of = |node: Option<Node<'t>>, pool: &mut Interner<'t>| {
        node.map_or(0, |node| expr(node, source, pool, depth + 1))
    };
    let shape = match node.kind() {
        "identifier" | "shorthand_property_identifier" | "this" => {
            Expr::Name(pool.name(source.of(node)))
        }
        "super" => Expr::Super,
        "member_expression" | "nested_identifier" => {
            let object = of(node.child(0), pool);
            let name = last(node).map_or("", |n| source.of(n));
            Expr::Member(object, pool.name(name))
        }
        "call_expression" => {
            let callee = node.child(0).map(bare);
            if let Some(module) = callee.and_then(|callee| required_by(node, callee, source.text)) {
                return pool.named_expr(format!("require:{module}"));
            }
            if let Some(callee) = callee.filter(|n| n.kind() == "member_expression")
                && source.of(callee).ends_with(".bind")
            {
                // A bound function is the function.
                return of(callee.child(0), pool);
            }
            if let Some(inner) = callee.and_then(|callee| wrapped(node, callee, source.text)) {
                return of(Some(inner), pool);
            }
            let callee = of(callee, pool);
            Expr::Call(callee, count(node))
        }
        "new_expression" => {
            let ty = made(node, source, pool, depth);
            Expr::New(ty, count(node))
        }
        "subscript_expression" => {
            let object = of(node.child_by_field_name("object"), pool);
            let index = node.child_by_field_name("index");
            match index.map(|index| (index.kind(), index)) {
                Some(("string", index)) => {
                    let name = string(index, source.text).unwrap_or_default();
                    Expr::Member(object, pool.name(name))
                }
                Some(("number", index)) => match source.of(index).parse::<u8>() {
                    Ok(index) => Expr::Part(object, index),
                    Err(_) => Expr::Index(object),
                },
                _ => Expr::Index(object),
            }
        }
        "await_expression" => Expr::Await(of(node.named_child(0), pool)),
        "parenthesized_expression" | "non_null_expression" | "satisfies_expression" => {
            return of(node.named_child(0), pool);
        }
        // Which props a wrapped component has, not which component it is.
        "as_expression" if node.named_child(0).is_some_and(|n| is_wrapper(n, source.text)) => {
            return of(node.named_child(0), pool);
        }
        "as_expression" => {
            let ty = node.named_child(1).map_or(0, |n| ty(n, source, pool, depth + 1));
            if ty == 0 {
                return of(node.named_child(0), pool);
            }
            Expr::OfType(ty)
        }
        "type_assertion" => {
            let arguments = node.named_child(0).and_then(|n| n.named_child(0));
            let ty = arguments.map_or(0, |n| ty(n, source, pool, depth + 1));
            Expr::OfType(ty)
        }
        "instantiation_expression" => return of(node.named_child(0), pool),
        "sequence_expression" => {
            let last = node.named_child_count().checked_sub(1);
            let last = last.and_then(|last| node.named_child(u32::try_from(last).ok()?));
            return of(last, pool);
        }
        "ternary_expression" => {
            let one = of(node.child_by_field_name("consequence"), pool);
            let other = of(node.child_by_field_name("alternative"), pool);
            Expr::Either(one, other)
        }
        "binary_expression" => {
            let operator = node.child_by_field_name("operator").map_or("", |n| n.kind());
            let right = node.child_by_field_name("right");
            match operator {
                "||" | "??" => {
                    let one = of(node.child_by_field_name("left"), pool);
                    Expr::Either(one, of(right, pool))
                }
                "&&" => return of(right, pool),
                "+" => return 0,
                "-" | "*" | "/" | "%" | "**" | "|" | "&" | "^" | "<<" | ">>" | ">>>" => {
                    return pool.value_of(&["globalThis", "Number"]);
                }
                _ => return pool.value_of(&["globalThis", "Boolean"]),
            }
        }
        "assignment_expression" => return of(node.child_by_field_name("right"), pool),
        "string" | "template_string" => return pool.value_of(&["globalThis", "String"]),
        "number" => return pool.value_of(&["globalThis", "Number"]),
        "true" | "false" => return pool.value_of(&["globalThis", "Boolean"]),
        "regex" => return pool.value_of(&["globalThis", "RegExp"]),
        "array" => {
            let first = of(node.named_child(0).filter(|n| n.kind() != "spread_element"), pool);
            let item = pool.ty(if first == 0 { Type::Unknown } else { Type::Of(first) });
            let ty = pool.ty(Type::Array(item));
            Expr::OfType(ty)
        }
        "arrow_function" => {
            let body = node.child_by_field_name("body");
            Expr::Lambda(of(body.filter(|n| n.kind() != "statement_block"), pool))
        }
        "function_expression" | "generator_function" => Expr::Lambda(0),
        "class" => match source.by_node.get(&node.id()) {
            Some(&number) => Expr::Definition(number),
            None => return 0,
        },
        "object" if depth < 6 => return object(node, source, pool, depth),
        _ => return 0,
    };
    pool.expr(shape)
}

/// The type that `new` makes a value of.
fn made<'t>(node: Node<'t>, source: Source<'_, 't>, pool: &mut Interner<'t>, depth: u8) -> TypeId {
    let Some(of) = node.child_by_field_name("constructor").map(bare) else { return 0 };
    match path(of, source, pool) {
        Some(path) => {
            let arguments = node.child_by_field_name("type_arguments");
            let arguments = arguments.map(|n| all(n, source, pool, depth)).unwrap_or_default();
            pool.ty(Type::Named(path, arguments))
        }
        None => 0,
    }
}

/// `a.b.c` as its names.
fn path<'t>(
    mut node: Node<'t>,
    source: Source<'_, 't>,
    pool: &mut Interner<'t>,
) -> Option<Vec<u32>> {
    let mut names = Vec::new();
    loop {
        match node.kind() {
            "identifier" | "type_identifier" | "this" => {
                names.push(pool.name(source.of(node)));
                names.reverse();
                return Some(names);
            }
            "member_expression" | "nested_identifier" => {
                names.push(pool.name(source.of(node.child_by_field_name("property")?)));
                node = node.child_by_field_name("object")?;
            }
            "nested_type_identifier" => {
                names.push(pool.name(source.of(node.child_by_field_name("name")?)));
                node = node.child_by_field_name("module")?;
            }
            _ => return None,
        }
    }
}

/// The shape of an object.
fn object<'t>(
    node: Node<'t>,
    source: Source<'_, 't>,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    let mut parts = Vec::new();
    let mut cursor = node.walk();
    let mut more = cursor.goto_first_child();
    while more && parts.len() < MAX_MEMBERS {
        let child = cursor.node();
        let part = match child.kind() {
            "pair" => {
                let name = child.child_by_field_name("key").and_then(|n| key(n, source.text));
                let value = match source.by_node.get(&child.id()) {
                    Some(&number) => pool.expr(Expr::Definition(number)),
                    None => child
                        .child_by_field_name("value")
                        .map_or(0, |n| expr(n, source, pool, depth + 1)),
                };
                name.map(|name| (name, value))
            }
            "method_definition" => {
                let name = child.child_by_field_name("name").and_then(|n| key(n, source.text));
                let number = source.by_node.get(&child.id());
                let value = number.map_or(0, |&number| pool.expr(Expr::Definition(number)));
                name.map(|name| (name, value))
            }
            "shorthand_property_identifier" => {
                let name = source.of(child);
                Some((name, pool.named_expr(name)))
            }
            _ => None,
        };
        if let Some((name, value)) = part.filter(|part| part.1 != 0) {
            parts.push((pool.name(name), value));
        }
        more = cursor.goto_next_sibling();
    }
    pool.expr(Expr::Object(parts))
}

/// The shapes of the types in a list.
fn all<'t>(
    node: Node<'t>,
    source: Source<'_, 't>,
    pool: &mut Interner<'t>,
    depth: u8,
) -> Vec<TypeId> {
    let mut cursor = node.walk();
    let parts: Vec<Node<'t>> = node.named_children(&mut cursor).take(16).collect();
    let parts = parts.into_iter().filter(|n| n.kind() != "comment");
    parts.map(|n| ty(n, source, pool, depth + 1)).collect()
}

/// The shape of a type.
pub(super) fn ty<'t>(
    node: Node<'t>,
    source: Source<'_, 't>,
    pool: &mut Interner<'t>,
    depth: u8,
) -> TypeId {
    if depth > MAX_SHAPE {
        return 0;
    }
    let inner = |node: Option<Node<'t>>, pool: &mut Interner<'t>| {
        node.map_or(0, |node| ty(node, source, pool, depth + 1))
    };
    let shape = match node.kind() {
        "type_annotation" | "parenthesized_type" | "readonly_type" | "optional_type"
        | "constraint" | "default_type" | "rest_type" => {
            return inner(node.named_child(0), pool);
        }
        "type_identifier"
        | "identifier"
        | "nested_type_identifier"
        | "nested_identifier"
        | "member_expression" => match path(node, source, pool) {
            Some(path) => Type::Named(path, Vec::new()),
            None => return 0,
        },
        "this" | "this_type" => Type::SelfType,
        "predefined_type" => match source.of(node) {
            "string" => return pool.named_type(&["globalThis", "String"]),
            "number" => return pool.named_type(&["globalThis", "Number"]),
            "boolean" => return pool.named_type(&["globalThis", "Boolean"]),
            "bigint" => return pool.named_type(&["globalThis", "BigInt"]),
            "symbol" => return pool.named_type(&["globalThis", "Symbol"]),
            _ => return 0,
        },
        "literal_type" => match node.named_child(0).map_or("", |n| n.kind()) {
            "string" => return pool.named_type(&["globalThis", "String"]),
            "number" | "unary_expression" => return pool.named_type(&["globalThis", "Number"]),
            "true" | "false" => return pool.named_type(&["globalThis", "Boolean"]),
            _ => return 0,
        },
        "template_literal_type" => return pool.named_type(&["globalThis", "String"]),
        "type_predicate_annotation" | "type_predicate" => {
            return pool.named_type(&["globalThis", "Boolean"]);
        }
        "generic_type" => {
            let path = node.child_by_field_name("name").and_then(|n| path(n, source, pool));
            let arguments = node.child_by_field_name("type_arguments");
            let arguments = arguments.map(|n| all(n, source, pool, depth)).unwrap_or_default();
            match path {
                Some(path) => Type::Named(path, arguments),
                None => return 0,
            }
        }
        "array_type" => Type::Array(inner(node.named_child(0), pool)),
        "tuple_type" => {
            let mut cursor = node.walk();
            let parts: Vec<Node<'t>> = node.named_children(&mut cursor).take(16).collect();
            let part = |n: Node<'t>| n.child_by_field_name("type").unwrap_or(n);
            Type::Tuple(parts.into_iter().map(|n| inner(Some(part(n)), pool)).collect())
        }
        "union_type" => {
            let parts = all(node, source, pool, depth).into_iter().filter(|&part| part != 0);
            let parts: Vec<TypeId> = parts.collect();
            match parts[..] {
                [] => return 0,
                [one] => return one,
                _ => Type::Union(parts),
            }
        }
        "intersection_type" => {
            let parts = all(node, source, pool, depth).into_iter().filter(|&part| part != 0);
            Type::All(parts.collect())
        }
        "function_type" => Type::Function(inner(node.child_by_field_name("return_type"), pool)),
        "type_query" => match node.named_child(0) {
            Some(of) => Type::Of(expr(of, source, pool, depth + 1)),
            None => return 0,
        },
        "lookup_type" => {
            let of = inner(node.named_child(0), pool);
            let index = node.named_child(1).and_then(|n| n.named_child(0));
            match index.and_then(|n| string(n, source.text)) {
                Some(name) if of != 0 => {
                    let of = pool.expr(Expr::OfType(of));
                    let name = pool.name(name);
                    Type::Of(pool.expr(Expr::Member(of, name)))
                }
                _ => return 0,
            }
        }
        _ => return 0,
    };
    pool.ty(shape)
}
