//! What an expression or type is.

use std::rc::Rc;

use onyx_protocol::code::{Expr, ExprId, ScopeKind, Type, TypeId, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::context::{At, Context, Place};
use super::ty::{Def, Entity, Found, Space, Strategy, Ty};

impl<'w> Context<'w> {
    /// What an expression is, and how that was found.
    pub fn infer(&self, place: Place<'_>, expr: ExprId) -> (Ty, Strategy) {
        let nothing = (Ty::Unknown, Strategy::Scope);
        if expr == 0 {
            return nothing;
        }
        let Some(_question) = self.question() else { return nothing };
        let Some(file) = self.file(place.slot) else { return nothing };
        let rules = file.rules;
        match place.pool.expr(expr) {
            Expr::Unknown => nothing,
            Expr::Name(_) | Expr::Member(..) | Expr::Path(..) | Expr::SelfRef => {
                let space = match place.pool.expr(expr) {
                    Expr::Member(..) => rules.read_space(),
                    _ => Space::Value,
                };
                let found = self.find(place, expr, space);
                if let Expr::Member(object, name) = *place.pool.expr(expr)
                    && found.is_empty()
                    && let Ok(index) = place.pool.name(name).parse::<usize>()
                    && let (Ty::Tuple(parts), how) = self.infer(place, object)
                {
                    let part = parts.get(index).cloned().unwrap_or(Ty::Unknown);
                    return (part, how.max(Strategy::Element));
                }
                self.types_of(&found)
            }
            Expr::Super => match rules.super_type(self, place) {
                Some(ty) => (ty, Strategy::Super),
                None => nothing,
            },
            Expr::Call(callee, count) => {
                let (callee, how) = match place.pool.expr(*callee) {
                    Expr::Name(_) | Expr::Member(..) | Expr::Path(..) => {
                        let found = self.find(place, *callee, Space::Value);
                        self.types_of(&self.of_arity(found, *count))
                    }
                    _ => self.infer(place, *callee),
                };
                let how = match callee {
                    Ty::Type(..) => how.max(Strategy::Constructor),
                    _ => how.max(Strategy::Return),
                };
                (self.called(&callee), how)
            }
            Expr::New(of, _) => (self.eval(place, *of), Strategy::Constructor),
            Expr::OfType(of) => (self.eval(place, *of), Strategy::Constructor),
            Expr::Static(of) => (as_type(self.eval(place, *of)), Strategy::Member),
            Expr::Index(of) => {
                let (of, how) = self.infer(place, *of);
                (rules.element(self, &of, true), how.max(Strategy::Element))
            }
            Expr::Element(of) => {
                let (of, how) = self.infer(place, *of);
                (rules.element(self, &of, false), how.max(Strategy::Element))
            }
            Expr::Await(of) => {
                let (of, how) = self.infer(place, *of);
                (rules.awaited(self, of), how)
            }
            Expr::Try(of) => {
                let (of, how) = self.infer(place, *of);
                (rules.tried(self, of), how)
            }
            Expr::Deref(of) => {
                let (of, how) = self.infer(place, *of);
                (rules.dereferenced(self, of), how)
            }
            Expr::Enter(of) => {
                let (of, how) = self.infer(place, *of);
                (rules.entered(self, of), how)
            }
            Expr::Part(of, index) => {
                let (of, how) = self.infer(place, *of);
                let part = match &of {
                    Ty::Tuple(parts) => {
                        parts.get(usize::from(*index)).cloned().unwrap_or(Ty::Unknown)
                    }
                    other => rules.part(self, other, *index),
                };
                (part, how.max(Strategy::Element))
            }
            Expr::Payload(of, name) => {
                let (of, how) = self.infer(place, *of);
                (rules.payload(self, &of, place.pool.name(*name)), how.max(Strategy::Element))
            }
            Expr::Lambda(gives) => {
                let (gives, how) = self.infer(place, *gives);
                (Ty::Gives(Rc::new(gives)), how)
            }
            Expr::Passed(callee, index) => {
                let passed = match *place.pool.expr(*callee) {
                    Expr::Part(..) | Expr::OfType(_) => {
                        rules.passed_to(self, place, *callee, *index)
                    }
                    Expr::Member(object, name) => {
                        let (object, _) = self.infer(place, object);
                        let name = place.pool.name(name);
                        rules.passed(self, &object, name, *index)
                    }
                    _ => Ty::Unknown,
                };
                (passed, Strategy::Element)
            }
            Expr::Either(one, other) => {
                let (one, how) = self.infer(place, *one);
                let (other, also) = self.infer(place, *other);
                (Ty::union([one, other]), how.max(also))
            }
            Expr::Tuple(parts) => {
                let parts = parts.iter().map(|&part| self.infer(place, part).0);
                (Ty::Tuple(parts.collect()), Strategy::Constructor)
            }
            Expr::Invoke(callee, arguments) => rules.invoked(self, place, *callee, arguments),
        }
    }

    /// What a name, member or path stands for.
    pub fn find(&self, place: Place<'_>, expr: ExprId, space: Space) -> Vec<Found> {
        let Some(_question) = self.question() else { return Vec::new() };
        let Some(file) = self.file(place.slot) else { return Vec::new() };
        match *place.pool.expr(expr) {
            Expr::Name(name) => {
                let name = place.pool.name(name);
                let found = self.find_name(place, name, file.rules.space(space));
                found.into_iter().map(|one| self.receiver_of(one)).collect()
            }
            Expr::SelfRef => match self.self_type(place) {
                Some(ty) => vec![Found::new(Entity::Receiver(ty), Strategy::Own)],
                None => Vec::new(),
            },
            Expr::Member(object, name) | Expr::Path(object, name) => {
                let is_path = matches!(place.pool.expr(expr), Expr::Path(..));
                let name = place.pool.name(name);
                let (ty, how) =
                    if is_path { self.path_head(place, object) } else { self.infer(place, object) };
                let how = match ty {
                    Ty::Module(_) | Ty::Type(..) if how < Strategy::Member => Strategy::Member,
                    Ty::Value(..) if how <= Strategy::Import => Strategy::Receiver,
                    _ => how,
                };
                let mut found = self.members(&ty, name, file.rules.space(space));
                for one in &mut found {
                    one.how = one.how.max(how);
                }
                found
            }
            Expr::Invoke(callee, ref arguments) => {
                file.rules.chosen(self, place, callee, arguments)
            }
            _ => Vec::new(),
        }
    }

    /// The head of a path: names in it are modules and types first.
    fn path_head(&self, place: Place<'_>, head: ExprId) -> (Ty, Strategy) {
        match place.pool.expr(head) {
            Expr::Name(_) | Expr::Path(..) => {
                let found = self.find(place, head, Space::Type);
                let (ty, how) = self.types_of(&found);
                (as_type(ty), how)
            }
            _ => self.infer(place, head),
        }
    }

    /// Of overloads those that take so many arguments; all when none does.
    pub fn of_arity(&self, found: Vec<Found>, count: u8) -> Vec<Found> {
        if found.len() < 2 {
            return found;
        }
        let fits = |one: &Found| match one.entity {
            Entity::Definition(def) => self.declared(def).is_none_or(|declared| {
                let most = declared.parameters.len();
                let least = declared.parameters.iter().filter(|p| !p.optional).count();
                let count = usize::from(count);
                let is_open = declared.flags & flags::VARIADIC != 0;
                count >= least.saturating_sub(usize::from(is_open)) && (is_open || count <= most)
            }),
            _ => true,
        };
        let kept: Vec<Found> = found.iter().filter(|one| fits(one)).cloned().collect();
        if kept.is_empty() { found } else { kept }
    }

    /// A first parameter that is the receiver is the receiver.
    fn receiver_of(&self, found: Found) -> Found {
        if let Entity::Parameter(def, 0) = found.entity
            && let Some(declared) = self.declared(def)
            && declared.flags & flags::RECEIVER != 0
            && let Some(file) = self.file(def.slot)
            && file.rules.receiver_is_parameter()
            && let Some(ty) = file.rules.receiver(self, def)
        {
            return Found::new(Entity::Receiver(ty), Strategy::Own);
        }
        found
    }

    /// The type `self` has at a place.
    pub fn self_type(&self, place: Place<'_>) -> Option<Ty> {
        let rules = self.file(place.slot)?.rules;
        let mut within = match place.at {
            At::Within(within) => within,
            At::Scope(scope, ..) => self.scope_definition(scope),
        };
        while let Some(number) = within.number() {
            let def = Def { slot: place.slot, number };
            let declared = self.declared(def)?;
            let is_code = matches!(
                declared.kind,
                NodeKind::Function | NodeKind::Method | NodeKind::Constructor | NodeKind::Property
            );
            if is_code && let Some(ty) = rules.receiver(self, def) {
                return Some(ty);
            }
            if !is_code && let Some(ty) = rules.self_of(self, def) {
                return Some(ty);
            }
            within = declared.parent;
        }
        None
    }

    /// The innermost definition a scope of the body is in.
    pub fn scope_definition(&self, mut number: u32) -> Within {
        while let Some(scope) = self.body.scopes.get(number as usize) {
            if scope.within != Within::FILE || scope.kind == ScopeKind::File {
                return scope.within;
            }
            number = scope.parent;
        }
        Within::FILE
    }

    /// What a type is, as a value of it.
    pub fn eval(&self, place: Place<'_>, ty: TypeId) -> Ty {
        if ty == 0 {
            return Ty::Unknown;
        }
        let Some(_question) = self.question() else { return Ty::Unknown };
        let Some(file) = self.file(place.slot) else { return Ty::Unknown };
        let rules = file.rules;
        match place.pool.ty(ty) {
            Type::Unknown => Ty::Unknown,
            Type::Named(path, arguments) => {
                let arguments: Vec<Ty> =
                    arguments.iter().map(|&argument| self.eval(place, argument)).collect();
                let names: Vec<&str> = path.iter().map(|&name| place.pool.name(name)).collect();
                let found = rules.type_path(self, place, &names);
                let (ty, _) = self.types_of(&found);
                rules.typed(self, as_value(ty, arguments))
            }
            Type::Reference(of) => rules.reference(self, self.eval(place, *of)),
            Type::Array(of) => rules.array(self, self.eval(place, *of)),
            Type::Tuple(of) => Ty::Tuple(of.iter().map(|&part| self.eval(place, part)).collect()),
            Type::Union(of) => Ty::union(of.iter().map(|&part| self.eval(place, part))),
            Type::All(of) => {
                let all: Vec<Ty> = of.iter().map(|&part| self.eval(place, part)).collect();
                Ty::All(all.into())
            }
            Type::Function(of) => Ty::Gives(Rc::new(self.eval(place, *of))),
            Type::SelfType => match self.self_type(place) {
                Some(ty) => as_value(ty, Vec::new()),
                None => Ty::Unknown,
            },
            Type::Projection(of, base, name) => {
                let of = self.eval(place, *of);
                if *name == 0 {
                    // `<T as Trait>`
                    return match (&of, *base) {
                        (Ty::Unknown | Ty::Parameter(..), base) => self.eval(place, base),
                        _ => of,
                    };
                }
                let name = place.pool.name(*name);
                let found = self.members(&as_type(of), name, Space::Type);
                as_value(self.types_of(&found).0, Vec::new())
            }
            Type::Of(expr) => self.infer(place, *expr).0,
        }
    }
}

/// The type of values, the values of types.
pub(super) fn as_type(ty: Ty) -> Ty {
    match ty {
        Ty::Value(def, arguments) => Ty::Type(def, arguments),
        Ty::Outside { path, arguments, .. } => Ty::Outside { path, arguments, is_value: false },
        Ty::Union(all) => Ty::union(all.iter().cloned().map(as_type)),
        other => other,
    }
}

/// A value of a type, with type arguments if there are any.
pub(super) fn as_value(ty: Ty, more: Vec<Ty>) -> Ty {
    match ty {
        Ty::Type(def, arguments) | Ty::Value(def, arguments) => {
            Ty::Value(def, if more.is_empty() { arguments } else { more.into() })
        }
        Ty::Outside { path, arguments, .. } => {
            let arguments = if more.is_empty() { arguments } else { more.into() };
            Ty::Outside { path, arguments, is_value: true }
        }
        Ty::Union(all) => Ty::union(all.iter().cloned().map(|ty| as_value(ty, more.clone()))),
        // Neither a function nor a module is a type.
        Ty::Function(..) | Ty::Module(_) => Ty::Unknown,
        other => other,
    }
}
