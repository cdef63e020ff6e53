//! Nodes that a merge takes over from its other parents: what was made there keeps its node.

use std::collections::{HashMap, HashSet};

use onyx_protocol::WireError;
use onyx_protocol::facts::{Definition, NodeKind};
use onyx_protocol::history::Reference;

use super::changes::Changer;
use super::lineage::{Lineage, Place};
use super::snapshot::{File, Snapshot};
use super::source::Held;
use super::work::{After, Work};

/// Nodes of other parents.
#[derive(Default)]
pub(super) struct Adopted {
    pub(super) of: HashMap<Place, Reference>,
    /// Files' own, by the number of the file.
    pub(super) files: HashMap<usize, Reference>,
    /// All of them, files' own too.
    pub(super) nodes: HashSet<Reference>,
}

impl Adopted {
    pub(super) fn get(&self, place: Place) -> Option<Reference> {
        self.of.get(&place).copied()
    }
}

impl Changer<'_> {
    /// Finds what is new to the first parent and is in another one, where it has a node.
    pub(super) fn adopt(
        &self,
        works: &[Work],
        state: &Snapshot,
        others: &[Snapshot],
        lineage: &mut Lineage<'_>,
        adopted: &mut Adopted,
    ) -> Result<(), WireError> {
        // Nodes that the first parent has in files that changed, and where.
        let mut of_first = HashMap::new();
        let mut files_of_first = HashSet::new();
        for (number, work) in works.iter().enumerate() {
            let Some(before) = &work.old else { continue };
            files_of_first.insert(before.file.nodes[0]);
            for (definition, node) in before.file.nodes[1..].iter().enumerate() {
                let place = Place { pair: number as u32, definition: definition as u32 };
                of_first.insert(*node, place);
            }
        }
        for other in others {
            let mut wanted: Vec<(Option<Place>, usize, Reference)> = Vec::new();
            for (number, work) in works.iter().enumerate() {
                let Some(after) = &work.new else { continue };
                let Some(file) = other.get(&after.path) else { continue };
                let has_file_node = work.old.is_some()
                    || adopted.files.contains_key(&number)
                    || files_of_first.contains(&file.nodes[0]);
                if !has_file_node {
                    wanted.push((None, number, file.nodes[0]));
                }
                let is_new = |definition: usize| {
                    let place = Place { pair: number as u32, definition: definition as u32 };
                    (lineage.is_open(place) && adopted.get(place).is_none()).then_some(place)
                };
                let open: Vec<Place> =
                    (0..after.source.facts.definitions.len()).filter_map(is_new).collect();
                if open.is_empty() {
                    continue;
                }
                for (place, node) in self.nodes_in(file, after, &open)? {
                    match of_first.get(&node) {
                        Some(old) if !lineage.is_used(*old) => lineage.set(place, *old, 1.0),
                        Some(_) => {}
                        None => wanted.push((Some(place), number, node)),
                    }
                }
            }
            if wanted.is_empty() {
                continue;
            }
            // One that the first parent has elsewhere, in a file that did not change, is there already.
            let mut free: HashSet<Reference> = wanted.iter().map(|(_, _, node)| *node).collect();
            free.retain(|node| !adopted.nodes.contains(node) && !self.elsewhere.contains(node));
            state.differing(other, &mut |file| {
                if !free.is_empty() {
                    file.nodes.iter().for_each(|node| _ = free.remove(node));
                }
            });
            for (place, number, node) in wanted {
                if !free.remove(&node) {
                    continue;
                }
                adopted.nodes.insert(node);
                match place {
                    None => _ = adopted.files.insert(number, node),
                    Some(place) => {
                        lineage.close(place);
                        adopted.of.insert(place, node);
                    }
                }
            }
        }
        Ok(())
    }

    /// Nodes of another parent's file for definitions of the same kind, name and place among equals.
    fn nodes_in(
        &self,
        file: &File,
        after: &After,
        open: &[Place],
    ) -> Result<Vec<(Place, Reference)>, WireError> {
        let is_it = (file.content.blob, file.content.language) == after.key;
        if is_it && file.content.facts.is_none() {
            let node = |place: &Place| (*place, file.nodes[place.definition as usize + 1]);
            return Ok(open.iter().map(node).collect());
        }
        let source = self.source_of(file, &after.path, &Held::new())?;
        type Equals<'a> = HashMap<(NodeKind, &'a str), Vec<u32>>;
        fn equals(definitions: &[Definition]) -> Equals<'_> {
            let mut equals = Equals::new();
            for (number, definition) in definitions.iter().enumerate() {
                let key = (definition.kind, definition.qualified_name.as_str());
                equals.entry(key).or_default().push(number as u32);
            }
            equals
        }
        let (there, here) =
            (equals(&source.facts.definitions), equals(&after.source.facts.definitions));
        let node = |place: &Place| {
            let definition = &after.source.facts.definitions[place.definition as usize];
            let key = (definition.kind, definition.qualified_name.as_str());
            let among = here[&key].iter().position(|number| *number == place.definition)?;
            let number = *there.get(&key)?.get(among)?;
            Some((*place, file.nodes[number as usize + 1]))
        };
        Ok(open.iter().filter_map(node).collect())
    }
}
