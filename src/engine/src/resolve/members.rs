//! Members of types: along bases, with type arguments put in.

use std::rc::Rc;

use onyx_protocol::code::Within;
use onyx_protocol::facts::NodeKind;

use super::context::{Context, Place};
use super::ty::{Def, Entity, Found, Space, Strategy, Ty};

/// A type and its bases in the order they are asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Bases {
    /// The type itself first, with the type arguments the bases are given.
    pub all: Vec<(Def, Rc<[Ty]>)>,
    /// A base that is outside or unknown: then a name not found here may be there.
    pub outside: Option<Ty>,
}

impl<'w> Context<'w> {
    /// Members of a type or value under a name.
    pub fn members(&self, of: &Ty, name: &str, space: Space) -> Vec<Found> {
        let Some(_question) = self.question() else { return Vec::new() };
        match of {
            Ty::Module(module) => self.find_in(module, name, space),
            Ty::Value(def, _) | Ty::Type(def, _) => {
                let Some(file) = self.file(def.slot) else { return Vec::new() };
                let is_value = matches!(of, Ty::Value(..));
                let mut found = file.rules.members(self, *def, name, space, is_value);
                if found.is_empty() && is_value {
                    return file.rules.behind(self, of, name, space);
                }
                for one in &mut found {
                    one.receiver.get_or_insert_with(|| of.clone());
                }
                found
            }
            Ty::Union(all) => {
                let mut found: Vec<Found> = Vec::new();
                for ty in all.iter() {
                    for mut one in self.members(ty, name, space) {
                        if !found.iter().any(|other| other.entity == one.entity) {
                            one.how = one.how.max(Strategy::Union);
                            found.push(one);
                        }
                    }
                }
                if let [one] = &mut found[..]
                    && one.how == Strategy::Union
                {
                    one.how = Strategy::Receiver;
                }
                found
            }
            Ty::All(all) => {
                // Nobody knows which members those outside have, so they come last, and all of them.
                let outside = |ty: &&Ty| matches!(ty, Ty::Outside { .. });
                for ty in all.iter().filter(|ty| !outside(ty)) {
                    let mut found = self.members(ty, name, space);
                    if !found.is_empty() {
                        let is_promise = matches!(ty, Ty::Value(def, _) if self.declared(*def).is_some_and(
                            |d| matches!(d.kind, NodeKind::Trait | NodeKind::Interface)
                        ));
                        for one in found.iter_mut().filter(|_| is_promise) {
                            one.how = one.how.max(Strategy::Bound);
                        }
                        return found;
                    }
                }
                all.iter().filter(outside).flat_map(|ty| self.members(ty, name, space)).collect()
            }
            Ty::Parameter(def, index) => {
                let bounds = self.bounds(*def, *index);
                self.members(&Ty::All(bounds.into()), name, space)
            }
            Ty::Outside { path, is_value, .. } => {
                let rules = match self.file(self.slot) {
                    Some(file) => file.rules,
                    None => return Vec::new(),
                };
                if let Some(found) = rules.through_outside(self, of, name, space) {
                    return found;
                }
                let entity = if *is_value {
                    Entity::OutsideMember(Rc::new(of.clone()), name.into())
                } else {
                    let path = format!("{path}{}{name}", rules.separator());
                    Entity::Outside(path.into())
                };
                vec![Found::new(entity, Strategy::Scope)]
            }
            Ty::OutsideMember(..) => {
                let entity = Entity::OutsideMember(Rc::new(of.clone()), name.into());
                vec![Found::new(entity, Strategy::Scope)]
            }
            Ty::Function(def, _) => match self.file(def.slot) {
                Some(file) => file.rules.function_members(self, *def, name),
                None => Vec::new(),
            },
            &Ty::Object { slot, own, at, shape } => {
                let pool = if own { Some(&self.body.pool) } else { self.pool(slot) };
                let Some(pool) = pool else { return Vec::new() };
                self.object_members(Place { slot, pool, at }, shape, name, space)
            }
            Ty::Record(fields) => {
                if let Some((_, ty)) = fields.iter().find(|(field, _)| &**field == name) {
                    return vec![Found::new(Entity::Field(ty.clone()), Strategy::Field)];
                }
                let mut embedded = fields.iter().filter(|(field, _)| field.is_empty());
                let found = embedded.find_map(|(_, ty)| {
                    let found = self.members(ty, name, space);
                    (!found.is_empty()).then_some(found)
                });
                found.unwrap_or_default()
            }
            Ty::Unknown | Ty::Tuple(_) | Ty::Gives(_) => Vec::new(),
        }
    }

