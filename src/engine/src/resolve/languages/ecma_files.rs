//! Which file a module specifier of JavaScript and TypeScript means: relative paths, aliases of
//! `tsconfig.json`, packages of the repository by the names their `package.json` gives them.

use onyx_protocol::code::{Alias, Manifest, ManifestKind, Within};

use super::ecma::FAMILY;
use super::ecma_std;
use crate::resolve::context::Context;
use crate::resolve::ty::{Entity, Module};

/// Extensions of code, in the order they are preferred.
const EXTENSIONS: [&str; 8] = ["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"];

/// Most configurations that extend one another.
const MAX_CONFIGURATIONS: usize = 8;

/// What is built has its source elsewhere: directories of the one and of the other.
const BUILT: [&str; 8] = ["dist", "lib", "build", "out", "es", "esm", "cjs", "types"];

/// The module of a specifier: a file of the project, something outside, or None.
pub(super) fn module_found(context: &Context<'_>, slot: u32, written: &str) -> Option<Entity> {
    let file = context.file(slot)?;
    let is_relative =
        matches!(written, "." | "..") || written.starts_with("./") || written.starts_with("../");
    let found = match is_relative {
        true => file_of(context, slot, slot, &joined(file.directory(), written)?),
        false => named(context, slot, file.directory(), written),
    };
    if let Some(of) = found {
        let path = context.file(of)?.module.as_str().into();
        return Some(Entity::Module(Module { slot: Some(of), within: Within::FILE, path }));
    }
    if !is_relative {
        return Some(Entity::Outside(written.into()));
    }
    // A style sheet, a picture, data.
    let name = written.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_code = extension.is_empty() || EXTENSIONS.contains(&extension);
    (!is_code && extension.len() < 6).then(|| Entity::Outside(written.into()))
}

/// A specifier that is no relative path.
fn named(context: &Context<'_>, slot: u32, directory: &str, written: &str) -> Option<u32> {
    if let Some(config) =
        context.manifest_above(slot, directory, &["tsconfig.json", "jsconfig.json"])
        && let Some(found) = configured(context, slot, config, written, MAX_CONFIGURATIONS)
    {
        return Some(found);
    }
    if written.starts_with('#') {
        let package = context.manifest_above(slot, directory, &["package.json"])?;
        let own = context.file(package)?.directory();
        let targets = aliased(&context.manifest(package)?.aliases, written)?;
        return targets
            .iter()
            .find_map(|target| file_of(context, slot, package, &joined(own, target)?));
    }
    packaged(context, slot, directory, written)
}

/// By `paths` and `baseUrl` of a configuration or of what it extends.
fn configured(
    context: &Context<'_>,
    slot: u32,
    config: u32,
    written: &str,
    left: usize,
) -> Option<u32> {
    let directory = context.file(config)?.directory();
    let manifest: &Manifest = context.manifest(config)?;
    let base = joined(directory, &manifest.base)?;
    for target in aliased(&manifest.aliases, written).unwrap_or_default() {
        if let Some(path) = joined(&base, &target)
            && let Some(found) = file_of(context, slot, config, &path)
        {
            return Some(found);
        }
    }
    if !manifest.base.is_empty()
        && let Some(path) = joined(&base, written)
        && let Some(found) = file_of(context, slot, config, &path)
    {
        return Some(found);
    }
    // What it extends holds where it says nothing itself.
    if left == 0 || !manifest.aliases.is_empty() {
        return None;
    }
    manifest.extends.iter().rev().find_map(|extended| {
        if !extended.starts_with('.') {
            return None;
        }
        let path = joined(directory, extended)?;
        let other = context
            .path(config, &path)
            .or_else(|| context.path(config, &format!("{path}.json")))?;
        configured(context, slot, other, written, left - 1)
    })
}

/// The targets of the alias that fits best, its `*` filled in: an exact one, then the longest.
fn aliased(aliases: &[Alias], written: &str) -> Option<Vec<String>> {
    let mut best: Option<(usize, &Alias, &str)> = None;
    for alias in aliases {
        let fit = match alias.name.split_once('*') {
            None => (alias.name == written).then_some((usize::MAX, "")),
            Some((before, after)) => written
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .map(|star| (before.len(), star)),
        };
        if let Some((length, star)) = fit
            && best.is_none_or(|(most, ..)| length > most)
        {
            best = Some((length, alias, star));
        }
    }
    let (_, alias, star) = best?;
    Some(alias.targets.iter().map(|target| target.replacen('*', star, 1)).collect())
}

