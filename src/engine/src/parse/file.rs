//! One file from bytes to `ParsedFile`.

use std::borrow::Cow;

use onyx_protocol::codec::CodecError;
use onyx_protocol::facts::{FileFacts, Language};
use onyx_protocol::ingest::{ContentHash, KeptFile, Notice, ParsedFile, SkipReason, SqlReference};
use onyx_protocol::limits::MAX_FRAME_BYTES;
use onyx_protocol::stored_facts;
use sha2::{Digest, Sha256};

use super::Limits;
use super::decode::decode;
use super::extract::{Parsed, parse, parse_whole};
use super::generated::{generated, generated_name, generated_text};
use super::manifest;
use super::module_name::module_name;
use super::search_text::search_text;

/// Decodes, parses and places one file. Err when it is left out whole: too large, binary, generated, a
/// pointer to a large file kept elsewhere, too slow, cancelled. Positions in the facts refer to the decoded text, which is the file itself
/// unless there is a notice `Decoded`.
pub fn parse_file(
    path: &str,
    language: Language,
    bytes: &[u8],
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
) -> Result<ParsedFile, Notice> {
    let (text, decoded) = text_of(bytes, limits)?;
    let parsed = if language == Language::Manifest {
        manifest::parse(path, &text)
    } else {
        if let Some(detail) = generated(path, &text) {
            return Err(Notice { reason: SkipReason::Generated, detail, line: 0 });
        }
        // Decoding makes a file at most three times as long, so its own limit is the one above.
        let limits = Limits { max_bytes: limits.max_bytes.max(text.len()), ..*limits };
        parse_whole(language, &text, &limits, cancelled)?
    };
    let Parsed { facts, interface, body, sql, notices } = parsed;
    let encode = |error: CodecError| Notice {
        reason: SkipReason::Io,
        detail: format!("internal error: {error}"),
        line: 0,
    };
    let module = module_name(language, path, &facts);
    let search_texts = (0..facts.definitions.len())
        .map(|index| search_text(language, path, &module, &facts, index))
        .collect();
    let file = ParsedFile {
        path: path.to_owned(),
        hash: Sha256::digest(bytes).into(),
        size: bytes.len() as u64,
        lines: lines(&text),
        language,
        module,
        facts,
        search_texts,
        interface: interface.encode().map_err(encode)?,
        body: body.encode().map_err(encode)?,
        sql,
        notices: decoded.into_iter().chain(notices).collect(),
        kept: None,
    };
    let bytes = facts_bytes(&file);
    if bytes > MAX_FACTS_BYTES {
        let detail = format!("its facts take {bytes} bytes, more than {MAX_FACTS_BYTES}");
        return Err(Notice { reason: SkipReason::TooLarge, detail, line: 0 });
    }
    Ok(file)
}

/// [`parse_file`], with what history keeps of the file.
pub fn parse_to_keep(
    path: &str,
    language: Language,
    bytes: &[u8],
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
) -> Result<ParsedFile, Notice> {
    let mut file = parse_file(path, language, bytes, limits, cancelled)?;
    let (text, decoded) = text_of(bytes, limits)?;
    let failed = |error: onyx_content::ContentError| Notice {
        reason: SkipReason::Io,
        detail: format!("internal error: {error}"),
        line: 0,
    };
    file.kept = Some(KeptFile {
        text: onyx_content::compress_fast(text.as_bytes()).map_err(failed)?,
        text_hash: decoded.map(|_| Sha256::digest(text.as_bytes()).into()),
        facts: onyx_content::compress_fast(&stored_facts::encode(&file.facts)).map_err(failed)?,
    });
    Ok(file)
}

/// The text of a file that is worth parsing, and a notice when it had to be decoded.
fn text_of<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Cow<'a, str>, Option<Notice>), Notice> {
    if bytes.len() > limits.max_bytes {
        let detail = format!("{} bytes, more than {}", bytes.len(), limits.max_bytes);
        return Err(Notice { reason: SkipReason::TooLarge, detail, line: 0 });
    }
    if bytes.len() < MAX_POINTER_BYTES && bytes.starts_with(LFS_POINTER) {
        let detail = "a Git LFS pointer: the content is not in the repository".to_owned();
        return Err(Notice { reason: SkipReason::LfsPointer, detail, line: 0 });
    }
    decode(bytes)
}

/// How the pointers begin that Git LFS keeps in place of files; they are always smaller than this.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const MAX_POINTER_BYTES: usize = 1_024;

/// The text and the definitions of one file, wherever it lies: what history keeps of it.
pub struct Content {
    /// SHA-256 of the bytes.
    pub hash: ContentHash,
    /// Its text; positions are in it.
    pub text: String,
    /// Lines of the text.
    pub lines: u32,
    /// Its definitions.
    pub facts: FileFacts,
    /// What was wrong with it; one is `Decoded` when the text is not the bytes.
    pub notices: Vec<Notice>,
}

