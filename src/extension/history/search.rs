//! `onyx.search(..., at => ...)`: hits among what was there at a commit, with the texts of then.
//!
//! The same two halves as of `onyx.search_hits`, fused in the same way. Both indexes are of all texts a
//! repository ever had; what was not there at the commit is passed over (`symbols`).

use std::ffi::CStr;
use std::ops::ControlFlow;

use pgrx::prelude::*;

use super::at;
use super::nearest::{self, Table};
use super::symbols::{Place, Symbols};
use crate::error::Error;
use crate::graph::Arguments;
use crate::graph::rows::{self, Text};
use crate::model;
use crate::query;
use crate::search::{self, Document};

/// Candidates of each half: so many times the rows wanted, and at least so many.
const CANDIDATES: usize = 4;
const MIN_CANDIDATES: usize = 40;
/// Entries an index scan is expected to read beyond what the share of wanted ones says, and at most.
const MARGIN: f64 = 1.5;
const MAX_EXPECTED: u32 = 2_000;
/// Of reciprocal rank fusion, as `onyx.search_hits` has it.
const K: f64 = 5.0;

const TEXTS: Table = Table {
    name: c"search_texts",
    index: c"search_texts_semantic",
    columns: &[c"id", c"search_text"],
    query: c"SELECT s.id, s.search_text FROM onyx.search_texts s
             ORDER BY s.search_text OPERATOR(onyx.<=>) $1",
};
const NODES: Table = Table {
    name: c"nodes",
    index: c"nodes_semantic",
    columns: &[c"id", c"search_text", c"kind"],
    query: c"SELECT n.id, n.search_text, n.kind FROM onyx.nodes n
             WHERE n.search_text IS NOT NULL ORDER BY n.search_text OPERATOR(onyx.<=>) $1",
};

/// What was asked.
struct Question<'a> {
    text: &'a str,
    kinds: Option<Vec<String>>,
    /// Of each file whether its definitions are wanted; all are without.
    files: Option<Vec<bool>>,
    symbols: &'a Symbols,
    /// Candidates of each half.
    candidates: usize,
}

/// A hit on its way.
#[derive(Default, Clone, Copy)]
struct Hit {
    node: i64,
    lexical: Option<(u32, f64)>,
    semantic: Option<u32>,
}

impl Hit {
    fn score(&self) -> f64 {
        let share = |rank: Option<u32>| rank.map_or(0.0, |rank| 1.0 / (K + f64::from(rank)));
        share(self.lexical.map(|(rank, _)| rank)) + share(self.semantic)
    }
}

/// A definition near the question, and its text.
struct Near {
    node: i64,
    text: std::rc::Rc<str>,
}

