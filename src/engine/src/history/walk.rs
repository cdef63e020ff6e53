//! A walk: one thread reads what commits change and has their blobs parsed ahead, on all workers; this one
//! follows with the changes in order, has new contents compressed on the same workers, and hands on.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use gix_hash::ObjectId;
use gix_object::Kind;
use onyx_protocol::history::{BaseFile, HistoryCommit, NewContent};
use onyx_protocol::ingest::{Notice, SkipReason};
use onyx_protocol::{ErrorKind, WireError, stored_facts};
use rayon::ThreadPool;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::changes::{Changed, Changer, NewBody, Numbering};
use super::diff::{self, Change};
use super::object::{self, Words};
use super::plan::{Parent, Plan};
use super::repository::{Objects, Repository};
use super::snapshot::{Content, File, Snapshot, stored_facts};
use super::source::{Blob, Held, Key, Sources};
use super::{Canceller, batch::Batch, wire};
use crate::parse::Limits;

/// Blobs parsed at once; a commit of more is not split, unless it begins with its whole tree.
const WINDOW_BLOBS: usize = 32;
/// Commits looked at at once.
const WINDOW_COMMITS: usize = 64;
/// Files of a whole tree that make a part of their commit.
const PART_FILES: usize = 256;

/// A commit or a part of it, read ahead.
struct Task {
    /// Its place in the plan.
    commit: usize,
    words: Arc<Words>,
    parents: Arc<Vec<ObjectId>>,
    changes: Vec<Change>,
    notices: Vec<(String, Notice)>,
    is_last: bool,
}

/// A task whose changes are known.
struct Done {
    commit: usize,
    words: Arc<Words>,
    parents: Arc<Vec<ObjectId>>,
    changed: Changed,
    is_last: bool,
}

/// Tasks with the blobs they need.
struct Window {
    tasks: Vec<Task>,
    held: Held,
}

/// Walks a plan.
pub(super) fn walk(
    repository: &Repository,
    plan: &Plan,
    bases: HashMap<ObjectId, Vec<BaseFile>>,
    limits: &Limits,
    workers: usize,
    cancelled: &(dyn Fn() -> bool + Sync),
    emit: &mut dyn FnMut(Vec<HistoryCommit>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let canceller = Canceller::new(cancelled);
    let run = || run(repository, plan, bases, limits, workers, &canceller, emit);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let message =
            format!("internal error while reading the history of \"{}\"", repository.path);
        Err(WireError::new(ErrorKind::Internal, message)
            .detail("The engine caught a panic; its log has the particulars.")
            .hint("Run git fsck in the repository; if it is whole, please report this."))
    })
}

fn no_thread(error: &dyn std::fmt::Display) -> WireError {
    WireError::new(ErrorKind::ResourceExhausted, "could not start a thread")
        .detail(format!("{error}."))
}

/// Threads that parse and compress.
pub(super) fn new_pool(workers: usize) -> Result<ThreadPool, WireError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(workers.max(1))
        .thread_name(|number| format!("onyx-history-{number}"))
        .build()
        .map_err(|error| no_thread(&error))
}

