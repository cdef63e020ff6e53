//! The default branch's head, made what `onyx.nodes`, `onyx.files` and `onyx.edges` show.

use std::collections::HashMap;

use onyx_protocol::facts::{Definition, FileFacts, Language};
use onyx_protocol::ingest::{ParsedFile, SourceFile, WalkItem};
use onyx_protocol::message::{Item, RequestBody};

use super::contents;
use super::intern::next_ids;
use super::snapshot::{FileAt, Snapshot};
use crate::client;
use crate::error::Error;
use crate::ingest::{self, Summary, Writer};
use crate::progress::Progress;

/// Bytes of source parsed at once.
const BATCH_BYTES: usize = 4 << 20;

/// Makes the tables show a commit: only what differs is parsed and written. Returns what was done.
pub fn show(repo: i64, name: &str, commit: i32, progress: &mut Progress) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let files = Snapshot::at(repo, commit)?.all()?;
    let known = ingest::rows::known(repo, None)?;
    let hashes = contents::hashes(&files.iter().map(|file| file.content).collect::<Vec<_>>())?;
    let nodes = ingest::links::nodes_of_repository(repo)?;
    let mut gone = known.clone();
    let mut changed = Vec::new();
    for file in files {
        gone.remove(&file.path);
        let same = known.get(&file.path).is_some_and(|known| {
            hashes.get(&file.content).is_some_and(|hash| hash[..] == known.hash[..])
                && nodes.get(&known.id) == Some(&file.nodes)
        });
        if !same {
            changed.push(file);
        }
    }
    let gone: Vec<String> = gone.into_keys().collect();
    let mut writer = Writer::new(repo, name, known)?;
    writer.expect(changed.iter().flat_map(|file| file.nodes.iter().copied()));
    summary.files_changed = changed.len() as u64;
    for batch in ingest::cut(changed, |file| file.size.max(0) as usize, BATCH_BYTES) {
        ingest::with_own_memory(|| write(&mut writer, &batch, &mut summary))?;
        progress.update(|slot| slot.nodes = writer.nodes());
    }
    // Before files they came from are removed: what moved keeps its row.
    writer.flush()?;
    summary.files_removed = writer.remove(&gone)?;
    let edges = writer.finish(false, &mut summary)?;
    ingest::write_edges(edges, &mut summary)?;
    Ok(summary)
}

/// The nodes of definitions that were found otherwise before: of the same kind and qualified name, and the
/// same place among those that share them. 0 where there is none.
fn fit(nodes: &[i64], before: &FileFacts, now: &FileFacts) -> Vec<i64> {
    let key = |definition: &Definition| (definition.kind, definition.qualified_name.clone());
    let mut known: HashMap<_, Vec<i64>> = HashMap::new();
    for (definition, node) in before.definitions.iter().zip(nodes.iter().skip(1)).rev() {
        known.entry(key(definition)).or_default().push(*node);
    }
    let own = nodes.first().copied().unwrap_or_default();
    let mut fitted = vec![own];
    fitted.extend(
        now.definitions.iter().map(|definition| {
            known.get_mut(&key(definition)).and_then(Vec::pop).unwrap_or_default()
        }),
    );
    fitted
}

/// The source of files, with what parsing makes of it and their hashes as git has them. Where another version
/// of the parser found the definitions of a file, their nodes as they fit what this one finds, 0 where none
/// does, go with it.
pub fn parse(
    files: &[FileAt],
    mut take: impl FnMut(usize, ParsedFile, Option<Vec<i64>>) -> Result<(), Error>,
) -> Result<(), Error> {
    let ids: Vec<i32> = files.iter().map(|file| file.content).collect();
    let chains = contents::chains(&ids)?;
    let foreign: Vec<i32> = ids.iter().copied().filter(|id| !chains.contains_key(id)).collect();
    let foreign = if foreign.is_empty() { HashMap::new() } else { contents::facts(&foreign)? };
    let texts = contents::texts(&ids)?;
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        let (Some(text), Some(language)) =
            (texts.get(&file.content), Language::from_name(&file.language))
        else {
            return Err(Error::Protocol { detail: format!("\"{}\" has no text.", file.path) });
        };
        sources.push(SourceFile { path: file.path.clone(), language, content: text.text.to_vec() });
    }
    parse_sources(sources, |place, item| {
        let file = &files[place];
        let WalkItem::Parsed(mut parsed) = item else { return Ok(()) };
        // Of a file that had to be decoded, the text's are others.
        parsed.size = file.size.max(0) as u64;
        if let Some(text) = texts.get(&file.content)
            && let Ok(hash) = text.hash.clone().try_into()
        {
            parsed.hash = hash;
        }
        let before = foreign.get(&file.content);
        let nodes = before.map(|before| fit(&file.nodes, before, &parsed.facts));
        take(place, *parsed, nodes)
    })
}

/// What parsing makes of sources, in their order.
pub fn parse_sources(
    sources: Vec<SourceFile>,
    mut take: impl FnMut(usize, WalkItem) -> Result<(), Error>,
) -> Result<(), Error> {
    let count = sources.len();
    let mut place = 0;
    client::stream(RequestBody::ParseFiles { files: sources }, |item| {
        let Item::Walk(items) = item else {
            return Err(Error::Protocol { detail: "Files were expected.".into() });
        };
        for item in items {
            if place >= count {
                return Err(Error::Protocol {
                    detail: "More files came back than were sent.".into(),
                });
            }
            take(place, item)?;
            place += 1;
        }
        Ok(())
    })?;
    Ok(())
}

fn write(writer: &mut Writer, files: &[FileAt], summary: &mut Summary) -> Result<(), Error> {
    parse(files, |place, parsed, fitted| {
        summary.bytes += parsed.size;
        let mut nodes = fitted.unwrap_or_else(|| files[place].nodes.clone());
        // What the other version of the parser did not see.
        let missing = nodes.iter_mut().filter(|node| **node == 0);
        let missing: Vec<&mut i64> = missing.collect();
        if !missing.is_empty() {
            let ids = next_ids("onyx.nodes_id_seq", missing.len())?;
            missing.into_iter().zip(ids).for_each(|(node, id)| *node = id);
        }
        writer.place(parsed, nodes)
    })
}
