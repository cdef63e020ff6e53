//! Files' interfaces, by repositories, and the way to what they say.

use std::hash::Hash;
use std::sync::Arc;

use onyx_protocol::code::{Body, Declared, Interface, ManifestKind, Resolved, Within};
use onyx_protocol::codec::CodecError;
use onyx_protocol::facts::Language;

use super::edges;
use super::keys::{self, Content, Fnv, Map};
use super::languages::{self, Rules, Special};
use super::space::Space;

/// What a file gives to the workspace.
#[derive(Debug, Clone)]
pub struct FileInput {
    /// The caller's number for it; edges name their targets by it.
    pub id: i64,
    /// The caller's number for its repository.
    pub repo: u64,
    /// Path below the root.
    pub path: String,
    /// Its language.
    pub language: Language,
    /// Name of the module it is, as `ParsedFile::module`.
    pub module: String,
    /// Its package clause, as `FileFacts::package`.
    pub package: String,
    /// `code::Interface`, encoded.
    pub interface: Vec<u8>,
}

/// One thing a container has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    Definition(u32),
    Import(u32),
    Attribute(u32),
}

/// A file in the workspace.
pub(super) struct File {
    pub id: i64,
    pub repo: u64,
    pub path: String,
    pub module: String,
    /// The package clause of Go and Java.
    pub package: String,
    pub interface: Interface,
    pub rules: &'static dyn Rules,
    names: Map<u64, Vec<Named>>,
    containers: Fnv,
    globs: Map<u32, Vec<u32>>,
}

impl File {
    pub fn new(input: &FileInput) -> Result<Self, CodecError> {
        let interface = Interface::decode(&input.interface)?;
        let mut file = Self {
            id: input.id,
            repo: input.repo,
            path: input.path.clone(),
            module: input.module.clone(),
            package: input.package.clone(),
            rules: languages::rules(input.language),
            names: Map::default(),
            containers: keys::containers(input.repo, &input.path),
            globs: Map::default(),
            interface: Interface::new(input.language),
        };
        let hashes: Vec<u64> = interface.pool.names.iter().map(|n| keys::name(n)).collect();
        let hash = |id: u32| hashes.get(id as usize).copied().unwrap_or(0);
        for (number, definition) in (0..).zip(&interface.definitions) {
            let slot = slot(definition.parent, hash(definition.name));
            file.names.entry(slot).or_default().push(Named::Definition(number));
        }
        for (number, attribute) in (0..).zip(&interface.attributes) {
            let slot = slot(attribute.owner, hash(attribute.name));
            file.names.entry(slot).or_default().push(Named::Attribute(number));
        }
        for (number, import) in (0..).zip(&interface.imports) {
            if import.local != 0 {
                let slot = slot(import.owner, hash(import.local));
                file.names.entry(slot).or_default().push(Named::Import(number));
            } else if import.flags & onyx_protocol::code::flags::GLOB != 0 {
                file.globs.entry(import.owner.0).or_default().push(number);
            }
        }
        file.interface = interface;
        Ok(file)
    }

    /// What a container in this file has under a name.
    pub fn named(&self, within: Within, name: u64) -> &[Named] {
        self.names.get(&slot(within, name)).map_or(&[], Vec::as_slice)
    }

    /// The glob imports of a container.
    pub fn globs(&self, within: Within) -> &[u32] {
        self.globs.get(&within.0).map_or(&[], Vec::as_slice)
    }

    pub fn container(&self, within: Within) -> u64 {
        keys::container(self.containers, &self.interface, within)
    }

    pub fn declared(&self, number: u32) -> Option<&Declared> {
        self.interface.definitions.get(number as usize)
    }

