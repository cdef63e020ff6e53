//! Nodes that a merge brings from its other parents.

use std::collections::{HashMap, HashSet};

use onyx_protocol::history::HistoryCommit;

use super::contents;
use super::snapshot::FileAt;
use crate::error::Error;

/// Gives definitions that are new in a comparison the nodes they have in another commit's files, where
/// path, kind and qualified name are the same. `taken` are nodes that no other definition may get; those
/// given join them.
pub fn adopt(
    compared: &mut HistoryCommit,
    theirs: &[FileAt],
    taken: &mut HashSet<i64>,
) -> Result<(), Error> {
    let ids: Vec<i32> = theirs.iter().map(|file| file.content).collect();
    let facts = contents::facts(&ids)?;
    let mut nodes: HashMap<(&str, &str, String), Vec<i64>> = HashMap::new();
    for file in theirs.iter().rev() {
        let Some(facts) = facts.get(&file.content) else { continue };
        let Some((own, rest)) = file.nodes.split_first() else { continue };
        nodes.entry((&file.path, "file", file.path.clone())).or_default().push(*own);
        for (definition, id) in facts.definitions.iter().zip(rest).rev() {
            let name = super::state::qualified(
                &file.module,
                onyx_protocol::facts::Language::from_name(&file.language),
                &definition.qualified_name,
            );
            nodes.entry((&file.path, definition.kind.as_str(), name)).or_default().push(*id);
        }
    }
    for file in &mut compared.files {
        let mut adopted: HashMap<i64, i64> = HashMap::new();
        for symbol in file.symbols.iter_mut().filter(|symbol| symbol.node < 0) {
            let kind = symbol.symbol.map_or("file", |kind| kind.as_str());
            let key = (file.path.as_str(), kind, symbol.qualified_name.clone());
            if let Some(id) = nodes.get_mut(&key).and_then(Vec::pop)
                && taken.insert(id)
            {
                adopted.insert(symbol.node, id);
                symbol.node = id;
            }
        }
        for node in &mut file.nodes {
            if let Some(id) = adopted.get(node) {
                *node = *id;
            }
        }
    }
    Ok(())
}
