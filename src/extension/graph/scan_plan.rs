//! Graph functions in FROM, for the planner: a scan that hands rows on as they are made, where the
//! server's own would first put all of them, whole, into a tuple store. Knows no executor.
//!
//! The server's scan stays where ours has no advantage or no answer: with ordinality, several functions side
//! by side, whole rows (which row locks and writes with joins need), and scans below a UNION ALL.

use std::ffi::c_int;

use pgrx::prelude::*;

use super::rows::Make;
use super::scan;

/// What a row costs of what it costs in the server's scan, about.
const COST: f64 = 0.5;

static METHODS: Methods<pg_sys::CustomPathMethods> = Methods(pg_sys::CustomPathMethods {
    CustomName: scan::NAME.as_ptr(),
    PlanCustomPath: Some(plan),
    ReparameterizeCustomPathByChild: None,
});

/// A table of functions that the server reads.
pub struct Methods<T>(pub T);

// SAFETY: never written.
unsafe impl<T> Sync for Methods<T> {}

static mut PREVIOUS: pg_sys::set_rel_pathlist_hook_type = None;

/// Lets the planner know. Once, while libraries are loaded.
pub fn init() {
    scan::init();
    // SAFETY: the postmaster loads libraries one after the other; nothing else writes these.
    unsafe {
        PREVIOUS = pg_sys::set_rel_pathlist_hook;
        pg_sys::set_rel_pathlist_hook = Some(add_paths);
    }
}

/// The values of a list of pointers.
///
/// # Safety
/// It is one, or null, and outlives what is returned.
pub unsafe fn pointers<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: the caller's promise; a null list is an empty one.
    let cells: &[pg_sys::ListCell] = unsafe {
        match list.as_ref() {
            Some(list) => std::slice::from_raw_parts(list.elements, list.length as usize),
            None => &[],
        }
    };
    // SAFETY: all cells are pointers.
    cells.iter().map(|cell| unsafe { cell.ptr_value }.cast())
}

#[pg_guard]
unsafe extern "C-unwind" fn add_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    rti: pg_sys::Index,
    rte: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: the planner's own structures, as it hands them out here; the hook before ours was one.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(root, rel, rti, rte);
        }
        if call(rte).is_some() && !asks_for_whole_rows(rel) {
            add_path(root, rel);
        }
    }
}

/// The call a range table entry consists of, if it is of a function of ours.
unsafe fn call(rte: *mut pg_sys::RangeTblEntry) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: of the caller; a function entry has a list of functions.
    unsafe {
        let entry = &*rte;
        if entry.rtekind != pg_sys::RTEKind::RTE_FUNCTION
            || entry.funcordinality
            || (*entry.functions).length != 1
        {
            return None;
        }
        let function = pointers::<pg_sys::RangeTblFunction>(entry.functions).next()?;
        let expression = (*function).funcexpr;
        if (*expression).type_ != pg_sys::NodeTag::T_FuncExpr {
            return None;
        }
        let call = expression.cast::<pg_sys::FuncExpr>();
        make_of((*call).funcid).map(|_| call)
    }
}

/// What makes the rows of a function, if it is one of those that can be scanned.
///
/// # Safety
/// In a transaction.
pub unsafe fn make_of(function: pg_sys::Oid) -> Option<Make> {
    // SAFETY: the caller's promise. Only functions of our schema are looked up: looking up one loads its library.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"onyx".as_ptr(), true);
        if schema == pg_sys::InvalidOid || pg_sys::get_func_namespace(function) != schema {
            return None;
        }
        let mut info = pg_sys::FmgrInfo::default();
        pg_sys::fmgr_info(function, &mut info);
        // With settings of its own, or as its owner, it is called through the function manager: no address of ours.
        let address = info.fn_addr.filter(|_| info.fn_retset && !info.fn_strict)?;
        let known = super::SCANNED.iter().find(|(f, _)| std::ptr::fn_addr_eq(*f, address));
        known.map(|(_, make)| *make)
    }
}

/// Whether a row as a whole is wanted somewhere, or that cannot be told.
unsafe fn asks_for_whole_rows(rel: *mut pg_sys::RelOptInfo) -> bool {
    // SAFETY: of the caller. What is needed above is known of base relations alone; the relation's own
    // conditions do not count as needing.
    unsafe {
        let relation = &*rel;
        if relation.reloptkind != pg_sys::RelOptKind::RELOPT_BASEREL || relation.min_attr > 0 {
            return true;
        }
        if !(*relation.attr_needed.offset(-isize::from(relation.min_attr))).is_null() {
            return true;
        }
        let conditions = pg_sys::extract_actual_clauses(relation.baserestrictinfo, false);
        variables(conditions.cast(), relation.relid).any(|v| (*v).varattno <= 0)
    }
}

