//! What a commit changed of the symbols of a file, packed: about a dozen bytes each.
//!
//! # Format
//!
//! For each symbol, in the order of their nodes; numbers as `numbers` writes them, and differences are signed
//! ones from the symbol before, at first from 0:
//!
//! ```text
//! flags          1 byte: the change (bits 0-2, its place in CHANGES), whether the body changed (bit 3), whether
//!                there is a search text (bit 4), an ordinal (bit 5), a similarity (bit 6), and whether that is 1
//!                (bit 7)
//! node           difference
//! name           difference
//! search text    difference, only if there is one
//! ordinal        difference, only if there is one
//! lines          number
//! lines added    number
//! lines removed  number
//! similarity     4 bytes, an IEEE 754 number, lowest first; only if there is one and it is not 1
//! ```

use crate::codec::CodecError;
use crate::history::SymbolChangeKind;
use crate::numbers::{Reader, put, put_signed};

/// Changes by their number in the format: new ones go to the end.
const CHANGES: [SymbolChangeKind; 5] = [
    SymbolChangeKind::Created,
    SymbolChangeKind::Modified,
    SymbolChangeKind::Renamed,
    SymbolChangeKind::Moved,
    SymbolChangeKind::Deleted,
];
const CHANGE: u8 = 0b111;
const BODY_CHANGED: u8 = 1 << 3;
const HAS_TEXT: u8 = 1 << 4;
const HAS_ORDINAL: u8 = 1 << 5;
const HAS_SIMILARITY: u8 = 1 << 6;
const IS_SAME: u8 = 1 << 7;

/// What a commit did to a symbol, or to a file's own node.
#[derive(Debug, Clone, PartialEq)]
pub struct SymbolVersion {
    /// Its node.
    pub node: i64,
    /// Row of its kind and names.
    pub name: i32,
    /// Row of what is searched of it.
    pub search_text: Option<i32>,
    /// Its number in its file; none for a file and for what is gone.
    pub ordinal: Option<i32>,
    /// Lines of its text; 0 when it is gone.
    pub lines: u32,
    /// Lines added and removed.
    pub changed_lines: (u32, u32),
    /// How it was recognised: 1 by name, less by how alike the bodies are; none when created or deleted.
    pub similarity: Option<f32>,
    /// Whether its text differs.
    pub body_changed: bool,
    /// What happened.
    pub change: SymbolChangeKind,
}

/// What differences are from.
#[derive(Default)]
struct Before {
    node: i64,
    name: i64,
    text: i64,
    ordinal: i64,
}

fn put_difference(bytes: &mut Vec<u8>, number: i64, before: &mut i64) {
    put_signed(bytes, number.wrapping_sub(*before));
    *before = number;
}

/// Packs symbols, which are in the order of their nodes.
pub fn encode<'a>(symbols: impl Iterator<Item = &'a SymbolVersion>) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::new(), Before::default());
    for symbol in symbols {
        let change = CHANGES.iter().position(|change| *change == symbol.change);
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        bytes.push(
            change.unwrap_or_default() as u8
                | flag(BODY_CHANGED, symbol.body_changed)
                | flag(HAS_TEXT, symbol.search_text.is_some())
                | flag(HAS_ORDINAL, symbol.ordinal.is_some())
                | flag(HAS_SIMILARITY, symbol.similarity.is_some())
                | flag(IS_SAME, symbol.similarity == Some(1.0)),
        );
        put_difference(&mut bytes, symbol.node, &mut before.node);
        put_difference(&mut bytes, i64::from(symbol.name), &mut before.name);
        if let Some(text) = symbol.search_text {
            put_difference(&mut bytes, i64::from(text), &mut before.text);
        }
        if let Some(ordinal) = symbol.ordinal {
            put_difference(&mut bytes, i64::from(ordinal), &mut before.ordinal);
        }
        for number in [symbol.lines, symbol.changed_lines.0, symbol.changed_lines.1] {
            put(&mut bytes, u64::from(number));
        }
        if let Some(similarity) = symbol.similarity.filter(|similarity| *similarity != 1.0) {
            bytes.extend_from_slice(&similarity.to_le_bytes());
        }
    }
    bytes
}

/// Unpacks symbols one by one; after an error there are none.
pub struct Symbols<'a> {
    reader: Reader<'a>,
    before: Before,
}

