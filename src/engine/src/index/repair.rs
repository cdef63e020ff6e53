//! Taking points out of a graph, and what keeps every other point reachable.

use std::collections::HashSet;

use super::beam::Scratch;
use super::graph::{Graph, PointId};
use super::links::layer_of;
use crate::steps;
use crate::store::lock;

/// Passes over points nothing leads to; one is nearly always enough.
const PASSES: usize = 3;

/// Points looked at for one that can lead to a point out of reach.
const LEAD_WIDTH: usize = 64;

/// A list that loses one neighbour in so many is chosen among what a search finds.
const LOST_SHARE: usize = 4;

impl Graph {
    /// Takes points out: their neighbours are linked to what lay behind them. Searches and inserts go
    /// on meanwhile. Their ids may be used again when this has returned true; false when `stopped`
    /// did, and it has to be done again.
    pub fn unlink(&self, leaving: &[PointId], stopped: &dyn Fn() -> bool) -> bool {
        leaving.iter().for_each(|id| self.set_leaving(*id));
        self.leave_entry();
        // Whoever has begun to link to them before they were marked has ended then.
        self.quiesce();
        for id in 0..self.end() as PointId {
            if id % 1024 == 0 && stopped() {
                return false;
            }
            if !self.is_linked(id) || self.is_leaving(id) {
                continue;
            }
            for layer in 0..=layer_of(id, self.options.m) {
                if self.neighbours(id, layer).any(|n| self.is_leaving(n)) {
                    self.close_gap(id, layer);
                    steps::at("repair.gap");
                }
            }
        }
        for id in leaving {
            let held = self.links.hold(*id);
            for layer in 0..=layer_of(*id, self.options.m) {
                self.links.set(*id, layer, &[]);
            }
            drop(held);
        }
        // Who has come by them before has ended then, and nobody has linked to them.
        self.quiesce();
        leaving.iter().for_each(|id| self.forget(*id));
        self.reach_all(stopped);
        true
    }

    /// Begins walks elsewhere when they begin at a point that leaves, or nowhere.
    pub fn leave_entry(&self) {
        let _held = lock(&self.entry);
        if self.entry().is_some_and(|(id, _)| !self.is_leaving(id)) {
            return;
        }
        let ids =
            (0..self.end() as PointId).filter(|id| self.is_linked(*id) && !self.is_leaving(*id));
        self.set_entry(
            ids.max_by_key(|id| (layer_of(*id, self.options.m), std::cmp::Reverse(*id))),
        );
    }

    /// Chooses a list anew among those that stay and what lies behind those that leave.
    fn close_gap(&self, id: PointId, layer: usize) {
        let walk = self.walk();
        let mut scratch = self.scratch();
        let (mut leave, mut stay) = (0, 0);
        for near in self.neighbours(id, layer) {
            *(if self.is_leaving(near) { &mut leave } else { &mut stay }) += 1;
        }
        // What lies behind a few is all there is to see; of many it is a ragged part.
        let lost = leave * LOST_SHARE >= leave + stay;
        let around = if lost { self.look_around(id, layer, &mut scratch) } else { Vec::new() };
        let held = self.links.hold(id);
        let enough = self.options.ef_construction.max(2 * self.links.capacity(layer));
        let mut behind: Vec<PointId> = Vec::new();
        let mut seen = HashSet::from([id]);
        scratch.ids.clear();
        let mut consider = |near: PointId, ids: &mut Vec<PointId>, behind: &mut Vec<PointId>| {
            if seen.insert(near) {
                (if self.is_leaving(near) { behind } else { ids }).push(near);
            }
        };
        for near in self.neighbours(id, layer).chain(around) {
            consider(near, &mut scratch.ids, &mut behind);
        }
        let mut at = 0;
        while scratch.ids.len() < enough && at < behind.len() {
            let from = behind[at];
            for near in self.neighbours(from, layer) {
                consider(near, &mut scratch.ids, &mut behind);
            }
            at += 1;
        }
        let mut sorted = std::mem::take(&mut scratch.nearest);
        // SAFETY: within a walk.
        unsafe { self.choose_anew(id, layer, &mut sorted, &mut scratch) };
        let mut chosen: Vec<PointId> = Vec::new();
        if lost {
            chosen.extend(self.neighbours(id, layer));
        }
        drop(held);
        for near in chosen {
            // SAFETY: within a walk.
            unsafe { self.connect(near, id, layer, &mut sorted, &mut scratch) };
        }
        scratch.nearest = sorted;
        drop(walk);
        self.keep_scratch(scratch);
    }

