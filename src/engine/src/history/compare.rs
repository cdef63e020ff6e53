//! Changes that git knows nothing of: files as they were and as they are, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gix_hash::ObjectId;
use onyx_protocol::facts::Language;
use onyx_protocol::history::{Comparison, HistoryCommit, Signature, StateFile};
use onyx_protocol::ingest::SourceFile;
use onyx_protocol::{ErrorKind, WireError};
use sha2::{Digest, Sha256};

use super::Canceller;
use super::changes::{Changer, Numbering};
use super::diff::Change;
use super::snapshot::{Content, File, Snapshot, stored_facts};
use super::source::{Blobs, Sources, Take};
use super::walk::{new_pool, store_bodies};
use crate::parse::Limits;

/// Texts by the beginning of their SHA-256.
struct Texts(HashMap<ObjectId, Vec<u8>>);

impl Texts {
    fn add(&mut self, text: Vec<u8>) -> Result<ObjectId, WireError> {
        let id = ObjectId::try_from(&Sha256::digest(&text)[..20])
            .map_err(|e| WireError::new(ErrorKind::Internal, e.to_string()))?;
        self.0.entry(id).or_insert(text);
        Ok(id)
    }
}

impl Blobs for Texts {
    fn read(&self, id: &ObjectId, max_bytes: usize, take: Take<'_>) -> Result<(), WireError> {
        match self.0.get(id) {
            Some(text) if text.len() > max_bytes => take(Err(text.len() as u64)),
            Some(text) => take(Ok(text)),
            None => return Err(WireError::new(ErrorKind::Internal, "a text is missing")),
        }
        Ok(())
    }
}

impl Texts {
    /// A file as a client has it.
    fn file(&mut self, file: StateFile) -> Result<(String, Arc<File>), WireError> {
        let StateFile { file, language, text } = file;
        if file.nodes.is_empty() {
            return Err(WireError::new(
                ErrorKind::InvalidRequest,
                format!("file \"{}\" came without its nodes", file.path),
            ));
        }
        let (blob, reference, number) = (self.add(text)?, file.content, file.chain);
        let facts = stored_facts(&file.path, file.facts.as_deref())?;
        let content = Arc::new(Content { reference, number, base: None, blob, language, facts });
        Ok((file.path, Arc::new(File { content, nodes: file.nodes.into_boxed_slice() })))
    }
}

/// What the difference between two states of some files means for symbols: a commit that has neither id nor
/// parents, names and message. Uses `workers` threads.
pub fn compare(
    comparison: Comparison,
    limits: &Limits,
    workers: usize,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<HistoryCommit, WireError> {
    let Comparison { old, new, others: other_files, elsewhere } = comparison;
    let canceller = Canceller::new(cancelled);
    let mut texts = Texts(HashMap::new());
    let mut numbering = Numbering::new();
    let mut state = Snapshot::default();
    let mut paths: BTreeMap<String, (Language, Option<ObjectId>, Option<ObjectId>)> =
        BTreeMap::new();
    for file in old {
        let (path, file) = texts.file(file)?;
        numbering.know(&file.content);
        state.insert(&path, Arc::clone(&file));
        paths.insert(path, (file.content.language, Some(file.content.blob), None));
    }
    let mut others = Vec::with_capacity(other_files.len());
    for files in other_files {
        let mut other = Snapshot::default();
        for file in files {
            let (path, file) = texts.file(file)?;
            other.insert(&path, file);
        }
        others.push(other);
    }
    for SourceFile { path, language, content } in new {
        let id = texts.add(content)?;
        let change = paths.entry(path).or_insert((language, None, None));
        (change.0, change.2) = (language, Some(id));
    }
    let changes = paths.into_iter();
    let changes: Vec<Change> =
        changes.map(|(path, (language, old, new))| Change { path, language, old, new }).collect();
    let sources = Sources::new(&texts, *limits, &canceller);
    let pool = new_pool(workers)?;
    let keys = changes.iter().flat_map(|change| {
        let blobs = [change.old, change.new].into_iter().flatten();
        blobs.map(|blob| ((blob, change.language), change.path.clone()))
    });
    // An old file may be of another language than the one that took its path.
    let held = pool.install(|| sources.hold(&keys.collect()))?;
    let elsewhere = elsewhere.into_iter().collect();
    let mut changer = Changer { sources: &sources, numbering, elsewhere };
    let mut changed = changer.change(changes, &held, &mut state, &others)?;
    let contents = store_bodies(&pool, &std::mem::take(&mut changed.bodies), &sources)?;
    let nobody = Signature { name: String::new(), email: String::new(), seconds: 0, offset: 0 };
    Ok(HistoryCommit {
        id: Vec::new(),
        parents: Vec::new(),
        author: nobody.clone(),
        committer: nobody,
        message: String::new(),
        files: changed.files,
        contents,
        nodes: changed.nodes,
        search_texts: changed.search_texts,
        notices: changed.notices,
        more: false,
    })
}
