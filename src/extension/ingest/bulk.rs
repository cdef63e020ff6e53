//! Many rows into one table: what INSERT does, without an array, a tuple store and an expression for each
//! column on the way. Where a table is not as this extension made it (triggers for each row, row security,
//! other columns), it declines and the caller's statement writes the rows.

use std::ffi::CStr;

use pgrx::{PgRelation, pg_sys};

use crate::arena::Arena;

/// Rows written with one WAL record a page, and one look at the indexes' state.
const ROWS_AT_ONCE: usize = 1_000;

/// A column and its type.
pub type Column = (&'static CStr, pg_sys::Oid);

/// A row under construction.
pub struct Row<'a> {
    places: &'a [usize],
    values: &'a mut [pg_sys::Datum],
    nulls: &'a mut [bool],
    texts: &'a mut Arena,
}

impl Row<'_> {
    /// Sets a column, by its place among those given to `insert`. Others are NULL.
    pub fn set(&mut self, column: usize, value: impl Into<pg_sys::Datum>) {
        let place = self.places[column];
        self.values[place] = value.into();
        self.nulls[place] = false;
    }

    /// Sets a column unless there is no value.
    pub fn set_some(&mut self, column: usize, value: Option<impl Into<pg_sys::Datum>>) {
        if let Some(value) = value {
            self.set(column, value);
        }
    }

    /// Sets a column of `text`, `bytea` or any other type that is a length and bytes.
    pub fn set_bytes(&mut self, column: usize, value: &[u8]) {
        let value = self.texts.varlena(&[value]);
        self.set(column, value);
    }
}

/// Writes rows into `onyx.<table>`, and calls its triggers for statements. False when nothing was done
/// because an INSERT has to do it.
pub fn insert<T>(
    table: &CStr,
    columns: &[Column],
    rows: &[T],
    mut fill: impl FnMut(&T, &mut Row<'_>),
) -> bool {
    // SAFETY: catalogue lookups in a transaction; the relation stays open until the end, its lock until
    // the transaction's, as INSERT's would. An error leaves the rest to the transaction's abort.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"onyx".as_ptr(), true);
        let oid = pg_sys::get_relname_relid(table.as_ptr(), schema);
        if oid == pg_sys::InvalidOid || !may_insert(oid) {
            return false;
        }
        let relation = pg_sys::table_open(oid, pg_sys::RowExclusiveLock as i32);
        let places = is_plain(relation).then(|| places(relation, columns)).flatten();
        if let Some(places) = &places {
            write(relation, places, rows, &mut fill);
        }
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        places.is_some()
    }
}

/// The next number of a sequence of the extension; None when the current role may not take one.
pub fn sequence(name: &CStr) -> Option<impl FnMut() -> i64> {
    // SAFETY: catalogue lookups in a transaction.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"onyx".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    let rights = pg_sys::AclMode::from(pg_sys::ACL_USAGE | pg_sys::ACL_UPDATE);
    // SAFETY: as above.
    let right = unsafe { pg_sys::pg_class_aclcheck(oid, pg_sys::GetUserId(), rights) };
    let usable = oid != pg_sys::InvalidOid && right == pg_sys::AclResult::ACLCHECK_OK;
    usable.then_some(move || {
        // SAFETY: takes an OID and gives a bigint.
        let next =
            unsafe { pgrx::direct_function_call::<i64>(pg_sys::nextval_oid, &[Some(oid.into())]) };
        next.unwrap_or_default()
    })
}

/// Whether the current role may write any row into every column.
///
/// # Safety
/// In a transaction.
unsafe fn may_insert(table: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let right =
            pg_sys::pg_class_aclcheck(table, pg_sys::GetUserId(), pg_sys::ACL_INSERT.into());
        right == pg_sys::AclResult::ACLCHECK_OK
            && pg_sys::check_enable_rls(table, pg_sys::InvalidOid, true)
                != pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}

/// Whether a relation is a table of the usual kind, and nothing looks at each row of an INSERT.
///
/// # Safety
/// The relation is open.
unsafe fn is_plain(relation: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise; the pointers are null or the relation's.
    unsafe {
        let form = &*(*relation).rd_rel;
        let triggers = (*relation).trigdesc.as_ref();
        form.relkind as u8 == pg_sys::RELKIND_RELATION
            && form.relam == pg_sys::HEAP_TABLE_AM_OID
            && !form.relispartition
            && (*relation).rd_rules.is_null()
            && triggers.is_none_or(|triggers| {
                !(triggers.trig_insert_before_row
                    || triggers.trig_insert_after_row
                    || triggers.trig_insert_instead_row
                    || triggers.trig_insert_new_table)
            })
    }
}

