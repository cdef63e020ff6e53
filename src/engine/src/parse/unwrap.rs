//! Items in the arguments of macros: `cfg_rt! { mod task; }`.
//!
//! What stands in a macro's braces is tokens to the grammar, though many macros take items and give
//! them back. So where a macro among items has braces that begin like an item, its name and braces
//! are blanked (with as many spaces, so that positions stay) and the file is parsed again, which
//! reuses the tree of all else. What has errors then was not items, and is left as it was.

use std::ops::Range;

use onyx_protocol::ingest::Notice;
use tree_sitter::{InputEdit, Node, Point, Tree};

use super::found::tree;
use super::grammar::Grammar;
use super::watch::Watch;

/// Macros in macros.
const MAX_ROUNDS: usize = 4;

/// One end of a macro's braces: bytes to blank, and where they are.
#[derive(Clone)]
struct Cut {
    bytes: Range<usize>,
    points: Range<Point>,
}

/// The tree in which the items in macros are items.
pub(super) fn unwrapped(
    grammar: &Grammar,
    source: &str,
    first: Tree,
    watch: &Watch<'_>,
) -> Result<Tree, Notice> {
    if !source.contains("! {") && !source.contains("!{") {
        return Ok(first);
    }
    let mut present = first;
    let mut text: Option<String> = None;
    for _ in 0..MAX_ROUNDS {
        let mut macros = item_macros(present.root_node(), source);
        if macros.is_empty() {
            break;
        }
        let before = text.as_deref().unwrap_or(source);
        let mut next = blanked(grammar, before, &present, &macros, watch)?;
        if next.1.root_node().has_error() {
            let errors = errors(next.1.root_node());
            macros.retain(|[open, close]| {
                let inside = open.bytes.start..close.bytes.end;
                !errors.iter().any(|at| inside.contains(at))
            });
            if macros.is_empty() {
                break;
            }
            next = blanked(grammar, before, &present, &macros, watch)?;
            if next.1.root_node().has_error() {
                break;
            }
        }
        text = Some(next.0);
        present = next.1;
    }
    Ok(present)
}

fn blanked(
    grammar: &Grammar,
    text: &str,
    old: &Tree,
    macros: &[[Cut; 2]],
    watch: &Watch<'_>,
) -> Result<(String, Tree), Notice> {
    let mut bytes = text.as_bytes().to_vec();
    let mut old = old.clone();
    for cut in macros.iter().flatten() {
        for byte in bytes.get_mut(cut.bytes.clone()).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        old.edit(&InputEdit {
            start_byte: cut.bytes.start,
            old_end_byte: cut.bytes.end,
            new_end_byte: cut.bytes.end,
            start_position: cut.points.start,
            old_end_position: cut.points.end,
            new_end_position: cut.points.end,
        });
    }
    // Whole tokens were replaced by spaces: what was UTF-8 still is.
    let text = String::from_utf8(bytes).unwrap_or_default();
    let tree = tree(grammar, &text, Some(&old), watch)?;
    Ok((text, tree))
}

/// The ends of macros that stand where items stand and seem to have items in their braces.
fn item_macros(root: Node<'_>, source: &str) -> Vec<[Cut; 2]> {
    let mut found = Vec::new();
    let mut cursor = root.walk();
    if !cursor.goto_first_child() {
        return found;
    }
    loop {
        let node = cursor.node();
        let enter = match node.kind() {
            "mod_item" | "impl_item" | "trait_item" | "declaration_list" | "foreign_mod_item" => {
                true
            }
            "expression_statement" => {
                node.named_child(0).is_some_and(|n| n.kind() == "macro_invocation")
            }
            "macro_invocation" => {
                found.extend(ends(node, source));
                false
            }
            _ => false,
        };
        if enter && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

fn ends(invocation: Node<'_>, source: &str) -> Option<[Cut; 2]> {
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let name = invocation.child_by_field_name("macro").map(text)?;
    // What these make of an item is another one.
    if matches!(name, "thread_local" | "lazy_static" | "bitflags") {
        return None;
    }
    let last = u32::try_from(invocation.named_child_count().checked_sub(1)?).ok()?;
    let tokens = invocation.named_child(last).filter(|n| n.kind() == "token_tree")?;
    let last = tokens.child_count().checked_sub(1)?;
    let (open, close) = (tokens.child(0)?, tokens.child(last)?);
    if open.kind() != "{" || close.kind() != "}" {
        return None;
    }
    let mut cursor = tokens.walk();
    let mut tokens = tokens.children(&mut cursor).skip(1).filter(|n| !n.is_extra());
    let begins = match text(tokens.next()?) {
        "#" | "async" | "const" | "enum" | "extern" | "fn" | "impl" | "mod" | "pub" | "static"
        | "struct" | "trait" | "type" | "union" | "unsafe" | "use" => true,
        _ => tokens.next().is_some_and(|n| n.kind() == "!"),
    };
    begins.then(|| {
        let cut = |from: Node<'_>, to: Node<'_>| Cut {
            bytes: from.start_byte()..to.end_byte(),
            points: from.start_position()..to.end_position(),
        };
        [cut(invocation, open), cut(close, close)]
    })
}

/// First bytes of all errors.
fn errors(root: Node<'_>) -> Vec<usize> {
    let mut found = Vec::new();
    let mut cursor = root.walk();
    'tree: loop {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            found.push(node.start_byte());
        } else if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'tree;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onyx_protocol::facts::Language;

    use super::super::{Limits, parse};

    fn names(source: &str) -> Vec<String> {
        let limits = Limits { timeout: Duration::from_secs(60), ..Limits::default() };
        let (facts, notices) = parse(Language::Rust, source, &limits, &|| false).unwrap();
        assert!(notices.is_empty(), "{notices:?}");
        let lines = facts.definitions.iter().map(|d| (d.start_line, &d.qualified_name));
        lines.map(|(line, name)| format!("{line} {name}")).collect()
    }

    #[test]
    fn items_in_macros_are_items() {
        let source = "cfg_a! {\n    mod a;\n    cfg_b! { pub fn f() {} }\n}\n\
                      impl X {\n    cfg_a! {\n        /// Doc.\n        fn m(&self) {}\n    }\n}\n";
        assert_eq!(names(source), ["2 a", "3 f", "5 impl X", "8 X::m"]);
    }

    #[test]
    fn other_arguments_are_left_alone() {
        assert_eq!(names("table! { fn => 1, mod => 2 }\nfn f() {}\n"), ["2 f"]);
        assert_eq!(names("table! { pub a: b }\ncfg! { fn g() {} }\nfn f() {}\n"), ["2 g", "3 f"]);
        assert_eq!(names("thread_local! { static A: u8 = 1; }\n"), [""; 0]);
        assert_eq!(names("fn f() { cfg_a! { fn g() {} } }\n"), ["1 f"]);
    }
}
