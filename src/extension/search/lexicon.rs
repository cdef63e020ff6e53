//! Texts to `tsvector`s, each distinct word looked up once: code repeats few words very often, and
//! splitting and stemming them was a quarter of a backend's work during an ingest.

use std::collections::HashMap;

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
    /// Of each word its number.
    numbers: HashMap<String, u32>,
    /// Of each word by number, its lexemes.
    lexemes: Vec<Vec<String>>,
}

impl Lexicon {
    /// `to_tsvector('onyx.code', onyx.words(text))` of each text.
    pub fn documents<'a>(
        &mut self,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<Option<TsVector>>, Error> {
        if self.numbers.len() > MAX_WORDS {
            *self = Self::default();
        }
        let split: Vec<Option<Vec<u32>>> =
            texts.map(|text| text.map(|text| self.numbered(&words(text)))).collect();
        self.learn()?;
        let mut entries = Vec::new();
        let mut document = |words: Vec<u32>| self.document(&words, &mut entries);
        Ok(split.into_iter().map(|words| words.map(&mut document)).collect())
    }

    /// The numbers of a text's words; a new one gets the next.
    fn numbered(&mut self, text: &str) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(text.len() / 6);
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let number = self.numbers.get(word).copied().unwrap_or_else(|| {
                let next = self.numbers.len() as u32;
                self.numbers.insert(word.to_owned(), next);
                next
            });
            numbers.push(number);
        }
        numbers
    }

    /// Looks up the words that are new.
    fn learn(&mut self) -> Result<(), Error> {
        let known = self.lexemes.len();
        self.lexemes.resize(self.numbers.len(), Vec::new());
        if known == self.lexemes.len() {
            return Ok(());
        }
        let new = self.numbers.iter().filter(|(_, number)| **number as usize >= known);
        let words: Vec<&str> = new.map(|(word, _)| word.as_str()).collect();
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT w, pg_catalog.tsvector_to_array(pg_catalog.to_tsvector('onyx.code', w))
                 FROM pg_catalog.unnest($1) w",
                None,
                &[words.into()],
            )?;
            for row in rows {
                if let (Some(word), Some(lexemes)) = (row.get::<String>(1)?, row.get(2)?)
                    && let Some(number) = self.numbers.get(&word)
                {
                    self.lexemes[*number as usize] = lexemes;
                }
            }
            Ok(())
        })
    }

    fn document<'a>(&'a self, words: &[u32], entries: &mut Vec<(&'a [u8], u16)>) -> TsVector {
        entries.clear();
        let mut position = 0_u16;
        for word in words {
            position = (position + 1).min(MAX_POSITION);
            let lexemes = self.lexemes[*word as usize].iter();
            entries.extend(lexemes.map(|lexeme| (lexeme.as_bytes(), position)));
        }
        entries.sort_unstable();
        entries.dedup();
        TsVector::new(entries)
    }
}

/// A `tsvector` without its varlena header; `bm25::Document` has the layout.
pub struct TsVector(Vec<u8>);

impl TsVector {
    /// Its bytes behind the header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From lexemes with their positions, in order.
    fn new(entries: &[(&[u8], u16)]) -> Self {
        let bytes: usize = entries.iter().map(|(lexeme, _)| lexeme.len() + 10).sum();
        let mut heads = Vec::with_capacity(size_of::<u32>() + bytes);
        heads.extend([0; size_of::<u32>()]);
        let mut strings = Vec::with_capacity(bytes);
        let mut count = 0_u32;
        for alike in entries.chunk_by(|one, other| one.0 == other.0) {
            count += 1;
            let lexeme = alike[0].0;
            let head = 1 | (lexeme.len() as u32) << 1 | (strings.len() as u32) << 12;
            heads.extend(head.to_ne_bytes());
            strings.extend_from_slice(lexeme);
            strings.resize(strings.len().next_multiple_of(2), 0);
            let positions = &alike[..alike.len().min(MAX_POSITIONS)];
            strings.extend((positions.len() as u16).to_ne_bytes());
            strings.extend(positions.iter().flat_map(|(_, position)| position.to_ne_bytes()));
        }
        heads[..size_of::<u32>()].copy_from_slice(&count.to_ne_bytes());
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
