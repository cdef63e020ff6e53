//! Parsed files to rows, many at a time.
//!
//! A definition that was there before keeps its node: it is recognised by file, kind, qualified name
//! and its place among those of the same name. Only what differs is written.

use std::collections::HashMap;

use onyx_protocol::facts::Definition;
use onyx_protocol::ingest::{Notice, ParsedFile};
use pgrx::prelude::*;

use super::places::{NewPlace, Places};
use super::rows::{self, Known};
use crate::error::Error;
use crate::search::split_words;

/// Definitions written at once.
const BATCH_NODES: usize = 4_000;
/// Node ids taken from the sequence at once.
const ID_BLOCK: usize = 2_000;
/// Between the elements of a text array on its way to SQL; cannot occur in source that is kept.
const UNIT_SEPARATOR: &str = "\u{1f}";

/// Collects parsed files and writes them.
pub struct Writer {
    repo: i64,
    repo_name: String,
    known: HashMap<String, Known>,
    places: Places,
    files: Vec<ParsedFile>,
    definitions: usize,
    notices: Vec<(String, Notice)>,
    /// Paths whose earlier notices are void.
    renewed: Vec<String>,
    ids: Vec<i64>,
    written: u64,
}

/// A node as it has to be.
struct Node<'a> {
    id: i64,
    file: Option<i64>,
    parent: Option<i64>,
    kind: &'a str,
    name: String,
    qualified_name: String,
    language: Option<&'a str>,
    definition: Option<&'a Definition>,
    /// Number of the definition in its file.
    ordinal: Option<i32>,
    span: Option<(i32, i32, i32, i32)>,
    doc: &'a str,
    search_text: Option<&'a str>,
}

/// A node as it was.
struct Old {
    id: i64,
    span: (i32, i32, i32, i32),
    hash: Option<Vec<u8>>,
    doc: String,
    search_text: Option<String>,
    visibility: Option<String>,
    parent: Option<i64>,
    ordinal: Option<i32>,
    used: bool,
}

type OldKey = (i64, String, String);

impl Writer {
    /// A writer into a repository whose files are known.
    pub fn new(repo: i64, name: &str, known: HashMap<String, Known>) -> Result<Self, Error> {
        Ok(Self {
            repo,
            repo_name: name.into(),
            known,
            places: Places::load(repo)?,
            files: Vec::new(),
            definitions: 0,
            notices: Vec::new(),
            renewed: Vec::new(),
            ids: Vec::new(),
            written: 0,
        })
    }

    /// Nodes written so far.
    pub fn nodes(&self) -> u64 {
        self.written
    }

    /// Takes a new or changed file.
    pub fn add(&mut self, mut file: ParsedFile) -> Result<(), Error> {
        self.renewed.push(file.path.clone());
        for notice in std::mem::take(&mut file.notices) {
            self.notices.push((file.path.clone(), notice));
        }
        self.definitions += file.facts.definitions.len() + 1;
        self.files.push(file);
        if self.definitions >= BATCH_NODES { self.write() } else { Ok(()) }
    }

    /// Takes a file that was left out.
    pub fn skip(&mut self, path: &str, notice: Notice) {
        self.renewed.push(path.into());
        self.notices.push((path.into(), notice));
    }

    /// Writes the rest. `whole`: the files taken are all of the repository, so that an earlier skip
    /// of a file that is not there any more is void. Returns the number of nodes written.
    pub fn finish(mut self, whole: bool) -> Result<u64, Error> {
        self.write()?;
        self.write_notices(whole)?;
        rows::remove_empty_directories(self.repo)?;
        Ok(self.written)
    }

    fn next_id(&mut self) -> Result<i64, Error> {
        if self.ids.is_empty() {
            let block = Spi::get_one_with_args::<Vec<i64>>(
                "SELECT pg_catalog.array_agg(pg_catalog.nextval('onyx.nodes_id_seq'))
                 FROM pg_catalog.generate_series(1, $1)",
                &[(ID_BLOCK as i32).into()],
            )?;
            self.ids = block.unwrap_or_default();
            self.ids.reverse();
        }
        self.ids.pop().ok_or_else(|| {
            Error::sql(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "the sequence gave no node ids")
        })
    }

