//! What queries cannot say, one file a language: kinds that depend on the owner, qualified names,
//! visibility, modifiers, documentation.

pub(super) mod ecmascript;
pub(super) mod go;
pub(super) mod java;
pub(super) mod python;
pub(super) mod rust;

use onyx_protocol::facts::{FileFacts, NodeKind, Visibility};
use tree_sitter::Node;

use super::comments::CommentKind;
use super::found::Found;
use super::site::Site;

/// A language's answer about one candidate.
pub(super) struct Details {
    pub kind: NodeKind,
    pub name: String,
    /// In place of the owner's scope, the language's separator and the name.
    pub qualified_name: Option<String>,
    /// What stands before the names of its members, in place of its qualified name.
    pub scope: Option<String>,
    /// The definition it belongs to, in place of the one it stands in.
    pub parent: Option<u32>,
    pub visibility: Visibility,
    pub attributes: Vec<String>,
    /// In place of the comments before it.
    pub doc: Option<String>,
    /// Where the signature ends, in place of the body's start.
    pub signature_end: Option<usize>,
}

impl Details {
    pub fn new(kind: NodeKind, name: impl Into<String>, visibility: Visibility) -> Self {
        Self {
            kind,
            name: name.into(),
            qualified_name: None,
            scope: None,
            parent: None,
            visibility,
            attributes: Vec::new(),
            doc: None,
            signature_end: None,
        }
    }
}

/// What a language decides.
pub(super) trait Rules: Sync {
    /// The definition a candidate is, or None when it is none.
    fn define(&self, site: &Site<'_, '_>) -> Option<Details>;

    /// What a comment is.
    fn comment(&self, text: &str) -> CommentKind;

    /// Whether a comment after a field, constant or enum member on its line documents it.
    fn has_trailing_docs(&self) -> bool {
        true
    }

    /// Whether fields, constants and variables are defined by their first assignment, so that later
    /// ones define nothing.
    fn first_assignment_defines(&self) -> bool {
        false
    }

    /// Whether a definition of this kind can be the owner of what stands in it.
    fn holds_others(&self, _kind: NodeKind) -> bool {
        true
    }

    /// Completes the facts when all definitions are there: the file's documentation, exports.
    fn finish(&self, facts: &mut FileFacts, root: Node<'_>, found: &Found<'_>, source: &str);
}
