//! Rows of `onyx.nodes`: as they were, as they have to be, and one statement for many of them.

use std::collections::HashMap;

use onyx_protocol::facts::Definition;
use pgrx::prelude::*;

use super::bulk::{self, Column};
use crate::error::Error;
use crate::search::Lexicon;

/// Between the elements of a text array on its way to SQL; cannot occur in source that is kept.
const UNIT_SEPARATOR: &str = "\u{1f}";

/// A node as it has to be.
pub struct Node<'a> {
    pub id: i64,
    pub file: Option<i64>,
    pub parent: Option<i64>,
    pub kind: &'a str,
    pub name: String,
    pub qualified_name: String,
    pub language: Option<&'a str>,
    pub definition: Option<&'a Definition>,
    /// Number of the definition in its file.
    pub ordinal: Option<i32>,
    pub span: Option<(i32, i32, i32, i32)>,
    pub doc: &'a str,
    pub search_text: Option<&'a str>,
}

/// A node as it was.
pub struct Old {
    pub id: i64,
    pub file: i64,
    pub kind: String,
    pub qualified_name: String,
    pub span: (i32, i32, i32, i32),
    pub hash: Option<Vec<u8>>,
    pub doc: String,
    pub search_text: Option<String>,
    pub visibility: Option<String>,
    pub parent: Option<i64>,
    pub ordinal: Option<i32>,
    used: bool,
}

/// File, kind and qualified name.
type Key = (i64, String, String);

/// Nodes as they were.
#[derive(Default)]
pub struct OldNodes {
    all: Vec<Old>,
    ids: HashMap<i64, usize>,
    /// In the order of their files.
    keys: HashMap<Key, Vec<usize>>,
}

impl OldNodes {
    /// The node with this id.
    pub fn by_id(&mut self, id: i64) -> Option<&Old> {
        let old = &mut self.all[*self.ids.get(&id)?];
        old.used = true;
        Some(old)
    }

    /// The next node of a file with a node's kind and qualified name.
    pub fn like(&mut self, file: i64, node: &Node<'_>) -> Option<&Old> {
        let key = (file, node.kind.to_string(), node.qualified_name.clone());
        let place = self.keys.get(&key)?.iter().copied().find(|place| !self.all[*place].used)?;
        let old = &mut self.all[place];
        old.used = true;
        Some(old)
    }

    /// Nodes of files that nothing asked for.
    pub fn unused(&self, files: &[i64]) -> impl Iterator<Item = i64> {
        let files: std::collections::HashSet<i64> = files.iter().copied().collect();
        self.all.iter().filter(move |o| !o.used && files.contains(&o.file)).map(|o| o.id)
    }
}

impl Node<'_> {
    /// Whether the row need not be written.
    pub fn equals(&self, old: &Old) -> bool {
        self.span == Some(old.span)
            && self.file == Some(old.file)
            && self.kind == old.kind
            && self.qualified_name == old.qualified_name
            && self.parent == old.parent
            && self.ordinal == old.ordinal
            && self.doc == old.doc
            && self.search_text == old.search_text.as_deref()
            // Of an enum's member, say, it is the enum's: its own bytes do not tell.
            && self.definition.map(|d| d.visibility.as_str()) == old.visibility.as_deref()
            && self.definition.map(|d| d.hash.as_slice()) == old.hash.as_deref()
    }
}

/// The nodes of files that are written again, and those with given ids wherever they are.
pub fn load(files: &[i64], given: &[i64]) -> Result<OldNodes, Error> {
    let mut old = OldNodes::default();
    if files.is_empty() && given.is_empty() {
        return Ok(old);
    }
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT id, file_id, kind, qualified_name, start_byte, end_byte, start_line, end_line,
                    content_hash, doc, search_text, parent_id, visibility,
                    ordinal
             FROM onyx.nodes WHERE file_id = ANY ($1) OR id = ANY ($2) AND origin = 'source'
             ORDER BY file_id, start_byte, id",
            None,
            &[files.to_vec().into(), given.to_vec().into()],
        )?;
        for row in rows {
            let number = |i| row.get::<i32>(i).map(Option::unwrap_or_default);
            let node = Old {
                id: row.get::<i64>(1)?.unwrap_or_default(),
                file: row.get::<i64>(2)?.unwrap_or_default(),
                kind: row.get::<String>(3)?.unwrap_or_default(),
                qualified_name: row.get::<String>(4)?.unwrap_or_default(),
                span: (number(5)?, number(6)?, number(7)?, number(8)?),
                hash: row.get::<Vec<u8>>(9)?,
                doc: row.get::<String>(10)?.unwrap_or_default(),
                search_text: row.get::<String>(11)?,
                parent: row.get::<i64>(12)?,
                visibility: row.get::<String>(13)?,
                ordinal: row.get::<i32>(14)?,
                used: false,
            };
            let place = old.all.len();
            old.ids.insert(node.id, place);
            let key = (node.file, node.kind.clone(), node.qualified_name.clone());
            old.keys.entry(key).or_default().push(place);
            old.all.push(node);
        }
        Ok(old)
    })
}

