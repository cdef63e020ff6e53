//! Strings of SQL in source code, and the tables and columns they name.
//!
//! A string is one of SQL when it begins with a statement's first word and has the statement's shape; one
//! that documents something is not. What programs put together is read as far as it is written: parts
//! joined by `+` or by standing side by side are one string, and what is filled in at run time is a hole that
//! no name may touch. Reading is by tokens (`lexer`, `statement`), not by a grammar: templates and halves
//! of statements have names of tables too, and a grammar refuses them.

mod lexer;
mod statement;

use onyx_protocol::facts::Definition;
use onyx_protocol::ingest::SqlReference;
use tree_sitter::Node;

use lexer::{Kind, Token, lex};

/// Words that statements begin with.
const VERBS: [&str; 12] = [
    "select", "insert", "update", "delete", "with", "merge", "truncate", "alter", "drop", "create",
    "copy", "explain",
];
/// Nodes of the grammars that are strings.
const STRINGS: [&str; 6] = [
    "string",
    "string_literal",
    "raw_string_literal",
    "interpreted_string_literal",
    "template_string",
    "line_string_literal",
];
/// Longest prefix of a string and its opening quotes, as in `br###"`.
const MAX_OPENING: usize = 12;
/// Most parts of one string, and furthest apart in bytes.
const MAX_PARTS: usize = 500;
const MAX_GAP: usize = 200;
/// Most references of one file.
const MAX_REFERENCES: usize = 20_000;

/// The tables that strings in a file name, in source order.
pub(super) fn references(
    root: Node<'_>,
    source: &str,
    definitions: &[Definition],
) -> Vec<SqlReference> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let mut places = Places { bytes, breaks: None };
    // Behind the last string that was read.
    let mut end = 0;
    for (quote, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'"' | b'\'' | b'`') || quote < end || !begins(bytes, quote + 1) {
            continue;
        }
        let Some(first) = string_at(root, source, quote) else { continue };
        if is_documentation(first) {
            continue;
        }
        let (tokens, last) = read(root, source, first, quote);
        end = last;
        for statement in tokens.split(|token| token.kind == Kind::End) {
            for table in statement::tables(statement) {
                let (line, column) = places.of(table.at);
                found.push(SqlReference {
                    definition: definition_at(definitions, first.start_byte()),
                    line,
                    column,
                    schema: table.schema,
                    table: table.name,
                    columns: table.columns,
                    possible: table.possible,
                });
            }
        }
        if found.len() >= MAX_REFERENCES {
            found.truncate(MAX_REFERENCES);
            break;
        }
    }
    found
}

/// Whether a statement begins here: a first word in one case, and then a space.
fn begins(bytes: &[u8], mut at: usize) -> bool {
    loop {
        match bytes.get(at) {
            Some(b) if b.is_ascii_whitespace() || *b == b'(' => at += 1,
            Some(b'\\') if matches!(bytes.get(at + 1), Some(b'n' | b't' | b'r' | b'\n')) => at += 2,
            _ => break,
        }
    }
    let rest = &bytes[at.min(bytes.len())..];
    let length = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let (word, behind) = rest.split_at(length);
    // Sentences begin with a capital, and go on without.
    let one_case =
        word.iter().all(u8::is_ascii_uppercase) || word.iter().all(u8::is_ascii_lowercase);
    one_case
        && VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb.as_bytes()))
        && behind.first().is_some_and(|b| b.is_ascii_whitespace() || *b == b'\\')
}

/// The string whose content begins behind a quote.
fn string_at<'t>(root: Node<'t>, source: &str, quote: usize) -> Option<Node<'t>> {
    let mut node = root.descendant_for_byte_range(quote, quote + 1)?;
    for _ in 0..3 {
        if STRINGS.contains(&node.kind()) {
            let opening = source.as_bytes().get(node.start_byte()..quote)?;
            let is_opening = |b: &u8| b.is_ascii_alphabetic() || b"#\"'`".contains(b);
            let whole = opening.len() <= MAX_OPENING && opening.iter().all(is_opening);
            return whole.then_some(node);
        }
        node = node.parent()?;
    }
    None
}

