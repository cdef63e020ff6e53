//! The text a definition is found by: embedded once, and full-text searched.

use onyx_protocol::facts::{Definition, FileFacts, Language, NodeKind};

use super::text::{bounded, fold, prefix};
use super::words::push_words;

/// Bounds of the parts, in bytes. Together they stay near 80 word pieces: a small model's time grows
/// with each, and what it was trained on was hardly longer.
const MAX_NAME_BYTES: usize = 100;
const MAX_DOC_BYTES: usize = 200;
const MAX_SIGNATURE_BYTES: usize = 160;
const MAX_PLACE_BYTES: usize = 80;

/// The text that is embedded and searched for the definition at `index`: kind and name in words, what
/// its documentation says first, qualified name, signature, place. Empty when it is not worth one:
///
/// * fields and enum members, which their owner's text stands for;
/// * variables and impl blocks without documentation;
/// * constants without documentation inside functions;
/// * definitions without a name.
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
    let mut text = definition.kind.as_str().replace('_', " ");
    text.push(' ');
    push_words(&mut text, prefix(&definition.name, MAX_NAME_BYTES));
    if let Some(owner) = owner(definition, facts) {
        text.push_str(" of ");
        push_words(&mut text, prefix(&owner.name, MAX_NAME_BYTES));
    }
    text.push_str(". ");
    let said = first_sentence(&definition.doc);
    if !said.is_empty() {
        text.push_str(&said);
        text.push_str(if said.ends_with(['.', '!', '?', ':', '…']) { " " } else { ". " });
    }
    let _ = language;
    text.push_str(prefix(&definition.qualified_name, MAX_NAME_BYTES));
    text.push_str(". ");
    text.push_str(&bounded(signature(definition), MAX_SIGNATURE_BYTES));
    text.push_str(". ");
    let _ = module;
    push_words(&mut text, last(path, MAX_PLACE_BYTES));
    text
}

/// The last `max` bytes of a path, from a character boundary.
fn last(path: &str, max: usize) -> &str {
    &path[path.ceil_char_boundary(path.len().saturating_sub(max))..]
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

fn signature(definition: &Definition) -> String {
    definition.signature.clone()
}

/// The first sentence of the first paragraph.
fn first_sentence(doc: &str) -> String {
    let paragraph = doc.split("\n\n").next().unwrap_or_default();
    let paragraph = fold(paragraph, 4 * MAX_DOC_BYTES);
    let end = paragraph
        .match_indices(['.', '!', '?'])
        .map(|(at, mark)| at + mark.len())
        .find(|&end| {
            let rest = &paragraph[end..];
            let is_short = paragraph[..end].ends_with("e.g.") || paragraph[..end].ends_with("i.e.");
            !is_short && (rest.is_empty() || rest.starts_with(' '))
        })
        .unwrap_or(paragraph.len());
    bounded(paragraph[..end].to_owned(), MAX_DOC_BYTES)
}