/// Variables of a relation in an expression.
unsafe fn variables(
    expression: *mut pg_sys::Node,
    relation: pg_sys::Index,
) -> impl Iterator<Item = *mut pg_sys::Var> {
    // SAFETY: of the caller; scans have no aggregates to find.
    unsafe {
        let flags = pg_sys::PVC_RECURSE_PLACEHOLDERS as c_int;
        let all = pg_sys::pull_var_clause(expression, flags);
        pointers::<pg_sys::Var>(all)
            .filter(move |v| (**v).varlevelsup == 0 && (**v).varno as pg_sys::Index == relation)
    }
}

/// The server's path, with ours beside it.
unsafe fn add_path(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) {
    // SAFETY: of the caller; paths live in the planner's memory.
    unsafe {
        let is_scan =
            |path: &*mut pg_sys::Path| (**path).pathtype == pg_sys::NodeTag::T_FunctionScan;
        let Some(usual) = pointers::<pg_sys::Path>((*rel).pathlist).find(is_scan) else { return };
        let usual = &*usual;
        let size = size_of::<pg_sys::CustomPath>();
        let path = pg_sys::palloc0(size).cast::<pg_sys::CustomPath>();
        (*path).path.type_ = pg_sys::NodeTag::T_CustomPath;
        (*path).path.pathtype = pg_sys::NodeTag::T_CustomScan;
        (*path).path.parent = rel;
        (*path).path.pathtarget = (*rel).reltarget;
        (*path).path.param_info =
            pg_sys::get_baserel_parampathinfo(root, rel, (*rel).lateral_relids);
        (*path).path.parallel_safe = (*rel).consider_parallel;
        (*path).path.rows = usual.rows;
        (*path).path.startup_cost = usual.startup_cost;
        (*path).path.total_cost =
            usual.startup_cost + (usual.total_cost - usual.startup_cost) * COST;
        (*path).flags = pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
        (*path).methods = &METHODS.0;
        pg_sys::add_path(rel, path.cast());
    }
}

/// The plan of our path. Its scan has the columns that are asked for, and no more.
#[pg_guard]
unsafe extern "C-unwind" fn plan(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    path: *mut pg_sys::CustomPath,
    targets: *mut pg_sys::List,
    conditions: *mut pg_sys::List,
    _plans: *mut pg_sys::List,
) -> *mut pg_sys::Plan {
    // SAFETY: the planner's own structures; the path is ours, of an entry that `call` knows.
    unsafe {
        let relation = (*rel).relid;
        let entry = *(*root).simple_rte_array.add(relation as usize);
        let conditions = pg_sys::extract_actual_clauses(conditions, false);
        let mut columns: Vec<Option<*mut pg_sys::Var>> = vec![None; (*rel).max_attr as usize];
        // The targets may not be known yet: those of the path are what can be asked for.
        for wanted in [(*(*rel).reltarget).exprs, conditions, targets] {
            for variable in variables(wanted.cast(), relation) {
                columns[(*variable).varattno as usize - 1] = Some(variable);
            }
        }
        let mut list = std::ptr::null_mut();
        for (at, variable) in columns.into_iter().flatten().enumerate() {
            let copy = pg_sys::copyObjectImpl(variable.cast::<std::ffi::c_void>().cast_const());
            let number = at as pg_sys::AttrNumber + 1;
            let target = pg_sys::makeTargetEntry(copy.cast(), number, std::ptr::null_mut(), false);
            list = pg_sys::lappend(list, target.cast());
        }
        let size = size_of::<pg_sys::CustomScan>();
        let scan = pg_sys::palloc0(size).cast::<pg_sys::CustomScan>();
        (*scan).scan.plan.type_ = pg_sys::NodeTag::T_CustomScan;
        (*scan).scan.plan.targetlist = targets;
        (*scan).scan.plan.qual = conditions;
        (*scan).flags = (*path).flags;
        let call = pointers::<pg_sys::RangeTblFunction>((*entry).functions).next();
        let call = call.map_or(std::ptr::null_mut(), |function| (*function).funcexpr);
        (*scan).custom_exprs = pg_sys::lappend(std::ptr::null_mut(), call.cast());
        (*scan).custom_scan_tlist = list;
        (*scan).methods = scan::methods();
        (&raw mut (*scan).scan.plan)
    }
}
