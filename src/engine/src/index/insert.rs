//! Adding entries: checked and hashed without a lock, written, then made searchable.

use std::collections::{HashMap, HashSet};

use onyx_protocol::index::{Entry, EntryValue, HeapTid, Lsn};
use onyx_protocol::{ErrorKind, WireError};
use sha2::{Digest, Sha256};

use super::generation::{Arrival, Generation, Life, Writer, invalid};
use super::points::State;
use super::shared::Shared;
use crate::steps;
use crate::store::keys::clip_text;
use crate::store::{ItemContent, Marks, ModelKey, NewItems, TextHash, keys, lock, write};

/// What is known of a text's vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Embedding {
    /// The vector.
    Known(Vec<f32>),
    /// It waits to be embedded.
    Waiting,
    /// It cannot be embedded.
    Failed,
}

impl Embedding {
    /// What a point of it is.
    pub fn state(&self) -> State {
        match self {
            Self::Known(_) => State::Known,
            Self::Waiting => State::Waiting,
            Self::Failed => State::Failed,
        }
    }

    /// The vector, if there is one.
    pub fn values(&self) -> Option<&[f32]> {
        match self {
            Self::Known(values) => Some(values),
            Self::Waiting | Self::Failed => None,
        }
    }
}

/// An entry to be kept in memory.
pub struct Incoming<'a> {
    /// The heap tuple.
    pub tid: HeapTid,
    /// Its content's hash.
    pub content: TextHash,
    /// What is known of it.
    pub state: State,
    /// Its vector, if that is known.
    pub values: Option<&'a [f32]>,
}

/// A content ready to be added.
struct Prepared<'a> {
    tid: HeapTid,
    content: TextHash,
    item: ItemContent,
    text: &'a str,
}

impl Prepared<'_> {
    fn values(&self) -> Option<&[f32]> {
        match &self.item {
            ItemContent::Vector(values) => Some(values),
            ItemContent::Text(_) => None,
        }
    }
}

impl Generation {
    /// Adds entries; returns the number of this write.
    pub fn insert(
        &self,
        shared: &Shared,
        stamp: Lsn,
        durable: bool,
        entries: &[Entry],
    ) -> Result<u64, WireError> {
        let prepared =
            entries.iter().map(|entry| self.prepare(entry)).collect::<Result<Vec<_>, _>>()?;
        self.check_writable()?;
        let cached = self.cached(shared, &prepared)?;
        let mut writer = lock(&self.writer);
        self.begin_write(shared, &mut writer)?;
        match self.model {
            None => {
                self.write_items(shared, &mut writer, stamp, &prepared, Vec::new())?;
                let incoming = prepared.iter().map(|p| Incoming {
                    tid: p.tid,
                    content: p.content,
                    state: State::Known,
                    values: p.values(),
                });
                self.keep(shared, &mut writer, &incoming.collect::<Vec<_>>())?;
            }
            Some(model) => {
                let mut waiting = shared.queue.hold();
                let known = self.embeddings(shared, model, &prepared, cached)?;
                let mut pending: HashMap<TextHash, &str> = HashMap::new();
                let mut queued = Vec::new();
                for p in &prepared {
                    if matches!(known[&p.content], Embedding::Waiting) {
                        if waiting.contains(model, &p.content) {
                            queued.push(p.content);
                        } else {
                            pending.insert(p.content, p.text);
                        }
                    }
                }
                let texts = pending.iter().map(|(hash, text)| (model, *hash, *text)).collect();
                self.write_items(shared, &mut writer, stamp, &prepared, texts)?;
                for (hash, text) in pending {
                    waiting.add(model, hash, text.len(), Some(self.id()));
                }
                for hash in queued {
                    waiting.want(model, hash, self.id());
                }
                let incoming = prepared.iter().map(|p| {
                    let embedding = &known[&p.content];
                    let (state, values) = (embedding.state(), embedding.values());
                    Incoming { tid: p.tid, content: p.content, state, values }
                });
                self.keep(shared, &mut writer, &incoming.collect::<Vec<_>>())?;
                drop(waiting);
                shared.queue.wake();
            }
        }
        let marks = writer.marks;
        drop(writer);
        let (_, linker) = self.graph();
        linker.keep_pace(self.life() == Life::Building);
        if let Some(error) = linker.error() {
            self.set_life(Life::Stale(error.message.clone()));
            return Err(error);
        }
        steps::at("insert.kept");
        if durable {
            shared.store.sync()?;
            self.made_durable(marks);
            steps::at("insert.synced");
        }
        self.save_soon(shared);
        Ok(marks.writes)
    }

    /// Checks an entry and computes what needs no lock.
    fn prepare<'a>(&self, entry: &'a Entry) -> Result<Prepared<'a>, WireError> {
        let tid = entry.tid;
        match (&entry.value, self.model) {
            (EntryValue::Vector(values), None) => {
                self.check_vector(values)?;
                let bytes = keys::encode_vector(values);
                let content = TextHash(Sha256::digest(&bytes).into());
                let item = ItemContent::Vector(values.clone());
                Ok(Prepared { tid, content, item, text: "" })
            }
            (EntryValue::Text(text), Some(_)) => {
                let text = clip_text(text);
                let content = TextHash::of(text);
                Ok(Prepared { tid, content, item: ItemContent::Text(content), text })
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
        let Marks { highest, writes } = writer.marks;
        let marks = Marks { highest: highest.max(stamp), writes: writes + 1 };
        // A build that is interrupted is begun anew: what it writes need not be safe before its end.
        let logged = self.model.is_some() || self.life() != Life::Building;
        let new = NewItems { generation, stamp, marks, items, pending, logged };
        steps::at("insert.write");
        shared.store.insert_items(&new)?;
        steps::at("insert.written");
        writer.marks = marks;
        Ok(())
    }

    /// Adds written entries to memory.
    pub(super) fn keep(
        &self,
        shared: &Shared,
        writer: &mut Writer,
        incoming: &[Incoming<'_>],
    ) -> Result<(), WireError> {
        if let Some(touched) = &mut writer.touched {
            touched.extend(incoming.iter().map(|i| i.tid));
        }
        let sample: Vec<&[f32]> = incoming.iter().filter_map(|i| i.values).collect();
        let mut table = write(&self.table);
        self.choose_layout(&mut table, &sample, shared);
        let mut arrivals: Vec<Arrival<'_>> = Vec::with_capacity(incoming.len());
        for one in incoming {
            let id = table.points.add(one.tid, &one.content, one.state);
            arrivals.extend(id.zip(one.values));
        }
        drop(table);
        // Equal contents are one point.
        arrivals.sort_by_key(|(id, _)| *id);
        arrivals.dedup_by_key(|(id, _)| *id);
        self.arrive(shared, &arrivals)
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
                    found.insert(*hash, Embedding::Known(values));
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
