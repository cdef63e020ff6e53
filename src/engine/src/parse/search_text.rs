//! The text a definition is found by: embedded once, and full-text searched.

use onyx_protocol::facts::{Definition, FileFacts, Language, NodeKind};

use super::text::{bounded, fold, prefix};
use super::words::push_words;

/// Bounds of the parts, in bytes. Together they stay below some 80 word pieces: a small model's time
/// grows with each, and what it was trained on was hardly longer.
const MAX_NAME_BYTES: usize = 80;
const MAX_DOC_BYTES: usize = 160;
const MAX_PLACE_BYTES: usize = 64;
const MAX_SIGNATURE_BYTES: usize = 120;

/// The text that is embedded and searched for the definition at `index`:
///
/// ```text
/// get cookie of request. Value of a cookie by name. method src http request. Request.get_cookie. def ...
/// ```
///
/// which is the words of its name and its owner's, the first sentence of its documentation, kind and
/// path in words, the qualified name when there is an owner, and the signature. A pure function of its
/// arguments. Empty when the definition is not worth one:
///
/// * fields and enum members, which their owner's text stands for;
/// * variables and impl blocks without documentation;
/// * constants without documentation inside functions;
/// * names without a letter or digit.
pub fn search_text(
    language: Language,
    path: &str,
    module: &str,
    facts: &FileFacts,
    index: usize,
) -> String {
    let Some(definition) = facts.definitions.get(index) else { return String::new() };
    if !is_worth_a_text(definition, facts) {
        return String::new();
    }
    let owner = owner(definition, facts);
    let mut text = String::with_capacity(256);
    push_words(&mut text, prefix(&definition.name, MAX_NAME_BYTES));
    if let Some(owner) = owner {
        text.push_str(" of ");
        push_words(&mut text, prefix(&owner.name, MAX_NAME_BYTES));
    }
    text.push_str(". ");
    let said = first_sentence(&definition.doc);
    if !said.is_empty() {
        text.push_str(&said);
        text.push_str(if said.ends_with(['.', '!', '?', ':', '…']) { " " } else { ". " });
    }
    text.push_str(&definition.kind.as_str().replace('_', " "));
    text.push(' ');
    push_words(&mut text, place(language, path, module));
    text.push_str(". ");
    if owner.is_some() {
        text.push_str(prefix(&definition.qualified_name, MAX_NAME_BYTES));
        text.push_str(". ");
    }
    text.push_str(&bounded(definition.signature.clone(), MAX_SIGNATURE_BYTES));
    text
}

fn is_worth_a_text(definition: &Definition, facts: &FileFacts) -> bool {
    let has_words = definition.name.chars().any(char::is_alphanumeric);
    let has_doc = !definition.doc.is_empty();
    let is_local = owner(definition, facts).is_some_and(|owner| {
        matches!(owner.kind, NodeKind::Function | NodeKind::Method | NodeKind::Constructor)
    });
    has_words
        && match definition.kind {
            NodeKind::Field | NodeKind::EnumMember => false,
            NodeKind::Variable | NodeKind::Impl => has_doc,
            NodeKind::Constant => has_doc || !is_local,
            _ => true,
        }
}

fn owner<'a>(definition: &Definition, facts: &'a FileFacts) -> Option<&'a Definition> {
    facts.definitions.get(definition.parent? as usize)
}

/// Where it lies: the end of the path without its extension; of Java, whose paths repeat it behind
/// much that says nothing, the package.
fn place<'a>(language: Language, path: &'a str, module: &'a str) -> &'a str {
    let place = match path.rsplit_once('.') {
        _ if language == Language::Java && !module.is_empty() => module,
        Some((stem, extension)) if !extension.contains('/') => stem,
        _ => path,
    };
    &place[place.ceil_char_boundary(place.len().saturating_sub(MAX_PLACE_BYTES))..]
}

/// The first sentence of the first paragraph.
fn first_sentence(doc: &str) -> String {
    let paragraph = doc.split("\n\n").next().unwrap_or_default();
    let paragraph = fold(paragraph, 4 * MAX_DOC_BYTES);
    let ends = paragraph.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len());
    let end = ends.into_iter().find(|&end| {
        let is_short = ["e.g.", "i.e.", "etc."].iter().any(|s| paragraph[..end].ends_with(s));
        let rest = &paragraph[end..];
        !is_short && (rest.is_empty() || rest.starts_with(' '))
    });
    let sentence = &paragraph[..end.unwrap_or(paragraph.len())];
    bounded(sentence.to_owned(), MAX_DOC_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Limits, parse};

    fn texts(language: Language, path: &str, source: &str) -> Vec<String> {
        let (facts, _) = parse(language, source, &Limits::default(), &|| false).unwrap();
        let text = |index| search_text(language, path, "org.example", &facts, index);
        (0..facts.definitions.len()).map(text).collect()
    }

    #[test]
    fn says_name_documentation_kind_place_and_signature() {
        let source = "class HTTPRequest:\n    '''A request.'''\n    host = 1\n    def get_cookie(self, \
                      name: str):\n        '''Value of a cookie, e.g. a session. By name.\n\n        More.\n\
                      \x20       '''\n\nLIMIT = 1\nstate = None\n";
        assert_eq!(
            texts(Language::Python, "src/http/request.py", source),
            [
                "http request. A request. class src http request. class HTTPRequest",
                "",
                "get cookie of http request. Value of a cookie, e.g. a session. method src http request. \
                 HTTPRequest.get_cookie. def get_cookie(self, name: str)",
                "limit. constant src http request. LIMIT = 1",
                "",
            ]
        );
    }

    #[test]
    fn leaves_out_what_its_owner_stands_for() {
        let source = "/// Doc.\nenum E { A, B }\nstruct S { a: u8 }\nimpl S { fn f() { const C: u8 = 1; } }\n\
                      /// Why.\nimpl E {}\nfn _() {}\n";
        let texts = texts(Language::Rust, "src/lib.rs", source);
        let starts: Vec<&str> = texts.iter().map(|t| t.split(' ').next().unwrap()).collect();
        assert_eq!(starts, ["e.", "", "", "s.", "", "", "f", "", "e.", ""]);
    }

    #[test]
    fn stays_short() {
        let name = "long_name_".repeat(30);
        let source = format!(
            "/** {} */\nclass {name} {{ void {name}(int {name}) {{}} }}\n",
            "words ".repeat(200)
        );
        for text in texts(Language::Java, &"deep/".repeat(50), &source) {
            assert!(text.len() < 600, "{}", text.len());
            assert!(text.contains("org example"));
        }
    }

    #[test]
    fn finds_the_first_sentence() {
        let cases = [
            ("One. Two.", "One."),
            ("No end", "No end"),
            ("Version 1.2 of it. More", "Version 1.2 of it."),
            ("Two\nlines. More.", "Two lines."),
            ("Uses e.g. this. More.", "Uses e.g. this."),
            ("", ""),
        ];
        for (doc, sentence) in cases {
            assert_eq!(first_sentence(doc), sentence);
        }
        assert!(first_sentence(&"é".repeat(500)).len() <= MAX_DOC_BYTES);
    }
}
