//! What a file says about names: the facts from which edges between definitions are made.
//!
//! `Interface` is what other files can see, without positions, so that an edit that moves lines leaves
//! it equal byte for byte. `Body` is what resolves the file's own references: scopes, local bindings
//! and the references with their positions. Both are pure functions of language and content.
//!
//! Names, expressions and types are numbered in a `Pool`; number 0 of each stands for "none" or
//! "unknown". Definitions are numbered as in `FileFacts::definitions`; where a definition is
//! optional, its number plus one is kept and 0 means none (`Within`).

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::facts::{Language, NodeKind};

/// First byte of an encoded interface or body.
pub const CODE_VERSION: u8 = 1;

/// Number of a name in its pool; 0 is the empty one.
pub type NameId = u32;
/// Number of an expression in its pool; 0 is unknown.
pub type ExprId = u32;
/// Number of a type in its pool; 0 is unknown.
pub type TypeId = u32;

/// A definition's number plus one, or 0 for the file itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Within(pub u32);

impl Within {
    /// The file itself.
    pub const FILE: Self = Self(0);
    /// What a file gives to others by name, where that is not what it has under the name itself: owner
    /// of imports and attributes that are exports of ECMAScript.
    pub const EXPORTS: Self = Self(u32::MAX);

    /// A definition.
    pub fn definition(number: u32) -> Self {
        Self(number.saturating_add(1))
    }

    /// Its number, if it is a definition.
    pub fn number(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}

/// The shape of an expression, as far as it helps to find what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expr {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A name as it stands.
    Name(NameId),
    /// `object.name`
    Member(ExprId, NameId),
    /// `object::name`: a member of a module or type.
    Path(ExprId, NameId),
    /// A call of an expression with so many arguments.
    Call(ExprId, u8),
    /// `new T(...)` with so many arguments.
    New(TypeId, u8),
    /// `object[...]`
    Index(ExprId),
    /// What a future, promise or coroutine gives.
    Await(ExprId),
    /// `expression?` of Rust.
    Try(ExprId),
    /// `*expression`
    Deref(ExprId),
    /// What an iteration gives.
    Element(ExprId),
    /// What a context manager gives.
    Enter(ExprId),
    /// The n-th part of a tuple.
    Part(ExprId, u8),
    /// What is in the payload of a pattern: `Some(x)`, `Ok(x)`.
    Payload(ExprId, NameId),
    /// `self`, `this`, a receiver.
    SelfRef,
    /// `super`
    Super,
    /// A value of a type: a literal, a cast, a struct expression.
    OfType(TypeId),
    /// A type in the place of an expression: `<T as Trait>`, `Vec::<u8>`.
    Static(TypeId),
    /// A function without name that gives this.
    Lambda(ExprId),
    /// What the callee of a call passes to the n-th parameter of a function without name.
    Passed(ExprId, u8),
    /// One or the other: `a or b`, `c ? a : b`.
    Either(ExprId, ExprId),
    /// Several at once.
    Tuple(Vec<ExprId>),
    /// A definition of this file, by its number.
    Definition(u32),
    /// An object with these members: `{ a: b }`.
    Object(Vec<(NameId, ExprId)>),
    /// A call of one of several functions of a name, chosen by its arguments.
    Invoke(ExprId, Vec<ExprId>),
}

/// The shape of a type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A path with arguments: `Option<T>`, `list[T]`, `a.b.C`.
    Named(Vec<NameId>, Vec<TypeId>),
    /// A reference or pointer.
    Reference(TypeId),
    /// An array, slice or variadic.
    Array(TypeId),
    /// Several at once.
    Tuple(Vec<TypeId>),
    /// One of several.
    Union(Vec<TypeId>),
    /// Something that has all of these: `impl A + B`, `dyn A`, intersection types.
    All(Vec<TypeId>),
    /// A function that gives this.
    Function(TypeId),
    /// `Self`, TypeScript's `this`.
    SelfType,
    /// `<T as Trait>::Name` and `T::Name`.
    Projection(TypeId, TypeId, NameId),
    /// The type of an expression: `typeof x`, a base class as written in Python.
    Of(ExprId),
    /// A struct without name, by its fields; an embedded one has no name.
    Struct(Vec<(NameId, TypeId)>),
}

