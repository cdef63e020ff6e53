//! Syntax errors: counting them, and getting back what they swallowed.
//!
//! tree-sitter often loses more than the broken line: after `def (:` or an open bracket, everything up
//! to the end of the file may lie in one error node. So a line that looks broken is blanked (with as
//! many spaces, so that positions stay) and the file is parsed again, which reuses the tree of all
//! other lines; the attempt counts when less text lies in errors and no definition is lost, or more
//! are found.

use onyx_protocol::ingest::{Notice, SkipReason};
use tree_sitter::{InputEdit, Node, Point, Tree};

use super::found::{find, tree};
use super::grammar::Grammar;
use super::watch::Watch;

/// Larger files are taken as they come.
const MAX_BYTES: usize = 1 << 20;
/// Lines tried in all,
const MAX_ATTEMPTS: usize = 16;
/// and bytes of source all attempts together may parse again, beyond the first.
const MAX_BYTES_AGAIN: usize = 1 << 19;
/// Lines tried for one error: the first and the last of those that look broken.
const LINES_AT_EACH_END: usize = 3;

/// The errors of a tree.
#[derive(Default)]
struct Errors {
    count: u32,
    /// From 1.
    first_line: Option<usize>,
    /// Bytes in error nodes.
    bytes: usize,
    /// For each error node that may have swallowed a definition the rows that look broken, from 0.
    broken: Vec<Vec<usize>>,
}

/// The best tree that can be had, and a notice when the source has errors. `retries` watches over the
/// attempts to get a better one; when it says stop, the best so far is taken.
pub(super) fn tree_of_broken(
    grammar: &Grammar,
    source: &str,
    watch: &Watch<'_>,
    retries: &Watch<'_>,
) -> Result<(Tree, Option<Notice>), Notice> {
    let first = tree(grammar, source, None, watch)?;
    if !first.root_node().has_error() {
        return Ok((first, None));
    }
    let errors = errors(first.root_node(), source);
    let notice = notice(&errors);
    if errors.broken.is_empty() || source.len() > MAX_BYTES {
        return Ok((first, notice));
    }
    let better = improve(grammar, source, &first, errors, retries);
    Ok((better.unwrap_or(first), notice))
}

