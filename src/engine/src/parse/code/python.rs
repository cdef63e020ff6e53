//! Python: classes, functions and their annotations, imports, assignments, comprehensions.

use onyx_protocol::code::{
    Attribute, Export, Expr, ExprId, Parameter, ReferenceKind, ScopeKind, Type, TypeId, Within,
    flags,
};
use tree_sitter::Node;

use super::builder::ImportText;
use super::{Builder, Extractor, Interner, MAX_SHAPE, Step};

/// Most values kept of one function's returns.
const MAX_VALUES: usize = 6;

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

fn import<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    for child in children {
        let (path, alias) = match child.kind() {
            "dotted_name" => (child, None),
            "aliased_import" => {
                let Some(path) = field!(child, "name") else { continue };
                (path, field!(child, "alias"))
            }
            _ => continue,
        };
        let text = b.text(path);
        let local = match alias {
            Some(alias) => b.text(alias),
            None => text.split('.').next().unwrap_or(text).trim(),
        };
        let module = squeezed(text);
        // `import a.b` binds a, and a.b is there as its member.
        let flags = flags::MODULE | if alias.is_none() { flags::OF_TYPE } else { 0 };
        b.import(ImportText { local, module, flags, ..ImportText::default() }, path);
    }
}

/// A dotted name without white space.
fn squeezed(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains(char::is_whitespace) {
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().into()
    } else {
        text.into()
    }
}

fn import_from<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(module) = field!(node, "module_name") else { return };
    let text = b.text(module);
    let path = text.trim_start_matches(['.', ' ']);
    let dots = text[..text.len() - path.len()].bytes().filter(|&c| c == b'.').count();
    let level = u8::try_from(dots).unwrap_or(u8::MAX);
    let mut cursor = node.walk();
    let children: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    for child in children {
        if child.id() == module.id() {
            continue;
        }
        let (name, alias, flags) = match child.kind() {
            "dotted_name" => (b.text(child), None, 0),
            "aliased_import" => {
                let Some(name) = field!(child, "name") else { continue };
                (b.text(name), field!(child, "alias"), 0)
            }
            "wildcard_import" => ("", None, flags::GLOB),
            _ => continue,
        };
        let local = alias.map_or(name, |alias| b.text(alias));
        let flags = flags | flags::REEXPORT;
        b.import(ImportText { local, module: squeezed(path), name, level, flags }, child);
    }
}

fn assignment<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, augmented: bool) {
    let Some(left) = field!(node, "left") else { return };
    let right = field!(node, "right");
    let annotation = field!(node, "type");
    // `a = b = value`
    let mut right = right;
    while let Some(inner) = right.filter(|r| r.kind() == "assignment") {
        right = field!(inner, "right");
    }
    let source = b.source;
    if b.is_shared() {
        let value = match right {
            Some(right) if !augmented => expr(right, source, &mut b.shared, 0),
            _ => 0,
        };
        let ty = annotation.map_or(0, |node| ty(node, source, &mut b.shared, 0));
        if b.holder().kind == ScopeKind::File
            && left.kind() == "identifier"
            && b.text(left) == "__all__"
        {
            let names = right.map(|right| strings(right, source)).unwrap_or_default();
            b.exports_all |= !augmented;
            public(b, names);
        }
        let owner = b.holder().within;
        share_pattern(b, node, left, value, ty, owner, Within::FILE);
        return;
    }
    if left.kind() == "attribute" {
        self_attribute(b, node, left, right, annotation);
        return;
    }
    if augmented {
        return;
    }
    let value = right.map_or(0, |right| expr(right, source, &mut b.own, 0));
    let ty = annotation.map_or(0, |node| ty(node, source, &mut b.own, 0));
    if left.kind() == "identifier" {
        if value != 0 || ty != 0 || right.is_some() {
            let text = b.text(left);
            b.bind(text, ty, value, node.end_position());
        }
    } else {
        bind_pattern(b, left, value, node.end_position());
        let mut cursor = left.walk();
        let parts: Vec<Node<'t>> = left.named_children(&mut cursor).collect();
        for part in parts.into_iter().filter(|part| part.kind() == "attribute") {
            self_attribute(b, node, part, None, None);
        }
    }
}

/// Names that a pattern at the top of a file or class binds.
fn share_pattern<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    left: Node<'t>,
    value: ExprId,
    ty: TypeId,
    owner: Within,
    within: Within,
) {
    match left.kind() {
        "identifier" => {
            let name = b.text(left);
            match b.definition_named(node, name) {
                Some(number) => {
                    let declared = b.declared(number);
                    declared.ty = ty;
                    declared.values = if value == 0 { Vec::new() } else { vec![value] };
                }
                None if value != 0 || ty != 0 => {
                    let name = b.shared.name(name);
                    b.attributes.push(Attribute { owner, name, ty, value, within });
                }
                None => {}
            }
        }
        "pattern_list" | "tuple_pattern" | "list_pattern" => {
            let mut cursor = left.walk();
            let parts: Vec<Node<'t>> = left.named_children(&mut cursor).collect();
            for (index, part) in (0_u8..).zip(parts) {
                let value = if value == 0 { 0 } else { b.shared.expr(Expr::Part(value, index)) };
                share_pattern(b, node, part, value, 0, owner, within);
            }
        }
        _ => {}
    }
}

