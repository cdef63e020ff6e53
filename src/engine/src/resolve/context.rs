//! The one way to what other files say: every look is recorded.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use onyx_protocol::code::{
    Body, Declared, Import, Manifest, ManifestKind, Pool, ScopeKind, Within,
};

use super::keys::{self, Map, Set};
use super::members::Bases;
use super::ty::{Def, Found, Space, Strategy, Ty};
use super::workspace::{File, Named, Workspace};

/// Deepest nesting of one question in another.
const MAX_DEPTH: u32 = 48;
/// Most questions asked for one reference.
const MAX_STEPS: u32 = 4_000;

/// Where a name or expression stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub slot: u32,
    pub pool: &'a Pool,
    pub at: At,
}

/// Inside a file: a scope of the body that is resolved, or a definition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum At {
    /// Scope, line and column.
    Scope(u32, u32, u32),
    /// In a definition; what is local to it cannot be seen.
    Within(Within),
}

/// Answers by slot and number.
type Kept<T> = RefCell<Map<(u32, u32), T>>;

/// Memory of one file's resolution.
#[derive(Default)]
pub(super) struct Memory {
    pub bases: RefCell<Map<(u32, u32), Rc<Bases>>>,
    pub definitions: RefCell<Map<(u32, u32), Ty>>,
    pub imports: Kept<Rc<[Found]>>,
    pub blocks: Kept<Rc<[Def]>>,
    pub locals: RefCell<Map<u32, (Ty, Strategy)>>,
}

/// Something whose answer is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Import(u32, u32),
    LocalImport(u32),
    /// Glob imports of a container, for a name.
    Glob(u32, Within, u64, Space),
    Definition(Def),
    Local(u32),
}

/// Work under way. An answer that met its own question on the way is only right for who asked first:
/// others may not remember what they made of it.
pub(super) struct Round<'a> {
    open: &'a RefCell<Vec<Work>>,
    cut: &'a Cell<bool>,
}

impl Round<'_> {
    /// Ends it; true when its answer may be remembered.
    pub fn end(self) -> bool {
        let mut open = self.open.borrow_mut();
        open.pop();
        if open.is_empty() {
            self.cut.set(false);
            return true;
        }
        !self.cut.get()
    }
}

/// One file under resolution.
pub(super) struct Context<'w> {
    pub workspace: &'w Workspace,
    pub slot: u32,
    pub body: &'w Body,
    pub memory: Memory,
    /// Bindings of the body by the scope and name they are found under.
    pub bindings: Map<(u32, u32), Vec<u32>>,
    /// The same by the function, module or type around the scope.
    pub hoisted: Map<(u32, u32), Vec<u32>>,
    /// Names of the body by their hashes.
    pub names: Map<u64, u32>,
    /// Keys looked up in the own repository, and beyond it.
    seen: RefCell<Set<u64>>,
    outside: RefCell<Set<u64>>,
    /// Those beyond it that may be names of packages.
    names_outside: RefCell<Set<u64>>,
    depth: Cell<u32>,
    steps: Cell<u32>,
    open: RefCell<Vec<Work>>,
    cut: Cell<bool>,
}

/// Ends a question.
pub(super) struct Question<'a>(&'a Cell<u32>);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The function, type, module or file a scope is in, or it itself.
pub(super) fn holder(body: &Body, mut scope: u32) -> u32 {
    while let Some(inner) = body.scopes.get(scope as usize).filter(|s| s.kind == ScopeKind::Block) {
        scope = inner.parent;
    }
    scope
}

fn sorted(keys: &Set<u64>) -> Vec<u64> {
    let mut all: Vec<u64> = keys.iter().copied().collect();
    all.sort_unstable();
    all
}

