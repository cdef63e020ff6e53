//! Containers and what is in them: members go with their owner, and an owner is known by its members.

use std::collections::HashMap;

use onyx_protocol::WireError;
use onyx_protocol::facts::{Definition, NodeKind};

use super::lineage::{
    Class, Item, Lineage, Origin, Place, Side, definitions, may_be_one, owner_name,
};
use super::similarity::alike;

/// How alike containers must be whose members say that they are one.
const BY_MEMBERS: f32 = 0.30;

impl<'a> Lineage<'a> {
    /// Members of a container that was recognised, by name.
    pub(super) fn members(&mut self, old: Place, new: Place) {
        let inner = |side: Option<Side<'a>>, place: Place| {
            let all = definitions(side);
            let owner = place.definition;
            let end = all[owner as usize].end_byte;
            let behind = all.iter().enumerate().skip(owner as usize + 1);
            behind
                .take_while(move |(_, definition)| definition.start_byte < end)
                .filter(move |(_, definition)| definition.parent == Some(owner))
                .map(move |(number, _)| Place { definition: number as u32, ..place })
                .collect::<Vec<_>>()
        };
        // A constructor that is called what its owner is changes its name with it.
        let key = |definition: &'a Definition, owner: &Definition| {
            let is_owners =
                definition.kind == NodeKind::Constructor && definition.name == owner.name;
            (definition.kind, if is_owners { "" } else { definition.name.as_str() })
        };
        let (owner_before, owner_now) = (self.before(old), self.after(new));
        let mut waiting: HashMap<(NodeKind, &str), Vec<Place>> = HashMap::new();
        for member in inner(self.pairs[old.pair as usize].old, old).into_iter().rev() {
            if !self.is_used(member) {
                waiting.entry(key(self.before(member), owner_before)).or_default().push(member);
            }
        }
        if waiting.is_empty() {
            return;
        }
        for member in inner(self.pairs[new.pair as usize].new, new) {
            let key = key(self.after(member), owner_now);
            if self.is_open(member)
                && let Some(before) = waiting.get_mut(&key).and_then(Vec::pop)
            {
                self.set(member, before, 1.0);
                self.members(before, member);
            }
        }
    }

    /// Containers that are left whose members, more than half of those that went on, are in one new one.
    pub(super) fn by_members(
        &mut self,
        check: &dyn Fn() -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let (mut old, mut new) = self.left(Class::Container);
        if old.is_empty() || new.is_empty() {
            return Ok(());
        }
        let (owners_before, owners_now) = (Owners::new(&old), Owners::new(&new));
        let mut all: HashMap<usize, u32> = HashMap::new();
        let mut votes: HashMap<(usize, usize), u32> = HashMap::new();
        for (pair, origins) in self.origins.iter().enumerate() {
            check()?;
            for (number, origin) in origins.iter().enumerate() {
                let Some(Origin { old: before, .. }) = *origin else { continue };
                let now = Place { pair: pair as u32, definition: number as u32 };
                let Some(a) = owners_before.of(before, self.before(before)) else { continue };
                *all.entry(a).or_default() += 1;
                if let Some(b) = owners_now.of(now, self.after(now)) {
                    *votes.entry((a, b)).or_default() += 1;
                }
            }
        }
        let mut votes: Vec<((usize, usize), u32)> = votes.into_iter().collect();
        votes.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        for ((a, b), count) in votes {
            let (before, now) = (old[a].place, new[b].place);
            let is_left = !self.is_used(before) && self.is_open(now);
            if !is_left || 2 * count <= all[&a] || !may_be_one(&old[a], &new[b]) {
                continue;
            }
            let similarity = alike(old[a].body(), new[b].body());
            if similarity >= BY_MEMBERS {
                self.set(now, before, similarity);
                self.members(before, now);
            }
        }
        Ok(())
    }
}

/// Containers by where they are and by what members outside them call them.
struct Owners<'a> {
    by_place: HashMap<Place, usize>,
    /// None where several have the name.
    by_name: HashMap<&'a str, Option<usize>>,
}

impl<'a> Owners<'a> {
    fn new(items: &[Item<'a>]) -> Self {
        let mut owners = Self { by_place: HashMap::new(), by_name: HashMap::new() };
        for (number, item) in items.iter().enumerate() {
            owners.by_place.insert(item.place, number);
            let named = owners.by_name.entry(&item.definition.qualified_name);
            named.and_modify(|number| *number = None).or_insert(Some(number));
        }
        owners
    }

    fn of(&self, place: Place, definition: &Definition) -> Option<usize> {
        if let Some(parent) = definition.parent {
            return self.by_place.get(&Place { definition: parent, ..place }).copied();
        }
        // Go's methods: `Type.name`, `(*Type).name`.
        let owner = owner_name(definition).strip_suffix('.')?;
        let owner = owner.strip_prefix("(*").and_then(|o| o.strip_suffix(')')).unwrap_or(owner);
        self.by_name.get(owner).copied().flatten()
    }
}
