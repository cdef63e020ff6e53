//! Generations' records and entries.

use onyx_protocol::index::{GenerationId, HeapTid, Lsn};
use onyx_protocol::startup::RecoveryEnd;

use super::keys::{
    Family, GenerationRecord, Item, ItemContent, Marks, ModelKey, RECOVERIES_KEY, TextHash, decode,
    decode_item, encode, encode_item, graph_header_key, graph_part_key, item_key, marks_key,
    prefix_end, record_key, text_key,
};
use super::rocks::{Batch, Scan};
use super::{Store, StoreError};

/// Entries to write together.
pub struct NewItems<'a> {
    /// Into this generation.
    pub generation: GenerationId,
    /// WAL insert position of all of them.
    pub stamp: Lsn,
    /// The generation's marks with these.
    pub marks: Marks,
    /// The entries.
    pub items: Vec<(HeapTid, &'a ItemContent)>,
    /// Texts to queue with them.
    pub pending: Vec<(ModelKey, TextHash, &'a str)>,
    /// Whether they must survive the end of this process before [`Store::flush_items`].
    pub logged: bool,
}

impl Store {
    /// All generations with their marks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn generations(&self) -> Result<Vec<(GenerationRecord, Marks)>, StoreError> {
        let mut all: Vec<(GenerationRecord, Marks)> = Vec::new();
        for pair in self.db.scan(Family::Generations, &[], None)? {
            let (key, value) = pair?;
            match key.get(16) {
                Some(0) => all.push((decode(&value)?, Marks::default())),
                // Keys sort, so its record came just before.
                Some(1) => match all.last_mut() {
                    Some((record, marks)) if record.header.id.0[..] == key[..16] => {
                        *marks = Marks::decode(&value)?;
                    }
                    _ => return Err(StoreError::corrupt("a generation without a record")),
                },
                _ => return Err(StoreError::corrupt("a generation key of unexpected form")),
            }
        }
        Ok(all)
    }

    /// Ends of recoveries that were noted, in their order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn recoveries(&self) -> Result<Vec<RecoveryEnd>, StoreError> {
        let noted = self.db.get(Family::Meta, RECOVERIES_KEY)?;
        noted.map_or(Ok(Vec::new()), |bytes| decode(&bytes))
    }

    /// Notes ends of recoveries, on disk when this returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_recoveries(&self, ends: &[RecoveryEnd]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Family::Meta, RECOVERIES_KEY, encode(&ends.to_vec())?);
        self.write(batch)?;
        self.sync()
    }

    /// Writes a generation's record.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_generation(&self, record: &GenerationRecord) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Family::Generations, record_key(record.header.id), encode(record)?);
        self.write(batch)
    }

    /// Writes entries and queues their texts.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn insert_items(&self, new: &NewItems<'_>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (tid, content) in &new.items {
            let value = encode_item(new.stamp, content);
            batch.put(Family::Items, item_key(new.generation, *tid), value);
        }
        for (model, hash, text) in &new.pending {
            batch.put(Family::Pending, text_key(*model, hash), *text);
        }
        batch.put(Family::Generations, marks_key(new.generation), new.marks.encode());
        if new.logged { self.write(batch) } else { self.write_unlogged(batch) }
    }

    /// Entries written without a log are safe when this returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn flush_items(&self) -> Result<(), StoreError> {
        self.db.flush(Family::Items)?;
        self.db.flush(Family::Generations)
    }

    /// Vectors of entries of a `Vectors` generation, `None` where there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn item_vectors(
        &self,
        id: GenerationId,
        tids: &[HeapTid],
    ) -> Result<Vec<Option<Vec<f32>>>, StoreError> {
        let keys: Vec<Vec<u8>> = tids.iter().map(|tid| item_key(id, *tid)).collect();
        let mut vectors = vec![None; tids.len()];
        self.db.get_many(Family::Items, &keys, |at, value| {
            if let ItemContent::Vector(values) = decode_item(&keys[at], value, false)?.content {
                vectors[at] = Some(values);
            }
            Ok(())
        })?;
        Ok(vectors)
    }

    /// Removes entries and writes the record with them, and the marks when given.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn delete_items(
        &self,
        record: &GenerationRecord,
        tids: &[HeapTid],
        marks: Option<Marks>,
    ) -> Result<(), StoreError> {
        let id = record.header.id;
        let mut batch = Batch::default();
        for tid in tids {
            batch.delete(Family::Items, item_key(id, *tid));
        }
        batch.put(Family::Generations, record_key(id), encode(record)?);
        if let Some(marks) = marks {
            batch.put(Family::Generations, marks_key(id), marks.encode());
        }
        self.write(batch)
    }

    /// Entries of a generation in the order of their heap TIDs, as they are now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn items(&self, record: &GenerationRecord) -> Result<Items<'_>, StoreError> {
        let id = record.header.id;
        let scan = self.db.scan(Family::Items, &id.0, prefix_end(&id.0))?;
        Ok(Items { scan, texts: record.model.is_some() })
    }

    /// Removes a generation altogether, in time that does not depend on its size.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn drop_generation(&self, id: GenerationId) -> Result<(), StoreError> {
        let (from, to) = item_range(id);
        let mut batch = Batch::default();
        batch.delete(Family::Generations, record_key(id));
        batch.delete(Family::Generations, marks_key(id));
        batch.delete_range(Family::Items, from, to);
        batch.delete(Family::Graphs, graph_header_key(id));
        let (from, to) = graph_range(id);
        batch.delete_range(Family::Graphs, from, to);
        self.write(batch)
    }

    /// Gives the space of a dropped generation back. Takes time.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn reclaim_generation(&self, id: GenerationId) -> Result<(), StoreError> {
        let (from, to) = item_range(id);
        self.db.reclaim(Family::Items, &from, &to)?;
        let (from, to) = graph_range(id);
        self.db.reclaim(Family::Graphs, &from, &to)
    }

    /// Gives the space of removed entries back. Takes time.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn reclaim_items(&self, id: GenerationId) -> Result<(), StoreError> {
        let (from, to) = item_range(id);
        self.db.compact(Family::Items, &from, &to)
    }
}

fn item_range(id: GenerationId) -> (Vec<u8>, Vec<u8>) {
    // Past the key of the highest heap TID, which itself cannot occur.
    (id.0.to_vec(), item_key(id, HeapTid::MAX))
}

fn graph_range(id: GenerationId) -> (Vec<u8>, Vec<u8>) {
    (graph_part_key(id, 0, 0), graph_part_key(id, u64::MAX, u32::MAX))
}

/// Entries in the order of their heap TIDs.
pub struct Items<'a> {
    scan: Scan<'a>,
    texts: bool,
}

impl Iterator for Items<'_> {
    type Item = Result<Item, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.scan.next()?;
        Some(pair.and_then(|(key, value)| decode_item(&key, &value, self.texts)))
    }
}
