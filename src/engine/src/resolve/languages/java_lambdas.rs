//! Java: what the parameters of lambdas are, by the functional interfaces they stand for.

use onyx_protocol::code::{Expr, ExprId, Type, flags};

use super::java_calls::{methods, overloads, with_arguments};
use super::{java_results, java_std};
use crate::resolve::context::{Context, Place};
use crate::resolve::ty::{Def, Entity, Strategy, Ty};

/// What the parameter of a lambda is, by what the lambda is given to.
pub(super) fn passed_to(context: &Context<'_>, place: Place<'_>, to: ExprId, index: u8) -> Ty {
    match *place.pool.expr(to) {
        Expr::OfType(of) => of_functional(context, &context.eval(place, of), index),
        Expr::Part(call, at) => {
            let Expr::Invoke(callee, ref arguments) = *place.pool.expr(call) else {
                return Ty::Unknown;
            };
            let found = overloads(context, place, callee, arguments);
            let [one] = &found[..] else { return Ty::Unknown };
            match &one.entity {
                Entity::OutsideMember(of, name) => java_results::passed(of, name, index),
                Entity::Definition(def) => {
                    let (Some(declared), Some(inside)) =
                        (context.declared(*def), context.inside(*def))
                    else {
                        return Ty::Unknown;
                    };
                    let last = declared.parameters.len().saturating_sub(1);
                    let Some(parameter) = declared.parameters.get(usize::from(at).min(last)) else {
                        return Ty::Unknown;
                    };
                    let mut ty = context.eval(inside, parameter.ty);
                    let is_many = usize::from(at) >= last && declared.flags & flags::VARIADIC != 0;
                    if let Ty::Outside { path, arguments, .. } = &ty
                        && is_many
                        && &**path == java_std::ARRAY
                    {
                        ty = arguments.first().cloned().unwrap_or(Ty::Unknown);
                    }
                    let ty = context.substituted(ty, one.receiver.as_ref());
                    let ty = match declared.generics.is_empty() {
                        true => ty,
                        false => with_arguments(context, place, *def, ty, arguments),
                    };
                    of_functional(context, &ty, index)
                }
                _ => Ty::Unknown,
            }
        }
        _ => Ty::Unknown,
    }
}

/// The function of a functional interface of the project, and the interface that has it.
pub(super) fn functional(context: &Context<'_>, def: Def) -> Option<(Def, Ty)> {
    let receiver = Ty::Value(def, context.own_arguments(def).into());
    for (base, arguments) in &context.bases(def).all {
        let declared = context.declared(*base)?;
        let pool = context.pool(base.slot)?;
        match pool.ty(declared.receiver) {
            Type::Unknown => continue,
            Type::Named(path, _) => {
                let name = pool.name(*path.first()?);
                let of = Ty::Value(*base, arguments.clone());
                let found = methods(context, *base, &of, name, Strategy::Receiver);
                let mut found = found.into_iter().filter(|one| match one.entity {
                    Entity::Definition(def) => {
                        context.declared(def).is_some_and(|d| d.flags & flags::ABSTRACT != 0)
                    }
                    _ => false,
                });
                let Entity::Definition(method) = found.next()?.entity else { return None };
                return Some((method, context.substituted(of, Some(&receiver))));
            }
            _ => return None,
        }
    }
    None
}

/// What the n-th parameter of a functional interface's function is.
fn of_functional(context: &Context<'_>, ty: &Ty, index: u8) -> Ty {
    match ty {
        Ty::Value(def, _) => {
            let Some((method, of)) = functional(context, *def) else { return Ty::Unknown };
            let (Some(declared), Some(inside)) = (context.declared(method), context.inside(method))
            else {
                return Ty::Unknown;
            };
            let Some(parameter) = declared.parameters.get(usize::from(index)) else {
                return Ty::Unknown;
            };
            let parameter = context.substituted(context.eval(inside, parameter.ty), Some(&of));
            context.substituted(parameter, Some(ty))
        }
        other => java_results::parameter(other, index),
    }
}
