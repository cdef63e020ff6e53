//! What each language says of modules, imports, members and its own types.

mod ecma;
mod ecma_exports;
mod ecma_files;
mod ecma_objects;
mod ecma_std;
mod golang;
mod golang_satisfy;
mod golang_universe;
mod java;
mod java_calls;
mod java_lambdas;
mod java_overloads;
mod java_results;
mod java_std;
mod other;
mod python;
mod python_std;
mod rust;
mod rust_modules;
mod rust_std;

use onyx_protocol::code::{Declared, ExprId, Import, Pool, Within};
use onyx_protocol::facts::{Language, NodeKind};

use super::context::{Context, Place};
use super::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use super::workspace::File;

/// Something that finds a file or a definition in it from everywhere in its repository.
pub(super) enum Special<'a> {
    /// The module it is.
    Module(&'a str),
    /// A module it is below.
    Package(&'a str),
    /// A package by which other repositories find it.
    Provided(&'a str),
    /// A definition by a number of the language's own and a name.
    Named(u8, &'a str, u32),
}

/// The rules of a language.
pub(super) fn rules(language: Language) -> &'static dyn Rules {
    match language {
        Language::Java => &java::Java,
        Language::Python => &python::Python,
        Language::Rust => &rust::Rust,
        Language::TypeScript | Language::Tsx | Language::JavaScript => &ecma::Ecma,
        Language::Go => &golang::Go,
        _ => &other::Other,
    }
}

/// What a language decides. Of methods with a body the body is what most languages do.
pub(super) trait Rules: Sync {
    /// Languages with the same number can name each other's definitions.
    fn family(&self) -> u8;

    /// What stands between the names of a path outside.
    fn separator(&self) -> &'static str {
        "."
    }

    /// What finds a file.
    fn index(&self, file: &File, add: &mut dyn FnMut(Special<'_>));

    /// What an import binds; of a glob the module.
    fn import(&self, context: &Context<'_>, slot: u32, pool: &Pool, import: &Import) -> Vec<Found>;

    /// What a glob import of something has under a name.
    fn glob(
        &self,
        context: &Context<'_>,
        pool: &Pool,
        import: &Import,
        of: &Found,
        name: &str,
        space: Space,
    ) -> Vec<Found>;

    /// What a module has under a name.
    fn module_member(
        &self,
        context: &Context<'_>,
        module: &Module,
        name: &str,
        space: Space,
    ) -> Vec<Found>;

    /// What a name means that no scope has: `within` is the module that ended the search.
    fn beyond(
        &self,
        context: &Context<'_>,
        place: Place<'_>,
        within: Within,
        name: &str,
        space: Space,
    ) -> Vec<Found>;

    /// Whether a path is of the language itself.
    fn is_builtin(&self, path: &str) -> bool;

    /// The space a name is looked up in.
    fn space(&self, space: Space) -> Space {
        space
    }

    /// The space a member is looked up in that is not called: where fields and methods may have the
    /// same name, it is the field.
    fn read_space(&self) -> Space {
        Space::Value
    }

    /// Whether locals of blocks hold in the whole function.
    fn hoists(&self) -> bool {
        false
    }

    /// Whether a local's name is the local's in all of its scope, before its declaration, too.
    fn declares_ahead(&self) -> bool {
        false
    }

    /// Whether definitions of a kind are values, too.
    fn is_value(&self, _kind: NodeKind) -> bool {
        true
    }

    /// Members of a function.
    fn function_members(&self, _context: &Context<'_>, _def: Def, _name: &str) -> Vec<Found> {
        Vec::new()
    }

    /// Whether functions of one name in one container are told apart by their parameters. Then all
    /// of them are found, and calls keep those that take as many arguments.
    fn overloads(&self) -> bool {
        false
    }

    /// Whether names outside a module in a file cannot be seen in it.
    fn modules_close(&self) -> bool {
        false
    }

    /// Whether a type's members are names in it. `innermost`: no function is between.
    fn type_scope(&self, innermost: bool) -> bool;

    /// What a type's body sees under a name beside what the type itself defines; None when no more.
    fn inherited(
        &self,
        _context: &Context<'_>,
        _def: Def,
        _name: &str,
        _space: Space,
    ) -> Option<Vec<Found>> {
        None
    }

    /// The functions that a call with these arguments may mean; one when that can be told.
    fn chosen(
        &self,
        _context: &Context<'_>,
        _place: Place<'_>,
        _callee: ExprId,
        _arguments: &[ExprId],
    ) -> Vec<Found> {
        Vec::new()
    }

    /// The constructor that making a value of a type with these arguments runs.
    fn made(
        &self,
        _context: &Context<'_>,
        _place: Place<'_>,
        _def: Def,
        _arguments: &[ExprId],
    ) -> Option<Def> {
        None
    }

    /// What such a call gives.
    fn invoked(
        &self,
        _context: &Context<'_>,
        _place: Place<'_>,
        _callee: ExprId,
        _arguments: &[ExprId],
    ) -> (Ty, Strategy) {
        (Ty::Unknown, Strategy::Return)
    }

    /// What the n-th parameter of a function without name is, by the place it is given to.
    fn passed_to(&self, _: &Context<'_>, _: Place<'_>, _to: ExprId, _index: u8) -> Ty {
        Ty::Unknown
    }

    /// What a path in a type stands for.
    fn type_path(&self, context: &Context<'_>, place: Place<'_>, path: &[&str]) -> Vec<Found> {
        let Some((head, rest)) = path.split_first() else { return Vec::new() };
        let mut found = context.find_name(place, head, self.space(Space::Type));
        for name in rest {
            let (ty, how) = context.types_of(&found);
            found = context.members(&super::infer::as_type(ty), name, self.space(Space::Type));
            for one in &mut found {
                one.how = one.how.max(how);
            }
        }
        found
    }

    /// Members of a type that has a definition.
    fn members(
        &self,
        context: &Context<'_>,
        def: Def,
        name: &str,
        space: Space,
        is_value: bool,
    ) -> Vec<Found>;

    /// Members of a value that its type does not have: of what it dereferences to.
    fn behind(&self, _context: &Context<'_>, _of: &Ty, _name: &str, _space: Space) -> Vec<Found> {
        Vec::new()
    }

    /// What `self` is in a method, when the method has one.
    fn receiver(&self, context: &Context<'_>, def: Def) -> Option<Ty>;

    /// Whether a method's first parameter is its receiver.
    fn receiver_is_parameter(&self) -> bool {
        false
    }

    /// What `Self` is in a type.
    fn self_of(&self, context: &Context<'_>, def: Def) -> Option<Ty>;

    /// What `super` is at a place.
    fn super_type(&self, _context: &Context<'_>, _place: Place<'_>) -> Option<Ty> {
        None
    }

    /// Whether a function promises a value of its receiver's own type.
    fn gives_self(&self, _context: &Context<'_>, _def: Def, _declared: Def) -> bool {
        false
    }

    /// A base that has no members anybody would call.
    fn is_empty_base(&self, _base: &Ty) -> bool {
        false
    }

    /// The function that making a value of a type with so many arguments runs.
    fn constructor(&self, _context: &Context<'_>, _def: Def, _count: u8) -> Option<Def> {
        None
    }

    /// The function that calling a value runs.
    fn call_operator(&self, _context: &Context<'_>, _def: Def) -> Option<Def> {
        None
    }

    /// The members of other types that a member stands in for.
    fn overridden(&self, context: &Context<'_>, def: Def) -> Vec<Def> {
        let Some(declared) = context.declared(def) else { return Vec::new() };
        let Some(parent) = declared.parent.number() else { return Vec::new() };
        let Some(pool) = context.pool(def.slot) else { return Vec::new() };
        let name = pool.name(declared.name);
        let bases = context.bases(Def { slot: def.slot, number: parent });
        for (base, _) in bases.all.iter().skip(1) {
            let found = context.own_members(*base, name, self.space(Space::Value));
            let found: Vec<Def> = found
                .iter()
                .filter_map(|one| match one.entity {
                    Entity::Definition(target) => Some(target),
                    _ => None,
                })
                .filter(|target| {
                    context.declared(*target).is_some_and(|d| {
                        matches!(
                            d.kind,
                            NodeKind::Method | NodeKind::Property | NodeKind::Constructor
                        )
                    })
                })
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The interfaces a type implements by its members alone.
    fn satisfied(&self, _context: &Context<'_>, _def: Def) -> Vec<Def> {
        Vec::new()
    }

    /// What an enum's value is.
    fn variant(&self, _context: &Context<'_>, _def: Def) -> Ty {
        Ty::Unknown
    }

    /// What a module in a file is.
    fn module_of(&self, _context: &Context<'_>, _def: Def) -> Ty {
        Ty::Unknown
    }

    /// What the call of something outside gives.
    fn outside_result(&self, _context: &Context<'_>, _callee: &Ty) -> Ty {
        Ty::Unknown
    }

    /// Members that show through a type outside: of what a smart pointer points to.
    fn through_outside(
        &self,
        _context: &Context<'_>,
        _of: &Ty,
        _name: &str,
        _space: Space,
    ) -> Option<Vec<Found>> {
        None
    }

    /// What a function's result is, given its type.
    fn result(&self, _context: &Context<'_>, _declared: &Declared, ty: Ty) -> Ty {
        ty
    }

    /// A type as it is used: `Optional[T]` as T.
    fn typed(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        ty
    }

    /// A reference to a type.
    fn reference(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        ty
    }

    /// An array of a type.
    fn array(&self, context: &Context<'_>, ty: Ty) -> Ty;

    /// What an iteration or, with `index`, an index gives.
    fn element(&self, _context: &Context<'_>, _of: &Ty, _index: bool) -> Ty {
        Ty::Unknown
    }

    /// What waiting gives.
    fn awaited(&self, _context: &Context<'_>, of: Ty) -> Ty {
        of
    }

    /// What `?` gives.
    fn tried(&self, _context: &Context<'_>, of: Ty) -> Ty {
        of
    }

    /// What `*` gives.
    fn dereferenced(&self, _context: &Context<'_>, of: Ty) -> Ty {
        of
    }

    /// What a context manager gives.
    fn entered(&self, _context: &Context<'_>, of: Ty) -> Ty {
        of
    }

    /// The n-th part of something that is no tuple.
    fn part(&self, context: &Context<'_>, of: &Ty, _index: u8) -> Ty {
        self.element(context, of, false)
    }

    /// What is in a pattern's payload.
    fn payload(&self, _context: &Context<'_>, _of: &Ty, _name: &str) -> Ty {
        Ty::Unknown
    }

    /// What a method passes to the function it is given.
    fn passed(&self, _context: &Context<'_>, _object: &Ty, _method: &str, _index: u8) -> Ty {
        Ty::Unknown
    }
}
