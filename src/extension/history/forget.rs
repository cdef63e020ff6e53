//! `onyx.forget_history`: commits before a time go; what remains answers as before.
//!
//! Heads of branches and tags stay, whatever their time, and so do commits where lines that stay part. A commit whose first parent goes gets the nearest
//! one on that line that stays as its parent, and rows that say the difference from it (`fold`); one without
//! any begins with its whole state. Everything is computed from the rows as they were, then written. The
//! repository's epoch tells other sessions, and its boundary tells `onyx.ingest_git`, what happened.

use std::collections::{HashMap, HashSet};

use pgrx::prelude::*;

use super::commits::Commits;
use super::contents::{self, Part};
use super::fold::{Folder, Plan, Rows};
use super::{rows, symbol_changes};
use crate::error::{Error, OrRaise};
use crate::ingest;

/// Rows written at once.
const BATCH_ROWS: usize = 20_000;
/// Contents compressed anew at once.
const BATCH_CONTENTS: usize = 64;

/// What was forgotten.
struct Forgotten {
    commits: i64,
    file_versions: i64,
    symbol_versions: i64,
    contents: i64,
    bytes: i64,
}

#[pg_extern(sql = false)]
fn forget_history(
    repo: &str,
    before: pgrx::datum::TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (
        name!(commits, i64),
        name!(file_versions, i64),
        name!(symbol_versions, i64),
        name!(contents, i64),
        name!(bytes, i64),
    ),
> {
    ingest::prevent_in_read_only(c"onyx.forget_history()");
    let done = forget(repo, before).or_raise();
    TableIterator::once((
        done.commits,
        done.file_versions,
        done.symbol_versions,
        done.contents,
        done.bytes,
    ))
}

/// Runs a statement and counts its rows.
fn run(query: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]) -> Result<i64, Error> {
    Spi::connect_mut(|client| Ok(client.update(query, None, arguments)?.len() as i64))
}

fn ids(query: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]) -> Result<Vec<i32>, Error> {
    Spi::connect_mut(|client| {
        let rows = client.update(query, None, arguments)?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            ids.extend(row.get::<i32>(1)?);
        }
        Ok(ids)
    })
}

fn forget(name: &str, before: pgrx::datum::TimestampWithTimeZone) -> Result<Forgotten, Error> {
    let repo = ingest::rows::existing(name)?;
    let commits = Commits::of(repo)?;
    // A number nobody had, also when this is rolled back and done otherwise.
    Spi::run_with_args(
        "UPDATE onyx.repos SET forgotten_before = greatest(forgotten_before, $2),
                history_epoch = pg_catalog.nextval('onyx.commits_id_seq')
         WHERE id = $1",
        &[repo.into(), before.into()],
    )?;
    let forgotten = ids(
        "SELECT c.id FROM onyx.commits c
         WHERE c.repo_id = $1 AND c.committed_at < $2
           AND NOT EXISTS (SELECT FROM onyx.branches b WHERE b.commit_id = c.id)
           AND NOT EXISTS (SELECT FROM onyx.tags t WHERE t.commit_id = c.id)",
        &[repo.into(), before.into()],
    )?;
    let mut done =
        Forgotten { commits: 0, file_versions: 0, symbol_versions: 0, contents: 0, bytes: 0 };
    if forgotten.is_empty() {
        return Ok(done);
    }
    let plan = Plan::new(&commits, forgotten.into_iter().collect());
    let forgotten: Vec<i32> = plan.forgotten.iter().copied().collect();
    let mut folder = Folder::new(repo, &commits)?;
    let mut made = Rows::default();
    for fold in &plan.folds {
        pgrx::check_for_interrupts!();
        ingest::with_own_memory(|| folder.fold(fold, &mut made))?;
    }
    ingest::with_own_memory(|| folder.finish(&mut made))?;

    let mut emptied = forgotten.clone();
    emptied.extend(plan.folds.iter().map(|fold| fold.commit));
    let count = "SELECT count(*) FROM onyx.symbol_versions WHERE commit_id = ANY ($1)";
    let count = Spi::get_one_with_args::<i64>(count, &[emptied.clone().into()])?;
    done.symbol_versions = count.unwrap_or_default() - made.symbols.len() as i64;
    let delete = "DELETE FROM onyx.symbol_changes WHERE commit_id = ANY ($1)";
    run(delete, &[emptied.clone().into()])?;
    let delete = "DELETE FROM onyx.file_versions WHERE commit_id = ANY ($1)";
    done.file_versions = run(delete, &[emptied.into()])? - made.files.len() as i64;
    for batch in made.files.chunks(BATCH_ROWS) {
        ingest::with_own_memory(|| rows::insert_files(batch))?;
    }
    for batch in made.symbols.chunks(BATCH_ROWS) {
        ingest::with_own_memory(|| symbol_changes::insert(batch))?;
    }
    drop(made);
    set_parents(&commits, &plan)?;
    done.commits =
        run("DELETE FROM onyx.commits WHERE id = ANY ($1) RETURNING 1", &[forgotten.into()])?;
    (done.contents, done.bytes) = forget_contents(repo)?;
    forget_words(repo)?;
    Ok(done)
}

