//! Shapes of Rust's expressions, paths and types.

use onyx_protocol::code::{Expr, ExprId, Type, TypeId};
use tree_sitter::Node;

use super::rust::last_child;
use super::{Interner, MAX_SHAPE};

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
            return match wrapped(node, source, pool, depth) {
                0 => call(node, source, pool, depth),
                of => of,
            };
        }
        "match_expression" => {
            let value = of(field!(node, "value"), pool);
            let Some(body) = field!(node, "body") else { return 0 };
            let mut cursor = body.walk();
            let arms: Vec<Node<'t>> = body.named_children(&mut cursor).take(8).collect();
            let arms = arms.into_iter().map(|arm| arm_value(arm, value, source, pool, depth + 1));
            let arms: Vec<ExprId> = arms.filter(|&arm| arm != 0).collect();
            return arms
                .into_iter()
                .reduce(|one, other| match one == other {
                    true => one,
                    false => pool.expr(Expr::Either(one, other)),
                })
                .unwrap_or(0);
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

/// The shape of a call.
pub(super) fn call<'t>(
    node: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    let count = field!(node, "arguments").map_or(0, |a| a.named_child_count());
    let callee = field!(node, "function").map_or(0, |n| expr(n, source, pool, depth + 1));
    pool.expr(Expr::Call(callee, u8::try_from(count).unwrap_or(u8::MAX)))
}

/// What makes a value of its argument's type: `Some(x)`, `Arc::new(x)`, `Arc::clone(&x)`.
fn wrapped<'t>(node: Node<'t>, source: &'t str, pool: &mut Interner<'t>, depth: u8) -> ExprId {
    let callee = field!(node, "function").and_then(|n| source.get(n.byte_range()));
    let (name, at) = match callee.unwrap_or_default() {
        "Some" => ("Option", 0),
        "Ok" => ("Result", 0),
        "Err" => ("Result", 1),
        "Box::new" => ("Box", 0),
        "Arc::new" => ("Arc", 0),
        "Rc::new" => ("Rc", 0),
        "RefCell::new" => ("RefCell", 0),
        "Cell::new" => ("Cell", 0),
        "Mutex::new" => ("Mutex", 0),
        "RwLock::new" => ("RwLock", 0),
        "Box::pin" => ("Box", 0),
        "Arc::clone" | "Rc::clone" => ("", 0),
        _ => return 0,
    };
    let first = field!(node, "arguments").and_then(|n| n.named_child(0));
    let first = first.map_or(0, |n| expr(n, source, pool, depth + 1));
    if first == 0 || name.is_empty() {
        return first;
    }
    let mut arguments = vec![0; at];
    arguments.push(pool.ty(Type::Of(first)));
    let path = vec![pool.name(name)];
    let ty = pool.ty(Type::Named(path, arguments));
    pool.expr(Expr::OfType(ty))
}

/// What an arm gives, as far as it can be said without the names its pattern binds.
fn arm_value<'t>(
    arm: Node<'t>,
    matched: ExprId,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> ExprId {
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let (Some(pattern), Some(value)) = (field!(arm, "pattern"), field!(arm, "value")) else {
        return 0;
    };
    let Some(inner) = pattern.named_child(0) else { return 0 };
    match inner.kind() {
        // `Some(x) => x`
        "tuple_struct_pattern" if inner.named_child_count() == 2 => {
            let name = inner.named_child(0).map_or("", text);
            let is_same = value.kind() == "identifier"
                && inner.named_child(1).is_some_and(|n| text(n) == text(value));
            if !is_same || !matches!(name, "Some" | "Ok" | "Err") || matched == 0 {
                return 0;
            }
            let name = pool.name(name);
            pool.expr(Expr::Payload(matched, name))
        }
        "scoped_identifier" | "integer_literal" | "string_literal" | "boolean_literal" => {
            expr(value, source, pool, depth)
        }
        _ if matches!(text(inner), "_" | "None") => expr(value, source, pool, depth),
        _ => 0,
    }
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
