//! Every construct of every language against expectations checked by hand: `fixtures/<file>` is the
//! source, `fixtures/<file>.outline` what must be found in it. When a change is meant, read the
//! difference, then write the outlines anew with `ONYX_WRITE_OUTLINES=1 cargo test --test parse`.

use std::fmt::Write as _;
use std::path::PathBuf;

use onyx_engine::parse::{Limits, parse_file};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::ParsedFile;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> (String, ParsedFile) {
    let source = std::fs::read_to_string(fixture(name)).unwrap();
    let language = Language::from_path(name).unwrap();
    let file = parse_file(name, language, source.as_bytes(), &Limits::default(), &|| false);
    (source, file.unwrap())
}

/// One line a definition, indented by owner: kind, qualified name, lines, visibility, attributes;
/// below it signature and documentation.
fn outline(file: &ParsedFile) -> String {
    let mut text = String::new();
    let one_line = |s: &str| s.replace('\n', "⏎");
    writeln!(text, "module {} package {}", file.module, file.facts.package).unwrap();
    writeln!(text, "doc {}", one_line(&file.facts.doc)).unwrap();
    for definition in &file.facts.definitions {
        let mut depth = 0;
        let mut owner = definition.parent;
        while let Some(index) = owner {
            depth += 1;
            owner = file.facts.definitions[index as usize].parent;
        }
        let indent = "  ".repeat(depth);
        writeln!(
            text,
            "{indent}{} {} {}-{} {} [{}]",
            definition.kind.as_str(),
            definition.qualified_name,
            definition.start_line,
            definition.end_line,
            definition.visibility.as_str(),
            definition.attributes.join(", "),
        )
        .unwrap();
        writeln!(text, "{indent}  | {}", definition.signature).unwrap();
        if !definition.doc.is_empty() {
            writeln!(text, "{indent}  # {}", one_line(&definition.doc)).unwrap();
        }
    }
    text
}

fn check(name: &str) {
    let (_, file) = read(name);
    assert_eq!(file.notices, [], "{name}");
    let found = outline(&file);
    let path = fixture(&format!("{name}.outline"));
    if std::env::var_os("ONYX_WRITE_OUTLINES").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{name}.outline, line {}", line + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{name}");
}

#[test]
fn rust() {
    check("shapes.rs");
}

#[test]
fn python() {
    check("shapes.py");
}

#[test]
fn javascript() {
    check("shapes.js");
}

#[test]
fn typescript() {
    check("shapes.ts");
}

#[test]
fn tsx() {
    check("shapes.tsx");
}

#[test]
fn go() {
    check("shapes.go");
}

#[test]
fn java() {
    check("Shapes.java");
}

const FIXTURES: [&str; 7] =
    ["shapes.rs", "shapes.py", "shapes.js", "shapes.ts", "shapes.tsx", "shapes.go", "Shapes.java"];

/// Spans are those of the text: names are inside, lines count from the bytes, hashes are of the bytes,
/// owners come first and are around what they own.
#[test]
fn spans_hashes_and_owners_fit_the_text() {
    use sha2::{Digest, Sha256};
    for name in FIXTURES {
        let (source, file) = read(name);
        let definitions = &file.facts.definitions;
        assert!(definitions.len() > 8, "{name}");
        assert_eq!(file.search_texts.len(), definitions.len());
        for (index, d) in definitions.iter().enumerate() {
            let (start, end) = (d.start_byte as usize, d.end_byte as usize);
            let text = &source[start..end];
            assert_eq!(text.trim(), text, "{name}: {}", d.qualified_name);
            let line_of = |byte: usize| 1 + source[..byte].matches('\n').count() as u32;
            assert_eq!(d.start_line, line_of(start), "{name}: {}", d.qualified_name);
            assert_eq!(d.end_line, line_of(end), "{name}: {}", d.qualified_name);
            assert_eq!(d.hash[..], Sha256::digest(text.as_bytes())[..16]);
            if !["default", "<anonymous>"].contains(&d.name.as_str())
                && d.kind.as_str() != "impl"
                && !d.name.starts_with("<anonymous ")
            {
                assert!(text.contains(&d.name), "{name}: {}", d.qualified_name);
            }
            if let Some(parent) = d.parent {
                assert!((parent as usize) < index, "{name}: {}", d.qualified_name);
                let owner = &definitions[parent as usize];
                assert!(
                    owner.start_byte <= d.start_byte && d.end_byte <= owner.end_byte,
                    "{name}: {}",
                    d.qualified_name
                );
            }
        }
        let starts: Vec<u32> = definitions.iter().map(|d| d.start_byte).collect();
        assert!(starts.is_sorted(), "{name}");
    }
}

/// A byte order mark and other line ends change positions and nothing else.
#[test]
fn line_ends_and_byte_order_marks_change_nothing_else() {
    for name in FIXTURES {
        let (source, file) = read(name);
        // A `#!` line is one at the very beginning only.
        let source = source
            .strip_prefix("#!")
            .map_or(source.as_str(), |rest| rest.split_once('\n').map_or("", |(_, rest)| rest));
        let language = Language::from_path(name).unwrap();
        let again = |bytes: &[u8]| {
            parse_file(name, language, bytes, &Limits::default(), &|| false).unwrap()
        };
        let plain = again(source.as_bytes());
        assert_eq!(plain.facts.definitions.len(), file.facts.definitions.len(), "{name}");

        let dos = again(source.replace('\n', "\r\n").as_bytes());
        assert_eq!(outline(&dos), outline(&plain), "{name}");
        assert_eq!(dos.search_texts, plain.search_texts, "{name}");

        let marked = again(format!("\u{feff}{source}").as_bytes());
        assert_eq!(outline(&marked), outline(&plain), "{name}");
        for (a, b) in marked.facts.definitions.iter().zip(&plain.facts.definitions) {
            assert_eq!(a.start_byte, b.start_byte + 3, "{name}: {}", a.qualified_name);
            assert_eq!(a.hash, b.hash, "{name}: {}", a.qualified_name);
        }

        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(source.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let decoded = again(&utf16);
        assert_eq!(decoded.facts, plain.facts, "{name}");
    }
}

/// The same content gives the same facts, whatever was parsed before on the thread.
#[test]
fn facts_are_a_function_of_content() {
    let first: Vec<ParsedFile> = FIXTURES.iter().map(|name| read(name).1).collect();
    let again: Vec<ParsedFile> = FIXTURES.iter().rev().map(|name| read(name).1).collect();
    for (a, b) in first.iter().zip(again.iter().rev()) {
        assert_eq!(a, b);
    }
    let elsewhere = std::thread::spawn(|| FIXTURES.map(|name| read(name).1)).join().unwrap();
    assert_eq!(first, elsewhere);
}
