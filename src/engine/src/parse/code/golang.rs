//! Go: receivers, embedded types, block scopes, closures, composite literals.

use onyx_protocol::code::{
    Expr, ExprId, Generic, Parameter, ReferenceKind, ScopeKind, Type, TypeId, Within, flags,
};
use onyx_protocol::facts::NodeKind;
use tree_sitter::{Node, Point};

use super::builder::ImportText;
use super::golang_shape::{expr, literal_of, named_of, result_type, ty, type_expr};
use super::{Builder, Extractor, Interner, Step};

pub(super) struct Go;

const FUNCTION: u8 = 1;
const LITERAL: u8 = 2;
const TYPE: u8 = 3;
const FIELD: u8 = 4;
const METHOD_ELEMENT: u8 = 5;
const TYPE_ELEMENT: u8 = 6;
const IMPORT: u8 = 7;
const VALUE: u8 = 8;
const SHORT: u8 = 9;
const BLOCK: u8 = 10;
const RANGE: u8 = 11;
const TYPE_CASE: u8 = 12;
const RECEIVE: u8 = 13;
const CALL: u8 = 14;
const CONVERSION: u8 = 15;
const SELECTOR: u8 = 16;
const QUALIFIED: u8 = 17;
const IDENTIFIER: u8 = 18;
const TYPE_NAME: u8 = 19;
const COMPOSITE: u8 = 20;
const ELEMENT: u8 = 21;
const LIST: u8 = 22;
const IGNORED: u8 = 23;
const CONSTANTS: u8 = 24;
const CONSTANT: u8 = 25;