    /// What a type parameter must be.
    pub fn bounds(&self, def: Def, index: u32) -> Vec<Ty> {
        let (Some(declared), Some(place)) = (self.declared(def), self.inside(def)) else {
            return Vec::new();
        };
        let Some(generic) = declared.generics.get(index as usize) else { return Vec::new() };
        generic.bounds.iter().map(|&bound| self.eval(place, bound)).collect()
    }

    /// Members along the bases of a class.
    pub fn class_members(&self, def: Def, name: &str, space: Space) -> Vec<Found> {
        let bases = self.bases(def);
        for (index, (base, arguments)) in bases.all.iter().enumerate() {
            let mut found = self.own_members(*base, name, space);
            if !found.is_empty() {
                for one in &mut found {
                    one.receiver = (index > 0).then(|| Ty::Value(*base, arguments.clone()));
                }
                return found;
            }
        }
        match &bases.outside {
            Some(Ty::Outside { path, .. }) => {
                let rules = match self.file(def.slot) {
                    Some(file) => file.rules,
                    None => return Vec::new(),
                };
                let path = format!("{path}{}{name}", rules.separator());
                vec![Found::new(Entity::Outside(path.into()), Strategy::Super)]
            }
            Some(_) => vec![Found::new(Entity::Opaque, Strategy::Super)],
            None => Vec::new(),
        }
    }

    /// Members a type has itself.
    pub fn own_members(&self, def: Def, name: &str, space: Space) -> Vec<Found> {
        self.find_in_module(def.slot, Within::definition(def.number), name, space)
            .into_iter()
            .map(|mut one| {
                one.how = Strategy::Scope;
                one
            })
            .collect()
    }

    /// A class and its bases, in the order of the C3 linearisation as far as there is one.
    pub fn bases(&self, def: Def) -> Rc<Bases> {
        let key = (def.slot, def.number);
        if let Some(bases) = self.memory.bases.borrow().get(&key) {
            return bases.clone();
        }
        // A class that is its own base has no more.
        let own: Rc<[Ty]> = self.own_arguments(def).into();
        let itself = Bases { all: vec![(def, own.clone())], outside: None };
        self.memory.bases.borrow_mut().insert(key, Rc::new(itself));
        let mut outside = None;
        let mut lists: Vec<Line> = Vec::new();
        let mut direct = Vec::new();
        for base in self.direct_bases(def) {
            match base {
                Ty::Value(base, arguments) | Ty::Type(base, arguments) => {
                    let of = self.bases(base);
                    let receiver = Ty::Value(base, arguments.clone());
                    let all = of.all.iter().map(|(def, inner)| {
                        let inner =
                            inner.iter().map(|ty| self.substituted(ty.clone(), Some(&receiver)));
                        (*def, inner.collect())
                    });
                    lists.push(all.collect());
                    direct.push((base, arguments));
                    if outside.is_none() {
                        outside.clone_from(&of.outside);
                    }
                }
                other => {
                    let ignored =
                        self.file(def.slot).is_some_and(|f| f.rules.is_empty_base(&other));
                    if !ignored && outside.is_none() {
                        outside = Some(other);
                    }
                }
            }
        }
        lists.push(direct);
        let mut all = vec![(def, own)];
        merge(lists, &mut all);
        let bases = Rc::new(Bases { all, outside });
        self.memory.bases.borrow_mut().insert(key, bases.clone());
        bases
    }

    /// The bases a type names.
    pub fn direct_bases(&self, def: Def) -> Vec<Ty> {
        let (Some(declared), Some(place)) = (self.declared(def), self.inside(def)) else {
            return Vec::new();
        };
        declared.bases.iter().map(|&base| self.eval(place, base)).collect()
    }