/// A package of the repository, or a part of one, by its name.
fn packaged(context: &Context<'_>, slot: u32, from: &str, written: &str) -> Option<u32> {
    let parts = if written.starts_with('@') { 2 } else { 1 };
    let end = written.match_indices('/').nth(parts - 1).map_or(written.len(), |(at, _)| at);
    let (name, rest) = written.split_at(end);
    let mut packages = context.packages(slot, ManifestKind::Package, name);
    if packages.is_empty() && !ecma_std::is_module(name) {
        packages = context.packages_beyond(slot, ManifestKind::Package, name);
    }
    // The nearest of several copies.
    let near = |&package: &u32| {
        let directory = context.file(package).map_or("", |file| file.directory());
        let same = directory.bytes().zip(from.bytes()).take_while(|(a, b)| a == b).count();
        std::cmp::Reverse(same)
    };
    packages.sort_by_key(near);
    packages.into_iter().find_map(|package| {
        let directory = context.file(package)?.directory();
        let manifest = context.manifest(package)?;
        let subpath = format!(".{rest}");
        let mut targets = aliased(&manifest.exports, &subpath).unwrap_or_default();
        if rest.is_empty() {
            targets.extend(manifest.entries.iter().cloned());
            targets.extend(["src/index", "index", "lib/index"].map(str::to_owned));
        } else {
            targets.extend([format!("src{rest}"), rest[1..].to_owned()]);
        }
        targets.iter().find_map(|target| {
            let found =
                joined(directory, target).and_then(|path| file_of(context, slot, package, &path));
            found.or_else(|| {
                file_of(context, slot, package, &joined(directory, &source_of(target)?)?)
            })
        })
    })
}

/// Where the source of something built is: `./dist/esm/a.js` is made of `src/a`.
fn source_of(target: &str) -> Option<String> {
    let mut rest = target.trim_start_matches("./");
    let mut is_built = false;
    while let Some((first, after)) = rest.split_once('/') {
        if !BUILT.contains(&first) {
            break;
        }
        is_built = true;
        rest = after;
    }
    is_built.then(|| format!("src/{}", rest.strip_prefix("src/").unwrap_or(rest)))
}

/// A relative path below a directory; None when it leads out of the root.
fn joined(directory: &str, written: &str) -> Option<String> {
    let mut names: Vec<&str> = directory.split('/').filter(|name| !name.is_empty()).collect();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// The file that a path without or with its extension means in the repository of a file.
fn file_of(context: &Context<'_>, from: u32, repo: u32, path: &str) -> Option<u32> {
    let bare = match path.rsplit_once('.') {
        Some((stem, extension)) if EXTENSIONS.contains(&extension) => {
            Some(stem.strip_suffix(".d").unwrap_or(stem))
        }
        _ => None,
    };
    let declares = context.file(from).is_some_and(|file| is_declaration(&file.path));
    for candidate in [Some(path), bare].into_iter().flatten() {
        let is_index = candidate == "index" || candidate.ends_with("/index");
        let module = match is_index {
            true => candidate[..candidate.len() - "index".len()].trim_end_matches('/'),
            false => candidate,
        };
        let rank = |&slot: &u32| {
            let path = context.file(slot).map_or("", |file| file.path.as_str());
            let name = path.rsplit('/').next().unwrap_or_default();
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            let other = matches!(stem, "index" | "index.d") != is_index && !module.is_empty();
            let at = EXTENSIONS.iter().position(|&one| one == extension);
            (other, is_declaration(path) != declares, at)
        };
        if let Some(found) = context.modules(repo, FAMILY, module).into_iter().min_by_key(rank) {
            return Some(found);
        }
    }
    None
}

/// Whether a file only declares what is elsewhere.
pub(super) fn is_declaration(path: &str) -> bool {
    [".d.ts", ".d.mts", ".d.cts"].iter().any(|end| path.ends_with(end))
}
