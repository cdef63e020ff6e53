//! From source to facts: one parse, one query pass, one sweep.

use std::collections::HashSet;

use onyx_protocol::code::{Body, Interface};
use onyx_protocol::facts::{Definition, FileFacts, Language, NodeKind};
use onyx_protocol::ingest::{Notice, SkipReason, SqlReference};
use sha2::{Digest, Sha256};
use tree_sitter::Node;

use super::Limits;
use super::code::{extract, tables};
use super::found::{Candidate, Found, find};
use super::grammar::{Grammar, grammar};
use super::languages::Rules;
use super::recover::tree_of_broken;
use super::signature::{Parts, signature};
use super::site::{Site, add, is_code};
use super::sql;
use super::text::bounded;
use super::unwrap::unwrapped;
use super::watch::Watch;

/// Longest name, in bytes; of an object's key, for example, that is a sentence.
const MAX_NAME_BYTES: usize = 500;
/// Longest qualified name, in bytes: fits an index entry of PostgreSQL with room to spare.
const MAX_QUALIFIED_BYTES: usize = 1_000;
/// Most definitions in one file. Nobody writes as many, and their facts would be many times the file.
const MAX_DEFINITIONS: usize = 100_000;
/// Longest documentation, in bytes.
const MAX_DOC_BYTES: usize = 8 << 10;

/// What one file says.
pub struct Parsed {
    /// Its definitions.
    pub facts: FileFacts,
    /// What other files can see of its names.
    pub interface: Interface,
    /// What resolves its references.
    pub body: Body,
    /// Tables that strings of SQL in it name.
    pub sql: Vec<SqlReference>,
    /// What was wrong with it.
    pub notices: Vec<Notice>,
}

/// The facts of one file without its references: `parse_whole`'s first half.
pub fn parse(
    language: Language,
    source: &str,
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
) -> Result<(FileFacts, Vec<Notice>), Notice> {
    read(language, source, limits, cancelled, false).map(|parsed| (parsed.facts, parsed.notices))
}

/// What one file says, a pure function of language and content. Err when nothing could be made of
/// it: it is larger than the limits, took too long or was cancelled.
pub fn parse_whole(
    language: Language,
    source: &str,
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
) -> Result<Parsed, Notice> {
    read(language, source, limits, cancelled, true)
}

/// With or without `references`: interface and body.
fn read(
    language: Language,
    source: &str,
    limits: &Limits,
    cancelled: &dyn Fn() -> bool,
    references: bool,
) -> Result<Parsed, Notice> {
    let max_bytes = limits.max_bytes.min(u32::MAX as usize);
    if source.len() > max_bytes {
        let detail = format!("{} bytes, more than {max_bytes}", source.len());
        return Err(Notice { reason: SkipReason::TooLarge, detail, line: 0 });
    }
    let watch = Watch::new(limits.timeout, cancelled);
    let Some(grammar) = grammar(language) else {
        // Only its path tells what a manifest is: `parse_file`.
        let (facts, interface) = (FileFacts::default(), Interface::new(language));
        let (body, sql, notices) = (Body::default(), Vec::new(), Vec::new());
        return Ok(Parsed { facts, interface, body, sql, notices });
    };
    let retries = Watch::new(limits.timeout / 4, cancelled);
    let (tree, broken) = tree_of_broken(grammar, source, &watch, &retries)?;
    let tree = match broken {
        None if language == Language::Rust => unwrapped(grammar, source, tree, &watch)?,
        _ => tree,
    };
    let tables = tables(language, &grammar.language);
    let tags = references.then_some(&tables.tags[..]);
    let found = find(grammar, &tree, source, tags, &watch)?;
    let mut sweep = Sweep::new(language, grammar, source, &found, limits.max_depth);
    sweep.run(&watch)?;
    let (interface, body) = if references {
        let (definitions, nodes) = (&sweep.definitions, &sweep.nodes);
        extract(language, tables, &found.visits, source, definitions, nodes, &watch)
    } else {
        (Interface::new(language), Body::default())
    };
    watch.check()?;

    let sql = sql::references(tree.root_node(), source, &sweep.definitions);
    watch.check()?;
    let mut facts = FileFacts { definitions: sweep.definitions, ..FileFacts::default() };
    if let Some(package) = found.package {
        facts.package = source.get(package.byte_range()).unwrap_or_default().to_owned();
    }
    grammar.rules.finish(&mut facts, tree.root_node(), &found, source);
    facts.doc = bounded(facts.doc, MAX_DOC_BYTES);
    let too_deep = sweep.too_deep.map(|line| Notice {
        reason: SkipReason::TooDeep,
        detail: format!("definitions nested deeper than {} were left out", limits.max_depth),
        line,
    });
    let notices = broken.into_iter().chain(too_deep).collect();
    Ok(Parsed { facts, interface, body, sql, notices })
}