fn run(
    repository: &Repository,
    plan: &Plan,
    bases: HashMap<ObjectId, Vec<BaseFile>>,
    limits: &Limits,
    workers: usize,
    canceller: &Canceller<'_>,
    emit: &mut dyn FnMut(Vec<HistoryCommit>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let pool = new_pool(workers)?;
    let sources = Sources::new(repository, *limits, canceller);
    let mut numbering = Numbering::new();
    let bases = base_states(repository, plan, bases, &mut numbering, canceller)?;
    let changer = Changer { sources: &sources, numbering, elsewhere: HashSet::new() };
    let mut follower = Follower {
        plan,
        changer,
        pool: &pool,
        states: States::new(plan, bases),
        batch: Batch::new(emit),
    };
    thread::scope(|scope| {
        // However this ends, also by a panic: the other thread may not be left waiting.
        let _stop = StopOnDrop(canceller);
        let (give, windows) = bounded(1);
        let reader = Reader { repository, plan, sources: &sources, canceller, pool: &pool };
        let reading = thread::Builder::new()
            .name("onyx-history".to_owned())
            .spawn_scoped(scope, move || reader.run(&give))
            .map_err(|error| no_thread(&error))?;
        let followed = follower.run(windows, canceller);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // An error of this side ends the other one, which then has nothing of its own to say.
        followed.and(read)
    })
}

struct StopOnDrop<'a, 'b>(&'a Canceller<'b>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The states of commits the client has.
fn base_states(
    repository: &Repository,
    plan: &Plan,
    mut bases: HashMap<ObjectId, Vec<BaseFile>>,
    numbering: &mut Numbering,
    canceller: &Canceller<'_>,
) -> Result<Vec<Snapshot>, WireError> {
    let mut objects = repository.tree_objects();
    let mut contents: HashMap<(i64, Option<u32>), Arc<Content>> = HashMap::new();
    let mut states = Vec::with_capacity(plan.bases.len());
    for id in &plan.bases {
        let files = bases.remove(id).ok_or_else(|| {
            let message = format!("the state of commit {id} was not sent");
            WireError::new(ErrorKind::InvalidRequest, message)
        })?;
        let place = object::place(repository.read(&mut objects, id, Kind::Commit)?);
        let listed =
            diff::files(repository, &mut objects, place.tree, &|| canceller.is_cancelled())?;
        let listed: HashMap<&str, &Change> = listed.iter().map(|c| (c.path.as_str(), c)).collect();
        let mut state = Snapshot::default();
        for file in files {
            let found = listed.get(file.path.as_str());
            let blob = found.and_then(|change| Some((change.new?, change.language)));
            let Some((blob, language)) = blob.filter(|_| !file.nodes.is_empty()) else {
                let message = format!("the state of commit {id} does not fit");
                return Err(WireError::new(ErrorKind::InvalidRequest, message)
                    .detail(format!("There is no source file \"{}\" in it.", file.path))
                    .hint("Forget the repository and read its history again."));
            };
            let (reference, number) = (file.content, file.chain);
            let content = match contents.entry((reference, number)) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(place) => {
                    let facts = stored_facts(&file.path, file.facts.as_deref())?;
                    let content = Content { reference, number, base: None, blob, language, facts };
                    Arc::clone(place.insert(Arc::new(content)))
                }
            };
            numbering.know(&content);
            let nodes = file.nodes.into_boxed_slice();
            state.insert(&file.path, Arc::new(File { content, nodes }));
        }
        states.push(state);
    }
    Ok(states)
}

/// The thread that reads ahead.
struct Reader<'a> {
    repository: &'a Repository,
    plan: &'a Plan,
    sources: &'a Sources<'a>,
    canceller: &'a Canceller<'a>,
    pool: &'a ThreadPool,
}

