//! The types of definitions, locals and parameters, and what calls give.

use std::rc::Rc;

use onyx_protocol::code::{Within, flags};
use onyx_protocol::facts::NodeKind;

use super::context::{At, Context, Place, Work};
use super::infer::as_type;
use super::ty::{Def, Entity, Found, Strategy, Ty};

impl<'w> Context<'w> {
    /// The types of all that was found, and the weakest way.
    pub fn types_of(&self, found: &[Found]) -> (Ty, Strategy) {
        let how = found.iter().map(|one| one.how).max().unwrap_or(Strategy::Scope);
        match found {
            [one] => self.type_of(one),
            _ => {
                let mut how = how;
                let types: Vec<Ty> = found
                    .iter()
                    .map(|one| {
                        let (ty, also) = self.type_of(one);
                        how = how.max(also);
                        ty
                    })
                    .collect();
                (Ty::union(types), how)
            }
        }
    }

    /// The type of what was found.
    pub fn type_of(&self, found: &Found) -> (Ty, Strategy) {
        let how = found.how;
        let Some(_question) = self.question() else { return (Ty::Unknown, how) };
        match &found.entity {
            Entity::Definition(def) => {
                let (ty, more) = self.type_of_definition(*def, found.receiver.as_ref());
                (ty, how.max(more))
            }
            Entity::Attribute(slot, number) => {
                let (ty, _) = self.type_of_attribute(*slot, *number);
                (self.substituted(ty, found.receiver.as_ref()), how.max(Strategy::Field))
            }
            Entity::Local(number) => self.type_of_local(*number, how),
            Entity::Parameter(def, index) => {
                let ty = self.type_of_parameter(*def, *index);
                (ty, how.max(Strategy::Receiver))
            }
            Entity::Generic(def, index) => (as_type(Ty::Parameter(*def, *index)), how),
            Entity::Receiver(ty) => (ty.clone(), Strategy::Own),
            Entity::Module(module) => (Ty::Module(module.clone()), how),
            Entity::Outside(path) => (Ty::outside(path), how),
            Entity::OutsideMember(of, name) => (Ty::OutsideMember(of.clone(), name.clone()), how),
            Entity::Opaque => (Ty::Unknown, how),
        }
    }

    fn type_of_local(&self, number: u32, how: Strategy) -> (Ty, Strategy) {
        let Some(binding) = self.body.bindings.get(number as usize) else {
            return (Ty::Unknown, how);
        };
        let pool = &self.body.pool;
        // What it is set to is seen from before it.
        let at = At::Scope(binding.scope, binding.line, binding.column.saturating_sub(1));
        let place = Place { slot: self.slot, pool, at };
        if binding.ty != 0 {
            let ty = self.eval(place, binding.ty);
            if !ty.is_unknown() {
                return (ty, how.max(Strategy::Receiver));
            }
        }
        if let Some((ty, also)) = self.memory.locals.borrow().get(&number) {
            return (ty.clone(), how.max(*also));
        }
        let Some(round) = self.begin(Work::Local(number)) else { return (Ty::Unknown, how) };
        let (ty, also) = self.infer(place, binding.value);
        if round.end() {
            self.memory.locals.borrow_mut().insert(number, (ty.clone(), also));
        }
        (ty, how.max(also))
    }

    fn type_of_parameter(&self, def: Def, index: u32) -> Ty {
        let (Some(declared), Some(place)) = (self.declared(def), self.inside(def)) else {
            return Ty::Unknown;
        };
        let Some(parameter) = declared.parameters.get(index as usize) else { return Ty::Unknown };
        if parameter.ty != 0 {
            return self.eval(place, parameter.ty);
        }
        // A default says something about the type only if it is a value of one.
        self.infer(place, parameter.default).0
    }

    fn type_of_attribute(&self, slot: u32, number: u32) -> (Ty, Strategy) {
        let nothing = (Ty::Unknown, Strategy::Field);
        let Some(file) = self.file(slot) else { return nothing };
        let Some(attribute) = file.interface.attributes.get(number as usize) else {
            return nothing;
        };
        let within = match attribute.within {
            Within::FILE => attribute.owner,
            within => within,
        };
        let place = Place { slot, pool: &file.interface.pool, at: At::Within(within) };
        if attribute.ty != 0 {
            return (self.eval(place, attribute.ty), Strategy::Field);
        }
        let (ty, how) = self.infer(place, attribute.value);
        (ty, how.max(Strategy::Field))
    }

