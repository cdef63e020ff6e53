//! What a commit did to symbols, file by file.

use onyx_protocol::facts::{Definition, FileFacts, Language, NodeKind};
use onyx_protocol::history::{Reference, SymbolChange, SymbolChangeKind};

use super::lineage::{Lineage, Origin, Place};
use super::lines::Lines;
use super::work::Work;

pub(super) fn qualified(language: Language, module: &str, definition: &Definition) -> String {
    if module.is_empty() {
        definition.qualified_name.clone()
    } else {
        format!("{module}{}{}", language.separator(), definition.qualified_name)
    }
}

pub(super) fn span_lines(definition: &Definition) -> u32 {
    (definition.end_line + 1).saturating_sub(definition.start_line)
}

/// What happened to a symbol that is there.
pub(super) struct What {
    pub(super) kind: SymbolChangeKind,
    pub(super) body_changed: bool,
    pub(super) lines: (u32, u32),
}

impl What {
    pub(super) fn created(now: &Definition) -> Self {
        let lines = (span_lines(now), 0);
        Self { kind: SymbolChangeKind::Created, body_changed: false, lines }
    }
}

/// What differs between a definition and its origin; none when only its place in the file does.
pub(super) fn changed_symbol(
    works: &[Work],
    number: usize,
    now: &Definition,
    origin: Origin,
    lines: Option<&Lines>,
) -> Option<What> {
    let after = works[number].new.as_ref()?;
    let before = works[origin.old.pair as usize].old.as_ref()?;
    let was = before.source.facts.definitions.get(origin.old.definition as usize)?;
    let body_changed = was.hash != now.hash;
    let is_moved = before.path != after.path;
    let is_renamed = was.name != now.name
        || was.qualified_name != now.qualified_name
        // A package clause: of a file that moved, its place says the rest.
        || (!is_moved && before.module != after.module);
    let is_modified = body_changed
        || was.kind != now.kind
        // What is searched of a definition depends on it.
        || owner_kind(&before.source.facts, was) != owner_kind(&after.source.facts, now)
        || was.doc != now.doc
        || was.signature != now.signature
        || was.attributes != now.attributes
        || was.visibility != now.visibility;
    let kind = match () {
        () if is_renamed => SymbolChangeKind::Renamed,
        () if is_moved => SymbolChangeKind::Moved,
        () if is_modified => SymbolChangeKind::Modified,
        () => return None,
    };
    let changed = match lines {
        _ if !body_changed => (0, 0),
        Some(lines) if origin.old.pair as usize == number => {
            lines.changed_between((was.start_line, was.end_line), (now.start_line, now.end_line))
        }
        _ => {
            let (was, now) = (before.source.span(was), after.source.span(now));
            Lines::new(was, now).changed()
        }
    };
    Some(What { kind, body_changed, lines: changed })
}

fn owner_kind(facts: &FileFacts, definition: &Definition) -> Option<NodeKind> {
    facts.definitions.get(definition.parent? as usize).map(|owner| owner.kind)
}

/// What happened to the file's own node.
pub(super) fn own_change(
    work: &Work,
    nodes: &[Reference],
    changed_lines: (u32, u32),
) -> SymbolChange {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let path = work.path();
    let old = work.old.as_ref();
    let kind = match (old, &work.new) {
        (None, _) => SymbolChangeKind::Created,
        (Some(_), None) => SymbolChangeKind::Deleted,
        (Some(old), Some(_)) if old.path == path => SymbolChangeKind::Modified,
        (Some(old), Some(_)) if base(&old.path) != base(path) => SymbolChangeKind::Renamed,
        (Some(_), Some(_)) => SymbolChangeKind::Moved,
    };
    let body_changed = match (old, &work.new) {
        (Some(old), Some(new)) => old.file.content.blob != new.key.0,
        _ => false,
    };
    let node = nodes.first().copied().or(old.map(|old| old.file.nodes[0])).unwrap_or_default();
    SymbolChange {
        node,
        kind,
        body_changed,
        similarity: (old.is_some() && work.new.is_some()).then_some(work.similarity),
        ordinal: None,
        symbol: None,
        name: base(path),
        qualified_name: path.to_owned(),
        lines: work.new.as_ref().map_or(0, |after| after.source.lines),
        changed_lines,
        search_text: None,
    }
}

/// Adds what is gone of a file.
pub(super) fn gone(
    works: &[Work],
    number: usize,
    lineage: &Lineage<'_>,
    symbols: &mut Vec<SymbolChange>,
) {
    let Some(before) = &works[number].old else { return };
    for (definition, was) in before.source.facts.definitions.iter().enumerate() {
        let place = Place { pair: number as u32, definition: definition as u32 };
        if lineage.is_used(place) {
            continue;
        }
        symbols.push(SymbolChange {
            node: before.file.nodes[definition + 1],
            kind: SymbolChangeKind::Deleted,
            body_changed: false,
            similarity: None,
            ordinal: None,
            symbol: Some(was.kind),
            name: was.name.clone(),
            qualified_name: qualified(before.file.content.language, &before.module, was),
            lines: 0,
            changed_lines: (0, span_lines(was)),
            search_text: None,
        });
    }
}
