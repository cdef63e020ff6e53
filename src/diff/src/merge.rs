//! Three-way merges by lines.

use std::ops::Range;

use crate::lines::{Hunk, hunks, lines};

/// A part of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Lines that both sides agree on, or that one of them left as they were.
    Agreed(String),
    /// Lines that both sides changed, each in its own way.
    Conflict(Conflict),
}

/// Lines that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Their number in the base, from 0.
    pub base_lines: Range<usize>,
    /// In our text.
    pub our_lines: Range<usize>,
    /// In theirs.
    pub their_lines: Range<usize>,
    /// The base's text.
    pub base: String,
    /// Ours.
    pub ours: String,
    /// Theirs.
    pub theirs: String,
}

/// One side's changes, and where its lines are.
struct Side<'a> {
    lines: Vec<&'a str>,
    hunks: std::iter::Peekable<std::vec::IntoIter<Hunk>>,
    /// How much further a line of the base is in this text, outside of hunks.
    shift: isize,
}

impl<'a> Side<'a> {
    fn new(base: &str, text: &'a str) -> Self {
        let hunks = hunks(base, text).into_iter().peekable();
        Self { lines: lines(text), hunks, shift: 0 }
    }

    fn next_start(&mut self) -> Option<usize> {
        self.hunks.peek().map(|hunk| hunk.old.start)
    }

    /// Takes hunks that touch a stretch of the base; returns its end with them.
    fn take(&mut self, start: usize, mut end: usize, ends: &mut isize) -> usize {
        while let Some(hunk) = self.hunks.peek() {
            // An insertion touches where it is put; two at one place touch each other.
            let touches = hunk.old.start < end || hunk.old.start == start || hunk.old.start == end;
            if !touches {
                break;
            }
            end = end.max(hunk.old.end);
            *ends = hunk.new.end as isize - hunk.old.end as isize;
            self.hunks.next();
        }
        end
    }

    fn text(&self, range: &Range<usize>) -> String {
        self.lines.get(range.clone()).unwrap_or_default().concat()
    }
}