    /// Points near one that stay, by a search as of a new one, through those that leave.
    fn look_around(&self, id: PointId, layer: usize, scratch: &mut Scratch) -> Vec<PointId> {
        let mut probe = std::mem::take(&mut scratch.probe);
        // SAFETY: the caller is within a walk, and the point is linked.
        let began = unsafe {
            self.rows.probe_row(id as usize, &mut probe);
            let began = self.descend(&probe, layer, 2 * self.options.ef_construction, scratch);
            if began {
                self.spread(&probe, layer, scratch);
            }
            began
        };
        scratch.probe = probe;
        let found = scratch.beam.found().map(|(_, near)| near);
        let found = found.filter(|near| began && *near != id && !self.is_leaving(*near));
        found.take(self.options.ef_construction).collect()
    }

    /// Makes every point reachable on the lowest layer. Returns how many were not.
    pub fn reach_all(&self, stopped: &dyn Fn() -> bool) -> usize {
        let mut lost = 0;
        for _ in 0..PASSES {
            let found = self.reach_pass(stopped);
            lost += found;
            if found == 0 {
                break;
            }
        }
        lost
    }

    /// Points that walks on the lowest layer do not reach.
    pub fn out_of_reach(&self) -> Vec<PointId> {
        let mut reached = vec![false; self.end()];
        if let Some((entry, _)) = self.entry() {
            let mut parents = vec![entry; reached.len()];
            self.flood(entry, &mut reached, &mut parents);
        }
        let ids = (0..).zip(reached);
        ids.filter(|(id, reached)| !reached && self.is_linked(*id) && !self.is_leaving(*id))
            .map(|(id, _)| id)
            .collect()
    }

    fn reach_pass(&self, stopped: &dyn Fn() -> bool) -> usize {
        let Some((entry, _)) = self.entry() else { return 0 };
        let end = self.end();
        let mut reached = vec![false; end];
        let mut parents = vec![entry; end];
        self.flood(entry, &mut reached, &mut parents);
        let mut lost = 0;
        for id in 0..end as PointId {
            if reached[id as usize] || !self.is_linked(id) || self.is_leaving(id) {
                continue;
            }
            if stopped() {
                break;
            }
            lost += 1;
            self.lead_to(id, &reached, &mut parents);
            self.flood(id, &mut reached, &mut parents);
        }
        lost
    }

    /// Marks what can be reached from a point, and by which link each is for the first time.
    fn flood(&self, from: PointId, reached: &mut [bool], parents: &mut [PointId]) {
        let mut open = vec![from];
        reached[from as usize] = true;
        while let Some(id) = open.pop() {
            for neighbour in self.neighbours(id, 0) {
                let Some(known) = reached.get_mut(neighbour as usize) else { continue };
                if !*known {
                    *known = true;
                    parents[neighbour as usize] = id;
                    open.push(neighbour);
                }
            }
        }
    }

    /// Links a point from near ones that can be reached: one with room, or in place of a neighbour
    /// that is reached by another link.
    fn lead_to(&self, id: PointId, reached: &[bool], parents: &mut [PointId]) {
        let walk = self.walk();
        let mut probe = super::rows::Probe::default();
        // SAFETY: the point is linked, and a walk is under way.
        unsafe { self.rows.probe_row(id as usize, &mut probe) };
        let width = self.options.ef_construction.max(LEAD_WIDTH);
        let near = self.search(&walk, &probe, width);
        if !self.lead_from(&near, id, reached, parents) {
            // Higher layers led to a part that the lowest one does not reach: what is found there is no more
            // reached than the point. Without them, everything found is.
            let near = self.search_lowest(&walk, &probe, width);
            self.lead_from(&near, id, reached, parents);
        }
        drop(walk);
    }

    /// Links a point from one of those found, if one can take it.
    fn lead_from(
        &self,
        near: &[(f32, PointId)],
        id: PointId,
        reached: &[bool],
        parents: &mut [PointId],
    ) -> bool {
        let near = near.iter().map(|(_, near)| *near).filter(|near| {
            *near != id && reached.get(*near as usize) == Some(&true) && !self.is_leaving(*near)
        });
        for near in near {
            let _held = self.links.hold(near);
            let mut is_led = self.links.push(near, 0, id);
            if !is_led {
                let mut list: Vec<PointId> = self.neighbours(near, 0).collect();
                let spare = |n: &PointId| parents.get(*n as usize) != Some(&near);
                if let Some(at) = list.iter().rposition(spare) {
                    list[at] = id;
                    self.links.set(near, 0, &list);
                    is_led = true;
                }
            }
            if is_led {
                parents[id as usize] = near;
                return true;
            }
        }
        false
    }
}