impl Extractor for Go {
    fn tag(&self, kind: &str) -> u8 {
        match kind {
            "function_declaration" | "method_declaration" => FUNCTION,
            "func_literal" => LITERAL,
            "type_spec" | "type_alias" => TYPE,
            "field_declaration" => FIELD,
            "method_elem" => METHOD_ELEMENT,
            "type_elem" => TYPE_ELEMENT,
            "import_spec" => IMPORT,
            "var_spec" => VALUE,
            "const_declaration" => CONSTANTS,
            "const_spec" => CONSTANT,
            "short_var_declaration" => SHORT,
            "block"
            | "if_statement"
            | "for_statement"
            | "expression_switch_statement"
            | "type_switch_statement"
            | "expression_case"
            | "default_case"
            | "communication_case" => BLOCK,
            "type_case" => TYPE_CASE,
            "range_clause" => RANGE,
            "receive_statement" => RECEIVE,
            "call_expression" => CALL,
            "type_conversion_expression" => CONVERSION,
            "selector_expression" => SELECTOR,
            "qualified_type" => QUALIFIED,
            "identifier" => IDENTIFIER,
            "type_identifier" => TYPE_NAME,
            "composite_literal" => COMPOSITE,
            "literal_element" => ELEMENT,
            "expression_list" => LIST,
            "package_clause"
            | "comment"
            | "interpreted_string_literal"
            | "raw_string_literal"
            | "label_name"
            | "labeled_name" => IGNORED,
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
            LITERAL => literal(b, node),
            TYPE => type_spec(b, node),
            FIELD => field_declaration(b, node),
            METHOD_ELEMENT => {
                if let Some(number) = b.definition(node) {
                    signature(b, node, number, flags::ABSTRACT);
                    b.within = Within::definition(number);
                }
            }
            TYPE_ELEMENT => type_element(b, node),
            IMPORT => {
                import(b, node);
                return Step::Skip;
            }
            VALUE => {
                let of = field!(node, "type");
                value(b, node, of, &children(field!(node, "value")));
                within(b, node);
            }
            CONSTANTS => constants(b, node),
            CONSTANT => within(b, node),
            SHORT => {
                let left = field!(node, "left");
                let names = children(left);
                b.done = left.map_or(0, |n| n.id());
                let values = children(field!(node, "right"));
                if let Some(number) = b.definition(node).filter(|&n| is_function(b, n)) {
                    let value = b.own.expr(Expr::Definition(number));
                    if let Some(name) = names.first() {
                        bind(b, *name, 0, value, node.end_position());
                    }
                } else {
                    bind_all(b, &names, 0, &values, node.end_position());
                }
            }
            BLOCK => {
                // The block of a function or loop is in its scope.
                if field != Some("body") {
                    b.open(ScopeKind::Block, Within::FILE);
                }
            }
            TYPE_CASE => type_case(b, node),
            RANGE => range(b, node),
            RECEIVE => {
                if has_define(node) {
                    let left = field!(node, "left");
                    let names = children(left);
                    b.done = left.map_or(0, |n| n.id());
                    let values: Vec<Node<'t>> = field!(node, "right").into_iter().collect();
                    bind_all(b, &names, 0, &values, node.end_position());
                }
            }
            CALL => call(b, node),
            CONVERSION => {
                // `f[T](x)` is a call or a conversion.
                let of = field!(node, "type").filter(|n| n.kind() == "generic_type");
                if let Some(of) = of.and_then(|n| field!(n, "type")) {
                    let target = expr(node, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Call, target, name_node(of));
                    b.done = of.id();
                }
            }
            SELECTOR => {
                if b.done != node.id() {
                    let target = expr(node, b.source, &mut b.own, 0);
                    b.refer(ReferenceKind::Read, target, name_node(node));
                }
            }
            QUALIFIED => {
                if b.done != node.id() {
                    let target = type_expr(node, b.source, &mut b.own);
                    b.refer(ReferenceKind::Type, target, name_node(node));
                }
                return Step::Skip;
            }
            IDENTIFIER => {
                if b.done != node.id() && field != Some("name") {
                    let text = b.text(node);
                    if text != "_" {
                        let target = b.own.named_expr(text);
                        b.refer(ReferenceKind::Read, target, node);
                    }
                }
            }
            TYPE_NAME => {
                if b.done != node.id() && field != Some("name") {
                    let target = b.own.named_expr(b.text(node));
                    b.refer(ReferenceKind::Type, target, node);
                }
            }
            COMPOSITE => {
                let of = field!(node, "type").map(bare_type);
                if let Some(of) =
                    of.filter(|n| matches!(n.kind(), "type_identifier" | "qualified_type"))
                {
                    let target = type_expr(of, b.source, &mut b.own);
                    b.refer(ReferenceKind::Instantiate, target, name_node(of));
                    b.done = of.id();
                }
            }
            ELEMENT => return element(b, node, field),
            LIST => {
                // The names a statement binds.
                if b.done == node.id() || field == Some("alias") {
                    return Step::Skip;
                }
            }
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

pub(super) fn children(node: Option<Node<'_>>) -> Vec<Node<'_>> {
    let Some(node) = node else { return Vec::new() };
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|n| n.kind() != "comment").collect()
}

pub(super) fn fields<'t>(node: Node<'t>, name: &str) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.children_by_field_name(name, &mut cursor).filter(|n| n.is_named()).collect()
}

/// Whether a clause has `:=`.
fn has_define(node: Node<'_>) -> bool {
    let mut cursor = node.walk();
    node.children(&mut cursor).any(|child| child.kind() == ":=")
}

fn is_function(b: &Builder<'_, '_>, number: u32) -> bool {
    b.facts(number).kind == NodeKind::Function
}

/// A type without its arguments.
pub(super) fn bare_type(node: Node<'_>) -> Node<'_> {
    match node.kind() {
        "generic_type" => field!(node, "type").unwrap_or(node),
        _ => node,
    }
}

fn bind<'t>(b: &mut Builder<'_, 't>, name: Node<'t>, ty: TypeId, value: ExprId, from: Point) {
    let text = b.text(name);
    if text != "_" && name.kind() == "identifier" {
        b.bind(text, ty, value, from);
    }
}

/// Binds names to values, one each or all to the parts of one.
fn bind_all<'t>(
    b: &mut Builder<'_, 't>,
    names: &[Node<'t>],
    ty: TypeId,
    values: &[Node<'t>],
    from: Point,
) {
    let several = names.len() > 1 && values.len() == 1;
    let first = values.first().filter(|_| several).map_or(0, |n| expr(*n, b.source, &mut b.own, 0));
    for (index, name) in names.iter().enumerate() {
        let value = match values.get(index) {
            _ if several => part(&mut b.own, first, index),
            Some(value) => expr(*value, b.source, &mut b.own, 0),
            None => 0,
        };
        bind(b, *name, ty, value, from);
    }
}

fn part(pool: &mut Interner<'_>, of: ExprId, index: usize) -> ExprId {
    match u8::try_from(index) {
        Ok(index) if of != 0 => pool.expr(Expr::Part(of, index)),
        _ => 0,
    }
}

fn function<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    b.open(ScopeKind::Function, number.map_or(Within::FILE, Within::definition));
    let receiver = field!(node, "receiver");
    let receiver = receiver.and_then(|list| children(Some(list)).first().copied());
    if let Some(receiver) = receiver {
        let this = b.own.expr(Expr::SelfRef);
        if let Some(name) = field!(receiver, "name") {
            bind(b, name, 0, this, node.start_position());
        }
    }
    if let Some(number) = number {
        signature(b, node, number, 0);
        if let Some(of) = receiver.and_then(|n| field!(n, "type")) {
            let ty = ty(of, b.source, &mut b.shared, 0);
            let generics = receiver_generics(of, b.source, &mut b.shared);
            let declared = b.declared(number);
            declared.receiver = ty;
            declared.generics = generics;
        }
    }
    results(b, node);
}

/// The names a receiver gives the parameters of its type.
fn receiver_generics<'t>(
    mut of: Node<'t>,
    source: &'t str,
    pool: &mut Interner<'t>,
) -> Vec<Generic> {
    while matches!(of.kind(), "pointer_type" | "parenthesized_type") {
        let Some(inner) = of.named_child(0) else { break };
        of = inner;
    }
    let arguments = children(field!(of, "type_arguments"));
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    arguments
        .into_iter()
        .map(|n| Generic { name: pool.name(text(n)), bounds: Vec::new() })
        .collect()
}

