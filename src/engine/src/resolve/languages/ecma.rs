//! JavaScript and TypeScript: modules by their paths, what they export, classes and prototypes.
//!
//! One family: a TypeScript file imports a JavaScript one and the other way round. Of several files that
//! a path may mean, the one with code comes before the one that only declares.

use std::rc::Rc;

use onyx_protocol::code::{Declared, Expr, Import, Pool, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::ecma_exports::{WHOLE, exported, resolved};
use super::ecma_files::module_found;
use super::ecma_objects::{
    ATTACHED, attached, is_on, made_members, makes, owner_name, receiver_type, set_on,
};
use super::ecma_std;
use super::{Rules, Special};
use crate::resolve::context::{At, Context, Place};
use crate::resolve::infer::{as_type, as_value};
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use crate::resolve::workspace::{File, Named};

pub(super) struct Ecma;

pub(super) const FAMILY: u8 = 5;

impl Rules for Ecma {
    fn family(&self) -> u8 {
        FAMILY
    }

    fn index(&self, file: &File, add: &mut dyn FnMut(Special<'_>)) {
        add(Special::Module(&file.module));
        let pool = &file.interface.pool;
        for (number, declared) in (0..).zip(&file.interface.definitions) {
            if let Some(owner) = owner_name(pool, declared.receiver) {
                let name = format!("{owner}.{}", pool.name(declared.name));
                add(Special::Named(ATTACHED, &name, number));
            }
        }
    }

    fn import(&self, context: &Context<'_>, slot: u32, pool: &Pool, import: &Import) -> Vec<Found> {
        let name = pool.name(import.name);
        match module_found(context, slot, pool.name(import.module)) {
            Some(Entity::Module(module)) if name.is_empty() => {
                let of = module.slot.filter(|_| import.flags & flags::GLOB == 0);
                let whole = of.map(|of| exported(context, of, WHOLE, Space::Value));
                match whole {
                    Some(whole) if !whole.is_empty() => whole,
                    _ => vec![Found::new(Entity::Module(module), Strategy::Import)],
                }
            }
            Some(Entity::Module(module)) => {
                let Some(of) = module.slot else { return Vec::new() };
                both(|space| exported(context, of, name, space))
            }
            Some(Entity::Outside(path)) => {
                let path = match name {
                    "" | "default" => path,
                    name => format!("{path}.{name}").into(),
                };
                vec![Found::new(Entity::Outside(path), Strategy::Import)]
            }
            _ => Vec::new(),
        }
    }

    fn glob(
        &self,
        _: &Context<'_>,
        _: &Pool,
        _: &Import,
        _: &Found,
        _: &str,
        _: Space,
    ) -> Vec<Found> {
        Vec::new()
    }

    fn module_member(
        &self,
        context: &Context<'_>,
        module: &Module,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        let Some(slot) = module.slot else { return Vec::new() };
        match module.within {
            Within::FILE => exported(context, slot, name, space),
            within => context.find_in_module(slot, within, name, space),
        }
    }

    fn beyond(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        _within: Within,
        name: &str,
        _space: Space,
    ) -> Vec<Found> {
        if name == "this" {
            let ty = context.self_type(place).filter(|ty| !ty.is_unknown());
            let found = ty.map(|ty| Found::new(Entity::Receiver(ty), Strategy::Own));
            return found.into_iter().collect();
        }
        if let Some(module) = name.strip_prefix("require:") {
            return match module_found(context, place.slot, module) {
                Some(Entity::Module(module)) => {
                    let whole = match module.slot {
                        Some(of) => exported(context, of, WHOLE, Space::Value),
                        None => Vec::new(),
                    };
                    if whole.is_empty() {
                        vec![Found::new(Entity::Module(module), Strategy::Import)]
                    } else {
                        whole
                    }
                }
                Some(entity) => vec![Found::new(entity, Strategy::Import)],
                None => Vec::new(),
            };
        }
        if name == "exports" {
            // The file's own.
            let (slot, within) = (Some(place.slot), Within::FILE);
            let module = Module { slot, within, path: "".into() };
            return vec![Found::new(Entity::Module(module), Strategy::Scope)];
        }
        let found = ecma_std::is_global(name)
            .then(|| Found::new(Entity::Outside(name.into()), Strategy::Scope));
        found.into_iter().collect()
    }

    fn is_builtin(&self, path: &str) -> bool {
        ecma_std::is_builtin(path)
    }

    fn declares_ahead(&self) -> bool {
        true
    }

    fn is_value(&self, kind: NodeKind) -> bool {
        !matches!(kind, NodeKind::Interface | NodeKind::TypeAlias)
    }

    fn type_scope(&self, _innermost: bool) -> bool {
        false
    }

    fn type_path(&self, context: &Context<'_>, place: Place<'_>, path: &[&str]) -> Vec<Found> {
        let Some((head, rest)) = path.split_first() else { return Vec::new() };
        if let (&"globalThis", [name]) = (head, rest) {
            return vec![Found::new(Entity::Outside((*name).into()), Strategy::Scope)];
        }
        if path == ["this", "constructor"] {
            let ty = context.self_type(place).map(as_type);
            let found = ty.map(|ty| Found::new(Entity::Receiver(ty), Strategy::Own));
            return found.into_iter().collect();
        }
        let mut found = context.find_name(place, head, Space::Type);
        if found.is_empty() {
            found = context.find_name(place, head, Space::Value);
        }
        for name in rest {
            let (ty, how) = context.types_of(&found);
            found = context.members(&ty, name, Space::Type);
            if found.is_empty() {
                found = context.members(&ty, name, Space::Value);
            }
            for one in &mut found {
                one.how = one.how.max(how);
            }
        }
        let is_type = |one: &Found| match one.entity {
            Entity::Definition(def) => context.declared(def).is_some_and(|declared| {
                matches!(
                    declared.kind,
                    NodeKind::Class
                        | NodeKind::Interface
                        | NodeKind::TypeAlias
                        | NodeKind::Enum
                        | NodeKind::EnumMember
                        | NodeKind::Module
                )
            }),
            Entity::Outside(_) | Entity::Generic(..) => true,
            _ => false,
        };
        if found.iter().all(is_type) {
            return found;
        }
        // A value that is a class, or a function that makes objects.
        let (ty, how) = context.types_of(&found);
        let ty = match ty {
            Ty::Function(def, _) => Ty::Type(def, Rc::new([])),
            Ty::Type(..) | Ty::Outside { is_value: false, .. } => ty,
            _ => return Vec::new(),
        };
        vec![Found::new(Entity::Receiver(ty), how)]
    }

    fn members(
        &self,
        context: &Context<'_>,
        def: Def,
        name: &str,
        space: Space,
        is_value: bool,
    ) -> Vec<Found> {
        let Some(declared) = context.declared(def) else { return Vec::new() };
        if name == "prototype" && !is_value {
            let ty = Ty::Value(def, context.own_arguments(def).into());
            return vec![Found::new(Entity::Receiver(ty), Strategy::Member)];
        }
        let of_class = |def: Def| {
            let mut found = context.class_members(def, name, space);
            found.retain(|one| is_on(context, one, is_value));
            found
        };
        match declared.kind {
            NodeKind::Class | NodeKind::Interface | NodeKind::TypeAlias | NodeKind::Enum => {
                let mut found = of_class(def);
                let is_known = |found: &[Found]| {
                    found
                        .iter()
                        .any(|one| !matches!(one.entity, Entity::Outside(_) | Entity::Opaque))
                };
                if is_known(&found) {
                    return found;
                }
                let more = attached(context, def, name, is_value);
                if !more.is_empty() {
                    return more;
                }
                // Interfaces and namespaces of the same name are one with it.
                for other in alike(context, def) {
                    let more = match context.declared(other).map(|d| d.kind) {
                        Some(NodeKind::Module) if !is_value => {
                            let within = Within::definition(other.number);
                            context.find_in_module(other.slot, within, name, space)
                        }
                        Some(NodeKind::Interface | NodeKind::Class) if is_value => of_class(other),
                        _ => Vec::new(),
                    };
                    if is_known(&more) {
                        return more;
                    }
                }
                if found.len() > 1 {
                    found.truncate(1);
                }
                found
            }
            NodeKind::Function | NodeKind::Method | NodeKind::Constructor if is_value => {
                made_members(context, def, name, space)
            }
            NodeKind::Function | NodeKind::Method | NodeKind::Constructor => {
                let mut found = attached(context, def, name, false);
                found.extend(set_on(context, def, name).filter(|_| found.is_empty()));
                found
            }
            _ => {
                let mut found = attached(context, def, name, false);
                found.extend(set_on(context, def, name).filter(|_| found.is_empty()));
                if !found.is_empty() {
                    return found;
                }
                let Some(place) = context.inside(def) else { return Vec::new() };
                let mut all = Vec::new();
                for &value in &declared.values {
                    let (ty, _) = context.infer(place, value);
                    if !matches!(ty, Ty::Value(of, _) if of == def) {
                        all.extend(context.members(&ty, name, space));
                    }
                }
                all
            }
        }
    }

    fn function_members(&self, context: &Context<'_>, def: Def, name: &str) -> Vec<Found> {
        match name {
            // To call it so is to call it.
            "call" | "apply" => return vec![Found::definition(def, Strategy::Scope)],
            "prototype" => {
                let ty = Ty::Value(def, Rc::new([]));
                return vec![Found::new(Entity::Receiver(ty), Strategy::Member)];
            }
            _ => {}
        }
        let mut found = attached(context, def, name, false);
        found.extend(set_on(context, def, name).filter(|_| found.is_empty()));
        if !found.is_empty() {
            return found;
        }
        match name {
            "bind" | "toString" => {
                let path = format!("Function.prototype.{name}");
                vec![Found::new(Entity::Outside(path.into()), Strategy::Scope)]
            }
            // `exports = module.exports = f; exports.g = ...`
            _ => {
                let whole = resolved(context, def.slot, WHOLE, Space::Value);
                let is_whole = whole.iter().any(|one| one.entity == Entity::Definition(def));
                if is_whole { resolved(context, def.slot, name, Space::Value) } else { Vec::new() }
            }
        }
    }

    fn receiver(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        if declared.receiver != 0 {
            return Some(receiver_type(context, def, declared).unwrap_or(Ty::Unknown));
        }
        if let Some(number) = declared.parent.number() {
            let parent = Def { slot: def.slot, number };
            let of = context.declared(parent)?;
            let is_member =
                matches!(of.kind, NodeKind::Class | NodeKind::Interface | NodeKind::TypeAlias);
            if is_member && declared.flags & flags::HIDDEN == 0 {
                let arguments = context.own_arguments(parent).into();
                return Some(match declared.flags & flags::STATIC {
                    0 => Ty::Value(parent, arguments),
                    _ => Ty::Type(parent, arguments),
                });
            }
        }
        makes(context, def, declared).then(|| Ty::Value(def, Rc::new([])))
    }

    fn self_of(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        match declared.kind {
            NodeKind::Class | NodeKind::Interface | NodeKind::TypeAlias | NodeKind::Enum => {
                Some(Ty::Value(def, context.own_arguments(def).into()))
            }
            NodeKind::Constant | NodeKind::Variable => {
                let is_own = ecma_std::is_self(context.pool(def.slot)?.ty(declared.ty));
                is_own.then(|| Ty::Value(def, Rc::new([])))
            }
            _ => None,
        }
    }

    fn super_type(&self, context: &Context<'_>, place: Place<'_>) -> Option<Ty> {
        let mut within = match place.at {
            At::Within(within) => within,
            At::Scope(scope, ..) => context.scope_definition(scope),
        };
        let mut is_static = false;
        while let Some(number) = within.number() {
            let def = Def { slot: place.slot, number };
            let declared = context.declared(def)?;
            if declared.kind == NodeKind::Class {
                let bases = context.direct_bases(def).into_iter();
                let bases: Vec<Ty> = match is_static {
                    true => bases.map(as_type).collect(),
                    false => bases.collect(),
                };
                return Some(Ty::All(bases.into()));
            }
            is_static = declared.flags & flags::STATIC != 0;
            within = declared.parent;
        }
        None
    }

    fn gives_self(&self, context: &Context<'_>, def: Def, _declared: Def) -> bool {
        let (Some(declared), Some(pool)) = (context.declared(def), context.pool(def.slot)) else {
            return false;
        };
        let is_this = |&value: &u32| matches!(pool.expr(value), Expr::Name(name) if pool.name(*name) == "this");
        ecma_std::is_self(pool.ty(declared.ty))
            || declared.ty == 0 && declared.values.iter().any(is_this)
    }

    fn is_empty_base(&self, base: &Ty) -> bool {
        matches!(base, Ty::Outside { path, .. } if ecma_std::is_empty_base(path))
    }

    fn constructor(&self, context: &Context<'_>, def: Def, _count: u8) -> Option<Def> {
        let declared = context.declared(def)?;
        if matches!(declared.kind, NodeKind::Function | NodeKind::Method) {
            return Some(def);
        }
        let found = context.class_members(def, "constructor", Space::Value);
        found.into_iter().find_map(|one| match one.entity {
            Entity::Definition(def) => Some(def),
            _ => None,
        })
    }

    fn variant(&self, context: &Context<'_>, def: Def) -> Ty {
        let parent = context.declared(def).and_then(|declared| declared.parent.number());
        parent.map_or(Ty::Unknown, |number| Ty::Value(Def { slot: def.slot, number }, Rc::new([])))
    }

    fn module_of(&self, _context: &Context<'_>, def: Def) -> Ty {
        let within = Within::definition(def.number);
        Ty::Module(Module { slot: Some(def.slot), within, path: "".into() })
    }

    fn outside_result(&self, _context: &Context<'_>, callee: &Ty) -> Ty {
        ecma_std::result(callee)
    }

    fn result(&self, _context: &Context<'_>, declared: &Declared, ty: Ty) -> Ty {
        if declared.flags & flags::ASYNC != 0 { ecma_std::promised(ty) } else { ty }
    }

    fn typed(&self, context: &Context<'_>, ty: Ty) -> Ty {
        if let Ty::Outside { path, arguments, .. } = &ty
            && let [of, ..] = &arguments[..]
        {
            match &**path {
                "ReturnType" => return context.called(of),
                "InstanceType" => return as_value(of.clone(), Vec::new()),
                _ => {}
            }
        }
        ecma_std::used(ty)
    }

    fn array(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        Ty::outside_value("Array", vec![ty])
    }

    fn element(&self, _context: &Context<'_>, of: &Ty, index: bool) -> Ty {
        ecma_std::element(of, index)
    }

    fn awaited(&self, _context: &Context<'_>, of: Ty) -> Ty {
        ecma_std::awaited(of)
    }

    fn part(&self, _context: &Context<'_>, of: &Ty, _index: u8) -> Ty {
        ecma_std::element(of, true)
    }

    fn passed(&self, _context: &Context<'_>, object: &Ty, method: &str, index: u8) -> Ty {
        ecma_std::passed(object, method, index)
    }
}

/// What a name stands for as a type and as a value.
fn both(find: impl Fn(Space) -> Vec<Found>) -> Vec<Found> {
    let mut found = find(Space::Type);
    for one in find(Space::Value) {
        if !found.iter().any(|other| other.entity == one.entity) {
            found.push(one);
        }
    }
    found
}

/// Other definitions of a type's name beside it.
fn alike(context: &Context<'_>, def: Def) -> Vec<Def> {
    let (Some(declared), Some(pool)) = (context.declared(def), context.pool(def.slot)) else {
        return Vec::new();
    };
    let named = context.named(def.slot, declared.parent, pool.name(declared.name));
    let numbers = named.iter().filter_map(|item| match *item {
        Named::Definition(number) if number != def.number => Some(number),
        _ => None,
    });
    numbers.map(|number| Def { slot: def.slot, number }).collect()
}
