//! What a parser found in one file: a pure function of language and content.

use serde::{Deserialize, Serialize};

use crate::code::ManifestKind;

/// Raised whenever the definitions of the same content come out differently: history stores them beside
/// the content, and those of different versions are never compared or compressed against each other.
pub const PARSER_VERSION: i16 = 3;

/// Languages with a parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// JavaScript, with JSX.
    JavaScript,
    /// Go.
    Go,
    /// Java.
    Java,
    /// None: a file that says what a directory is to a language's tools (`code::Manifest`).
    Manifest,
}

impl Language {
    /// All that have a parser of definitions, in order: `Manifest`, the last, is none of them.
    pub const ALL: [Self; 7] = [
        Self::Rust,
        Self::Python,
        Self::TypeScript,
        Self::Tsx,
        Self::JavaScript,
        Self::Go,
        Self::Java,
    ];

    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::TypeScript => "typescript",
            Self::Tsx => "tsx",
            Self::JavaScript => "javascript",
            Self::Go => "go",
            Self::Java => "java",
            Self::Manifest => "manifest",
        }
    }

    /// What stands between a module and what it contains.
    pub fn separator(self) -> &'static str {
        match self {
            Self::Rust => "::",
            _ => ".",
        }
    }

    /// The language of a SQL spelling; `jsx` is JavaScript.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "jsx" => Some(Self::JavaScript),
            "manifest" => Some(Self::Manifest),
            _ => Self::ALL.into_iter().find(|l| l.as_str() == name),
        }
    }

    /// The language of a path, by its extension, or its name if it is a manifest's.
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        if ManifestKind::from_path(name).is_some() {
            return Some(Self::Manifest);
        }
        let (_, extension) = name.rsplit_once('.')?;
        Some(match extension {
            "rs" => Self::Rust,
            "py" | "pyi" => Self::Python,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "js" | "mjs" | "cjs" | "jsx" => Self::JavaScript,
            "go" => Self::Go,
            "java" => Self::Java,
            _ => return None,
        })
    }
}

/// What a definition is, as the field spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeKind {
    /// Rust `mod`, TypeScript `namespace`, a Go or Java package clause, a Python module.
    Module,
    /// Class; also a Java record's and annotation's nearest kin have their own kinds below.
    Class,
    /// Rust or Go struct.
    Struct,
    /// Rust union.
    Union,
    /// Java record.
    Record,
    /// Java annotation type.
    Annotation,
    /// Interface of TypeScript, Go or Java.
    Interface,
    /// Rust trait.
    Trait,
    /// Rust impl block.
    Impl,
    /// Enum.
    Enum,
    /// One value of an enum.
    EnumMember,
    /// Type alias or Go defined type that is neither struct nor interface; associated type.
    TypeAlias,
    /// Function that is not a member, nested functions included.
    Function,
    /// Function that is a member of a type.
    Method,
    /// Constructor.
    Constructor,
    /// Python property, JavaScript or TypeScript accessor.
    Property,
    /// Field or instance attribute.
    Field,
    /// Constant or static.
    Constant,
    /// Module-level variable that is no constant.
    Variable,
    /// Rust macro.
    Macro,
}

impl NodeKind {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Class => "class",
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Record => "record",
            Self::Annotation => "annotation",
            Self::Interface => "interface",
            Self::Trait => "trait",
            Self::Impl => "impl",
            Self::Enum => "enum",
            Self::EnumMember => "enum_member",
            Self::TypeAlias => "type_alias",
            Self::Function => "function",
            Self::Method => "method",
            Self::Constructor => "constructor",
            Self::Property => "property",
            Self::Field => "field",
            Self::Constant => "constant",
            Self::Variable => "variable",
            Self::Macro => "macro",
        }
    }
}

/// Who may use a definition, in the nearest common terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Visibility {
    /// Everyone: Rust `pub`, Java `public`, an exported Go name, an ES export, a Python name without
    /// a leading underscore.
    Public,
    /// Subclasses: Java and TypeScript `protected`.
    Protected,
    /// The package or crate: Rust `pub(...)`, Java without a modifier, an unexported Go name, an ES
    /// module's unexported name.
    Package,
    /// The enclosing type or module alone.
    Private,
}

impl Visibility {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Protected => "protected",
            Self::Package => "package",
            Self::Private => "private",
        }
    }
}

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// What it is.
    pub kind: NodeKind,
    /// Its own name; of a Rust impl block, `Type` or `Trait for Type`.
    pub name: String,
    /// Name in the language's own form, from the file's top level down: `Class.method`,
    /// `Type::method`, `(*Type).Method`. What depends on where the file lies in the tree is not part of
    /// facts: `ParsedFile::module` stands before it, joined by `Language::separator`.
    pub qualified_name: String,
    /// Index of the enclosing definition in `FileFacts::definitions`, always smaller than its own.
    pub parent: Option<u32>,
    /// Declaration without its body, white space folded to single spaces, at most 1 kB.
    pub signature: String,
    /// Documentation comment or docstring without its markers, at most 8 kB; empty when there is none.
    pub doc: String,
    /// Who may use it.
    pub visibility: Visibility,
    /// Decorators, annotations and attributes as written, without `@` or `#[]`; and modifiers a reader
    /// would ask for: `async`, `static`, `abstract`, `generator`, `exported`, `test`.
    pub attributes: Vec<String>,
    /// First byte, decorators and attributes included, its documentation comment not.
    pub start_byte: u32,
    /// Byte after the last.
    pub end_byte: u32,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line, from 1, inclusive.
    pub end_line: u32,
    /// SHA-256 of the bytes from `start_byte` to `end_byte`, first 16 bytes.
    pub hash: [u8; 16],
}

/// Everything found in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Definitions, parents before children, in order of their first byte otherwise.
    pub definitions: Vec<Definition>,
    /// The package clause of Go and Java, or empty.
    pub package: String,
    /// The file's own documentation: module docstring, `//!`, package comment; empty when there is none.
    pub doc: String,
}
