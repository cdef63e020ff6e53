//! Adding entries: checked and hashed without a lock, written, then made searchable.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use onyx_protocol::index::{Entry, EntryValue, HeapTid, Lsn};
use onyx_protocol::{ErrorKind, WireError};
use sha2::{Digest, Sha256};

use super::backlog::Backlog;
use super::distance::Vector;
use super::generation::{Generation, Life, Writer, invalid};
use super::graph::{Graph, PointId};
use super::points::Embedding;
use super::shared::Shared;
use crate::store::keys::clip_text;
use crate::store::{ItemContent, ModelKey, NewItems, TextHash, keys, lock, write};

/// A content ready to be added.
struct Prepared<'a> {
    tid: HeapTid,
    content: TextHash,
    item: ItemContent,
    vector: Option<Vector>,
    text: &'a str,
}

impl Generation {
    /// Adds entries.
    pub fn insert(
        &self,
        shared: &Shared,
        stamp: Lsn,
        durable: bool,
        entries: &[Entry],
    ) -> Result<(), WireError> {
        let prepared =
            entries.iter().map(|entry| self.prepare(entry)).collect::<Result<Vec<_>, _>>()?;
        self.check_writable()?;
        let cached = self.cached(shared, &prepared)?;
        let mut writer = lock(&self.writer);
        self.begin_write(shared, &mut writer)?;
        let (graph, points, building) = match self.model {
            None => {
                self.write_items(shared, &mut writer, stamp, &prepared, Vec::new())?;
                self.add(&mut writer, prepared, |p| p.vector.clone().map(Embedding::Known))
            }
            Some(model) => {
                let mut waiting = shared.queue.hold();
                let known = self.embeddings(shared, model, &prepared, cached)?;
                let mut pending: HashMap<TextHash, &str> = HashMap::new();
                for p in &prepared {
                    if matches!(known[&p.content], Embedding::Waiting)
                        && !waiting.contains(model, &p.content)
                    {
                        pending.insert(p.content, p.text);
                    }
                }
                let texts = pending.iter().map(|(hash, text)| (model, *hash, *text)).collect();
                self.write_items(shared, &mut writer, stamp, &prepared, texts)?;
                for (hash, text) in pending {
                    waiting.add(model, hash, text.len());
                }
                let added = self.add(&mut writer, prepared, |p| known.get(&p.content).cloned());
                drop(waiting);
                shared.queue.wake();
                added
            }
        };
        let highest = writer.highest;
        drop(writer);
        if building {
            Backlog::run(&self.backlog, graph, points)?;
        } else if let Err(error) = graph.insert(&points) {
            self.set_life(Life::Stale(error.message.clone()));
            return Err(error);
        }
        if durable {
            shared.store.sync()?;
            self.made_durable(highest);
        }
        Ok(())
    }