/// Named results are locals.
fn results<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(list) = field!(node, "result").filter(|n| n.kind() == "parameter_list") else {
        return;
    };
    for parameter in children(Some(list)) {
        let names = fields(parameter, "name");
        if names.is_empty() {
            continue;
        }
        let of = field!(parameter, "type");
        let of = of.map_or(0, |n| ty(n, b.source, &mut b.own, 0));
        for name in names {
            bind(b, name, of, 0, node.start_position());
        }
    }
}

/// Parameters, type parameters and result of a definition.
fn signature<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, number: u32, mut bits: u16) {
    let source = b.source;
    let mut parameters = Vec::new();
    for child in children(field!(node, "parameters")) {
        let of = field!(child, "type");
        let mut of = of.map_or(0, |n| ty(n, source, &mut b.shared, 0));
        if child.kind() == "variadic_parameter_declaration" {
            bits |= flags::VARIADIC;
            of = b.shared.ty(Type::Array(of));
        }
        let names = fields(child, "name");
        if names.is_empty() {
            parameters.push(Parameter { ty: of, ..Parameter::default() });
        }
        for name in names {
            let name = b.shared.name(b.text(name));
            parameters.push(Parameter { name, ty: of, ..Parameter::default() });
        }
    }
    let result = field!(node, "result");
    let result = result.map_or(0, |n| result_type(n, source, &mut b.shared, 0));
    let generics = generics(b, node);
    let declared = b.declared(number);
    declared.flags |= bits;
    declared.parameters = parameters;
    declared.ty = result;
    declared.generics = generics;
}

fn generics<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) -> Vec<Generic> {
    let source = b.source;
    let mut generics = Vec::new();
    for child in children(field!(node, "type_parameters")) {
        let bound = field!(child, "type").and_then(|n| n.named_child(0));
        let bound = bound.map_or(0, |n| ty(n, source, &mut b.shared, 0));
        for name in fields(child, "name") {
            let name = b.shared.name(b.text(name));
            let bounds = Some(bound).filter(|&bound| bound != 0).into_iter().collect();
            generics.push(Generic { name, bounds });
        }
    }
    generics
}

/// A function without name, or the one of `name := func() {}` and `var name = func() {}`.
fn literal<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let holder = b.above(1);
    let number = holder.and_then(|n| b.definition(n)).filter(|&n| is_function(b, n));
    b.open(ScopeKind::Function, number.map_or(Within::FILE, Within::definition));
    match number {
        Some(number) => signature(b, node, number, 0),
        None => {
            for child in children(field!(node, "parameters")) {
                let of = field!(child, "type");
                let mut of = of.map_or(0, |n| ty(n, b.source, &mut b.own, 0));
                if child.kind() == "variadic_parameter_declaration" {
                    of = b.own.ty(Type::Array(of));
                }
                for name in fields(child, "name") {
                    // A parameter of an unknown type hides what is around it.
                    bind(b, name, of, 0, node.start_position());
                }
            }
        }
    }
    results(b, node);
}

