//! Java: packages by their clauses, types by their full names, imports, inheritance.
//!
//! Choices: a value made by `new` instantiates its class and calls its constructor when there is one
//! in the source; an anonymous class inherits from or implements what it is made of and instantiates
//! nothing. A method reference (`Type::method`) references the method, `Type::new` instantiates.
//! The accessor of a record's component is the component. A written field counts as a reference.

use std::rc::Rc;

use onyx_protocol::code::{Expr, ExprId, Import, Pool, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::{Rules, Special, java_calls, java_lambdas, java_std};
use crate::resolve::context::{Context, Place};
use crate::resolve::infer::as_type;
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use crate::resolve::workspace::{File, Named};

pub(super) struct Java;

const FAMILY: u8 = 5;
/// Top-level types by their full names.
const TYPE: u8 = 1;

impl Rules for Java {
    fn family(&self) -> u8 {
        FAMILY
    }

    fn index(&self, file: &File, add: &mut dyn FnMut(Special<'_>)) {
        let mut package = file.package.as_str();
        while !package.is_empty() {
            add(Special::Package(package));
            package = package.rsplit_once('.').map_or("", |(up, _)| up);
        }
        if !file.package.is_empty() {
            add(Special::Provided(&file.package));
        }
        let pool = &file.interface.pool;
        for (number, declared) in (0..).zip(&file.interface.definitions) {
            if declared.parent == Within::FILE && is_type(declared.kind) {
                let name = join(&file.package, pool.name(declared.name));
                add(Special::Named(TYPE, &name, number));
            }
        }
    }

    fn import(&self, context: &Context<'_>, slot: u32, pool: &Pool, import: &Import) -> Vec<Found> {
        let module = squeezed(pool.name(import.module));
        let name = pool.name(import.name);
        let is_static = import.flags & flags::OF_TYPE != 0;
        if import.flags & flags::GLOB != 0 {
            if let Some(def) = type_at(context, slot, &module) {
                return vec![Found::definition(def, Strategy::Import)];
            }
            // Whose import it is matters to what it has.
            let own = Module { slot: Some(slot), within: Within::FILE, path: "".into() };
            let mut found = Found::new(package(context, slot, &module), Strategy::Import);
            found.receiver = Some(Ty::Module(own));
            return vec![found];
        }
        if !is_static {
            let path = join(&module, name);
            return vec![match type_at(context, slot, &path) {
                Some(def) => Found::definition(def, Strategy::Import),
                None => Found::new(Entity::Outside(path.into()), Strategy::Import),
            }];
        }
        let Some(def) = type_at(context, slot, &module) else {
            return vec![Found::new(Entity::Outside(join(&module, name).into()), Strategy::Import)];
        };
        let mut found = Vec::new();
        for (base, _) in &context.bases(def).all {
            for item in context.named(base.slot, Within::definition(base.number), name) {
                if let Named::Definition(number) = *item {
                    let def = Def { slot: base.slot, number };
                    found.push(Found::definition(def, Strategy::Import));
                }
            }
        }
        found
    }

    fn glob(
        &self,
        context: &Context<'_>,
        _pool: &Pool,
        _import: &Import,
        of: &Found,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        let is_type_name = space == Space::Type || name.starts_with(char::is_uppercase);
        match &of.entity {
            Entity::Definition(def) => along(context, *def, name, space),
            Entity::Module(module) if is_type_name => {
                // What is in the same package comes first, after the file's other imports.
                let Some(Ty::Module(Module { slot: Some(slot), .. })) = of.receiver else {
                    return Vec::new();
                };
                let Some(file) = context.file(slot) else { return Vec::new() };
                if top_level(context, slot, &join(&file.package, name)).is_some() {
                    return Vec::new();
                }
                top_level(context, slot, &join(&module.path, name))
                    .map(|def| Found::definition(def, Strategy::Glob))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn module_member(
        &self,
        context: &Context<'_>,
        module: &Module,
        name: &str,
        _space: Space,
    ) -> Vec<Found> {
        let path = join(&module.path, name);
        if let Some(def) = top_level(context, context.slot, &path) {
            return vec![Found::definition(def, Strategy::Member)];
        }
        vec![Found::new(package(context, context.slot, &path), Strategy::Member)]
    }

    fn beyond(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        _within: Within,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        let Some(file) = context.file(place.slot) else { return Vec::new() };
        let one = |entity| vec![Found::new(entity, Strategy::Scope)];
        let path = join(&file.package, name);
        if let Some(def) = top_level(context, place.slot, &path) {
            return vec![Found::definition(def, Strategy::Scope)];
        }
        if java_std::is_lang(name) {
            return one(Entity::Outside(format!("java.lang.{name}").into()));
        }
        if !name.starts_with(char::is_uppercase) {
            if context.is_package(place.slot, FAMILY, name) || java_std::is_domain(name) {
                return one(package(context, place.slot, name));
            }
            return Vec::new();
        }
        // Something in capitals is a constant of a base that is not here.
        let is_constant = !name.contains(char::is_lowercase) && name.len() > 1;
        if space != Space::Type && is_constant {
            return Vec::new();
        }
        let globs = context.globs(place.slot, Within::FILE).iter();
        let imports = globs.filter_map(|&number| context.import(place.slot, number));
        let modules: Vec<String> = imports
            .filter(|import| import.flags & flags::OF_TYPE == 0)
            .map(|import| squeezed(file.interface.pool.name(import.module)))
            .filter(|module| !context.is_package(place.slot, FAMILY, module))
            .collect();
        let known = modules.iter().find(|module| java_std::is_in(module, name));
        match known.or(modules.first()) {
            Some(module) => one(Entity::Outside(join(module, name).into())),
            None => one(Entity::Outside(path.into())),
        }
    }

    fn is_builtin(&self, path: &str) -> bool {
        path.starts_with("java.lang.") || java_std::is_primitive(path) || path == java_std::ARRAY
    }

    fn space(&self, space: Space) -> Space {
        if space == Space::Value { Space::Field } else { space }
    }

    fn type_scope(&self, _innermost: bool) -> bool {
        true
    }

    fn inherited(
        &self,
        context: &Context<'_>,
        def: Def,
        name: &str,
        space: Space,
    ) -> Option<Vec<Found>> {
        is_type(context.declared(def)?.kind).then(|| along(context, def, name, space))
    }

    fn chosen(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        callee: ExprId,
        arguments: &[ExprId],
    ) -> Vec<Found> {
        if let Expr::Payload(of, name) = *place.pool.expr(callee) {
            // `case NAME`
            let name = place.pool.name(name);
            if let (Ty::Value(def, _), _) = context.infer(place, of)
                && context.declared(def).is_some_and(|d| d.kind == NodeKind::Enum)
            {
                return context.own_members(def, name, Space::Field);
            }
            return context.find_name(place, name, Space::Field);
        }
        java_calls::overloads(context, place, callee, arguments)
    }

    fn invoked(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        callee: ExprId,
        arguments: &[ExprId],
    ) -> (Ty, Strategy) {
        java_calls::invoked(context, place, callee, arguments)
    }

    fn made(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        def: Def,
        arguments: &[ExprId],
    ) -> Option<Def> {
        let found = java_calls::constructors(context, def, Strategy::Constructor);
        match &java_calls::choose(context, place, found, arguments)[..] {
            [Found { entity: Entity::Definition(def), .. }] => Some(*def),
            _ => None,
        }
    }

    fn passed_to(&self, context: &Context<'_>, place: Place<'_>, to: ExprId, index: u8) -> Ty {
        java_lambdas::passed_to(context, place, to, index)
    }

    fn type_path(&self, context: &Context<'_>, place: Place<'_>, path: &[&str]) -> Vec<Found> {
        let Some((head, rest)) = path.split_first() else { return Vec::new() };
        let outside =
            |path: String| vec![Found::new(Entity::Outside(path.into()), Strategy::Scope)];
        if rest.is_empty() && java_std::is_primitive(head) {
            return outside((*head).to_owned());
        }
        if !rest.is_empty() && !head.starts_with(char::is_uppercase) {
            let whole = path.join(".");
            return match type_at(context, place.slot, &whole) {
                Some(def) => vec![Found::definition(def, Strategy::Member)],
                None => outside(whole),
            };
        }
        let mut found = context.find_name(place, head, Space::Type);
        for name in rest {
            let (ty, how) = context.types_of(&found);
            found = context.members(&as_type(ty), name, Space::Type);
            for one in &mut found {
                one.how = one.how.max(how);
            }
        }
        found
    }

    fn members(
        &self,
        context: &Context<'_>,
        def: Def,
        name: &str,
        space: Space,
        _is_value: bool,
    ) -> Vec<Found> {
        let found = context.own_members(def, name, space);
        if !found.is_empty() {
            return found;
        }
        let found = along(context, def, name, space);
        if !found.is_empty() {
            return found;
        }
        match &context.bases(def).outside {
            Some(of @ Ty::Outside { path, .. }) => {
                let entity = match space {
                    Space::Type => Entity::Outside(join(path, name).into()),
                    _ => Entity::OutsideMember(of.clone().into(), name.into()),
                };
                vec![Found::new(entity, Strategy::Super)]
            }
            Some(_) => vec![Found::new(Entity::Opaque, Strategy::Super)],
            None => Vec::new(),
        }
    }

    fn receiver(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        self.self_of(context, Def { slot: def.slot, number: declared.parent.number()? })
    }

    fn self_of(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let kind = context.declared(def)?.kind;
        (is_type(kind) || kind == NodeKind::EnumMember)
            .then(|| Ty::Value(def, context.own_arguments(def).into()))
    }

    fn super_type(&self, context: &Context<'_>, place: Place<'_>) -> Option<Ty> {
        let Some(Ty::Value(def, _)) = context.self_type(place) else { return None };
        let object = || Some(Ty::outside_value("java.lang.Object", Vec::new()));
        match context.direct_bases(def).into_iter().next() {
            Some(Ty::Value(base, arguments)) => {
                let kind = context.declared(base)?.kind;
                if kind == NodeKind::Interface {
                    object()
                } else {
                    Some(Ty::Value(base, arguments))
                }
            }
            Some(other) => Some(other),
            None => object(),
        }
    }

    fn overridden(&self, context: &Context<'_>, def: Def) -> Vec<Def> {
        java_calls::overridden(context, def)
    }

    fn variant(&self, context: &Context<'_>, def: Def) -> Ty {
        let parent = context.declared(def).and_then(|declared| declared.parent.number());
        parent.map_or(Ty::Unknown, |number| Ty::Value(Def { slot: def.slot, number }, Rc::new([])))
    }

    fn array(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        Ty::outside_value(java_std::ARRAY, vec![ty])
    }

    fn element(&self, context: &Context<'_>, of: &Ty, index: bool) -> Ty {
        match of {
            Ty::Outside { path, arguments, .. } if !index || &**path == java_std::ARRAY => {
                arguments.first().cloned().unwrap_or(Ty::Unknown)
            }
            Ty::Value(def, _) if !index => java_calls::iterated(context, *def, of),
            Ty::Union(all) => Ty::union(all.iter().map(|ty| self.element(context, ty, index))),
            Ty::Parameter(def, number) => {
                let bounds = context.bounds(*def, *number);
                bounds.first().map_or(Ty::Unknown, |bound| self.element(context, bound, index))
            }
            _ => Ty::Unknown,
        }
    }
}

pub(super) fn is_type(kind: NodeKind) -> bool {
    matches!(
        kind,
        NodeKind::Class
            | NodeKind::Interface
            | NodeKind::Enum
            | NodeKind::Record
            | NodeKind::Annotation
    )
}

pub(super) fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") }
}

/// A dotted name without white space.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// What a type has from its bases.
fn along(context: &Context<'_>, def: Def, name: &str, space: Space) -> Vec<Found> {
    for (base, arguments) in context.bases(def).all.iter() {
        let mut found = context.own_members(*base, name, space);
        if !found.is_empty() {
            for one in found.iter_mut().filter(|_| *base != def) {
                one.how = Strategy::Super;
                one.receiver = Some(Ty::Value(*base, arguments.clone()));
            }
            return found;
        }
    }
    Vec::new()
}

/// A package of the project or of another repository, or something outside.
fn package(context: &Context<'_>, from: u32, path: &str) -> Entity {
    let is_known = context.is_package(from, FAMILY, path)
        || !is_standard(path) && !context.providers(from, FAMILY, path).is_empty();
    match is_known {
        true => Entity::Module(Module { slot: None, within: Within::FILE, path: path.into() }),
        false => Entity::Outside(path.into()),
    }
}

/// A top-level type by its full name; of several the one whose file is nearest.
fn top_level(context: &Context<'_>, from: u32, path: &str) -> Option<Def> {
    let found = context.special(from, FAMILY, TYPE, path);
    if let [one] = found[..] {
        return Some(one);
    }
    if found.is_empty() {
        return beyond(context, from, path);
    }
    let own = &context.file(from)?.path;
    let near = |def: &Def| {
        let other = context.file(def.slot).map_or("", |file| file.path.as_str());
        own.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
    };
    found.into_iter().rev().max_by_key(near)
}

/// A top-level type of the one other repository that has it.
fn beyond(context: &Context<'_>, from: u32, path: &str) -> Option<Def> {
    let (package, _) = path.rsplit_once('.')?;
    // What a file sees of its own package is in its repository.
    if is_standard(package) || context.file(from)?.package == package {
        return None;
    }
    let providers = context.providers(from, FAMILY, package).into_iter();
    let mut found = providers.filter_map(|provider| {
        // Of several of a name, builds choose one.
        let types = context.special(provider, FAMILY, TYPE, path);
        if types.len() == 1 { types.first().copied() } else { None }
    });
    found.next().filter(|_| found.next().is_none())
}

/// Whether a package comes with the language.
fn is_standard(package: &str) -> bool {
    matches!(package.split('.').next(), Some("java" | "javax"))
}

/// A type by its full name, which may be inside others.
fn type_at(context: &Context<'_>, from: u32, path: &str) -> Option<Def> {
    if let Some(def) = top_level(context, from, path) {
        return Some(def);
    }
    let (outer, name) = path.rsplit_once('.')?;
    // Packages are in lower case by all conventions.
    let last = outer.rsplit('.').next().unwrap_or(outer);
    if !last.starts_with(char::is_uppercase) {
        return None;
    }
    let outer = type_at(context, from, outer)?;
    along(context, outer, name, Space::Type).into_iter().find_map(|one| match one.entity {
        Entity::Definition(def) => Some(def),
        _ => None,
    })
}