    fn write(&mut self) -> Result<(), Error> {
        let files = std::mem::take(&mut self.files);
        self.definitions = 0;
        if files.is_empty() {
            return Ok(());
        }
        let ids = self.write_files(&files)?;
        let existing: Vec<i64> =
            files.iter().filter_map(|f| self.known.get(&f.path).map(|known| known.id)).collect();
        let mut old = load_old(&existing)?;
        let mut inserts = Vec::new();
        let mut updates = Vec::new();
        for (file, file_id) in files.iter().zip(ids) {
            self.nodes_of(file, file_id, &mut old, &mut inserts, &mut updates)?;
        }
        self.written += (inserts.len() + updates.len()) as u64;
        insert(self.repo, &inserts)?;
        update(&updates)?;
        let gone: Vec<i64> =
            old.into_values().flatten().filter(|o| !o.used).map(|o| o.id).collect();
        if !gone.is_empty() {
            Spi::run_with_args("DELETE FROM onyx.nodes WHERE id = ANY ($1)", &[gone.into()])?;
        }
        Ok(())
    }

    /// Writes the rows of files; returns their ids in order.
    fn write_files(&self, files: &[ParsedFile]) -> Result<Vec<i64>, Error> {
        let paths: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
        let languages: Vec<&str> = files.iter().map(|f| f.language.as_str()).collect();
        let modules: Vec<&str> = files.iter().map(|f| f.module.as_str()).collect();
        let hashes: Vec<&[u8]> = files.iter().map(|f| f.hash.as_slice()).collect();
        let sizes: Vec<i64> = files.iter().map(|f| f.size as i64).collect();
        let lines: Vec<i32> = files.iter().map(|f| f.lines as i32).collect();
        let packages: Vec<&str> = files.iter().map(|f| f.facts.package.as_str()).collect();
        let docs: Vec<&str> = files.iter().map(|f| f.facts.doc.as_str()).collect();
        let by_path = Spi::connect_mut(|client| {
            let rows = client.update(
                "INSERT INTO onyx.files
                     (repo_id, path, language, module, content_hash, size, lines, package, doc)
                 SELECT $1, t.* FROM unnest($2::text[], $3::text[], $4::text[],
                     $5::bytea[], $6::bigint[], $7::int[], $8::text[], $9::text[]) t
                 ON CONFLICT (repo_id, path) DO UPDATE SET
                     language = excluded.language, module = excluded.module,
                     content_hash = excluded.content_hash, size = excluded.size,
                     lines = excluded.lines, package = excluded.package, doc = excluded.doc,
                     ingested_at = excluded.ingested_at
                 RETURNING path, id",
                None,
                &[
                    self.repo.into(),
                    paths.clone().into(),
                    languages.into(),
                    modules.into(),
                    hashes.into(),
                    sizes.into(),
                    lines.into(),
                    packages.into(),
                    docs.into(),
                ],
            )?;
            let mut ids = HashMap::with_capacity(rows.len());
            for row in rows {
                if let (Some(path), Some(id)) = (row.get::<String>(1)?, row.get::<i64>(2)?) {
                    ids.insert(path, id);
                }
            }
            Ok::<_, Error>(ids)
        })?;
        paths
            .iter()
            .map(|path| {
                by_path.get(*path).copied().ok_or_else(|| {
                    Error::sql(
                        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                        format!("no row was made for file \"{path}\""),
                    )
                })
            })
            .collect()
    }