/// Goes over the candidates in order of their first byte and keeps the definitions they stand in.
struct Sweep<'a, 't> {
    separator: &'static str,
    rules: &'static dyn Rules,
    source: &'t str,
    found: &'a Found<'t>,
    max_depth: u32,
    definitions: Vec<Definition>,
    nodes: Vec<Node<'t>>,
    /// What stands before the names of a definition's members.
    scopes: Vec<String>,
    /// Definitions around the present place.
    open: Vec<u32>,
    /// Fields, constants and variables already defined, by owner and name.
    assigned: HashSet<(Option<u32>, String)>,
    next_yield: usize,
    too_deep: Option<u32>,
}

/// A candidate with its place.
struct Placed<'t> {
    candidate: Candidate<'t>,
    outer: Node<'t>,
    start: usize,
    end: usize,
    doc: String,
}

impl<'a, 't> Sweep<'a, 't> {
    fn new(
        language: Language,
        grammar: &Grammar,
        source: &'t str,
        found: &'a Found<'t>,
        max_depth: u32,
    ) -> Self {
        Self {
            separator: language.separator(),
            rules: grammar.rules,
            source,
            found,
            max_depth,
            definitions: Vec::new(),
            nodes: Vec::new(),
            scopes: Vec::new(),
            open: Vec::new(),
            assigned: HashSet::new(),
            next_yield: 0,
            too_deep: None,
        }
    }

    fn run(&mut self, watch: &Watch<'_>) -> Result<(), Notice> {
        let mut placed: Vec<Placed<'t>> =
            self.found.candidates.iter().map(|&candidate| self.place(candidate)).collect();
        placed.sort_by_key(|p| (p.start, std::cmp::Reverse(p.end)));
        for place in placed {
            if watch.poll().is_break() {
                break;
            }
            self.mark_generators(place.start);
            self.add(place);
            if self.definitions.len() > MAX_DEFINITIONS {
                let detail = format!("more than {MAX_DEFINITIONS} definitions");
                return Err(Notice { reason: SkipReason::TooLarge, detail, line: 0 });
            }
        }
        self.mark_generators(usize::MAX);
        watch.check()
    }

