//! Python: classes, functions and their annotations, imports, assignments, comprehensions.

use onyx_protocol::code::{Expr, Parameter, ReferenceKind, ScopeKind, Type, Within, flags};
use tree_sitter::Node;

use super::python_bind::{as_pattern, assignment, bind_pattern, returned};
use super::python_import::{import, import_from, public_names};
use super::python_shape::{expr, ty};
use super::{Builder, Extractor, Interner, Step};

pub(super) struct Python;

const FUNCTION: u8 = 1;
const CLASS: u8 = 2;
const LAMBDA: u8 = 3;
const COMPREHENSION: u8 = 4;
const CALL: u8 = 5;
const ATTRIBUTE: u8 = 6;
const IDENTIFIER: u8 = 7;
const IMPORT: u8 = 8;
const IMPORT_FROM: u8 = 9;
const ASSIGNMENT: u8 = 10;
const NAMED: u8 = 11;
const FOR: u8 = 12;
const AS_PATTERN: u8 = 13;
const RETURN: u8 = 14;
const YIELD: u8 = 15;
const TYPE: u8 = 16;
const BLOCK: u8 = 17;
const NAMES_ONLY: u8 = 18;
const DECORATED: u8 = 19;
const CASE: u8 = 20;
const TYPE_ALIAS: u8 = 21;
const AUGMENTED: u8 = 22;

impl Extractor for Python {
    fn tag(&self, kind: &str) -> u8 {
        match kind {
            "function_definition" => FUNCTION,
            "class_definition" => CLASS,
            "lambda" => LAMBDA,
            "list_comprehension"
            | "set_comprehension"
            | "dictionary_comprehension"
            | "generator_expression" => COMPREHENSION,
            "call" => CALL,
            "attribute" => ATTRIBUTE,
            "identifier" => IDENTIFIER,
            "import_statement" => IMPORT,
            "import_from_statement" => IMPORT_FROM,
            "assignment" => ASSIGNMENT,
            "augmented_assignment" => AUGMENTED,
            "named_expression" => NAMED,
            "for_statement" | "for_in_clause" => FOR,
            "as_pattern" => AS_PATTERN,
            "return_statement" => RETURN,
            "yield" => YIELD,
            "type" => TYPE,
            "block" => BLOCK,
            "global_statement" | "nonlocal_statement" | "future_import_statement" => NAMES_ONLY,
            "decorated_definition" => DECORATED,
            "case_clause" => CASE,
            "type_alias_statement" => TYPE_ALIAS,
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
            CLASS => class(b, node),
            LAMBDA => {
                b.open(ScopeKind::Function, Within::FILE);
                if let Some(parameters) = field!(node, "parameters") {
                    for_names(parameters, &mut |name| {
                        let text = b.text(name);
                        b.bind(text, 0, 0, name.start_position());
                    });
                }
            }
            COMPREHENSION => b.open(ScopeKind::Block, Within::FILE),
            BLOCK => {
                // Those of functions and classes are their own scopes.
                let is_branch =
                    !matches!(b.parent_kind(), "function_definition" | "class_definition");
                if is_branch {
                    b.open(ScopeKind::Block, Within::FILE);
                }
            }
            CALL => {
                if let Some(callee) = field!(node, "function") {
                    let target = expr(node, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Call, target, name_node(callee));
                    b.done = callee.id();
                    public_names(b, callee, node);
                }
            }
            ATTRIBUTE => {
                if b.done != node.id() && !is_stored(b, field) {
                    let target = expr(node, b.source, &mut b.own, 0);
                    let kind = if b.in_type { ReferenceKind::Type } else { ReferenceKind::Read };
                    b.refer(kind, target, name_node(node));
                }
            }
            IDENTIFIER => identifier(b, node, field),
            IMPORT => {
                import(b, node);
                return Step::Skip;
            }
            IMPORT_FROM => {
                import_from(b, node);
                return Step::Skip;
            }
            NAMES_ONLY => return Step::Skip,
            ASSIGNMENT | AUGMENTED => assignment(b, node, tag == AUGMENTED),
            NAMED => {
                let (name, value) = (field!(node, "name"), field!(node, "value"));
                if let (Some(name), Some(value)) = (name, value) {
                    let value = expr(value, b.source, &mut b.own, 0);
                    let text = b.text(name);
                    b.bind(text, 0, value, name.end_position());
                }
            }
            FOR => {
                let (left, right) = (field!(node, "left"), field!(node, "right"));
                if let (Some(left), Some(right)) = (left, right) {
                    let of = expr(right, b.source, &mut b.own, 0);
                    let element = b.own.expr(Expr::Element(of));
                    // A comprehension's value stands before its clauses.
                    let from = match b.parent().filter(|_| node.kind() == "for_in_clause") {
                        Some(comprehension) => comprehension.start_position(),
                        None => left.start_position(),
                    };
                    bind_pattern(b, left, element, from);
                }
            }
            AS_PATTERN => as_pattern(b, node),
            RETURN => returned(b, node),
            YIELD => {
                if let Some(number) = b.within.number() {
                    b.declared(number).flags |= flags::GENERATOR;
                }
            }
            TYPE => b.in_type = true,
            DECORATED => {}
            CASE => {
                if let Some(pattern) = node.named_child(0) {
                    let at = pattern.start_position();
                    for_names(pattern, &mut |name| {
                        let text = b.text(name);
                        b.bind(text, 0, 0, at);
                    });
                }
            }
            _ => {
                if let (Some(number), Some(right)) = (b.definition(node), field!(node, "right")) {
                    b.declared(number).ty = 0;
                    let ty = ty(right, b.source, &mut b.shared, 0);
                    b.declared(number).ty = ty;
                }
            }
        }
        Step::Into
    }
}