/// The columns of nodes as arrays, for one statement over all of them.
fn arrays<'a>(
    nodes: &'a [Node<'_>],
    lexicon: &mut Lexicon,
) -> Result<Vec<pgrx::datum::DatumWithOid<'a>>, Error> {
    fn column<'a, T, U>(nodes: &'a [Node<'_>], f: impl Fn(&'a Node<'_>) -> U) -> T
    where
        T: FromIterator<U>,
    {
        nodes.iter().map(f).collect()
    }
    let ids: Vec<i64> = column(nodes, |n| n.id);
    let files: Vec<Option<i64>> = column(nodes, |n| n.file);
    let parents: Vec<Option<i64>> = column(nodes, |n| n.parent);
    let kinds: Vec<&str> = column(nodes, |n| n.kind);
    let names: Vec<&str> = column(nodes, |n| n.name.as_str());
    let qualified: Vec<&str> = column(nodes, |n| n.qualified_name.as_str());
    let languages: Vec<Option<&str>> = column(nodes, |n| n.language);
    let visibilities: Vec<Option<&str>> =
        column(nodes, |n| n.definition.map(|d| d.visibility.as_str()));
    let signatures: Vec<&str> =
        column(nodes, |n| n.definition.map_or("", |d| d.signature.as_str()));
    let docs: Vec<&str> = column(nodes, |n| n.doc);
    let attributes: Vec<String> = column(nodes, |n| {
        n.definition.map(|d| d.attributes.join(UNIT_SEPARATOR)).unwrap_or_default()
    });
    let start_bytes: Vec<Option<i32>> = column(nodes, |n| n.span.map(|s| s.0));
    let end_bytes: Vec<Option<i32>> = column(nodes, |n| n.span.map(|s| s.1));
    let start_lines: Vec<Option<i32>> = column(nodes, |n| n.span.map(|s| s.2));
    let end_lines: Vec<Option<i32>> = column(nodes, |n| n.span.map(|s| s.3));
    let hashes: Vec<Option<&[u8]>> = column(nodes, |n| n.definition.map(|d| d.hash.as_slice()));
    let ordinals: Vec<Option<i32>> = column(nodes, |n| n.ordinal);
    let texts: Vec<Option<&str>> = column(nodes, |n| n.search_text);
    let lexemes = lexicon.documents(nodes.iter().map(|n| n.search_text))?;
    Ok(vec![
        ids.into(),
        files.into(),
        parents.into(),
        kinds.into(),
        names.into(),
        qualified.into(),
        languages.into(),
        visibilities.into(),
        signatures.into(),
        docs.into(),
        attributes.into(),
        start_bytes.into(),
        end_bytes.into(),
        start_lines.into(),
        end_lines.into(),
        hashes.into(),
        texts.into(),
        lexemes.into(),
        ordinals.into(),
    ])
}

// With several arguments the parser makes `unnest` mean pg_catalog.unnest, whatever the search path.
const UNNEST: &str = "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],
    $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::int[], $13::int[], $14::int[], $15::int[], $16::bytea[], $17::text[], $18::tsvector[],
    $19::int[])
    t (id, file_id, parent_id, kind, name, qualified_name, language, visibility, signature, doc,
       attributes, start_byte, end_byte, start_line, end_line, content_hash, search_text, lexemes,
       ordinal)";

