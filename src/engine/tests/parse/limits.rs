//! What must not bring the parser down or to a wrong answer: nesting without end, syntax errors, files
//! that take too long, callers that lose interest.

use std::cell::Cell;
use std::time::{Duration, Instant};

use onyx_engine::parse::{Limits, parse, parse_file};
use onyx_protocol::facts::{FileFacts, Language};
use onyx_protocol::ingest::{Notice, SkipReason};

const DEPTH: usize = 100_000;

/// On a stack half as large as a thread's usual one: recursion on depth would end the process.
fn parse_on_small_stack(
    language: Language,
    source: String,
    timeout: Duration,
) -> Result<(FileFacts, Vec<Notice>), Notice> {
    let limits = Limits { timeout, ..Limits::default() };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(move || parse(language, &source, &limits, &|| false)).unwrap().join().unwrap()
}

/// Brackets a hundred thousand deep, closed or not, end in facts or in a timeout, and soon.
#[test]
fn survives_deep_brackets() {
    for language in Language::ALL {
        for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("a(", ")"), ("a.", "b")] {
            for source in [open.repeat(DEPTH), open.repeat(DEPTH) + &close.repeat(DEPTH)] {
                let start = Instant::now();
                let timeout = Duration::from_millis(300);
                let result = parse_on_small_stack(language, source, timeout);
                if let Err(notice) = result {
                    assert_eq!(notice.reason, SkipReason::Timeout, "{language:?} {open}");
                }
                // The check is between steps of tree-sitter; the bound is wide for busy machines.
                let took = start.elapsed();
                assert!(took < Duration::from_secs(20), "{language:?} {open}: {took:?}");
            }
        }
    }
}

/// Definitions a hundred thousand deep: the outer ones are found, the rest is accounted for.
#[test]
fn deep_definitions_are_cut_at_the_limit() {
    let nested = |head: &str, open: &str, close: &str, tail: &str| {
        format!("{head}{}{}{tail}", open.repeat(DEPTH), close.repeat(DEPTH))
    };
    let sources = [
        (Language::Rust, nested("", "mod m { ", "}", "")),
        (Language::Rust, nested("fn f() ", "{ fn f() ", "{} }", "")),
        (Language::JavaScript, nested("", "function f() { ", "}", "")),
        (Language::TypeScript, nested("", "function f() { ", "}", "")),
        (Language::Tsx, nested("", "class A { m() { return ", "} }", "")),
        (Language::Go, nested("package p\nfunc f() {", "x := func() {", "}", "}")),
        (Language::Java, nested("", "class A {", "}", "")),
    ];
    for (language, source) in sources {
        let result = parse_on_small_stack(language, source, Duration::from_secs(60));
        let (facts, notices) = result.unwrap();
        if language == Language::Tsx {
            continue; // Not valid and only there to be survived.
        }
        assert_eq!(facts.definitions.len(), 100, "{language:?}");
        for (i, definition) in facts.definitions.iter().enumerate() {
            assert_eq!(definition.parent, i.checked_sub(1).map(|p| p as u32), "{language:?}");
            assert!(definition.qualified_name.len() <= 1_000);
        }
        let too_deep: Vec<_> = notices.iter().filter(|n| n.reason == SkipReason::TooDeep).collect();
        assert_eq!(too_deep.len(), 1, "{language:?}");
        assert!(too_deep[0].detail.contains("100"), "{}", too_deep[0].detail);
    }
}

/// Python's nesting is indentation, so its size is the square of its depth.
#[test]
fn deep_python_is_cut_at_the_limit() {
    let mut source = String::new();
    for depth in 0..200 {
        source.push_str(&" ".repeat(depth));
        source.push_str("def f():\n");
    }
    source.push_str(&" ".repeat(200));
    source.push_str("pass\n");
    let result = parse_on_small_stack(Language::Python, source, Duration::from_secs(60));
    let (facts, notices) = result.unwrap();
    assert_eq!(facts.definitions.len(), 100);
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].reason, notices[0].line), (SkipReason::TooDeep, 101));
}