    /// A type's own parameters as its arguments.
    pub fn own_arguments(&self, def: Def) -> Vec<Ty> {
        let count = self.declared(def).map_or(0, |declared| declared.generics.len());
        (0..u32::try_from(count).unwrap_or(0)).map(|index| Ty::Parameter(def, index)).collect()
    }

    /// `Self` in a type found on a receiver is the receiver, when it is of a subtype.
    pub fn with_self(&self, ty: Ty, def: Def, receiver: Option<&Ty>) -> Ty {
        let Some(Ty::Value(actual, arguments)) = receiver else { return ty };
        let rules = match self.file(def.slot) {
            Some(file) => file.rules,
            None => return ty,
        };
        match &ty {
            Ty::Value(declared, _) if rules.gives_self(self, def, *declared) => {
                let is_sub = self.bases(*actual).all.iter().any(|(base, _)| base == declared);
                if is_sub { Ty::Value(*actual, arguments.clone()) } else { ty }
            }
            _ => ty,
        }
    }

    /// A type with the type parameters of the receiver's type replaced by its arguments.
    pub fn substituted(&self, ty: Ty, receiver: Option<&Ty>) -> Ty {
        let Some(Ty::Value(def, arguments) | Ty::Type(def, arguments)) = receiver else {
            return ty;
        };
        if arguments.is_empty() {
            return ty;
        }
        self.replaced(&ty, &|parameter, index| {
            if parameter == *def {
                return arguments.get(index as usize).cloned();
            }
            // An impl block, or a method outside its type, has names of its own for the type's.
            let declared = self.declared(parameter)?;
            let of = match declared.kind {
                NodeKind::Impl => declared.ty,
                NodeKind::Method if declared.receiver != 0 => declared.receiver,
                _ => return None,
            };
            let place = self.inside(parameter)?;
            let of = self.eval(place, of);
            let Ty::Value(_, names) = of else { return None };
            let at = names.iter().position(|name| *name == Ty::Parameter(parameter, index))?;
            arguments.get(at).cloned()
        })
    }

    fn replaced(&self, ty: &Ty, with: &dyn Fn(Def, u32) -> Option<Ty>) -> Ty {
        let all =
            |all: &Rc<[Ty]>| -> Rc<[Ty]> { all.iter().map(|ty| self.replaced(ty, with)).collect() };
        match ty {
            Ty::Parameter(def, index) => with(*def, *index).unwrap_or_else(|| ty.clone()),
            Ty::Value(def, arguments) if !arguments.is_empty() => Ty::Value(*def, all(arguments)),
            Ty::Type(def, arguments) if !arguments.is_empty() => Ty::Type(*def, all(arguments)),
            Ty::Outside { path, arguments, is_value } if !arguments.is_empty() => {
                Ty::Outside { path: path.clone(), arguments: all(arguments), is_value: *is_value }
            }
            Ty::Tuple(parts) => Ty::Tuple(all(parts)),
            Ty::All(parts) => Ty::All(all(parts)),
            Ty::Union(parts) => Ty::union(parts.iter().map(|ty| self.replaced(ty, with))),
            Ty::Gives(of) => Ty::Gives(Rc::new(self.replaced(of, with))),
            other => other.clone(),
        }
    }
}

/// Types with their arguments, in an order.
type Line = Vec<(Def, Rc<[Ty]>)>;

/// C3: takes the first head that is in no other list's tail; where there is none, the first head.
fn merge(mut lists: Vec<Line>, all: &mut Line) {
    loop {
        lists.retain(|list| !list.is_empty());
        let Some(first) = lists.first() else { return };
        let fits = |def: Def, lists: &[Line]| {
            !lists.iter().any(|list| list.iter().skip(1).any(|(other, _)| *other == def))
        };
        let next = lists.iter().map(|list| &list[0]).find(|(def, _)| fits(*def, &lists));
        let next = next.unwrap_or(&first[0]).clone();
        for list in &mut lists {
            list.retain(|(def, _)| *def != next.0);
        }
        if !all.iter().any(|(def, _)| *def == next.0) {
            all.push(next);
        }
    }
}