impl Reader<'_> {
    fn run(&self, give: &Sender<Window>) -> Result<(), WireError> {
        let mut objects = self.repository.tree_objects();
        let mut tasks = Vec::new();
        let mut keys = HashMap::new();
        for commit in 0..self.plan.commits.len() {
            self.canceller.check()?;
            for task in self.tasks(&mut objects, commit)? {
                for change in &task.changes {
                    for id in [change.old, change.new].into_iter().flatten() {
                        keys.entry((id, change.language)).or_insert_with(|| change.path.clone());
                    }
                }
                tasks.push(task);
                if (tasks.len() >= WINDOW_COMMITS || keys.len() >= WINDOW_BLOBS)
                    && !self.give(give, &mut tasks, &mut keys)?
                {
                    return Ok(());
                }
            }
        }
        self.give(give, &mut tasks, &mut keys)?;
        Ok(())
    }

    /// Parses and hands on; false when nobody takes it any more.
    fn give(
        &self,
        give: &Sender<Window>,
        tasks: &mut Vec<Task>,
        keys: &mut HashMap<Key, String>,
    ) -> Result<bool, WireError> {
        let held = self.pool.install(|| self.sources.hold(keys))?;
        keys.clear();
        Ok(give.send(Window { tasks: std::mem::take(tasks), held }).is_ok())
    }

    fn tree(&self, objects: &mut Objects, parent: Parent) -> Result<Option<ObjectId>, WireError> {
        let id = match parent {
            Parent::Walked(number) => self.plan.commits[number as usize].id,
            Parent::Base(number) => self.plan.bases[number as usize],
        };
        Ok(object::place(self.repository.read(objects, &id, Kind::Commit)?).tree)
    }

    fn tasks(&self, objects: &mut Objects, commit: usize) -> Result<Vec<Task>, WireError> {
        let planned = &self.plan.commits[commit];
        let bytes = self.repository.read(objects, &planned.id, Kind::Commit)?;
        let place = object::place(bytes);
        let words = Arc::new(object::words(bytes));
        let parents = Arc::new(place.parents);
        let before = match planned.first {
            Some(parent) => self.tree(objects, parent)?,
            None => None,
        };
        let stopped = || self.canceller.is_cancelled();
        let changes = diff::diff(self.repository, objects, before, place.tree, &stopped)?;
        let mut notices = changes.notices;
        notices.extend(words.lossy.iter().map(|what| {
            let detail = format!("the {what} is not valid UTF-8");
            (String::new(), Notice { reason: SkipReason::Decoded, detail, line: 0 })
        }));
        // What begins with its whole tree has nothing to be compared with: its files may come in parts.
        let size = if planned.first.is_none() { PART_FILES } else { usize::MAX };
        let mut rest = changes.files;
        let mut tasks = Vec::new();
        loop {
            let later = if rest.len() > size { rest.split_off(size) } else { Vec::new() };
            let is_last = later.is_empty();
            tasks.push(Task {
                commit,
                words: Arc::clone(&words),
                parents: Arc::clone(&parents),
                changes: std::mem::replace(&mut rest, later),
                notices: std::mem::take(&mut notices),
                is_last,
            });
            if is_last {
                return Ok(tasks);
            }
        }
    }
}

/// States of commits whose children are not all done.
struct States<'a> {
    plan: &'a Plan,
    of_bases: Vec<Option<Snapshot>>,
    of_walked: HashMap<u32, Snapshot>,
    /// By place: how many commits still need it.
    bases_needed: Vec<u32>,
    walked_needed: Vec<u32>,
}

impl<'a> States<'a> {
    fn new(plan: &'a Plan, bases: Vec<Snapshot>) -> Self {
        let mut states = Self {
            plan,
            of_bases: bases.into_iter().map(Some).collect(),
            of_walked: HashMap::new(),
            bases_needed: vec![0; plan.bases.len()],
            walked_needed: vec![0; plan.commits.len()],
        };
        for commit in &plan.commits {
            for parent in commit.first.iter().chain(&commit.others) {
                *states.needed(*parent) += 1;
            }
        }
        states
    }

    fn needed(&mut self, parent: Parent) -> &mut u32 {
        match parent {
            Parent::Walked(number) => &mut self.walked_needed[number as usize],
            Parent::Base(number) => &mut self.bases_needed[number as usize],
        }
    }

    /// A parent's state; the last one who asks has it alone, and may change it where it is.
    fn take(&mut self, parent: Parent) -> Snapshot {
        let needed = self.needed(parent);
        *needed -= 1;
        let is_last = *needed == 0;
        let state = match parent {
            Parent::Walked(number) if is_last => self.of_walked.remove(&number),
            Parent::Walked(number) => self.of_walked.get(&number).cloned(),
            Parent::Base(number) if is_last => self.of_bases[number as usize].take(),
            Parent::Base(number) => self.of_bases[number as usize].clone(),
        };
        state.unwrap_or_default()
    }

    /// States of a commit's parents: the first one's, and the others'.
    fn parents(&mut self, commit: usize) -> (Snapshot, Vec<Snapshot>) {
        let planned = &self.plan.commits[commit];
        let others = planned.others.iter().map(|parent| self.take(*parent)).collect();
        (planned.first.map(|parent| self.take(parent)).unwrap_or_default(), others)
    }

    fn keep(&mut self, commit: usize, state: Snapshot) {
        if self.walked_needed[commit] > 0 {
            self.of_walked.insert(commit as u32, state);
        }
    }
}

