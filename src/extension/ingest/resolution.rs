//! A resolution in the engine: it gets the facts of a repository's files, and of other repositories'
//! where references lead into them, and gives edges.
//!
//! The engine keeps a repository's facts between resolutions under the name of their state
//! (`onyx.repos.state`), so that a small change sends little.

use std::collections::{BTreeSet, HashMap};

use onyx_protocol::code::{RepoState, ResolveFile, ResolvedFile};
use onyx_protocol::facts::Language;
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::prelude::*;

use super::{borders, cut, with_own_memory};
use crate::client;
use crate::error::Error;

/// Bytes of facts sent at once.
const BATCH_BYTES: usize = 4 << 20;
/// Files whose facts are read at once.
const BATCH_FILES: usize = 500;

/// Which of a repository's files the engine gets.
pub enum Files<'a> {
    /// All, each to be resolved anew. Nothing the engine has kept is used.
    Clean,
    /// Those that changed, if it has the others: as they were, and the ids of those that are there now.
    Changed(Vec<ResolveFile>, &'a [i64]),
}

/// What has to be resolved.
pub struct Plan {
    /// Files, in ascending order.
    pub files: Vec<i64>,
    /// The keys, sorted, whose value is another than before.
    pub changed: Vec<u64>,
}

/// What a resolution was told of other repositories.
#[derive(Default)]
pub struct Seen {
    /// Those that references could lead into, and the states they were in.
    pub repos: HashMap<i64, Option<RepoState>>,
    /// Names that were looked up, with the repositories that provide them.
    names: HashMap<u64, Vec<i64>>,
}

impl Seen {
    /// Whether one of a repository would be told the same now.
    pub fn is_current(&self, repo: i64) -> Result<bool, Error> {
        let names: Vec<u64> = self.names.keys().copied().collect();
        let mut providers = borders::providers(&names, repo)?;
        let same =
            |(name, seen): (&u64, &Vec<i64>)| providers.remove(name).unwrap_or_default() == *seen;
        Ok(self.names.iter().all(same) && states_of(&self.repos)? == self.repos)
    }
}

/// A resolution under way.
pub struct Resolution {
    repo: i64,
    is_clean: bool,
    /// The states under which the engine may keep other repositories.
    states: Vec<(i64, RepoState)>,
    seen: Seen,
}

impl Resolution {
    /// Begins one.
    pub fn begin(repo: i64, files: Files<'_>) -> Result<Self, Error> {
        let is_clean = matches!(files, Files::Clean);
        let state = if is_clean { None } else { state_of(repo)? };
        client::wait_for_start();
        let known = ask(repo, RequestBody::ResolveBegin { repo, state })?;
        let mut changed = &[][..];
        if let Files::Changed(before, now) = files {
            for files in batches(before) {
                client::call(RequestBody::ResolveBefore { files })?;
            }
            changed = now;
        }
        match known {
            true => {
                for ids in changed.chunks(BATCH_FILES) {
                    let files = with_own_memory(|| {
                        read_files("f.id = ANY ($1)", &[ids.to_vec().into()], BATCH_FILES)
                    })?;
                    send(repo, files)?;
                }
            }
            false => send_all(repo, is_clean)?,
        }
        Ok(Self { repo, is_clean, states: Vec::new(), seen: Seen::default() })
    }

    /// What has to be resolved: what changed, and what depends on that.
    pub fn plan(&self) -> Result<Plan, Error> {
        match client::call(RequestBody::ResolvePlan)? {
            Response::Planned { files, changed } => Ok(Plan { files, changed }),
            _ => Err(Error::Protocol { detail: "A plan was expected.".into() }),
        }
    }

    /// Lets references lead into another repository.
    pub fn use_repository(&mut self, repo: i64) -> Result<(), Error> {
        if repo == self.repo || self.seen.repos.contains_key(&repo) {
            return Ok(());
        }
        // Before its files are read: a state that ends meanwhile is never asked for again.
        let state = if self.is_clean { None } else { state_of(repo)? };
        self.seen.repos.insert(repo, state);
        if !ask(repo, RequestBody::ResolveUse { repo, state })? {
            send_all(repo, false)?;
            self.states.extend(state.map(|state| (repo, state)));
        }
        Ok(())
    }