impl<'w> Context<'w> {
    pub fn new(workspace: &'w Workspace, slot: u32, body: &'w Body) -> Self {
        let mut bindings: Map<(u32, u32), Vec<u32>> = Map::default();
        let mut hoisted: Map<(u32, u32), Vec<u32>> = Map::default();
        for (number, binding) in (0..).zip(&body.bindings) {
            bindings.entry((binding.scope, binding.name)).or_default().push(number);
            let holder = holder(body, binding.scope);
            hoisted.entry((holder, binding.name)).or_default().push(number);
        }
        let names = body.pool.names.iter().map(|name| keys::name(name)).zip(0..).collect();
        Self {
            workspace,
            slot,
            body,
            memory: Memory::default(),
            bindings,
            hoisted,
            names,
            seen: RefCell::default(),
            outside: RefCell::default(),
            names_outside: RefCell::default(),
            depth: Cell::new(0),
            steps: Cell::new(0),
            open: RefCell::default(),
            cut: Cell::new(false),
        }
    }

    /// Begins the next reference.
    pub fn restart(&self) {
        self.steps.set(0);
    }

    /// Begins a question; None when there were too many or they are too deep.
    pub fn question(&self) -> Option<Question<'_>> {
        if self.depth.get() >= MAX_DEPTH || self.steps.get() >= MAX_STEPS {
            self.cut.set(true);
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        self.steps.set(self.steps.get() + 1);
        Some(Question(&self.depth))
    }

