//! What the extractors of all languages write into.

use std::collections::HashMap;

use onyx_protocol::code::{
    Attribute, Binding, Body, Declared, Export, ExprId, Import, Interface, Reference,
    ReferenceKind, Scope, ScopeKind, TypeId, Within,
};
use onyx_protocol::facts::{Definition, Language};
use sha2::{Digest, Sha256};
use tree_sitter::{Node, Point};

use super::pool::QuickMap;
use super::{Interner, ecma_jsdoc};

/// Most references of one file; more are left out.
const MAX_REFERENCES: usize = 2_000_000;

/// Interface and body under construction, and where the walk stands.
pub(in crate::parse) struct Builder<'d, 't> {
    pub source: &'t str,
    definitions: &'d [Definition],
    nodes: &'d [Node<'t>],
    pub by_node: QuickMap<usize, u32>,
    /// The pool of the interface.
    pub shared: Interner<'t>,
    /// The pool of the body.
    pub own: Interner<'t>,
    pub declared: Vec<Declared>,
    pub attributes: Vec<Attribute>,
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    pub exports_all: bool,
    language: Language,
    pub scopes: Vec<Scope>,
    pub bindings: Vec<Binding>,
    pub local_imports: Vec<Import>,
    references: Vec<Reference>,
    /// The scope the walk is in.
    pub scope: u32,
    /// The definition the walk is in.
    pub within: Within,
    /// Whether names are those of types.
    pub in_type: bool,
    /// The nodes around the one the walk is at, the root first: asking a node for its parent means
    /// going down to it from the root.
    pub around: Vec<Node<'t>>,
    /// Node that was referred to already and is only walked through.
    pub done: usize,
    /// Of function scopes that have a `this` of their own, the type or function that it is of; the
    /// file when that is unknown.
    pub selves: QuickMap<u32, Within>,
    /// Types that comments give names to, of JavaScript.
    pub told_types: ecma_jsdoc::Named<'t>,
}

