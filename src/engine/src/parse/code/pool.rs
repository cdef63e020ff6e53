//! A pool that gives equal shapes one number.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use onyx_protocol::code::{Expr, ExprId, NameId, Pool, Type, TypeId};

/// Hashes small keys of our own making fast; nobody outside chooses them to collide on purpose
/// beyond the limits on one file.
#[derive(Default)]
pub(in crate::parse) struct Quick(u64);

impl Quick {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }
}

pub(in crate::parse) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// A pool under construction.
#[derive(Default)]
pub(in crate::parse) struct Interner<'t> {
    pool: Pool,
    names: QuickMap<Cow<'t, str>, NameId>,
    exprs: QuickMap<Expr, ExprId>,
    types: QuickMap<Type, TypeId>,
    /// What a language remembers of nodes: their expressions.
    pub kept: QuickMap<usize, ExprId>,
}

/// The number of a new element at the end of a vector.
fn next<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(0)
}

impl<'t> Interner<'t> {
    pub fn name(&mut self, name: impl Into<Cow<'t, str>>) -> NameId {
        let name = name.into();
        if name.is_empty() {
            return 0;
        }
        if let Some(&id) = self.names.get(&name) {
            return id;
        }
        let id = next(&self.pool.names);
        self.pool.names.push(name.clone().into_owned());
        self.names.insert(name, id);
        id
    }

    pub fn expr(&mut self, expr: Expr) -> ExprId {
        if expr == Expr::Unknown {
            return 0;
        }
        if let Some(&id) = self.exprs.get(&expr) {
            return id;
        }
        let id = next(&self.pool.exprs);
        self.pool.exprs.push(expr.clone());
        self.exprs.insert(expr, id);
        id
    }

    pub fn ty(&mut self, ty: Type) -> TypeId {
        if ty == Type::Unknown {
            return 0;
        }
        if let Some(&id) = self.types.get(&ty) {
            return id;
        }
        let id = next(&self.pool.types);
        self.pool.types.push(ty.clone());
        self.types.insert(ty, id);
        id
    }

    /// `Name`
    pub fn named_expr(&mut self, name: impl Into<Cow<'t, str>>) -> ExprId {
        let name = self.name(name);
        self.expr(Expr::Name(name))
    }

    /// A type by its path, without arguments.
    pub fn named_type(&mut self, path: &[&'static str]) -> TypeId {
        let path = path.iter().map(|&part| self.name(part)).collect();
        self.ty(Type::Named(path, Vec::new()))
    }

    /// A value of a type of the language.
    pub fn value_of(&mut self, path: &[&'static str]) -> ExprId {
        let ty = self.named_type(path);
        self.expr(Expr::OfType(ty))
    }

    /// What an expression is, as interned.
    pub fn get(&self, id: ExprId) -> &Expr {
        self.pool.expr(id)
    }

    /// What a type is, as interned.
    pub fn get_type(&self, id: TypeId) -> &Type {
        self.pool.ty(id)
    }

    /// A name's text.
    pub fn text(&self, id: NameId) -> &str {
        self.pool.name(id)
    }

    /// Takes over an expression of another pool; unknown when it names types.
    pub fn copy(&mut self, from: &Interner<'_>, id: ExprId) -> ExprId {
        let shape = match from.pool.expr(id) {
            Expr::Name(name) => Expr::Name(self.name(from.text(*name).to_owned())),
            Expr::Member(of, name) => {
                Expr::Member(self.copy(from, *of), self.name(from.text(*name).to_owned()))
            }
            Expr::Path(of, name) => {
                Expr::Path(self.copy(from, *of), self.name(from.text(*name).to_owned()))
            }
            Expr::Call(of, n) => Expr::Call(self.copy(from, *of), *n),
            Expr::Await(of) => Expr::Await(self.copy(from, *of)),
            Expr::Enter(of) => Expr::Enter(self.copy(from, *of)),
            Expr::Element(of) => Expr::Element(self.copy(from, *of)),
            Expr::Index(of) => Expr::Index(self.copy(from, *of)),
            Expr::Part(of, n) => Expr::Part(self.copy(from, *of), *n),
            Expr::Super => Expr::Super,
            _ => return 0,
        };
        self.expr(shape)
    }

    pub fn finish(self) -> Pool {
        self.pool
    }
}
