//! Line by line: how many lines a change adds and removes.

use std::collections::HashMap;

use imara_diff::{Algorithm, Diff, Token};

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

    fn count(&self, old: &[Token], new: &[Token]) -> (u32, u32) {
        if old == new {
            return (0, 0);
        }
        let mut diff = Diff::default();
        diff.compute_with(Algorithm::Histogram, old, new, self.distinct);
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
}
