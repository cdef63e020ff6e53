//! Bodies and definitions out of `onyx.contents`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use onyx_protocol::facts::{FileFacts, PARSER_VERSION};
use onyx_protocol::stored_facts;
use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::query;

/// A content's text.
pub struct Text {
    /// What definitions' spans count in.
    pub text: Rc<Vec<u8>>,
    /// SHA-256 of the file's bytes, which are the text itself unless they had to be decoded.
    pub hash: Vec<u8>,
}

struct Frame {
    base: Option<i32>,
    bytes: Vec<u8>,
    hash: Vec<u8>,
    text_hash: Option<Vec<u8>>,
}

/// Which of a content's two frames.
#[derive(Clone, Copy)]
pub enum Part {
    Text,
    Facts,
}

fn damaged(id: i32, detail: impl std::fmt::Display) -> Error {
    Error::sql(
        PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        format!("content {id} of onyx.contents is damaged: {detail}"),
    )
    .with_hint("Restore it from a backup, or forget the repository and ingest it again.")
}

/// Frames of contents and of all they are differences from.
fn frames(ids: &[i32], part: Part) -> Result<HashMap<i32, Frame>, Error> {
    // One chain by one statement; chains that share their bases would give these many times.
    let query = match (part, ids.len()) {
        (Part::Text, 1) => {
            c"WITH RECURSIVE bases AS (
                 SELECT id, base_id, text, hash, text_hash, chain FROM onyx.contents WHERE id = ANY ($1)
                 UNION ALL
                 SELECT b.id, b.base_id, b.text, b.hash, b.text_hash, b.chain
                 FROM bases c JOIN onyx.contents b ON b.id = c.base_id AND b.chain < c.chain)
             SELECT id, base_id, text, hash, text_hash FROM bases"
        }
        (Part::Facts, 1) => {
            c"WITH RECURSIVE bases AS (
                 SELECT id, base_id, facts, chain FROM onyx.contents WHERE id = ANY ($1)
                 UNION ALL
                 SELECT b.id, b.base_id, b.facts, b.chain
                 FROM bases c JOIN onyx.contents b ON b.id = c.base_id AND b.chain < c.chain)
             SELECT id, base_id, facts FROM bases"
        }
        (Part::Text, _) => {
            c"SELECT id, base_id, text, hash, text_hash FROM onyx.contents WHERE id = ANY ($1)"
        }
        (Part::Facts, _) => c"SELECT id, base_id, facts FROM onyx.contents WHERE id = ANY ($1)",
    };
    let mut frames: HashMap<i32, Frame> = HashMap::with_capacity(ids.len());
    let mut wanted: Vec<i32> = ids.to_vec();
    // A step along all chains at once; a chain is short.
    while !wanted.is_empty() {
        wanted.sort_unstable();
        wanted.dedup();
        let mut next = Vec::new();
        query::latest(query, &[(pg_sys::INT4ARRAYOID, wanted.into_datum())], &mut |row| {
            let Some(id) = row.get::<i32>(1) else { return ControlFlow::Continue(()) };
            let is_text = matches!(part, Part::Text);
            let frame = Frame {
                base: row.get::<i32>(2),
                bytes: row.get::<Vec<u8>>(3).unwrap_or_default(),
                hash: if is_text { row.get::<Vec<u8>>(4).unwrap_or_default() } else { Vec::new() },
                text_hash: if is_text { row.get::<Vec<u8>>(5) } else { None },
            };
            next.extend(frame.base);
            frames.insert(id, frame);
            ControlFlow::Continue(())
        })?;
        next.retain(|id| !frames.contains_key(id));
        wanted = next;
    }
    Ok(frames)
}

/// Decompresses what was asked for and what it rests on, each once.
fn unpack(frames: &HashMap<i32, Frame>, ids: &[i32]) -> Result<HashMap<i32, Rc<Vec<u8>>>, Error> {
    let mut done: HashMap<i32, Rc<Vec<u8>>> = HashMap::new();
    for id in ids {
        // Bases first; a chain that does not end is damaged.
        let mut open = Vec::new();
        let mut at = Some(*id);
        while let Some(id) = at.filter(|id| !done.contains_key(id)) {
            let frame = frames.get(&id).ok_or_else(|| damaged(id, "it is missing"))?;
            if open.len() > frames.len() {
                return Err(damaged(id, "it rests on itself"));
            }
            open.push((id, frame));
            at = frame.base;
        }
        for (id, frame) in open.into_iter().rev() {
            let base = match frame.base {
                Some(base) => {
                    Some(done.get(&base).ok_or_else(|| damaged(base, "it is missing"))?.clone())
                }
                None => None,
            };
            let base = base.as_deref().map(Vec::as_slice);
            let body =
                onyx_content::decompress(&frame.bytes, base).map_err(|error| damaged(id, error))?;
            done.insert(id, Rc::new(body));
        }
    }
    Ok(done)
}