/// The node whose position a reference to `node` has: its last name.
fn name_node<'t>(node: Node<'t>) -> Node<'t> {
    field!(node, "attribute").unwrap_or(node)
}

/// Whether an expression is assigned to, not read.
fn is_stored(b: &Builder<'_, '_>, field: Option<&str>) -> bool {
    let parent = b.parent_kind();
    match field {
        Some("left") => matches!(
            parent,
            "assignment" | "augmented_assignment" | "for_statement" | "for_in_clause"
        ),
        Some("alias") => true,
        _ => matches!(
            parent,
            "pattern_list"
                | "tuple_pattern"
                | "list_pattern"
                | "list_splat_pattern"
                | "dictionary_splat_pattern"
                | "as_pattern_target"
        ),
    }
}

fn identifier(b: &mut Builder<'_, '_>, node: Node<'_>, field: Option<&str>) {
    if b.done == node.id() {
        return;
    }
    let parent = b.parent_kind();
    let is_name = match field {
        Some("name") => true,
        Some("attribute") => true,
        Some("left") => is_stored(b, field),
        _ => {
            matches!(
                parent,
                "parameters"
                    | "lambda_parameters"
                    | "typed_parameter"
                    | "dotted_name"
                    | "keyword_pattern"
                    | "class_pattern"
                    | "keyword_separator"
            ) || is_stored(b, field)
        }
    };
    if is_name && !(field == Some("name") && parent == "member_type") {
        return;
    }
    let text = b.text(node);
    let target = b.own.named_expr(text);
    let kind = if b.in_type { ReferenceKind::Type } else { ReferenceKind::Read };
    b.refer(kind, target, node);
}

/// All identifiers that a pattern or parameter list binds.
fn for_names<'t>(node: Node<'t>, f: &mut impl FnMut(Node<'t>)) {
    if node.kind() == "identifier" {
        f(node);
        return;
    }
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor) {
        match child.kind() {
            "identifier" => f(child),
            "default_parameter" | "typed_default_parameter" => {
                if let Some(name) = field!(child, "name") {
                    f(name);
                }
            }
            "typed_parameter"
            | "list_splat_pattern"
            | "dictionary_splat_pattern"
            | "tuple_pattern"
            | "list_pattern"
            | "pattern_list"
            | "case_pattern"
            | "as_pattern"
            | "as_pattern_target"
            | "union_pattern"
            | "splat_pattern"
            | "dict_pattern" => {
                let mut inner = child.walk();
                for part in child.named_children(&mut inner) {
                    if part.kind() == "identifier" {
                        f(part);
                        // The rest of a typed parameter is its type.
                        if child.kind() == "typed_parameter" {
                            break;
                        }
                    } else if part.kind() == "dotted_name" && part.named_child_count() == 1 {
                        part.named_child(0).map(&mut *f);
                    } else if part.kind().ends_with("pattern") && child.kind() != "typed_parameter"
                    {
                        part.named_child(0).filter(|n| n.kind() == "identifier").map(&mut *f);
                    }
                }
            }
            _ => {}
        }
    }
}

fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    let in_class = b.holder().kind == ScopeKind::Type;
    b.open(ScopeKind::Function, number.map_or(Within::FILE, Within::definition));
    if let Some(name) = field!(node, "name").filter(|_| in_class && number.is_some()) {
        b.refer(ReferenceKind::Override, 0, name);
    }
    let source = b.source;
    let decorators = decorators(b.parent(), source);
    let mut bits = 0;
    for decorator in &decorators {
        let path = decorator.split('(').next().unwrap_or_default().trim();
        bits |= match path.rsplit('.').next().unwrap_or_default() {
            "staticmethod" => flags::STATIC,
            "classmethod" | "abstractclassmethod" => flags::CLASS_METHOD,
            "property" | "cached_property" | "abstractproperty" | "setter" | "getter"
            | "deleter" | "classproperty" => flags::PROPERTY,
            "contextmanager" | "asynccontextmanager" => flags::CONTEXT,
            "abstractmethod" => flags::ABSTRACT,
            "overload" => flags::ELSEWHERE,
            "wraps" | "lru_cache" | "cache" | "override" | "final" | "deprecated"
            | "singledispatch" | "no_type_check" | "typing_only" | "total_ordering" => 0,
            _ => flags::REPLACED,
        };
    }
    let first = node.child(0).is_some_and(|child| child.kind() == "async");
    bits |= if first { flags::ASYNC } else { 0 };
    let name = field!(node, "name").map_or("", |name| b.text(name));
    if in_class && matches!(name, "__new__" | "__init_subclass__" | "__class_getitem__") {
        bits |= flags::CLASS_METHOD;
    }
    if in_class && bits & flags::STATIC == 0 {
        bits |= flags::RECEIVER;
    }
    let mut parameters = Vec::new();
    if let Some(list) = field!(node, "parameters") {
        let mut cursor = list.walk();
        let children: Vec<Node<'t>> = list.named_children(&mut cursor).collect();
        for child in children {
            let (mut name, mut annotation, mut default) = (None, None, None);
            let mut many = None;
            match child.kind() {
                "identifier" => name = Some(child),
                "default_parameter" | "typed_default_parameter" => {
                    name = field!(child, "name");
                    annotation = field!(child, "type");
                    default = field!(child, "value");
                }
                "typed_parameter" => {
                    name = child.named_child(0);
                    annotation = field!(child, "type");
                }
                "list_splat_pattern" | "dictionary_splat_pattern" => name = Some(child),
                _ => {}
            }
            if let Some(splat) = name.filter(|n| n.kind().ends_with("splat_pattern")) {
                bits |= flags::VARIADIC;
                many = Some(if splat.kind() == "list_splat_pattern" { "tuple" } else { "dict" });
                name = splat.named_child(0);
            }
            let Some(name) = name.filter(|n| n.kind() == "identifier") else { continue };
            let text = b.text(name);
            let shape = |pool: &mut Interner<'t>| {
                let ty = annotation.map_or(0, |node| ty(node, source, pool, 0));
                match many {
                    None => ty,
                    Some("tuple") => pool.ty(Type::Array(ty)),
                    Some(_) => {
                        let path = vec![pool.name("builtins"), pool.name("dict")];
                        let key = pool.named_type(&["builtins", "str"]);
                        pool.ty(Type::Named(path, vec![key, ty]))
                    }
                }
            };
            let shared = shape(&mut b.shared);
            let value = default.map_or(0, |node| expr(node, source, &mut b.shared, 0));
            let parameter = Parameter {
                name: b.shared.name(text),
                ty: shared,
                default: if shared == 0 { value } else { 0 },
                optional: default.is_some() || many.is_some(),
            };
            parameters.push(parameter);
            if number.is_none() {
                let ty = shape(&mut b.own);
                b.bind(text, ty, 0, name.start_position());
            }
        }
    }
    let returns = field!(node, "return_type");
    let returns = returns.map_or(0, |node| ty(node, source, &mut b.shared, 0));
    if let Some(number) = number {
        let declared = b.declared(number);
        declared.flags |= bits;
        declared.parameters = parameters;
        declared.ty = returns;
    }
}

/// The decorators of a definition, as written.
fn decorators<'t>(parent: Option<Node<'t>>, source: &'t str) -> Vec<&'t str> {
    let Some(parent) = parent.filter(|p| p.kind() == "decorated_definition") else {
        return Vec::new();
    };
    let mut cursor = parent.walk();
    let decorators = parent.named_children(&mut cursor).filter(|n| n.kind() == "decorator");
    let text = |n: Node<'t>| source.get(n.byte_range()).unwrap_or_default();
    decorators.map(|n| text(n).trim_start_matches('@')).collect()
}

fn class<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    let mut bases = Vec::new();
    if let Some(list) = field!(node, "superclasses") {
        let mut cursor = list.walk();
        let children: Vec<Node<'t>> = list.named_children(&mut cursor).collect();
        for child in children {
            if matches!(child.kind(), "keyword_argument" | "comment" | "list_splat") {
                continue;
            }
            let base = ty(child, b.source, &mut b.shared, 0);
            bases.push(base);
            let bare = if child.kind() == "subscript" {
                field!(child, "value").unwrap_or(child)
            } else {
                child
            };
            if matches!(bare.kind(), "identifier" | "attribute") {
                let target = expr(bare, b.source, &mut b.own, 0);
                let outer = b.within;
                if let Some(number) = number {
                    b.within = Within::definition(number);
                }
                b.refer(ReferenceKind::Inherit, target, name_node(bare));
                b.within = outer;
            }
        }
    }
    let decorated = !decorators(b.parent(), b.source).is_empty();
    b.open(ScopeKind::Type, number.map_or(Within::FILE, Within::definition));
    if let Some(number) = number {
        let declared = b.declared(number);
        declared.bases = bases;
        if decorated {
            declared.flags |= flags::REPLACED;
        }
    }
}
