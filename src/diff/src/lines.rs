//! Which lines two texts have in common.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// Lines that were replaced: of the old text and of the new one, from 0. One of them may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Lines of the old text.
    pub old: Range<usize>,
    /// Lines of the new text.
    pub new: Range<usize>,
}

/// The lines of a text, each with its end.
pub fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// What differs, in order.
pub fn hunks(old: &str, new: &str) -> Vec<Hunk> {
    let input = InternedInput::new(old, new);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let range = |range: Range<u32>| range.start as usize..range.end as usize;
    diff.hunks().map(|hunk| Hunk { old: range(hunk.before), new: range(hunk.after) }).collect()
}

/// A unified diff with `context` lines around what differs; empty when nothing does. `None` as a name is a
/// file that is not there.
pub fn unified(
    old_name: Option<&str>,
    old: &str,
    new_name: Option<&str>,
    new: &str,
    context: u32,
) -> String {
    let hunks = hunks(old, new);
    if hunks.is_empty() {
        return String::new();
    }
    let name = |name: Option<&str>, side| match name {
        Some(name) => format!("{side}/{name}"),
        None => "/dev/null".to_owned(),
    };
    let mut text = format!("--- {}\n+++ {}\n", name(old_name, "a"), name(new_name, "b"));
    let (old, new) = (lines(old), lines(new));
    // Hunks whose contexts meet are one.
    for group in hunks.chunk_by(|one, next| next.old.start - one.old.end <= 2 * context as usize) {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let before = first.old.start.min(context as usize);
        let after = (old.len() - last.old.end).min(context as usize);
        let start = first.old.start - before;
        text +=
            &header(start..last.old.end + after, first.new.start - before..last.new.end + after);
        let mut at = start;
        for hunk in group {
            old[at..hunk.old.start].iter().for_each(|line| put(&mut text, ' ', line));
            old[hunk.old.clone()].iter().for_each(|line| put(&mut text, '-', line));
            new[hunk.new.clone()].iter().for_each(|line| put(&mut text, '+', line));
            at = hunk.old.end;
        }
        old[at..at + after].iter().for_each(|line| put(&mut text, ' ', line));
    }
    text
}

fn header(old: Range<usize>, new: Range<usize>) -> String {
    // Of no lines, the number is that of the line before.
    let place = |range: Range<usize>| match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        count => format!("{},{count}", range.start + 1),
    };
    format!("@@ -{} +{} @@\n", place(old), place(new))
}

fn put(text: &mut String, mark: char, line: &str) {
    text.push(mark);
    text.push_str(line);
    if !line.ends_with('\n') {
        text.push_str("\n\\ No newline at end of file\n");
    }
}

/// For each line of the new text the line of the old one that it is, where it is one.
pub fn origins(old: &str, new: &str) -> Vec<Option<usize>> {
    let count = lines(new).len();
    let mut origins = Vec::with_capacity(count);
    let mut at = 0;
    for Hunk { old, new } in hunks(old, new) {
        while origins.len() < new.start {
            origins.push(Some(at));
            at += 1;
        }
        origins.resize(new.end, None);
        at = old.end;
    }
    while origins.len() < count {
        origins.push(Some(at));
        at += 1;
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_differs() {
        let found = hunks("a\nb\nc\n", "a\nx\ny\nc\nd\n");
        let expected = [(1..2, 1..3), (3..3, 4..5)].map(|(old, new)| Hunk { old, new });
        assert_eq!(found, expected);
        assert_eq!(hunks("", ""), []);
    }

    #[test]
    fn says_where_lines_are_from() {
        assert_eq!(
            origins("a\nb\nc\nd\n", "x\na\nc\ny\nd\n"),
            [None, Some(0), Some(2), None, Some(3)]
        );
        assert_eq!(origins("", "a\n"), [None]);
        assert_eq!(origins("a\n", ""), []);
    }

    #[test]
    fn writes_what_patch_reads() {
        let (old, new) = ("a\nb\nc\n", "a\nB\nc\nno end");
        let text = unified(Some("f"), old, Some("f"), new, 3);
        assert!(text.starts_with("--- a/f\n+++ b/f\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n"), "{text}");
        let patches = crate::patch::parse(&text).unwrap();
        assert_eq!(patches[0].apply(old).unwrap(), new);
        assert_eq!(unified(Some("f"), old, Some("f"), old, 3), "");
        let text = unified(None, "", Some("f"), "a\n", 3);
        assert!(text.starts_with("--- /dev/null\n+++ b/f\n"), "{text}");
    }
}