fn type_spec<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let number = b.definition(node);
    b.open(ScopeKind::Type, number.map_or(Within::FILE, Within::definition));
    let Some(number) = number else { return };
    let source = b.source;
    let generics = generics(b, node);
    let of = field!(node, "type");
    let mut bases = Vec::new();
    let mut bits = 0;
    let mut alias = 0;
    match of.map_or("", |n| n.kind()) {
        "struct_type" => {
            let list = of.and_then(|n| n.named_child(0));
            for field in children(list).into_iter().filter(|n| n.kind() == "field_declaration") {
                if field!(field, "name").is_none()
                    && let Some(of) = field!(field, "type")
                {
                    bases.push(ty(of, source, &mut b.shared, 0));
                }
            }
        }
        "interface_type" => {
            for element in children(of).into_iter().filter(|n| n.kind() == "type_elem") {
                let all = children(Some(element));
                // A union is no interface to be satisfied by methods alone.
                bases.push(match all[..] {
                    [one] => ty(one, source, &mut b.shared, 0),
                    _ => 0,
                });
            }
        }
        _ => {
            alias = of.map_or(0, |n| ty(n, source, &mut b.shared, 0));
            if node.kind() == "type_spec" {
                bits = flags::DISTINCT;
            }
        }
    }
    let kind = b.facts(number).kind;
    let is_file = b.facts(number).parent.is_none();
    let declared = b.declared(number);
    declared.generics = generics;
    declared.bases = bases;
    declared.ty = alias;
    declared.flags |= bits;
    let is_own = kind == NodeKind::Struct || bits != 0;
    if let Some(name) = field!(node, "name").filter(|_| is_own && is_file) {
        b.refer(ReferenceKind::Satisfy, 0, name);
    }
}

fn field_declaration<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(of) = field!(node, "type") else { return };
    let names = fields(node, "name");
    let source = b.source;
    if names.is_empty() {
        if let Some(number) = b.definition(node) {
            let ty = ty(of, source, &mut b.shared, 0);
            let declared = b.declared(number);
            declared.ty = ty;
            declared.flags |= flags::EMBEDDED;
            inherit(b, of);
        }
        return;
    }
    for name in names {
        if let Some(number) = b.definition_named(node, b.text(name)) {
            let ty = ty(of, source, &mut b.shared, 0);
            b.declared(number).ty = ty;
            b.within = Within::definition(number);
        }
    }
}

/// An embedded type.
fn inherit<'t>(b: &mut Builder<'_, 't>, mut of: Node<'t>) {
    while of.kind() == "pointer_type" {
        let Some(inner) = of.named_child(0) else { return };
        of = inner;
    }
    let of = bare_type(of);
    if matches!(of.kind(), "type_identifier" | "qualified_type") {
        let target = named_of(of, b.source, &mut b.own);
        b.refer(ReferenceKind::Inherit, target, name_node(of));
        b.done = of.id();
    }
}

fn type_element<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let is_interface = b.parent_kind() == "interface_type";
    let mut cursor = node.walk();
    let all: Vec<Node<'t>> = node.named_children(&mut cursor).collect();
    if let ([one], true) = (&all[..], is_interface) {
        inherit(b, *one);
    }
}

fn import<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(path) = field!(node, "path") else { return };
    let module = b.text(path).trim_matches(['"', '`']);
    let (local, bits) = match field!(node, "name") {
        Some(name) => match name.kind() {
            "dot" => ("", flags::GLOB),
            "blank_identifier" => ("", 0),
            _ => (b.text(name), 0),
        },
        // The package's own clause says what it is called.
        None => (package_name(module), flags::GUESSED),
    };
    let flags = bits | flags::MODULE;
    b.import(ImportText { local, module: module.into(), flags, ..ImportText::default() }, path);
}

/// The name a package most probably has: `yaml` for `gopkg.in/yaml.v3`, `x` for `a/x/v2`.
fn package_name(path: &str) -> &str {
    let is_version = |text: &str| {
        text.strip_prefix('v')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut parts = path.rsplit('/');
    let last = parts.next().unwrap_or(path);
    let last = if is_version(last) { parts.next().unwrap_or(last) } else { last };
    match last.rsplit_once('.') {
        Some((name, version)) if is_version(version) => name,
        _ => last,
    }
}

/// What is in a declaration belongs to what it declares.
fn within(b: &mut Builder<'_, '_>, node: Node<'_>) {
    if let Some(number) = b.definition(node) {
        b.within = Within::definition(number);
    }
}

/// A `const` declaration: one without type and value repeats those before it.
fn constants<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let mut of = None;
    let mut values = Vec::new();
    for spec in children(Some(node)).into_iter().filter(|n| n.kind() == "const_spec") {
        if let Some(list) = field!(spec, "value") {
            of = field!(spec, "type");
            values = children(Some(list));
        }
        value(b, spec, of, &values);
    }
}

