//! The peer of `make bench-ingest`: tree-sitter alone. Reads paths from standard input, one a line,
//! parses each file with the grammar of its extension on THREADS threads, and prints the bytes read
//! and the seconds it took.
//!
//!     bare_parse THREADS <paths

use std::io::Read;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, io, process, thread};

use onyx_protocol::facts::Language;

fn main() {
    let threads = env::args().nth(1).and_then(|text| text.parse::<usize>().ok());
    let mut paths = String::new();
    let (Some(threads), Ok(_)) = (threads, io::stdin().read_to_string(&mut paths)) else {
        eprintln!("usage: bare_parse THREADS <paths");
        process::exit(2);
    };
    let paths: Vec<&str> = paths.lines().collect();
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut parser = tree_sitter::Parser::new();
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match parse(&mut parser, path) {
                        Some(read) => _ = bytes.fetch_add(read, Ordering::Relaxed),
                        None => eprintln!("bare_parse: cannot parse {path}"),
                    }
                }
            });
        }
    });
    println!("{} {:.6}", bytes.into_inner(), start.elapsed().as_secs_f64());
}

fn parse(parser: &mut tree_sitter::Parser, path: &str) -> Option<u64> {
    let grammar = match Language::from_path(path)? {
        Language::Rust => tree_sitter_rust::LANGUAGE,
        Language::Python => tree_sitter_python::LANGUAGE,
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
        Language::JavaScript => tree_sitter_javascript::LANGUAGE,
        Language::Go => tree_sitter_go::LANGUAGE,
        Language::Java => tree_sitter_java::LANGUAGE,
        Language::Manifest => return None,
    };
    let content = fs::read(path).ok()?;
    parser.set_language(&grammar.into()).ok()?;
    let tree = parser.parse(&content, None)?;
    // An empty file has a root, too.
    (tree.root_node().end_byte() <= content.len()).then_some(content.len() as u64)
}
