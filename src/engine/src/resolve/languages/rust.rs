//! Rust: crates and modules by their files, impl blocks by their type, traits, preludes.

use std::rc::Rc;

use onyx_protocol::code::{Declared, Import, Pool, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::rust_modules::{
    child, crate_name, head, macros, module_around, module_found, module_of, outer, parent, walk,
};
use super::rust_std;
use super::{Rules, Special};
use crate::resolve::context::{Context, Place};
use crate::resolve::infer::{as_type, as_value};
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use crate::resolve::workspace::{File, Named};

pub(super) struct Rust;

pub(super) const FAMILY: u8 = 2;
/// Crate roots by the crate's name.
pub(super) const CRATE: u8 = 1;
/// Impl blocks by the last name of their type.
const IMPL: u8 = 2;
/// Macros by their name.
pub(super) const MACRO: u8 = 3;

impl Rules for Rust {
    fn family(&self) -> u8 {
        FAMILY
    }

    fn separator(&self) -> &'static str {
        "::"
    }

    fn index(&self, file: &File, add: &mut dyn FnMut(Special<'_>)) {
        if let Some(name) = crate_name(&file.path) {
            add(Special::Named(CRATE, &name, u32::MAX));
        }
        let pool = &file.interface.pool;
        for (number, declared) in (0..).zip(&file.interface.definitions) {
            match declared.kind {
                NodeKind::Impl => {
                    if let Some(name) = last_name(pool, declared.ty) {
                        add(Special::Named(IMPL, name, number));
                    }
                }
                NodeKind::Macro => {
                    add(Special::Named(MACRO, pool.name(declared.name), number));
                }
                _ => {}
            }
        }
    }

    fn import(&self, context: &Context<'_>, slot: u32, pool: &Pool, import: &Import) -> Vec<Found> {
        let within = module_around(context, slot, import.owner, pool);
        let module = pool.name(import.module);
        let name = pool.name(import.name);
        let mut path: Vec<&str> = match module {
            "" => Vec::new(),
            module => module.split("::").collect(),
        };
        if !name.is_empty() {
            path.push(name);
        }
        let Some((last, before)) = path.split_last() else { return Vec::new() };
        if before.is_empty() {
            return head(context, slot, within, last);
        }
        let Some(of) = walk(context, slot, within, before) else { return Vec::new() };
        let mut found = context.members(&of, last, Space::Type);
        for one in context.members(&of, last, Space::Value) {
            if !found.iter().any(|other| other.entity == one.entity) {
                found.push(one);
            }
        }
        for one in &mut found {
            one.receiver = None;
        }
        found
    }

    fn glob(
        &self,
        context: &Context<'_>,
        pool: &Pool,
        import: &Import,
        of: &Found,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        match context.type_of(of).0 {
            Ty::Module(module) => {
                let Some(target) = module.slot else { return Vec::new() };
                // Nobody but those inside sees what a module imports for itself.
                let path = pool.name(import.module);
                let inside = path.starts_with("super") || path.starts_with("self");
                let named = context.named(target, module.within, name);
                let is_private = |item: &Named| match item {
                    Named::Import(number) => context
                        .import(target, *number)
                        .is_none_or(|import| import.flags & flags::REEXPORT == 0),
                    _ => false,
                };
                if !inside && !named.is_empty() && named.iter().all(is_private) {
                    return Vec::new();
                }
                context.find_in_module(target, module.within, name, space)
            }
            Ty::Type(def, _) => {
                let is_enum = context.declared(def).is_some_and(|d| d.kind == NodeKind::Enum);
                match is_enum {
                    true => context.own_members(def, name, space),
                    false => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn module_member(
        &self,
        context: &Context<'_>,
        module: &Module,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        let Some(slot) = module.slot else { return Vec::new() };
        match name {
            "super" => return module_found(parent(context, slot, module.within)),
            "self" => return module_found(Some(module.clone())),
            _ => {}
        }
        let found = context.find_in_module(slot, module.within, name, space);
        if found.is_empty()
            && module.within == Within::FILE
            && context.file(slot).is_some_and(|f| crate_name(&f.path).is_some())
        {
            // `#[macro_export]` puts macros at the crate's root.
            if let Some(bare) = name.strip_suffix('!') {
                return macros(context, slot, bare);
            }
        }
        found
    }

    fn beyond(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        within: Within,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        if name == "Self" {
            let ty = context.self_type(place);
            return ty
                .map(|ty| Found::new(Entity::Receiver(as_type(ty)), Strategy::Own))
                .into_iter()
                .collect();
        }
        if let Some(bare) = name.strip_suffix('!') {
            return macros(context, place.slot, bare);
        }
        let within = module_of(context, place.slot, within);
        outer(context, place.slot, within, name, space)
    }

    fn is_builtin(&self, path: &str) -> bool {
        let head = path.split("::").next().unwrap_or(path);
        matches!(head, "std" | "core" | "alloc") || rust_std::is_prelude(head)
    }

    fn read_space(&self) -> Space {
        Space::Any
    }

    fn modules_close(&self) -> bool {
        true
    }

    fn type_scope(&self, _innermost: bool) -> bool {
        false
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
        match declared.kind {
            NodeKind::Trait => return context.class_members(def, name, space),
            NodeKind::Impl | NodeKind::TypeAlias => return Vec::new(),
            _ => {}
        }
        if let Ok(index) = name.parse::<u32>() {
            let is_part = (index as usize) < declared.parameters.len();
            let part = Found::new(Entity::Parameter(def, index), Strategy::Field);
            return is_part.then_some(part).into_iter().collect();
        }
        let own = context.own_members(def, name, Space::Any);
        let own: Vec<Found> = own
            .into_iter()
            .filter(|one| match one.entity {
                Entity::Definition(member) => context
                    .declared(member)
                    .is_some_and(|d| (d.kind == NodeKind::Field) == is_value),
                _ => false,
            })
            .collect();
        if !own.is_empty() && (space != Space::Value || !is_value || !is_called(context, def, name))
        {
            return own;
        }
        if declared.kind == NodeKind::EnumMember {
            let Some(parent) = declared.parent.number() else { return Vec::new() };
            let parent = Def { slot: def.slot, number: parent };
            return self.members(context, parent, name, space, true);
        }
        let blocks = blocks(context, def);
        for of_trait in [false, true] {
            for &block in blocks.iter() {
                let is_trait = context.declared(block).is_some_and(|d| !d.bases.is_empty());
                if is_trait != of_trait {
                    continue;
                }
                let found = context.own_members(block, name, space);
                if !found.is_empty() {
                    return found;
                }
            }
        }
        if !own.is_empty() {
            return own;
        }
        // What traits give to all that implement them.
        for &block in blocks.iter() {
            for base in context.direct_bases(block) {
                if let Ty::Value(of, _) = base {
                    let mut found = context.class_members(of, name, space);
                    found.retain(|one| matches!(one.entity, Entity::Definition(_)));
                    if !found.is_empty() {
                        for one in &mut found {
                            one.how = one.how.max(Strategy::Bound);
                            one.receiver = None;
                        }
                        return found;
                    }
                }
            }
        }
        Vec::new()
    }

    fn behind(&self, context: &Context<'_>, of: &Ty, name: &str, space: Space) -> Vec<Found> {
        if space == Space::Type {
            return Vec::new();
        }
        // What it dereferences to.
        let target = context.members(of, "Target", Space::Type);
        if let [one] = &target[..]
            && matches!(one.entity, Entity::Definition(_))
        {
            let (ty, _) = context.type_of(one);
            let mut found = context.members(&as_value(ty, Vec::new()), name, space);
            for one in &mut found {
                one.how = one.how.max(Strategy::Field);
            }
            if !found.is_empty() {
                return found;
            }
        }
        // What the standard library gives to all iterators, and what is derived.
        let of = match iterates(context, of) {
            Some(item) => rust_std::iterator(item),
            None if rust_std::is_derived(name) => of.clone(),
            None => return Vec::new(),
        };
        vec![Found::new(Entity::OutsideMember(Rc::new(of), name.into()), Strategy::Scope)]
    }

    fn receiver(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        if declared.flags & flags::RECEIVER == 0 {
            return None;
        }
        self.self_of(context, Def { slot: def.slot, number: declared.parent.number()? })
    }

    fn self_of(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        match declared.kind {
            NodeKind::Impl => {
                let place = context.inside(def)?;
                Some(context.remembered(def, || context.eval(place, declared.ty)))
            }
            NodeKind::Trait | NodeKind::Struct | NodeKind::Enum | NodeKind::Union => {
                Some(Ty::Value(def, context.own_arguments(def).into()))
            }
            _ => None,
        }
    }

    fn overridden(&self, context: &Context<'_>, def: Def) -> Vec<Def> {
        let Some(declared) = context.declared(def) else { return Vec::new() };
        let Some(number) = declared.parent.number() else { return Vec::new() };
        let Some(pool) = context.pool(def.slot) else { return Vec::new() };
        let block = Def { slot: def.slot, number };
        if context.declared(block).is_none_or(|d| d.kind != NodeKind::Impl) {
            return Vec::new();
        }
        let name = pool.name(declared.name);
        let mut found = Vec::new();
        for base in context.direct_bases(block) {
            if let Ty::Value(of, _) = base {
                for one in context.own_members(of, name, Space::Value) {
                    if let Entity::Definition(target) = one.entity {
                        found.push(target);
                    }
                }
            }
        }
        found
    }

    fn gives_self(&self, context: &Context<'_>, def: Def, _declared: Def) -> bool {
        let Some(declared) = context.declared(def) else { return false };
        let Some(pool) = context.pool(def.slot) else { return false };
        *pool.ty(declared.ty) == onyx_protocol::code::Type::SelfType
    }

    fn variant(&self, _context: &Context<'_>, def: Def) -> Ty {
        Ty::Type(def, Rc::new([]))
    }

    fn module_of(&self, context: &Context<'_>, def: Def) -> Ty {
        let Some(declared) = context.declared(def) else { return Ty::Unknown };
        if declared.flags & flags::ELSEWHERE == 0 {
            let within = Within::definition(def.number);
            return Ty::Module(Module { slot: Some(def.slot), within, path: "".into() });
        }
        let name = context.pool(def.slot).map_or("", |pool| pool.name(declared.name));
        match child(context, def.slot, declared.parent, name) {
            Some(slot) => {
                Ty::Module(Module { slot: Some(slot), within: Within::FILE, path: "".into() })
            }
            None => Ty::Unknown,
        }
    }

    fn outside_result(&self, _context: &Context<'_>, callee: &Ty) -> Ty {
        rust_std::result(callee)
    }

    fn through_outside(
        &self,
        context: &Context<'_>,
        of: &Ty,
        name: &str,
        space: Space,
    ) -> Option<Vec<Found>> {
        let inner = rust_std::pointed(of)?;
        if rust_std::is_own_method(of, name) {
            return None;
        }
        let found = context.members(&inner, name, space);
        (!found.is_empty()).then_some(found)
    }

    fn result(&self, _context: &Context<'_>, _declared: &Declared, ty: Ty) -> Ty {
        ty
    }

    fn array(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        Ty::outside_value("slice", vec![ty])
    }

    fn element(&self, context: &Context<'_>, of: &Ty, index: bool) -> Ty {
        match of {
            Ty::Value(..) | Ty::Parameter(..) | Ty::All(_) => {
                let name = if index { "Output" } else { "Item" };
                let found = context.members(of, name, Space::Type);
                as_value(context.types_of(&found).0, Vec::new())
            }
            other => rust_std::element(other, index),
        }
    }

    fn tried(&self, _context: &Context<'_>, of: Ty) -> Ty {
        rust_std::payload(&of, "Ok")
    }

    fn dereferenced(&self, _context: &Context<'_>, of: Ty) -> Ty {
        rust_std::pointed(&of).unwrap_or(of)
    }

    fn payload(&self, _context: &Context<'_>, of: &Ty, name: &str) -> Ty {
        rust_std::payload(of, name)
    }

    fn passed(&self, context: &Context<'_>, object: &Ty, method: &str, index: u8) -> Ty {
        match iterates(context, object) {
            Some(item) => rust_std::passed(&rust_std::iterator(item), method, index),
            None => rust_std::passed(object, method, index),
        }
    }
}

/// What a value of a type that is an iterator gives.
fn iterates(context: &Context<'_>, of: &Ty) -> Option<Ty> {
    if !matches!(of, Ty::Value(..) | Ty::Parameter(..) | Ty::All(_)) {
        return None;
    }
    let found = context.members(of, "Item", Space::Type);
    let [one] = &found[..] else { return None };
    matches!(one.entity, Entity::Definition(_))
        .then(|| as_value(context.types_of(&found).0, Vec::new()))
}

/// Whether a type has a method of a field's name.
fn is_called(context: &Context<'_>, def: Def, name: &str) -> bool {
    blocks(context, def)
        .iter()
        .any(|&block| !context.own_members(block, name, Space::Value).is_empty())
}

/// The impl blocks of a type.
fn blocks(context: &Context<'_>, def: Def) -> Rc<[Def]> {
    let key = (def.slot, def.number);
    if let Some(blocks) = context.memory.blocks.borrow().get(&key) {
        return blocks.clone();
    }
    let name = context
        .declared(def)
        .and_then(|declared| Some(context.pool(def.slot)?.name(declared.name)))
        .unwrap_or_default();
    let mut candidates = context.special(def.slot, FAMILY, IMPL, name);
    if !context.is_own(def.slot) {
        // Traits may be implemented here for types of other repositories.
        candidates.extend(context.special(context.slot, FAMILY, IMPL, name));
    }
    let mut complete = true;
    let is_of = |block: &Def| match Rust.self_of(context, *block) {
        Some(Ty::Value(of, _)) => of == def,
        Some(Ty::Unknown) | None => {
            complete = false;
            false
        }
        _ => false,
    };
    let found: Rc<[Def]> = candidates.into_iter().filter(is_of).collect();
    if complete {
        context.memory.blocks.borrow_mut().insert(key, found.clone());
    }
    found
}

/// The last name of a type's path, references and arguments left out.
fn last_name(pool: &Pool, ty: u32) -> Option<&str> {
    use onyx_protocol::code::Type;
    match pool.ty(ty) {
        Type::Named(path, _) => Some(pool.name(*path.last()?)),
        Type::Reference(of) => last_name(pool, *of),
        _ => None,
    }
}
