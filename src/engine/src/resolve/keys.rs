//! Keys of the repository-wide index, as hashes, and what a file contributes to each.

use std::hash::{BuildHasherDefault, Hasher};

use onyx_protocol::code::{
    Declared, Expr, ExprId, Import, Interface, ManifestKind, Pool, Type, TypeId, Within,
};

/// 64-bit hash that is the same on every machine and in every version: FNV-1a with a final mix.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

impl Fnv {
    pub fn new(tag: u8) -> Self {
        let mut hash = Self(0xcbf2_9ce4_8422_2325);
        hash.write_u8(tag);
        hash
    }

    pub fn text(mut self, text: &str) -> Self {
        self.write(text.as_bytes());
        self.write_u8(0xff);
        self
    }

    pub fn number(mut self, n: u64) -> Self {
        self.write(&n.to_le_bytes());
        self
    }

    pub fn end(&self) -> u64 {
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
        x ^ (x >> 32)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.end()
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// For maps whose keys are hashes already.
#[derive(Default)]
pub(super) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(super) type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Ready>>;
pub(super) type Set<K> = std::collections::HashSet<K, BuildHasherDefault<Ready>>;

/// A name.
pub(super) fn name(text: &str) -> u64 {
    Fnv::new(0).text(text).end()
}

/// The file at a path.
pub(super) fn path(text: &str) -> u64 {
    Fnv::new(1).text(text).end()
}

/// The files that are a module.
pub(super) fn module(family: u8, text: &str) -> u64 {
    Fnv::new(2).number(u64::from(family)).text(text).end()
}

/// The files somewhere below a module.
pub(super) fn package(family: u8, text: &str) -> u64 {
    Fnv::new(3).number(u64::from(family)).text(text).end()
}

/// A key as it is asked for within one repository.
pub(super) fn within(repo: u64, key: u64) -> u64 {
    Fnv::new(14).number(repo).number(key).end()
}

/// The packages of a language family that others find by a name.
pub(super) fn provided(family: u8, text: &str) -> u64 {
    Fnv::new(15).number(u64::from(family)).text(text).end()
}

/// What the containers of names in a file begin with: hashing its path each time would cost the most of
/// many a look.
pub(super) fn containers(repo: u64, path: &str) -> Fnv {
    Fnv::new(4).number(repo).text(path)
}

/// A file or definition as a container of names.
pub(super) fn container(containers: Fnv, interface: &Interface, within: Within) -> u64 {
    let identity = within.number().map_or(0, |n| match interface.definitions.get(n as usize) {
        Some(definition) => definition.identity,
        None => 0,
    });
    containers.number(identity).end()
}

/// A name in a container.
pub(super) fn member(container: u64, name: u64) -> u64 {
    Fnv::new(5).number(container).number(name).end()
}

/// The glob imports of a container.
pub(super) fn globs(container: u64) -> u64 {
    Fnv::new(6).number(container).end()
}

/// The facts of a definition.
pub(super) fn facts(container: u64) -> u64 {
    Fnv::new(7).number(container).end()
}

/// The explicit exports of a file.
pub(super) fn exports(container: u64) -> u64 {
    Fnv::new(8).number(container).end()
}

/// What a language indexes by a name of its own: impl blocks by type, methods by name.
pub(super) fn special(family: u8, what: u8, text: &str) -> u64 {
    Fnv::new(9).number(u64::from(family)).number(u64::from(what)).text(text).end()
}

/// What a manifest says.
pub(super) fn manifest(container: u64) -> u64 {
    Fnv::new(12).number(container).end()
}

/// The manifests that name a package. Cargo writes `-` where programs write `_`.
pub(super) fn package_name(kind: ManifestKind, name: &str) -> u64 {
    let hash = Fnv::new(13).number(kind as u64);
    match kind {
        ManifestKind::Cargo => hash.text(&name.replace('-', "_")).end(),
        _ => hash.text(name).end(),
    }
}

/// Hashes the content of shapes, numbers replaced by what they stand for.
pub(super) struct Content<'a> {
    pool: &'a Pool,
    definitions: &'a [Declared],
    hash: Fnv,
}

impl<'a> Content<'a> {
    pub fn new(interface: &'a Interface) -> Self {
        let (pool, definitions) = (&interface.pool, &interface.definitions);
        Self { pool, definitions, hash: Fnv::new(20) }
    }

    pub fn end(&self) -> u64 {
        self.hash.end()
    }

    pub fn number(&mut self, n: u64) {
        self.hash.write(&n.to_le_bytes());
    }