#[test]
fn stops_in_time_and_when_asked() {
    let source = "fn f() { let x = [1, 2, 3]; }\n".repeat(100_000);
    let limits = Limits { timeout: Duration::from_millis(20), ..Limits::default() };
    let start = Instant::now();
    let notice = parse(Language::Rust, &source, &limits, &|| false).unwrap_err();
    assert_eq!(notice.reason, SkipReason::Timeout);
    assert!(notice.detail.contains("20ms"), "{}", notice.detail);
    assert!(start.elapsed() < Duration::from_secs(5));

    let asked = Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 50
    };
    let notice = parse(Language::Rust, &source, &Limits::default(), &cancelled).unwrap_err();
    assert_eq!(notice.reason, SkipReason::Timeout);
    assert_eq!(notice.detail, "parsing was cancelled");
    assert_eq!(asked.get(), 51);

    // The parser of this thread is as good as before.
    let (facts, notices) =
        parse(Language::Rust, "fn g() {}", &Limits::default(), &|| false).unwrap();
    assert_eq!((facts.definitions[0].name.as_str(), notices.len()), ("g", 0));
}

#[test]
fn refuses_what_is_too_large() {
    let limits = Limits { max_bytes: 10, ..Limits::default() };
    let notice = parse(Language::Go, "package main", &limits, &|| false).unwrap_err();
    assert_eq!(notice.reason, SkipReason::TooLarge);
    assert_eq!(notice.detail, "12 bytes, more than 10");

    let limits = Limits { timeout: Duration::from_secs(60), ..Limits::default() };
    let most = "fn f() {}\n".repeat(100_000);
    let (facts, _) = parse(Language::Rust, &most, &limits, &|| false).unwrap();
    assert_eq!(facts.definitions.len(), 100_000);
    let notice = parse(Language::Rust, &(most + "fn f() {}"), &limits, &|| false).unwrap_err();
    assert_eq!(notice.reason, SkipReason::TooLarge);
    assert_eq!(notice.detail, "more than 100000 definitions");
}

/// One notice with the number of errors and the line of the first; what stands around is found.
#[test]
fn syntax_errors_lose_only_the_broken_part() {
    let cases = [
        (
            Language::Rust,
            "fn before() {}\nfn broken() { let = ; }\nstruct S { a: u8, }\nfn after() {}\n",
            2,
            vec!["before", "broken", "S", "S::a", "after"],
        ),
        (
            Language::Python,
            "def before():\n    '''Doc.'''\n\nx = 1 +* 2\n\nclass C:\n    def m(self): pass\n",
            4,
            vec!["before", "C", "C.m"],
        ),
        (
            Language::JavaScript,
            "function before() {}\nlet = = 3;\nclass C { m() {} }\nconst after = () => 1;\n",
            2,
            vec!["before", "C", "C.m", "after"],
        ),
        (
            Language::TypeScript,
            "interface I { a: string }\ntype = ;\nexport function after(x: number) {}\n",
            2,
            vec!["I", "I.a", "after"],
        ),
        (
            Language::Tsx,
            "function before() {}\nconst = <a></a>;\nconst After = () => <b>x</b>;\n",
            2,
            vec!["before", "After"],
        ),
        (
            Language::Go,
            "package p\nfunc before() {}\nfunc broken() { x := := 1 }\nfunc (t *T) After() {}\n",
            3,
            vec!["before", "broken", "(*T).After"],
        ),
        (
            Language::Java,
            "class A {\n  void before() {}\n  void broken() { int = 3; }\n  int after;\n}\n",
            3,
            vec!["A", "A.before", "A.broken", "A.after"],
        ),
    ];
    for (language, source, line, expected) in cases {
        let (facts, notices) = parse(language, source, &Limits::default(), &|| false).unwrap();
        let names: Vec<&str> =
            facts.definitions.iter().map(|d| d.qualified_name.as_str()).collect();
        for name in expected {
            assert!(names.contains(&name), "{language:?}: {name} not among {names:?}");
        }
        assert_eq!(notices.len(), 1, "{language:?}: {notices:?}");
        assert_eq!(notices[0].reason, SkipReason::SyntaxError, "{language:?}");
        assert_eq!(notices[0].line, line, "{language:?}: {notices:?}");
        let (count, word) = notices[0].detail.split_once(' ').unwrap();
        assert_eq!(word == "error", count == "1", "{}", notices[0].detail);
        assert!(word.starts_with("error"));
    }
}