    /// Directory of its path.
    pub fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// Keys that find this file or something in it: within its repository, and names of packages by
    /// which others find it.
    pub fn specials(&self) -> Vec<(u64, u32)> {
        let family = self.rules.family();
        let within = |key: u64| keys::within(self.repo, key);
        let mut found = vec![(within(keys::path(&self.path)), u32::MAX)];
        if let Some(manifest) = &self.interface.manifest {
            let mut names = vec![manifest.name.as_str(), manifest.library.as_str()];
            names.retain(|name| !name.is_empty());
            names.dedup();
            for name in names {
                found.push((within(keys::package_name(manifest.kind, name)), u32::MAX));
            }
            found.extend(self.provides().into_iter().map(|key| (key, u32::MAX)));
            return found;
        }
        let mut add = |special: Special<'_>| match special {
            Special::Module(name) => found.push((within(keys::module(family, name)), u32::MAX)),
            Special::Package(name) => found.push((within(keys::package(family, name)), u32::MAX)),
            Special::Named(what, name, number) => {
                found.push((within(keys::special(family, what, name)), number));
            }
            Special::Provided(name) => found.push((keys::provided(family, name), u32::MAX)),
        };
        self.rules.index(self, &mut add);
        found
    }

    /// The names by which other repositories find the package this file is in, or stands for.
    pub fn provides(&self) -> Vec<u64> {
        let mut found = Vec::new();
        if let Some(manifest) = &self.interface.manifest {
            // Another repository's configuration is none of ours.
            if manifest.kind != ManifestKind::Config {
                let names = [manifest.name.as_str(), manifest.library.as_str()];
                let names = names.into_iter().filter(|name| !name.is_empty());
                found.extend(names.map(|name| keys::package_name(manifest.kind, name)));
            }
        } else {
            let family = self.rules.family();
            let mut add = |special: Special<'_>| {
                if let Special::Provided(name) = special {
                    found.push(keys::provided(family, name));
                }
            };
            self.rules.index(self, &mut add);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Every key this file has a part in, with the hash of its part.
    fn parts(&self, mut part: impl FnMut(u64, u64)) {
        let pool = &self.interface.pool;
        // Who finds a file may ask for all of these.
        let place = Fnv::new(10).text(&self.path).text(&self.module).text(&self.package);
        let whole = place.end();
        for (key, number) in self.specials() {
            let identity = self.declared(number).map_or(0, |d| d.identity);
            part(key, keys::member(whole, identity));
        }
        for (number, declared) in (0..).zip(&self.interface.definitions) {
            let own = self.container(Within::definition(number));
            let parent = self.container(declared.parent);
            part(keys::member(parent, keys::name(pool.name(declared.name))), own);
            let mut content = Content::new(&self.interface);
            content.number(declared.kind as u64);
            content.number(u64::from(declared.flags));
            content.number(parent);
            for &base in &declared.bases {
                content.number(1);
                content.ty(base);
            }
            content.ty(declared.ty);
            content.ty(declared.receiver);
            for parameter in &declared.parameters {
                content.number(2);
                content.name(parameter.name);
                content.ty(parameter.ty);
                content.expr(parameter.default);
                content.number(u64::from(parameter.optional));
            }
            for generic in &declared.generics {
                content.number(3);
                content.name(generic.name);
                for &bound in &generic.bounds {
                    content.ty(bound);
                }
            }
            for &value in &declared.values {
                content.number(4);
                content.expr(value);
            }
            part(keys::facts(own), content.end());
        }
        for attribute in &self.interface.attributes {
            let owner = self.container(attribute.owner);
            let mut content = Content::new(&self.interface);
            content.ty(attribute.ty);
            content.expr(attribute.value);
            content.number(self.container(attribute.within));
            part(keys::member(owner, keys::name(pool.name(attribute.name))), content.end());
        }
        for (number, import) in (0_u64..).zip(&self.interface.imports) {
            let owner = self.container(import.owner);
            let mut content = Content::new(&self.interface);
            content.import(import);
            if import.local != 0 {
                part(keys::member(owner, keys::name(pool.name(import.local))), content.end());
            }
            if import.local == 0 || import.flags & onyx_protocol::code::flags::GUESSED != 0 {
                // Their order matters.
                content.number(number);
                part(keys::globs(owner), content.end());
            }
        }
        let file = self.container(Within::FILE);
        if let Some(manifest) = &self.interface.manifest {
            let mut content = Fnv::new(21);
            manifest.hash(&mut content);
            part(keys::manifest(file), content.end());
        }
        let mut content = Content::new(&self.interface);
        content.number(u64::from(self.interface.exports_all));
        for export in &self.interface.exports {
            content.name(export.name);
            content.expr(export.value);
        }
        part(keys::exports(file), content.end());
    }
}

/// Where a name of a container is kept.
fn slot(within: Within, name: u64) -> u64 {
    keys::member(u64::from(within.0), name)
}

/// Bits of a slot that number a file within its repository.
const FILE_BITS: u32 = 22;
/// Most repositories at once.
const MAX_REPOSITORIES: usize = 1 << (32 - FILE_BITS);
/// Most files a repository.
pub(super) const MAX_FILES: usize = 1 << FILE_BITS;

