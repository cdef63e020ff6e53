//! Comments and attributes of a file, and which of them belong to a definition.

use std::ops::Range;

use tree_sitter::Node;

use super::text::join_trimmed;

/// What a comment is in its language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommentKind {
    /// Documentation of what follows.
    Doc,
    /// Documentation of what it stands in.
    Inner,
    /// Documentation of what follows if there is nothing better and no blank line between.
    Plain,
    /// For a tool or for nobody.
    Ignored,
}

/// Comments and attributes in order.
#[derive(Default)]
pub(super) struct Prelude<'t> {
    items: Vec<Item<'t>>,
}

#[derive(Clone, Copy)]
struct Item<'t> {
    node: Node<'t>,
    is_attribute: bool,
    start: usize,
    /// Without trailing white space: some grammars count the line break in.
    end: usize,
}

/// What stands directly before a definition.
pub(super) struct Lead {
    /// First byte with its attributes.
    pub start: usize,
    /// Comments that document it, in order, without their markers.
    pub doc: String,
}

impl<'t> Prelude<'t> {
    /// Adds a comment or an attribute.
    pub fn push(&mut self, node: Node<'t>, is_attribute: bool, source: &str) {
        let text = source.get(node.byte_range()).unwrap_or_default();
        let start = node.start_byte();
        self.items.push(Item { node, is_attribute, start, end: start + text.trim_end().len() });
    }

    /// To be called when all are there: sorts, and drops what is inside an attribute.
    pub fn arrange(&mut self) {
        self.items.sort_unstable_by_key(|item| item.start);
        let mut inside = 0;
        self.items.retain(|item| {
            let keep = item.start >= inside;
            if keep && item.is_attribute {
                inside = item.end;
            }
            keep
        });
    }

    /// Attributes that begin in `range`.
    pub fn attributes(&self, range: Range<usize>) -> impl Iterator<Item = Node<'t>> {
        self.within(range).iter().filter(|item| item.is_attribute).map(|item| item.node)
    }

    /// Bytes of the comments that begin in `range`, and of the attributes that do before byte `name`.
    pub fn spans(&self, range: Range<usize>, name: usize) -> Vec<Range<usize>> {
        let items = self.within(range).iter();
        let items = items.filter(|item| !item.is_attribute || item.start < name);
        items.map(|item| item.start..item.end).collect()
    }

    fn within(&self, range: Range<usize>) -> &[Item<'t>] {
        let first = self.items.partition_point(|item| item.start < range.start);
        let after = self.items.partition_point(|item| item.start < range.end);
        self.items.get(first..after).unwrap_or_default()
    }

    /// Attributes and documentation directly before byte `at`.
    pub fn before(&self, at: usize, source: &str, kind: impl Fn(&str) -> CommentKind) -> Lead {
        let (mut start, mut reached) = (at, at);
        let (mut docs, mut plain): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        let mut adjacent = true;
        let mut index = self.items.partition_point(|item| item.start < at);
        while index > 0 {
            index -= 1;
            let item = self.items[index];
            let Some(gap) = source.get(item.end..reached) else { break };
            if !gap.bytes().all(|b| b.is_ascii_whitespace()) {
                break;
            }
            if item.is_attribute {
                (start, reached) = (item.start, item.start);
                continue;
            }
            if !opens_its_line(source, item.start) {
                break;
            }
            let text = &source[item.start..item.end];
            adjacent &= gap.bytes().filter(|&b| b == b'\n').count() < 2;
            match kind(text) {
                CommentKind::Doc => docs.push(text),
                CommentKind::Plain if adjacent && docs.is_empty() => plain.push(text),
                CommentKind::Ignored if adjacent => {}
                _ => break,
            }
            reached = item.start;
            if docs.last().is_some_and(|doc| doc.starts_with("/*")) {
                break;
            }
        }
        let chosen = if docs.is_empty() { plain } else { docs };
        Lead { start, doc: clean(chosen.into_iter().rev()) }
    }

    /// The comment on the rest of the line after byte `at`.
    pub fn after(&self, at: usize, source: &str, kind: impl Fn(&str) -> CommentKind) -> String {
        let index = self.items.partition_point(|item| item.start < at);
        let comment = self.items.get(index).filter(|item| !item.is_attribute).and_then(|item| {
            let gap = source.get(at..item.start)?;
            let near = gap.bytes().all(|b| matches!(b, b' ' | b'\t' | b',' | b';'));
            let text = &source[item.start..item.end];
            (near && matches!(kind(text), CommentKind::Doc | CommentKind::Plain)).then_some(text)
        });
        clean(comment.into_iter())
    }

    /// Documentation of what begins at byte `at`, from inside: its first inner comments.
    pub fn inner(&self, at: usize, source: &str, kind: impl Fn(&str) -> CommentKind) -> String {
        let index = self.items.partition_point(|item| item.start < at);
        let mut reached = at;
        let mut docs = Vec::new();
        for item in &self.items[index..] {
            let Some(gap) = source.get(reached..item.start) else { break };
            let text = &source[item.start..item.end];
            let near = gap.bytes().all(|b| b.is_ascii_whitespace());
            if !near || item.is_attribute || kind(text) != CommentKind::Inner {
                break;
            }
            docs.push(text);
            reached = item.end;
        }
        clean(docs.into_iter())
    }

    /// The first comment of the file, when nothing but an interpreter line, directives and comments
    /// for tools stand before it.
    pub fn head(&self, source: &str, kind: impl Fn(&str) -> CommentKind) -> String {
        let mut group: Vec<&str> = Vec::new();
        let mut reached = 0;
        for item in self.items.iter().filter(|item| !item.is_attribute) {
            let gap = source.get(reached..item.start).unwrap_or_default();
            let text = &source[item.start..item.end];
            let goes_on = group.is_empty() || gap.bytes().filter(|&b| b == b'\n').count() < 2;
            if !gap.lines().all(is_directive) || !goes_on {
                break;
            }
            reached = item.end;
            match kind(text) {
                CommentKind::Ignored if group.is_empty() => {}
                CommentKind::Doc | CommentKind::Plain if text.starts_with("/*") => {
                    if group.is_empty() {
                        group.push(text);
                    }
                    break;
                }
                CommentKind::Doc | CommentKind::Plain => group.push(text),
                _ => break,
            }
        }
        clean(group.into_iter())
    }

    /// Comments that begin before byte `limit`, with their first byte and the byte after their last.
    pub fn comments<'a>(
        &'a self,
        limit: usize,
        source: &'a str,
    ) -> impl Iterator<Item = (Range<usize>, &'a str)> {
        let comments = self.items.iter().filter(|item| !item.is_attribute);
        comments
            .take_while(move |item| item.start < limit)
            .map(|item| (item.start..item.end, &source[item.start..item.end]))
    }
}