    /// Checks an entry and computes what needs no lock.
    fn prepare<'a>(&self, entry: &'a Entry) -> Result<Prepared<'a>, WireError> {
        let tid = entry.tid;
        match (&entry.value, self.model) {
            (EntryValue::Vector(values), None) => {
                self.check_vector(values)?;
                let bytes = keys::encode_vector(values);
                let content = TextHash(Sha256::digest(&bytes).into());
                let vector = Some(Vector::new(values));
                let item = ItemContent::Vector(values.clone());
                Ok(Prepared { tid, content, item, vector, text: "" })
            }
            (EntryValue::Text(text), Some(_)) => {
                let text = clip_text(text);
                let content = TextHash::of(text);
                Ok(Prepared { tid, content, item: ItemContent::Text(content), vector: None, text })
            }
            (EntryValue::Vector(_), Some(_)) => Err(invalid("expected a text, not a vector")),
            (EntryValue::Text(_), None) => Err(invalid("expected a vector, not a text")),
        }
    }

    fn write_items(
        &self,
        shared: &Shared,
        writer: &mut Writer,
        stamp: Lsn,
        prepared: &[Prepared<'_>],
        pending: Vec<(ModelKey, TextHash, &str)>,
    ) -> Result<(), WireError> {
        let items = prepared.iter().map(|p| (p.tid, &p.item)).collect();
        let generation = self.id();
        let highest = stamp > writer.highest;
        shared.store.insert_items(&NewItems { generation, stamp, highest, items, pending })?;
        writer.highest = writer.highest.max(stamp);
        Ok(())
    }

    /// Adds written entries to memory. Returns the points that must enter the graph, that graph, and
    /// whether the generation is being built.
    fn add(
        &self,
        writer: &mut Writer,
        prepared: Vec<Prepared<'_>>,
        embedding: impl Fn(&Prepared<'_>) -> Option<Embedding>,
    ) -> (Arc<Graph>, Vec<(PointId, Vector)>, bool) {
        if let Some(touched) = &mut writer.touched {
            touched.extend(prepared.iter().map(|p| p.tid));
        }
        let mut table = write(&self.table);
        let mut new = Vec::new();
        for p in prepared {
            let embedding = embedding(&p).unwrap_or(Embedding::Waiting);
            new.extend(table.points.add(p.tid, p.content, embedding));
        }
        (Arc::clone(&table.graph), new, self.life() == Life::Building)
    }

    /// Embeddings that need no model run, looked up before any lock is taken.
    fn cached(
        &self,
        shared: &Shared,
        prepared: &[Prepared<'_>],
    ) -> Result<HashMap<TextHash, Embedding>, WireError> {
        let Some(model) = self.model else { return Ok(HashMap::new()) };
        let hashes: HashSet<TextHash> = prepared.iter().map(|p| p.content).collect();
        let hashes: Vec<TextHash> = hashes.into_iter().collect();
        self.look_up(shared, model, &hashes)
    }

    /// Completes `cached` while the queue is held: what is missing now is waiting or failed.
    fn embeddings(
        &self,
        shared: &Shared,
        model: ModelKey,
        prepared: &[Prepared<'_>],
        mut cached: HashMap<TextHash, Embedding>,
    ) -> Result<HashMap<TextHash, Embedding>, WireError> {
        let missing: HashSet<TextHash> = prepared.iter().map(|p| p.content).collect();
        let missing: Vec<TextHash> =
            missing.into_iter().filter(|hash| !cached.contains_key(hash)).collect();
        cached.extend(self.look_up(shared, model, &missing)?);
        for hash in missing {
            cached.entry(hash).or_insert(Embedding::Waiting);
        }
        Ok(cached)
    }

    /// Embeddings and failures the store has for these texts.
    pub(super) fn look_up(
        &self,
        shared: &Shared,
        model: ModelKey,
        hashes: &[TextHash],
    ) -> Result<HashMap<TextHash, Embedding>, WireError> {
        let mut found = HashMap::with_capacity(hashes.len());
        if hashes.is_empty() {
            return Ok(found);
        }
        let vectors = shared.store.get_many(model, hashes)?;
        let mut missing = Vec::new();
        for (hash, vector) in hashes.iter().zip(vectors) {
            match vector {
                Some(values) if values.len() == self.header.dimensions as usize => {
                    found.insert(*hash, Embedding::Known(Vector::new(&values)));
                }
                Some(values) => {
                    let expected = self.header.dimensions;
                    let detail = format!("Expected {expected} dimensions, not {}.", values.len());
                    let message = "a cached embedding does not fit the index";
                    return Err(WireError::new(ErrorKind::StoreCorrupt, message).detail(detail));
                }
                None => missing.push(*hash),
            }
        }
        let failed = shared.store.failures(model, &missing)?;
        for (hash, failed) in missing.into_iter().zip(failed) {
            if failed {
                found.insert(hash, Embedding::Failed);
            }
        }
        Ok(found)
    }
}