/// [`parse_file`] without references and without what depends on the path: definitions are the same.
/// Only of a manifest the path says what may be wrong with it. A name may still be reason to leave the file
/// out: [`skipped_by_name`].
pub fn parse_content(
    path: &str,
    language: Language,
    bytes: &[u8],
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
) -> Result<Content, Notice> {
    let (text, decoded) = text_of(bytes, limits)?;
    let (facts, notices) = if language == Language::Manifest {
        let parsed = manifest::parse(path, &text);
        (parsed.facts, parsed.notices)
    } else {
        if let Some(detail) = generated_text(&text) {
            return Err(Notice { reason: SkipReason::Generated, detail, line: 0 });
        }
        let limits = Limits { max_bytes: limits.max_bytes.max(text.len()), ..*limits };
        parse(language, &text, &limits, cancelled)?
    };
    Ok(Content {
        hash: Sha256::digest(bytes).into(),
        lines: lines(&text),
        text: text.into_owned(),
        facts,
        notices: decoded.into_iter().chain(notices).collect(),
    })
}

/// Why a file is left out for its name, whatever is in it.
pub fn skipped_by_name(path: &str, language: Language) -> Option<Notice> {
    let detail = generated_name(path).filter(|_| language != Language::Manifest)?;
    Some(Notice { reason: SkipReason::Generated, detail, line: 0 })
}

/// About as many bytes as a parsed file takes on the wire.
pub fn facts_bytes(file: &ParsedFile) -> usize {
    const FIXED: usize = 64;
    let definitions = file.facts.definitions.iter().map(|definition| {
        let attributes = definition.attributes.iter().map(|a| a.len() + 2).sum::<usize>();
        FIXED
            + definition.name.len()
            + definition.qualified_name.len()
            + definition.signature.len()
            + definition.doc.len()
            + attributes
    });
    FIXED
        + file.path.len()
        + file.module.len()
        + file.facts.doc.len()
        + file.facts.package.len()
        + definitions.sum::<usize>()
        + file.interface.len()
        + file.body.len()
        + file.search_texts.iter().map(|text| text.len() + 4).sum::<usize>()
        + file.sql.iter().map(sql_bytes).sum::<usize>()
        + file.notices.iter().map(|notice| FIXED + notice.detail.len()).sum::<usize>()
        + file.kept.as_ref().map_or(0, |kept| kept.text.len() + kept.facts.len() + 64)
}

fn sql_bytes(reference: &SqlReference) -> usize {
    let names = reference.columns.iter().chain(&reference.possible);
    64 + reference.schema.len() + reference.table.len() + names.map(|n| n.len() + 4).sum::<usize>()
}

/// A file whose facts are larger is left out: they would not fit a frame with the batch around it.
const MAX_FACTS_BYTES: usize = MAX_FRAME_BYTES - (8 << 20);

/// Lines of a text; a last one without line break counts.
fn lines(text: &str) -> u32 {
    let breaks = text.bytes().filter(|&b| b == b'\n').count();
    let open = usize::from(!text.is_empty() && !text.ends_with('\n'));
    u32::try_from(breaks + open).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, bytes: &[u8]) -> Result<ParsedFile, Notice> {
        let language = Language::from_path(path).unwrap();
        parse_file(path, language, bytes, &Limits::default(), &|| false)
    }

    #[test]
    fn an_empty_file_is_parsed() {
        for language in Language::ALL.into_iter().chain([Language::Manifest]) {
            let file = parse_file("x", language, b"", &Limits::default(), &|| false).unwrap();
            assert!(file.facts.definitions.is_empty());
            assert_eq!((file.size, file.lines), (0, 0));
            assert!(file.notices.is_empty(), "{language:?}");
        }
    }

    #[test]
    fn places_and_accounts() {
        let file = read("src/pkg/a.py", b"def f():\n    '''Do it.'''\n\nX = 1").unwrap();
        assert_eq!((file.module.as_str(), file.size, file.lines), ("pkg.a", 32, 4));
        assert_eq!(file.hash[..], Sha256::digest(b"def f():\n    '''Do it.'''\n\nX = 1")[..]);
        assert_eq!(file.search_texts.len(), file.facts.definitions.len());

        let latin = read("a.py", b"# caf\xe9\ndef f(): pass\n").unwrap();
        assert_eq!(latin.notices[0].reason, SkipReason::Decoded);
        assert_eq!(latin.facts.definitions[0].name, "f");
        // In bytes of the text as UTF-8, where é has two.
        assert_eq!(latin.facts.definitions[0].start_byte, 8);
    }

    #[test]
    fn skips_with_a_reason() {
        let reason = |path, bytes: &[u8]| read(path, bytes).unwrap_err().reason;
        assert_eq!(reason("a.rs", b"fn f() {}\0"), SkipReason::Binary);
        assert_eq!(reason("a.min.js", b"var a"), SkipReason::Generated);
        assert_eq!(
            reason("a.py", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
            SkipReason::LfsPointer
        );
        assert_eq!(reason("a.rs", b"// @generated\nfn f() {}"), SkipReason::Generated);
        let limits = Limits { max_bytes: 8, ..Limits::default() };
        let large = parse_file("a.rs", Language::Rust, b"fn f() {}", &limits, &|| false);
        assert_eq!(large.unwrap_err().reason, SkipReason::TooLarge);
        let cancelled =
            parse_file("a.rs", Language::Rust, b"fn f() {}", &Limits::default(), &|| true);
        assert_eq!(cancelled.unwrap_err().reason, SkipReason::Timeout);
    }
}
