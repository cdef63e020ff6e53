//! Java: which of several methods of a name the arguments choose.
//!
//! Each argument has a distance to the parameter it is given to, or does not fit. A method is chosen
//! when no other is nearer by any argument. Where the arguments do not tell, all that fit are given.

use onyx_protocol::code::{Expr, ExprId, flags};
use onyx_protocol::facts::NodeKind;

use super::java_calls::is_null;
use super::java_lambdas::functional;
use super::java_results;
use super::java_std::{self, ARRAY, last};
use crate::resolve::context::{Context, Place};
use crate::resolve::ty::{Def, Entity, Found, Ty};

/// Distances: of the same kind, by boxing, to something that takes much.
const BOXED: u32 = 100;
const TYPE_PARAMETER: u32 = 60;
const OBJECT: u32 = 70;
const PERHAPS: u32 = 40;

/// An argument as far as it is known.
enum Argument {
    /// A lambda or method reference with so many parameters.
    Function(Option<usize>),
    /// A static field of a class outside.
    Constant(String),
    Of(Ty),
}

/// Those of the found that fit the arguments best.
pub(in crate::resolve) fn choose(
    context: &Context<'_>,
    place: Place<'_>,
    found: Vec<Found>,
    arguments: &[ExprId],
) -> Vec<Found> {
    let count = arguments.len();
    let is_outside = |one: &Found| !matches!(one.entity, Entity::Definition(_));
    if found.iter().all(is_outside) {
        return found;
    }
    let shape = |one: &Found| {
        let Entity::Definition(def) = one.entity else { return None };
        let declared = context.declared(def)?;
        // The component of a record is read by a method without parameters.
        let is_many = declared.flags & flags::VARIADIC != 0;
        Some((def, declared.parameters.len(), is_many))
    };
    let mut fixed: Vec<(Found, Def)> = Vec::new();
    let mut many: Vec<(Found, Def)> = Vec::new();
    for one in found {
        let Some((def, parameters, is_many)) = shape(&one) else { continue };
        if parameters == count {
            fixed.push((one.clone(), def));
        }
        if is_many && count + 1 >= parameters {
            many.push((one, def));
        }
    }
    if fixed.len() == 1 && many.is_empty() {
        return fixed.into_iter().map(|(one, _)| one).collect();
    }
    if fixed.is_empty() && many.len() == 1 {
        return many.into_iter().map(|(one, _)| one).collect();
    }
    let arguments: Vec<Argument> =
        arguments.iter().map(|&argument| known(context, place, argument)).collect();
    let chosen = nearest(context, fixed, &arguments, false);
    if !chosen.is_empty() {
        return chosen;
    }
    nearest(context, many, &arguments, true)
}

fn known(context: &Context<'_>, place: Place<'_>, argument: ExprId) -> Argument {
    match *place.pool.expr(argument) {
        Expr::Part(function, count) if matches!(place.pool.expr(function), Expr::Lambda(_)) => {
            Argument::Function((count != u8::MAX).then_some(usize::from(count)))
        }
        _ => {
            let ty = match context.infer(place, argument).0 {
                Ty::Union(all) => {
                    all.iter().find(|ty| !is_null(ty)).cloned().unwrap_or(Ty::Unknown)
                }
                ty => ty,
            };
            match &ty {
                Ty::Outside { path, is_value: false, .. } => constant(path),
                Ty::Outside { path, .. } if java_results::is_result(path) => {
                    Argument::Of(Ty::Unknown)
                }
                Ty::Value(..) | Ty::Outside { .. } | Ty::Parameter(..) | Ty::All(_) => {
                    Argument::Of(ty)
                }
                _ => Argument::Of(Ty::Unknown),
            }
        }
    }
}

/// A static field outside: of a number, or perhaps of the class it is in, as constants of enums are.
fn constant(path: &str) -> Argument {
    let Some((class, _)) = path.rsplit_once('.') else { return Argument::Of(Ty::Unknown) };
    match java_std::unboxed(last(class)) {
        Some(primitive) => Argument::Of(Ty::outside_value(primitive, Vec::new())),
        None if class.starts_with("java.") => Argument::Of(Ty::Unknown),
        None => Argument::Constant(class.to_owned()),
    }
}

