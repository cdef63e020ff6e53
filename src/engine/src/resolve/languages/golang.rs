//! Go: packages are directories, methods are found by their receiver's type, embedded types give their
//! members, interfaces are satisfied by method sets.

use onyx_protocol::code::{Import, ManifestKind, Pool, Type, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::golang_satisfy::satisfied;
use super::golang_universe as universe;
use super::{Rules, Special};
use crate::resolve::context::{Context, Place};
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use crate::resolve::workspace::File;

pub(super) struct Go;

pub(super) const FAMILY: u8 = 4;
/// Definitions of a package by name.
const TOP: u8 = 1;
/// Methods by type and name.
const METHOD: u8 = 2;
/// Methods by type, those of interfaces too.
pub(super) const METHODS: u8 = 3;
/// Interfaces by the first of their own methods' names.
pub(super) const INTERFACE: u8 = 4;

/// Deepest embedding.
pub(super) const MAX_EMBEDDING: usize = 8;

impl Rules for Go {
    fn family(&self) -> u8 {
        FAMILY
    }

    fn index(&self, file: &File, add: &mut dyn FnMut(Special<'_>)) {
        add(Special::Module(file.directory()));
        let package = package_of(file);
        let pool = &file.interface.pool;
        for (number, declared) in (0..).zip(&file.interface.definitions) {
            let name = pool.name(declared.name);
            if declared.receiver != 0 {
                if let Some(of) = last_name(pool, declared.receiver) {
                    add(Special::Named(METHOD, &key(&package, &format!("{of}.{name}")), number));
                    add(Special::Named(METHODS, &key(&package, of), number));
                }
            } else if let Some(parent) = declared.parent.number() {
                let parent = file.declared(parent);
                let parent = parent
                    .filter(|p| p.kind == NodeKind::Interface && declared.kind == NodeKind::Method);
                if let Some(parent) = parent {
                    let of = pool.name(parent.name);
                    add(Special::Named(METHODS, &key(&package, of), number));
                }
            } else if !matches!(name, "init" | "_") {
                add(Special::Named(TOP, &key(&package, name), number));
                if declared.kind == NodeKind::Interface {
                    let within = Within::definition(number);
                    let own = file.interface.definitions.iter();
                    let own = own.filter(|d| d.parent == within && d.kind == NodeKind::Method);
                    if let Some(first) = own.map(|d| pool.name(d.name)).min() {
                        add(Special::Named(INTERFACE, first, number));
                    }
                }
            }
        }
    }

    fn import(&self, context: &Context<'_>, slot: u32, pool: &Pool, import: &Import) -> Vec<Found> {
        let path = pool.name(import.module);
        let entity = match package(context, slot, path) {
            Some(module) => Entity::Module(module),
            None => Entity::Outside(path.into()),
        };
        vec![Found::new(entity, Strategy::Import)]
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
        match &of.entity {
            Entity::Module(module) => self.module_member(context, module, name, space),
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
        match is_exported(name) {
            true => top(context, module.slot.unwrap_or(context.slot), &module.path, name, space),
            false => Vec::new(),
        }
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
        let found = top(context, place.slot, &package_of(file), name, space);
        if !found.is_empty() {
            return found;
        }
        if universe::is_universal(name) {
            return vec![Found::new(Entity::Outside(name.into()), Strategy::Scope)];
        }
        if matches!(name, "map" | "chan") && space == Space::Type {
            return vec![Found::new(Entity::Outside(name.into()), Strategy::Scope)];
        }
        // A package that is called otherwise than its path lets expect. What others import is among
        // their glob imports for this purpose.
        context.globs(place.slot, Within::FILE);
        for (number, import) in (0..).zip(&file.interface.imports) {
            if import.flags & flags::GUESSED == 0 {
                continue;
            }
            let path = file.interface.pool.name(import.module);
            for one in context.imported(place.slot, number).iter() {
                let fits = match &one.entity {
                    Entity::Module(module) => name_of(&module.path) == name,
                    Entity::Outside(_) => {
                        let last = path.rsplit('/').find(|part| !is_version(part)).unwrap_or(path);
                        last.split(['-', '.', '_']).any(|part| part == name)
                    }
                    _ => false,
                };
                if fits {
                    return vec![one.clone()];
                }
            }
        }
        // What nobody here declares comes from the one package outside whose names are imported.
        if is_exported(name) {
            let globs = context.globs(place.slot, Within::FILE).iter();
            let globs =
                globs.filter_map(|&number| match &context.imported(place.slot, number)[..] {
                    [Found { entity: Entity::Outside(path), .. }] => Some(path.clone()),
                    _ => None,
                });
            if let [path] = &globs.collect::<Vec<_>>()[..] {
                let entity = Entity::Outside(format!("{path}.{name}").into());
                return vec![Found::new(entity, Strategy::Glob)];
            }
        }
        Vec::new()
    }

    fn is_builtin(&self, path: &str) -> bool {
        universe::is_universal(path) || matches!(path, "map" | "chan" | "slice")
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
        _is_value: bool,
    ) -> Vec<Found> {
        members(context, def, name, space, 0)
    }

    fn receiver(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        if declared.receiver == 0 {
            return None;
        }
        let ty = context.eval(context.inside(def)?, declared.receiver);
        (!ty.is_unknown()).then_some(ty)
    }

    fn self_of(&self, _context: &Context<'_>, _def: Def) -> Option<Ty> {
        None
    }

    fn overridden(&self, _context: &Context<'_>, _def: Def) -> Vec<Def> {
        Vec::new()
    }

    fn satisfied(&self, context: &Context<'_>, def: Def) -> Vec<Def> {
        satisfied(context, def)
    }

    fn outside_result(&self, _context: &Context<'_>, callee: &Ty) -> Ty {
        universe::result(callee)
    }

    fn array(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        Ty::outside_value("slice", vec![ty])
    }

    fn element(&self, context: &Context<'_>, of: &Ty, index: bool) -> Ty {
        match of {
            // An instance of something generic.
            Ty::Function(..) | Ty::Type(..) if index => of.clone(),
            Ty::Value(..) | Ty::Parameter(..) => {
                universe::element(&underlying(context, of, 0), index)
            }
            other => universe::element(other, index),
        }
    }

    fn awaited(&self, context: &Context<'_>, of: Ty) -> Ty {
        match underlying(context, &of, 0) {
            Ty::Outside { path, arguments, .. } if &*path == "chan" => {
                arguments.first().cloned().unwrap_or(Ty::Unknown)
            }
            _ => Ty::Unknown,
        }
    }

    fn part(&self, _context: &Context<'_>, of: &Ty, index: u8) -> Ty {
        // `value, ok := ...`; what all results of a function outside are, is outside.
        match of {
            _ if index == 0 => of.clone(),
            Ty::Outside { path, is_value: true, .. } if path.ends_with("()") => of.clone(),
            _ => Ty::Unknown,
        }
    }
}

/// Directory and name of a file's package, as keys have it.
pub(super) fn package_of(file: &File) -> String {
    format!("{}\0{}", file.directory(), file.package)
}

pub(super) fn key(package: &str, name: &str) -> String {
    format!("{package}\0{name}")
}

/// The name in a package's key.
fn name_of(package: &str) -> &str {
    package.rsplit('\0').next().unwrap_or(package)
}

pub(super) fn is_exported(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

fn is_version(part: &str) -> bool {
    let number = part.strip_prefix('v');
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The name of a receiver's type.
fn last_name(pool: &Pool, ty: u32) -> Option<&str> {
    match pool.ty(ty) {
        Type::Named(path, _) => Some(pool.name(*path.last()?)),
        Type::Reference(of) => last_name(pool, *of),
        _ => None,
    }
}

fn join(directory: &str, rest: &str) -> String {
    match (directory, rest) {
        ("", rest) => rest.to_owned(),
        (directory, "") => directory.to_owned(),
        _ => format!("{directory}/{rest}"),
    }
}

/// Of definitions that builds for different systems have, those of the file that asks; else all.
fn choose(context: &Context<'_>, slot: u32, mut found: Vec<Def>) -> Vec<Def> {
    if found.len() > 1 && found.iter().any(|def| def.slot == slot) {
        found.retain(|def| def.slot == slot);
    }
    if found.len() > 1 {
        let suffix = |slot: u32| {
            let path = context.file(slot).map_or("", |file| file.path.as_str());
            let stem = path.trim_end_matches(".go").trim_end_matches("_test");
            stem.rsplit('/').next().and_then(|name| name.split_once('_')).map(|(_, rest)| rest)
        };
        let own = suffix(slot);
        if own.is_some() && found.iter().any(|def| suffix(def.slot) == own) {
            found.retain(|def| suffix(def.slot) == own);
        }
    }
    found
}

/// What a package has under a name.
fn top(context: &Context<'_>, from: u32, package: &str, name: &str, space: Space) -> Vec<Found> {
    let found = context.special(from, FAMILY, TOP, &key(package, name));
    let found = choose(context, context.slot, found).into_iter();
    let found = found.map(|def| Found::definition(def, Strategy::Scope));
    found.filter(|one| context.fits(one, space)).collect()
}

/// The package an import's path leads to.
fn package(context: &Context<'_>, slot: u32, path: &str) -> Option<Module> {
    let own = context.file(slot)?.directory();
    if path.starts_with("./") || path.starts_with("../") {
        let mut parts: Vec<&str> = own.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "." | "" => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        return package_in(context, slot, &parts.join("/"), path);
    }
    // The module whose path is longest; of several of that path the one that lies nearest.
    let is_domain = path.split('/').next().is_some_and(|first| first.contains('.'));
    let mut end = path.len();
    loop {
        let rest = path[end..].trim_start_matches('/');
        let mut manifests = context.packages(slot, ManifestKind::Go, &path[..end]);
        let near = |slot: &u32| {
            let directory = context.file(*slot).map_or("", |file| file.directory());
            let common = directory.split('/').zip(own.split('/')).take_while(|(a, b)| a == b);
            std::cmp::Reverse(common.count())
        };
        manifests.sort_by_key(near);
        if manifests.is_empty() && is_domain {
            manifests = context.packages_beyond(slot, ManifestKind::Go, &path[..end]);
        }
        for manifest in manifests {
            let directory = join(context.file(manifest)?.directory(), rest);
            if let Some(found) = package_in(context, manifest, &directory, path) {
                return Some(found);
            }
        }
        match path[..end].rfind('/') {
            Some(at) => end = at,
            None => break,
        }
    }
    // A tree as it was before modules: `src/<path>`.
    let mut above = own;
    while is_domain && !above.is_empty() {
        if above.rsplit('/').next() == Some("src")
            && let Some(found) = package_in(context, slot, &join(above, path), path)
        {
            return Some(found);
        }
        above = above.rsplit_once('/').map_or("", |(up, _)| up);
    }
    None
}

/// The package in a directory that others can import.
fn package_in(context: &Context<'_>, from: u32, directory: &str, path: &str) -> Option<Module> {
    let mut files: Vec<(u32, &File)> = context
        .modules(from, FAMILY, directory)
        .into_iter()
        .filter_map(|slot| Some((slot, context.file(slot)?)))
        .filter(|(_, file)| !file.path.ends_with("_test.go") && !file.package.is_empty())
        .collect();
    // Programs that generate a package's files lie beside them.
    if files.iter().any(|(_, file)| file.package != "main") {
        files.retain(|(_, file)| file.package != "main");
    }
    let last = path.rsplit('/').find(|part| !is_version(part)).unwrap_or(path);
    let count = |name: &str| files.iter().filter(|(_, file)| file.package == name).count();
    let rank = |name: &str| (name == last, count(name));
    let names = files.iter().map(|(_, file)| file.package.as_str());
    let name = names.max_by(|a, b| rank(a).cmp(&rank(b)).then(b.cmp(a)))?;
    // The file that stands for the package: the one named after it, or the first.
    let stands = |file: &File| {
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".go");
        match stem {
            stem if stem == name => 0,
            "doc" => 1,
            _ => 2,
        }
    };
    let of_package = files.iter().filter(|(_, file)| file.package == name);
    let (slot, file) = of_package.min_by_key(|(_, file)| (stands(file), &file.path))?;
    Some(Module { slot: Some(*slot), within: Within::FILE, path: package_of(file).into() })
}

/// The methods declared for a type of a package.
fn methods(context: &Context<'_>, def: Def, name: &str) -> Vec<Def> {
    let (Some(declared), Some(file)) = (context.declared(def), context.file(def.slot)) else {
        return Vec::new();
    };
    if declared.parent != Within::FILE {
        return Vec::new();
    }
    let of = file.interface.pool.name(declared.name);
    let key = key(&package_of(file), &format!("{of}.{name}"));
    choose(context, context.slot, context.special(def.slot, FAMILY, METHOD, &key))
}

/// Members of a type, embedded ones level by level: the shallowest counts, and two of one depth hide
/// each other.
pub(super) fn members(
    context: &Context<'_>,
    def: Def,
    name: &str,
    space: Space,
    depth: usize,
) -> Vec<Found> {
    let mut level: Vec<Ty> = vec![Ty::Value(def, context.own_arguments(def).into())];
    let mut seen: Vec<Def> = Vec::new();
    let mut outside: Option<Entity> = None;
    for rank in 0..MAX_EMBEDDING {
        let mut found: Vec<Found> = Vec::new();
        let mut owners = 0;
        let mut next: Vec<Ty> = Vec::new();
        for ty in &level {
            let Ty::Value(of, arguments) = ty else { continue };
            if seen.contains(of) {
                continue;
            }
            seen.push(*of);
            let mut own = own_members(context, *of, name, space, depth);
            if !own.is_empty() {
                owners += 1;
                for one in &mut own {
                    if rank > 0 && one.receiver.is_none() {
                        one.receiver = Some(Ty::Value(*of, arguments.clone()));
                    }
                }
                found.append(&mut own);
            }
            for base in context.direct_bases(*of) {
                match base {
                    Ty::Value(..) => {
                        next.push(context.substituted(base, Some(ty)));
                    }
                    Ty::Outside { path, .. } => {
                        let path = format!("{path}.{name}");
                        outside.get_or_insert(Entity::Outside(path.into()));
                    }
                    _ => outside = Some(Entity::Opaque),
                }
            }
        }
        match owners {
            0 => {}
            1 => return found,
            _ => return Vec::new(),
        }
        // What an embedded type outside has may hide what lies deeper; nobody can tell.
        if next.is_empty() {
            break;
        }
        level = next;
    }
    outside.map(|entity| Found::new(entity, Strategy::Super)).into_iter().collect()
}

/// Fields and methods a type has itself.
fn own_members(
    context: &Context<'_>,
    def: Def,
    name: &str,
    space: Space,
    depth: usize,
) -> Vec<Found> {
    let Some(declared) = context.declared(def) else { return Vec::new() };
    let methods = methods(context, def, name);
    if !methods.is_empty() {
        let found = methods.into_iter().map(|method| Found::definition(method, Strategy::Scope));
        return found.collect();
    }
    let mut own = context.own_members(def, name, Space::Any);
    own.retain(|one| match one.entity {
        Entity::Definition(member) => context
            .declared(member)
            .is_some_and(|d| matches!(d.kind, NodeKind::Field | NodeKind::Method)),
        _ => false,
    });
    if declared.kind == NodeKind::Interface {
        for one in &mut own {
            one.how = Strategy::Bound;
        }
    }
    if !own.is_empty() || declared.kind != NodeKind::TypeAlias || depth > MAX_EMBEDDING {
        return own;
    }
    // A defined type has the fields, but not the methods, of the type it is made of; of an interface
    // both are one.
    let Some(place) = context.inside(def) else { return own };
    let Ty::Value(of, _) = context.eval(place, declared.ty) else { return own };
    if of == def {
        return own;
    }
    let mut found = members(context, of, name, space, depth + 1);
    found.retain(|one| match one.entity {
        Entity::Definition(member) => context.declared(member).is_some_and(|d| {
            let is_direct = one.receiver.is_none();
            !(d.receiver != 0 && is_direct)
        }),
        _ => true,
    });
    found
}

/// What a defined type is made of.
fn underlying(context: &Context<'_>, of: &Ty, depth: usize) -> Ty {
    match of {
        Ty::Value(def, _) if depth < MAX_EMBEDDING => {
            let (Some(declared), Some(place)) = (context.declared(*def), context.inside(*def))
            else {
                return Ty::Unknown;
            };
            if declared.kind != NodeKind::TypeAlias {
                return of.clone();
            }
            let ty = context.substituted(context.eval(place, declared.ty), Some(of));
            underlying(context, &ty, depth + 1)
        }
        Ty::Parameter(def, index) if depth < MAX_EMBEDDING => {
            match &context.bounds(*def, *index)[..] {
                [one] => underlying(context, one, depth + 1),
                _ => Ty::Unknown,
            }
        }
        other => other.clone(),
    }
}
