//! From a file's references to its edges.

use onyx_protocol::code::{
    Body, Edge, EdgeKind, Expr, ExprId, Pool, Reason, Reference, ReferenceKind, Resolved, TypeId,
    Unresolved, Within,
};
use onyx_protocol::facts::NodeKind;

use super::context::{At, Context, Place};
use super::ty::{Def, Entity, Found, Space, Strategy, Ty};
use super::workspace::{File, Workspace};

/// Most targets of one reference; more are called ambiguous.
const MAX_TARGETS: usize = 3;

/// Before the strategy of an edge into another repository.
const CROSS: &str = "cross_";
/// How sure such an edge is against one within a repository.
const CROSS_CONFIDENCE: f32 = 0.95;

/// Resolves all references of a file.
pub(super) fn resolve(workspace: &Workspace, slot: u32, body: &Body) -> Resolved {
    let context = Context::new(workspace, slot, body);
    let mut out = Out { context: &context, edges: Vec::new(), unresolved: Vec::new() };
    for reference in &body.references {
        context.restart();
        out.reference(reference);
    }
    let Out { mut edges, mut unresolved, .. } = out;
    edges.sort_by_key(|e| (e.line, e.column, e.kind, e.source.0, e.file, e.target.0));
    edges.dedup_by_key(|e| (e.line, e.column, e.kind, e.source.0, e.file, e.target.0));
    unresolved.sort_by_key(|u| (u.line, u.column, u.kind, u.source.0));
    unresolved.dedup();
    Resolved {
        edges,
        unresolved,
        dependencies: context.dependencies(),
        outside: context.outside(),
        names: context.outside_names(),
        provides: context.file(slot).map(File::provides).unwrap_or_default(),
    }
}

struct Out<'c, 'w> {
    context: &'c Context<'w>,
    edges: Vec<Edge>,
    unresolved: Vec<Unresolved>,
}

