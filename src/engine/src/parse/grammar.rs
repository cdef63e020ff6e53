//! One grammar a language: its tables, its query, what each capture of the query means.

use std::sync::OnceLock;

use onyx_protocol::facts::{Language, NodeKind};
use tree_sitter::Query;

use super::languages::{Rules, ecmascript, go, java, python, rust};

/// What is needed to find the definitions of a language.
pub(super) struct Grammar {
    pub language: tree_sitter::Language,
    pub query: Query,
    /// By capture index of the query.
    pub roles: Vec<Role>,
    pub rules: &'static dyn Rules,
}

/// What a capture name of a query says about its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `@definition.<kind>`: a definition.
    Definition(NodeKind),
    /// `@name`: its name.
    Name,
    /// `@body`: where its signature ends, if that is not its field `body`.
    Body,
    /// `@holder`: the statement the definition is in; when it is the only one, the statement's span
    /// is its span.
    Holder,
    /// `@wrapper` around `@wrapped`: whatever is defined by the one spans the other.
    Wrapper,
    /// See `Wrapper`.
    Wrapped,
    /// `@comment`: a comment, perhaps documentation of what follows.
    Comment,
    /// `@attribute`: an attribute or decorator.
    Attribute,
    /// `@export`: a name that is exported elsewhere than at its definition.
    Export,
    /// `@package`: the name in a package clause.
    Package,
    /// `@yield`: makes a generator of the function it is in.
    Yield,
    /// Used by the query alone.
    Other,
}

const KINDS: [NodeKind; 20] = [
    NodeKind::Module,
    NodeKind::Class,
    NodeKind::Struct,
    NodeKind::Union,
    NodeKind::Record,
    NodeKind::Annotation,
    NodeKind::Interface,
    NodeKind::Trait,
    NodeKind::Impl,
    NodeKind::Enum,
    NodeKind::EnumMember,
    NodeKind::TypeAlias,
    NodeKind::Function,
    NodeKind::Method,
    NodeKind::Constructor,
    NodeKind::Property,
    NodeKind::Field,
    NodeKind::Constant,
    NodeKind::Variable,
    NodeKind::Macro,
];

impl Role {
    fn of(capture: &str) -> Option<Self> {
        Some(match capture {
            "name" => Self::Name,
            "body" => Self::Body,
            "holder" => Self::Holder,
            "wrapper" => Self::Wrapper,
            "wrapped" => Self::Wrapped,
            "comment" => Self::Comment,
            "attribute" => Self::Attribute,
            "export" => Self::Export,
            "package" => Self::Package,
            "yield" => Self::Yield,
            _ if capture.starts_with('_') => Self::Other,
            _ => {
                let kind = capture.strip_prefix("definition.")?;
                Self::Definition(KINDS.into_iter().find(|k| k.as_str() == kind)?)
            }
        })
    }
}

/// The grammar of a language, made at its first use.
pub(super) fn grammar(language: Language) -> &'static Grammar {
    static GRAMMARS: [OnceLock<Grammar>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    GRAMMARS[language as usize].get_or_init(|| compile(language))
}

fn compile(language: Language) -> Grammar {
    let (tables, query, rules): (tree_sitter::Language, &str, &'static dyn Rules) = match language {
        Language::Rust => (
            tree_sitter_rust::LANGUAGE.into(),
            include_str!("queries/rust.scm"),
            &rust::Rust,
        ),
        Language::Python => (
            tree_sitter_python::LANGUAGE.into(),
            include_str!("queries/python.scm"),
            &python::Python,
        ),
        Language::JavaScript => (
            tree_sitter_javascript::LANGUAGE.into(),
            concat!(include_str!("queries/ecmascript.scm"), include_str!("queries/javascript.scm")),
            &ecmascript::EcmaScript,
        ),
        Language::TypeScript => (
            tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            concat!(include_str!("queries/ecmascript.scm"), include_str!("queries/typescript.scm")),
            &ecmascript::EcmaScript,
        ),
        Language::Tsx => (
            tree_sitter_typescript::LANGUAGE_TSX.into(),
            concat!(include_str!("queries/ecmascript.scm"), include_str!("queries/typescript.scm")),
            &ecmascript::EcmaScript,
        ),
        Language::Go => {
            (tree_sitter_go::LANGUAGE.into(), include_str!("queries/go.scm"), &go::Go)
        }
        Language::Java => {
            (tree_sitter_java::LANGUAGE.into(), include_str!("queries/java.scm"), &java::Java)
        }
    };
    let name = language.as_str();
    // Grammars and queries are compiled in, and a test compiles each: this cannot depend on input.
    let query = Query::new(&tables, query)
        .unwrap_or_else(|error| panic!("the query for {name} does not compile: {error}"));
    let roles = query
        .capture_names()
        .iter()
        .map(|capture| {
            Role::of(capture)
                .unwrap_or_else(|| panic!("the query for {name} has an unknown capture @{capture}"))
        })
        .collect();
    Grammar { language: tables, query, roles, rules }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_compiles() {
        for (i, language) in Language::ALL.into_iter().enumerate() {
            assert_eq!(language as usize, i);
            assert!(grammar(language).query.pattern_count() > 5);
        }
    }
}