/// Texts by content, their hashes checked.
pub fn texts(ids: &[i32]) -> Result<HashMap<i32, Text>, Error> {
    let mut frames = frames(ids, Part::Text)?;
    let mut bodies = unpack(&frames, ids)?;
    let mut texts = HashMap::with_capacity(ids.len());
    for id in ids {
        let (Some(text), Some(frame)) = (bodies.remove(id), frames.remove(id)) else { continue };
        let expected = frame.text_hash.as_ref().unwrap_or(&frame.hash);
        if Sha256::digest(&text[..])[..] != expected[..] {
            return Err(damaged(*id, "its text does not have its hash"));
        }
        texts.insert(*id, Text { text, hash: frame.hash });
    }
    Ok(texts)
}

/// What frames hold, by content.
pub fn bodies(ids: &[i32], part: Part) -> Result<HashMap<i32, Rc<Vec<u8>>>, Error> {
    unpack(&frames(ids, part)?, ids)
}

/// One content's text.
pub fn text(id: i32) -> Result<Text, Error> {
    texts(&[id])?.remove(&id).ok_or_else(|| damaged(id, "it is missing"))
}

/// Bytes of definitions, as they are stored, that a session keeps decoded.
const KEPT_BYTES: usize = 8 << 20;

/// Definitions that were asked for lately. What a content is never changes, and its id is never used again.
#[derive(Default)]
struct Kept {
    young: HashMap<i32, Rc<FileFacts>>,
    old: HashMap<i32, Rc<FileFacts>>,
    bytes: usize,
}

impl Kept {
    fn get(&self, id: i32) -> Option<Rc<FileFacts>> {
        self.young.get(&id).or_else(|| self.old.get(&id)).cloned()
    }

    fn put(&mut self, id: i32, facts: &Rc<FileFacts>, bytes: usize) {
        if self.bytes + bytes > KEPT_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(id, facts.clone());
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Definitions by content.
pub fn facts(ids: &[i32]) -> Result<HashMap<i32, Rc<FileFacts>>, Error> {
    let mut found: HashMap<i32, Rc<FileFacts>> = HashMap::with_capacity(ids.len());
    let mut missing = Vec::new();
    KEPT.with_borrow(|kept| {
        for id in ids {
            match kept.get(*id) {
                Some(facts) => _ = found.insert(*id, facts),
                None => missing.push(*id),
            }
        }
    });
    if missing.is_empty() {
        return Ok(found);
    }
    let bodies = unpack(&frames(&missing, Part::Facts)?, &missing)?;
    for id in missing {
        if let Some(bytes) = bodies.get(&id)
            && !found.contains_key(&id)
        {
            let facts = stored_facts::decode(bytes).map_err(|error| damaged(id, error))?;
            let facts = Rc::new(facts);
            KEPT.with_borrow_mut(|kept| kept.put(id, &facts, bytes.len()));
            found.insert(id, facts);
        }
    }
    Ok(found)
}

/// Places in their chains, of contents that others may be a difference from: those of this parser's version.
pub fn chains(ids: &[i32]) -> Result<HashMap<i32, u32>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT id, chain FROM onyx.contents WHERE id = ANY ($1) AND parser = $2",
            None,
            &[ids.to_vec().into(), i32::from(PARSER_VERSION).into()],
        )?;
        let mut chains = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(chain)) = (row.get::<i32>(1)?, row.get::<i32>(2)?) {
                chains.insert(id, chain as u32);
            }
        }
        Ok(chains)
    })
}

/// Contents whose definitions another version of the parser found, with these as they are stored. `chains`
/// are those of the same contents.
pub fn foreign(
    ids: &[i32],
    chains: &HashMap<i32, u32>,
) -> Result<HashMap<i32, Rc<Vec<u8>>>, Error> {
    let foreign: Vec<i32> = ids.iter().copied().filter(|id| !chains.contains_key(id)).collect();
    if foreign.is_empty() { Ok(HashMap::new()) } else { bodies(&foreign, Part::Facts) }
}

/// Hashes of the bytes of files, by content.
pub fn hashes(ids: &[i32]) -> Result<HashMap<i32, Vec<u8>>, Error> {
    Spi::connect(|client| {
        let query = "SELECT id, hash FROM onyx.contents WHERE id = ANY ($1)";
        let rows = client.select(query, None, &[ids.to_vec().into()])?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(hash)) = (row.get::<i32>(1)?, row.get::<Vec<u8>>(2)?) {
                found.insert(id, hash);
            }
        }
        Ok(found)
    })
}