    /// Sorts a file's nodes into new and changed ones.
    fn nodes_of<'a>(
        &mut self,
        file: &'a ParsedFile,
        file_id: i64,
        old: &mut HashMap<OldKey, Vec<Old>>,
        inserts: &mut Vec<Node<'a>>,
        updates: &mut Vec<Node<'a>>,
    ) -> Result<(), Error> {
        let directory = self.directory(&file.path, inserts)?;
        let mut place = |writer: &mut Self, mut node: Node<'a>| -> Result<i64, Error> {
            let key = (file_id, node.kind.to_string(), node.qualified_name.clone());
            let before = old.get_mut(&key).and_then(|all| all.iter_mut().find(|o| !o.used));
            match before {
                Some(before) => {
                    before.used = true;
                    node.id = before.id;
                    if !node.equals(before) {
                        updates.push(node);
                    }
                    Ok(before.id)
                }
                None => {
                    node.id = writer.next_id()?;
                    let id = node.id;
                    inserts.push(node);
                    Ok(id)
                }
            }
        };
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let file_node = Node {
            id: 0,
            file: Some(file_id),
            parent: Some(directory),
            kind: "file",
            name: name.into(),
            qualified_name: file.path.clone(),
            language: Some(file.language.as_str()),
            definition: None,
            ordinal: None,
            span: Some((0, file.size as i32, 1, file.lines.max(1) as i32)),
            doc: &file.facts.doc,
            search_text: None,
        };
        let file_node = place(self, file_node)?;
        let mut ids = Vec::with_capacity(file.facts.definitions.len());
        for (index, definition) in file.facts.definitions.iter().enumerate() {
            let parent = definition.parent.and_then(|p| ids.get(p as usize).copied());
            let text = file.search_texts.get(index).map(String::as_str).filter(|t| !t.is_empty());
            let qualified_name = if file.module.is_empty() {
                definition.qualified_name.clone()
            } else {
                format!("{}{}{}", file.module, file.language.separator(), definition.qualified_name)
            };
            let node = Node {
                id: 0,
                file: Some(file_id),
                parent: parent.or(Some(file_node)),
                kind: definition.kind.as_str(),
                name: definition.name.clone(),
                qualified_name,
                language: Some(file.language.as_str()),
                definition: Some(definition),
                ordinal: Some(index as i32),
                span: Some((
                    definition.start_byte as i32,
                    definition.end_byte as i32,
                    definition.start_line as i32,
                    definition.end_line as i32,
                )),
                doc: &definition.doc,
                search_text: text,
            };
            ids.push(place(self, node)?);
        }
        Ok(())
    }

    fn directory<'a>(&mut self, path: &str, inserts: &mut Vec<Node<'a>>) -> Result<i64, Error> {
        let mut made: Vec<NewPlace> = Vec::new();
        let mut places = std::mem::replace(&mut self.places, Places::empty());
        let repo_name = self.repo_name.clone();
        let id = places.directory_of(&repo_name, path, &mut |mut place| {
            place.id = self.next_id()?;
            let id = place.id;
            made.push(place);
            Ok(id)
        });
        self.places = places;
        inserts.extend(made.into_iter().map(|place| Node {
            id: place.id,
            file: None,
            parent: place.parent,
            kind: place.kind,
            name: place.name,
            qualified_name: place.qualified_name,
            language: None,
            definition: None,
            ordinal: None,
            span: None,
            doc: "",
            search_text: None,
        }));
        id
    }

    fn write_notices(&mut self, whole: bool) -> Result<(), Error> {
        let renewed = std::mem::take(&mut self.renewed);
        Spi::run_with_args(
            "DELETE FROM onyx.ingest_errors
             WHERE repo_id = $1 AND (path = ANY ($2) OR ($3 AND skipped))",
            &[self.repo.into(), renewed.into(), whole.into()],
        )?;
        let notices = std::mem::take(&mut self.notices);
        if notices.is_empty() {
            return Ok(());
        }
        let paths: Vec<&str> = notices.iter().map(|(path, _)| path.as_str()).collect();
        let reasons: Vec<&str> = notices.iter().map(|(_, n)| n.reason.as_str()).collect();
        let skipped: Vec<bool> = notices.iter().map(|(_, n)| n.reason.is_skip()).collect();
        let lines: Vec<i32> = notices.iter().map(|(_, n)| n.line as i32).collect();
        let details: Vec<&str> = notices.iter().map(|(_, n)| n.detail.as_str()).collect();
        Spi::run_with_args(
            "INSERT INTO onyx.ingest_errors (repo_id, path, reason, skipped, line, detail)
             SELECT $1, t.path, t.reason, t.skipped, nullif(t.line, 0), t.detail
             FROM unnest($2::text[], $3::text[], $4::boolean[], $5::int[], $6::text[])
                  t (path, reason, skipped, line, detail)",
            &[
                self.repo.into(),
                paths.into(),
                reasons.into(),
                skipped.into(),
                lines.into(),
                details.into(),
            ],
        )?;
        Ok(())
    }
}