fn nearest(
    context: &Context<'_>,
    all: Vec<(Found, Def)>,
    arguments: &[Argument],
    is_many: bool,
) -> Vec<Found> {
    let mut fitting: Vec<(Found, Vec<u32>)> = Vec::new();
    for (one, def) in all {
        let Some(parameters) = parameters(context, &one, def) else { continue };
        let distance = |(at, argument): (usize, &Argument)| {
            let last = parameters.len().checked_sub(1)?;
            let parameter = &parameters[at.min(last)];
            match parameter {
                Ty::Outside { path, arguments, .. }
                    if is_many && at >= last && &**path == ARRAY =>
                {
                    distance(context, argument, arguments.first().unwrap_or(&Ty::Unknown))
                }
                _ => distance(context, argument, parameter),
            }
        };
        let distances: Option<Vec<u32>> = arguments.iter().enumerate().map(distance).collect();
        if let Some(mut distances) = distances {
            // Of those with any number of parameters, the one that names more is nearer.
            if is_many {
                distances
                    .push(u32::try_from(32_usize.saturating_sub(parameters.len())).unwrap_or(0));
            }
            fitting.push((one, distances));
        }
    }
    let boxes = |distances: &[u32]| distances.iter().any(|d| *d >= BOXED);
    if fitting.iter().any(|(_, distances)| !boxes(distances)) {
        fitting.retain(|(_, distances)| !boxes(distances));
    }
    let is_nearer = |one: &[u32], other: &[u32]| {
        one != other && one.iter().zip(other).all(|(one, other)| one <= other)
    };
    let best: Vec<bool> = fitting
        .iter()
        .map(|(_, one)| !fitting.iter().any(|(_, other)| is_nearer(other, one)))
        .collect();
    let mut best = best.into_iter();
    fitting.retain(|_| best.next().unwrap_or(false));
    fitting.into_iter().map(|(one, _)| one).collect()
}

/// What a function takes, on its receiver.
fn parameters(context: &Context<'_>, found: &Found, def: Def) -> Option<Vec<Ty>> {
    let (declared, inside) = (context.declared(def)?, context.inside(def)?);
    let shape = |parameter: &onyx_protocol::code::Parameter| {
        context.substituted(context.eval(inside, parameter.ty), found.receiver.as_ref())
    };
    Some(declared.parameters.iter().map(shape).collect())
}

/// How far an argument is from what a parameter takes; None when it does not fit.
fn distance(context: &Context<'_>, argument: &Argument, parameter: &Ty) -> Option<u32> {
    match argument {
        Argument::Function(count) => of_function(context, *count, parameter),
        Argument::Of(ty) => of_type(context, ty, parameter),
        Argument::Constant(class) => match parameter {
            Ty::Outside { path, .. } if **path == **class => Some(0),
            _ => Some(PERHAPS),
        },
    }
}

fn of_function(context: &Context<'_>, count: Option<usize>, parameter: &Ty) -> Option<u32> {
    match parameter {
        Ty::Value(def, _) => {
            let declared = context.declared(*def)?;
            if declared.kind != NodeKind::Interface {
                return None;
            }
            let (method, _) = functional(context, *def)?;
            let takes = context.declared(method)?.parameters.len();
            count.is_none_or(|count| count == takes).then_some(0)
        }
        Ty::Outside { path, .. } => match java_std::functional(last(path)) {
            Some(takes) => count.is_none_or(|count| count == takes).then_some(0),
            None if java_std::is_primitive(path) || &**path == ARRAY => None,
            None if is_lang_class(path) => None,
            None => Some(PERHAPS),
        },
        _ => Some(PERHAPS),
    }
}

/// Whether a path is a class of java.lang that is no functional interface.
fn is_lang_class(path: &str) -> bool {
    path.strip_prefix("java.lang.").is_some_and(|name| {
        !matches!(name, "Runnable" | "Comparable" | "Iterable" | "AutoCloseable" | "Readable")
    })
}

fn of_type(context: &Context<'_>, argument: &Ty, parameter: &Ty) -> Option<u32> {
    if argument.is_unknown() || parameter.is_unknown() {
        return Some(0);
    }
    if argument == parameter {
        return Some(0);
    }
    match (argument, parameter) {
        (Ty::Outside { path: one, .. }, Ty::Outside { path: other, .. })
            if java_std::is_primitive(one) || java_std::is_primitive(other) =>
        {
            of_primitive(one, other)
        }
        (Ty::Outside { path, .. }, Ty::Parameter(..)) if is_null(argument) => {
            let _ = path;
            Some(2)
        }
        (Ty::Outside { .. }, _) if is_null(argument) => Some(1),
        (Ty::Outside { path, .. }, Ty::Parameter(..)) if java_std::is_primitive(path) => {
            Some(BOXED + TYPE_PARAMETER)
        }
        (Ty::Outside { path, .. }, _) if java_std::is_primitive(path) => None,
        (_, Ty::Parameter(def, index)) => {
            let bounds = context.bounds(*def, *index);
            let fits = bounds.iter().all(|bound| {
                matches!(bound, Ty::Parameter(..)) || of_type(context, argument, bound).is_some()
            });
            fits.then_some(TYPE_PARAMETER)
        }
        (Ty::Parameter(def, index), _) => {
            let bounds = context.bounds(*def, *index);
            match bounds.first() {
                Some(bound) => of_type(context, bound, parameter),
                None => is_object(parameter).then_some(1),
            }
        }
        (
            Ty::Outside { path: one, arguments: inner, .. },
            Ty::Outside { path: other, arguments: more, .. },
        ) => match (&**one == ARRAY, &**other == ARRAY) {
            (true, true) => {
                let (inner, more) = (inner.first()?, more.first()?);
                let distance = of_type(context, inner, more)?;
                let is_same = !is_primitive(inner) && !is_primitive(more);
                (distance == 0 || is_same && distance < BOXED).then_some(distance)
            }
            (true, false) => is_object(parameter).then_some(OBJECT),
            (false, true) => None,
            (false, false) if is_object(parameter) => Some(OBJECT),
            (false, false) => match java_std::above(one, other)? {
                Some(steps) => Some(steps),
                None => (!is_final(other)).then_some(PERHAPS),
            },
        },
        (Ty::Value(def, _), Ty::Value(other, _)) => {
            let bases = context.bases(*def);
            match bases.all.iter().position(|(base, _)| base == other) {
                Some(steps) => u32::try_from(steps).ok(),
                // What is above a class of the library is not of the project.
                None => match &bases.outside {
                    Some(Ty::Outside { path, .. }) if path.starts_with("java.") => None,
                    Some(_) => Some(PERHAPS),
                    None => None,
                },
            }
        }
        (Ty::Value(..), Ty::Outside { .. }) if is_object(parameter) => Some(OBJECT),
        (Ty::Value(def, _), Ty::Outside { path, .. }) => {
            if java_std::is_primitive(path) || &**path == ARRAY || is_final(path) {
                return None;
            }
            let declared = context.declared(*def)?;
            if declared.kind == NodeKind::Enum {
                return matches!(last(path), "Enum" | "Comparable" | "Serializable").then_some(5);
            }
            of_bases(context, *def, path)
        }
        (Ty::Outside { path, .. }, Ty::Value(..)) => {
            let is_known = path.starts_with("java.") || &**path == ARRAY;
            (!is_known).then_some(PERHAPS)
        }
        (Ty::All(all), _) => all.iter().filter_map(|ty| of_type(context, ty, parameter)).min(),
        _ => Some(PERHAPS),
    }
}

