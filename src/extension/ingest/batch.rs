//! Parsed files to rows, many at a time.
//!
//! A definition that was there before keeps its node: it is recognised by file, kind, qualified name
//! and its place among those of the same name. Only what differs is written.

use std::collections::{HashMap, HashSet};

use onyx_protocol::ingest::{Notice, ParsedFile};
use pgrx::prelude::*;

use super::edges::Edges;
use super::nodes::{self, Node, OldNodes};
use super::places::{NewPlace, Places};
use super::rows::{self, Known};
use super::summary::Summary;
use super::with_own_memory;
use crate::error::Error;
use crate::search::Lexicon;

/// Definitions written at once.
const BATCH_NODES: usize = 4_000;
/// Node ids taken from the sequence at once.
const ID_BLOCK: usize = 2_000;

/// Collects parsed files and writes them.
pub struct Writer {
    repo: i64,
    repo_name: String,
    known: HashMap<String, Known>,
    places: Places,
    /// Nodes that history gave directories, by path.
    named: HashMap<String, i64>,
    files: Vec<ParsedFile>,
    /// Of files whose nodes history has named: these, by path.
    placed: HashMap<String, Vec<i64>>,
    /// Nodes that files named by history have, or will have: they are not removed where they were.
    expected: HashSet<i64>,
    definitions: usize,
    notices: Vec<(String, Notice)>,
    /// Paths whose earlier notices are void.
    renewed: Vec<String>,
    ids: Vec<i64>,
    written: u64,
    /// Files that are gone.
    removed: u64,
    lexicon: Lexicon,
    edges: Edges,
}

impl Writer {
    /// A writer into a repository whose files are known.
    pub fn new(repo: i64, name: &str, known: HashMap<String, Known>) -> Result<Self, Error> {
        Ok(Self {
            repo,
            repo_name: name.into(),
            known,
            places: Places::load(repo)?,
            named: HashMap::new(),
            files: Vec::new(),
            placed: HashMap::new(),
            expected: HashSet::new(),
            definitions: 0,
            notices: Vec::new(),
            renewed: Vec::new(),
            ids: Vec::new(),
            written: 0,
            removed: 0,
            lexicon: Lexicon::default(),
            edges: Edges::new(repo),
        })
    }

    /// Nodes written so far.
    pub fn nodes(&self) -> u64 {
        self.written
    }

    /// Nodes that files to be placed will have.
    pub fn expect(&mut self, nodes: impl Iterator<Item = i64>) {
        self.expected.extend(nodes);
    }

    /// Takes a new or changed file whose nodes are known: its own, then its definitions' by number.
    pub fn place(&mut self, file: ParsedFile, nodes: Vec<i64>) -> Result<(), Error> {
        if nodes.len() != file.facts.definitions.len() + 1 {
            let (found, stored) = (file.facts.definitions.len(), nodes.len() as i64 - 1);
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                format!("\"{}\" has {found} definitions, not {stored}", file.path),
            )
            .with_hint("Another version of the parser recorded it: forget the repository and ingest it again."));
        }
        self.placed.insert(file.path.clone(), nodes);
        self.add(file)
    }

    /// Writes what was taken so far.
    pub fn flush(&mut self) -> Result<(), Error> {
        with_own_memory(|| self.write())
    }

    /// Takes a new or changed file.
    pub fn add(&mut self, mut file: ParsedFile) -> Result<(), Error> {
        self.renewed.push(file.path.clone());
        for notice in std::mem::take(&mut file.notices) {
            self.notices.push((file.path.clone(), notice));
        }
        self.definitions += file.facts.definitions.len() + 1;
        self.files.push(file);
        if self.definitions >= BATCH_NODES { with_own_memory(|| self.write()) } else { Ok(()) }
    }

    /// Takes a file that was left out.
    pub fn skip(&mut self, path: &str, notice: Notice) {
        self.renewed.push(path.into());
        self.notices.push((path.into(), notice));
    }

    /// Removes files that are gone; returns how many there were.
    pub fn remove(&mut self, paths: &[String]) -> Result<u64, Error> {
        let known = paths.iter().filter_map(|path| self.known.get(path).map(|known| known.id));
        self.edges.remember(&known.collect::<Vec<_>>())?;
        let removed = rows::remove(self.repo, paths)?;
        self.removed += removed;
        Ok(removed)
    }

    /// Writes the rest of the nodes. `whole`: the files taken are all of the repository, so that an
    /// earlier skip of a file that is not there any more is void. Returns what is left: the edges.
    pub fn finish(mut self, whole: bool, summary: &mut Summary) -> Result<Edges, Error> {
        with_own_memory(|| self.write())?;
        self.write_notices(whole)?;
        if self.removed > 0 {
            rows::remove_empty_directories(self.repo)?;
        }
        summary.nodes = self.written;
        Ok(self.edges)
    }

    /// The node of a directory: the same at all times.
    fn named(&mut self, path: &str) -> Result<i64, Error> {
        if !self.named.contains_key(path) {
            self.named = crate::history::directories(self.repo)?;
        }
        match self.named.get(path) {
            Some(id) => Ok(*id),
            None => self.next_id(),
        }
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
        let existing: Vec<i64> =
            files.iter().filter_map(|f| self.known.get(&f.path).map(|known| known.id)).collect();
        self.edges.remember(&existing)?;
        let ids = self.write_files(&files)?;
        self.edges.keep(&ids, &files)?;
        let given: Vec<i64> =
            files.iter().flat_map(|f| self.placed.get(&f.path)).flatten().copied().collect();
        let mut old = nodes::load(&existing, &given)?;
        let mut inserts = Vec::new();
        let mut updates = Vec::new();
        for (file, file_id) in files.iter().zip(ids) {
            self.nodes_of(file, file_id, &mut old, &mut inserts, &mut updates)?;
        }
        self.written += (inserts.len() + updates.len()) as u64;
        nodes::insert(self.repo, &inserts, &mut self.lexicon)?;
        nodes::update(&updates, &mut self.lexicon)?;
        let gone = old.unused(&existing);
        let gone: Vec<i64> = gone.filter(|id| !self.expected.contains(id)).collect();
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
        old: &mut OldNodes,
        inserts: &mut Vec<Node<'a>>,
        updates: &mut Vec<Node<'a>>,
    ) -> Result<(), Error> {
        let directory = self.directory(&file.path, inserts)?;
        let mut placed = self.placed.remove(&file.path).map(Vec::into_iter);
        let mut place = |writer: &mut Self, mut node: Node<'a>| -> Result<i64, Error> {
            let given = placed.as_mut().and_then(Iterator::next);
            let before = match given {
                Some(id) => old.by_id(id),
                None => old.like(file_id, &node),
            };
            node.id = match (&before, given) {
                (Some(before), _) => before.id,
                (None, Some(id)) => id,
                (None, None) => writer.next_id()?,
            };
            let id = node.id;
            match before {
                Some(before) if node.equals(before) => {}
                Some(_) => updates.push(node),
                None => inserts.push(node),
            }
            Ok(id)
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
        ids.insert(0, file_node);
        self.edges.name(file_id, ids);
        Ok(())
    }

    fn directory<'a>(&mut self, path: &str, inserts: &mut Vec<Node<'a>>) -> Result<i64, Error> {
        let mut made: Vec<NewPlace> = Vec::new();
        let mut places = std::mem::replace(&mut self.places, Places::empty());
        let repo_name = self.repo_name.clone();
        let id = places.directory_of(&repo_name, path, &mut |mut place| {
            let path = if place.parent.is_none() { "" } else { place.qualified_name.as_str() };
            place.id = self.named(path)?;
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