    fn place(&self, candidate: Candidate<'t>) -> Placed<'t> {
        let mut outer = match candidate.holder {
            Some(holder) if holds_one(holder, candidate.node) => holder,
            _ => candidate.node,
        };
        while let Some(&wrapper) = self.found.wrappers.get(&outer.id()) {
            outer = wrapper;
        }
        let rules = self.rules;
        let lead = self.found.prelude.before(outer.start_byte(), self.source, |c| rules.comment(c));
        let text = self.source.get(outer.byte_range()).unwrap_or_default();
        let end = outer.start_byte() + text.trim_ascii_end().len();
        Placed { candidate, outer, start: lead.start, end, doc: lead.doc }
    }

    fn add(&mut self, place: Placed<'t>) {
        while let Some(&top) = self.open.last() {
            let around = &self.definitions[top as usize];
            let (from, to) = (around.start_byte as usize, around.end_byte as usize);
            if to >= place.end && (from, to) != (place.start, place.end) {
                break;
            }
            self.open.pop();
        }
        if self.open.len() >= self.max_depth as usize {
            self.too_deep.get_or_insert(line(self.source, place.start, place.outer));
            return;
        }
        let Candidate { kind, node, name, body, holder, .. } = place.candidate;
        let site = Site {
            source: self.source,
            kind,
            node,
            name,
            holder,
            outer: place.outer,
            start: place.start,
            parent: self.open.last().copied(),
            definitions: &self.definitions,
            nodes: &self.nodes,
            found: self.found,
        };
        let Some(details) = self.rules.define(&site) else { return };
        let name_start = site.name_start();
        let parent = details.parent.or(site.parent);
        let is_assigned =
            matches!(details.kind, NodeKind::Field | NodeKind::Constant | NodeKind::Variable);
        if is_assigned
            && self.rules.first_assignment_defines()
            && !self.assigned.insert((parent, details.name.clone()))
        {
            return;
        }

        let name = bounded(details.name, MAX_NAME_BYTES);
        let qualified_name = details.qualified_name.unwrap_or_else(|| match parent {
            Some(parent) => format!("{}{}{name}", self.scopes[parent as usize], self.separator),
            None => name.clone(),
        });
        let qualified_name = bounded(qualified_name, MAX_QUALIFIED_BYTES);
        let body = body.or_else(|| node.child_by_field_name("body"));
        let mut doc = details.doc.unwrap_or(place.doc);
        if doc.is_empty() && body.is_some() {
            let inside = body.map_or(place.end, |body| body.start_byte() + 1);
            doc = self.found.prelude.inner(inside, self.source, |c| self.rules.comment(c));
        }
        let is_value = is_assigned || details.kind == NodeKind::EnumMember;
        if doc.is_empty() && is_value && self.rules.has_trailing_docs() {
            doc = self.found.prelude.after(place.end, self.source, |c| self.rules.comment(c));
        }
        let end = details.signature_end.or(body.map(|body| body.start_byte()));
        let parts = Parts { kind: details.kind, node, outer: place.outer, holder, name_start, end };
        let signature = signature(&parts, self.found, self.source);
        let bytes = self.source.as_bytes().get(place.start..place.end).unwrap_or_default();
        let mut hash = [0; 16];
        hash.copy_from_slice(&Sha256::digest(bytes)[..16]);
        let start_line = line(self.source, place.start, place.outer);
        let tail = self.source.get(place.end..place.outer.end_byte()).unwrap_or_default();
        let trimmed = tail.bytes().filter(|&b| b == b'\n').count();
        let end_line = number(place.outer.end_position().row + 1 - trimmed);

        let index = number(self.definitions.len());
        self.scopes.push(details.scope.unwrap_or_else(|| qualified_name.clone()));
        self.nodes.push(node);
        self.definitions.push(Definition {
            kind: details.kind,
            name,
            qualified_name,
            parent,
            signature,
            doc: bounded(doc, MAX_DOC_BYTES),
            visibility: details.visibility,
            attributes: details.attributes,
            start_byte: number(place.start),
            end_byte: number(place.end),
            start_line,
            end_line,
            hash,
        });
        if self.rules.holds_others(details.kind) {
            self.open.push(index);
        }
    }

    /// Gives the functions around the `yield`s before byte `until` their attribute.
    fn mark_generators(&mut self, until: usize) {
        while let Some(&at) = self.found.yields.get(self.next_yield).filter(|&&at| at < until) {
            self.next_yield += 1;
            let around = self.open.iter().rev().copied().find(|&open| {
                let definition = &self.definitions[open as usize];
                at < definition.end_byte as usize && is_code(definition.kind)
            });
            if let Some(index) = around {
                add(&mut self.definitions[index as usize].attributes, "generator");
            }
        }
    }
}

/// The line of byte `at`, which lies at or before the first byte of the outer node: only attributes
/// are between.
fn line(source: &str, at: usize, outer: Node<'_>) -> u32 {
    let between = source.as_bytes().get(at..outer.start_byte()).unwrap_or_default();
    let lines = between.iter().filter(|&&b| b == b'\n').count();
    number(outer.start_position().row + 1 - lines)
}

/// Whether a statement holds this definition and no other.
fn holds_one(holder: Node<'_>, node: Node<'_>) -> bool {
    let mut cursor = holder.walk();
    let mut more = cursor.goto_first_child();
    let mut alike = 0;
    while more {
        let child = cursor.node();
        alike += u32::from(child.kind_id() == node.kind_id());
        if alike > 1 || child.kind() == "(" {
            return false;
        }
        more = cursor.goto_next_sibling();
    }
    alike == 1
}

/// Source is at most 4 GiB, so are its positions and counts.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