/// The thread that follows.
struct Follower<'a, 'e> {
    plan: &'a Plan,
    changer: Changer<'a>,
    pool: &'a ThreadPool,
    states: States<'a>,
    batch: Batch<'e>,
}

impl Follower<'_, '_> {
    fn run(
        &mut self,
        windows: Receiver<Window>,
        canceller: &Canceller<'_>,
    ) -> Result<(), WireError> {
        let mut parents = None;
        for Window { tasks, held } in windows {
            let mut done = Vec::with_capacity(tasks.len());
            for task in tasks {
                canceller.check()?;
                let Task { commit, words, parents: ids, changes, notices, is_last } = task;
                let (state, others) = parents.get_or_insert_with(|| self.states.parents(commit));
                let mut changed = self.changer.change(changes, &held, state, others)?;
                changed.notices.extend(notices);
                done.push(Done { commit, words, parents: ids, changed, is_last });
                if is_last && let Some((state, _)) = parents.take() {
                    self.states.keep(commit, state);
                }
            }
            self.finish(done)?;
        }
        self.batch.flush()
    }

    fn finish(&mut self, mut done: Vec<Done>) -> Result<(), WireError> {
        let mut counts = Vec::with_capacity(done.len());
        let mut bodies: Vec<NewBody> = Vec::new();
        for Done { changed, .. } in &mut done {
            counts.push(changed.bodies.len());
            bodies.append(&mut changed.bodies);
        }
        let sources = self.changer.sources;
        let contents = store_bodies(self.pool, &bodies, sources)?;
        let mut contents = contents.into_iter();
        for (done, count) in done.into_iter().zip(counts) {
            let Done { commit, words, parents, changed, is_last } = done;
            let of_it: Vec<NewContent> = contents.by_ref().take(count).collect();
            let head = HistoryCommit {
                id: wire(&self.plan.commits[commit].id),
                parents: parents.iter().map(wire).collect(),
                author: words.author.clone(),
                committer: words.committer.clone(),
                message: words.message.clone(),
                files: Vec::new(),
                contents: Vec::new(),
                nodes: 0,
                search_texts: Vec::new(),
                notices: Vec::new(),
                more: false,
            };
            self.batch.add(head, of_it, changed, !is_last)?;
        }
        Ok(())
    }
}

/// Contents as they are stored.
pub(super) fn store_bodies(
    pool: &ThreadPool,
    bodies: &[NewBody],
    sources: &Sources<'_>,
) -> Result<Vec<NewContent>, WireError> {
    pool.install(|| {
        let store = |body: &NewBody| stored(body, sources);
        bodies.par_iter().with_max_len(1).map(store).collect()
    })
}

/// A content as it is stored.
fn stored(body: &NewBody, sources: &Sources<'_>) -> Result<NewContent, WireError> {
    let NewBody { content, source, path } = body;
    // A base that cannot be read any more is left out.
    let base = match &content.base {
        Some(base) => match sources.get((base.blob, base.language), path)? {
            Blob::Source(source) => Some((base.reference, source)),
            Blob::Skipped(_) => None,
        },
        None => None,
    };
    let refuse = |error: onyx_content::ContentError| {
        WireError::new(ErrorKind::Internal, format!("could not compress file \"{path}\""))
            .detail(format!("{error}."))
    };
    let base_text = base.as_ref().map(|(_, source)| source.text.as_bytes());
    let text = onyx_content::compress(source.text.as_bytes(), base_text).map_err(refuse)?;
    let base_facts = base.as_ref().map(|(_, source)| stored_facts::encode(&source.facts));
    let facts = stored_facts::encode(&source.facts);
    let facts = onyx_content::compress(&facts, base_facts.as_deref()).map_err(refuse)?;
    Ok(NewContent {
        hash: source.hash,
        text_hash: source.is_decoded.then(|| Sha256::digest(&source.text).into()),
        language: content.language,
        size: source.size,
        lines: source.lines,
        chain: content.number.unwrap_or(0),
        base: base.map(|(reference, _)| reference),
        text,
        facts,
    })
}