/// Gives commits that stay parents that stay, and counts the steps up anew.
fn set_parents(commits: &Commits, plan: &Plan) -> Result<(), Error> {
    let (children, parents): (Vec<i32>, Vec<Option<i32>>) =
        plan.folds.iter().map(|fold| (fold.commit, fold.onto)).unzip();
    Spi::run_with_args(
        "UPDATE onyx.commits c SET parent_id = t.parent
         FROM ROWS FROM (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::int[])) t (id, parent)
         WHERE c.id = t.id",
        &[children.into(), parents.into()],
    )?;
    let mut gone: Vec<i32> = Vec::new();
    let mut nearest: Vec<Option<i32>> = Vec::new();
    for &commit in commits.ids().iter().filter(|commit| !plan.forgotten.contains(commit)) {
        for parent in commits.parents(commit) {
            if plan.forgotten.contains(&parent) {
                gone.push(parent);
                nearest.push(plan.remaining(commits, parent));
            }
        }
    }
    Spi::run_with_args(
        "UPDATE onyx.commit_parents p
         SET parent_id = t.nearest,
             git_hash = CASE WHEN t.nearest IS NULL
                             THEN (SELECT c.git_hash FROM onyx.commits c WHERE c.id = t.gone) END
         FROM (SELECT DISTINCT t.gone, t.nearest
               FROM ROWS FROM (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::int[])) t (gone, nearest)) t
         WHERE p.parent_id = t.gone",
        &[gone.into(), nearest.into()],
    )?;
    let onto: HashMap<i32, Option<i32>> =
        plan.folds.iter().map(|fold| (fold.commit, fold.onto)).collect();
    let mut depths: HashMap<i32, i32> = HashMap::new();
    let (mut changed, mut changed_depths) = (Vec::new(), Vec::new());
    for &commit in commits.ids().iter().filter(|commit| !plan.forgotten.contains(commit)) {
        let parent = match onto.get(&commit) {
            Some(parent) => *parent,
            None => commits.first_parent(commit),
        };
        let depth = parent.and_then(|parent| depths.get(&parent)).map_or(0, |depth| depth + 1);
        depths.insert(commit, depth);
        if commits.depth(commit) != Some(depth as u32) {
            changed.push(commit);
            changed_depths.push(depth);
        }
    }
    Spi::run_with_args(
        "UPDATE onyx.commits c SET depth = t.depth
         FROM ROWS FROM (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::int[])) t (id, depth)
         WHERE c.id = t.id",
        &[changed.into(), changed_depths.into()],
    )?;
    Ok(())
}

/// Deletes contents that no version has. One that stays is never a difference from one that goes.
fn forget_contents(repo: i64) -> Result<(i64, i64), Error> {
    let needed = ids(
        "SELECT DISTINCT v.content_id FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id
         WHERE c.repo_id = $1 AND v.content_id IS NOT NULL",
        &[repo.into()],
    )?;
    let needed: HashSet<i32> = needed.into_iter().collect();
    let bases: HashMap<i32, Option<i32>> = Spi::connect(|client| {
        let query = "SELECT id, base_id FROM onyx.contents WHERE repo_id = $1";
        let rows = client.select(query, None, &[repo.into()])?;
        let mut bases = HashMap::with_capacity(rows.len());
        for row in rows {
            if let Some(id) = row.get::<i32>(1)? {
                bases.insert(id, row.get::<i32>(2)?);
            }
        }
        Ok::<_, Error>(bases)
    })?;
    let gone: Vec<i32> = bases.keys().copied().filter(|id| !needed.contains(id)).collect();
    if gone.is_empty() {
        return Ok((0, 0));
    }
    let mut moved: Vec<(i32, Option<i32>)> = Vec::new();
    for (id, base) in bases.iter().filter(|(id, _)| needed.contains(id)) {
        let mut nearest = *base;
        while let Some(at) = nearest.filter(|at| !needed.contains(at)) {
            nearest = bases.get(&at).copied().flatten();
        }
        if nearest != *base {
            moved.push((*id, nearest));
        }
    }
    // Neighbours in a chain are read together.
    moved.sort_unstable();
    for batch in moved.chunks(BATCH_CONTENTS) {
        pgrx::check_for_interrupts!();
        ingest::with_own_memory(|| rebase(batch))?;
    }
    let freed = Spi::get_one_with_args::<i64>(
        "WITH gone AS (
             DELETE FROM onyx.contents WHERE id = ANY ($1)
             RETURNING pg_catalog.octet_length(text) + pg_catalog.octet_length(facts) AS bytes
         )
         SELECT coalesce(sum(bytes), 0)::bigint FROM gone",
        &[gone.clone().into()],
    )?;
    Ok((gone.len() as i64, freed.unwrap_or_default()))
}