impl Node<'_> {
    fn equals(&self, old: &Old) -> bool {
        self.span == Some(old.span)
            && self.parent == old.parent
            && self.ordinal == old.ordinal
            && self.doc == old.doc
            && self.search_text == old.search_text.as_deref()
            // Of an enum's member, say, it is the enum's: its own bytes do not tell.
            && self.definition.map(|d| d.visibility.as_str()) == old.visibility.as_deref()
            && self.definition.map(|d| d.hash.as_slice()) == old.hash.as_deref()
    }
}

/// The nodes of files that are written again.
fn load_old(files: &[i64]) -> Result<HashMap<OldKey, Vec<Old>>, Error> {
    let mut old: HashMap<OldKey, Vec<Old>> = HashMap::new();
    if files.is_empty() {
        return Ok(old);
    }
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT id, file_id, kind, qualified_name, start_byte, end_byte, start_line, end_line,
                    content_hash, doc, search_text, parent_id, visibility,
                    ordinal
             FROM onyx.nodes WHERE file_id = ANY ($1) ORDER BY file_id, start_byte, id",
            None,
            &[files.to_vec().into()],
        )?;
        for row in rows {
            let number = |i| row.get::<i32>(i).map(Option::unwrap_or_default);
            let key = (
                row.get::<i64>(2)?.unwrap_or_default(),
                row.get::<String>(3)?.unwrap_or_default(),
                row.get::<String>(4)?.unwrap_or_default(),
            );
            old.entry(key).or_default().push(Old {
                id: row.get::<i64>(1)?.unwrap_or_default(),
                span: (number(5)?, number(6)?, number(7)?, number(8)?),
                hash: row.get::<Vec<u8>>(9)?,
                doc: row.get::<String>(10)?.unwrap_or_default(),
                search_text: row.get::<String>(11)?,
                parent: row.get::<i64>(12)?,
                visibility: row.get::<String>(13)?,
                ordinal: row.get::<i32>(14)?,
                used: false,
            });
        }
        Ok(old)
    })
}

/// The columns of nodes as arrays, for one statement over all of them.
fn arrays<'a>(nodes: &'a [Node<'_>]) -> Vec<pgrx::datum::DatumWithOid<'a>> {
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
    let words: Vec<Option<String>> = column(nodes, |n| n.search_text.map(split_words));
    vec![
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
        words.into(),
        ordinals.into(),
    ]
}

// With several arguments the parser makes `unnest` mean pg_catalog.unnest, whatever the search path.
const UNNEST: &str = "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],
    $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::int[], $13::int[], $14::int[], $15::int[], $16::bytea[], $17::text[], $18::text[],
    $19::int[])
    t (id, file_id, parent_id, kind, name, qualified_name, language, visibility, signature, doc,
       attributes, start_byte, end_byte, start_line, end_line, content_hash, search_text, words,
       ordinal)";

fn insert(repo: i64, nodes: &[Node<'_>]) -> Result<(), Error> {
    if nodes.is_empty() {
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
                pg_catalog.to_tsvector('onyx.code', words), ordinal
         FROM {UNNEST}"
    );
    let mut arguments = arrays(nodes);
    arguments.push(repo.into());
    Spi::run_with_args(&query, &arguments)?;
    Ok(())
}

fn update(nodes: &[Node<'_>]) -> Result<(), Error> {
    if nodes.is_empty() {
        return Ok(());
    }
    let query = format!(
        "UPDATE onyx.nodes n SET
             file_id = t.file_id, parent_id = t.parent_id, name = t.name, language = t.language,
             visibility = t.visibility, signature = t.signature, doc = t.doc,
             attributes = pg_catalog.string_to_array(t.attributes, '{UNIT_SEPARATOR}'),
             start_byte = t.start_byte, end_byte = t.end_byte, start_line = t.start_line,
             end_line = t.end_line, content_hash = t.content_hash, search_text = t.search_text,
             lexemes = pg_catalog.to_tsvector('onyx.code', t.words), ordinal = t.ordinal
         FROM {UNNEST} WHERE n.id = t.id"
    );
    Spi::run_with_args(&query, &arrays(nodes))?;
    Ok(())
}
