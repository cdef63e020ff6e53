//! What becomes of a text before the model sees it: cutting, hashing, tokens.

use std::path::Path;

use onyx_protocol::{ErrorKind, WireError, limits::MAX_TEXT_BYTES};
use sha2::{Digest, Sha256};
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use super::error::sentence;

/// SHA-256 of the exact text given to the model: of [`cut_text`]'s answer.
pub type TextHash = [u8; 32];

/// Raised whenever a text would become other tokens than before; part of the model's key.
pub(super) const PIPELINE_VERSION: u8 = 1;

/// Bytes of text looked at first for each token wanted; doubled while they give too few.
const BYTES_A_TOKEN: usize = 8;

/// Tokens beyond those wanted that must come out of the part looked at: what the cut disturbs is
/// the last word, and lies behind.
const MARGIN: usize = 8;

/// The text that is embedded: at most `MAX_TEXT_BYTES`, cut at a character boundary.
pub fn cut_text(text: &str) -> &str {
    cut(text, MAX_TEXT_BYTES)
}

/// The hash under which the vector of a text is kept.
pub fn text_hash(text: &str) -> TextHash {
    Sha256::digest(cut_text(text).as_bytes()).into()
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A text's tokens, as the model wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) ids: Vec<i64>,
    pub(super) types: Vec<i64>,
}

/// A tokenizer that cuts to a number of tokens and never pads.
pub(super) struct Pipeline {
    tokenizer: Tokenizer,
    max_tokens: usize,
    /// Tokens the tokenizer adds to every text, to what it cuts off too.
    special: usize,
}

impl Pipeline {
    /// Reads a `tokenizer.json`.
    pub(super) fn new(path: &Path, json: &[u8], max_tokens: u32) -> Result<Self, WireError> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| {
            WireError::new(
                ErrorKind::Model,
                format!("file \"{}\" is not a tokenizer", path.display()),
            )
            .detail(sentence(error))
            .hint("The tokenizer must be a tokenizer.json as Hugging Face's tokenizers write it.")
        })?;
        let max_tokens = max_tokens as usize;
        let special = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if max_tokens <= special {
            return Err(WireError::new(
                ErrorKind::InvalidRequest,
                format!("max_tokens must be greater than {special}, not {max_tokens}"),
            )
            .detail(format!("The tokenizer adds {special} tokens to each text.")));
        }
        let truncation = TruncationParams { max_length: max_tokens, ..Default::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(|error| {
            WireError::new(ErrorKind::Model, "could not set up the tokenizer")
                .detail(sentence(error))
        })?;
        Ok(Self { tokenizer, max_tokens, special })
    }

    /// The first `max_tokens` tokens of a text, the special ones included.
    ///
    /// Tokenising 64 kB to keep 256 tokens is a waste: a part is tokenised, up to the last white
    /// space within the bound, and more of it only when that part has too few tokens.
    pub(super) fn encode(&self, text: &str) -> Result<Tokens, WireError> {
        let text = cut_text(text);
        let mut bound = self.max_tokens.saturating_mul(BYTES_A_TOKEN).max(256);
        while bound < text.len() {
            let part = cut(text, bound);
            if let Some(space) = part.rfind(char::is_whitespace) {
                let encoding = self.run(&part[..space])?;
                let cut_off = encoding.get_overflowing().iter();
                let beyond: usize = cut_off.map(|e| e.len().saturating_sub(self.special)).sum();
                if beyond >= MARGIN {
                    return Ok(tokens(&encoding));
                }
            }
            bound = bound.saturating_mul(2);
        }
        Ok(tokens(&self.run(text)?))
    }

    fn run(&self, text: &str) -> Result<tokenizers::Encoding, WireError> {
        self.tokenizer.encode_fast(text, true).map_err(|error| {
            WireError::new(ErrorKind::Model, "could not split a text into tokens")
                .detail(sentence(error))
        })
    }
}

fn tokens(encoding: &tokenizers::Encoding) -> Tokens {
    let widen = |ids: &[u32]| ids.iter().map(|id| i64::from(*id)).collect();
    Tokens { ids: widen(encoding.get_ids()), types: widen(encoding.get_type_ids()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word pieces over a toy vocabulary; `[CLS]` and `[SEP]` around, as BERT has them. It asks for
    /// padding to 8, which must not be obeyed.
    const TOY: &str = r###"{
        "version": "1.0",
        "truncation": null,
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5,
                            "##a": 6, "##b": 7, "é": 8, ".": 9}}
    }"###;

    fn toy(max_tokens: u32) -> Result<Pipeline, WireError> {
        Pipeline::new(Path::new("toy.json"), TOY.as_bytes(), max_tokens)
    }

    #[test]
    fn tokens_are_neither_padded_nor_more_than_asked_for() {
        let pipeline = toy(6).unwrap();
        assert_eq!(pipeline.encode("").unwrap().ids, [2, 3]);
        assert_eq!(pipeline.encode("ab é").unwrap().ids, [2, 4, 7, 8, 3]);
        assert_eq!(pipeline.encode("a a a a a a").unwrap().ids, [2, 4, 4, 4, 4, 3]);
        assert_eq!(pipeline.encode("a").unwrap().types, [0, 0, 0]);
    }

    #[test]
    fn looking_at_a_part_first_gives_the_tokens_of_the_whole() {
        let texts = [
            "ab ".repeat(20_000),
            format!("{}b", " ".repeat(9_000)),
            format!("{} a b", "a".repeat(5_000)),
            format!("a {} b", "b".repeat(400)).repeat(40),
            "é".repeat(30_000),
            format!("{}aab", "ab. ".repeat(600)),
            format!("\t\n {}", "ba\n\n   ".repeat(3_000)),
            // The cut falls into words of every length.
            (0..600).map(|n| "a".repeat(n % 120) + " ").collect(),
        ];
        for max_tokens in [3, 7, 64, 256, 512] {
            let pipeline = toy(max_tokens).unwrap();
            for text in &texts {
                let naive = tokens(&pipeline.run(cut_text(text)).unwrap());
                assert_eq!(pipeline.encode(text).unwrap(), naive, "{max_tokens}: {:.40}", text);
            }
        }
    }

    #[test]
    fn fewer_tokens_than_the_special_ones_are_refused() {
        let error = toy(2).err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.message, "max_tokens must be greater than 2, not 2");
        assert!(toy(3).is_ok());
    }

    #[test]
    fn texts_are_cut_at_a_character_boundary_and_hashed_as_cut() {
        let text = "é".repeat(MAX_TEXT_BYTES / 2 + 1);
        let odd = format!("a{text}");
        assert_eq!(cut_text(&text).len(), MAX_TEXT_BYTES);
        assert_eq!(cut_text(&odd).len(), MAX_TEXT_BYTES - 1);
        assert_eq!(text_hash(&odd), text_hash(cut_text(&odd)));
        assert_ne!(text_hash("a"), text_hash("b"));
        assert_eq!(text_hash("")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }
}
