//! Go: the interfaces a type implements by its method set.

use std::rc::Rc;

use onyx_protocol::code::{Parameter, Within};
use onyx_protocol::facts::NodeKind;

use super::golang::{
    FAMILY, INTERFACE, MAX_EMBEDDING, METHODS, is_exported, key, members, package_of,
};
use super::golang_universe as universe;
use crate::resolve::context::Context;
use crate::resolve::infer::as_type;
use crate::resolve::ty::{Def, Entity, Space, Ty};

/// Most methods and most interfaces looked at to find what a type implements.
const MAX_METHODS: usize = 400;

/// A method of a method set: where it is declared, or only its name when it is outside.
enum Method<'a> {
    Known(&'a str, Def),
    Outside(&'a str),
}

/// All methods an interface asks for; None when some are not known.
fn required<'w>(
    context: &Context<'w>,
    def: Def,
    all: &mut Vec<Method<'w>>,
    depth: usize,
) -> Option<()> {
    if depth > MAX_EMBEDDING || all.len() > MAX_METHODS {
        return None;
    }
    let declared = context.declared(def)?;
    let file = context.file(def.slot)?;
    let of = key(&package_of(file), file.interface.pool.name(declared.name));
    for method in context.special(def.slot, FAMILY, METHODS, &of) {
        // Two types of one name are of different builds, or local to functions.
        if context.declared(method)?.parent == Within::definition(def.number)
            && method.slot == def.slot
        {
            let name = context.pool(method.slot)?.name(context.declared(method)?.name);
            all.push(Method::Known(name, method));
        }
    }
    let place = context.inside(def)?;
    for &base in &declared.bases {
        match context.eval(place, base) {
            Ty::Value(of, _) if context.declared(of)?.kind == NodeKind::Interface => {
                required(context, of, all, depth + 1)?;
            }
            Ty::Outside { path, .. } => {
                all.extend(universe::interface(&path)?.iter().map(|name| Method::Outside(name)));
            }
            _ => return None,
        }
    }
    Some(())
}

/// The names of a type's methods, promoted ones included.
fn method_names<'w>(context: &Context<'w>, def: Def, names: &mut Vec<&'w str>, depth: usize) {
    let (Some(declared), Some(file)) = (context.declared(def), context.file(def.slot)) else {
        return;
    };
    if depth > MAX_EMBEDDING || names.len() > MAX_METHODS {
        return;
    }
    let of = key(&package_of(file), file.interface.pool.name(declared.name));
    for method in context.special(def.slot, FAMILY, METHODS, &of) {
        if let (Some(pool), Some(declared)) = (context.pool(method.slot), context.declared(method))
        {
            names.push(pool.name(declared.name));
        }
    }
    if declared.kind == NodeKind::Interface {
        let mut all = Vec::new();
        let _ = required(context, def, &mut all, depth);
        names.extend(all.iter().map(|method| match method {
            Method::Known(name, _) | Method::Outside(name) => *name,
        }));
        return;
    }
    for base in context.direct_bases(def) {
        if let Ty::Value(of, _) = base {
            method_names(context, of, names, depth + 1);
        }
    }
}

/// The interfaces whose methods a type has.
pub(super) fn satisfied(context: &Context<'_>, def: Def) -> Vec<Def> {
    let Some(file) = context.file(def.slot) else { return Vec::new() };
    let mut names = Vec::new();
    method_names(context, def, &mut names, 0);
    names.sort_unstable();
    names.dedup();
    let embedded = context.direct_bases(def);
    let mut found = Vec::new();
    for name in &names {
        for interface in
            context.special(def.slot, FAMILY, INTERFACE, name).into_iter().take(MAX_METHODS)
        {
            // Each type is a question of its own.
            context.restart();
            if interface == def || found.contains(&interface) {
                continue;
            }
            let (Some(declared), Some(other)) =
                (context.declared(interface), context.file(interface.slot))
            else {
                continue;
            };
            let is_near = package_of(other) == package_of(file);
            // What nobody else can import is for its own package.
            let is_closed = other.package == "main" || other.path.ends_with("_test.go");
            let name = other.interface.pool.name(declared.name);
            if !is_near && (is_closed || !is_exported(name)) {
                continue;
            }
            if embedded.iter().any(|base| matches!(base, Ty::Value(of, _) if *of == interface)) {
                continue;
            }
            let mut all = Vec::new();
            if required(context, interface, &mut all, 0).is_none() {
                continue;
            }
            let has = |method: &Method<'_>| match method {
                Method::Outside(name) => names.contains(name),
                Method::Known(name, wanted) => {
                    (is_near || is_exported(name))
                        && names.contains(name)
                        && matches!(
                            &members(context, def, name, Space::Value, 0)[..],
                            [one] if matches!(one.entity, Entity::Definition(own)
                                if same_signature(context, own, *wanted))
                        )
                }
            };
            if all.iter().all(has) {
                found.push(interface);
            }
        }
    }
    found
}

/// Whether two methods take and give the same, as far as is known.
fn same_signature(context: &Context<'_>, one: Def, other: Def) -> bool {
    let (Some(a), Some(b)) = (context.declared(one), context.declared(other)) else { return false };
    let is_method = matches!(a.kind, NodeKind::Method);
    if !is_method || a.parameters.len() != b.parameters.len() || (a.ty == 0) != (b.ty == 0) {
        return false;
    }
    let (Some(here), Some(there)) = (context.inside(one), context.inside(other)) else {
        return false;
    };
    let types = |(a, b): (&Parameter, &Parameter)| {
        same(&context.eval(here, a.ty), &context.eval(there, b.ty))
    };
    a.parameters.iter().zip(&b.parameters).all(types)
        && same(&context.eval(here, a.ty), &context.eval(there, b.ty))
}

/// Whether two types may be one.
fn same(one: &Ty, other: &Ty) -> bool {
    let all = |one: &Rc<[Ty]>, other: &Rc<[Ty]>| {
        one.len() == other.len() && one.iter().zip(other.iter()).all(|(a, b)| same(a, b))
    };
    match (one, other) {
        (Ty::Unknown | Ty::Parameter(..), _) | (_, Ty::Unknown | Ty::Parameter(..)) => true,
        (Ty::Value(a, x), Ty::Value(b, y)) => a == b && all(x, y),
        (Ty::Tuple(x), Ty::Tuple(y)) => all(x, y),
        (Ty::Outside { path: a, arguments: x, .. }, Ty::Outside { path: b, arguments: y, .. }) => {
            bare(a) == bare(b) && all(x, y)
        }
        (Ty::Gives(a), Ty::Gives(b)) => same(a, b),
        (one, other) => as_type(one.clone()) == as_type(other.clone()),
    }
}

/// Two names of one type.
fn bare(path: &str) -> &str {
    match path {
        "byte" => "uint8",
        "rune" => "int32",
        other => other,
    }
}