impl<'w> Out<'_, 'w> {
    fn place(&self, reference: &Reference) -> Place<'w> {
        let at = At::Scope(reference.scope, reference.line, reference.column);
        Place { slot: self.context.slot, pool: &self.context.body.pool, at }
    }

    fn reference(&mut self, reference: &Reference) {
        match reference.kind {
            ReferenceKind::Call => self.call(reference),
            ReferenceKind::Instantiate => {
                if self.instantiate(reference) {
                    return;
                }
                if let &Expr::New(of, count) = self.place(reference).pool.expr(reference.target) {
                    self.made(reference, of, count);
                    return;
                }
                let found = self.find(reference, Space::Type);
                self.typed(reference, EdgeKind::Instantiates, &found);
            }
            ReferenceKind::Type => {
                let found = self.find(reference, Space::Type);
                self.typed(reference, EdgeKind::References, &found);
            }
            ReferenceKind::Inherit => {
                let found = self.find(reference, Space::Type);
                let kind = match self.kind_of(reference.source) {
                    Some(NodeKind::Impl) => EdgeKind::Implements,
                    _ => self.inheritance(&found, reference.source),
                };
                self.typed(reference, kind, &found);
            }
            ReferenceKind::Read => {
                let space = match self.place(reference).pool.expr(reference.target) {
                    Expr::Member(..) => self.read_space(),
                    _ => Space::Value,
                };
                let found = self.find(reference, space);
                if found.len() > MAX_TARGETS {
                    return;
                }
                for one in &found {
                    if let Entity::Definition(def) = one.entity {
                        self.edge(reference, EdgeKind::References, def, one.how);
                    }
                }
            }
            ReferenceKind::Import => {
                let found = self.context.imported(self.context.slot, reference.target);
                self.import(reference, &found, true);
            }
            ReferenceKind::LocalImport => {
                let import = self.context.body.imports.get(reference.target as usize);
                let Some(import) = import else { return };
                let found = self.context.local_import(reference.target, import);
                self.import(reference, &found, false);
            }
            ReferenceKind::Satisfy => {
                let Some(number) = reference.source.number() else { return };
                let def = Def { slot: self.context.slot, number };
                let Some(file) = self.context.file(def.slot) else { return };
                for target in file.rules.satisfied(self.context, def) {
                    self.edge(reference, EdgeKind::Implements, target, Strategy::Member);
                }
            }
            ReferenceKind::Override => {
                let Some(number) = reference.source.number() else { return };
                let def = Def { slot: self.context.slot, number };
                let Some(file) = self.context.file(def.slot) else { return };
                for target in file.rules.overridden(self.context, def) {
                    self.edge(reference, EdgeKind::Overrides, target, Strategy::Member);
                }
            }
        }
    }

    fn kind_of(&self, source: Within) -> Option<NodeKind> {
        let number = source.number()?;
        Some(self.context.declared(Def { slot: self.context.slot, number })?.kind)
    }

    /// A class implements interfaces and inherits from classes.
    fn inheritance(&self, found: &[Found], source: Within) -> EdgeKind {
        let is_interface = found.iter().any(|one| match one.entity {
            Entity::Definition(def) => {
                self.context.declared(def).is_some_and(|d| matches!(d.kind, NodeKind::Interface))
            }
            _ => false,
        });
        let of_interface = self.kind_of(source) == Some(NodeKind::Interface);
        if is_interface && !of_interface { EdgeKind::Implements } else { EdgeKind::Inherits }
    }

    fn read_space(&self) -> Space {
        self.context.file(self.context.slot).map_or(Space::Value, |file| file.rules.read_space())
    }

    fn find(&self, reference: &Reference, space: Space) -> Vec<Found> {
        self.context.find(self.place(reference), reference.target, space)
    }

    /// A value made of a type, and the constructor chosen by its arguments. False when it is not
    /// of that form.
    fn instantiate(&mut self, reference: &Reference) -> bool {
        let place = self.place(reference);
        let Expr::Invoke(of, arguments) = place.pool.expr(reference.target) else { return false };
        let found = self.context.find(place, *of, Space::Type);
        self.typed(reference, EdgeKind::Instantiates, &found);
        for one in &found {
            if let Entity::Definition(def) = one.entity
                && let Some(file) = self.context.file(def.slot)
                && let Some(run) = file.rules.made(self.context, place, def, arguments)
            {
                self.edge(reference, EdgeKind::Calls, run, one.how);
            }
        }
        true
    }

    /// A call of a function that may have several of its name.
    fn invoke(&mut self, reference: &Reference) {
        let found = self.find(reference, Space::Value);
        match &found[..] {
            [one] => match &one.entity {
                Entity::Definition(def) => self.edge(reference, EdgeKind::Calls, *def, one.how),
                _ => {
                    if let Err((reason, target)) = self.called(reference, one, one.how, 0) {
                        self.unresolved(reference, EdgeKind::Calls, reason, target);
                    }
                }
            },
            [] => {
                let reason = self.why(self.place(reference), reference.target);
                self.unresolved(reference, EdgeKind::Calls, reason, String::new());
            }
            _ => self.unresolved(reference, EdgeKind::Calls, Reason::Ambiguous, String::new()),
        }
    }

    /// `new T(...)`: makes a value and calls the constructor.
    fn made(&mut self, reference: &Reference, of: TypeId, count: u8) {
        let place = self.place(reference);
        match self.context.eval(place, of) {
            ty @ (Ty::Value(..) | Ty::Union(_)) => {
                let ty = super::infer::as_type(ty);
                if let Err((reason, target)) =
                    self.called_type(reference, &ty, Strategy::Scope, count)
                {
                    self.unresolved(reference, EdgeKind::Instantiates, reason, target);
                }
            }
            Ty::Outside { path, .. } => {
                let (reason, target) = self.outside(&path);
                self.unresolved(reference, EdgeKind::Instantiates, reason, target);
            }
            _ => {
                let reason = Reason::Unresolved;
                self.unresolved(reference, EdgeKind::Instantiates, reason, String::new());
            }
        }
    }

    fn call(&mut self, reference: &Reference) {
        let place = self.place(reference);
        if matches!(place.pool.expr(reference.target), Expr::Invoke(..)) {
            return self.invoke(reference);
        }
        let &Expr::Call(callee, count) = place.pool.expr(reference.target) else { return };
        let found = self.context.find(place, callee, Space::Value);
        let found = self.context.of_arity(found, count);
        if found.is_empty() && !matches!(place.pool.expr(callee), Expr::Name(_)) {
            // What is called may be what an expression gives.
            let (ty, how) = self.context.infer(place, callee);
            let is_known = !matches!(ty, Ty::Unknown);
            if is_known && self.called_type(reference, &ty, how, count).is_ok() {
                return;
            }
        }
        if found.is_empty() {
            let reason = self.why(place, callee);
            self.unresolved(reference, EdgeKind::Calls, reason, String::new());
            return;
        }
        let before = self.edges.len();
        let mut failure = None;
        let single = found.len() == 1;
        for one in found.iter().take(MAX_TARGETS + 1) {
            let how = if single { one.how } else { one.how.max(Strategy::Union) };
            if let Err(why) = self.called(reference, one, how, count) {
                failure.get_or_insert(why);
            }
        }
        let targets = self.edges[before..].iter().filter(|e| e.kind == EdgeKind::Calls).count();
        if targets > MAX_TARGETS {
            self.edges.truncate(before);
            self.unresolved(reference, EdgeKind::Calls, Reason::Ambiguous, String::new());
        } else if self.edges.len() == before {
            let (reason, target) = failure.unwrap_or((Reason::Unresolved, String::new()));
            self.unresolved(reference, EdgeKind::Calls, reason, target);
        }
    }

    /// The edges of a call of something, or why there are none.
    fn called(
        &mut self,
        reference: &Reference,
        found: &Found,
        how: Strategy,
        count: u8,
    ) -> Result<(), (Reason, String)> {
        match &found.entity {
            Entity::Outside(path) => return Err(self.outside(path)),
            Entity::OutsideMember(of, name) => {
                return Err((self.outside_reason(of), format!("{}.{name}", spelled(of))));
            }
            Entity::Opaque => return Err((Reason::Dynamic, String::new())),
            Entity::Definition(def) => {
                let kind = self.context.declared(*def).map(|d| d.kind);
                if matches!(
                    kind,
                    Some(
                        NodeKind::Function
                            | NodeKind::Method
                            | NodeKind::Constructor
                            | NodeKind::Macro
                    )
                ) {
                    self.edge(reference, EdgeKind::Calls, *def, how);
                    return Ok(());
                }
            }
            _ => {}
        }
        let (ty, more) = self.context.type_of(found);
        let is_alias = !matches!(found.entity, Entity::Definition(_));
        let how = if is_alias { how.max(more) } else { how };
        self.called_type(reference, &ty, how, count)
    }

    fn called_type(
        &mut self,
        reference: &Reference,
        ty: &Ty,
        how: Strategy,
        count: u8,
    ) -> Result<(), (Reason, String)> {
        match ty {
            Ty::Function(def, _) => self.edge(reference, EdgeKind::Calls, *def, how),
            Ty::Type(def, _) => {
                self.edge(reference, EdgeKind::Instantiates, *def, how);
                let file = self.context.file(def.slot);
                if let Some(constructor) =
                    file.and_then(|f| f.rules.constructor(self.context, *def, count))
                {
                    self.edge(reference, EdgeKind::Calls, constructor, how);
                }
            }
            Ty::Value(def, _) => {
                let file = self.context.file(def.slot);
                match file.and_then(|file| file.rules.call_operator(self.context, *def)) {
                    Some(operator) => self.edge(reference, EdgeKind::Calls, operator, how),
                    None => return Err((Reason::Dynamic, String::new())),
                }
            }
            Ty::Union(all) => {
                let mut result = Err((Reason::Dynamic, String::new()));
                for ty in all.iter().take(MAX_TARGETS) {
                    if self.called_type(reference, ty, how.max(Strategy::Union), count).is_ok() {
                        result = Ok(());
                    }
                }
                return result;
            }
            Ty::Outside { path, is_value: false, .. } => return Err(self.outside(path)),
            Ty::Outside { .. } | Ty::OutsideMember(..) => {
                return Err((self.outside_reason(ty), spelled(ty)));
            }
            _ => return Err((Reason::Dynamic, String::new())),
        }
        Ok(())
    }

    /// References to types and imports.
    fn typed(&mut self, reference: &Reference, kind: EdgeKind, found: &[Found]) {
        if found.is_empty() {
            let reason = self.why(self.place(reference), reference.target);
            self.unresolved(reference, kind, reason, String::new());
            return;
        }
        for one in found.iter().take(MAX_TARGETS) {
            match &one.entity {
                Entity::Definition(def) => self.edge(reference, kind, *def, one.how),
                Entity::Receiver(Ty::Type(def, _) | Ty::Value(def, _)) => {
                    self.edge(reference, kind, *def, one.how);
                }
                Entity::Outside(path) => {
                    let (reason, target) = self.outside(path);
                    self.unresolved(reference, kind, reason, target);
                }
                Entity::OutsideMember(of, name) => {
                    let target = format!("{}.{name}", spelled(of));
                    let reason = self.outside_reason(of);
                    self.unresolved(reference, kind, reason, target);
                }
                Entity::Attribute(..) | Entity::Opaque if kind != EdgeKind::References => {
                    self.unresolved(reference, kind, Reason::Dynamic, String::new());
                }
                _ => {}
            }
        }
    }

    fn import(&mut self, reference: &Reference, found: &[Found], shared: bool) {
        let context = self.context;
        let (pool, import) = match shared {
            true => {
                let Some(pool) = context.pool(context.slot) else { return };
                (pool, context.import(context.slot, reference.target))
            }
            false => (&context.body.pool, context.body.imports.get(reference.target as usize)),
        };
        let Some(import) = import else { return };
        let written = written(pool, import.module, import.name, import.level);
        if found.is_empty() {
            self.push_unresolved(
                reference,
                EdgeKind::Imports,
                Reason::Unresolved,
                written,
                String::new(),
            );
            return;
        }
        for one in found.iter().take(MAX_TARGETS) {
            match &one.entity {
                Entity::Definition(def) => {
                    self.edge(reference, EdgeKind::Imports, *def, Strategy::Import)
                }
                Entity::Module(module) => {
                    if let Some(slot) = module.slot {
                        self.edge_to(
                            reference,
                            EdgeKind::Imports,
                            slot,
                            module.within,
                            Strategy::Import,
                        );
                    }
                }
                Entity::Attribute(slot, _) => {
                    self.edge_to(
                        reference,
                        EdgeKind::Imports,
                        *slot,
                        Within::FILE,
                        Strategy::Import,
                    );
                }
                Entity::Outside(path) => {
                    let (reason, target) = self.outside(path);
                    self.push_unresolved(
                        reference,
                        EdgeKind::Imports,
                        reason,
                        written.clone(),
                        target,
                    );
                }
                _ => {}
            }
        }
    }

    /// Why nothing was found: what it is a member of is unknown, or there is no such name.
    fn why(&self, place: Place<'_>, expr: ExprId) -> Reason {
        match *place.pool.expr(expr) {
            Expr::Member(object, _) | Expr::Path(object, _) => {
                if object == 0 {
                    return Reason::Dynamic;
                }
                match self.context.infer(place, object).0 {
                    Ty::Unknown | Ty::Function(..) | Ty::Parameter(..) | Ty::Gives(_) => {
                        Reason::Dynamic
                    }
                    Ty::Outside { .. } | Ty::OutsideMember(..) => Reason::External,
                    _ => Reason::Unresolved,
                }
            }
            Expr::Invoke(callee, _) => self.why(place, callee),
            Expr::Name(_) => Reason::Unresolved,
            _ => Reason::Dynamic,
        }
    }

    fn outside(&self, path: &str) -> (Reason, String) {
        let rules = self.context.file(self.context.slot).map(|file| file.rules);
        let is_builtin = rules.is_some_and(|rules| rules.is_builtin(path));
        let reason = if is_builtin { Reason::Builtin } else { Reason::External };
        (reason, path.to_owned())
    }

    fn outside_reason(&self, of: &Ty) -> Reason {
        match of {
            Ty::Outside { path, .. } => self.outside(path).0,
            Ty::OutsideMember(of, _) => self.outside_reason(of),
            _ => Reason::External,
        }
    }

    fn edge(&mut self, reference: &Reference, kind: EdgeKind, def: Def, how: Strategy) {
        self.edge_to(reference, kind, def.slot, Within::definition(def.number), how);
    }

    fn edge_to(
        &mut self,
        reference: &Reference,
        kind: EdgeKind,
        slot: u32,
        target: Within,
        how: Strategy,
    ) {
        let Some(file) = self.context.file(slot) else { return };
        // What was ingested of a package need not be the version that is used.
        let (resolution, confidence) = match self.context.is_own(slot) {
            true => (how.as_str().to_owned(), how.confidence()),
            false => (format!("{CROSS}{}", how.as_str()), how.confidence() * CROSS_CONFIDENCE),
        };
        self.edges.push(Edge {
            source: reference.source,
            file: file.id,
            target,
            kind,
            line: reference.line,
            column: reference.column,
            resolution,
            confidence,
        });
    }

    fn unresolved(
        &mut self,
        reference: &Reference,
        kind: EdgeKind,
        reason: Reason,
        target: String,
    ) {
        let name = expression(&self.context.body.pool, reference.target, 0);
        self.push_unresolved(reference, kind, reason, name, target);
    }

    fn push_unresolved(
        &mut self,
        reference: &Reference,
        kind: EdgeKind,
        reason: Reason,
        name: String,
        target: String,
    ) {
        let (source, line, column) = (reference.source, reference.line, reference.column);
        self.unresolved.push(Unresolved { source, kind, name, target, line, column, reason });
    }
}