/// Makes contents differences from others, or whole.
fn rebase(moved: &[(i32, Option<i32>)]) -> Result<(), Error> {
    let wanted: Vec<i32> =
        moved.iter().flat_map(|(id, base)| [Some(*id), *base]).flatten().collect();
    // Their hashes are checked before what they were made of goes.
    let texts = contents::texts(&wanted)?;
    let facts = contents::bodies(&wanted, Part::Facts)?;
    let mut frames: [Vec<Vec<u8>>; 2] = Default::default();
    let missing = |id: i32| {
        let message = format!("content {id} of onyx.contents is missing");
        Error::sql(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message)
    };
    for (id, base) in moved {
        let text = |id: &i32| texts.get(id).map(|text| &text.text[..]).ok_or_else(|| missing(*id));
        let fact = |id: &i32| facts.get(id).map(|facts| &facts[..]).ok_or_else(|| missing(*id));
        let compress = |body: &[u8], base: Option<&[u8]>| {
            onyx_content::compress(body, base).map_err(|error| {
                let message =
                    format!("content {id} of onyx.contents cannot be compressed: {error}");
                Error::sql(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message)
            })
        };
        frames[0].push(compress(text(id)?, base.as_ref().map(text).transpose()?)?);
        frames[1].push(compress(fact(id)?, base.as_ref().map(fact).transpose()?)?);
    }
    let (ids, bases): (Vec<i32>, Vec<Option<i32>>) = moved.iter().copied().unzip();
    let [texts, facts] = frames;
    Spi::run_with_args(
        "UPDATE onyx.contents c SET base_id = t.base, text = t.text, facts = t.facts
         FROM unnest($1::int[], $2::int[], $3::bytea[], $4::bytea[]) t (id, base, text, facts)
         WHERE c.id = t.id",
        &[ids.into(), bases.into(), texts.into(), facts.into()],
    )?;
    Ok(())
}

/// Deletes names, search texts and paths that nothing has any more.
fn forget_words(repo: i64) -> Result<(), Error> {
    for query in [
        "DELETE FROM onyx.search_texts s WHERE s.repo_id = $1
           AND NOT EXISTS (SELECT FROM onyx.symbol_versions v WHERE v.search_text_id = s.id)",
        "DELETE FROM onyx.symbol_names n WHERE n.repo_id = $1
           AND NOT EXISTS (SELECT FROM onyx.symbol_versions v WHERE v.name_id = n.id)",
        // Directories stay when they have something: a path below them, or a node.
        "WITH RECURSIVE used AS MATERIALIZED (
             SELECT v.path_id FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id
             WHERE c.repo_id = $1
             UNION
             SELECT v.old_path_id FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id
             WHERE c.repo_id = $1 AND v.old_path_id IS NOT NULL
             UNION
             SELECT v.path_id FROM onyx.commits c JOIN onyx.symbol_changes v ON v.commit_id = c.id
             WHERE c.repo_id = $1
         ), above (path) AS (
             SELECT pg_catalog.regexp_replace(p.path, '(^|/)[^/]*$', '')
             FROM onyx.paths p WHERE p.id IN (SELECT u.path_id FROM used u)
             UNION
             SELECT pg_catalog.regexp_replace(a.path, '(^|/)[^/]*$', '') FROM above a WHERE a.path <> ''
         )
         DELETE FROM onyx.paths p WHERE p.repo_id = $1
           AND NOT EXISTS (SELECT FROM used u WHERE u.path_id = p.id)
           AND NOT EXISTS (SELECT FROM above a WHERE a.path = p.path)
           AND NOT EXISTS (SELECT FROM onyx.nodes n WHERE n.id = p.node_id)",
    ] {
        Spi::run_with_args(query, &[repo.into()])?;
    }
    Ok(())
}
