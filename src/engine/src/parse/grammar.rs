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
    /// By node kind id: what patterns begin with it. Ids beyond its end begin none.
    pub roots: Vec<Root>,
    pub rules: &'static dyn Rules,
}

/// What the patterns of a query that begin with one node kind ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// There are none.
    None,
    /// One, of a node without children: `(comment) @comment`.
    Lone(Role),
    /// Some that look at children.
    Patterns,
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
    /// `@statement`: holds a definition that begins with it, as a holder does.
    Statement,
    /// `@small`: not entered when it is small: no definition fits in.
    Small,
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
            "statement" => Self::Statement,
            "small" => Self::Small,
            "yield" => Self::Yield,
            _ if capture.starts_with('_') => Self::Other,
            _ => {
                let kind = capture.strip_prefix("definition.")?;
                Self::Definition(KINDS.into_iter().find(|k| k.as_str() == kind)?)
            }
        })
    }
}

/// The grammar of a language that has one, made at its first use.
pub(super) fn grammar(language: Language) -> Option<&'static Grammar> {
    static GRAMMARS: [OnceLock<Option<Grammar>>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    GRAMMARS.get(language as usize)?.get_or_init(|| compile(language)).as_ref()
}

fn compile(language: Language) -> Option<Grammar> {
    let (tables, text, rules): (tree_sitter::Language, &str, &'static dyn Rules) = match language {
        Language::Rust => {
            (tree_sitter_rust::LANGUAGE.into(), include_str!("queries/rust.scm"), &rust::Rust)
        }
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
        Language::Go => (tree_sitter_go::LANGUAGE.into(), include_str!("queries/go.scm"), &go::Go),
        Language::Java => {
            (tree_sitter_java::LANGUAGE.into(), include_str!("queries/java.scm"), &java::Java)
        }
        Language::Manifest => return None,
    };
    let name = language.as_str();
    // Grammars and queries are compiled in, and a test compiles each: this cannot depend on input.
    let query = Query::new(&tables, text)
        .unwrap_or_else(|error| panic!("the query for {name} does not compile: {error}"));
    let roles = query
        .capture_names()
        .iter()
        .map(|capture| {
            Role::of(capture)
                .unwrap_or_else(|| panic!("the query for {name} has an unknown capture @{capture}"))
        })
        .collect();
    let roots = roots(&tables, &query, text);
    Some(Grammar { language: tables, query, roles, roots, rules })
}

/// Reads from the query's text what each pattern begins with. The queries are ours: every pattern
/// begins with a named node, `(kind`, and one of a lone node is `(kind) @capture` on its line.
fn roots(tables: &tree_sitter::Language, query: &Query, text: &str) -> Vec<Root> {
    let mut roots = vec![Root::None; tables.node_kind_count()];
    for pattern in 0..query.pattern_count() {
        let pattern = &text[query.start_byte_for_pattern(pattern)..];
        let inside = pattern.trim_start_matches('(');
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (kind, rest) = inside.split_at(end.unwrap_or(inside.len()));
        let lone = rest.strip_prefix(") @").and_then(|rest| Role::of(rest.lines().next()?));
        for (id, root) in (0_u16..).zip(roots.iter_mut()) {
            if tables.node_kind_is_named(id) && tables.node_kind_for_id(id) == Some(kind) {
                *root = match (lone, *root) {
                    (Some(role), Root::None) => Root::Lone(role),
                    _ => Root::Patterns,
                };
            }
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_compiles() {
        for (i, language) in Language::ALL.into_iter().enumerate() {
            assert_eq!(language as usize, i);
            let grammar = grammar(language).unwrap();
            assert!(grammar.query.pattern_count() > 5);
            let of = |kind: &str| {
                let id = grammar.language.id_for_node_kind(kind, true);
                grammar.roots.get(id as usize).copied()
            };
            let comment = if matches!(language, Language::Rust | Language::Java) {
                "line_comment"
            } else {
                "comment"
            };
            assert_eq!(of(comment), Some(Root::Lone(Role::Comment)), "{language:?}");
            let function = match language {
                Language::Rust => "function_item",
                Language::Python => "function_definition",
                Language::Java => "method_declaration",
                _ => "function_declaration",
            };
            assert_eq!(of(function), Some(Root::Patterns), "{language:?}");
            assert_eq!(of("identifier"), Some(Root::None), "{language:?}");
        }
        assert!(grammar(Language::Manifest).is_none());
    }
}
