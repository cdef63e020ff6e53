//! Shapes of Java's expressions and types.

use onyx_protocol::code::{Expr, ExprId, Type, TypeId};
use tree_sitter::Node;

use super::{Interner, MAX_SHAPE};

/// Most arguments of a call that are kept.
const MAX_ARGUMENTS: usize = 24;

/// In place of a number of parameters: any.
pub(super) const ANY_ARITY: u8 = u8::MAX;

/// The named children that are no comments.
pub(super) fn children<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    let is_code = |child: &Node<'t>| !child.is_extra();
    node.named_children(&mut cursor).filter(is_code).collect()
}

/// The shapes of the arguments of a call.
pub(super) fn arguments<'t>(
    list: Option<Node<'t>>,
    source: &'t str,
    pool: &mut Interner<'t>,
    depth: u8,
) -> Vec<ExprId> {
    let all = list.map(children).unwrap_or_default();
    let shape = |argument| expr(argument, source, pool, depth + 1);
    all.into_iter().take(MAX_ARGUMENTS).map(shape).collect()
}

/// The parameters of a function without name: their nodes, and whether they have types.
pub(super) fn lambda_parameters<'t>(node: Node<'t>) -> (Vec<Node<'t>>, bool) {
    match field!(node, "parameters") {
        Some(list) if list.kind() == "identifier" => (vec![list], false),
        Some(list) => (children(list), list.kind() == "formal_parameters"),
        None => (Vec::new(), false),
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
    let of = |node: Option<Node<'t>>, pool: &mut Interner<'t>| {
        node.map_or(0, |node| expr(node, source, pool, depth + 1))
    };
    let value = |name: &'static str, pool: &mut Interner<'t>| pool.value_of(&[name]);
    let shape = match node.kind() {
        "identifier" => Expr::Name(pool.name(text(node))),
        "this" => Expr::SelfRef,
        "super" => Expr::Super,
        "field_access" => {
            let (Some(object), Some(name)) = (field!(node, "object"), field!(node, "field")) else {
                return 0;
            };
            if name.kind() == "this" {
                // `Outer.this`
                let ty = dotted(text(object), pool);
                Expr::OfType(ty)
            } else {
                let object = of(Some(object), pool);
                Expr::Member(object, pool.name(text(name)))
            }
        }
        "method_invocation" => {
            let Some(name) = field!(node, "name") else { return 0 };
            let callee = match field!(node, "object") {
                Some(object) if is_qualified_super(node) => {
                    // `Type.super.method()`
                    let ty = dotted(text(object), pool);
                    let object = pool.expr(Expr::OfType(ty));
                    let name = pool.name(text(name));
                    pool.expr(Expr::Member(object, name))
                }
                Some(object) => {
                    let object = of(Some(object), pool);
                    let name = pool.name(text(name));
                    pool.expr(Expr::Member(object, name))
                }
                None => pool.named_expr(text(name)),
            };
            let arguments = arguments(field!(node, "arguments"), source, pool, depth);
            Expr::Invoke(callee, arguments)
        }
        "object_creation_expression" => {
            if node.child(0).is_some_and(|first| first.kind() != "new") {
                // `outer.new Inner()`
                return 0;
            }
            let ty = field!(node, "type").map_or(0, |node| ty(node, source, pool, depth + 1));
            let count = field!(node, "arguments").map_or(0, |list| list.named_child_count());
            Expr::New(ty, u8::try_from(count).unwrap_or(u8::MAX))
        }
        "array_access" => Expr::Index(of(field!(node, "array"), pool)),
        "parenthesized_expression" => return of(children(node).first().copied(), pool),
        "cast_expression" => {
            Expr::OfType(field!(node, "type").map_or(0, |node| ty(node, source, pool, depth + 1)))
        }
        "ternary_expression" => {
            let one = of(field!(node, "consequence"), pool);
            Expr::Either(one, of(field!(node, "alternative"), pool))
        }
        "assignment_expression" => return of(field!(node, "left"), pool),
        "update_expression" => return of(children(node).first().copied(), pool),
        "unary_expression" if node.child(0).is_some_and(|c| c.kind() == "!") => {
            return value("boolean", pool);
        }
        "unary_expression" => return of(field!(node, "operand"), pool),
        "binary_expression" => return binary(node, source, pool, depth),
        "instanceof_expression" | "true" | "false" => return value("boolean", pool),
        "string_literal" => return pool.value_of(&["java", "lang", "String"]),
        "character_literal" => return value("char", pool),
        "decimal_integer_literal"
        | "hex_integer_literal"
        | "octal_integer_literal"
        | "binary_integer_literal" => {
            let is_long = text(node).ends_with(['l', 'L']);
            return value(if is_long { "long" } else { "int" }, pool);
        }
        "decimal_floating_point_literal" | "hex_floating_point_literal" => {
            let is_float = text(node).ends_with(['f', 'F']);
            return value(if is_float { "float" } else { "double" }, pool);
        }
        "null_literal" => return value("null", pool),
        "class_literal" => {
            let of = children(node).first().map_or(0, |&n| ty(n, source, pool, depth + 1));
            let path = ["java", "lang", "Class"].map(|name| pool.name(name)).to_vec();
            Expr::OfType(pool.ty(Type::Named(path, vec![of])))
        }
        "array_creation_expression" => {
            let mut of = field!(node, "type").map_or(0, |node| ty(node, source, pool, depth + 1));
            let mut cursor = node.walk();
            for part in node.children(&mut cursor) {
                let count = match part.kind() {
                    "dimensions" => dimensions(Some(part), source),
                    "dimensions_expr" => 1,
                    _ => 0,
                };
                for _ in 0..count {
                    of = pool.ty(Type::Array(of));
                }
            }
            Expr::OfType(of)
        }
        "lambda_expression" => {
            let count = lambda_parameters(node).0.len();
            let function = pool.expr(Expr::Lambda(0));
            Expr::Part(function, u8::try_from(count).unwrap_or(ANY_ARITY))
        }
        "method_reference" => {
            let function = pool.expr(Expr::Lambda(0));
            Expr::Part(function, ANY_ARITY)
        }
        _ => return 0,
    };
    pool.expr(shape)
}

/// Whether `super` stands between the object and the name of a call.
fn is_qualified_super(node: Node<'_>) -> bool {
    (1..4).any(|at| node.child(at).is_some_and(|child| child.kind() == "super"))
}

fn binary<'t>(node: Node<'t>, source: &'t str, pool: &mut Interner<'t>, depth: u8) -> ExprId {
    let operator = field!(node, "operator").map_or("", |o| o.kind());
    match operator {
        "+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" => {}
        "<<" | ">>" | ">>>" => {
            let left = field!(node, "left");
            return left.map_or(0, |left| expr(left, source, pool, depth + 1));
        }
        _ => return pool.value_of(&["boolean"]),
    }
    let side = |name: &str, pool: &mut Interner<'t>| {
        node.child_by_field_name(name).map_or(0, |side| expr(side, source, pool, depth + 1))
    };
    let (left, right) = (side("left", pool), side("right", pool));
    let string = pool.value_of(&["java", "lang", "String"]);
    let number = pool.value_of(&["int"]);
    if operator == "+" && (left == string || right == string) {
        string
    } else if left == right || right == number {
        left
    } else if left == number {
        right
    } else {
        0
    }
}