/// One line of `const` and `var`.
fn value<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, of: Option<Node<'t>>, values: &[Node<'t>]) {
    let source = b.source;
    let names = fields(node, "name");
    let Some(number) = b.definition(node) else {
        let of = of.map_or(0, |n| ty(n, source, &mut b.own, 0));
        bind_all(b, &names, of, values, node.end_position());
        return;
    };
    if is_function(b, number) {
        return;
    }
    let of = of.map_or(0, |n| ty(n, source, &mut b.shared, 0));
    let several = names.len() > 1 && values.len() == 1;
    for (index, name) in names.into_iter().enumerate() {
        let value = match values.get(index) {
            _ if several => {
                let whole = expr(values[0], source, &mut b.shared, 0);
                part(&mut b.shared, whole, index)
            }
            Some(value) => expr(*value, source, &mut b.shared, 0),
            None => 0,
        };
        if let Some(number) = b.definition_named(node, b.text(name)) {
            let declared = b.declared(number);
            declared.ty = of;
            declared.values = Some(value).filter(|&v| v != 0).into_iter().collect();
        }
    }
}

fn type_case<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    b.open(ScopeKind::Block, Within::FILE);
    let Some(switch) = b.parent() else { return };
    let alias = children(field!(switch, "alias"));
    let Some(name) = alias.first().copied() else { return };
    let types = fields(node, "type");
    let (of, value) = match types[..] {
        [one] if b.text(one) != "nil" => (ty(one, b.source, &mut b.own, 0), 0),
        _ => {
            let value = field!(switch, "value");
            (0, value.map_or(0, |n| expr(n, b.source, &mut b.own, 0)))
        }
    };
    bind(b, name, of, value, node.start_position());
}

fn range<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let left = field!(node, "left");
    let names = children(left);
    if names.is_empty() || !has_define(node) {
        return;
    }
    b.done = left.map_or(0, |n| n.id());
    let of = field!(node, "right");
    let of = of.map_or(0, |n| expr(n, b.source, &mut b.own, 0));
    for (index, name) in names.into_iter().enumerate() {
        let value = match index {
            _ if of == 0 => 0,
            0 => b.own.expr(Expr::Element(of)),
            _ => b.own.expr(Expr::Index(of)),
        };
        bind(b, name, 0, value, node.end_position());
    }
}

fn call<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let Some(callee) = field!(node, "function") else { return };
    let bare = inner(callee);
    let named = match bare.kind() {
        "index_expression" => field!(bare, "operand").map_or(bare, inner),
        "type_instantiation_expression" => bare.named_child(0).unwrap_or(bare),
        _ => bare,
    };
    if matches!(named.kind(), "func_literal" | "type_assertion_expression") {
        return;
    }
    if bare.id() != callee.id()
        && callee.named_child(0).is_some_and(|n| n.kind() == "unary_expression")
    {
        // `(*T)(x)` converts a pointer and makes nothing.
        return;
    }
    if callee.kind() == "identifier" && b.text(callee) == "new" {
        let of = children(field!(node, "arguments")).first().copied().map(bare_type);
        if let Some(of) = of.filter(|n| matches!(n.kind(), "type_identifier" | "qualified_type")) {
            let target = type_expr(of, b.source, &mut b.own);
            b.refer(ReferenceKind::Instantiate, target, name_node(of));
            b.done = of.id();
            return;
        }
    }
    let count = field!(node, "arguments").map_or(0, |n| n.named_child_count());
    let function = expr(callee, b.source, &mut b.own, 0);
    let target = b.own.expr(Expr::Call(function, u8::try_from(count).unwrap_or(u8::MAX)));
    b.refer(ReferenceKind::Call, target, name_node(named));
    b.done = named.id();
}

/// An expression without parentheses and `*` around it.
fn inner(mut node: Node<'_>) -> Node<'_> {
    loop {
        let next = match node.kind() {
            "parenthesized_expression" => node.named_child(0),
            "unary_expression" => field!(node, "operand"),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => return node,
        }
    }
}

/// An element of a composite literal: a key may be the name of a field.
fn element<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, field: Option<&str>) -> Step {
    if field != Some("key") {
        return Step::Into;
    }
    let Some(key) = node.named_child(0).filter(|n| n.kind() == "identifier") else {
        return Step::Into;
    };
    let Some(literal) = b.above(1) else { return Step::Skip };
    match b.above(2).filter(|p| p.kind() == "composite_literal") {
        Some(whole)
            if field!(whole, "type").is_some_and(|of| {
                matches!(
                    of.kind(),
                    "map_type" | "slice_type" | "array_type" | "implicit_length_array_type"
                )
            }) =>
        {
            Step::Into
        }
        _ => {
            let of = literal_of(literal, b.source, &mut b.own, 0);
            if of != 0 {
                let name = b.own.name(b.text(key));
                let target = b.own.expr(Expr::Member(of, name));
                b.refer(ReferenceKind::Read, target, key);
            }
            Step::Skip
        }
    }
}