/// `self.name = value` in a method.
fn self_attribute<'t>(
    b: &mut Builder<'_, 't>,
    node: Node<'t>,
    left: Node<'t>,
    right: Option<Node<'t>>,
    annotation: Option<Node<'t>>,
) {
    let (Some(object), Some(name)) = (field!(left, "object"), field!(left, "attribute")) else {
        return;
    };
    let Some(method) = b.within.number() else { return };
    let facts = b.facts(method);
    let is_method = b.declared[method as usize].flags & flags::RECEIVER != 0;
    let Some(class) = facts.parent.filter(|_| is_method) else { return };
    let receiver = b.declared[method as usize].parameters.first().map_or(0, |p| p.name);
    let object = b.text(object);
    if receiver == 0 || b.shared.name(object) != receiver {
        return;
    }
    let source = b.source;
    let value = right.map_or(0, |right| expr(right, source, &mut b.shared, 0));
    let ty = annotation.map_or(0, |node| ty(node, source, &mut b.shared, 0));
    let text = b.text(name);
    if let Some(number) = b.definition_named(node, text) {
        b.declared(number).ty = ty;
    }
    let name = b.shared.name(text);
    let (owner, within) = (Within::definition(class), b.within);
    b.attributes.push(Attribute { owner, name, ty, value, within });
}

/// Names that a pattern in a function binds.
fn bind_pattern<'t>(
    b: &mut Builder<'_, 't>,
    left: Node<'t>,
    value: ExprId,
    from: tree_sitter::Point,
) {
    match left.kind() {
        "identifier" => {
            let text = b.text(left);
            b.bind(text, 0, value, from);
        }
        "pattern_list"
        | "tuple_pattern"
        | "list_pattern"
        | "parenthesized_expression"
        | "tuple" => {
            let mut cursor = left.walk();
            let parts: Vec<Node<'t>> = left.named_children(&mut cursor).collect();
            for (index, part) in (0_u8..).zip(parts) {
                let value = if value == 0 { 0 } else { b.own.expr(Expr::Part(value, index)) };
                bind_pattern(b, part, value, from);
            }
        }
        "list_splat_pattern" => {
            if let Some(name) = left.named_child(0) {
                bind_pattern(b, name, 0, from);
            }
        }
        _ => {}
    }
}

/// `with x as y`, `except E as e`.
fn as_pattern<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let (Some(of), Some(alias)) = (node.named_child(0), field!(node, "alias")) else {
        return;
    };
    let Some(target) = alias.named_child(0) else { return };
    let parent = b.parent_kind();
    let mut value = expr(of, b.source, &mut b.own, 0);
    match parent {
        "with_item" => value = b.own.expr(Expr::Enter(value)),
        "except_clause" | "except_group_clause" => {
            // A tuple of classes gives a value of one of them.
            value = match b.own.get(value).clone() {
                Expr::Tuple(_) => 0,
                _ => b.own.expr(Expr::Call(value, 0)),
            };
        }
        _ => {}
    }
    bind_pattern(b, target, value, target.start_position());
}

fn returned<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(value) = node.named_child(0).filter(|n| n.kind() != "none") else { return };
    let holder = b.holder();
    let Some(number) = holder.within.number().filter(|_| holder.kind == ScopeKind::Function) else {
        return;
    };
    let declared = &b.declared[number as usize];
    if declared.ty != 0 || declared.values.len() >= MAX_VALUES {
        return;
    }
    let value = expr(value, b.source, &mut b.shared, 0);
    let value = local_value(b, value);
    let values = &mut b.declared(number).values;
    if !values.contains(&value) {
        values.push(value);
    }
}

/// A returned local is what it was last set to, as far as others can see that.
fn local_value(b: &mut Builder<'_, '_>, value: ExprId) -> ExprId {
    let &Expr::Name(name) = b.shared.get(value) else { return value };
    let text = b.shared.text(name).to_owned();
    let own = b.own.name(text);
    let scope = b.scope;
    let found = b
        .bindings
        .iter()
        .rev()
        .take(200)
        .find(|binding| binding.name == own && b.is_inside(scope, binding.scope));
    match found {
        Some(binding) if binding.ty == 0 => {
            let value = binding.value;
            b.shared.copy(&b.own, value)
        }
        Some(_) => 0,
        None => value,
    }
}

/// `__all__.extend([...])`, `__all__.append("x")`
fn public_names<'t>(b: &mut Builder<'_, 't>, callee: Node<'t>, call: Node<'t>) {
    if callee.kind() != "attribute" || b.scope != 0 {
        return;
    }
    let object = field!(callee, "object").map_or("", |object| b.text(object));
    if object == "__all__"
        && let Some(arguments) = field!(call, "arguments")
    {
        let names = strings(arguments, b.source);
        public(b, names);
    }
}

fn public<'t>(b: &mut Builder<'_, 't>, names: Vec<&'t str>) {
    for name in names {
        let value = b.shared.named_expr(name);
        let name = b.shared.name(name);
        b.exports.push(Export { name, value });
    }
}

/// The strings in a list or tuple.
fn strings<'t>(node: Node<'t>, source: &'t str) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor) {
        match child.kind() {
            "string" => found.extend(content(child, source)),
            "list" | "tuple" => {
                let mut inner = child.walk();
                let strings = child.named_children(&mut inner).filter(|n| n.kind() == "string");
                found.extend(strings.filter_map(|n| content(n, source)));
            }
            _ => {}
        }
    }
    found
}

/// What is between the quotes.
fn content<'t>(string: Node<'_>, source: &'t str) -> Option<&'t str> {
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