/// The files of a repository, and of those its references may lead into.
pub struct Workspace {
    /// Its own first.
    spaces: Vec<Arc<Space>>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Self::of(Arc::new(Space::new(0)))
    }

    /// One of a repository.
    pub fn of(space: Arc<Space>) -> Self {
        Self { spaces: vec![space] }
    }

    /// Lets references lead into another repository. False when there are too many.
    pub fn join(&mut self, space: Arc<Space>) -> bool {
        if self.spaces.len() >= MAX_REPOSITORIES {
            return false;
        }
        self.spaces.push(space);
        true
    }

    /// The files of its own repository.
    pub fn own(&self) -> &Space {
        &self.spaces[0]
    }

    /// The files of a repository, to be changed.
    pub fn space_mut(&mut self, repo: u64) -> Option<&mut Space> {
        self.spaces.iter_mut().find(|space| space.repo() == repo).map(Arc::make_mut)
    }

    /// The repositories, its own first.
    pub fn into_spaces(self) -> Vec<Arc<Space>> {
        self.spaces
    }

    /// Adds a file to the own repository, in place of one with the same id. Err when its interface
    /// cannot be read.
    pub fn add(&mut self, input: &FileInput) -> Result<(), CodecError> {
        Arc::make_mut(&mut self.spaces[0]).add(input)
    }

    /// Removes a file of the own repository.
    pub fn remove(&mut self, id: i64) {
        Arc::make_mut(&mut self.spaces[0]).remove(id);
    }

    /// The keys, sorted, whose value differs between two states, of which only these files differ.
    pub fn changed_keys(before: &[FileInput], after: &[FileInput]) -> Result<Vec<u64>, CodecError> {
        let mut sums: Map<u64, u64> = Map::default();
        for input in before {
            File::new(input)?.parts(|key, value| {
                let sum = sums.entry(key).or_default();
                *sum = sum.wrapping_add(keys::member(1, value));
            });
        }
        for input in after {
            File::new(input)?.parts(|key, value| {
                let sum = sums.entry(key).or_default();
                *sum = sum.wrapping_sub(keys::member(1, value));
            });
        }
        let mut changed: Vec<u64> =
            sums.into_iter().filter(|&(_, sum)| sum != 0).map(|(key, _)| key).collect();
        changed.sort_unstable();
        Ok(changed)
    }

    /// Edges, unresolved references and dependencies of a file that was added to the own repository.
    pub fn resolve(&self, id: i64, body: &[u8]) -> Result<Resolved, CodecError> {
        let body = Body::decode(body)?;
        Ok(match self.spaces[0].slot(id) {
            Some(slot) => edges::resolve(self, slot, &body),
            None => Resolved::default(),
        })
    }

    pub(super) fn file(&self, slot: u32) -> Option<&File> {
        let space = self.spaces.get((slot >> FILE_BITS) as usize)?;
        space.file(slot & (MAX_FILES as u32 - 1))
    }

    /// Whether two files are of one repository.
    pub(super) fn is_together(one: u32, other: u32) -> bool {
        one >> FILE_BITS == other >> FILE_BITS
    }

    /// What is found under a key in the repository of a file, in an order that does not depend on that
    /// of adding.
    pub(super) fn find(&self, from: u32, key: u64) -> Vec<(u32, u32)> {
        let number = from >> FILE_BITS;
        match self.spaces.get(number as usize) {
            Some(space) => self.in_order(number, space, key),
            None => Vec::new(),
        }
    }

    /// The files of all other repositories than that of a file that are found under a key.
    pub(super) fn find_beyond(&self, from: u32, key: u64) -> Vec<u32> {
        let own = from >> FILE_BITS;
        let others = (0..).zip(&self.spaces).filter(|(number, _)| *number != own);
        let found = others.flat_map(|(number, space)| self.in_order(number, space, key));
        found.map(|(slot, _)| slot).collect()
    }

    fn in_order(&self, number: u32, space: &Space, key: u64) -> Vec<(u32, u32)> {
        let items = space.find(key).iter().map(|&(file, of)| (number << FILE_BITS | file, of));
        let mut items: Vec<(u32, u32)> = items.collect();
        if items.len() > 1 {
            let path = |slot: u32| self.file(slot).map_or("", |file| file.path.as_str());
            items.sort_by(|a, b| path(a.0).cmp(path(b.0)).then(a.1.cmp(&b.1)));
            items.dedup();
        }
        items
    }
}