/// Merges two texts with a common base. Changes that touch each other are a conflict, unless they are equal.
pub fn merge(base: &str, ours: &str, theirs: &str) -> Vec<Part> {
    let base_lines = lines(base);
    let mut our_side = Side::new(base, ours);
    let mut their_side = Side::new(base, theirs);
    let mut parts: Vec<Part> = Vec::new();
    let mut agreed = String::new();
    let mut at = 0;
    loop {
        let start = match (our_side.next_start(), their_side.next_start()) {
            (None, None) => break,
            (Some(start), None) | (None, Some(start)) => start,
            (Some(one), Some(other)) => one.min(other),
        };
        agreed.push_str(&base_lines[at..start].concat());
        let (our_before, their_before) = (our_side.shift, their_side.shift);
        let (mut our_after, mut their_after) = (our_before, their_before);
        let mut end = start;
        // What one side touches may touch a further change of the other.
        loop {
            let before = end;
            end = our_side.take(start, end, &mut our_after);
            end = their_side.take(start, end, &mut their_after);
            if end == before && {
                let touches = |next: Option<usize>| next.is_some_and(|next| next <= end);
                !touches(our_side.next_start()) && !touches(their_side.next_start())
            } {
                break;
            }
        }
        let range = |before: isize, after: isize| {
            (start as isize + before) as usize..(end as isize + after) as usize
        };
        let (our_lines, their_lines) =
            (range(our_before, our_after), range(their_before, their_after));
        (our_side.shift, their_side.shift) = (our_after, their_after);
        let base = base_lines[start..end].concat();
        let (our_text, their_text) = (our_side.text(&our_lines), their_side.text(&their_lines));
        if our_text == their_text || their_text == base {
            agreed.push_str(&our_text);
        } else if our_text == base {
            agreed.push_str(&their_text);
        } else {
            if !agreed.is_empty() {
                parts.push(Part::Agreed(std::mem::take(&mut agreed)));
            }
            parts.push(Part::Conflict(Conflict {
                base_lines: start..end,
                our_lines,
                their_lines,
                base,
                ours: our_text,
                theirs: their_text,
            }));
        }
        at = end;
    }
    agreed.push_str(&base_lines[at..].concat());
    if !agreed.is_empty() {
        parts.push(Part::Agreed(agreed));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(base: &str, ours: &str, theirs: &str) -> Option<String> {
        let parts = merge(base, ours, theirs).into_iter();
        let texts = parts.map(|part| match part {
            Part::Agreed(text) => Some(text),
            Part::Conflict(_) => None,
        });
        texts.collect()
    }

    #[test]
    fn changes_apart_from_each_other_are_both_taken() {
        let base = "1\n2\n3\n4\n5\n6\n7\n";
        let merged = clean(base, "1\ntwo\n3\n4\n5\n6\n7\n", "1\n2\n3\n4\n5\n7\n8\n");
        assert_eq!(merged.as_deref(), Some("1\ntwo\n3\n4\n5\n7\n8\n"));
        assert_eq!(clean(base, base, "").as_deref(), Some(""));
        assert_eq!(clean("", "a\n", "").as_deref(), Some("a\n"));
        assert_eq!(clean(base, "x\n", "x\n").as_deref(), Some("x\n"));
    }

    #[test]
    fn changes_that_touch_are_a_conflict() {
        let parts = merge("a\nb\nc\n", "a\nB\nc\n", "a\nbb\nc\nd\n");
        let Part::Conflict(conflict) = &parts[1] else { panic!("{parts:?}") };
        assert_eq!((&*conflict.base, &*conflict.ours, &*conflict.theirs), ("b\n", "B\n", "bb\n"));
        assert_eq!(conflict.our_lines, 1..2);
        assert_eq!(parts[2], Part::Agreed("c\nd\n".to_owned()));
        // Both add something at the same place.
        let parts = merge("a\n", "a\nb\n", "a\nc\n");
        let Part::Conflict(conflict) = &parts[1] else { panic!("{parts:?}") };
        assert_eq!((&*conflict.base, &*conflict.ours, &*conflict.theirs), ("", "b\n", "c\n"));
    }

    /// Sides that change lines at random: where nothing conflicts, both changes are there, and taking one
    /// side of every conflict and no change of the other gives that side.
    #[test]
    fn random_merges_lose_nothing() {
        let mut state = 88172645463325252_u64;
        let mut random = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % bound
        };
        for _ in 0..3_000 {
            let base: Vec<String> = (0..random(12)).map(|n| format!("{n}\n")).collect();
            let mut edit = |side: &str| {
                let mut text: Vec<String> = base.clone();
                for _ in 0..random(4) {
                    let at = random(text.len() as u64 + 1) as usize;
                    match random(3) {
                        0 => text.insert(at, format!("{side}{}\n", random(3))),
                        1 if at < text.len() => _ = text.remove(at),
                        _ if at < text.len() => text[at] = format!("{side}{}\n", random(3)),
                        _ => {}
                    }
                }
                text.concat()
            };
            let (ours, theirs, base) = (edit("o"), edit("t"), base.concat());
            let parts = merge(&base, &ours, &theirs);
            for line in ours.lines().filter(|line| line.starts_with('o')) {
                let there = parts.iter().any(|part| match part {
                    Part::Agreed(text) => text.lines().any(|l| l == line),
                    Part::Conflict(c) => c.ours.lines().any(|l| l == line),
                });
                assert!(there, "{base:?} {ours:?} {theirs:?} {parts:?}");
            }
            for part in &parts {
                if let Part::Conflict(c) = part {
                    let at = |text: &str, range: &Range<usize>| lines(text)[range.clone()].concat();
                    assert_eq!(at(&base, &c.base_lines), c.base);
                    assert_eq!(at(&ours, &c.our_lines), c.ours);
                    assert_eq!(at(&theirs, &c.their_lines), c.theirs);
                }
            }
            // The other way round the same, with the sides exchanged.
            let other = merge(&base, &theirs, &ours);
            assert_eq!(parts.len(), other.len(), "{base:?} {ours:?} {theirs:?}");
            // A side that changed nothing gives way.
            assert_eq!(clean(&base, &base, &theirs).as_deref(), Some(theirs.as_str()));
            assert_eq!(clean(&base, &ours, &base).as_deref(), Some(ours.as_str()));
            assert_eq!(clean(&base, &ours, &ours).as_deref(), Some(ours.as_str()));
        }
    }
}