/// Whether a string stands for itself, as documentation does.
fn is_documentation(string: Node<'_>) -> bool {
    let mut parent = string.parent();
    if parent.is_some_and(|node| node.kind() == "concatenated_string") {
        parent = parent.and_then(|node| node.parent());
    }
    parent.is_some_and(|node| node.kind() == "expression_statement")
}

/// The tokens of a string and of those that go on with it, and where the last ends.
fn read(root: Node<'_>, source: &str, first: Node<'_>, quote: usize) -> (Vec<Token>, usize) {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let (mut string, mut quote) = (first, quote);
    for _ in 0..MAX_PARTS {
        let content = quote + 1..content_end(bytes, string, quote);
        lex(bytes, content.clone(), &mut tokens);
        let Some((next, at, is_whole)) = next_part(root, source, string.end_byte()) else {
            // What is added to it may go on with its last name.
            let behind = bytes[string.end_byte()..].iter().find(|b| !b.is_ascii_whitespace());
            if matches!(behind, Some(b'+' | b'%')) {
                tokens.push(Token::hole(content.end, content.end));
            }
            break;
        };
        if !is_whole {
            tokens.push(Token::hole(content.end, at + 1));
        }
        (string, quote) = (next, at);
    }
    (tokens, string.end_byte())
}

/// Where the content of a string ends that begins behind a quote.
fn content_end(bytes: &[u8], string: Node<'_>, quote: usize) -> usize {
    let mark = bytes[quote];
    let opening = &bytes[string.start_byte()..=quote];
    let quotes = opening.iter().rev().take_while(|b| **b == mark).count();
    let mut end = string.end_byte().min(bytes.len());
    while end > quote + 1 && bytes[end - 1] == b'#' {
        end -= 1;
    }
    let closing = bytes[quote + 1..end].iter().rev().take_while(|b| **b == mark).count();
    end - closing.min(quotes)
}

/// The string that goes on with one that ends here, its last opening quote, and whether nothing is put
/// between them.
fn next_part<'t>(root: Node<'t>, source: &str, end: usize) -> Option<(Node<'t>, usize, bool)> {
    let bytes = source.as_bytes();
    let rest = &bytes[end..bytes.len().min(end + MAX_GAP)];
    let mut quote = end + rest.iter().position(|b| matches!(b, b'"' | b'\'' | b'`'))?;
    let next = string_at(root, source, quote)?;
    let gap = source.get(end..next.start_byte())?.trim();
    let is_whole = gap.is_empty() || gap == "+" || gap == "\\";
    let is_hole = gap.len() > 2
        && gap.starts_with('+')
        && gap.ends_with('+')
        && !gap.contains([',', ';', '{', '}', '=']);
    if !is_whole && !is_hole {
        return None;
    }
    // Three quotes open a string as one does.
    if bytes[quote..].starts_with(&[bytes[quote]; 3]) && next.end_byte() >= quote + 6 {
        quote += 2;
    }
    Some((next, quote, is_whole))
}

/// The innermost definition at a byte.
fn definition_at(definitions: &[Definition], at: usize) -> Option<u32> {
    let before = definitions.partition_point(|one| one.start_byte as usize <= at);
    let mut number = before.checked_sub(1)? as u32;
    loop {
        let definition = definitions.get(number as usize)?;
        if (definition.end_byte as usize) > at {
            return Some(number);
        }
        number = definition.parent?;
    }
}

/// Lines and columns of bytes.
struct Places<'a> {
    bytes: &'a [u8],
    /// Where lines end; found when first asked for.
    breaks: Option<Vec<usize>>,
}

impl Places<'_> {
    /// Line and column of a byte, from 1.
    fn of(&mut self, at: usize) -> (u32, u32) {
        let bytes = self.bytes;
        let breaks = self.breaks.get_or_insert_with(|| {
            let breaks = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
            breaks.map(|(at, _)| at).collect()
        });
        let line = breaks.partition_point(|end| *end < at);
        let start = line.checked_sub(1).map_or(0, |before| breaks[before] + 1);
        (line as u32 + 1, (at - start) as u32 + 1)
    }
}
