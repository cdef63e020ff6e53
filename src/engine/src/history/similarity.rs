//! How alike two bodies are, whatever their language: by the words in them and their order.
//!
//! A body is two bags: its words (names, keywords, numbers; no punctuation) and the pairs of neighbouring ones,
//! both without its own name. Two bodies are as alike as the shares of both that they have in common (Dice's
//! coefficient), on average: an edit of one word in a hundred costs a word and two pairs. Pairs alone would make
//! little of a body that was given types or another order, words alone too much of one in the same language:
//! two functions that have nothing to do with each other share a third of their words and few pairs.

use std::collections::HashMap;

/// Longest part of a body that is read, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// A pair of words that is in more bodies than this says nothing about which is meant.
const MAX_POSTINGS: usize = 64;
/// Most candidates for one body.
const MAX_LIKE: usize = 16;

/// A body as it is compared.
pub(super) struct Body {
    /// How many words it has.
    pub(super) words: usize,
    /// Hashes of words, sorted, as often as they occur.
    singles: Vec<u32>,
    /// Hashes of pairs, likewise.
    pairs: Vec<u32>,
}

fn hash(word: &[u8]) -> u32 {
    // FNV-1a: short keys, no adversary worth more.
    word.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Words of a text, in order.
fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().split(|&byte| !is_word(byte)).filter(|word| !word.is_empty())
}

/// Whether a text has fewer words.
pub(super) fn has_fewer_words(text: &str, than: usize) -> bool {
    words(text).take(than).count() < than
}

impl Body {
    /// Reads a body; `name` is the name it defines.
    pub(super) fn new(text: &str, name: &str) -> Self {
        let text = &text[..text.floor_char_boundary(MAX_BYTES)];
        let mut count = 0;
        let mut last = None;
        let mut singles = Vec::with_capacity(text.len() / 6);
        let mut pairs = Vec::with_capacity(text.len() / 6);
        for word in words(text) {
            count += 1;
            // What is around it, like its keyword, is the same in any two definitions.
            let word = (word != name.as_bytes()).then(|| hash(word));
            singles.extend(word);
            if let (Some(last), Some(word)) = (last, word) {
                pairs.push(u32::rotate_left(last, 15).wrapping_mul(0x9e37_79b1) ^ word);
            }
            last = word;
        }
        singles.sort_unstable();
        pairs.sort_unstable();
        Self { words: count, singles, pairs }
    }
}

/// How alike two bodies are: 0 for nothing in common, 1 for the same words in the same order.
pub(super) fn alike(a: &Body, b: &Body) -> f32 {
    (dice(&a.singles, &b.singles) + dice(&a.pairs, &b.pairs)) / 2.0
}

/// What two sorted bags have in common.
fn dice(a: &[u32], b: &[u32]) -> f32 {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                common += 1;
                i += 1;
                j += 1;
            }
        }
    }
    let total = a.len() + b.len();
    // Nothing but a name in either.
    if total == 0 { 1.0 } else { 2.0 * common as f32 / total as f32 }
}

/// How alike two names are, by the pairs of letters they have in common.
pub(super) fn names_alike(a: &str, b: &str) -> f32 {
    let pairs = |name: &str| {
        let letters: Vec<u8> = name.bytes().map(|byte| byte.to_ascii_lowercase()).collect();
        let mut pairs: Vec<[u8; 2]> = letters.array_windows().copied().collect();
        pairs.sort_unstable();
        pairs
    };
    let (a, mut b) = (pairs(a), pairs(b));
    let total = a.len() + b.len();
    let mut common = 0;
    for pair in a {
        if let Ok(at) = b.binary_search(&pair) {
            b.remove(at);
            common += 1;
        }
    }
    if total == 0 { 0.0 } else { 2.0 * common as f32 / total as f32 }
}

/// Bodies by what is in them.
#[derive(Default)]
pub(super) struct Postings {
    by_pair: HashMap<u32, Vec<u32>>,
}

impl Postings {
    pub(super) fn add(&mut self, number: usize, body: &Body) {
        let mut last = None;
        for pair in &body.pairs {
            if last.replace(*pair) != Some(*pair) {
                let postings = self.by_pair.entry(*pair).or_default();
                if postings.len() <= MAX_POSTINGS {
                    postings.push(number as u32);
                }
            }
        }
    }

    /// Those that have most in common with a body, at most `MAX_LIKE`.
    pub(super) fn like(&self, body: &Body) -> Vec<usize> {
        let mut common: HashMap<u32, u32> = HashMap::new();
        let mut last = None;
        for pair in &body.pairs {
            if last.replace(*pair) == Some(*pair) {
                continue;
            }
            if let Some(postings) = self.by_pair.get(pair).filter(|p| p.len() <= MAX_POSTINGS) {
                for number in postings {
                    *common.entry(*number).or_default() += 1;
                }
            }
        }
        let mut like: Vec<(u32, u32)> = common.into_iter().map(|(n, count)| (count, n)).collect();
        like.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        like.truncate(MAX_LIKE);
        like.into_iter().map(|(_, number)| number as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_alike(a: &str, b: &str) -> f32 {
        alike(&Body::new(a, "f"), &Body::new(b, "g"))
    }

    #[test]
    fn measures_bodies() {
        let body = "def f(self, path): return self.read(path).decode('utf-8') if path else None";
        let renamed = body.replace("def f", "def g");
        assert_eq!(are_alike(body, &renamed), 1.0);
        assert_eq!(are_alike(body, &renamed.replace(' ', "\n\t")), 1.0);
        assert!(are_alike(body, "def g(self, path): return self.load(path).decode('utf-8')") > 0.5);
        assert!(
            are_alike(body, "def g(self, other): self.items.append(other); return self") < 0.25
        );
        assert_eq!(are_alike("f", "g"), 1.0);
        assert!(are_alike("", "") == 1.0 && are_alike("a b c", "x y z") == 0.0);
    }

    #[test]
    fn measures_names() {
        assert_eq!(names_alike("get", "GET"), 1.0);
        assert!(names_alike("get_cookie", "get_cookies") > 0.9);
        assert_eq!(names_alike("ab", "xy"), 0.0);
        assert_eq!(names_alike("", "a"), 0.0);
    }

    #[test]
    fn finds_like_bodies() {
        let mut postings = Postings::default();
        postings.add(0, &Body::new("a b c d e", ""));
        postings.add(1, &Body::new("a b x y z", ""));
        postings.add(2, &Body::new("q r s", ""));
        assert_eq!(postings.like(&Body::new("a b c d z", "")), [0, 1]);
        assert!(postings.like(&Body::new("n", "")).is_empty());
    }
}
