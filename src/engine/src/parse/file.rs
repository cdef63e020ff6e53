//! One file from bytes to `ParsedFile`.

use onyx_protocol::codec::CodecError;
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::{Notice, ParsedFile, SkipReason, SqlReference};
use onyx_protocol::limits::MAX_FRAME_BYTES;
use sha2::{Digest, Sha256};

use super::Limits;
use super::decode::decode;
use super::extract::{Parsed, parse_whole};
use super::generated::generated;
use super::manifest;
use super::module_name::module_name;
use super::search_text::search_text;

/// Decodes, parses and places one file. Err when it is left out whole: too large, binary, generated,
/// too slow, cancelled. Positions in the facts refer to the decoded text, which is the file itself
/// unless there is a notice `Decoded`.
pub fn parse_file(
    path: &str,
    language: Language,
    bytes: &[u8],
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
) -> Result<ParsedFile, Notice> {
    if bytes.len() > limits.max_bytes {
        let detail = format!("{} bytes, more than {}", bytes.len(), limits.max_bytes);
        return Err(Notice { reason: SkipReason::TooLarge, detail, line: 0 });
    }
    let (text, decoded) = decode(bytes)?;
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
    };
    let bytes = facts_bytes(&file);
    if bytes > MAX_FACTS_BYTES {
        let detail = format!("its facts take {bytes} bytes, more than {MAX_FACTS_BYTES}");
        return Err(Notice { reason: SkipReason::TooLarge, detail, line: 0 });
    }
    Ok(file)
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
        assert_eq!(reason("a.rs", b"// @generated\nfn f() {}"), SkipReason::Generated);
        let limits = Limits { max_bytes: 8, ..Limits::default() };
        let large = parse_file("a.rs", Language::Rust, b"fn f() {}", &limits, &|| false);
        assert_eq!(large.unwrap_err().reason, SkipReason::TooLarge);
        let cancelled =
            parse_file("a.rs", Language::Rust, b"fn f() {}", &Limits::default(), &|| true);
        assert_eq!(cancelled.unwrap_err().reason, SkipReason::Timeout);
    }
}
