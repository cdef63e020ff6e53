//! Texts that both sides changed, merged by lines.
//!
//! Where both added definitions of different names at one place, both stay.

use std::collections::HashSet;

use onyx_diff::merge::{Conflict as Lines, Part};

use super::Sides;
use super::conflicts::{Conflict, Decisions, Resolution};
use super::files::text_of;
use crate::history::diff::Side;
use crate::history::snapshot::FileAt;

/// The text of a file that both sides have; without a base both made it.
pub fn merge(
    sides: &Sides,
    decisions: &mut Decisions,
    base: Option<&FileAt>,
    ours: &FileAt,
    theirs: &FileAt,
) -> String {
    let base_text = base.map(|base| text_of(&sides.base, base)).unwrap_or_default();
    let our_text = text_of(&sides.ours, ours);
    let their_text = text_of(&sides.theirs, theirs);
    let mut merged = String::with_capacity(our_text.len());
    for part in onyx_diff::merge::merge(&base_text, &our_text, &their_text) {
        match part {
            Part::Agreed(text) => merged += &text,
            Part::Conflict(lines) if both_add(sides, base, ours, theirs, &lines) => {
                merged += &lines.ours;
                if !lines.ours.ends_with('\n') {
                    merged.push('\n');
                }
                merged += &lines.theirs;
            }
            Part::Conflict(lines) => {
                let conflict = conflict(sides, base, ours, theirs, &lines);
                match decisions.of(conflict) {
                    Resolution::Ours => merged += &lines.ours,
                    Resolution::Theirs => merged += &lines.theirs,
                    Resolution::Base => merged += &lines.base,
                    Resolution::Text(text) => merged += &text,
                }
            }
        }
    }
    merged
}

/// Whether both sides only add whole definitions here, each with names of its own.
fn both_add(
    sides: &Sides,
    base: Option<&FileAt>,
    ours: &FileAt,
    theirs: &FileAt,
    lines: &Lines,
) -> bool {
    if !lines.base.trim().is_empty() || base.is_none() {
        return false;
    }
    let added = |side: &Side, file: &FileAt, range: &std::ops::Range<usize>, text: &str| {
        let facts = side.facts.get(&file.content)?;
        let mut names = HashSet::new();
        let mut covered = vec![false; range.len()];
        for (definition, node) in facts.definitions.iter().zip(&file.nodes[1..]) {
            let (first, last) = (definition.start_line as usize - 1, definition.end_line as usize);
            if first < range.start || last > range.end || sides.base.places.contains_key(node) {
                continue;
            }
            covered[first - range.start..last - range.start].fill(true);
            names.insert(definition.qualified_name.clone());
        }
        let blank = text.split_inclusive('\n').map(|line| line.trim().is_empty());
        let whole = covered.iter().zip(blank).all(|(covered, blank)| *covered || blank);
        (whole && !names.is_empty()).then_some(names)
    };
    let ours = added(&sides.ours, ours, &lines.our_lines, &lines.ours);
    let theirs = added(&sides.theirs, theirs, &lines.their_lines, &lines.theirs);
    ours.zip(theirs).is_some_and(|(ours, theirs)| ours.is_disjoint(&theirs))
}

fn conflict(
    sides: &Sides,
    base: Option<&FileAt>,
    ours: &FileAt,
    theirs: &FileAt,
    lines: &Lines,
) -> Conflict {
    let node = enclosing(&sides.ours, ours, &lines.our_lines)
        .or_else(|| enclosing(&sides.theirs, theirs, &lines.their_lines))
        .or(ours.nodes.first().copied());
    let name = |side: &Side| Some(side.get(node?)?.qualified_name());
    let own_name = |side: &Side| Some(side.get(node?)?.name().to_owned());
    let names = [own_name(&sides.base), own_name(&sides.ours), own_name(&sides.theirs)];
    let [base_name, our_name, their_name] = &names;
    let renamed = base_name.is_some()
        && our_name.is_some()
        && their_name.is_some()
        && base_name != our_name
        && base_name != their_name
        && our_name != their_name;
    let kind = if renamed {
        "rename_rename"
    } else if !lines.base.is_empty() && lines.ours.is_empty() != lines.theirs.is_empty() {
        "delete_modify"
    } else {
        "content"
    };
    let mut conflict = Conflict::new(kind, node);
    conflict.base_path = base.map(|base| base.path.clone());
    conflict.our_path = Some(ours.path.clone());
    conflict.their_path = Some(theirs.path.clone());
    conflict.base_name = name(&sides.base);
    conflict.our_name = name(&sides.ours);
    conflict.their_name = name(&sides.theirs);
    conflict.our_line = Some(lines.our_lines.start as i32 + 1);
    conflict.base_text = Some(lines.base.clone());
    conflict.our_text = Some(lines.ours.clone());
    conflict.their_text = Some(lines.theirs.clone());
    conflict
}

/// The innermost definition of a file around some of its lines.
fn enclosing(side: &Side, file: &FileAt, lines: &std::ops::Range<usize>) -> Option<i64> {
    let facts = side.facts.get(&file.content)?;
    if lines.is_empty() {
        return None;
    }
    let around = facts.definitions.iter().zip(&file.nodes[1..]).filter(|(definition, _)| {
        definition.start_line as usize <= lines.start + 1
            && lines.end <= definition.end_line as usize
    });
    around.min_by_key(|(d, _)| d.end_line - d.start_line).map(|(_, node)| *node)
}