fn notice(errors: &Errors) -> Option<Notice> {
    // Some grammars mark the line break missing at the end of a file, which shows in no node.
    let line = u32::try_from(errors.first_line?).unwrap_or(u32::MAX);
    let detail = match errors.count {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    Some(Notice { reason: SkipReason::SyntaxError, detail, line })
}

/// What an attempt is worth: definitions found, then bytes not in errors.
fn worth(
    grammar: &Grammar,
    tree: &Tree,
    source: &str,
    errors: &Errors,
    watch: &Watch<'_>,
) -> Option<(usize, usize)> {
    let found = find(grammar, tree, source, None, watch).ok()?;
    Some((found.candidates.len(), source.len().saturating_sub(errors.bytes)))
}

fn improve(
    grammar: &Grammar,
    source: &str,
    first: &Tree,
    mut present: Errors,
    watch: &Watch<'_>,
) -> Option<Tree> {
    let mut text = source.to_owned();
    let mut best = worth(grammar, first, source, &present, watch)?;
    let mut improved = None;
    let mut attempts = 0;
    let mut next = 0;
    while let Some(rows) = present.broken.get(next) {
        let mut step: Option<(Tree, Errors, String)> = None;
        for &row in rows {
            attempts += 1;
            if attempts > MAX_ATTEMPTS || (attempts - 1) * source.len() > MAX_BYTES_AGAIN {
                return improved;
            }
            let Some((blanked, edit, bytes)) = without_row(&text, row) else { continue };
            let mut old = improved.as_ref().unwrap_or(first).clone();
            old.edit(&edit);
            let Ok(tree) = tree(grammar, &blanked, Some(&old), watch) else { return improved };
            let mut errors = errors(tree.root_node(), &blanked);
            errors.bytes += bytes;
            // Looking for definitions costs more than the parse did.
            if errors.bytes >= present.bytes {
                continue;
            }
            let Some(worth) = worth(grammar, &tree, source, &errors, watch) else {
                return improved;
            };
            if worth > best {
                best = worth;
                step = Some((tree, errors, blanked));
            }
        }
        match step {
            Some((tree, errors, blanked)) => {
                improved = Some(tree);
                present = errors;
                text = blanked;
                next = 0;
            }
            None => next += 1,
        }
    }
    improved
}

/// The text with a row blanked, the edit that makes, and the number of bytes it cost, or None when the
/// row is blank already.
fn without_row(text: &str, row: usize) -> Option<(String, InputEdit, usize)> {
    let line = text.split_inclusive('\n').nth(row)?;
    let start = line.as_ptr() as usize - text.as_ptr() as usize;
    let content = line.trim_end_matches(['\n', '\r']);
    if content.trim().is_empty() {
        return None;
    }
    let blank = " ".repeat(content.len());
    let end = start + content.len();
    let blanked = [&text[..start], &blank, &text[end..]].concat();
    let edit = InputEdit {
        start_byte: start,
        old_end_byte: end,
        new_end_byte: end,
        start_position: Point { row, column: 0 },
        old_end_position: Point { row, column: content.len() },
        new_end_position: Point { row, column: content.len() },
    };
    Some((blanked, edit, content.trim().len()))
}

/// Goes over the nodes that have errors, without recursion.
fn errors(root: Node<'_>, source: &str) -> Errors {
    let mut errors = Errors::default();
    let mut cursor = root.walk();
    'tree: loop {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            let row = node.start_position().row;
            errors.count += 1;
            errors.first_line.get_or_insert(row + 1);
            errors.bytes += node.end_byte() - node.start_byte();
            let swallowed = source.get(node.byte_range()).unwrap_or_default().lines().skip(1);
            if swallowed.into_iter().any(looks_like_a_definition) {
                errors.broken.push(broken_rows(node));
            }
        } else if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'tree;
            }
        }
    }
    errors
}

/// Whether a line in an error could begin a definition in any of the languages: most errors are small
/// and swallow none.
fn looks_like_a_definition(line: &str) -> bool {
    const WORDS: [&str; 26] = [
        "abstract",
        "async",
        "class",
        "const",
        "declare",
        "def",
        "enum",
        "export",
        "fn",
        "func",
        "function",
        "impl",
        "interface",
        "let",
        "mod",
        "namespace",
        "private",
        "protected",
        "pub",
        "public",
        "static",
        "struct",
        "trait",
        "type",
        "union",
        "var",
    ];
    let line = line.trim();
    let word = line.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    WORDS.contains(&word) || line.contains('(') && line.ends_with(['{', '}'])
}

/// The first row, and those of children that are no whole constructs: tokens, names alone, errors.
fn broken_rows(error: Node<'_>) -> Vec<usize> {
    let mut rows = vec![error.start_position().row];
    let mut cursor = error.walk();
    let mut more = cursor.goto_first_child();
    while more {
        let child = cursor.node();
        let is_whole = child.is_named() && (child.child_count() > 0 || child.is_extra());
        if !is_whole || child.has_error() {
            rows.push(child.start_position().row);
        }
        more = cursor.goto_next_sibling();
    }
    rows.dedup();
    if rows.len() > 2 * LINES_AT_EACH_END {
        rows.drain(LINES_AT_EACH_END..rows.len() - LINES_AT_EACH_END);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::without_row;

    #[test]
    fn blanking_a_row_keeps_positions() {
        let text = "a\r\n  é = (\r\n\nb";
        let (blanked, edit, bytes) = without_row(text, 1).unwrap();
        assert_eq!(blanked, "a\r\n        \r\n\nb");
        assert_eq!((blanked.len(), bytes), (text.len(), 6));
        assert_eq!((edit.start_byte, edit.new_end_byte), (3, 11));
        assert!(without_row(text, 2).is_none());
        assert!(without_row(text, 9).is_none());
        assert_eq!(without_row(text, 3).unwrap().0, "a\r\n  é = (\r\n\n ");
    }
}
