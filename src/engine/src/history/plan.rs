//! Which commits a walk brings, and in what order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use gix_hash::ObjectId;
use gix_object::Kind;
use onyx_protocol::history::HistoryRequest;
use onyx_protocol::{ErrorKind, WireError};

use super::object;
use super::refs::Names;
use super::repository::Repository;

/// With no more branches beside the default one than this, its commits come first and unmixed. Each of
/// the others keeps the state where it left alive until its turn comes.
const MAX_WAITING_BRANCHES: usize = 64;

/// A parent as a walk sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// A commit of the walk, by its place in the order.
    Walked(u32),
    /// A commit the client has, by its place among the bases.
    Base(u32),
}

/// A commit of the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) id: ObjectId,
    /// What it is compared with; none when it begins with the whole tree.
    pub(super) first: Option<Parent>,
    /// The other parents that are at hand.
    pub(super) others: Vec<Parent>,
}

/// All of a walk.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Parents before children.
    pub(super) commits: Vec<Planned>,
    /// Known commits with children in the walk.
    pub(super) bases: Vec<ObjectId>,
    /// Shallow commits that begin with the whole tree.
    pub(super) shallow: usize,
}

/// A commit while the graph is read.
struct Seen {
    id: ObjectId,
    time: i64,
    is_kept: bool,
    /// Parents in order; none when what lies behind is left out.
    parents: Vec<Link>,
}

#[derive(Clone, Copy)]
enum Link {
    Seen(u32),
    Base(u32),
}

struct Graph<'a> {
    request: &'a HistoryRequest,
    known: HashSet<ObjectId>,
    seen: Vec<Seen>,
    places: HashMap<ObjectId, u32>,
    bases: Vec<ObjectId>,
    base_places: HashMap<ObjectId, u32>,
    /// Places in `seen` whose parents have not been looked at.
    open: Vec<u32>,
}

impl Graph<'_> {
    /// The place of a commit, which is looked at later.
    fn place(&mut self, id: ObjectId) -> u32 {
        if let Some(place) = self.places.get(&id) {
            return *place;
        }
        let place = self.seen.len() as u32;
        self.seen.push(Seen { id, time: 0, is_kept: false, parents: Vec::new() });
        self.places.insert(id, place);
        self.open.push(place);
        place
    }

    fn link(&mut self, id: ObjectId) -> Link {
        if !self.known.contains(&id) {
            return Link::Seen(self.place(id));
        }
        let next = self.bases.len() as u32;
        let place = *self.base_places.entry(id).or_insert(next);
        if place == next {
            self.bases.push(id);
        }
        Link::Base(place)
    }

    /// Takes what a commit says of itself; false when what lies behind it is left out.
    fn take(&mut self, place: u32, commit: object::Place, is_shallow: bool) {
        let time = commit.time;
        let is_before = self.request.since.is_some_and(|since| time < since);
        let is_after = self.request.until.is_some_and(|until| time > until);
        let mut parents = Vec::new();
        if !is_before && !is_shallow {
            let followed = if self.request.first_parent { 1 } else { usize::MAX };
            for id in commit.parents.into_iter().take(followed) {
                parents.push(self.link(id));
            }
        }
        let seen = &mut self.seen[place as usize];
        (seen.time, seen.is_kept, seen.parents) = (time, !is_before && !is_after, parents);
    }
}

