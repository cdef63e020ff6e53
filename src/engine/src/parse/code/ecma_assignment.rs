//! What assignments of JavaScript and TypeScript say: fields of `this`, methods set on objects and
//! prototypes, CommonJS exports, locals that are something else from there on.

use onyx_protocol::code::{Attribute, Binding, Expr, ExprId, Type, TypeId, Within, flags};
use onyx_protocol::facts::NodeKind;
use tree_sitter::Node;

use super::Builder;
use super::ecma::{is_top, name_node, own, shared, shared_type};
use super::ecma_declaration::{in_class, this_owner};
use super::ecma_jsdoc::{Told, either};
use super::ecma_lift::{found, lift};
use super::ecma_module::{exported_whole, give};
use super::ecma_shape::{key, string};

/// X in `X.prototype`.
pub(super) fn prototype_of<'t>(node: Node<'t>, b: &Builder<'_, 't>) -> Option<Node<'t>> {
    let of = node.child_by_field_name("object").filter(|n| n.kind() == "identifier")?;
    let property = node.child_by_field_name("property")?;
    (b.text(property) == "prototype").then_some(of)
}

/// The definition that the receiver of a method outside its type names.
pub(super) fn attached_to(b: &Builder<'_, '_>, receiver: TypeId) -> Option<u32> {
    let name = match b.shared.get_type(receiver) {
        Type::Named(path, _) => *path.last()?,
        Type::Of(expr) => match b.shared.get(*expr) {
            Expr::Name(name) => *name,
            _ => return None,
        },
        _ => return None,
    };
    b.top_level(b.shared.text(name))
}

pub(super) fn assignment<'t>(b: &mut Builder<'_, 't>, node: Node<'t>) {
    let (Some(left), Some(right)) =
        (node.child_by_field_name("left"), node.child_by_field_name("right"))
    else {
        return;
    };
    let number = b.definition(node);
    if let Some(number) = number
        && b.facts(number).kind != NodeKind::Field
    {
        b.by_node.entry(right.id()).or_insert(number);
        b.declared(number).flags |= flags::HIDDEN;
    }
    match left.kind() {
        "identifier" => reassigned(b, left, right),
        "member_expression" => {
            let (Some(object), Some(name)) =
                (left.child_by_field_name("object"), left.child_by_field_name("property"))
            else {
                return;
            };
            let name = b.text(name);
            if object.kind() == "this" {
                this_field(b, number, name, right);
                return;
            }
            match (b.text(object), name) {
                ("module", "exports") => exported_whole(b, number, right),
                ("exports" | "module.exports", _) => {
                    let mut value = right;
                    while let Some(inner) = value
                        .child_by_field_name("right")
                        .filter(|_| value.kind() == "assignment_expression")
                    {
                        value = inner;
                    }
                    let number = number.or_else(|| b.definition(value));
                    let value = match number {
                        Some(number) => b.shared.expr(Expr::Definition(number)),
                        None => shared(b, value),
                    };
                    give(b, name, value);
                }
                _ => attached(b, number, object, name, right),
            }
        }
        _ => {}
    }
}

/// `X.prototype.m = function`, `x.m = function`, `X.prototype = { ... }`
fn attached<'t>(
    b: &mut Builder<'_, 't>,
    number: Option<u32>,
    object: Node<'t>,
    name: &'t str,
    right: Node<'t>,
) {
    if name == "prototype" && object.kind() == "identifier" {
        let of = b.text(object);
        match right.kind() {
            "object" => prototype(b, of, right),
            // Object.create(Base.prototype), new Base()
            "call_expression" | "new_expression" => {
                let arguments = right.child_by_field_name("arguments");
                let first = arguments.and_then(|n| n.named_child(0));
                let base = match right.child_by_field_name("constructor") {
                    Some(constructor) => Some(constructor),
                    None => first.and_then(|n| prototype_of(n, b)),
                };
                if let Some(base) = base {
                    inherits(b, of, base);
                }
            }
            _ => {}
        }
        return;
    }
    let Some(number) = number else {
        attached_value(b, object, name, right);
        return;
    };
    let receiver = match object.kind() {
        "identifier" => {
            let text = b.text(object);
            let own = b.own.name(text);
            if found(b, own).is_some() {
                return;
            }
            if let Some(of) = b.top_level(text) {
                own_object(b, of);
            }
            let of = b.shared.named_expr(text);
            b.shared.ty(Type::Of(of))
        }
        _ => match prototype_of(object, b) {
            Some(of) => {
                let of = b.shared.name(b.text(of));
                b.shared.ty(Type::Named(vec![of], Vec::new()))
            }
            None => return,
        },
    };
    b.declared(number).receiver = receiver;
}