/// Numbered names, expressions and types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Names, the empty one first.
    pub names: Vec<String>,
    /// Expressions, the unknown one first.
    pub exprs: Vec<Expr>,
    /// Types, the unknown one first.
    pub types: Vec<Type>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { names: vec![String::new()], exprs: vec![Expr::Unknown], types: vec![Type::Unknown] }
    }
}

impl Pool {
    /// A name; empty when there is no such number.
    pub fn name(&self, id: NameId) -> &str {
        self.names.get(id as usize).map_or("", String::as_str)
    }

    /// An expression; unknown when there is no such number.
    pub fn expr(&self, id: ExprId) -> &Expr {
        self.exprs.get(id as usize).unwrap_or(&Expr::Unknown)
    }

    /// A type; unknown when there is no such number.
    pub fn ty(&self, id: TypeId) -> &Type {
        self.types.get(id as usize).unwrap_or(&Type::Unknown)
    }
}

/// What matters of modifiers and decorators: bits of `Declared::flags` and of `Import::flags`.
pub mod flags {
    /// Belongs to the type, not to a value of it.
    pub const STATIC: u16 = 1;
    /// Takes the class in place of a value of it.
    pub const CLASS_METHOD: u16 = 1 << 1;
    /// Read like a field, run like a function.
    pub const PROPERTY: u16 = 1 << 2;
    /// Gives a future, promise or coroutine of its return type.
    pub const ASYNC: u16 = 1 << 3;
    /// Gives an iteration.
    pub const GENERATOR: u16 = 1 << 4;
    /// Takes any number of arguments.
    pub const VARIADIC: u16 = 1 << 5;
    /// Its first parameter is the receiver.
    pub const RECEIVER: u16 = 1 << 6;
    /// Has no body.
    pub const ABSTRACT: u16 = 1 << 7;
    /// Exported under its name.
    pub const EXPORTED: u16 = 1 << 8;
    /// Exported as default.
    pub const DEFAULT: u16 = 1 << 9;
    /// A context manager, made of a generator.
    pub const CONTEXT: u16 = 1 << 10;
    /// Has decorators that may put something else in its place.
    pub const REPLACED: u16 = 1 << 11;
    /// Only declared here; the content is elsewhere (`mod name;`).
    pub const ELSEWHERE: u16 = 1 << 12;
    /// Embedded: its members are members of its owner.
    pub const EMBEDDED: u16 = 1 << 13;
    /// Found by no name, only through what holds it: a method of an object without name.
    pub const HIDDEN: u16 = 1 << 15;
    /// A type alias in kind, but a type of its own: Go's defined types.
    pub const DISTINCT: u16 = 1 << 14;
    /// Says itself that it stands in for a member of a base (`@Override`). The bit of `DISTINCT`, which
    /// only types have.
    pub const OVERRIDE: u16 = 1 << 14;

    /// Import: all public names.
    pub const GLOB: u16 = 1;
    /// Import: others can import it from here.
    pub const REEXPORT: u16 = 1 << 1;
    /// Import: binds a module, not a name of it.
    pub const MODULE: u16 = 1 << 2;
    /// Import: of members of a type (`import static`).
    pub const OF_TYPE: u16 = 1 << 3;
    /// Import: binds the default export.
    pub const OF_DEFAULT: u16 = 1 << 4;
    /// Import: not static, made by a call (`require`, `import()`).
    pub const DYNAMIC: u16 = 1 << 5;
    /// Import: the local name is a guess; the module says what it is called.
    pub const GUESSED: u16 = 1 << 6;
}

/// A parameter of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name; empty for a pattern.
    pub name: NameId,
    /// Its declared type.
    pub ty: TypeId,
    /// Its default, when there is no type.
    pub default: ExprId,
    /// Whether it may be left out.
    pub optional: bool,
}

/// A type parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generic {
    /// Its name.
    pub name: NameId,
    /// What it must be.
    pub bounds: Vec<TypeId>,
}