/// Writes new nodes.
pub fn insert(repo: i64, nodes: &[Node<'_>], lexicon: &mut Lexicon) -> Result<(), Error> {
    if nodes.is_empty() || insert_at_once(repo, nodes, lexicon)? {
        return Ok(());
    }
    let query = format!(
        "INSERT INTO onyx.nodes
             (id, repo_id, file_id, parent_id, kind, name, qualified_name, language, visibility,
              signature, doc, attributes, start_byte, end_byte, start_line, end_line, content_hash,
              search_text, lexemes, ordinal)
         SELECT id, $20, file_id, parent_id, kind, name, qualified_name, language, visibility,
                signature, doc, pg_catalog.string_to_array(attributes, '{UNIT_SEPARATOR}'),
                start_byte, end_byte, start_line, end_line, content_hash, search_text,
                lexemes, ordinal
         FROM {UNNEST}"
    );
    let mut arguments = arrays(nodes, lexicon)?;
    arguments.push(repo.into());
    Spi::run_with_args(&query, &arguments)?;
    Ok(())
}

/// The same past SQL, where the table allows it.
fn insert_at_once(repo: i64, nodes: &[Node<'_>], lexicon: &mut Lexicon) -> Result<bool, Error> {
    const COLUMNS: [Column; 21] = [
        (c"id", pg_sys::INT8OID),
        (c"repo_id", pg_sys::INT8OID),
        (c"file_id", pg_sys::INT8OID),
        (c"parent_id", pg_sys::INT8OID),
        (c"start_byte", pg_sys::INT4OID),
        (c"end_byte", pg_sys::INT4OID),
        (c"start_line", pg_sys::INT4OID),
        (c"end_line", pg_sys::INT4OID),
        (c"ordinal", pg_sys::INT4OID),
        (c"origin", pg_sys::TEXTOID),
        (c"kind", pg_sys::TEXTOID),
        (c"name", pg_sys::TEXTOID),
        (c"qualified_name", pg_sys::TEXTOID),
        (c"language", pg_sys::TEXTOID),
        (c"visibility", pg_sys::TEXTOID),
        (c"signature", pg_sys::TEXTOID),
        (c"doc", pg_sys::TEXTOID),
        (c"attributes", pg_sys::TEXTARRAYOID),
        (c"content_hash", pg_sys::BYTEAOID),
        (c"search_text", pg_sys::TEXTOID),
        (c"lexemes", pg_sys::TSVECTOROID),
    ];
    let lexemes = lexicon.documents(nodes.iter().map(|n| n.search_text))?;
    let rows: Vec<_> = nodes.iter().zip(&lexemes).collect();
    let no_attributes = Vec::<&str>::new().into_datum();
    Ok(bulk::insert(c"nodes", &COLUMNS, &rows, |(node, lexemes), row| {
        let definition = node.definition;
        row.set(0, node.id);
        row.set(1, repo);
        row.set_some(2, node.file);
        row.set_some(3, node.parent);
        if let Some((start_byte, end_byte, start_line, end_line)) = node.span {
            for (column, number) in (4..).zip([start_byte, end_byte, start_line, end_line]) {
                row.set(column, number);
            }
        }
        row.set_some(8, node.ordinal);
        let texts = [
            Some("source"),
            Some(node.kind),
            Some(&node.name),
            Some(&node.qualified_name),
            node.language,
            definition.map(|d| d.visibility.as_str()),
            Some(definition.map_or("", |d| &d.signature)),
            Some(node.doc),
        ];
        for (column, text) in (9..).zip(texts) {
            if let Some(text) = text {
                row.set_bytes(column, text.as_bytes());
            }
        }
        let attributes = definition.map(|d| d.attributes.as_slice()).unwrap_or_default();
        // As string_to_array has it.
        let attributes = if attributes.iter().all(String::is_empty) && attributes.len() < 2 {
            no_attributes
        } else {
            attributes.iter().map(String::as_str).collect::<Vec<_>>().into_datum()
        };
        row.set_some(17, attributes);
        if let Some(definition) = definition {
            row.set_bytes(18, &definition.hash);
        }
        if let Some(text) = node.search_text {
            row.set_bytes(19, text.as_bytes());
        }
        if let Some(lexemes) = lexemes {
            row.set_bytes(20, lexemes.as_bytes());
        }
    }))
}

/// Writes what changed.
pub fn update(nodes: &[Node<'_>], lexicon: &mut Lexicon) -> Result<(), Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    let query = format!(
        "UPDATE onyx.nodes n SET
             file_id = t.file_id, parent_id = t.parent_id, kind = t.kind, name = t.name,
             qualified_name = t.qualified_name, language = t.language,
             visibility = t.visibility, signature = t.signature, doc = t.doc,
             attributes = pg_catalog.string_to_array(t.attributes, '{UNIT_SEPARATOR}'),
             start_byte = t.start_byte, end_byte = t.end_byte, start_line = t.start_line,
             end_line = t.end_line, content_hash = t.content_hash, search_text = t.search_text,
             lexemes = t.lexemes, ordinal = t.ordinal
         FROM {UNNEST} WHERE n.id = t.id"
    );
    Spi::run_with_args(&query, &arrays(nodes, lexicon)?)?;
    Ok(())
}