    /// The type of a definition, as seen on a receiver.
    pub fn type_of_definition(&self, def: Def, receiver: Option<&Ty>) -> (Ty, Strategy) {
        let nothing = (Ty::Unknown, Strategy::Scope);
        let (Some(declared), Some(file)) = (self.declared(def), self.file(def.slot)) else {
            return nothing;
        };
        match declared.kind {
            NodeKind::Class
            | NodeKind::Struct
            | NodeKind::Union
            | NodeKind::Record
            | NodeKind::Annotation
            | NodeKind::Interface
            | NodeKind::Trait
            | NodeKind::Enum => (Ty::Type(def, Rc::new([])), Strategy::Scope),
            NodeKind::TypeAlias => {
                let Some(place) = self.inside(def) else { return nothing };
                let ty = self.remembered(def, || match declared.ty {
                    0 => self.infer(place, declared.values.first().copied().unwrap_or(0)).0,
                    of => as_type(self.eval(place, of)),
                });
                (self.substituted(ty, receiver), Strategy::Scope)
            }
            NodeKind::Function | NodeKind::Method | NodeKind::Constructor => {
                (Ty::Function(def, receiver.cloned().map(Rc::new)), Strategy::Scope)
            }
            NodeKind::EnumMember => (file.rules.variant(self, def), Strategy::Scope),
            NodeKind::Property => (self.result(def, receiver), Strategy::Field),
            NodeKind::Field | NodeKind::Constant | NodeKind::Variable => {
                let place = self.inside(def);
                let ty = self.remembered(def, || {
                    let Some(place) = place else { return Ty::Unknown };
                    if declared.ty != 0 {
                        let ty = self.eval(place, declared.ty);
                        if !ty.is_unknown() {
                            return ty;
                        }
                    }
                    self.assigned(def)
                });
                let is_member = declared.kind == NodeKind::Field;
                let how = if is_member { Strategy::Field } else { Strategy::Receiver };
                (self.substituted(ty, receiver), how)
            }
            NodeKind::Module => (file.rules.module_of(self, def), Strategy::Scope),
            NodeKind::Impl | NodeKind::Macro => nothing,
        }
    }

    /// What is assigned to a field or variable, at its definition and elsewhere.
    fn assigned(&self, def: Def) -> Ty {
        let (Some(declared), Some(place), Some(pool)) =
            (self.declared(def), self.inside(def), self.pool(def.slot))
        else {
            return Ty::Unknown;
        };
        let mut types: Vec<Ty> =
            declared.values.iter().map(|&value| self.infer(place, value).0).collect();
        let name = pool.name(declared.name);
        for item in self.named(def.slot, declared.parent, name) {
            if let super::workspace::Named::Attribute(number) = *item {
                types.push(self.type_of_attribute(def.slot, number).0);
            }
        }
        Ty::union(types)
    }

    /// The type a definition has, made once.
    pub fn remembered(&self, def: Def, make: impl FnOnce() -> Ty) -> Ty {
        let key = (def.slot, def.number);
        if let Some(ty) = self.memory.definitions.borrow().get(&key) {
            return ty.clone();
        }
        // What is defined by itself is unknown.
        let Some(round) = self.begin(Work::Definition(def)) else { return Ty::Unknown };
        let ty = make();
        if round.end() {
            self.memory.definitions.borrow_mut().insert(key, ty.clone());
        }
        ty
    }

    /// What a call gives.
    pub fn called(&self, callee: &Ty) -> Ty {
        let Some(_question) = self.question() else { return Ty::Unknown };
        match callee {
            Ty::Function(def, receiver) => self.result(*def, receiver.as_deref()),
            Ty::Type(def, arguments) => Ty::Value(*def, arguments.clone()),
            Ty::Gives(ty) => (**ty).clone(),
            Ty::Union(all) => Ty::union(all.iter().map(|ty| self.called(ty))),
            other => {
                let rules = match self.file(self.slot) {
                    Some(file) => file.rules,
                    None => return Ty::Unknown,
                };
                rules.outside_result(self, other)
            }
        }
    }

    /// What a function gives, on a receiver.
    pub fn result(&self, def: Def, receiver: Option<&Ty>) -> Ty {
        let (Some(declared), Some(file), Some(place)) =
            (self.declared(def), self.file(def.slot), self.inside(def))
        else {
            return Ty::Unknown;
        };
        let ty = self.remembered(def, || {
            if declared.ty != 0 {
                return self.eval(place, declared.ty);
            }
            if declared.flags & (flags::GENERATOR | flags::REPLACED) != 0 {
                return Ty::Unknown;
            }
            Ty::union(declared.values.iter().map(|&value| self.infer(place, value).0))
        });
        let ty = self.with_self(ty, def, receiver);
        let ty = self.substituted(ty, receiver);
        file.rules.result(self, declared, ty)
    }
}