impl Question<'_> {
    fn wants(&self, place: Place, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
            && self.files.as_ref().is_none_or(|files| files[place.file as usize])
    }

    /// The wanted nodes with a text.
    fn with_text(&self, text: i32) -> impl Iterator<Item = i64> {
        let all = self.symbols.with_text(text).iter();
        all.filter(|s| self.wants(s.place, self.symbols.kind(s.kind))).map(|s| s.node)
    }

    /// A node whose text is in `onyx.nodes`, if it is wanted.
    fn unversioned(&self, node: i64, kind: &str) -> Option<i64> {
        let all = &self.symbols.unversioned;
        let at = all.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        self.wants(all[at].1, kind).then_some(node)
    }

    /// By words: nodes and scores, the best first.
    fn lexical(&self) -> Result<Vec<(i64, f64)>, Error> {
        let lexemes: Option<Vec<String>> = query::one(
            c"SELECT onyx.query_lexemes($1)",
            &[(pg_sys::TEXTOID, self.text.into_datum())],
        )?;
        let lexemes = lexemes.unwrap_or_default();
        if lexemes.is_empty() {
            return Ok(Vec::new());
        }
        let (mut nodes, mut documents) = (Vec::new(), Vec::new());
        let arguments = || {
            [
                (pg_sys::INT8OID, self.symbols.repo.into_datum()),
                (pg_sys::TEXTARRAYOID, lexemes.clone().into_datum()),
            ]
        };
        if self.symbols.has_texts() {
            query::each(
                c"SELECT s.id, s.lexemes FROM onyx.search_texts s
                  WHERE s.repo_id = $1 AND s.lexemes @@ (SELECT onyx.any_lexeme($2))",
                &arguments(),
                &mut |row| {
                    for node in self.with_text(row.get::<i32>(1).unwrap_or_default()) {
                        nodes.push(node);
                        documents.push(Document::new(row.get::<Vec<u8>>(2).unwrap_or_default()));
                    }
                    ControlFlow::Continue(())
                },
            )?;
        }
        if !self.symbols.unversioned.is_empty() {
            query::each(
                c"SELECT n.id, n.kind, n.lexemes FROM onyx.nodes n
                  WHERE n.repo_id = $1 AND n.lexemes @@ (SELECT onyx.any_lexeme($2))",
                &arguments(),
                &mut |row| {
                    if let (Some(node), Some(kind)) = (row.get::<i64>(1), row.get::<&str>(2))
                        && let Some(node) = self.unversioned(node, kind)
                    {
                        nodes.push(node);
                        documents.push(Document::new(row.get::<Vec<u8>>(3).unwrap_or_default()));
                    }
                    ControlFlow::Continue(())
                },
            )?;
        }
        let corpus = self.symbols.count.max(1) as f64;
        Ok(search::best(&nodes, &documents, &lexemes, corpus, self.candidates))
    }

    /// By meaning: the nearest first.
    fn semantic(&self) -> Result<Vec<Near>, Error> {
        let mut texts = Vec::new();
        if self.text.trim().is_empty() {
            return Ok(texts);
        }
        if self.symbols.has_texts() && TEXTS.is_available() {
            let wanted = self.symbols.count_texts(|place, kind| self.wants(place, kind));
            self.nearest(&TEXTS, wanted, &mut texts, &mut |row, found| {
                found.extend(self.with_text(row.get(1).unwrap_or_default()));
            })?;
        }
        let mut nodes = Vec::new();
        if !self.symbols.unversioned.is_empty() && NODES.is_available() {
            self.nearest(&NODES, self.symbols.unversioned.len(), &mut nodes, &mut |row, found| {
                if let (Some(node), Some(kind)) = (row.get::<i64>(1), row.get::<&str>(3)) {
                    found.extend(self.unversioned(node, kind));
                }
            })?;
        }
        if texts.is_empty() || nodes.is_empty() {
            texts.extend(nodes);
            return Ok(texts);
        }
        texts.extend(nodes);
        let distances = distances(self.text, &texts)?;
        let mut all: Vec<(f64, Near)> = distances.into_iter().zip(texts).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.node.cmp(&b.1.node)));
        all.truncate(self.candidates);
        Ok(all.into_iter().map(|(_, near)| near).collect())
    }

    fn nearest(
        &self,
        table: &Table,
        wanted: usize,
        near: &mut Vec<Near>,
        find: &mut dyn FnMut(&nearest::Row<'_>, &mut Vec<i64>),
    ) -> Result<(), Error> {
        let mut nodes = Vec::new();
        table.nearest(self.text, self.expected(table.name, wanted)?, &mut |row| {
            nodes.clear();
            find(row, &mut nodes);
            if !nodes.is_empty() {
                let text: std::rc::Rc<str> = row.get::<&str>(2).unwrap_or_default().into();
                near.extend(nodes.iter().map(|node| Near { node: *node, text: text.clone() }));
            }
            if near.len() >= self.candidates {
                near.truncate(self.candidates);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
    }

    /// Entries of an index of a table that a scan will have to read for the candidates: of so many rows
    /// some are wanted.
    fn expected(&self, table: &CStr, wanted: usize) -> Result<u32, Error> {
        let name = Text::new(&table.to_string_lossy());
        let mut rows = 0.0;
        query::each(
            c"SELECT c.reltuples::float8 FROM pg_catalog.pg_class c 
              WHERE c.relname = $1 AND c.relnamespace = 'onyx'::regnamespace",
            &[(pg_sys::TEXTOID, Some(name.datum()))],
            &mut |row| {
                rows = row.get::<f64>(1).unwrap_or_default();
                ControlFlow::Break(())
            },
        )?;
        let share = rows.max(wanted as f64) / wanted.max(1) as f64;
        Ok((self.candidates as f64 * share * MARGIN).min(f64::from(MAX_EXPECTED)) as u32)
    }
}

fn distances(question: &str, near: &[Near]) -> Result<Vec<f64>, Error> {
    let texts: Vec<&str> = near.iter().map(|near| &*near.text).collect();
    model::distances(question, &texts)
}

rows::whole_function!(
    /// `onyx.search_hits_as_of(query, at, max_results, repo, kinds, languages, path_pattern)`.
    onyx_search_hits_as_of,
    search_hits_as_of
);

fn search_hits_as_of(a: &Arguments, sheet: &mut rows::Sheet) -> Result<(), Error> {
    let (Some(text), Some(at)) = (a.get::<&str>(0), a.get::<&str>(1)) else { return Ok(()) };
    let wanted = match a.get::<i32>(2) {
        None => usize::MAX,
        Some(count) => usize::try_from(count).map_err(|_| {
            Error::sql(
                PgSqlErrorCode::ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE,
                "max_results must not be negative",
            )
        })?,
    };
    let (repo, name) = repository(a.get::<&str>(3))?;
    let symbols = Symbols::at(repo, at::commit(repo, Some(at))?)?;
    let words = |position| {
        a.get::<Vec<Option<String>>>(position)
            .map(|all| all.into_iter().flatten().collect::<Vec<_>>())
    };
    let candidates = match wanted {
        usize::MAX => MIN_CANDIDATES,
        wanted => wanted.saturating_mul(CANDIDATES).max(MIN_CANDIDATES),
    };
    let question = Question {
        text,
        kinds: words(4),
        files: wanted_files(&symbols, words(5), a.get::<&str>(6))?,
        symbols: &symbols,
        candidates,
    };
    let mut hits: crate::graph::ids::IdMap<Hit> = Default::default();
    for ((node, score), rank) in question.lexical()?.into_iter().zip(1..) {
        hits.insert(node, Hit { node, lexical: Some((rank, score)), semantic: None });
    }
    let near = question.semantic()?;
    for (near, rank) in near.iter().zip(1..) {
        let hit = hits.entry(near.node).or_insert(Hit { node: near.node, ..Hit::default() });
        hit.semantic = hit.semantic.or(Some(rank));
    }
    let mut hits: Vec<Hit> = hits.into_values().collect();
    hits.sort_unstable_by(|a, b| b.score().total_cmp(&a.score()).then(a.node.cmp(&b.node)));
    hits.truncate(wanted);

    // Only of what is given: the rest has no use for a distance.
    let shown: Vec<Near> = hits
        .iter()
        .filter_map(|hit| {
            let near = &near[hit.semantic? as usize - 1];
            Some(Near { node: near.node, text: near.text.clone() })
        })
        .collect();
    let mut distances = distances(text, &shown)?.into_iter();
    let nodes: Vec<i64> = hits.iter().map(|hit| hit.node).collect();
    let mut described = symbols.describe(&nodes)?.into_iter().peekable();
    for (hit, rank) in hits.iter().zip(1_i64..) {
        let distance = hit.semantic.and_then(|_| distances.next());
        let Some(d) = described.next_if(|d| d.node == hit.node) else { continue };
        sheet.put(|row| {
            row.begin().value(rank).value(hit.node).value(name.as_str()).value(d.path.as_str());
            row.value(d.start_line).value(d.end_line).value(d.kind.as_str());
            row.value(d.language.as_str()).value(d.qualified_name.as_str());
            row.value(d.signature.as_str()).value(hit.score());
            row.value(hit.lexical.map(|(rank, _)| i64::from(rank)));
            row.value(hit.lexical.map(|(_, score)| score)).value(hit.semantic.map(i64::from));
            row.value(distance);
        });
    }
    Ok(())
}

/// A repository by name; without one, the only one there is.
fn repository(name: Option<&str>) -> Result<(i64, String), Error> {
    if let Some(name) = name {
        return Ok((at::repo(name)?, name.to_owned()));
    }
    let all: Option<Vec<String>> = query::one(
        c"SELECT pg_catalog.array_agg(r.name) FROM (SELECT name FROM onyx.repos LIMIT 2) r",
        &[],
    )?;
    match all.unwrap_or_default() {
        mut names if names.len() == 1 => {
            let name = names.remove(0);
            Ok((at::repo(&name)?, name))
        }
        _ => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "at names a commit of one repository, and none is given",
        )
        .with_hint("Give repo, a name of onyx.repos.")),
    }
}

/// Which of a commit's files are of these languages and have such paths.
fn wanted_files(
    symbols: &Symbols,
    languages: Option<Vec<String>>,
    path_pattern: Option<&str>,
) -> Result<Option<Vec<bool>>, Error> {
    if languages.is_none() && path_pattern.is_none() {
        return Ok(None);
    }
    let paths = match path_pattern {
        None => None,
        Some(pattern) => {
            let paths: Vec<&str> = symbols.files.iter().map(|file| file.path.as_str()).collect();
            let fitting: Option<Vec<bool>> = query::one(
                c"SELECT pg_catalog.array_agg(p.path LIKE $2 ORDER BY p.place)
                 FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY p (path, place)",
                &[
                    (pg_sys::TEXTARRAYOID, paths.into_datum()),
                    (pg_sys::TEXTOID, pattern.into_datum()),
                ],
            )?;
            Some(fitting.unwrap_or_default())
        }
    };
    let files = symbols.files.iter().enumerate().map(|(place, file)| {
        languages.as_ref().is_none_or(|languages| languages.contains(&file.language))
            && paths.as_ref().is_none_or(|paths| paths.get(place) == Some(&true))
    });
    Ok(Some(files.collect()))
}

rows::whole_function!(
    /// `onyx.symbols_as_of(nodes, repo, at)`.
    onyx_symbols_as_of,
    symbols_as_of
);

fn symbols_as_of(a: &Arguments, sheet: &mut rows::Sheet) -> Result<(), Error> {
    let (Some(nodes), at) = (a.get::<Vec<Option<i64>>>(0), a.get::<&str>(2)) else { return Ok(()) };
    let (repo, name) = repository(a.get::<&str>(1))?;
    let symbols = Symbols::at(repo, at::commit(repo, at)?)?;
    let nodes: Vec<i64> = nodes.into_iter().flatten().collect();
    for d in symbols.describe(&nodes)? {
        sheet.put(|row| {
            row.begin().value(d.node).value(name.as_str()).value(d.path.as_str());
            row.value(d.start_line).value(d.end_line).value(d.kind.as_str());
            row.value(d.language.as_str()).value(d.name.as_str());
            row.value(d.qualified_name.as_str()).value(d.signature.as_str());
        });
    }
    Ok(())
}
