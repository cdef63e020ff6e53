//! What a module of JavaScript or TypeScript gives to others, by ESM and by CommonJS.

use onyx_protocol::code::{Expr, Within, flags};

use super::ecma_files::{is_declaration, module_found};
use crate::resolve::context::{At, Context, Place};
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use crate::resolve::workspace::Named;

/// The name of what a whole CommonJS module is.
pub(super) const WHOLE: &str = "export=";

/// What a module gives under a name.
pub(super) fn exported(context: &Context<'_>, slot: u32, name: &str, space: Space) -> Vec<Found> {
    let Some(_question) = context.question() else { return Vec::new() };
    let found = resolved(context, slot, name, space);
    if !found.is_empty() {
        return found;
    }
    let Some(file) = context.file(slot) else { return Vec::new() };
    let declares = is_declaration(&file.path);
    let mut found = context.find_declared(slot, Within::FILE, name, space);
    found.retain(|one| match one.entity {
        Entity::Definition(def) => context
            .declared(def)
            .is_some_and(|declared| declares || declared.flags & flags::EXPORTED != 0),
        _ => false,
    });
    if !found.is_empty() || name == WHOLE {
        return found;
    }
    for &number in context.globs(slot, Within::EXPORTS) {
        let Some(import) = context.import(slot, number) else { continue };
        let module = file.interface.pool.name(import.module);
        if let Some(Entity::Module(Module { slot: Some(of), .. })) =
            module_found(context, slot, module)
            && name != "default"
        {
            let mut found = exported(context, of, name, space);
            if !found.is_empty() {
                for one in &mut found {
                    one.how = one.how.max(Strategy::Import);
                }
                return found;
            }
        }
    }
    let whole = resolved(context, slot, WHOLE, Space::Value);
    if name == "default" {
        return whole;
    }
    let (ty, _) = context.types_of(&whole);
    match ty {
        Ty::Unknown => Vec::new(),
        ty => context.members(&ty, name, space),
    }
}

/// What a module gives explicitly.
pub(super) fn resolved(context: &Context<'_>, slot: u32, name: &str, space: Space) -> Vec<Found> {
    let Some(pool) = context.pool(slot) else { return Vec::new() };
    let place = Place { slot, pool, at: At::Within(Within::FILE) };
    for item in context.named(slot, Within::EXPORTS, name) {
        let found = match *item {
            Named::Import(number) => {
                let found = context.imported(slot, number);
                found.iter().filter(|one| context.fits(one, space)).cloned().collect()
            }
            Named::Attribute(number) => {
                let Some(file) = context.file(slot) else { return Vec::new() };
                let value = file.interface.attributes.get(number as usize).map_or(0, |a| a.value);
                match *pool.expr(value) {
                    Expr::Definition(number) => {
                        let one = Found::definition(Def { slot, number }, Strategy::Scope);
                        if context.fits(&one, space) { vec![one] } else { Vec::new() }
                    }
                    Expr::Name(_) | Expr::Member(..) => context.find(place, value, space),
                    _ => vec![Found::new(Entity::Attribute(slot, number), Strategy::Scope)],
                }
            }
            Named::Definition(_) => Vec::new(),
        };
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}
