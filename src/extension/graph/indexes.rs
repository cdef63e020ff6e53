//! The covering indexes of the graph's tables, and whether this caller may read them directly.

use std::ffi::CStr;

use pgrx::pg_sys;

/// The relations a direct answer needs.
#[derive(Clone, Copy)]
pub struct Indexes {
    /// `onyx.links`.
    pub links: pg_sys::Oid,
    /// `onyx.nodes`.
    pub nodes: pg_sys::Oid,
    /// Its index by source.
    pub source: pg_sys::Oid,
    /// Its index by target.
    pub target: pg_sys::Oid,
    /// Of nodes, by parent.
    pub parent: pg_sys::Oid,
    /// Of nodes, by id.
    pub place: pg_sys::Oid,
}

impl Indexes {
    /// The relations, when they may be read directly.
    pub fn usable() -> Option<Self> {
        // SAFETY: reads a setting of this transaction.
        if unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_SERIALIZABLE as i32 {
            return None;
        }
        // SAFETY: catalogue lookups in a transaction.
        unsafe {
            let schema = pg_sys::get_namespace_oid(c"onyx".as_ptr(), true);
            let named = |name: &CStr| {
                let oid = pg_sys::get_relname_relid(name.as_ptr(), schema);
                (oid != pg_sys::InvalidOid).then_some(oid)
            };
            let (links, nodes) = (named(c"links")?, named(c"nodes")?);
            for table in [links, nodes] {
                if !readable(table) {
                    return None;
                }
            }
            let index = |name: &CStr, table, columns: &[&CStr]| {
                named(name).filter(|oid| is_as_expected(*oid, table, columns))
            };
            Some(Self {
                links,
                nodes,
                source: index(
                    c"links_source",
                    links,
                    &[c"source_id", c"kind", c"target_id", c"confidence"],
                )?,
                target: index(
                    c"links_target",
                    links,
                    &[c"target_id", c"kind", c"source_id", c"confidence"],
                )?,
                parent: index(c"nodes_parent_id", nodes, &[c"parent_id", c"id"])?,
                place: index(c"nodes_place", nodes, &[c"id", c"repo_id", c"parent_id", c"kind"])?,
            })
        }
    }
}

/// Whether the current role reads every row of these tables of Onyx's, because of its rights alone: only
/// then may it be answered from what was read before, perhaps by another role.
pub fn reads_whole(tables: &[&CStr]) -> bool {
    // SAFETY: catalogue lookups in a transaction.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"onyx".as_ptr(), true);
        tables.iter().all(|name| {
            let table = pg_sys::get_relname_relid(name.as_ptr(), schema);
            table != pg_sys::InvalidOid && readable(table)
        })
    }
}

/// Whether the current role reads every row of a table, because of its rights alone.
///
/// # Safety
/// In a transaction.
unsafe fn readable(table: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let role = pg_sys::GetUserId();
        let right = pg_sys::pg_class_aclcheck(table, role, pg_sys::ACL_SELECT.into());
        right == pg_sys::AclResult::ACLCHECK_OK
            && pg_sys::check_enable_rls(table, pg_sys::InvalidOid, true)
                != pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}

/// Whether a relation is a whole, usable btree index of a table on exactly these columns.
///
/// # Safety
/// In a transaction.
unsafe fn is_as_expected(index: pg_sys::Oid, table: pg_sys::Oid, columns: &[&CStr]) -> bool {
    // SAFETY: the caller's promise; the relation is open while it is read.
    unsafe {
        if pg_sys::get_rel_relkind(index) as u8 != pg_sys::RELKIND_INDEX {
            return false;
        }
        // The table first, as everybody locks.
        pg_sys::table_close(
            pg_sys::table_open(table, pg_sys::AccessShareLock as i32),
            pg_sys::NoLock as i32,
        );
        let relation = pg_sys::try_index_open(index, pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return false;
        }
        let form = &*(*relation).rd_index;
        let keys = form.indkey.values.as_slice(form.indnatts as usize);
        let usable = (*(*relation).rd_rel).relam == pg_sys::BTREE_AM_OID
            && form.indrelid == table
            && form.indisvalid
            && !form.indcheckxmin
            && pg_sys::RelationGetIndexPredicate(relation).is_null()
            && keys.len() == columns.len()
            && keys
                .iter()
                .zip(columns)
                .all(|(key, column)| *key == pg_sys::get_attnum(table, column.as_ptr()));
        pg_sys::index_close(relation, pg_sys::NoLock as i32);
        usable
    }
}

/// Calls `f` with a table and an index of it open. Their locks last until the transaction ends, as
/// those of a query do.
///
/// # Safety
/// They are a table and an index of it.
pub unsafe fn opened<T>(
    table: pg_sys::Oid,
    index: pg_sys::Oid,
    f: impl FnOnce(pg_sys::Relation, pg_sys::Relation) -> T,
) -> T {
    // SAFETY: the caller's promise.
    unsafe {
        let table = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let index = pg_sys::index_open(index, pg_sys::AccessShareLock as i32);
        let value = f(table, index);
        pg_sys::index_close(index, pg_sys::NoLock as i32);
        pg_sys::table_close(table, pg_sys::NoLock as i32);
        value
    }
}
