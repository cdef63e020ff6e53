//! Texts to `tsvector`s, each distinct word looked up once: code repeats few words very often, and
//! splitting and stemming them was a quarter of a backend's work during an ingest.

use std::collections::{BTreeMap, HashMap};

use pgrx::prelude::*;

use super::words::words;
use crate::error::Error;

/// Words remembered; more are forgotten together.
const MAX_WORDS: usize = 200_000;
/// Of `tsearch/ts_type.h`: the last position that is told apart, and positions of one lexeme.
const MAX_POSITION: u16 = (1 << 14) - 1;
const MAX_POSITIONS: usize = 255;

/// What `onyx.code` makes of words.
#[derive(Default)]
pub struct Lexicon {
    lexemes: HashMap<String, Vec<String>>,
}

impl Lexicon {
    /// `to_tsvector('onyx.code', onyx.words(text))` of each text.
    pub fn documents<'a>(
        &mut self,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<Option<TsVector>>, Error> {
        let split: Vec<Option<String>> = texts.map(|text| text.map(words)).collect();
        self.learn(split.iter().flatten().flat_map(|text| text.split(' ')))?;
        Ok(split.iter().map(|text| text.as_deref().map(|text| self.document(text))).collect())
    }

    fn learn<'a>(&mut self, words: impl Iterator<Item = &'a str> + Clone) -> Result<(), Error> {
        if self.lexemes.len() > MAX_WORDS {
            self.lexemes.clear();
        }
        let mut unknown: Vec<&str> =
            words.filter(|word| !word.is_empty() && !self.lexemes.contains_key(*word)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let found = Spi::connect(|client| {
            let rows = client.select(
                "SELECT w, pg_catalog.tsvector_to_array(pg_catalog.to_tsvector('onyx.code', w))
                 FROM pg_catalog.unnest($1) w",
                None,
                &[unknown.into()],
            )?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                if let (Some(word), Some(lexemes)) = (row.get(1)?, row.get(2)?) {
                    found.push((word, lexemes));
                }
            }
            Ok::<_, Error>(found)
        })?;
        self.lexemes.extend(found);
        Ok(())
    }

    fn document(&self, text: &str) -> TsVector {
        let mut entries: BTreeMap<&[u8], Vec<u16>> = BTreeMap::new();
        let mut position = 0_u16;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            position = (position + 1).min(MAX_POSITION);
            for lexeme in self.lexemes.get(word).into_iter().flatten() {
                let positions = entries.entry(lexeme.as_bytes()).or_default();
                if positions.len() < MAX_POSITIONS && positions.last() != Some(&position) {
                    positions.push(position);
                }
            }
        }
        TsVector::new(&entries)
    }
}

/// A `tsvector` without its varlena header; `bm25::Document` has the layout.
pub struct TsVector(Vec<u8>);

impl TsVector {
    /// Its bytes behind the header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn new(entries: &BTreeMap<&[u8], Vec<u16>>) -> Self {
        let mut heads = Vec::with_capacity(4 + 4 * entries.len());
        heads.extend((entries.len() as u32).to_ne_bytes());
        let mut strings = Vec::new();
        for (lexeme, positions) in entries {
            let head = 1 | (lexeme.len() as u32) << 1 | (strings.len() as u32) << 12;
            heads.extend(head.to_ne_bytes());
            strings.extend_from_slice(lexeme);
            strings.resize(strings.len().next_multiple_of(2), 0);
            strings.extend((positions.len() as u16).to_ne_bytes());
            strings.extend(positions.iter().flat_map(|position| position.to_ne_bytes()));
        }
        heads.extend(strings);
        Self(heads)
    }
}

impl IntoDatum for TsVector {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        // A varlena of these bytes is what both types are.
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TSVECTOROID
    }
}