/// How far a type of the project is from one outside, by the bases outside it names.
fn of_bases(context: &Context<'_>, def: Def, path: &str) -> Option<u32> {
    let mut nearest: Option<u32> = None;
    for (base, _) in &context.bases(def).all {
        for outside in context.direct_bases(*base) {
            let distance = match &outside {
                Ty::Outside { path: base, .. } => match java_std::above(base, path) {
                    Some(Some(steps)) => Some(5 + steps),
                    Some(None) => Some(PERHAPS),
                    None => None,
                },
                Ty::Value(..) => None,
                _ => Some(PERHAPS),
            };
            nearest = [nearest, distance].into_iter().flatten().min();
        }
    }
    nearest
}

fn is_primitive(ty: &Ty) -> bool {
    matches!(ty, Ty::Outside { path, .. } if java_std::is_primitive(path))
}

fn is_object(ty: &Ty) -> bool {
    matches!(ty, Ty::Outside { path, .. } if &**path == "java.lang.Object")
}

fn is_final(path: &str) -> bool {
    let name = last(path);
    name == "String" || java_std::unboxed(name).is_some()
}

fn of_primitive(one: &str, other: &str) -> Option<u32> {
    match (java_std::is_primitive(one), java_std::is_primitive(other)) {
        _ if one == "null" => match java_std::is_primitive(other) || other == "null" {
            true => None,
            false => Some(if other == "java.lang.Object" { 3 } else { 1 }),
        },
        (true, true) => java_std::widening(one, other),
        (true, false) => {
            let class = format!("java.lang.{}", java_std::boxed(one));
            match other {
                "java.lang.Object" => Some(BOXED + OBJECT),
                other => java_std::above(&class, other).flatten().map(|steps| BOXED + steps),
            }
        }
        (false, _) => {
            let primitive = java_std::unboxed(last(one))?;
            java_std::widening(primitive, other).map(|steps| BOXED + steps)
        }
    }
}

/// Whether two methods take the same, so that one may stand in for the other.
pub(in crate::resolve) fn same_parameters(
    context: &Context<'_>,
    one: &Found,
    other: &Found,
) -> bool {
    let all = |found: &Found| match found.entity {
        Entity::Definition(def) => {
            let count = context.declared(def)?.parameters.len();
            Some((def, count))
        }
        _ => None,
    };
    let (Some((def, count)), Some((of, more))) = (all(one), all(other)) else { return false };
    if count != more {
        return false;
    }
    if count == 0 {
        return true;
    }
    match (parameters(context, one, def), parameters(context, other, of)) {
        (Some(one), Some(other)) => one.iter().zip(&other).all(|(one, other)| alike(one, other)),
        _ => false,
    }
}

fn alike(one: &Ty, other: &Ty) -> bool {
    match (one, other) {
        (Ty::Unknown, _) | (_, Ty::Unknown) => true,
        (Ty::Parameter(..), other) | (other, Ty::Parameter(..)) => !is_primitive(other),
        (Ty::Value(one, _), Ty::Value(other, _)) => one == other,
        (
            Ty::Outside { path: one, arguments: inner, .. },
            Ty::Outside { path: other, arguments: more, .. },
        ) => {
            let is_array = &**one == ARRAY && &**other == ARRAY;
            last(one) == last(other)
                && (!is_array || inner.iter().zip(more.iter()).all(|(a, b)| alike(a, b)))
        }
        _ => false,
    }
}