    /// Begins work; None when it is under way already, or too much is.
    pub fn begin(&self, work: Work) -> Option<Round<'_>> {
        let mut open = self.open.borrow_mut();
        if open.contains(&work) {
            self.cut.set(true);
            return None;
        }
        open.push(work);
        Some(Round { open: &self.open, cut: &self.cut })
    }

    pub fn dependencies(&self) -> Vec<u64> {
        sorted(&self.seen.borrow())
    }

    /// The keys looked up beyond the own repository.
    pub fn outside(&self) -> Vec<u64> {
        sorted(&self.outside.borrow())
    }

    /// Those of them that may be names of packages.
    pub fn outside_names(&self) -> Vec<u64> {
        sorted(&self.names_outside.borrow())
    }

    /// Remembers a look at what the repository of a file has.
    fn record(&self, of: u32, key: u64) {
        match self.is_own(of) {
            true => self.seen.borrow_mut().insert(key),
            false => self.outside.borrow_mut().insert(key),
        };
    }

    /// Whether a file is of the repository that is resolved.
    pub fn is_own(&self, slot: u32) -> bool {
        Workspace::is_together(slot, self.slot)
    }

    /// A file that a recorded look has led to: its language, path and module are part of every key.
    pub fn file(&self, slot: u32) -> Option<&'w File> {
        self.workspace.file(slot)
    }

    /// What a definition says.
    pub fn declared(&self, def: Def) -> Option<&'w Declared> {
        let file = self.file(def.slot)?;
        if def.slot != self.slot {
            self.record(def.slot, keys::facts(file.container(Within::definition(def.number))));
        }
        file.declared(def.number)
    }

    pub fn pool(&self, slot: u32) -> Option<&'w Pool> {
        Some(&self.file(slot)?.interface.pool)
    }

    /// What a definition's shapes mean: they stand in its parent, seen from its inside.
    pub fn inside(&self, def: Def) -> Option<Place<'w>> {
        let pool = self.pool(def.slot)?;
        let at = At::Within(Within::definition(def.number));
        Some(Place { slot: def.slot, pool, at })
    }

    /// What a container has under a name.
    pub fn named(&self, slot: u32, within: Within, name: &str) -> &'w [Named] {
        let Some(file) = self.file(slot) else { return &[] };
        let name = keys::name(name);
        if slot != self.slot {
            self.record(slot, keys::member(file.container(within), name));
        }
        file.named(within, name)
    }

    /// The glob imports of a container.
    pub fn globs(&self, slot: u32, within: Within) -> &'w [u32] {
        let Some(file) = self.file(slot) else { return &[] };
        if slot != self.slot {
            self.record(slot, keys::globs(file.container(within)));
        }
        file.globs(within)
    }

    /// Whether a file says what is public, and that a name is.
    pub fn exports(&self, slot: u32, name: &str) -> Option<bool> {
        let file = self.file(slot)?;
        if slot != self.slot {
            self.record(slot, keys::exports(file.container(Within::FILE)));
        }
        let interface = &file.interface;
        if !interface.exports_all {
            return None;
        }
        Some(interface.exports.iter().any(|export| interface.pool.name(export.name) == name))
    }

    pub fn import(&self, slot: u32, number: u32) -> Option<&'w Import> {
        self.file(slot)?.interface.imports.get(number as usize)
    }

    /// What the repository of a file has under a key.
    fn look(&self, from: u32, key: u64) -> Vec<(u32, u32)> {
        let key = keys::within(self.file(from).map_or(0, |file| file.repo), key);
        self.record(from, key);
        self.workspace.find(from, key)
    }

    /// Files of other repositories than that of a file that others find by the name of a package.
    fn beyond(&self, from: u32, key: u64) -> Vec<u32> {
        self.outside.borrow_mut().insert(key);
        self.names_outside.borrow_mut().insert(key);
        if !self.is_own(from) {
            // What another repository asks of all others may be in the own one.
            self.seen.borrow_mut().insert(key);
        }
        self.workspace.find_beyond(from, key)
    }

    /// Other repositories that provide a package of a language family, each by one of its files.
    pub fn providers(&self, from: u32, family: u8, name: &str) -> Vec<u32> {
        let mut found = self.beyond(from, keys::provided(family, name));
        found.dedup_by(|one, other| Workspace::is_together(*one, *other));
        found
    }

    /// The manifests that give a package its name in the one other repository where some do; none when
    /// several repositories have such a package.
    pub fn packages_beyond(&self, from: u32, kind: ManifestKind, name: &str) -> Vec<u32> {
        let found = self.beyond(from, keys::package_name(kind, name));
        match found.windows(2).all(|two| Workspace::is_together(two[0], two[1])) {
            true => found,
            false => Vec::new(),
        }
    }

    /// The file at a path in the repository of another.
    pub fn path(&self, from: u32, path: &str) -> Option<u32> {
        self.look(from, keys::path(path)).first().map(|&(slot, _)| slot)
    }

    /// What a manifest says.
    pub fn manifest(&self, slot: u32) -> Option<&'w Manifest> {
        let file = self.file(slot)?;
        self.record(slot, keys::manifest(file.container(Within::FILE)));
        file.interface.manifest.as_ref()
    }

    /// The nearest manifest of one of these names, tried in order, in a directory of the repository of
    /// a file or above it.
    pub fn manifest_above(&self, from: u32, mut directory: &str, names: &[&str]) -> Option<u32> {
        loop {
            for name in names {
                let path = match directory {
                    "" => (*name).to_owned(),
                    _ => format!("{directory}/{name}"),
                };
                if let Some(slot) = self.path(from, &path) {
                    return Some(slot);
                }
            }
            if directory.is_empty() {
                return None;
            }
            directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }

    /// The manifests of packages or libraries of a name in the repository of a file, in order of their
    /// paths.
    pub fn packages(&self, from: u32, kind: ManifestKind, name: &str) -> Vec<u32> {
        self.look(from, keys::package_name(kind, name)).into_iter().map(|(slot, _)| slot).collect()
    }

    /// The files of the repository of another that are a module of a language family.
    pub fn modules(&self, from: u32, family: u8, name: &str) -> Vec<u32> {
        self.look(from, keys::module(family, name)).into_iter().map(|(slot, _)| slot).collect()
    }

    /// Whether the repository of a file has files below a module.
    pub fn is_package(&self, from: u32, family: u8, name: &str) -> bool {
        !self.look(from, keys::package(family, name)).is_empty()
    }

    /// Definitions that a language has indexed in the repository of a file.
    pub fn special(&self, from: u32, family: u8, what: u8, name: &str) -> Vec<Def> {
        let found = self.look(from, keys::special(family, what, name));
        found.into_iter().map(|(slot, number)| Def { slot, number }).collect()
    }
}
