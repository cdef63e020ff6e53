//! Crates and modules of Rust: which file they are, and what paths lead to.

use onyx_protocol::code::{ManifestKind, Pool, Within};
use onyx_protocol::facts::NodeKind;

use super::rust::{CRATE, FAMILY, MACRO};
use super::rust_std;
use crate::resolve::context::Context;
use crate::resolve::infer::as_type;
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};

/// The name of the crate whose root a file is, by its directory: `tokio-1.0/src/lib.rs` is tokio.
pub(super) fn crate_name(path: &str) -> Option<String> {
    let directory = path.strip_suffix("src/lib.rs")?.strip_suffix('/')?;
    let name = directory.rsplit('/').next()?;
    let bare = match name.rfind('-') {
        Some(at) if name[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => &name[..at],
        _ => name,
    };
    Some(bare.replace('-', "_"))
}

pub(super) fn module_found(module: Option<Module>) -> Vec<Found> {
    module.map(|m| Found::new(Entity::Module(m), Strategy::Import)).into_iter().collect()
}

pub(super) fn file_module(slot: u32) -> Module {
    Module { slot: Some(slot), within: Within::FILE, path: "".into() }
}

/// The module a definition is in, itself included.
pub(super) fn module_of(context: &Context<'_>, slot: u32, mut within: Within) -> Within {
    while let Some(number) = within.number() {
        let Some(declared) = context.declared(Def { slot, number }) else { break };
        if declared.kind == NodeKind::Module {
            return within;
        }
        within = declared.parent;
    }
    Within::FILE
}

/// The module around an import; one in a function has its scope as owner.
pub(super) fn module_around(
    context: &Context<'_>,
    slot: u32,
    owner: Within,
    pool: &Pool,
) -> Within {
    let is_local = std::ptr::eq(pool, &context.body.pool);
    let within = match owner.number() {
        Some(scope) if is_local => context.scope_definition(scope),
        _ => owner,
    };
    module_of(context, slot, within)
}

/// What a path's first name means in a module.
pub(super) fn head(context: &Context<'_>, slot: u32, within: Within, name: &str) -> Vec<Found> {
    if matches!(name, "crate" | "self" | "super" | "std" | "core" | "alloc") {
        return outer(context, slot, within, name, Space::Type);
    }
    let mut found = Vec::new();
    for space in [Space::Type, Space::Value] {
        for one in context.find_declared(slot, within, name, space) {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    if found.is_empty() && crates(context, slot, name).is_empty() {
        found = context.find_in_module(slot, within, name, Space::Type);
    }
    if found.is_empty() { outer(context, slot, within, name, Space::Type) } else { found }
}

/// The roots of the crates of a name: those whose manifests say so, else those whose directories do.
fn crates(context: &Context<'_>, slot: u32, name: &str) -> Vec<u32> {
    let own = context.file(slot).map_or("", |file| file.directory());
    let manifest = context.manifest_above(slot, own, &["Cargo.toml"]);
    let manifest = manifest.and_then(|manifest| context.manifest(manifest));
    let renamed = manifest.and_then(|manifest| {
        let alias = manifest.aliases.iter().find(|alias| alias.name.replace('-', "_") == name)?;
        Some(alias.targets.first()?.replace('-', "_"))
    });
    let name = renamed.as_deref().unwrap_or(name);
    let root = |slot: u32| {
        let manifest = context.manifest(slot)?;
        // A library with a name of its own does not have the package's.
        if !manifest.library.is_empty() && manifest.library != name && renamed.is_none() {
            return None;
        }
        let path = manifest.entries.first().map_or("src/lib.rs", String::as_str);
        context.path(slot, &join(context.file(slot)?.directory(), path))
    };
    let named = context.packages(slot, ManifestKind::Cargo, name);
    let named: Vec<u32> = named.into_iter().filter_map(root).collect();
    if !named.is_empty() {
        return named;
    }
    let all = context.special(slot, FAMILY, CRATE, name).into_iter().map(|one| one.slot);
    let all: Vec<u32> = all.filter(|&root| !has_manifest(context, root)).collect();
    if !all.is_empty() {
        return all;
    }
    let beyond = context.packages_beyond(slot, ManifestKind::Cargo, name);
    beyond.into_iter().filter_map(root).collect()
}

/// Whether the manifest of a crate's root says what it is called.
fn has_manifest(context: &Context<'_>, root: u32) -> bool {
    let path = context.file(root).map_or("", |file| file.path.as_str());
    let Some(directory) = path.strip_suffix("src/lib.rs") else { return false };
    let manifest = context.path(root, &format!("{directory}Cargo.toml"));
    let manifest = manifest.and_then(|manifest| context.manifest(manifest));
    manifest.is_some_and(|manifest| !manifest.name.is_empty())
}

/// What no module declares: keywords, crates, the prelude.
pub(super) fn outer(
    context: &Context<'_>,
    slot: u32,
    within: Within,
    name: &str,
    space: Space,
) -> Vec<Found> {
    match name {
        "crate" => return module_found(root(context, slot).map(file_module)),
        "self" => {
            return module_found(Some(Module { slot: Some(slot), within, path: "".into() }));
        }
        "super" => return module_found(parent(context, slot, within)),
        "std" | "core" | "alloc" => {
            return vec![Found::new(Entity::Outside(name.into()), Strategy::Import)];
        }
        _ => {}
    }
    if space != Space::Value && !name.starts_with(char::is_uppercase) {
        let crates = crates(context, slot, name);
        if let [one] = crates[..] {
            return module_found(Some(file_module(one)));
        }
        if crates.is_empty() || !rust_std::is_prelude(name) {
            return vec![Found::new(Entity::Outside(name.into()), Strategy::Import)];
        }
    }
    if rust_std::is_prelude(name) {
        return vec![Found::new(Entity::Outside(name.into()), Strategy::Scope)];
    }
    Vec::new()
}

/// The module or type a path leads to.
pub(super) fn walk(context: &Context<'_>, slot: u32, within: Within, path: &[&str]) -> Option<Ty> {
    let (first, rest) = path.split_first()?;
    let (first, rest) = match (*first, rest.split_first()) {
        // `::name`
        ("", Some((name, rest))) => {
            let found = match crates(context, slot, name)[..] {
                [one] => Ty::Module(file_module(one)),
                _ => Ty::outside(name),
            };
            (found, rest)
        }
        _ => {
            let mut found = head(context, slot, within, first);
            found.retain(|one| context.fits(one, Space::Type));
            (context.types_of(&found).0, rest)
        }
    };
    let mut ty = first;
    for name in rest {
        let found = context.members(&as_type(ty), name, Space::Type);
        ty = context.types_of(&found).0;
    }
    (!ty.is_unknown()).then(|| as_type(ty))
}

fn join(directory: &str, rest: &str) -> String {
    match directory {
        "" => rest.to_owned(),
        directory => format!("{directory}/{rest}"),
    }
}

/// Whether a file is the root of a crate: its modules lie beside it.
fn is_root(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let last = directory.rsplit('/').next().unwrap_or_default();
    matches!(name, "lib.rs" | "main.rs" | "build.rs")
        || matches!(last, "tests" | "examples" | "benches" | "bin") && name != "mod.rs"
}

/// The directory a file's modules lie in.
fn inside(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name == "mod.rs" || is_root(path) {
        return directory.to_owned();
    }
    join(directory, name.strip_suffix(".rs").unwrap_or(name))
}

/// The file of `mod name;`.
pub(super) fn child(context: &Context<'_>, slot: u32, parent: Within, name: &str) -> Option<u32> {
    let file = context.file(slot)?;
    let mut directory = inside(&file.path);
    let mut names = Vec::new();
    let mut within = parent;
    while let Some(number) = within.number() {
        let declared = context.declared(Def { slot, number })?;
        names.push(file.interface.pool.name(declared.name));
        within = declared.parent;
    }
    for name in names.iter().rev() {
        directory = join(&directory, name);
    }
    let flat = context.path(slot, &join(&directory, &format!("{name}.rs")));
    flat.or_else(|| context.path(slot, &join(&directory, &format!("{name}/mod.rs"))))
}

/// The module around a module.
pub(super) fn parent(context: &Context<'_>, slot: u32, within: Within) -> Option<Module> {
    if let Some(number) = within.number() {
        let declared = context.declared(Def { slot, number })?;
        let within = module_of(context, slot, declared.parent);
        return Some(Module { slot: Some(slot), within, path: "".into() });
    }
    let path = &context.file(slot)?.path;
    if is_root(path) {
        return None;
    }
    let (mut directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name == "mod.rs" {
        directory = directory.rsplit_once('/').map_or("", |(up, _)| up);
    }
    let beside = match directory {
        "" => None,
        directory => context.path(slot, &format!("{directory}.rs")),
    };
    let inside = || {
        ["mod.rs", "lib.rs", "main.rs"]
            .into_iter()
            .find_map(|name| context.path(slot, &join(directory, name)))
    };
    inside().or(beside).map(file_module)
}

/// The root of the crate a file is in.
pub(super) fn root(context: &Context<'_>, slot: u32) -> Option<u32> {
    let mut slot = slot;
    for _ in 0..32 {
        if is_root(&context.file(slot)?.path) {
            return Some(slot);
        }
        match parent(context, slot, Within::FILE).and_then(|module| module.slot) {
            Some(up) if up != slot => slot = up,
            _ => break,
        }
    }
    // A file that no `mod` leads to: the crate whose directory it is in.
    let path = &context.file(slot)?.path;
    let at = path.rfind("src/")?;
    let source = &path[..at + 3];
    ["lib.rs", "main.rs"].into_iter().find_map(|name| context.path(slot, &join(source, name)))
}

/// A macro of the crate by its name.
pub(super) fn macros(context: &Context<'_>, slot: u32, name: &str) -> Vec<Found> {
    let mut found = context.special(slot, FAMILY, MACRO, name);
    if found.iter().any(|def| def.slot == slot) {
        found.retain(|def| def.slot == slot);
    } else if found.len() > 1 {
        let own = root(context, slot);
        found.retain(|def| root(context, def.slot) == own);
    }
    match found.last() {
        Some(def) if found.len() == 1 || def.slot == slot => {
            vec![Found::definition(*def, Strategy::Member)]
        }
        Some(_) => Vec::new(),
        None => {
            let path = match rust_std::is_macro(name) {
                true => format!("std::{name}!"),
                false => format!("{name}!"),
            };
            vec![Found::new(Entity::Outside(path.into()), Strategy::Scope)]
        }
    }
}