    /// Resolves files.
    pub fn run(
        &mut self,
        files: &[i64],
        mut take: impl FnMut(Vec<ResolvedFile>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for files in files.chunks(BATCH_FILES) {
            let mut due = files.to_vec();
            // Names lead into repositories, and what is there may lead into others.
            while !due.is_empty() {
                let mut again = Vec::new();
                for bodies in with_own_memory(|| read_bodies(&due))? {
                    client::stream(RequestBody::ResolveFiles { bodies }, |item| match item {
                        Item::Resolved(files) => {
                            let (done, not) = self.part(files)?;
                            again.extend(not);
                            take(done)
                        }
                        _ => Err(Error::Protocol { detail: "Edges were expected.".into() }),
                    })?;
                }
                let repos: BTreeSet<i64> =
                    again.iter().flat_map(|file| self.missing(file)).copied().collect();
                for repo in repos {
                    self.use_repository(repo)?;
                }
                due = again.into_iter().map(|file| file.file).collect();
            }
        }
        Ok(())
    }

    /// Ends it. The engine may keep the repository's facts under the name of a state, which is that of
    /// the tables from now on. Returns what it was told of others.
    pub fn end(self, state: Option<RepoState>) -> Result<Seen, Error> {
        let mut states = self.states;
        states.extend(state.map(|state| (self.repo, state)));
        client::call(RequestBody::ResolveEnd { states })?;
        Ok(self.seen)
    }

    /// The repositories that provide what a file looked up and that the engine does not have.
    fn missing(&self, file: &ResolvedFile) -> impl Iterator<Item = &i64> {
        let providers = file.names.iter().filter_map(|name| self.seen.names.get(name)).flatten();
        providers.filter(|repo| !self.seen.repos.contains_key(repo))
    }

    /// Parts files that are resolved from those that have to be again, with other repositories.
    fn part(
        &mut self,
        files: Vec<ResolvedFile>,
    ) -> Result<(Vec<ResolvedFile>, Vec<ResolvedFile>), Error> {
        let names = files.iter().flat_map(|file| &file.names);
        let new: BTreeSet<u64> =
            names.filter(|name| !self.seen.names.contains_key(name)).copied().collect();
        if !new.is_empty() {
            let new: Vec<u64> = new.into_iter().collect();
            let mut found = with_own_memory(|| borders::providers(&new, self.repo))?;
            for name in new {
                self.seen.names.insert(name, found.remove(&name).unwrap_or_default());
            }
        }
        Ok(files.into_iter().partition(|file| self.missing(file).next().is_none()))
    }
}

/// Asks something that is answered with whether the engine has a repository's state.
fn ask(repo: i64, body: RequestBody) -> Result<bool, Error> {
    match client::call(body)? {
        Response::Resolving { known } => {
            let has = if known { "has" } else { "does not have" };
            pgrx::debug1!("the engine {has} the facts of repository {repo}");
            Ok(known)
        }
        _ => Err(Error::Protocol { detail: "The state of a repository was expected.".into() }),
    }
}

/// The name of a repository's state.
pub fn state_of(repo: i64) -> Result<Option<RepoState>, Error> {
    let state = Spi::get_one_with_args::<pgrx::Uuid>(
        "SELECT (SELECT state FROM onyx.repos WHERE id = $1)",
        &[repo.into()],
    )?;
    Ok(state.map(|state| *state.as_bytes()))
}

/// The names of the states of repositories; None of those that are not there.
fn states_of<T>(repos: &HashMap<i64, T>) -> Result<HashMap<i64, Option<RepoState>>, Error> {
    let ids: Vec<i64> = repos.keys().copied().collect();
    let mut found: HashMap<i64, Option<RepoState>> = ids.iter().map(|id| (*id, None)).collect();
    if ids.is_empty() {
        return Ok(found);
    }
    Spi::connect(|client| {
        let query = "SELECT id, state FROM onyx.repos WHERE id = ANY ($1)";
        for row in client.select(query, None, &[ids.into()])? {
            if let (Some(id), Some(state)) = (row.get::<i64>(1)?, row.get::<pgrx::Uuid>(2)?) {
                found.insert(id, Some(*state.as_bytes()));
            }
        }
        Ok(found)
    })
}

/// Gives a repository's state a new name.
pub fn new_state(repo: i64) -> Result<Option<RepoState>, Error> {
    let state = Spi::get_one_with_args::<pgrx::Uuid>(
        "UPDATE onyx.repos SET state = pg_catalog.gen_random_uuid() WHERE id = $1 RETURNING state",
        &[repo.into()],
    )?;
    Ok(state.map(|state| *state.as_bytes()))
}

/// Sends all files of a repository.
fn send_all(repo: i64, is_clean: bool) -> Result<(), Error> {
    let mut last = 0_i64;
    loop {
        let mut files = with_own_memory(|| {
            read_files("f.repo_id = $1 AND f.id > $2", &[repo.into(), last.into()], BATCH_FILES)
        })?;
        let Some(newest) = files.last() else { return Ok(()) };
        last = newest.file;
        if is_clean {
            files.iter_mut().for_each(|file| file.dependencies = None);
        }
        send(repo, files)?;
    }
}

fn send(repo: i64, files: Vec<ResolveFile>) -> Result<(), Error> {
    for files in batches(files) {
        client::call(RequestBody::ResolveAdd { repo, files })?;
    }
    Ok(())
}

/// Files with what others can see of them, and what their last resolution looked up.
pub fn read_files(
    condition: &str,
    arguments: &[pgrx::datum::DatumWithOid<'_>],
    limit: usize,
) -> Result<Vec<ResolveFile>, Error> {
    let query = format!(
        "SELECT f.id, f.path, f.language, f.module, f.package, x.interface, x.dependencies
         FROM onyx.files f JOIN onyx.file_facts x ON x.file_id = f.id
         WHERE {condition} ORDER BY f.id LIMIT {limit}"
    );
    Spi::connect(|client| {
        let rows = client.select(&query, None, arguments)?;
        let mut files = Vec::with_capacity(rows.len());
        for row in rows {
            let text = |i| row.get::<String>(i).map(Option::unwrap_or_default);
            let Some(language) = Language::from_name(&text(3)?) else { continue };
            files.push(ResolveFile {
                file: row.get::<i64>(1)?.unwrap_or_default(),
                path: text(2)?,
                language,
                module: text(4)?,
                package: text(5)?,
                interface: row.get::<Vec<u8>>(6)?.unwrap_or_default(),
                dependencies: row.get::<Vec<u8>>(7)?,
            });
        }
        Ok(files)
    })
}

/// Cuts files into requests of bounded size.
fn batches(files: Vec<ResolveFile>) -> Vec<Vec<ResolveFile>> {
    let size = |file: &ResolveFile| {
        file.path.len() + file.interface.len() + file.dependencies.as_ref().map_or(0, Vec::len)
    };
    cut(files, size, BATCH_BYTES)
}

/// Files and what resolves their references, as many as fit one request.
type Bodies = Vec<(i64, Vec<u8>)>;

fn read_bodies(files: &[i64]) -> Result<Vec<Bodies>, Error> {
    let mut found: HashMap<i64, Vec<u8>> = Spi::connect(|client| {
        let rows = client.select(
            "SELECT file_id, body FROM onyx.file_facts WHERE file_id = ANY ($1)",
            None,
            &[files.to_vec().into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(body)) = (row.get::<i64>(1)?, row.get::<Vec<u8>>(2)?) {
                found.insert(id, body);
            }
        }
        Ok::<_, Error>(found)
    })?;
    let bodies = files.iter().filter_map(|id| Some((*id, found.remove(id)?)));
    Ok(cut(bodies.collect(), |(_, body)| body.len(), BATCH_BYTES))
}
