//! What an expression is found to be, and how.

use std::rc::Rc;

use onyx_protocol::code::{ExprId, Within};

use super::context::At;

/// A definition: slot of its file, number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Def {
    pub slot: u32,
    pub number: u32,
}

/// A module: a file, a module in a file, or a directory of the language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Module {
    /// Its file, when it is one.
    pub slot: Option<u32>,
    /// Inside the file.
    pub within: Within,
    /// Its name, in the language's own form.
    pub path: Rc<str>,
}

/// What is known of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Ty {
    Unknown,
    /// A value of a type, with type arguments.
    Value(Def, Rc<[Ty]>),
    /// The type itself.
    Type(Def, Rc<[Ty]>),
    /// A function, with its receiver.
    Function(Def, Option<Rc<Ty>>),
    Module(Module),
    /// Something outside, by its path: a module, type or function, or a value of a type.
    Outside {
        path: Rc<str>,
        arguments: Rc<[Ty]>,
        is_value: bool,
    },
    /// A member of something outside.
    OutsideMember(Rc<Ty>, Rc<str>),
    Tuple(Rc<[Ty]>),
    Union(Rc<[Ty]>),
    /// A value that has all these types: bounds.
    All(Rc<[Ty]>),
    /// A type parameter of a definition.
    Parameter(Def, u32),
    /// A function without name, by what it gives.
    Gives(Rc<Ty>),
    /// An object without type, by its shape; `own` when that is in the body that is resolved.
    Object {
        slot: u32,
        own: bool,
        at: At,
        shape: ExprId,
    },
    /// A value of a struct without name; embedded fields have none.
    Record(Rc<[(Rc<str>, Ty)]>),
}

impl Ty {
    pub fn outside(path: &str) -> Self {
        Self::Outside { path: path.into(), arguments: Rc::new([]), is_value: false }
    }

    pub fn outside_value(path: &str, arguments: Vec<Ty>) -> Self {
        Self::Outside { path: path.into(), arguments: arguments.into(), is_value: true }
    }

    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// One of several; duplicates and unknown ones left out.
    pub fn union(all: impl IntoIterator<Item = Ty>) -> Self {
        let mut kept: Vec<Ty> = Vec::new();
        for ty in all {
            let parts = match ty {
                Self::Union(parts) => parts.to_vec(),
                Self::Unknown => Vec::new(),
                other => vec![other],
            };
            for part in parts {
                if !kept.contains(&part) {
                    kept.push(part);
                }
            }
        }
        match kept.len() {
            0 => Self::Unknown,
            1 => kept.swap_remove(0),
            _ => Self::Union(kept.into()),
        }
    }
}

/// How something was found; the later ones are less certain, and of several steps the last in this
/// order names the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Strategy {
    /// A definition in a scope around the reference.
    Scope,
    /// An import.
    Import,
    /// A member of a module or type named by a path.
    Member,
    /// A member of what `self` is.
    Own,
    /// A member of a base of what `self` is.
    Super,
    /// A member of a value made by a constructor right here.
    Constructor,
    /// A member of a value whose type is declared here: parameter, local.
    Receiver,
    /// A member of a value in a field with a known type.
    Field,
    /// A member of what a function gives.
    Return,
    /// A member of an element, part or payload.
    Element,
    /// A member promised by a trait or interface.
    Bound,
    /// A glob import.
    Glob,
    /// One of several possible types.
    Union,
}

impl Strategy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Import => "import",
            Self::Member => "member",
            Self::Own => "self",
            Self::Super => "super",
            Self::Constructor => "constructor",
            Self::Receiver => "receiver",
            Self::Field => "field_type",
            Self::Return => "return_type",
            Self::Element => "element_type",
            Self::Bound => "bound",
            Self::Glob => "glob_import",
            Self::Union => "union",
        }
    }

    pub fn confidence(self) -> f32 {
        match self {
            Self::Scope | Self::Import => 1.0,
            Self::Member | Self::Own | Self::Super => 0.98,
            Self::Constructor | Self::Receiver => 0.95,
            Self::Field | Self::Bound | Self::Glob => 0.9,
            Self::Return | Self::Element => 0.85,
            Self::Union => 0.7,
        }
    }
}

/// What a name or member stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entity {
    Definition(Def),
    /// An assignment to a field that is no definition: slot and number in `attributes`.
    Attribute(u32, u32),
    /// A local of the file that is resolved: number in `bindings`.
    Local(u32),
    /// A parameter of a function.
    Parameter(Def, u32),
    /// A type parameter.
    Generic(Def, u32),
    /// The receiver in a method of a type.
    Receiver(Ty),
    /// A field without definition, by its type.
    Field(Ty),
    Module(Module),
    /// Something outside, by path.
    Outside(Rc<str>),
    /// A member of a value that is of a type outside.
    OutsideMember(Rc<Ty>, Rc<str>),
    /// There is something of this name, but what it is cannot be told.
    Opaque,
}

/// An entity, on what it was found, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub entity: Entity,
    pub receiver: Option<Ty>,
    pub how: Strategy,
}

impl Found {
    pub fn new(entity: Entity, how: Strategy) -> Self {
        Self { entity, receiver: None, how }
    }

    pub fn definition(def: Def, how: Strategy) -> Self {
        Self::new(Entity::Definition(def), how)
    }
}

/// Which of several things of one name is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Space {
    Value,
    Type,
    Any,
}