/// What a definition says to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// What it is.
    pub kind: NodeKind,
    /// Its name.
    pub name: NameId,
    /// The definition it belongs to.
    pub parent: Within,
    /// Hash of kind, qualified name and the number of alike ones before it: what keeps its node.
    pub identity: u64,
    /// Bits of `flags`.
    pub flags: u16,
    /// Superclasses, interfaces, supertraits; of an impl block its trait.
    pub bases: Vec<TypeId>,
    /// Of a function the return type, of a field, constant or variable its type, of an alias or impl
    /// block what it is for, of a method outside its type the receiver's type is `receiver`.
    pub ty: TypeId,
    /// Of a method declared outside its type, that type.
    pub receiver: TypeId,
    /// Parameters, a receiver that is one included.
    pub parameters: Vec<Parameter>,
    /// Type parameters.
    pub generics: Vec<Generic>,
    /// Of a variable what it is set to, of a function without return type what it returns.
    pub values: Vec<ExprId>,
}

/// An assignment to a field or variable elsewhere than at its definition, or to one without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// The type it belongs to, or the file.
    pub owner: Within,
    /// Its name.
    pub name: NameId,
    /// Its declared type.
    pub ty: TypeId,
    /// What it is set to.
    pub value: ExprId,
    /// The function whose parameters the value may name.
    pub within: Within,
}

/// One imported name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The module or function it is written in.
    pub owner: Within,
    /// The name it binds; empty for a glob or for none.
    pub local: NameId,
    /// The module as written: `a.b`, `./x`, `a::b`, `net/http`.
    pub module: NameId,
    /// The name of the module's it binds; empty when it binds the module.
    pub name: NameId,
    /// Leading dots of Python.
    pub level: u8,
    /// Bits of `flags`.
    pub flags: u16,
}

/// A name given to others that is not the definition's own: `export { a as b }`, `__all__`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The name others see.
    pub name: NameId,
    /// What it is here.
    pub value: ExprId,
}

/// Whose manifest it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ManifestKind {
    /// `go.mod`
    Go,
    /// `Cargo.toml`
    Cargo,
    /// `package.json`
    Package,
    /// `tsconfig.json`, `tsconfig.*.json`, `jsconfig.json`
    Config,
}

impl ManifestKind {
    /// The kind of the manifest at a path, by its name.
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        Some(match name {
            "go.mod" => Self::Go,
            "Cargo.toml" => Self::Cargo,
            "package.json" => Self::Package,
            "jsconfig.json" => Self::Config,
            _ => {
                let middle = name.strip_prefix("tsconfig")?.strip_suffix(".json")?;
                if !(middle.is_empty() || middle.starts_with(['.', '-'])) {
                    return None;
                }
                Self::Config
            }
        })
    }
}

/// A name in a manifest and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// The name, or a pattern with one `*`.
    pub name: String,
    /// What it stands for, in the order it is tried: paths or names as written.
    pub targets: Vec<String>,
}

/// What a manifest says. Paths are as written, relative to its directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Manifest {
    /// Whose it is.
    pub kind: ManifestKind,
    /// Module path of `go.mod`, package name of `Cargo.toml` and `package.json`; may be empty.
    pub name: String,
    /// Name of Cargo's library when it is not made of the package's.
    pub library: String,
    /// Files the package begins with: `lib.path` of Cargo; `source`, `types`, `typings`, `module`,
    /// `main` of `package.json`.
    pub entries: Vec<String>,
    /// `exports` and `bin` of `package.json` by subpath (`.`, `./x`, `./*`), all conditions' targets;
    /// `path` of Cargo's binaries, examples, tests and benches by name.
    pub exports: Vec<Alias>,
    /// `paths` of a configuration; `imports` of `package.json`; `replace` of `go.mod`; renamed
    /// dependencies of Cargo (the package's name).
    pub aliases: Vec<Alias>,
    /// `baseUrl` of a configuration.
    pub base: String,
    /// `rootDir` and `rootDirs` of a configuration.
    pub sources: Vec<String>,
    /// `outDir` of a configuration.
    pub output: String,
    /// `extends` of a configuration.
    pub extends: Vec<String>,
    /// Members of a workspace: globs.
    pub members: Vec<String>,
}

impl Manifest {
    /// One that says nothing.
    pub fn new(kind: ManifestKind) -> Self {
        Self {
            kind,
            name: String::new(),
            library: String::new(),
            entries: Vec::new(),
            exports: Vec::new(),
            aliases: Vec::new(),
            base: String::new(),
            sources: Vec::new(),
            output: String::new(),
            extends: Vec::new(),
            members: Vec::new(),
        }
    }
}

