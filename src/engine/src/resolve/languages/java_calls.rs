//! Java: the methods a call may mean, and what it gives.

use std::rc::Rc;

use onyx_protocol::code::{Expr, ExprId, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::java::is_type;
use super::{java_overloads, java_results, java_std};
use crate::resolve::context::{At, Context, Place};
use crate::resolve::infer::as_value;
use crate::resolve::ty::{Def, Entity, Found, Strategy, Ty};
use crate::resolve::workspace::Named;

pub(super) use java_overloads::choose;

/// Most methods of one name that are looked at.
const MAX_CANDIDATES: usize = 64;

/// The functions a call may mean: one when its arguments tell.
pub(super) fn overloads(
    context: &Context<'_>,
    place: Place<'_>,
    callee: ExprId,
    arguments: &[ExprId],
) -> Vec<Found> {
    let found = candidates(context, place, callee);
    if let Expr::Path(..) = place.pool.expr(callee) {
        // A method reference says nothing of its parameters.
        return if found.len() == 1 { found } else { Vec::new() };
    }
    let first = found.first().cloned();
    let chosen = choose(context, place, found, arguments);
    if let Some(Found { entity: Entity::Definition(def), receiver: Some(Ty::Value(of, _)), how }) =
        first
        && chosen.is_empty()
        && let Some(declared) = context.declared(def)
        && let Some(pool) = context.pool(def.slot)
    {
        // None of them takes this: it is one that a base outside has.
        return implied(context, of, pool.name(declared.name), how);
    }
    chosen
}

/// All functions of the name that is called, or something outside.
fn candidates(context: &Context<'_>, place: Place<'_>, callee: ExprId) -> Vec<Found> {
    match *place.pool.expr(callee) {
        Expr::Name(name) => by_name(context, place, place.pool.name(name)),
        Expr::Member(object, name) | Expr::Path(object, name) => {
            let (ty, how) = context.infer(place, object);
            let how = match ty {
                Ty::Type(..) if how < Strategy::Member => Strategy::Member,
                Ty::Value(..) if how <= Strategy::Import => Strategy::Receiver,
                _ => how,
            };
            of_type(context, &ty, place.pool.name(name), how)
        }
        Expr::SelfRef => match context.self_type(place) {
            Some(Ty::Value(def, _)) => constructed(context, def, Strategy::Own),
            _ => Vec::new(),
        },
        Expr::Super => match context.infer(place, callee).0 {
            Ty::Value(def, _) => constructed(context, def, Strategy::Super),
            Ty::Outside { path, .. } => outside(&format!("{path}.<init>"), Strategy::Super),
            _ => Vec::new(),
        },
        Expr::New(of, _) => match context.eval(place, of) {
            Ty::Value(def, _) => constructed(context, def, Strategy::Constructor),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn outside(path: &str, how: Strategy) -> Vec<Found> {
    vec![Found::new(Entity::Outside(path.into()), how)]
}

fn member_outside(of: Ty, name: &str, how: Strategy) -> Vec<Found> {
    vec![Found::new(Entity::OutsideMember(Rc::new(of), name.into()), how)]
}

/// The constructors of a class, or the one that every class has.
fn constructed(context: &Context<'_>, def: Def, how: Strategy) -> Vec<Found> {
    let found = constructors(context, def, how);
    if found.is_empty() { outside("java.lang.Object.<init>", how) } else { found }
}

/// The constructors written in a class.
pub(super) fn constructors(context: &Context<'_>, def: Def, how: Strategy) -> Vec<Found> {
    let Some(declared) = context.declared(def) else { return Vec::new() };
    let Some(pool) = context.pool(def.slot) else { return Vec::new() };
    let named = context.named(def.slot, Within::definition(def.number), pool.name(declared.name));
    let mut found = Vec::new();
    for item in named {
        if let Named::Definition(number) = *item {
            let member = Def { slot: def.slot, number };
            if context.declared(member).is_some_and(|d| d.kind == NodeKind::Constructor) {
                found.push(Found::definition(member, how));
            }
        }
    }
    found
}

/// The methods of a type and its bases under a name, without those that others stand in for.
pub(super) fn methods(
    context: &Context<'_>,
    def: Def,
    receiver: &Ty,
    name: &str,
    how: Strategy,
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let bases = context.bases(def);
    for (base, arguments) in &bases.all {
        let is_own = *base == def;
        let ty = match is_own {
            true => receiver.clone(),
            false => context.substituted(Ty::Value(*base, arguments.clone()), Some(receiver)),
        };
        let named = context.named(base.slot, Within::definition(base.number), name);
        let mut component = None;
        let before = found.len();
        for item in named {
            let Named::Definition(number) = *item else { continue };
            let member = Def { slot: base.slot, number };
            let Some(declared) = context.declared(member) else { continue };
            match declared.kind {
                NodeKind::Method => {
                    let mut one = Found::definition(member, how);
                    if !is_own && how == Strategy::Own {
                        one.how = Strategy::Super;
                    }
                    one.receiver = Some(ty.clone());
                    let is_hidden = found[..before]
                        .iter()
                        .any(|other| java_overloads::same_parameters(context, other, &one));
                    if !is_hidden && found.len() < MAX_CANDIDATES {
                        found.push(one);
                    }
                }
                NodeKind::Field if declared.flags & flags::STATIC == 0 => component = Some(member),
                _ => {}
            }
        }
        if let Some(member) = component.filter(|_| found.is_empty())
            && context.declared(*base).is_some_and(|d| d.kind == NodeKind::Record)
        {
            let mut one = Found::definition(member, how);
            one.receiver = Some(ty);
            found.push(one);
        }
    }
    found
}

/// Methods that an object of a type is asked for.
fn of_type(context: &Context<'_>, ty: &Ty, name: &str, how: Strategy) -> Vec<Found> {
    let Some(_question) = context.question() else { return Vec::new() };
    match ty {
        Ty::Value(def, arguments) | Ty::Type(def, arguments) => {
            let receiver = Ty::Value(*def, arguments.clone());
            let found = methods(context, *def, &receiver, name, how);
            if found.is_empty() { implied(context, *def, name, how) } else { found }
        }
        Ty::Outside { is_value: true, .. } | Ty::OutsideMember(..) => {
            member_outside(ty.clone(), name, how)
        }
        Ty::Outside { path, .. } => outside(&format!("{path}.{name}"), how),
        Ty::Parameter(def, index) => {
            let bounds = context.bounds(*def, *index);
            of_type(context, &Ty::All(bounds.into()), name, how.max(Strategy::Bound))
        }
        Ty::All(all) => {
            let mut other = Vec::new();
            for ty in all.iter() {
                let found = of_type(context, ty, name, how);
                if found.iter().any(|one| matches!(one.entity, Entity::Definition(_))) {
                    return found;
                }
                if other.is_empty() {
                    other = found;
                }
            }
            if all.is_empty() && java_std::is_of_object(name) { object(name, how) } else { other }
        }
        Ty::Union(all) => {
            let mut found: Vec<Found> = Vec::new();
            for ty in all.iter().filter(|ty| !is_null(ty)) {
                for one in of_type(context, ty, name, how) {
                    if !found.iter().any(|other| other.entity == one.entity) {
                        found.push(one);
                    }
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

pub(super) fn is_null(ty: &Ty) -> bool {
    matches!(ty, Ty::Outside { path, .. } if &**path == "null")
}

fn object(name: &str, how: Strategy) -> Vec<Found> {
    member_outside(Ty::outside_value("java.lang.Object", Vec::new()), name, how)
}

/// A method that no source says: of an enum, of every object, of a base outside.
fn implied(context: &Context<'_>, def: Def, name: &str, how: Strategy) -> Vec<Found> {
    let Some(declared) = context.declared(def) else { return Vec::new() };
    let is_of_enum = matches!(
        name,
        "values" | "valueOf" | "ordinal" | "name" | "compareTo" | "getDeclaringClass"
    );
    let of = match declared.kind {
        NodeKind::Enum => Some(def),
        NodeKind::EnumMember => {
            declared.parent.number().map(|number| Def { slot: def.slot, number })
        }
        _ => None,
    };
    if let Some(of) = of.filter(|_| is_of_enum) {
        let base = Ty::outside_value("java.lang.Enum", vec![Ty::Value(of, Rc::new([]))]);
        return member_outside(base, name, how);
    }
    if java_std::is_of_object(name) {
        return object(name, how);
    }
    match &context.bases(def).outside {
        Some(of @ (Ty::Outside { .. } | Ty::OutsideMember(..))) => {
            member_outside(of.clone(), name, how)
        }
        Some(_) => vec![Found::new(Entity::Opaque, how)],
        None => Vec::new(),
    }
}

/// The types around a place, from inside out.
fn around(context: &Context<'_>, place: Place<'_>) -> Vec<Def> {
    let mut within = match place.at {
        At::Within(within) => within,
        At::Scope(scope, ..) => context.scope_definition(scope),
    };
    let mut found = Vec::new();
    while let Some(number) = within.number() {
        let def = Def { slot: place.slot, number };
        let Some(declared) = context.declared(def) else { break };
        if is_type(declared.kind) || declared.kind == NodeKind::EnumMember {
            found.push(def);
        }
        within = declared.parent;
    }
    found
}

/// A method called by its name alone: of the types around, or imported.
fn by_name(context: &Context<'_>, place: Place<'_>, name: &str) -> Vec<Found> {
    let mut above: Option<Ty> = None;
    for (depth, def) in around(context, place).into_iter().enumerate() {
        let how = if depth == 0 { Strategy::Own } else { Strategy::Scope };
        let receiver = Ty::Value(def, context.own_arguments(def).into());
        let found = methods(context, def, &receiver, name, how);
        if let Some(first) = found.first() {
            return match above {
                Some(of) if is_of_outside(context, first, &of) => {
                    member_outside(of, name, Strategy::Super)
                }
                _ => found,
            };
        }
        if java_std::is_of_object(name) {
            return object(name, how);
        }
        let base = context.bases(def).outside.clone();
        if let Some(Ty::Outside { path, .. }) = &base
            && java_std::may_have(path, name)
        {
            return implied(context, def, name, Strategy::Super);
        }
        if let found @ [_, ..] = &implied(context, def, name, Strategy::Super)[..]
            && base.is_none()
        {
            return found.to_vec();
        }
        above = above.or(base);
    }
    let mut found = Vec::new();
    for item in context.named(place.slot, Within::FILE, name) {
        let Named::Import(number) = *item else { continue };
        let is_static = context
            .import(place.slot, number)
            .is_some_and(|import| import.flags & flags::OF_TYPE != 0);
        if is_static {
            found.extend(context.imported(place.slot, number).iter().cloned());
        }
    }
    found.retain(|one| is_method_or_outside(context, one));
    if !found.is_empty() {
        return found;
    }
    let mut elsewhere = None;
    for &number in context.globs(place.slot, Within::FILE) {
        let is_static = context
            .import(place.slot, number)
            .is_some_and(|import| import.flags & flags::OF_TYPE != 0);
        if !is_static {
            continue;
        }
        for one in context.imported(place.slot, number).iter() {
            match &one.entity {
                Entity::Definition(def) => {
                    let receiver = Ty::Value(*def, Rc::new([]));
                    let methods = methods(context, *def, &receiver, name, Strategy::Glob);
                    found.extend(methods);
                }
                Entity::Outside(path) => elsewhere = Some(format!("{path}.{name}")),
                _ => {}
            }
        }
    }
    if !found.is_empty() {
        return found;
    }
    match (above, elsewhere) {
        (Some(of @ Ty::Outside { .. }), _) => member_outside(of, name, Strategy::Super),
        (_, Some(path)) => outside(&path, Strategy::Glob),
        _ => Vec::new(),
    }
}

/// Whether a method around a class with a base outside may be hidden by one of that base: it stands in
/// for one outside itself, as two subclasses of one class of a library do.
fn is_of_outside(context: &Context<'_>, found: &Found, of: &Ty) -> bool {
    let Entity::Definition(def) = found.entity else { return false };
    let is_known = matches!(of, Ty::Outside { path, .. } if path.starts_with("java."));
    !is_known
        && context.declared(def).is_some_and(|d| d.flags & flags::OVERRIDE != 0)
        && overridden(context, def).is_empty()
}

fn is_method_or_outside(context: &Context<'_>, found: &Found) -> bool {
    match found.entity {
        Entity::Definition(def) => {
            context.declared(def).is_some_and(|d| d.kind == NodeKind::Method)
        }
        Entity::Outside(_) => true,
        _ => false,
    }
}

/// What a call gives.
pub(super) fn invoked(
    context: &Context<'_>,
    place: Place<'_>,
    callee: ExprId,
    arguments: &[ExprId],
) -> (Ty, Strategy) {
    let found = overloads(context, place, callee, arguments);
    let mut how = Strategy::Return;
    let mut types = Vec::new();
    for one in &found {
        how = how.max(one.how);
        types.push(match &one.entity {
            Entity::Definition(def) => {
                given(context, place, *def, one.receiver.as_ref(), arguments)
            }
            Entity::OutsideMember(of, name) => match (&**of, &**name) {
                (Ty::Outside { path, arguments, .. }, "values") if &**path == "java.lang.Enum" => {
                    Ty::outside_value(java_std::ARRAY, arguments.to_vec())
                }
                (Ty::Outside { path, arguments, .. }, "valueOf") if &**path == "java.lang.Enum" => {
                    arguments.first().cloned().unwrap_or(Ty::Unknown)
                }
                _ => java_results::result(of, name),
            },
            Entity::Outside(path) => {
                let arguments: Vec<Ty> =
                    arguments.iter().map(|&argument| context.infer(place, argument).0).collect();
                java_results::static_result(path, &arguments)
            }
            _ => Ty::Unknown,
        });
    }
    // Of several that the arguments do not tell apart, only what all of them give is known.
    match types.split_first() {
        Some((first, rest)) if rest.iter().all(|ty| ty == first) => (first.clone(), how),
        _ => (Ty::Unknown, how),
    }
}

/// What a method of the project gives on a receiver, its own type parameters told by the arguments.
fn given(
    context: &Context<'_>,
    place: Place<'_>,
    def: Def,
    receiver: Option<&Ty>,
    arguments: &[ExprId],
) -> Ty {
    let Some(declared) = context.declared(def) else { return Ty::Unknown };
    if declared.kind != NodeKind::Method {
        return context.type_of_definition(def, receiver).0;
    }
    let ty = context.result(def, receiver);
    if declared.generics.is_empty() {
        return ty;
    }
    with_arguments(context, place, def, ty, arguments)
}

pub(super) fn with_arguments(
    context: &Context<'_>,
    place: Place<'_>,
    def: Def,
    ty: Ty,
    arguments: &[ExprId],
) -> Ty {
    let (Some(declared), Some(inside)) = (context.declared(def), context.inside(def)) else {
        return ty;
    };
    let mut known: Vec<Option<Ty>> = vec![None; declared.generics.len()];
    for (parameter, &argument) in declared.parameters.iter().zip(arguments) {
        let parameter = context.eval(inside, parameter.ty);
        let names_one = mentions(&parameter, def);
        if names_one {
            let argument = context.infer(place, argument).0;
            unify(&parameter, &argument, def, &mut known);
        }
    }
    context.replaced(&ty, &|of, index| {
        if of == def { known.get(index as usize).cloned().flatten() } else { None }
    })
}

fn mentions(ty: &Ty, def: Def) -> bool {
    match ty {
        Ty::Parameter(of, _) => *of == def,
        Ty::Value(_, arguments) | Ty::Outside { arguments, .. } => {
            arguments.iter().any(|ty| mentions(ty, def))
        }
        _ => false,
    }
}

fn unify(parameter: &Ty, argument: &Ty, def: Def, known: &mut [Option<Ty>]) {
    match (parameter, argument) {
        (_, Ty::Unknown) => {}
        (Ty::Parameter(of, index), _) if *of == def && !is_null(argument) => {
            if let Some(slot) = known.get_mut(*index as usize) {
                slot.get_or_insert_with(|| argument.clone());
            }
        }
        (Ty::Value(one, inner), Ty::Value(other, more)) if one == other => {
            for (parameter, argument) in inner.iter().zip(more.iter()) {
                unify(parameter, argument, def, known);
            }
        }
        (
            Ty::Outside { path: one, arguments: inner, .. },
            Ty::Outside { path: other, arguments: more, .. },
        ) if java_std::above(other, one).is_some() && inner.len() == more.len() => {
            for (parameter, argument) in inner.iter().zip(more.iter()) {
                unify(parameter, argument, def, known);
            }
        }
        _ => {}
    }
}

/// What going through a value of a type of the project gives.
pub(super) fn iterated(context: &Context<'_>, def: Def, of: &Ty) -> Ty {
    let found = methods(context, def, of, "iterator", Strategy::Element);
    if let Some(one) = found.first()
        && let Entity::Definition(method) = one.entity
    {
        let ty = as_value(context.result(method, one.receiver.as_ref()), Vec::new());
        return match ty {
            Ty::Outside { arguments, .. } => arguments.first().cloned().unwrap_or(Ty::Unknown),
            _ => Ty::Unknown,
        };
    }
    match &context.bases(def).outside {
        Some(Ty::Outside { arguments, .. }) if arguments.len() == 1 => {
            context.substituted(arguments[0].clone(), Some(of))
        }
        _ => Ty::Unknown,
    }
}

/// The methods of bases that a method stands in for: of each direct base the first on the way up.
pub(super) fn overridden(context: &Context<'_>, def: Def) -> Vec<Def> {
    let Some(declared) = context.declared(def) else { return Vec::new() };
    let (Some(number), Some(pool)) = (declared.parent.number(), context.pool(def.slot)) else {
        return Vec::new();
    };
    let name = pool.name(declared.name);
    let parent = Def { slot: def.slot, number };
    let own = Ty::Value(parent, context.own_arguments(parent).into());
    let mut method = Found::definition(def, Strategy::Member);
    method.receiver = Some(own);
    let mut all = Vec::new();
    for base in context.direct_bases(parent) {
        let Ty::Value(of, _) = &base else { continue };
        let found = methods(context, *of, &base, name, Strategy::Member);
        let same = found.iter().find(|one| java_overloads::same_parameters(context, one, &method));
        if let Some(Found { entity: Entity::Definition(target), .. }) = same
            && context.declared(*target).is_some_and(|d| d.flags & flags::STATIC == 0)
            && !all.contains(target)
        {
            all.push(*target);
        }
    }
    all
}