    pub fn name(&mut self, id: u32) {
        self.hash.write(self.pool.name(id).as_bytes());
        self.hash.write_u8(0xff);
    }

    pub fn import(&mut self, import: &Import) {
        self.name(import.local);
        self.name(import.module);
        self.name(import.name);
        self.number(u64::from(import.level));
        self.number(u64::from(import.flags));
    }

    pub fn ty(&mut self, id: TypeId) {
        let list = |content: &mut Self, tag: u8, ids: &[TypeId]| {
            content.hash.write_u8(tag);
            content.number(ids.len() as u64);
            for &id in ids {
                content.ty(id);
            }
        };
        match self.pool.ty(id) {
            Type::Unknown => self.hash.write_u8(0),
            Type::Named(path, arguments) => {
                self.hash.write_u8(1);
                self.number(path.len() as u64);
                for &name in path {
                    self.name(name);
                }
                list(self, 2, arguments);
            }
            Type::Reference(of) => list(self, 3, &[*of]),
            Type::Array(of) => list(self, 4, &[*of]),
            Type::Tuple(of) => list(self, 5, of),
            Type::Union(of) => list(self, 6, of),
            Type::All(of) => list(self, 7, of),
            Type::Function(of) => list(self, 8, &[*of]),
            Type::SelfType => self.hash.write_u8(9),
            Type::Projection(of, base, name) => {
                list(self, 10, &[*of, *base]);
                self.name(*name);
            }
            Type::Of(expr) => {
                self.hash.write_u8(11);
                self.expr(*expr);
            }
            Type::Struct(fields) => {
                self.hash.write_u8(12);
                self.number(fields.len() as u64);
                for &(name, ty) in fields {
                    self.name(name);
                    self.ty(ty);
                }
            }
        }
    }

    pub fn expr(&mut self, id: ExprId) {
        let unary = |content: &mut Self, tag: u8, id: ExprId| {
            content.hash.write_u8(tag);
            content.expr(id);
        };
        match self.pool.expr(id) {
            Expr::Unknown => self.hash.write_u8(0),
            Expr::Name(name) => {
                self.hash.write_u8(1);
                self.name(*name);
            }
            Expr::Member(of, name) => {
                unary(self, 2, *of);
                self.name(*name);
            }
            Expr::Path(of, name) => {
                unary(self, 3, *of);
                self.name(*name);
            }
            Expr::Call(of, n) => {
                unary(self, 4, *of);
                self.hash.write_u8(*n);
            }
            Expr::New(of, n) => {
                self.hash.write_u8(5);
                self.ty(*of);
                self.hash.write_u8(*n);
            }
            Expr::Index(of) => unary(self, 6, *of),
            Expr::Await(of) => unary(self, 7, *of),
            Expr::Try(of) => unary(self, 8, *of),
            Expr::Deref(of) => unary(self, 9, *of),
            Expr::Element(of) => unary(self, 10, *of),
            Expr::Enter(of) => unary(self, 11, *of),
            Expr::Part(of, n) => {
                unary(self, 12, *of);
                self.hash.write_u8(*n);
            }
            Expr::Payload(of, name) => {
                unary(self, 13, *of);
                self.name(*name);
            }
            Expr::SelfRef => self.hash.write_u8(14),
            Expr::Super => self.hash.write_u8(15),
            Expr::OfType(of) => {
                self.hash.write_u8(16);
                self.ty(*of);
            }
            Expr::Static(of) => {
                self.hash.write_u8(17);
                self.ty(*of);
            }
            Expr::Lambda(of) => unary(self, 18, *of),
            Expr::Passed(of, n) => {
                unary(self, 19, *of);
                self.hash.write_u8(*n);
            }
            Expr::Either(one, other) => {
                unary(self, 20, *one);
                self.expr(*other);
            }
            Expr::Tuple(of) => {
                self.hash.write_u8(21);
                self.number(of.len() as u64);
                for &id in of {
                    self.expr(id);
                }
            }
            Expr::Definition(number) => {
                self.hash.write_u8(22);
                let definition = self.definitions.get(*number as usize);
                self.number(definition.map_or(0, |definition| definition.identity));
            }
            Expr::Object(of) => {
                self.hash.write_u8(23);
                self.number(of.len() as u64);
                for &(name, value) in of {
                    self.name(name);
                    self.expr(value);
                }
            }
            Expr::Invoke(callee, of) => {
                unary(self, 30, *callee);
                self.number(of.len() as u64);
                for &id in of {
                    self.expr(id);
                }
            }
        }
    }
}
