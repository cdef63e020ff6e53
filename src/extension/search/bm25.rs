//! Okapi BM25 over `tsvector` documents (Robertson and Zaragoza, "The Probabilistic Relevance
//! Framework: BM25 and Beyond", 2009). The candidates are all documents with any word of the
//! query, so a word's document frequency is its count among them.

use pgrx::pg_sys;

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// A detoasted `tsvector`.
///
/// ```text
/// int32 count; count entries: bit 0 has positions, bits 1-11 length, bits 12-31 offset;
/// then the lexemes' bytes, each followed, when it has positions, at the next even offset, by a
/// uint16 number of positions and the positions. Entries are sorted by bytes, then length.
/// ```
pub struct Document(Vec<u8>);

/// The elements of a `tsvector[]`; a NULL element is an empty document.
///
/// # Safety
/// `array` is a datum of type `tsvector[]`.
pub unsafe fn documents(array: pg_sys::Datum) -> Vec<Document> {
    let mut datums = std::ptr::null_mut();
    let mut nulls = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the caller's promise; tsvector is an int-aligned varlena.
    unsafe {
        let array = pg_sys::pg_detoast_datum(array.cast_mut_ptr()).cast();
        pg_sys::deconstruct_array(
            array,
            pg_sys::TSVECTOROID,
            -1,
            false,
            b'i' as std::ffi::c_char,
            &mut datums,
            &mut nulls,
            &mut count,
        );
        (0..count as usize)
            .map(|i| {
                if *nulls.add(i) {
                    return Document(Vec::new());
                }
                let plain = pg_sys::pg_detoast_datum((*datums.add(i)).cast_mut_ptr());
                Document(pgrx::varlena::varlena_to_byte_slice(plain).to_vec())
            })
            .collect()
    }
}

impl Document {
    /// From the bytes behind the varlena header.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn u32_at(&self, offset: usize) -> u32 {
        self.0.get(offset..offset + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn count(&self) -> usize {
        self.u32_at(0) as usize
    }

    /// Lexeme and number of occurrences of an entry.
    fn entry(&self, index: usize) -> (&[u8], u32) {
        let bits = self.u32_at(4 + 4 * index);
        let strings = 4 + 4 * self.count();
        let start = strings + (bits >> 12) as usize;
        let end = start + (bits >> 1 & 0x7ff) as usize;
        let lexeme = self.0.get(start..end).unwrap_or_default();
        let positions = if bits & 1 == 1 {
            let at = strings + (end - strings).next_multiple_of(2);
            self.0.get(at..at + 2).map_or(1, |b| u32::from(u16::from_ne_bytes([b[0], b[1]])))
        } else {
            1
        };
        (lexeme, positions)
    }

    fn occurrences(&self, lexeme: &[u8]) -> u32 {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = (low + high) / 2;
            let (candidate, positions) = self.entry(middle);
            match candidate.cmp(lexeme) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return positions,
            }
        }
        0
    }

    fn length(&self) -> f64 {
        (0..self.count()).map(|i| f64::from(self.entry(i).1)).sum()
    }
}

/// The best documents with their scores, best first.
pub fn best(
    ids: &[i64],
    documents: &[Document],
    query: &[String],
    corpus: f64,
    limit: usize,
) -> Vec<(i64, f64)> {
    let lengths: Vec<f64> = documents.iter().map(Document::length).collect();
    let mean = (lengths.iter().sum::<f64>() / lengths.len().max(1) as f64).max(1.0);
    let mut scores = vec![0.0; documents.len()];
    for lexeme in query {
        let found: Vec<f64> =
            documents.iter().map(|d| f64::from(d.occurrences(lexeme.as_bytes()))).collect();
        let frequency = found.iter().filter(|n| **n > 0.0).count() as f64;
        let rarity = (1.0 + (corpus.max(frequency) - frequency + 0.5) / (frequency + 0.5)).ln();
        for ((score, n), length) in scores.iter_mut().zip(&found).zip(&lengths) {
            *score += rarity * n * (K1 + 1.0) / (n + K1 * (1.0 - B + B * length / mean));
        }
    }
    let mut ranked: Vec<(i64, f64)> = ids.iter().copied().zip(scores).collect();
    ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.truncate(limit);
    ranked
}
