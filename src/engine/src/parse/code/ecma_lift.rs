//! From the body to the interface: expressions without the locals of functions.

use onyx_protocol::code::{Expr, ExprId, NameId, Type, TypeId};

use super::{Builder, MAX_SHAPE};

/// How far back a local is looked for.
const MAX_BINDINGS: usize = 2_000;

/// The last binding of a name of the body that holds at the present place.
pub(super) fn found(b: &Builder<'_, '_>, name: NameId) -> Option<u32> {
    let all = b.bindings.iter().enumerate().rev().take(MAX_BINDINGS);
    let mut best: Option<(u32, usize)> = None;
    for (index, binding) in all.filter(|(_, binding)| binding.name == name) {
        // The innermost scope holds.
        if best.is_none_or(|(scope, _)| binding.scope > scope)
            && b.is_inside(b.scope, binding.scope)
        {
            best = Some((binding.scope, index));
        }
    }
    best.and_then(|(_, index)| u32::try_from(index).ok())
}

/// Takes an expression of the body over into the interface, locals replaced by what they are set to.
pub(super) fn lift(b: &mut Builder<'_, '_>, id: ExprId, depth: u8) -> ExprId {
    if depth > MAX_SHAPE || id == 0 {
        return 0;
    }
    let shape = match b.own.get(id).clone() {
        Expr::Name(name) => {
            if let Some(number) = found(b, name) {
                let binding = &b.bindings[number as usize];
                let (ty, value) = (binding.ty, binding.value);
                if ty == 0 {
                    return if value == id { 0 } else { lift(b, value, depth + 4) };
                }
                let ty = lift_type(b, ty, depth + 1);
                return b.shared.expr(Expr::OfType(ty));
            }
            let text = b.own.text(name).to_owned();
            Expr::Name(b.shared.name(text))
        }
        Expr::Member(of, name) | Expr::Path(of, name) => {
            let is_path = matches!(b.own.get(id), Expr::Path(..));
            let of = lift(b, of, depth + 1);
            if of == 0 {
                return 0;
            }
            let text = b.own.text(name).to_owned();
            let name = b.shared.name(text);
            if is_path { Expr::Path(of, name) } else { Expr::Member(of, name) }
        }
        Expr::Call(of, count) => match lift(b, of, depth + 1) {
            0 => return 0,
            of => Expr::Call(of, count),
        },
        Expr::New(ty, count) => Expr::New(lift_type(b, ty, depth + 1), count),
        Expr::OfType(ty) => Expr::OfType(lift_type(b, ty, depth + 1)),
        Expr::Lambda(of) => Expr::Lambda(lift(b, of, depth + 1)),
        Expr::Either(one, other) => {
            let (one, other) = (lift(b, one, depth + 1), lift(b, other, depth + 1));
            match (one, other) {
                (0, one) | (one, 0) => return one,
                _ => Expr::Either(one, other),
            }
        }
        Expr::Tuple(parts) => {
            Expr::Tuple(parts.into_iter().map(|part| lift(b, part, depth + 1)).collect())
        }
        Expr::Object(parts) => {
            let mut lifted = Vec::new();
            for (name, value) in parts {
                let value = lift(b, value, depth + 1);
                if value != 0 {
                    let text = b.own.text(name).to_owned();
                    lifted.push((b.shared.name(text), value));
                }
            }
            Expr::Object(lifted)
        }
        Expr::Index(of) | Expr::Await(of) | Expr::Element(of) | Expr::Part(of, _) => {
            let of = lift(b, of, depth + 1);
            match b.own.get(id) {
                _ if of == 0 => return 0,
                Expr::Index(_) => Expr::Index(of),
                Expr::Await(_) => Expr::Await(of),
                Expr::Element(_) => Expr::Element(of),
                Expr::Part(_, index) => Expr::Part(of, *index),
                _ => return 0,
            }
        }
        Expr::Super => Expr::Super,
        Expr::Definition(number) => Expr::Definition(number),
        _ => return 0,
    };
    b.shared.expr(shape)
}

/// The same of a type.
fn lift_type(b: &mut Builder<'_, '_>, id: TypeId, depth: u8) -> TypeId {
    if depth > MAX_SHAPE || id == 0 {
        return 0;
    }
    let all = |b: &mut Builder<'_, '_>, ids: Vec<TypeId>| {
        ids.into_iter().map(|id| lift_type(b, id, depth + 1)).collect::<Vec<TypeId>>()
    };
    let shape = match b.own.get_type(id).clone() {
        Type::Named(path, arguments) => {
            let mut names = Vec::new();
            for name in path {
                let text = b.own.text(name).to_owned();
                names.push(b.shared.name(text));
            }
            Type::Named(names, all(b, arguments))
        }
        Type::Array(of) => Type::Array(lift_type(b, of, depth + 1)),
        Type::Function(of) => Type::Function(lift_type(b, of, depth + 1)),
        Type::Tuple(of) => Type::Tuple(all(b, of)),
        Type::Union(of) => Type::Union(all(b, of)),
        Type::All(of) => Type::All(all(b, of)),
        Type::SelfType => Type::SelfType,
        Type::Of(expr) => match lift(b, expr, depth + 1) {
            0 => return 0,
            expr => Type::Of(expr),
        },
        _ => return 0,
    };
    b.shared.ty(shape)
}