impl<'d, 't> Builder<'d, 't> {
    pub fn new(
        language: Language,
        source: &'t str,
        definitions: &'d [Definition],
        nodes: &'d [Node<'t>],
    ) -> Self {
        let mut shared = Interner::default();
        let mut alike: HashMap<(u8, &str), u32> = HashMap::new();
        let declared = definitions.iter().map(|definition| {
            let nth = alike.entry((definition.kind as u8, &definition.qualified_name)).or_default();
            *nth += 1;
            Declared {
                kind: definition.kind,
                name: shared.name(definition.name.clone()),
                parent: definition.parent.map_or(Within::FILE, Within::definition),
                identity: identity(definition, *nth),
                flags: 0,
                bases: Vec::new(),
                ty: 0,
                receiver: 0,
                parameters: Vec::new(),
                generics: Vec::new(),
                values: Vec::new(),
            }
        });
        let declared = declared.collect();
        let mut by_node = QuickMap::default();
        for (number, node) in (0..).zip(nodes) {
            by_node.entry(node.id()).or_insert(number);
        }
        let file = Scope { kind: ScopeKind::File, parent: 0, within: Within::FILE };
        Self {
            source,
            definitions,
            nodes,
            by_node,
            shared,
            own: Interner::default(),
            declared,
            attributes: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            exports_all: false,
            language,
            scopes: vec![file],
            bindings: Vec::new(),
            local_imports: Vec::new(),
            references: Vec::new(),
            scope: 0,
            within: Within::FILE,
            in_type: false,
            around: Vec::with_capacity(64),
            done: 0,
            selves: QuickMap::default(),
            told_types: match language {
                Language::JavaScript => ecma_jsdoc::named(source),
                _ => ecma_jsdoc::Named::new(),
            },
        }
    }

    pub fn language(&self) -> Language {
        self.language
    }

    /// The parent of the node the walk is at.
    pub fn parent(&self) -> Option<Node<'t>> {
        self.around.last().copied()
    }

    /// What is so many levels above the parent: `Node::parent` goes down from the root each time.
    pub fn above(&self, levels: usize) -> Option<Node<'t>> {
        let place = self.around.len().checked_sub(levels + 1)?;
        self.around.get(place).copied()
    }

    /// The kind of that parent.
    pub fn parent_kind(&self) -> &'t str {
        self.around.last().map_or("", |node| node.kind())
    }

    pub fn text(&self, node: Node<'_>) -> &'t str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// The definition whose node this is.
    pub fn definition(&self, node: Node<'_>) -> Option<u32> {
        self.by_node.get(&node.id()).copied()
    }

    /// The definition of this name whose node this is: one assignment may define several.
    pub fn definition_named(&self, node: Node<'_>, name: &str) -> Option<u32> {
        let first = self.definition(node)?;
        let same = |number: &u32| {
            self.nodes.get(*number as usize).is_some_and(|n| n.id() == node.id())
                && self.definitions[*number as usize].name == name
        };
        (first..first.saturating_add(64)).find(same)
    }

    /// All definitions whose node this is.
    pub fn definitions_at(&self, node: Node<'_>) -> Vec<u32> {
        let Some(first) = self.definition(node) else { return Vec::new() };
        let same =
            |number: &u32| self.nodes.get(*number as usize).is_some_and(|n| n.id() == node.id());
        (first..first.saturating_add(64)).filter(same).collect()
    }

    /// The first definition of a name that is in no other.
    pub fn top_level(&self, name: &str) -> Option<u32> {
        let at = self.definitions.iter().position(|d| d.parent.is_none() && d.name == name)?;
        u32::try_from(at).ok()
    }

    pub fn facts(&self, number: u32) -> &'d Definition {
        &self.definitions[number as usize]
    }

    pub fn declared(&mut self, number: u32) -> &mut Declared {
        &mut self.declared[number as usize]
    }

    /// A scope in the present one, from here on the present one.
    pub fn open(&mut self, kind: ScopeKind, within: Within) {
        let scope = u32::try_from(self.scopes.len()).unwrap_or(0);
        self.scopes.push(Scope { kind, parent: self.scope, within });
        self.scope = scope;
        if within != Within::FILE {
            self.within = within;
        }
    }

    /// The function, type, module or file scope the present scope is in.
    pub fn holder(&self) -> &Scope {
        let mut scope = &self.scopes[self.scope as usize];
        while scope.kind == ScopeKind::Block {
            scope = &self.scopes[scope.parent as usize];
        }
        scope
    }

    /// Whether a scope is another or inside of it.
    pub fn is_inside(&self, mut scope: u32, of: u32) -> bool {
        while scope > of {
            scope = self.scopes[scope as usize].parent;
        }
        scope == of
    }

    /// Whether the walk is in no function.
    pub fn is_shared(&self) -> bool {
        let mut number = self.scope;
        while number != 0 {
            let scope = &self.scopes[number as usize];
            if scope.kind == ScopeKind::Function {
                return false;
            }
            number = scope.parent;
        }
        true
    }

    pub fn bind(&mut self, name: &'t str, ty: TypeId, value: ExprId, from: Point) {
        let name = self.own.name(name);
        let (line, column) = position(from);
        let scope = self.scope;
        self.bindings.push(Binding { scope, name, ty, value, line, column });
    }

    pub fn refer(&mut self, kind: ReferenceKind, target: u32, at: Node<'_>) {
        if self.references.len() < MAX_REFERENCES {
            let (line, column) = position(at.start_position());
            let (scope, source) = (self.scope, self.within);
            self.references.push(Reference { kind, scope, source, target, line, column });
        }
    }

    /// An import where the walk is, and the reference to what it imports.
    pub fn import(&mut self, import: ImportText<'t>, at: Node<'_>) {
        let shared = self.is_shared();
        let pool = if shared { &mut self.shared } else { &mut self.own };
        let (local, module) = (pool.name(import.local), pool.name(import.module));
        let name = pool.name(import.name);
        let owner = match shared {
            true => self.holder().within,
            false => Within::definition(self.scope),
        };
        let (level, flags) = (import.level, import.flags);
        let import = Import { owner, local, module, name, level, flags };
        let (list, kind) = match shared {
            true => (&mut self.imports, ReferenceKind::Import),
            false => (&mut self.local_imports, ReferenceKind::LocalImport),
        };
        let number = u32::try_from(list.len()).unwrap_or(0);
        list.push(import);
        self.refer(kind, number, at);
    }

    pub fn finish(self) -> (Interface, Body) {
        let interface = Interface {
            language: self.language,
            pool: self.shared.finish(),
            definitions: self.declared,
            attributes: self.attributes,
            imports: self.imports,
            exports: self.exports,
            exports_all: self.exports_all,
            manifest: None,
        };
        let body = Body {
            pool: self.own.finish(),
            scopes: self.scopes,
            bindings: self.bindings,
            imports: self.local_imports,
            references: self.references,
        };
        (interface, body)
    }
}

/// An import as written.
#[derive(Debug, Default)]
pub(in crate::parse) struct ImportText<'t> {
    pub local: &'t str,
    pub module: std::borrow::Cow<'t, str>,
    pub name: &'t str,
    pub level: u8,
    pub flags: u16,
}

/// Line and column, from 1.
fn position(point: Point) -> (u32, u32) {
    let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    (number(point.row), number(point.column))
}

/// What keeps a definition's node from one ingest to the next.
fn identity(definition: &Definition, nth: u32) -> u64 {
    let mut hash = Sha256::new();
    hash.update(definition.kind.as_str());
    hash.update([0]);
    hash.update(&definition.qualified_name);
    hash.update([0]);
    hash.update(nth.to_le_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(bytes)
}
