//! Small operations on pieces of source text.

use std::ops::Range;

/// The longest prefix of at most `max` bytes that ends at a character boundary.
pub(super) fn prefix(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// `text`, cut to at most `max` bytes with an ellipsis in the last ones.
pub(super) fn bounded(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let mut cut = prefix(&text, max - '…'.len_utf8()).to_owned();
    cut.push('…');
    cut
}

/// White space folded to single spaces, in at most `max` bytes.
pub(super) fn fold(text: &str, max: usize) -> String {
    fold_without(text, 0..text.len(), &[], max)
}

/// The text of `range` without the pieces in `left_out` (sorted, in bytes of `text`), white space
/// folded to single spaces and line breaks inside brackets to nothing, in at most `max` bytes.
pub(super) fn fold_without(
    text: &str,
    range: Range<usize>,
    left_out: &[Range<usize>],
    max: usize,
) -> String {
    let mut folded = String::new();
    let mut gap = Gap::None;
    let mut at = range.start;
    let mut pieces = left_out.iter().filter(|r| r.start < range.end && r.end > range.start);
    while at < range.end && folded.len() < max {
        let hole = pieces.next();
        let end = hole.map_or(range.end, |hole| hole.start.clamp(at, range.end));
        for c in text.get(at..end).unwrap_or_default().chars() {
            if c == '\n' {
                gap = Gap::Line;
            } else if c.is_whitespace() || c == '\u{feff}' {
                gap = gap.max(Gap::Space);
            } else {
                gap.close(&mut folded, c);
                gap = Gap::None;
                folded.push(c);
                if folded.len() > max {
                    break;
                }
            }
        }
        if hole.is_some() {
            gap = gap.max(Gap::Space);
        }
        at = hole.map_or(range.end, |hole| hole.end.max(at));
    }
    folded.truncate(folded.floor_char_boundary(max));
    folded
}

/// What white space stood between two characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Line,
}

impl Gap {
    /// Writes what is left of the gap before `next`.
    fn close(self, folded: &mut String, next: char) {
        let closing = matches!(next, ')' | ']');
        match self {
            Self::None => {}
            Self::Line if closing => {
                if folded.ends_with(',') {
                    folded.pop();
                }
            }
            Self::Line if folded.ends_with(['(', '[']) => {}
            _ if folded.is_empty() => {}
            _ => folded.push(' '),
        }
    }
}

/// Lines without their common indentation, the first line's counted apart, and without blank lines at
/// both ends: what Python's `inspect.cleandoc` does.
pub(super) fn dedent(text: &str) -> String {
    let margin = text
        .lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start_matches([' ', '\t']).len())
        .min()
        .unwrap_or(0);
    let lines = text.lines().enumerate().map(|(i, line)| {
        let line = line.trim_end();
        if i == 0 { line.trim_start() } else { line.get(margin..).unwrap_or_default() }
    });
    join_trimmed(lines)
}

/// Lines joined, without blank ones at both ends.
pub(super) fn join_trimmed<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    let mut blank = 0;
    for line in lines {
        if line.trim().is_empty() {
            blank += 1;
            continue;
        }
        if !joined.is_empty() {
            joined.extend(std::iter::repeat_n('\n', blank + 1));
        }
        blank = 0;
        joined.push_str(line);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_white_space_and_leaves_out_pieces() {
        assert_eq!(
            fold("fn  f(\n    a: u8,\n    b: u8,\n) -> u8", 100),
            "fn f(a: u8, b: u8) -> u8"
        );
        assert_eq!(fold("f(a, )", 100), "f(a, )");
        let text = "fn f(a: u8, // why\n b: u8)";
        let comment = 12..18;
        assert_eq!(&text[comment.clone()], "// why");
        assert_eq!(fold_without(text, 0..text.len(), &[comment], 100), "fn f(a: u8, b: u8)");
        assert_eq!(fold_without("@a\nx", 0..4, std::slice::from_ref(&(0..2)), 100), "x");
    }

    #[test]
    fn cuts_at_character_boundaries() {
        assert_eq!(fold("aéé", 2), "a");
        assert_eq!(prefix("aé", 2), "a");
        assert_eq!(bounded("abcdefgh".into(), 6), "abc…");
        assert_eq!(bounded("abc".into(), 3), "abc");
    }

    #[test]
    fn dedents_like_cleandoc() {
        assert_eq!(
            dedent("First.\n\n      More.\n        Deeper.\n    "),
            "First.\n\nMore.\n  Deeper."
        );
        assert_eq!(dedent("\n    Only.\r\n"), "Only.");
        assert_eq!(dedent(""), "");
        assert_eq!(dedent("a\n \u{a0}é\n  b"), "a\n\u{a0}é\n b");
    }
}
