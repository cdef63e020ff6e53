//! Python: packages and modules by their dotted names, classes with their linearisation, builtins.

use std::rc::Rc;

use onyx_protocol::code::{Declared, Import, Pool, Type, Within, flags};
use onyx_protocol::facts::NodeKind;

use super::python_std::{BUILTINS, CLASSES, MAPS, STANDARD, method_result};
use super::{Rules, Special};
use crate::resolve::context::{At, Context, Place};
use crate::resolve::infer::as_type;
use crate::resolve::ty::{Def, Entity, Found, Module, Space, Strategy, Ty};
use crate::resolve::workspace::File;

pub(super) struct Python;

const FAMILY: u8 = 1;

impl Rules for Python {
    fn family(&self) -> u8 {
        FAMILY
    }

    fn index(&self, file: &File, add: &mut dyn FnMut(Special<'_>)) {
        if file.module.is_empty() {
            return;
        }
        add(Special::Module(&file.module));
        if is_provided(file) {
            add(Special::Provided(&file.module));
        }
        let mut end = file.module.len();
        while let Some(dot) = file.module[..end].rfind('.') {
            add(Special::Package(&file.module[..dot]));
            end = dot;
        }
    }

    fn import(&self, context: &Context<'_>, slot: u32, pool: &Pool, import: &Import) -> Vec<Found> {
        let written = pool.name(import.module);
        let Some(path) = absolute(context, slot, written, import.level) else {
            return Vec::new();
        };
        let name = pool.name(import.name);
        if name.is_empty() {
            // `import a.b` binds a.
            let binds_first = import.flags & flags::OF_TYPE != 0 && import.local != 0;
            let bound = match binds_first {
                true => path.split('.').next().unwrap_or(&path),
                false => &path,
            };
            return module_found(context, slot, bound, import.level).into_iter().collect();
        }
        let Some(found) = module_found(context, slot, &path, import.level) else {
            return Vec::new();
        };
        match found.entity {
            Entity::Module(module) => context.find_in(&module, name, Space::Any),
            Entity::Outside(path) => {
                vec![Found::new(Entity::Outside(format!("{path}.{name}").into()), Strategy::Import)]
            }
            _ => Vec::new(),
        }
    }

    fn glob(
        &self,
        context: &Context<'_>,
        _pool: &Pool,
        _import: &Import,
        of: &Found,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        let Entity::Module(Module { slot: Some(of), .. }) = of.entity else { return Vec::new() };
        match context.exports(of, name) {
            Some(false) => return Vec::new(),
            None if name.starts_with('_') => return Vec::new(),
            _ => {}
        }
        context.find_in_module(of, Within::FILE, name, space)
    }

    fn module_member(
        &self,
        context: &Context<'_>,
        module: &Module,
        name: &str,
        space: Space,
    ) -> Vec<Found> {
        if let Some(slot) = module.slot {
            let found = context.find_in_module(slot, Within::FILE, name, space);
            if !found.is_empty() {
                return found;
            }
        }
        let from = module.slot.unwrap_or(context.slot);
        let path = format!("{}.{name}", module.path);
        module_of(context, from, &path)
            .map(|module| Found::new(Entity::Module(module), Strategy::Import))
            .into_iter()
            .collect()
    }

    fn beyond(
        &self,
        _context: &Context<'_>,
        _place: Place<'_>,
        _within: Within,
        name: &str,
        _space: Space,
    ) -> Vec<Found> {
        let is_builtin = BUILTINS.binary_search(&name).is_ok();
        let path = format!("builtins.{name}");
        is_builtin
            .then(|| Found::new(Entity::Outside(path.into()), Strategy::Scope))
            .into_iter()
            .collect()
    }

    fn is_builtin(&self, path: &str) -> bool {
        path.starts_with("builtins.")
    }

    fn space(&self, _space: Space) -> Space {
        Space::Any
    }

    fn hoists(&self) -> bool {
        true
    }

    fn type_scope(&self, innermost: bool) -> bool {
        innermost
    }

    fn type_path(&self, context: &Context<'_>, place: Place<'_>, path: &[&str]) -> Vec<Found> {
        let Some((head, rest)) = path.split_first() else { return Vec::new() };
        if *head == "builtins" && rest.len() == 1 {
            let path = format!("builtins.{}", rest[0]);
            return vec![Found::new(Entity::Outside(path.into()), Strategy::Scope)];
        }
        if path.last() == Some(&"Self")
            && let Some(ty) = context.self_type(place)
        {
            return vec![Found::new(Entity::Receiver(as_type(ty)), Strategy::Own)];
        }
        let mut found = context.find_name(place, head, Space::Any);
        for name in rest {
            let (ty, how) = context.types_of(&found);
            found = context.members(&ty, name, Space::Any);
            for one in &mut found {
                one.how = one.how.max(how);
            }
        }
        found
    }

    fn members(
        &self,
        context: &Context<'_>,
        def: Def,
        name: &str,
        space: Space,
        is_value: bool,
    ) -> Vec<Found> {
        if is_value && name == "__class__" {
            let class = Ty::Type(def, context.own_arguments(def).into());
            return vec![Found::new(Entity::Receiver(class), Strategy::Own)];
        }
        let found = context.class_members(def, name, space);
        if found.is_empty() && !name.starts_with("__") {
            let fallback = context.class_members(def, "__getattr__", space);
            if fallback.iter().any(|one| matches!(one.entity, Entity::Definition(_))) {
                return vec![Found::new(Entity::Opaque, Strategy::Scope)];
            }
        }
        found
    }

    fn receiver(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        if declared.flags & flags::RECEIVER == 0 {
            return None;
        }
        let class = Def { slot: def.slot, number: declared.parent.number()? };
        let arguments: Rc<[Ty]> = context.own_arguments(class).into();
        Some(match declared.flags & flags::CLASS_METHOD {
            0 => Ty::Value(class, arguments),
            _ => Ty::Type(class, arguments),
        })
    }

    fn receiver_is_parameter(&self) -> bool {
        true
    }

    fn self_of(&self, context: &Context<'_>, def: Def) -> Option<Ty> {
        let declared = context.declared(def)?;
        (declared.kind == NodeKind::Class)
            .then(|| Ty::Value(def, context.own_arguments(def).into()))
    }

    fn super_type(&self, context: &Context<'_>, place: Place<'_>) -> Option<Ty> {
        let mut within = match place.at {
            At::Within(within) => within,
            At::Scope(scope, ..) => context.scope_definition(scope),
        };
        while let Some(number) = within.number() {
            let def = Def { slot: place.slot, number };
            let declared = context.declared(def)?;
            if declared.kind == NodeKind::Class {
                let bases = context.direct_bases(def);
                return Some(Ty::All(bases.into()));
            }
            within = declared.parent;
        }
        None
    }

    fn gives_self(&self, context: &Context<'_>, def: Def, _declared: Def) -> bool {
        let (Some(declared), Some(pool)) = (context.declared(def), context.pool(def.slot)) else {
            return false;
        };
        match pool.ty(declared.ty) {
            Type::Unknown => true,
            Type::Named(path, _) => path.last().is_some_and(|&name| pool.name(name) == "Self"),
            _ => false,
        }
    }

    fn is_empty_base(&self, base: &Ty) -> bool {
        matches!(base, Ty::Outside { path, .. } if matches!(
            &**path,
            "builtins.object" | "abc.ABC" | "typing.Generic" | "typing.Protocol"
                | "typing_extensions.Protocol" | "t.Generic" | "t.Protocol"
        ))
    }

    fn constructor(&self, context: &Context<'_>, def: Def, _count: u8) -> Option<Def> {
        ["__init__", "__new__"].into_iter().find_map(|name| definition(context, def, name))
    }

    fn call_operator(&self, context: &Context<'_>, def: Def) -> Option<Def> {
        definition(context, def, "__call__")
    }

    fn outside_result(&self, context: &Context<'_>, callee: &Ty) -> Ty {
        match callee {
            Ty::Outside { path, arguments, is_value: false } => {
                let last = path.rsplit('.').next().unwrap_or_default();
                let is_class = last.starts_with(char::is_uppercase)
                    || CLASSES.contains(&last) && path.starts_with("builtins.");
                match is_class {
                    true => Ty::Outside {
                        path: path.clone(),
                        arguments: arguments.clone(),
                        is_value: true,
                    },
                    false => match last {
                        "open" | "getattr" | "next" | "iter" => Ty::Unknown,
                        "sorted" | "reversed" => Ty::outside_value("builtins.list", Vec::new()),
                        "len" | "hash" | "id" | "ord" => {
                            Ty::outside_value("builtins.int", Vec::new())
                        }
                        "repr" | "format" | "chr" => Ty::outside_value("builtins.str", Vec::new()),
                        _ => Ty::outside_value(&format!("{path}()"), Vec::new()),
                    },
                }
            }
            Ty::OutsideMember(of, name) => method_result(context, of, name),
            _ => Ty::Unknown,
        }
    }

    fn result(&self, _context: &Context<'_>, _declared: &Declared, ty: Ty) -> Ty {
        ty
    }

    fn typed(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        let Ty::Outside { path, arguments, .. } = &ty else { return ty };
        let first = || arguments.first().cloned().unwrap_or(Ty::Unknown);
        match path.rsplit('.').next().unwrap_or_default() {
            "Optional" | "Annotated" | "Final" | "ClassVar" | "Required" | "NotRequired"
            | "ReadOnly" => first(),
            "Union" => Ty::union(arguments.iter().cloned()),
            "type" | "Type" => as_type(first()),
            "Callable" => Ty::Gives(Rc::new(arguments.last().cloned().unwrap_or(Ty::Unknown))),
            "tuple" | "Tuple" if arguments.len() > 1 => {
                let is_open = arguments.len() == 2 && arguments[1].is_unknown();
                if is_open {
                    Ty::outside_value("builtins.tuple", vec![first()])
                } else {
                    Ty::Tuple(arguments.clone())
                }
            }
            "Any" | "TypeVar" | "object" => Ty::Unknown,
            _ => ty,
        }
    }

    fn array(&self, _context: &Context<'_>, ty: Ty) -> Ty {
        Ty::outside_value("builtins.tuple", vec![ty])
    }

    fn element(&self, context: &Context<'_>, of: &Ty, index: bool) -> Ty {
        match of {
            Ty::Tuple(parts) => Ty::union(parts.iter().cloned()),
            Ty::Union(all) => Ty::union(all.iter().map(|ty| self.element(context, ty, index))),
            Ty::Type(..) if index => of.clone(),
            Ty::Value(def, _) => {
                let name = if index { "__getitem__" } else { "__iter__" };
                let found = context.members(of, name, Space::Any);
                let results = found.iter().filter_map(|one| match one.entity {
                    Entity::Definition(method) => Some(context.result(method, Some(of))),
                    _ => None,
                });
                let result = Ty::union(results);
                let _ = def;
                if index { result } else { iterated(&result) }
            }
            Ty::Outside { path, arguments, is_value: true } => {
                let last = path.rsplit('.').next().unwrap_or_default();
                let is_map = MAPS.contains(&last);
                match (is_map && index, arguments.len()) {
                    (true, 2..) => arguments[1].clone(),
                    (true, _) => Ty::Unknown,
                    _ if path.ends_with("str") => of.clone(),
                    _ => arguments.first().cloned().unwrap_or(Ty::Unknown),
                }
            }
            _ => Ty::Unknown,
        }
    }

    fn awaited(&self, _context: &Context<'_>, of: Ty) -> Ty {
        match &of {
            Ty::Outside { path, arguments, .. }
                if matches!(
                    path.rsplit('.').next().unwrap_or_default(),
                    "Awaitable" | "Coroutine" | "Future" | "Task"
                ) =>
            {
                arguments.last().cloned().unwrap_or(Ty::Unknown)
            }
            _ => of,
        }
    }

    fn entered(&self, context: &Context<'_>, of: Ty) -> Ty {
        match &of {
            Ty::Value(..) => {
                for name in ["__enter__", "__aenter__"] {
                    for one in context.members(&of, name, Space::Any) {
                        if let Entity::Definition(method) = one.entity {
                            return context.result(method, Some(&of));
                        }
                    }
                }
                Ty::Unknown
            }
            Ty::Outside { arguments, .. } if !arguments.is_empty() => iterated(&of),
            _ => Ty::Unknown,
        }
    }

    fn part(&self, context: &Context<'_>, of: &Ty, _index: u8) -> Ty {
        let is_map = matches!(of, Ty::Outside { path, .. } if MAPS.contains(&path.rsplit('.').next().unwrap_or_default()));
        self.element(context, of, is_map || matches!(of, Ty::Value(..) | Ty::Type(..)))
    }
}

/// A method of a class or its bases that has a definition.
fn definition(context: &Context<'_>, class: Def, name: &str) -> Option<Def> {
    context.class_members(class, name, Space::Any).into_iter().find_map(|one| match one.entity {
        Entity::Definition(def) => Some(def),
        _ => None,
    })
}

/// What an iterator or generator gives.
fn iterated(of: &Ty) -> Ty {
    match of {
        Ty::Outside { arguments, .. } => arguments.first().cloned().unwrap_or(Ty::Unknown),
        _ => Ty::Unknown,
    }
}

/// The dotted name of an imported module.
fn absolute(context: &Context<'_>, slot: u32, written: &str, level: u8) -> Option<String> {
    if level == 0 {
        return Some(written.to_owned());
    }
    let file = context.file(slot)?;
    let is_package = matches!(file.path.rsplit('/').next(), Some("__init__.py" | "__init__.pyi"));
    let mut names: Vec<&str> = file.module.split('.').filter(|name| !name.is_empty()).collect();
    let up = usize::from(level) - usize::from(is_package);
    if up > names.len() {
        return None;
    }
    names.truncate(names.len() - up);
    names.extend(written.split('.').filter(|name| !name.is_empty()));
    Some(names.join("."))
}

/// A module by its dotted name, or that it is outside.
fn module_found(context: &Context<'_>, slot: u32, path: &str, level: u8) -> Option<Found> {
    if let Some(module) = module_of(context, slot, path) {
        return Some(Found::new(Entity::Module(module), Strategy::Import));
    }
    let top = path.split('.').next().unwrap_or(path);
    if level == 0 && (top == path || module_of(context, slot, top).is_none()) {
        // A script may import what lies beside it.
        let module = beside(context, slot, path).or_else(|| beyond(context, slot, top, path));
        if let Some(module) = module {
            return Some(Found::new(Entity::Module(module), Strategy::Import));
        }
        return Some(Found::new(Entity::Outside(path.into()), Strategy::Import));
    }
    None
}

/// Names of top-level modules and packages that nearly every project has for itself.
const COMMON: [&str; 16] = [
    "benchmarks",
    "conftest",
    "demo",
    "doc",
    "docs",
    "examples",
    "example",
    "main",
    "manage",
    "noxfile",
    "scripts",
    "setup",
    "tasks",
    "test",
    "tests",
    "tools",
];

/// Whether other repositories find a package or module by the name of this file.
fn is_provided(file: &File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    // A package, or a module that is not below a directory of anything else.
    let is_top = matches!(name, "__init__.py" | "__init__.pyi")
        || matches!(file.directory(), "" | "src" | "lib");
    is_top && !file.module.contains('.') && !COMMON.contains(&file.module.as_str())
}

/// A module of the one other repository that has it.
fn beyond(context: &Context<'_>, from: u32, top: &str, path: &str) -> Option<Module> {
    // What the repository has itself hides what others have.
    let is_own = !context.modules(from, FAMILY, top).is_empty();
    if is_own || context.is_package(from, FAMILY, top) || STANDARD.binary_search(&top).is_ok() {
        return None;
    }
    let providers = context.providers(from, FAMILY, top).into_iter();
    let mut found = providers.filter_map(|provider| module_of(context, provider, path));
    found.next().filter(|_| found.next().is_none())
}

/// A module in the directory of a file that is in no package.
fn beside(context: &Context<'_>, slot: u32, path: &str) -> Option<Module> {
    let file = context.file(slot)?;
    let directory = file.directory();
    let join = |rest: &str| match directory {
        "" => rest.to_owned(),
        directory => format!("{directory}/{rest}"),
    };
    if context.path(slot, &join("__init__.py")).is_some() || STANDARD.binary_search(&path).is_ok() {
        return None;
    }
    let slot = context.path(slot, &join(&format!("{}.py", path.replace('.', "/"))))?;
    let path: Rc<str> = context.file(slot)?.module.as_str().into();
    Some(Module { slot: Some(slot), within: Within::FILE, path })
}

/// The file or directory that a dotted name is, seen from a file.
fn module_of(context: &Context<'_>, from: u32, path: &str) -> Option<Module> {
    if path.is_empty() {
        return None;
    }
    let module = |slot| Module { slot, within: Within::FILE, path: path.into() };
    let mut candidates = context.modules(from, FAMILY, path);
    if !path.contains('.') {
        // What lies in a package is no module of its own.
        candidates.retain(|&slot| {
            let Some(file) = context.file(slot) else { return false };
            let is_package = file.path.ends_with("__init__.py");
            let directory = file.directory();
            let init = match directory {
                "" => "__init__.py".to_owned(),
                directory => format!("{directory}/__init__.py"),
            };
            is_package || context.path(slot, &init).is_none()
        });
    }
    let own = &context.file(from)?.path;
    let near = |slot: u32| {
        let other = context.file(slot).map_or("", |file| file.path.as_str());
        let same = own.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        (same, !other.ends_with(".pyi"))
    };
    if let Some(slot) = candidates.into_iter().rev().max_by_key(|&slot| near(slot)) {
        return Some(module(Some(slot)));
    }
    context.is_package(from, FAMILY, path).then(|| module(None))
}