/// Open brackets and half-written heads, which make tree-sitter give up the rest of the file, cost the
/// definition they are in and no other.
#[test]
fn an_open_bracket_does_not_swallow_the_file() {
    let cases = [
        (
            Language::Python,
            "'''Doc.'''\nclass A:\n    def m(self): pass\n    def (:\n        pass\n\n    def n(self): pass\n\n\
             def last(): pass\n",
            "A A.m A.n last",
        ),
        (
            Language::Python,
            "'''Doc.'''\nclass A:\n    def m(self): pass\n\nx = foo(1,\n\ndef last(): pass\n",
            "A A.m last",
        ),
        (
            Language::Rust,
            "impl A {\n    fn a(&self) {}\n    fn b(&self { }\n    fn c(&self) {}\n}\n\
             fn open() {\n    if x {\n}\nstruct S { s: u8 }\nfn last() {}\n",
            "A::a A::c S S::s last",
        ),
        (
            Language::JavaScript,
            "function before() {}\nfunction open() {\n  if (x) {\n}\nclass A { m() {} }\n\
             const last = () => 1;\n",
            "before A A.m last",
        ),
        (
            Language::TypeScript,
            "export class A {\n  before(): void {}\n  broken(x: {\n  after(): void {}\n}\n\
             export function last() {}\n",
            "A A.before A.after last",
        ),
        (
            Language::Go,
            "package p\n\nfunc broken( {\n\treturn\n}\n\nfunc (a *A) After() {}\n\nfunc last() {}\n",
            "(*A).After last",
        ),
        (
            Language::Java,
            "class A {\n  void before() {}\n  void broken( {\n    foo();\n  }\n  void after() {}\n}\n\
             class C { void x() {} }\n",
            "A A.before A.after C C.x",
        ),
    ];
    for (language, source, expected) in cases {
        let (facts, notices) = parse(language, source, &Limits::default(), &|| false).unwrap();
        let names: Vec<&str> =
            facts.definitions.iter().map(|d| d.qualified_name.as_str()).collect();
        for name in expected.split(' ') {
            assert!(names.contains(&name), "{language:?}: {name} not among {names:?}");
        }
        assert_eq!(notices.len(), 1, "{language:?}: {notices:?}");
        assert_eq!(notices[0].reason, SkipReason::SyntaxError);
        if language == Language::Python {
            assert_eq!(facts.doc, "Doc.");
        }
        for definition in &facts.definitions {
            let span = definition.start_byte as usize..definition.end_byte as usize;
            assert!(source[span].contains(&definition.name), "{language:?}: {}", definition.name);
        }
    }
}

/// A statement whose line break the end of the file swallows is no error.
#[test]
fn a_missing_last_line_break_is_no_error() {
    let sources = [
        (Language::Rust, "fn f() {}"),
        (Language::Python, "def f(): pass"),
        (Language::JavaScript, "function f() {}"),
        (Language::TypeScript, "function f() {}"),
        (Language::Go, "package p\n\nfunc f() {}"),
        (Language::Java, "class A {}"),
    ];
    for (language, source) in sources {
        let (facts, notices) = parse(language, source, &Limits::default(), &|| false).unwrap();
        assert_eq!(facts.definitions.len(), 1, "{language:?}");
        assert_eq!(notices, [], "{language:?}");
    }
}

/// Names and documentation of any length fit what they are stored in.
#[test]
fn long_names_and_comments_are_cut() {
    let name = "é".repeat(10_000);
    let source = format!("/// {}\nmod {name} {{ fn {name}() {{}} }}\n", "ü".repeat(10_000));
    let (facts, _) = parse(Language::Rust, &source, &Limits::default(), &|| false).unwrap();
    assert_eq!(facts.definitions.len(), 2);
    assert!(facts.definitions[0].doc.len() <= 8 << 10);
    for definition in &facts.definitions {
        assert!(definition.name.len() <= 500);
        assert!(definition.qualified_name.len() <= 1_000);
        assert!(definition.signature.len() <= 1 << 10);
    }
}

#[test]
fn a_file_whose_facts_do_not_fit_a_frame_is_left_out() {
    // Members of long qualified names: their facts are many times the file.
    let long = "a".repeat(450);
    let mut source = format!("class {long}:\n  class {long}:\n");
    for n in 0..90_000 {
        source.push_str(&format!("    def f{n}(self): pass\n"));
    }
    let limits = Limits { max_bytes: 16 << 20, ..Limits::default() };
    let notice = parse_file("long.py", Language::Python, source.as_bytes(), &limits, &|| false)
        .expect_err("too large");
    assert_eq!(notice.reason, SkipReason::TooLarge);
    assert!(notice.detail.contains("its facts take"), "{}", notice.detail);
}
