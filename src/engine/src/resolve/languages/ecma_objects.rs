//! Objects of JavaScript without a class: methods set on functions, prototypes and constants.

use std::rc::Rc;

use onyx_protocol::code::{Declared, Expr, Pool, Type, TypeId, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::ecma::FAMILY;
use crate::resolve::context::{At, Context, Place};
use crate::resolve::ty::{Def, Entity, Found, Space, Strategy, Ty};
use crate::resolve::workspace::Named;

/// Methods set on objects and prototypes, by `Object.method`.
pub(super) const ATTACHED: u8 = 1;

/// The last name of what a method is set on.
pub(super) fn owner_name(pool: &Pool, receiver: TypeId) -> Option<&str> {
    match pool.ty(receiver) {
        Type::Named(path, _) => path.last().map(|&name| pool.name(name)),
        Type::Of(expr) => match pool.expr(*expr) {
            Expr::Name(name) => Some(pool.name(*name)),
            _ => None,
        },
        _ => None,
    }
}

/// The definition a method is set on, and whether on its prototype.
fn owner(context: &Context<'_>, def: Def, declared: &Declared) -> Option<(Def, bool)> {
    let place = context.inside(def)?;
    let pool = context.pool(def.slot)?;
    let name = owner_name(pool, declared.receiver)?;
    // Its own parameters are no owners.
    let at = At::Within(declared.parent);
    let found = context.find_name(Place { at, ..place }, name, Space::Value);
    match found[..] {
        [Found { entity: Entity::Definition(of), .. }] => {
            Some((of, matches!(pool.ty(declared.receiver), Type::Named(..))))
        }
        _ => None,
    }
}

/// What `this` is in a method that is set on something.
pub(super) fn receiver_type(context: &Context<'_>, def: Def, declared: &Declared) -> Option<Ty> {
    let (of, on_prototype) = owner(context, def, declared)?;
    let kind = context.declared(of)?.kind;
    Some(match kind {
        _ if on_prototype => Ty::Value(of, context.own_arguments(of).into()),
        NodeKind::Class => Ty::Type(of, Rc::new([])),
        NodeKind::Function => Ty::Function(of, None),
        _ => Ty::Value(of, Rc::new([])),
    })
}

/// Methods that are set on a definition or its prototype.
pub(super) fn attached(
    context: &Context<'_>,
    def: Def,
    name: &str,
    on_prototype: bool,
) -> Vec<Found> {
    let Some(declared) = context.declared(def) else { return Vec::new() };
    let Some(pool) = context.pool(def.slot) else { return Vec::new() };
    let key = format!("{}.{name}", pool.name(declared.name));
    let candidates = context.special(def.slot, FAMILY, ATTACHED, &key).into_iter();
    let found = candidates.filter(|&method| {
        let Some(declared) = context.declared(method) else { return false };
        owner(context, method, declared) == Some((def, on_prototype))
    });
    // The last one holds.
    found.last().map(|def| Found::definition(def, Strategy::Scope)).into_iter().collect()
}

/// What a field of a function or object is set to, that is no definition.
pub(super) fn set_on(context: &Context<'_>, def: Def, name: &str) -> Option<Found> {
    let named = context.named(def.slot, Within::definition(def.number), name);
    named.iter().find_map(|item| match *item {
        Named::Attribute(number) => {
            Some(Found::new(Entity::Attribute(def.slot, number), Strategy::Scope))
        }
        _ => None,
    })
}

/// Members of what a function makes when it is called with `new`.
pub(super) fn made_members(
    context: &Context<'_>,
    def: Def,
    name: &str,
    space: Space,
) -> Vec<Found> {
    let bases = context.bases(def);
    for (base, _) in &bases.all {
        let Some(declared) = context.declared(*base) else { continue };
        if declared.kind == NodeKind::Class {
            let mut found = context.own_members(*base, name, space);
            found.retain(|one| is_on(context, one, true));
            if !found.is_empty() {
                return found;
            }
        }
        let found = attached(context, *base, name, true);
        if !found.is_empty() {
            return found;
        }
        if let Some(found) = set_on(context, *base, name) {
            return vec![found];
        }
    }
    match &bases.outside {
        Some(Ty::Outside { path, .. }) => {
            let path = format!("{path}.{name}");
            vec![Found::new(Entity::Outside(path.into()), Strategy::Super)]
        }
        Some(_) => vec![Found::new(Entity::Opaque, Strategy::Super)],
        None => Vec::new(),
    }
}

/// Whether a function is one that `new` makes objects with: by its name, as everybody writes them.
pub(super) fn makes(context: &Context<'_>, def: Def, declared: &Declared) -> bool {
    let name = context.pool(def.slot).map_or("", |pool| pool.name(declared.name));
    declared.kind == NodeKind::Function && name.starts_with(char::is_uppercase)
}

/// Whether a member is one of values, or one of the class itself.
pub(super) fn is_on(context: &Context<'_>, one: &Found, is_value: bool) -> bool {
    let Entity::Definition(def) = one.entity else { return true };
    let Some(declared) = context.declared(def) else { return false };
    match declared.kind {
        NodeKind::EnumMember | NodeKind::Constructor => true,
        NodeKind::Method | NodeKind::Field | NodeKind::Property => {
            (declared.flags & flags::STATIC == 0) == is_value
        }
        _ => !is_value,
    }
}