impl<'a> Symbols<'a> {
    /// Those in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader(bytes), before: Before::default() }
    }

    fn read(&mut self) -> Option<SymbolVersion> {
        let (reader, before) = (&mut self.reader, &mut self.before);
        let flags = reader.byte()?;
        let mut difference = |before: &mut i64| {
            *before = before.wrapping_add(reader.signed()?);
            Some(*before)
        };
        let node = difference(&mut before.node)?;
        let name = difference(&mut before.name)?;
        let mut optional = |flag: u8, before: &mut i64| match flags & flag {
            0 => Some(None),
            _ => Some(Some(i32::try_from(difference(before)?).ok()?)),
        };
        let search_text = optional(HAS_TEXT, &mut before.text)?;
        let ordinal = optional(HAS_ORDINAL, &mut before.ordinal)?;
        let mut number = || u32::try_from(reader.number()?).ok();
        let (lines, added, removed) = (number()?, number()?, number()?);
        let similarity = match (flags & HAS_SIMILARITY != 0, flags & IS_SAME != 0) {
            (false, _) => None,
            (true, true) => Some(1.0),
            (true, false) => Some(f32::from_le_bytes(reader.bytes()?)),
        };
        Some(SymbolVersion {
            node,
            name: i32::try_from(name).ok()?,
            search_text,
            ordinal,
            lines,
            changed_lines: (added, removed),
            similarity,
            body_changed: flags & BODY_CHANGED != 0,
            change: *CHANGES.get(usize::from(flags & CHANGE))?,
        })
    }
}

impl Iterator for Symbols<'_> {
    type Item = Result<SymbolVersion, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.0.is_empty() {
            return None;
        }
        let symbol = self.read();
        if symbol.is_none() {
            self.reader = Reader(&[]);
        }
        Some(symbol.ok_or(CodecError::Damaged("versions of symbols end within one")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(node: i64) -> SymbolVersion {
        SymbolVersion {
            node,
            name: 7,
            search_text: Some(3),
            ordinal: Some(2),
            lines: 12,
            changed_lines: (12, 0),
            similarity: None,
            body_changed: false,
            change: SymbolChangeKind::Created,
        }
    }

    fn some() -> Vec<SymbolVersion> {
        let modified = SymbolVersion {
            name: 5,
            search_text: None,
            ordinal: Some(9),
            changed_lines: (1, 200),
            similarity: Some(0.5),
            body_changed: true,
            change: SymbolChangeKind::Modified,
            ..symbol(101)
        };
        let deleted = SymbolVersion {
            search_text: None,
            ordinal: None,
            lines: 0,
            changed_lines: (0, 12),
            change: SymbolChangeKind::Deleted,
            ..symbol(i64::MAX)
        };
        let moved = SymbolVersion {
            name: i32::MAX,
            similarity: Some(1.0),
            change: SymbolChangeKind::Moved,
            lines: u32::MAX,
            ..symbol(300)
        };
        vec![symbol(100), modified, moved, deleted]
    }

    #[test]
    fn symbols_come_back() {
        let all = some();
        let bytes = encode(all.iter());
        let read: Result<Vec<_>, _> = Symbols::new(&bytes).collect();
        assert_eq!(read.unwrap(), all);
        assert_eq!(Symbols::new(&[]).count(), 0);
    }

    #[test]
    fn the_format_is_frozen() {
        let bytes = encode(some()[..2].iter());
        let frozen = [
            0x30, 0xc8, 0x01, 0x0e, 0x06, 0x04, 12, 12, 0, // created
            0x69, 0x02, 0x03, 0x0e, 12, 1, 0xc8, 0x01, 0, 0, 0, 0x3f, // modified
        ];
        assert_eq!(bytes, frozen);
    }

    #[test]
    fn damage_is_an_error_or_other_symbols() {
        let bytes = encode(some().iter());
        for length in 0..bytes.len() {
            for read in Symbols::new(&bytes[..length]).skip(4) {
                assert!(read.is_err());
            }
            let mut damaged = bytes.clone();
            damaged[length] ^= 0xff;
            assert!(Symbols::new(&damaged).count() <= bytes.len());
        }
        assert!(Symbols::new(&[0xff; 40]).any(|read| read.is_err()));
        // A change there is not.
        assert!(Symbols::new(&[5, 2, 2, 1, 1, 0]).all(|read| read.is_err()));
    }
}