fn is_directive(line: &str) -> bool {
    let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == ';');
    line.is_empty() || line.starts_with("#!") || matches!(line, "'use strict'" | "\"use strict\"")
}

/// Whether a comment says anything: a line of dashes does not.
pub(super) fn has_words(comment: &str) -> bool {
    comment.chars().any(char::is_alphanumeric)
}

/// Whether nothing but white space stands before byte `at` on its line.
fn opens_its_line(source: &str, at: usize) -> bool {
    let before = &source.as_bytes()[..at];
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | 0x0c | 0xef | 0xbb | 0xbf);
    before.iter().rev().find(|b| !blank(b)).is_none_or(|&b| b == b'\n')
}

/// Comments without their markers, joined by line breaks.
pub(super) fn clean<'a>(comments: impl Iterator<Item = &'a str>) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for comment in comments {
        if let Some(block) = comment.strip_prefix("/*") {
            let block = block.strip_suffix("*/").unwrap_or(block);
            let block = block.trim_start_matches(['*', '!']);
            lines.extend(block.lines().enumerate().map(|(i, line)| {
                let bare = line.trim_start();
                match bare.strip_prefix('*') {
                    Some(text) if i > 0 => text.strip_prefix(' ').unwrap_or(text),
                    _ => bare,
                }
                .trim_end()
            }));
        } else {
            let text = comment.trim_start_matches(['/', '#']);
            let text = text.strip_prefix(['!', ':']).unwrap_or(text);
            lines.push(text.strip_prefix(' ').unwrap_or(text).trim_end());
        }
    }
    join_trimmed(lines.into_iter())
}

#[cfg(test)]
mod tests {
    use super::clean;

    fn cleaned(comments: &[&str]) -> String {
        clean(comments.iter().copied())
    }

    #[test]
    fn removes_markers() {
        assert_eq!(cleaned(&["/// One.", "///", "///   Two."]), "One.\n\n  Two.");
        assert_eq!(cleaned(&["//! Inner."]), "Inner.");
        assert_eq!(cleaned(&["//bare"]), "bare");
        assert_eq!(cleaned(&["# One", "#: two"]), "One\ntwo");
        assert_eq!(cleaned(&["/** One. */"]), "One.");
        assert_eq!(cleaned(&["/**\r\n * One.\r\n *\r\n *  - two\r\n */"]), "One.\n\n - two");
        assert_eq!(cleaned(&["/* no\n   stars */"]), "no\nstars");
        assert_eq!(cleaned(&["/***/"]), "");
        assert_eq!(cleaned(&["/**\n * *emphasis*\n */"]), "*emphasis*");
    }
}
