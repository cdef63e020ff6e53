//! Graph functions in FROM, for the executor: a scan that hands rows on as they are made and makes only
//! the columns that are asked for. Knows no planner; see `scan_plan` for when it is used.

use std::ffi::{CStr, c_int};

use pgrx::PgMemoryContexts;
use pgrx::prelude::*;

use super::Arguments;
use super::rows::{Make, Row, Source};
use super::scan_plan::{Methods, make_of, pointers};
use crate::error::{Error, OrRaise};

/// What EXPLAIN calls it.
pub const NAME: &CStr = c"OnyxGraph";

static SCAN: Methods<pg_sys::CustomScanMethods> = Methods(pg_sys::CustomScanMethods {
    CustomName: NAME.as_ptr(),
    CreateCustomScanState: Some(create),
});

static EXECUTE: Methods<pg_sys::CustomExecMethods> = Methods(pg_sys::CustomExecMethods {
    CustomName: NAME.as_ptr(),
    BeginCustomScan: Some(begin),
    ExecCustomScan: Some(execute),
    EndCustomScan: Some(end),
    ReScanCustomScan: Some(again),
    MarkPosCustomScan: None,
    RestrPosCustomScan: None,
    EstimateDSMCustomScan: None,
    InitializeDSMCustomScan: None,
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: None,
    ShutdownCustomScan: None,
    ExplainCustomScan: Some(explain),
});

/// Lets parallel workers find the scan by its name.
pub fn init() {
    // SAFETY: a static table.
    unsafe { pg_sys::RegisterCustomScanMethods(&SCAN.0) };
}

/// Of a plan's node.
pub fn methods() -> *const pg_sys::CustomScanMethods {
    &SCAN.0
}

/// A scan under way.
#[repr(C)]
struct Scan {
    /// What the executor knows of it; first, as it takes the whole for this.
    node: pg_sys::CustomScanState,
    function: Option<Make>,
    /// The function's call, its arguments in `context`.
    call: pg_sys::FunctionCallInfo,
    arguments: Vec<*mut pg_sys::ExprState>,
    context: pg_sys::MemoryContext,
    source: Option<Box<dyn Source>>,
    allocates: bool,
    ended: bool,
    /// Whether calls are counted and timed: `track_functions`.
    tracked: bool,
    row: Row,
    /// Column of the function that each of the slot's columns is.
    columns: Vec<usize>,
}

#[pg_guard]
unsafe extern "C-unwind" fn create(_plan: *mut pg_sys::CustomScan) -> *mut pg_sys::Node {
    let mut node = pg_sys::CustomScanState::default();
    node.ss.ps.type_ = pg_sys::NodeTag::T_CustomScanState;
    node.methods = &EXECUTE.0;
    let scan = Scan {
        node,
        function: None,
        call: std::ptr::null_mut(),
        arguments: Vec::new(),
        context: std::ptr::null_mut(),
        source: None,
        allocates: false,
        ended: false,
        tracked: false,
        row: Row::new(),
        columns: Vec::new(),
    };
    // Dropped with the query's memory, whatever ends it.
    PgMemoryContexts::CurrentMemoryContext.leak_and_drop_on_delete(scan).cast()
}

#[pg_guard]
unsafe extern "C-unwind" fn begin(
    node: *mut pg_sys::CustomScanState,
    _state: *mut pg_sys::EState,
    _flags: c_int,
) {
    // SAFETY: the node is one that `create` made, its plan one of `scan_plan`: one expression, a call.
    // What is allocated here lives in the query's memory.
    unsafe {
        let scan = &mut *node.cast::<Scan>();
        let plan = &*(*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        let targets = pointers::<pg_sys::TargetEntry>(plan.custom_scan_tlist);
        let column = |t: *mut pg_sys::TargetEntry| (*(*t).expr.cast::<pg_sys::Var>()).varattno;
        scan.columns = targets.map(|t| column(t) as usize - 1).collect();
        scan.row.want(&scan.columns);

        let Some(call) = pointers::<pg_sys::FuncExpr>(plan.custom_exprs).next() else { return };
        let function = (*call).funcid;
        // As before any call of a function.
        let right = pg_sys::object_aclcheck(
            pg_sys::ProcedureRelationId,
            function,
            pg_sys::GetUserId(),
            pg_sys::ACL_EXECUTE.into(),
        );
        if right != pg_sys::AclResult::ACLCHECK_OK {
            let name = pg_sys::get_func_name(function);
            pg_sys::aclcheck_error(right, pg_sys::ObjectType::OBJECT_FUNCTION, name);
        }
        if (&raw const pg_sys::object_access_hook).read().is_some() {
            pg_sys::RunFunctionExecuteHook(function);
        }
        scan.function = make_of(function);

        let info = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast::<pg_sys::FmgrInfo>();
        pg_sys::fmgr_info(function, info);
        (*info).fn_expr = call.cast();
        scan.tracked = pg_sys::pgstat_track_functions > i32::from((*info).fn_stats);
        let states = pg_sys::ExecInitExprList((*call).args, &raw mut (*node).ss.ps);
        scan.arguments = pointers::<pg_sys::ExprState>(states).collect();
        let count = scan.arguments.len();
        let size = size_of::<pg_sys::FunctionCallInfoBaseData>()
            + count * size_of::<pg_sys::NullableDatum>();
        scan.call = pg_sys::palloc0(size).cast();
        (*scan.call).flinfo = info;
        (*scan.call).fncollation = (*call).inputcollid;
        (*scan.call).nargs = count as i16;
        scan.context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"onyx graph scan".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        );
    }
}