/// Plans a walk of all commits the branches lead to and the client does not have.
pub(super) fn plan(
    repository: &Repository,
    request: &HistoryRequest,
    names: &Names,
    cancelled: &dyn Fn() -> bool,
) -> Result<Plan, WireError> {
    let known =
        request.known.iter().filter_map(|id| ObjectId::try_from(id.as_slice()).ok()).collect();
    let mut graph = Graph {
        request,
        known,
        seen: Vec::new(),
        places: HashMap::new(),
        bases: Vec::new(),
        base_places: HashMap::new(),
        open: Vec::new(),
    };
    let mut shallow = 0;
    let mut default_tip = None;
    for branch in &names.branches {
        if graph.known.contains(&branch.commit) {
            continue;
        }
        let place = graph.place(branch.commit);
        if names.default_branch.as_ref() == Some(&branch.name) {
            default_tip = Some(place);
        }
    }
    let tips = graph.seen.len();
    let mut objects = repository.tree_objects();
    while let Some(place) = graph.open.pop() {
        if cancelled() {
            return Err(WireError::new(ErrorKind::Canceled, "reading the history was canceled"));
        }
        let id = graph.seen[place as usize].id;
        let commit = object::place(repository.read(&mut objects, &id, Kind::Commit)?);
        let is_shallow = repository.shallow.contains(&id);
        shallow += usize::from(is_shallow);
        graph.take(place, commit, is_shallow);
    }
    let first_group = match default_tip {
        Some(tip) if tips <= MAX_WAITING_BRANCHES => ancestors(&graph.seen, tip),
        _ => vec![false; graph.seen.len()],
    };
    let (commits, bases) = order(&graph, &first_group);
    Ok(Plan { commits, bases, shallow })
}

/// Which commits the one at `tip` comes from, itself included.
fn ancestors(seen: &[Seen], tip: u32) -> Vec<bool> {
    let mut is_one = vec![false; seen.len()];
    let mut open = vec![tip];
    while let Some(place) = open.pop() {
        if std::mem::replace(&mut is_one[place as usize], true) {
            continue;
        }
        open.extend(seen[place as usize].parents.iter().filter_map(|link| match link {
            Link::Seen(parent) => Some(*parent),
            Link::Base(_) => None,
        }));
    }
    is_one
}

/// Parents before children; among those that are ready, the first group first, then the oldest.
fn order(graph: &Graph<'_>, first_group: &[bool]) -> (Vec<Planned>, Vec<ObjectId>) {
    let seen = &graph.seen;
    let kept_parents = |place: usize| {
        seen[place].parents.iter().filter_map(|link| match link {
            Link::Seen(parent) if seen[*parent as usize].is_kept => Some(*parent),
            _ => None,
        })
    };
    let mut waiting = vec![0u32; seen.len()];
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); seen.len()];
    let mut ready = BinaryHeap::new();
    let key = |place: usize| {
        let commit = &seen[place];
        Reverse((!first_group[place], commit.time, commit.id, place as u32))
    };
    for place in (0..seen.len()).filter(|place| seen[*place].is_kept) {
        for parent in kept_parents(place) {
            waiting[place] += 1;
            children[parent as usize].push(place as u32);
        }
        if waiting[place] == 0 {
            ready.push(key(place));
        }
    }
    let mut position = vec![u32::MAX; seen.len()];
    let mut commits: Vec<Planned> = Vec::new();
    // Only bases of commits that are kept are needed.
    let mut bases = Vec::new();
    let mut base_position: HashMap<u32, u32> = HashMap::new();
    while let Some(Reverse((_, _, id, place))) = ready.pop() {
        let place = place as usize;
        position[place] = commits.len() as u32;
        let mut parents = seen[place].parents.iter().map(|link| match link {
            Link::Seen(parent) => match position[*parent as usize] {
                u32::MAX => None,
                position => Some(Parent::Walked(position)),
            },
            Link::Base(base) => {
                let position = base_position.entry(*base).or_insert_with(|| {
                    bases.push(graph.bases[*base as usize]);
                    bases.len() as u32 - 1
                });
                Some(Parent::Base(*position))
            }
        });
        let first = parents.next().flatten();
        let others = parents.flatten().collect();
        commits.push(Planned { id, first, others });
        for &child in &children[place] {
            waiting[child as usize] -= 1;
            if waiting[child as usize] == 0 {
                ready.push(key(child as usize));
            }
        }
    }
    (commits, bases)
}