/// An expression as far as it is a path.
fn expression(pool: &Pool, expr: ExprId, depth: u8) -> String {
    if depth > 12 {
        return "…".to_owned();
    }
    match *pool.expr(expr) {
        Expr::Name(name) => pool.name(name).to_owned(),
        Expr::Member(of, name) => {
            format!("{}.{}", expression(pool, of, depth + 1), pool.name(name))
        }
        Expr::Path(of, name) => {
            format!("{}::{}", expression(pool, of, depth + 1), pool.name(name))
        }
        Expr::Call(of, _) if depth == 0 => expression(pool, of, 1),
        Expr::Call(of, _) => format!("{}()", expression(pool, of, depth + 1)),
        Expr::Invoke(of, _) if depth == 0 => expression(pool, of, 1),
        Expr::Invoke(of, _) => format!("{}()", expression(pool, of, depth + 1)),
        Expr::SelfRef => "self".to_owned(),
        Expr::Super => "super()".to_owned(),
        Expr::Await(of) | Expr::Try(of) | Expr::Deref(of) => expression(pool, of, depth + 1),
        Expr::Index(of) => format!("{}[]", expression(pool, of, depth + 1)),
        _ => "…".to_owned(),
    }
}

fn written(pool: &Pool, module: u32, name: u32, level: u8) -> String {
    let (module, name) = (pool.name(module), pool.name(name));
    let dots = ".".repeat(usize::from(level));
    let separator = if module.contains("::") { "::" } else { "." };
    match (module.is_empty(), name.is_empty()) {
        (_, true) => format!("{dots}{module}"),
        (true, _) => format!("{dots}{name}"),
        _ => format!("{dots}{module}{separator}{name}"),
    }
}

fn spelled(ty: &Ty) -> String {
    match ty {
        Ty::Outside { path, .. } => path.to_string(),
        Ty::OutsideMember(of, name) => format!("{}.{name}", spelled(of)),
        _ => String::new(),
    }
}