/// Where in a row the columns are. None when there are others that are not NULL by themselves, or types
/// differ.
///
/// # Safety
/// The relation is open.
unsafe fn places(relation: pg_sys::Relation, columns: &[Column]) -> Option<Vec<usize>> {
    // SAFETY: the caller's promise.
    let relation = unsafe { PgRelation::from_pg(relation) };
    let mut places = vec![usize::MAX; columns.len()];
    for (place, attribute) in relation.tuple_desc().iter().enumerate() {
        if attribute.attisdropped {
            continue;
        }
        // SAFETY: a name is NUL-terminated.
        let name = unsafe { CStr::from_ptr(attribute.attname.data.as_ptr()) };
        match columns.iter().position(|column| column.0 == name) {
            Some(column)
                if columns[column].1 == attribute.atttypid && attribute.attgenerated == 0 =>
            {
                places[column] = place;
            }
            None if !attribute.atthasdef && attribute.attidentity == 0 => {}
            _ => return None,
        }
    }
    (!places.contains(&usize::MAX)).then_some(places)
}

/// # Safety
/// The relation is an open table that `is_plain`, and the places are those of its columns.
unsafe fn write<T>(
    relation: pg_sys::Relation,
    places: &[usize],
    rows: &[T],
    fill: &mut impl FnMut(&T, &mut Row<'_>),
) {
    // SAFETY: the caller's promise. This is what COPY FROM does with a table: state of an executor,
    // indexes open, slots filled, written together, then their index entries one by one.
    unsafe {
        let estate = pg_sys::CreateExecutorState();
        let result: *mut pg_sys::ResultRelInfo =
            pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast();
        pg_sys::InitResultRelInfo(result, relation, 0, std::ptr::null_mut(), 0);
        pg_sys::ExecOpenIndices(result, false);
        // Where triggers look for the table.
        (*estate).es_opened_result_relations = pg_sys::lappend(std::ptr::null_mut(), result.cast());
        pg_sys::AfterTriggerBeginQuery();
        pg_sys::ExecBSInsertTriggers(estate, result);

        let command = pg_sys::GetCurrentCommandId(true);
        let count = ROWS_AT_ONCE.min(rows.len());
        let mut slots: Vec<*mut pg_sys::TupleTableSlot> =
            (0..count).map(|_| pg_sys::table_slot_create(relation, std::ptr::null_mut())).collect();
        // Values until they are written.
        let mut texts = Arena::new();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            pgrx::check_for_interrupts!();
            for (row, slot) in rows.iter().zip(&slots) {
                put(*slot, places, &mut texts, |columns| fill(row, columns));
                if !(*(*relation).rd_att).constr.is_null() {
                    pg_sys::ExecConstraints(result, *slot, estate);
                }
            }
            pg_sys::heap_multi_insert(
                relation,
                slots.as_mut_ptr(),
                rows.len() as i32,
                command,
                0,
                std::ptr::null_mut(),
            );
            // From here on the slots have tuples of their own.
            texts.empty();
            if (*result).ri_NumIndices > 0 {
                for slot in &slots[..rows.len()] {
                    insert_entries(result, *slot, estate);
                }
            }
        }
        for slot in slots {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        pg_sys::ExecASInsertTriggers(estate, result, std::ptr::null_mut());
        pg_sys::AfterTriggerEndQuery(estate);
        pg_sys::ExecCloseResultRelations(estate);
        pg_sys::FreeExecutorState(estate);
        // What comes next sees the rows.
        pg_sys::CommandCounterIncrement();
    }
}

/// Fills a slot.
///
/// # Safety
/// The slot is one of a table, and the places are those of its columns.
unsafe fn put(
    slot: *mut pg_sys::TupleTableSlot,
    places: &[usize],
    texts: &mut Arena,
    fill: impl FnOnce(&mut Row<'_>),
) {
    // SAFETY: the caller's promise; a slot has as many values as its descriptor has columns.
    unsafe {
        pg_sys::ExecClearTuple(slot);
        let count = (*(*slot).tts_tupleDescriptor).natts as usize;
        let values = std::slice::from_raw_parts_mut((*slot).tts_values, count);
        let nulls = std::slice::from_raw_parts_mut((*slot).tts_isnull, count);
        nulls.fill(true);
        fill(&mut Row { places, values, nulls, texts });
        pg_sys::ExecStoreVirtualTuple(slot);
    }
}

/// # Safety
/// The slot has a row that is in the table of `result`, whose indexes are open.
unsafe fn insert_entries(
    result: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    estate: *mut pg_sys::EState,
) {
    // SAFETY: the caller's promise. Nothing is left to check again: a deferrable constraint has a trigger
    // for each row.
    unsafe {
        pg_sys::ExecInsertIndexTuples(
            result,
            slot,
            estate,
            false,
            false,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            false,
        );
        // The expressions' results.
        if let Some(context) = (*estate).es_per_tuple_exprcontext.as_ref() {
            pg_sys::MemoryContextReset(context.ecxt_per_tuple_memory);
        }
    }
}
