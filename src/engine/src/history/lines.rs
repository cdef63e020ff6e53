//! Line by line: how many lines a change adds and removes.

use std::collections::HashMap;

use imara_diff::{Algorithm, Diff, Token};

/// A part is of few lines when those of the whole are so many times more.
const FEW: usize = 4;

/// The lines of a text before and after, each a number.
pub(super) struct Lines {
    old: Vec<Token>,
    new: Vec<Token>,
    distinct: u32,
}

impl Lines {
    pub(super) fn new(old: &str, new: &str) -> Self {
        let mut numbers = HashMap::new();
        let mut number = |line| {
            let next = numbers.len() as u32;
            Token(*numbers.entry(line).or_insert(next))
        };
        let old = old.split_inclusive('\n').map(&mut number).collect();
        let new = new.split_inclusive('\n').map(&mut number).collect();
        Self { old, new, distinct: numbers.len() as u32 }
    }

    /// Lines added and removed in all.
    pub(super) fn changed(&self) -> (u32, u32) {
        self.count(&self.old, &self.new)
    }

    /// Lines added and removed between two parts, each its first and last line, from 1.
    pub(super) fn changed_between(&self, old: (u32, u32), new: (u32, u32)) -> (u32, u32) {
        self.count(part(&self.old, old), part(&self.new, new))
    }

    fn count(&self, mut old: &[Token], mut new: &[Token]) -> (u32, u32) {
        let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        (old, new) = (&old[same..], &new[same..]);
        let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        (old, new) = (&old[..old.len() - same], &new[..new.len() - same]);
        if old.is_empty() || new.is_empty() {
            return (new.len() as u32, old.len() as u32);
        }
        // A diff takes memory and time for every number there is: of a part of a large file only its own.
        let mut diff = Diff::default();
        if (old.len() + new.len()) * FEW < self.distinct as usize {
            let mut numbers = HashMap::new();
            let mut number = |token: &Token| {
                let next = numbers.len() as u32;
                Token(*numbers.entry(*token).or_insert(next))
            };
            let old: Vec<Token> = old.iter().map(&mut number).collect();
            let new: Vec<Token> = new.iter().map(&mut number).collect();
            diff.compute_with(Algorithm::Histogram, &old, &new, numbers.len() as u32);
        } else {
            diff.compute_with(Algorithm::Histogram, old, new, self.distinct);
        }
        (diff.count_additions(), diff.count_removals())
    }
}

fn part(lines: &[Token], (first, last): (u32, u32)) -> &[Token] {
    let last = (last as usize).min(lines.len());
    lines.get((first as usize).saturating_sub(1)..last).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines() {
        let lines = Lines::new("a\nb\nc\n", "a\nx\ny\nc\nd");
        assert_eq!(lines.changed(), (3, 1));
        assert_eq!(lines.changed_between((1, 2), (1, 3)), (2, 1));
        assert_eq!(lines.changed_between((3, 3), (4, 4)), (0, 0));
        assert_eq!(lines.changed_between((3, 3), (9, 12)), (0, 1));
        assert_eq!(Lines::new("", "").changed(), (0, 0));
        assert_eq!(Lines::new("", "a\n").changed(), (1, 0));
    }

    #[test]
    fn a_part_of_a_large_file_counts_the_same() {
        let lines: Vec<String> = (0..1_000).map(|line| format!("{line}\n")).collect();
        let old = lines.concat();
        let mut edited = lines;
        edited.splice(500..503, ["a\n", "502\n", "b\n", "c\n"].map(String::from));
        let lines = Lines::new(&old, &edited.concat());
        assert_eq!(lines.changed(), (3, 2));
        assert_eq!(lines.changed_between((495, 510), (495, 511)), (3, 2));
    }
}
