//! What a name means where it stands.

use std::rc::Rc;

use onyx_protocol::code::{Import, ScopeKind, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::context::{At, Context, Place, Work, holder};
use super::keys;
use super::ty::{Def, Entity, Found, Module, Space, Strategy};
use super::workspace::Named;

impl<'w> Context<'w> {
    /// What a name means at a place; empty when nothing is known of it.
    pub fn find_name(&self, place: Place<'_>, name: &str, space: Space) -> Vec<Found> {
        let Some(_question) = self.question() else { return Vec::new() };
        let Some(file) = self.file(place.slot) else { return Vec::new() };
        let rules = file.rules;
        let mut within = match place.at {
            At::Within(within) => within,
            At::Scope(scope, line, column) => {
                match self.find_local(place, scope, (line, column), name, space) {
                    Ok(found) => return found,
                    Err(within) => within,
                }
            }
        };
        // From inside out through the definitions around.
        let mut innermost = true;
        while let Some(number) = within.number() {
            let def = Def { slot: place.slot, number };
            let Some(declared) = self.declared(def) else { break };
            if let Some(found) = self.find_in_definition(def, name, space, innermost) {
                return found;
            }
            let is_type = !matches!(
                declared.kind,
                NodeKind::Function
                    | NodeKind::Method
                    | NodeKind::Constructor
                    | NodeKind::Property
                    | NodeKind::Field
                    | NodeKind::Variable
                    | NodeKind::Constant
            );
            innermost &= !is_type;
            if declared.kind == NodeKind::Module && rules.modules_close() {
                return rules.beyond(self, place, within, name, space);
            }
            within = declared.parent;
        }
        let found = self.find_in_module(place.slot, Within::FILE, name, space);
        if !found.is_empty() {
            return found;
        }
        // What loops and the like bind at the top of a file.
        if let At::Scope(_, line, column) = place.at
            && let Some(&id) = self.names.get(&keys::name(name))
            && let Some(found) = self.binding(0, id, line, column, rules.hoists())
        {
            return found;
        }
        rules.beyond(self, place, Within::FILE, name, space)
    }

    /// Looks through the scopes of the body up to the file's. Err with where to go on.
    fn find_local(
        &self,
        place: Place<'_>,
        scope: u32,
        (line, column): (u32, u32),
        name: &str,
        space: Space,
    ) -> Result<Vec<Found>, Within> {
        let Some(own) = self.file(self.slot) else { return Ok(Vec::new()) };
        let rules = own.rules;
        let id = self.names.get(&keys::name(name)).copied();
        let mut number = scope;
        // Bindings of a function's blocks hold in the whole function.
        let hoists = rules.hoists();
        let mut inside_function = false;
        loop {
            let Some(scope) = self.body.scopes.get(number as usize) else {
                return Err(Within::FILE);
            };
            if scope.kind == ScopeKind::File {
                return Err(Within::FILE);
            }
            if space != Space::Type
                && let Some(id) = id
                && !(scope.kind == ScopeKind::Type)
                && let Some(found) = self.binding(number, id, line, column, hoists)
            {
                return Ok(found);
            }
            for (index, import) in (0_u32..).zip(&self.body.imports) {
                if import.owner == Within::definition(number)
                    && self.body.pool.name(import.local) == name
                {
                    return Ok(self.local_import(index, import));
                }
            }
            for (index, import) in (0_u32..).zip(&self.body.imports) {
                if import.owner == Within::definition(number) && import.flags & flags::GLOB != 0 {
                    let of = self.local_import(index, import);
                    let Some(of) = of.first() else { continue };
                    let found = rules.glob(self, &self.body.pool, import, of, name, space);
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
            }
            if let Some(definition) = scope.within.number() {
                let def = Def { slot: self.slot, number: definition };
                if let Some(found) = self.find_in_definition(def, name, space, !inside_function) {
                    return Ok(found);
                }
                if scope.kind == ScopeKind::Module && rules.modules_close() {
                    return Ok(rules.beyond(self, place, scope.within, name, space));
                }
            }
            inside_function |= scope.kind == ScopeKind::Function;
            number = scope.parent;
        }
    }

    /// The bindings of a scope that hold at a position. With `hoists`, those of blocks of the same
    /// function count as the function's.
    fn binding(
        &self,
        scope: u32,
        id: u32,
        line: u32,
        column: u32,
        hoists: bool,
    ) -> Option<Vec<Found>> {
        let own = self.bindings.get(&(scope, id));
        let before = |&number: &u32| {
            let binding = &self.body.bindings[number as usize];
            (binding.line, binding.column) <= (line, column)
        };
        if !hoists {
            let own = own?;
            let ahead = self.file(self.slot).is_some_and(|file| file.rules.declares_ahead());
            let first = own.first().copied().filter(|_| ahead);
            let last = own.iter().copied().rfind(before).or(first)?;
            return Some(vec![Found::new(Entity::Local(last), Strategy::Scope)]);
        }
        if let Some(own) = own {
            // The last one before: it stands in a scope around, so it holds.
            if let Some(last) = own.iter().copied().rfind(before) {
                // Those in branches since then may hold, too.
                let mut all = vec![last];
                all.extend(
                    self.in_branches(scope, id).into_iter().filter(|n| *n > last && before(n)),
                );
                return Some(locals(&all));
            }
        }
        let kind = self.body.scopes[scope as usize].kind;
        if !matches!(kind, ScopeKind::Function | ScopeKind::File) {
            return None;
        }
        let mut all = self.in_branches(scope, id);
        if all.is_empty() {
            return None;
        }
        if all.iter().any(before) {
            all.retain(before);
        }
        Some(locals(&all))
    }

    /// Bindings of a name in a scope and in blocks of it, not in functions in it.
    fn in_branches(&self, scope: u32, id: u32) -> Vec<u32> {
        let around = holder(self.body, scope);
        let all = self.hoisted.get(&(around, id)).map_or(&[][..], Vec::as_slice);
        let inside = |number: &u32| {
            let mut up = self.body.bindings[*number as usize].scope;
            while up > scope {
                up = self.body.scopes[up as usize].parent;
            }
            up == scope
        };
        all.iter().copied().filter(inside).collect()
    }

    fn find_in_definition(
        &self,
        def: Def,
        name: &str,
        space: Space,
        innermost: bool,
    ) -> Option<Vec<Found>> {
        let declared = self.declared(def)?;
        let pool = self.pool(def.slot)?;
        let rules = self.file(def.slot)?.rules;
        let within = Within::definition(def.number);
        if space != Space::Type {
            for (index, parameter) in (0_u32..).zip(&declared.parameters) {
                if parameter.name != 0 && pool.name(parameter.name) == name {
                    let entity = Entity::Parameter(def, index);
                    return Some(vec![Found::new(entity, Strategy::Scope)]);
                }
            }
        }
        if space != Space::Value {
            for (index, generic) in (0_u32..).zip(&declared.generics) {
                if pool.name(generic.name) == name {
                    return Some(vec![Found::new(Entity::Generic(def, index), Strategy::Scope)]);
                }
            }
        }
        let opens = match declared.kind {
            NodeKind::Function
            | NodeKind::Method
            | NodeKind::Constructor
            | NodeKind::Property
            | NodeKind::Module => true,
            NodeKind::Field | NodeKind::Variable | NodeKind::Constant | NodeKind::EnumMember => {
                false
            }
            _ => rules.type_scope(innermost),
        };
        if !opens {
            return None;
        }
        let mut found = self.find_in_module(def.slot, within, name, space);
        if found.is_empty() {
            found = rules.inherited(self, def, name, space).unwrap_or_default();
        }
        (!found.is_empty()).then_some(found)
    }

    /// What a module, function or file has under a name, its imports included.
    pub fn find_in_module(
        &self,
        slot: u32,
        within: Within,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        let Some(_question) = self.question() else { return Vec::new() };
        let Some(file) = self.file(slot) else { return Vec::new() };
        let found = self.find_declared(slot, within, name, space);
        if !found.is_empty() {
            return found;
        }
        let globs = self.globs(slot, within);
        if globs.is_empty() {
            return Vec::new();
        }
        // Modules may import each other's everything.
        let work = Work::Glob(slot, within, keys::name(name), space);
        let Some(round) = self.begin(work) else { return Vec::new() };
        let found = globs.iter().find_map(|&number| {
            let import = self.import(slot, number)?;
            let pool = &file.interface.pool;
            let of = self.imported(slot, number);
            let mut found = file.rules.glob(self, pool, import, of.first()?, name, space);
            for one in &mut found {
                one.how = one.how.max(Strategy::Glob);
            }
            (!found.is_empty()).then_some(found)
        });
        round.end();
        found.unwrap_or_default()
    }

    /// The same without glob imports.
    pub fn find_declared(&self, slot: u32, within: Within, name: &str, space: Space) -> Vec<Found> {
        self.choose(slot, self.named(slot, within, name), space)
    }

    /// Of all that has a name in one container, what is meant.
    fn choose(&self, slot: u32, named: &[Named], space: Space) -> Vec<Found> {
        let mut definitions: Vec<(u8, Def)> = Vec::new();
        for item in named {
            if let Named::Definition(number) = *item {
                let def = Def { slot, number };
                let Some(declared) = self.declared(def) else { continue };
                // A method written outside its type is found through the type alone.
                if declared.kind == NodeKind::Method && declared.receiver != 0 {
                    continue;
                }
                let rank = rank(declared.kind, declared.flags, space);
                let is_hidden = declared.flags & flags::HIDDEN != 0;
                if rank > 0 && !is_hidden && self.fits_kind(slot, declared.kind, space) {
                    definitions.push((rank, def));
                }
            }
        }
        let best = definitions.iter().map(|d| d.0).max().unwrap_or(0);
        if best > 1 && self.file(slot).is_some_and(|file| file.rules.overloads()) {
            let all = definitions.iter().filter(|d| d.0 == best);
            return all.map(|d| Found::definition(d.1, Strategy::Scope)).collect();
        }
        if best > 1 {
            // Of several alike the last holds, as in a program that runs through them.
            let last = definitions.iter().rev().find(|d| d.0 == best);
            return last.map(|d| Found::definition(d.1, Strategy::Scope)).into_iter().collect();
        }
        for item in named {
            if let Named::Import(number) = *item {
                let found = self.imported(slot, number);
                let fit: Vec<Found> =
                    found.iter().filter(|f| self.fits(f, space)).cloned().collect();
                if !fit.is_empty() {
                    return fit;
                }
            }
        }
        if let Some((_, def)) = definitions.last() {
            return vec![Found::definition(*def, Strategy::Scope)];
        }
        for item in named {
            if let Named::Attribute(number) = *item {
                return vec![Found::new(Entity::Attribute(slot, number), Strategy::Scope)];
            }
        }
        Vec::new()
    }

    /// Whether something can be meant in a space.
    pub fn fits(&self, found: &Found, space: Space) -> bool {
        match found.entity {
            Entity::Definition(def) => self.declared(def).is_some_and(|declared| {
                rank(declared.kind, declared.flags, space) > 0
                    && self.fits_kind(def.slot, declared.kind, space)
            }),
            _ => true,
        }
    }

    fn fits_kind(&self, slot: u32, kind: NodeKind, space: Space) -> bool {
        space != Space::Value || self.file(slot).is_none_or(|file| file.rules.is_value(kind))
    }

    /// What an import of a file's binds.
    pub fn imported(&self, slot: u32, number: u32) -> Rc<[Found]> {
        let key = (slot, number);
        if let Some(found) = self.memory.imports.borrow().get(&key) {
            return found.clone();
        }
        // An import that leads back to itself binds nothing.
        let Some(round) = self.begin(Work::Import(slot, number)) else { return Rc::new([]) };
        let found = match (self.file(slot), self.import(slot, number)) {
            (Some(file), Some(import)) => {
                let found = file.rules.import(self, slot, &file.interface.pool, import);
                through_import(found)
            }
            _ => Vec::new(),
        };
        let found: Rc<[Found]> = found.into();
        if round.end() {
            self.memory.imports.borrow_mut().insert(key, found.clone());
        }
        found
    }

    /// What an import in a function of the file that is resolved binds.
    pub fn local_import(&self, number: u32, import: &Import) -> Vec<Found> {
        let Some(file) = self.file(self.slot) else { return Vec::new() };
        let Some(round) = self.begin(Work::LocalImport(number)) else { return Vec::new() };
        let found = file.rules.import(self, self.slot, &self.body.pool, import);
        round.end();
        through_import(found)
    }

    /// Members of a module, through the language.
    pub fn find_in(&self, module: &Module, name: &str, space: Space) -> Vec<Found> {
        let Some(_question) = self.question() else { return Vec::new() };
        let slot = module.slot.unwrap_or(self.slot);
        let Some(file) = self.file(slot) else { return Vec::new() };
        file.rules.module_member(self, module, name, space)
    }
}

fn through_import(mut found: Vec<Found>) -> Vec<Found> {
    for one in &mut found {
        one.how = one.how.max(Strategy::Import);
    }
    found
}

fn locals(numbers: &[u32]) -> Vec<Found> {
    let how = if numbers.len() > 1 { Strategy::Union } else { Strategy::Scope };
    numbers.iter().map(|&n| Found::new(Entity::Local(n), how)).collect()
}

/// How well a kind fits a space; 0 not at all, 1 only when there is nothing better.
fn rank(kind: NodeKind, bits: u16, space: Space) -> u8 {
    let is_type = matches!(
        kind,
        NodeKind::Class
            | NodeKind::Struct
            | NodeKind::Union
            | NodeKind::Record
            | NodeKind::Annotation
            | NodeKind::Interface
            | NodeKind::Trait
            | NodeKind::Enum
            | NodeKind::TypeAlias
    );
    let is_code = matches!(kind, NodeKind::Function | NodeKind::Method | NodeKind::Constructor);
    if matches!(kind, NodeKind::Impl | NodeKind::Macro) {
        return 0;
    }
    let rank = match space {
        Space::Any => match kind {
            NodeKind::Variable | NodeKind::Constant | NodeKind::Field => 1,
            NodeKind::Property => 3,
            _ => 3,
        },
        Space::Value if is_code || kind == NodeKind::EnumMember => 4,
        Space::Value if is_type || kind == NodeKind::Module => 2,
        Space::Value if matches!(kind, NodeKind::Constant | NodeKind::Property) => 3,
        Space::Value => 2,
        Space::Field if is_code => 0,
        Space::Field if is_type || kind == NodeKind::Module => 2,
        Space::Field => 4,
        Space::Type if is_type => 4,
        Space::Type if matches!(kind, NodeKind::Module | NodeKind::EnumMember) => 3,
        Space::Type => 0,
    };
    // Overloads have their implementation beside them.
    if rank > 1 && bits & flags::ELSEWHERE != 0 && is_code { rank - 1 } else { rank }
}