/// A type by its dotted path.
fn dotted<'t>(path: &'t str, pool: &mut Interner<'t>) -> TypeId {
    let names = path.split('.').map(|part| pool.name(part.trim())).collect();
    pool.ty(Type::Named(names, Vec::new()))
}

/// How many pairs of brackets there are.
pub(super) fn dimensions(node: Option<Node<'_>>, source: &str) -> usize {
    let text = node.and_then(|node| source.get(node.byte_range())).unwrap_or_default();
    text.bytes().filter(|&c| c == b'[').count()
}

/// The names of a path of types, without arguments.
pub(super) fn type_names<'t>(node: Node<'t>, names: &mut Vec<Node<'t>>) {
    // A path can be as deep as a file is long.
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match node.kind() {
            "type_identifier" | "identifier" => names.push(node),
            "scoped_type_identifier" | "generic_type" | "annotated_type" | "scoped_identifier" => {
                open.extend(children(node).into_iter().rev());
            }
            _ => {}
        }
    }
}

/// A type and brackets behind a name.
pub(super) fn ty_with<'t>(
    node: Option<Node<'t>>,
    brackets: Option<Node<'t>>,
    source: &'t str,
    pool: &mut Interner<'t>,
) -> TypeId {
    let mut of = node.map_or(0, |node| ty(node, source, pool, 0));
    for _ in 0..dimensions(brackets, source) {
        of = pool.ty(Type::Array(of));
    }
    of
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
            let name = text(node);
            if name == "var" { 0 } else { dotted(name, pool) }
        }
        "integral_type" | "floating_point_type" | "boolean_type" => dotted(text(node), pool),
        "scoped_type_identifier" => {
            let mut names = Vec::new();
            type_names(node, &mut names);
            let names = names.into_iter().map(|name| pool.name(text(name))).collect();
            pool.ty(Type::Named(names, Vec::new()))
        }
        "generic_type" => {
            let mut names = Vec::new();
            let mut arguments = Vec::new();
            for child in children(node) {
                if child.kind() == "type_arguments" {
                    let all = children(child).into_iter();
                    arguments.extend(all.map(|n| ty(n, source, pool, depth + 1)));
                } else {
                    type_names(child, &mut names);
                }
            }
            let names = names.into_iter().map(|name| pool.name(text(name))).collect();
            pool.ty(Type::Named(names, arguments))
        }
        "array_type" => {
            let element = field!(node, "element");
            let mut of = element.map_or(0, |node| ty(node, source, pool, depth + 1));
            for _ in 0..dimensions(field!(node, "dimensions"), source) {
                of = pool.ty(Type::Array(of));
            }
            of
        }
        "annotated_type" | "wildcard" => {
            let of = children(node).into_iter().rev().find(|n| !n.kind().contains("annotation"));
            of.map_or(0, |node| ty(node, source, pool, depth + 1))
        }
        "catch_type" => {
            let parts: Vec<TypeId> =
                children(node).into_iter().map(|n| ty(n, source, pool, depth + 1)).collect();
            match parts[..] {
                [one] => one,
                _ => pool.ty(Type::Union(parts)),
            }
        }
        _ => 0,
    }
}