impl Scan {
    /// Calls the function.
    unsafe fn start(&mut self) -> Result<(), Error> {
        let make = self.function.ok_or_else(|| {
            Error::sql(
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                "a graph scan was planned for a function that is none of Onyx's",
            )
        })?;
        // SAFETY: `begin` made the call and its memory, with room for the arguments.
        unsafe {
            pg_sys::MemoryContextReset(self.context);
            let (call, context) = (self.call, self.node.ss.ps.ps_ExprContext);
            let arguments = &self.arguments;
            let source = PgMemoryContexts::For(self.context).switch_to(|_| {
                let values = (*call).args.as_mut_ptr();
                for (at, state) in arguments.iter().enumerate() {
                    let value = &mut *values.add(at);
                    value.value = pg_sys::ExecEvalExpr(*state, context, &mut value.isnull);
                }
                make(&Arguments(call))
            })?;
            self.allocates = source.allocates();
            self.source = Some(source);
        }
        Ok(())
    }

    /// Makes the next row; false when there is none.
    unsafe fn make(&mut self) -> Result<bool, Error> {
        // SAFETY: the caller's promise; memory of a tuple lives until the next is asked for.
        unsafe {
            if self.source.is_none() {
                self.start()?;
            }
            let row = &mut self.row;
            match &mut self.source {
                Some(source) if self.allocates => {
                    let memory = (*self.node.ss.ps.ps_ExprContext).ecxt_per_tuple_memory;
                    PgMemoryContexts::For(memory).switch_to(|_| source.next(row))
                }
                Some(source) => source.next(row),
                None => Ok(false),
            }
        }
    }

    /// The same, counted as a part of a call.
    unsafe fn make_tracked(&mut self) -> Result<bool, Error> {
        // SAFETY: the call is that of `begin`; an error in between leaves this part out.
        unsafe {
            let mut usage = pg_sys::PgStat_FunctionCallUsage::default();
            pg_sys::pgstat_init_function_usage(self.call, &mut usage);
            let found = self.make()?;
            pg_sys::pgstat_end_function_usage(&mut usage, !found);
            Ok(found)
        }
    }

    /// The next row, in the slot; an empty slot when there is none.
    unsafe fn next(&mut self) -> Result<*mut pg_sys::TupleTableSlot, Error> {
        // SAFETY: the executor made the slot with the columns of `columns`.
        unsafe {
            let slot = self.node.ss.ss_ScanTupleSlot;
            if u32::from((*slot).tts_flags) & pg_sys::TTS_FLAG_SHOULDFREE != 0 {
                pg_sys::ExecClearTuple(slot);
            }
            (*slot).tts_flags |= pg_sys::TTS_FLAG_EMPTY as u16;
            (*slot).tts_nvalid = 0;
            if self.ended {
                return Ok(slot);
            }
            let found = if self.tracked { self.make_tracked()? } else { self.make()? };
            if !found {
                self.ended = true;
                self.source = None;
                return Ok(slot);
            }
            for (to, from) in self.columns.iter().enumerate() {
                let (value, null) = self.row.get(*from);
                *(*slot).tts_values.add(to) = value;
                *(*slot).tts_isnull.add(to) = null;
            }
            (*slot).tts_flags &= !(pg_sys::TTS_FLAG_EMPTY as u16);
            (*slot).tts_nvalid = self.columns.len() as i16;
            Ok(slot)
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn fetch(node: *mut pg_sys::ScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the node is one that `create` made, of which the scan state is the beginning.
    unsafe { (*node.cast::<Scan>()).next().or_raise() }
}

/// Never asked: rows are not locked.
#[pg_guard]
unsafe extern "C-unwind" fn recheck(
    _node: *mut pg_sys::ScanState,
    _slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    true
}

#[pg_guard]
unsafe extern "C-unwind" fn execute(
    node: *mut pg_sys::CustomScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the node is one that `create` made.
    unsafe {
        let scan = &mut *node.cast::<Scan>();
        let state = &mut scan.node.ss.ps;
        if !state.qual.is_null() || !state.ps_ProjInfo.is_null() {
            return pg_sys::ExecScan(&raw mut (*node).ss, Some(fetch), Some(recheck));
        }
        if scan.allocates {
            pg_sys::MemoryContextReset((*state.ps_ExprContext).ecxt_per_tuple_memory);
        }
        scan.next().or_raise()
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn again(node: *mut pg_sys::CustomScanState) {
    // SAFETY: the node is one that `create` made.
    unsafe {
        let scan = &mut *node.cast::<Scan>();
        scan.source = None;
        scan.ended = false;
        pg_sys::ExecScanReScan(&raw mut (*node).ss);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: the node is one that `create` made.
    unsafe { (*node.cast::<Scan>()).source = None };
}

#[pg_guard]
unsafe extern "C-unwind" fn explain(
    node: *mut pg_sys::CustomScanState,
    _ancestors: *mut pg_sys::List,
    state: *mut pg_sys::ExplainState,
) {
    // SAFETY: the node is one that `create` made, its plan one of `scan_plan`.
    unsafe {
        let plan = (*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        let call = pointers::<pg_sys::FuncExpr>((*plan).custom_exprs).next();
        let name = call.map_or(std::ptr::null_mut(), |c| pg_sys::get_func_name((*c).funcid));
        if !name.is_null() {
            pg_sys::ExplainPropertyText(c"Function".as_ptr(), name, state);
        }
    }
}