/// What other files can see of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The language.
    pub language: Language,
    /// What the numbers below mean.
    pub pool: Pool,
    /// As many as `FileFacts::definitions`.
    pub definitions: Vec<Declared>,
    /// Assignments that define nothing.
    pub attributes: Vec<Attribute>,
    /// Imports of the file and of the modules in it.
    pub imports: Vec<Import>,
    /// Explicit exports.
    pub exports: Vec<Export>,
    /// Whether only `exports` are public (`__all__` is there).
    pub exports_all: bool,
    /// Of a manifest what it says; such a file has nothing else.
    pub manifest: Option<Manifest>,
}

impl Interface {
    /// One that says nothing.
    pub fn new(language: Language) -> Self {
        Self {
            language,
            pool: Pool::default(),
            definitions: Vec::new(),
            attributes: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            exports_all: false,
            manifest: None,
        }
    }
}

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ScopeKind {
    /// The file.
    File,
    /// A module inside the file.
    Module,
    /// A class, struct, impl block, interface.
    Type,
    /// A function or one without name.
    Function,
    /// Anything else that bounds names or branches.
    Block,
}

/// A scope; number 0 is the file's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// What it is.
    pub kind: ScopeKind,
    /// The scope around it; its own number for the file's.
    pub parent: u32,
    /// The definition it is the inside of.
    pub within: Within,
}

/// A local name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Where.
    pub scope: u32,
    /// Its name.
    pub name: NameId,
    /// Its declared type.
    pub ty: TypeId,
    /// What it is set to.
    pub value: ExprId,
    /// Line, from 1, from which it holds.
    pub line: u32,
    /// Column, from 1, in bytes, from which it holds.
    pub column: u32,
}

/// What a reference does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReferenceKind {
    /// Calls; instantiates if it is a type. `target` is the call, an `Expr::Call` or `Expr::Invoke`.
    Call,
    /// Makes a value of a type. `target` is the type's name or path, an `Expr::New`, or an
    /// `Expr::Invoke` of the name or path, whose arguments choose the constructor.
    Instantiate,
    /// Names a type.
    Type,
    /// Names a superclass, interface, trait.
    Inherit,
    /// Reads a name or member.
    Read,
    /// Imports; `target` is the number of an import of the interface.
    Import,
    /// Imports; `target` is the number of an import of the body.
    LocalImport,
    /// Is a member of a type, and perhaps another's in its place; `source` is the member.
    Override,
    /// Is a type that implements what it has the members of; `source` is the type.
    Satisfy,
}

/// A reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What it does.
    pub kind: ReferenceKind,
    /// Where.
    pub scope: u32,
    /// The definition it is in.
    pub source: Within,
    /// The expression's number, or the import's.
    pub target: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in bytes.
    pub column: u32,
}

/// What resolves a file's references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// What the numbers below mean.
    pub pool: Pool,
    /// The file's first.
    pub scopes: Vec<Scope>,
    /// In order of the source.
    pub bindings: Vec<Binding>,
    /// Imports in functions; `owner` is the scope's number plus one.
    pub imports: Vec<Import>,
    /// In order of the source.
    pub references: Vec<Reference>,
}

impl Default for Body {
    fn default() -> Self {
        let file = Scope { kind: ScopeKind::File, parent: 0, within: Within::FILE };
        Self {
            pool: Pool::default(),
            scopes: vec![file],
            bindings: Vec::new(),
            imports: Vec::new(),
            references: Vec::new(),
        }
    }
}

fn versioned<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![CODE_VERSION];
    codec::encode_into(value, &mut bytes)?;
    Ok(bytes)
}

fn unversioned(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        Some((&CODE_VERSION, rest)) => Ok(rest),
        _ => Err(CodecError::Version(bytes.first().copied().unwrap_or(0))),
    }
}

impl Interface {
    /// As bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        versioned(self)
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(unversioned(bytes)?)
    }
}

impl Body {
    /// As bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        versioned(self)
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(unversioned(bytes)?)
    }
}

/// What an edge does, as `onyx.links.kind` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EdgeKind {
    /// Imports.
    Imports,
    /// Calls.
    Calls,
    /// Inherits from.
    Inherits,
    /// Implements.
    Implements,
    /// Overrides.
    Overrides,
    /// References.
    References,
    /// Makes values of.
    Instantiates,
}