/// A constant that gets methods is an object of its own type.
fn own_object(b: &mut Builder<'_, '_>, of: u32) {
    let is_object = matches!(b.facts(of).kind, NodeKind::Constant | NodeKind::Variable);
    if is_object && b.declared[of as usize].ty == 0 {
        let ty = b.shared.ty(Type::SelfType);
        b.declared(of).ty = ty;
    }
}

/// `x.m = value` and `X.prototype.m = value`, of a value that is no function here.
fn attached_value<'t>(b: &mut Builder<'_, 't>, object: Node<'t>, name: &'t str, right: Node<'t>) {
    let of = match object.kind() {
        "identifier" => Some(object),
        _ => prototype_of(object, b),
    };
    let Some(text) = of.map(|of| b.text(of)) else { return };
    let local = b.own.name(text);
    let Some(of) = b.top_level(text).filter(|_| found(b, local).is_none()) else { return };
    let mut value = right;
    while let Some(inner) = value.child_by_field_name("right") {
        if value.kind() != "assignment_expression" {
            break;
        }
        // `x.a = x.b = function`: the function is defined by the inner one.
        if let Some(number) = b.definition(value) {
            let value = b.shared.expr(Expr::Definition(number));
            set(b, of, name, value);
            return;
        }
        value = inner;
    }
    let value = shared(b, value);
    set(b, of, name, value);
}

fn set<'t>(b: &mut Builder<'_, 't>, of: u32, name: &'t str, value: ExprId) {
    if value != 0 {
        own_object(b, of);
        let (owner, name) = (Within::definition(of), b.shared.name(name));
        b.attributes.push(Attribute { owner, name, ty: 0, value, within: Within::FILE });
    }
}

/// The methods of an object that is a prototype.
fn prototype<'t>(b: &mut Builder<'_, 't>, of: &'t str, object: Node<'t>) {
    let mut cursor = object.walk();
    let children: Vec<Node<'t>> = object.named_children(&mut cursor).collect();
    for child in children {
        if let Some(number) = b.definition(child) {
            let name = b.shared.name(of);
            let receiver = b.shared.ty(Type::Named(vec![name], Vec::new()));
            b.declared(number).receiver = receiver;
        }
    }
}

/// A function's prototype has another's behind it.
fn inherits<'t>(b: &mut Builder<'_, 't>, of: &str, base: Node<'t>) {
    if let Some(number) = b.top_level(of) {
        let base = shared_type(b, Some(base));
        let bases = &mut b.declared(number).bases;
        if base != 0 && !bases.contains(&base) {
            bases.push(base);
        }
    }
}

/// `this.name = value`
fn this_field<'t>(b: &mut Builder<'_, 't>, number: Option<u32>, name: &'t str, right: Node<'t>) {
    let Some(owner) = this_owner(b) else { return };
    let told = Told::of(b, number).value(b);
    let number = number.filter(|&number| b.facts(number).kind != NodeKind::Field);
    let value = match number {
        Some(number) => {
            if b.facts(number).parent.map(Within::definition) == Some(owner) && in_class(b, number)
            {
                // A member like those written in the class.
                b.declared(number).flags &= !flags::HIDDEN;
                return;
            }
            b.shared.expr(Expr::Definition(number))
        }
        None => {
            let value = own(b, right);
            lift(b, value, 0)
        }
    };
    let value = either(told, value, &mut b.shared);
    if value != 0 {
        let name = b.shared.name(name);
        let within = b.within;
        b.attributes.push(Attribute { owner, name, ty: 0, value, within });
    }
}