impl EdgeKind {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imports => "imports",
            Self::Calls => "calls",
            Self::Inherits => "inherits",
            Self::Implements => "implements",
            Self::Overrides => "overrides",
            Self::References => "references",
            Self::Instantiates => "instantiates",
        }
    }
}

/// Why a reference has no edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// It is outside all that was ingested.
    External,
    /// It belongs to the language.
    Builtin,
    /// Only running the program tells.
    Dynamic,
    /// It could be one of several.
    Ambiguous,
    /// It was not found.
    Unresolved,
}

impl Reason {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Builtin => "builtin",
            Self::Dynamic => "dynamic",
            Self::Ambiguous => "ambiguous",
            Self::Unresolved => "unresolved",
        }
    }
}

/// An edge from a definition of the file that was resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Its source.
    pub source: Within,
    /// The file of its target, which may be in another repository.
    pub file: i64,
    /// Its target in that file.
    pub target: Within,
    /// What it does.
    pub kind: EdgeKind,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in bytes.
    pub column: u32,
    /// How it was found.
    pub resolution: String,
    /// From 0 to 1.
    pub confidence: f32,
}

/// A reference without edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// The definition it is in.
    pub source: Within,
    /// What an edge would do.
    pub kind: EdgeKind,
    /// As written, as far as it is a path.
    pub name: String,
    /// What it is outside, when that is known: `os.path.join`.
    pub target: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in bytes.
    pub column: u32,
    /// Why.
    pub reason: Reason,
}

/// What resolving a file gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Sorted by line and column.
    pub edges: Vec<Edge>,
    /// Sorted by line and column.
    pub unresolved: Vec<Unresolved>,
    /// Hashes of all keys looked up in the file's own repository, sorted.
    pub dependencies: Vec<u64>,
    /// Hashes of all keys looked up beyond it, sorted: names that may be those of packages, and what
    /// was read of the repositories that provide them.
    pub outside: Vec<u64>,
    /// Those of them that may be names of packages, sorted.
    pub names: Vec<u64>,
    /// Hashes of the names under which other repositories find the file's package, sorted.
    pub provides: Vec<u64>,
}

/// A file of a repository whose references are resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveFile {
    /// The client's number for it, unique among all repositories of a resolution.
    pub file: i64,
    /// Path below the repository's root.
    pub path: String,
    /// Its language.
    pub language: Language,
    /// Name of the module it is.
    pub module: String,
    /// Package clause of Go and Java, or empty.
    pub package: String,
    /// Its encoded [`Interface`].
    #[serde(with = "crate::bytes")]
    pub interface: Vec<u8>,
    /// What its last resolution depended on, as [`encode_keys`] gives it; `None`: it has to be
    /// resolved whatever else changed.
    #[serde(with = "crate::bytes::optional")]
    pub dependencies: Option<Vec<u8>>,
}

/// What resolving one file gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResolvedFile {
    /// Its number.
    pub file: i64,
    /// Edges from its definitions.
    pub edges: Vec<Edge>,
    /// References without an edge, as [`Unresolved::encode_all`] gives them.
    #[serde(with = "crate::bytes")]
    pub unresolved: Vec<u8>,
    /// Keys looked up in its repository, as [`encode_keys`] gives them.
    #[serde(with = "crate::bytes")]
    pub dependencies: Vec<u8>,
    /// Keys looked up beyond it.
    pub outside: Vec<u64>,
    /// Those of them that may be names of packages.
    pub names: Vec<u64>,
    /// Names its package has for others.
    pub provides: Vec<u64>,
}

/// What names one state of a repository's facts and dependencies: never given twice.
pub type RepoState = [u8; 16];

/// Keys as bytes: eight each, little-endian, in the order given.
pub fn encode_keys(keys: &[u64]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_le_bytes()).collect()
}

/// Keys from bytes; an incomplete one at the end is left out.
pub fn decode_keys(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (keys, _) = bytes.as_chunks::<8>();
    keys.iter().map(|key| u64::from_le_bytes(*key))
}

impl Unresolved {
    /// Many as bytes.
    pub fn encode_all(all: &[Self]) -> Result<Vec<u8>, CodecError> {
        let mut bytes = vec![CODE_VERSION];
        codec::encode_into(&all, &mut bytes)?;
        Ok(bytes)
    }

    /// Many from bytes.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, CodecError> {
        codec::decode(unversioned(bytes)?)
    }
}