/// `name = value`
fn reassigned<'t>(b: &mut Builder<'_, 't>, left: Node<'t>, right: Node<'t>) {
    let text = b.text(left);
    let name = b.own.name(text);
    if let Some(number) = found(b, name) {
        let Binding { scope, ty, value: before, .. } = b.bindings[number as usize];
        if ty != 0 {
            return;
        }
        let mut value = own(b, right);
        if scope != b.scope && before != 0 {
            // Perhaps, perhaps not.
            value = if value == 0 { before } else { b.own.expr(Expr::Either(before, value)) };
        }
        let present = b.scope;
        b.scope = scope;
        b.bind(text, 0, value, left.end_position());
        b.scope = present;
        return;
    }
    if is_top(b) && matches!(text, "exports" | "module") {
        return;
    }
    if let Some(number) = b.top_level(text)
        && matches!(b.facts(number).kind, NodeKind::Variable)
    {
        let value = shared(b, right);
        if value != 0 {
            let (owner, name, within) = (Within::FILE, b.shared.name(text), b.within);
            b.attributes.push(Attribute { owner, name, ty: 0, value, within });
        }
    }
}

/// `Object.defineProperty(this, "name", { value })`, `Object.defineProperties(this, { name: { value } })`
pub(super) fn properties_by_call<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, callee: Node<'t>) {
    let name = b.text(name_node(callee));
    let Some(arguments) = node.child_by_field_name("arguments") else { return };
    let argument = |index: u32| arguments.named_child(index);
    if argument(0).is_none_or(|n| n.kind() != "this") {
        return;
    }
    match name {
        "defineProperty" => {
            let name = argument(1).and_then(|n| string(n, b.source));
            if let (Some(name), Some(descriptor)) = (name, argument(2)) {
                described(b, name, descriptor);
            }
        }
        "defineProperties" => {
            let Some(object) = argument(1).filter(|n| n.kind() == "object") else { return };
            let mut cursor = object.walk();
            let pairs: Vec<Node<'t>> = object.named_children(&mut cursor).collect();
            for pair in pairs.into_iter().filter(|n| n.kind() == "pair") {
                let name = pair.child_by_field_name("key").and_then(|n| key(n, b.source));
                let descriptor = pair.child_by_field_name("value");
                if let (Some(name), Some(descriptor)) = (name, descriptor) {
                    described(b, name, descriptor);
                }
            }
        }
        _ => {}
    }
}

/// A field of `this` by its descriptor.
fn described<'t>(b: &mut Builder<'_, 't>, name: &'t str, descriptor: Node<'t>) {
    let mut cursor = descriptor.walk();
    let value = descriptor.named_children(&mut cursor).find_map(|part| match part.kind() {
        "pair" => {
            let is_value = part.child_by_field_name("key").is_some_and(|n| b.text(n) == "value");
            part.child_by_field_name("value").filter(|_| is_value)
        }
        "shorthand_property_identifier" => (b.text(part) == "value").then_some(part),
        _ => None,
    });
    if let Some(value) = value {
        this_field(b, None, name, value);
    }
}

/// `util.inherits(A, B)`, `Object.setPrototypeOf(A.prototype, B.prototype)`
pub(super) fn bases_by_call<'t>(b: &mut Builder<'_, 't>, node: Node<'t>, callee: Node<'t>) {
    let name = b.text(name_node(callee));
    if !matches!(name, "inherits" | "setPrototypeOf" | "assign") {
        return;
    }
    let Some(arguments) = node.child_by_field_name("arguments") else { return };
    let part = |index: u32| {
        let node = arguments.named_child(index)?;
        let is_prototype =
            node.child_by_field_name("property").is_some_and(|n| b.text(n) == "prototype");
        if is_prototype { node.child_by_field_name("object") } else { Some(node) }
    };
    if let (Some(of), Some(base)) = (part(0), part(1)) {
        let of = b.text(of);
        match (name, base.kind()) {
            ("assign", "object") => prototype(b, of, base),
            ("assign", _) => {}
            _ => inherits(b, of, base),
        }
    }
}
