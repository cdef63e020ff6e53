//! Which changes of the graph of source wait for each other, until their transactions end.
//!
//! A change of a repository writes its rows, and those of the files of others that lead into it. So it
//! begins with locks on it and on the repositories that are known to lead into it. What only comes to
//! light when its references are resolved is locked then, before anything of others is written:
//! the repositories its references lead into, to be read, those that turn out to lead into it, and
//! the names it newly looks up or provides. Of two changes that do not know of each other yet, one
//! that provides a name thus excludes one that looks it up, and nobody else.
//!
//! Several locks are taken all at once or not at all: nobody holds some of them while waiting for
//! another. Two changes can still lock each other out when each newly leads into the other's repository
//! at the same time; then the server ends one with `deadlock_detected`.
//!
//! They are advisory locks, in a space of their own (`FIELD_4`), so that they follow prepared transactions
//! and can be seen in `pg_locks`. Numbers are folded, so that a transaction takes a bounded part
//! of the server's table of locks: who shares one waits more often than needed, which is never wrong.

use std::collections::BTreeMap;
use std::ffi::CStr;

use pgrx::prelude::*;

use crate::error::{Error, OrRaise};

/// Objects of advisory locks that SQL's functions never use: they have 1 and 2 here.
const FIELD_4: u16 = 0x4f6e;
/// Repositories told apart.
const REPOSITORIES: u64 = 1 << 10;
/// Names told apart.
const NAMES: u64 = 1 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    /// All of the graph.
    Graph,
    Repository(u32),
    Name(u32),
}

/// What is wanted of an object; the numbers are the server's lock modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
enum Mode {
    /// Goes with itself only.
    One = pg_sys::RowExclusiveLock as i32,
    /// Goes with itself only.
    Other = pg_sys::ShareLock as i32,
    /// Both of these: goes with nothing.
    Both = pg_sys::ShareRowExclusiveLock as i32,
}

impl Mode {
    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// Locks to be taken together.
#[derive(Debug, Default)]
pub struct Wanted(BTreeMap<Object, Mode>);

impl Wanted {
    fn add(&mut self, object: Object, mode: Mode) {
        self.0.entry(object).and_modify(|has| *has = has.and(mode)).or_insert(mode);
    }

    /// To write rows of a repository.
    pub fn change(&mut self, repo: i64) {
        self.add(Object::Repository((repo as u64 % REPOSITORIES) as u32), Mode::Both);
    }

    /// To let references lead into a repository.
    pub fn read(&mut self, repo: i64) {
        self.add(Object::Repository((repo as u64 % REPOSITORIES) as u32), Mode::Other);
    }

    /// To provide a name, given by its hash.
    pub fn provide(&mut self, name: u64) {
        self.add(Object::Name((name % NAMES) as u32), Mode::One);
    }

    /// To look up a name.
    pub fn look_up(&mut self, name: u64) {
        self.add(Object::Name((name % NAMES) as u32), Mode::Other);
    }

    /// Takes them all, once nobody else has any that excludes one. They stay until the transaction ends.
    pub fn take(&self) -> Held {
        let all: Vec<(pg_sys::LOCKTAG, Mode)> =
            self.0.iter().map(|(object, mode)| (tag(*object), *mode)).collect();
        let mut first: Option<usize> = None;
        loop {
            let mut held = Held(Vec::with_capacity(all.len()));
            if let Some((tag, mode)) = first.and_then(|place| all.get(place)) {
                held.add(tag, *mode, true);
            }
            let others = all.iter().enumerate().filter(|(place, _)| first != Some(*place));
            let refused = others.into_iter().find(|(_, (tag, mode))| !held.add(tag, *mode, false));
            match refused {
                Some((place, _)) => {
                    held.release();
                    first = Some(place);
                }
                None => return held,
            }
        }
    }
}

/// Locks that were taken.
pub struct Held(Vec<(pg_sys::LOCKTAG, Mode)>);

impl Held {
    fn add(&mut self, tag: &pg_sys::LOCKTAG, mode: Mode, waits: bool) -> bool {
        // SAFETY: a whole lock tag of a known lock method; the transaction owns the lock. Waiting ends
        // with an error on cancel and timeout.
        let taken = unsafe { pg_sys::LockAcquire(tag, mode as i32, false, !waits) };
        let is_held = taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL;
        if is_held {
            self.0.push((*tag, mode));
        }
        is_held
    }

    /// Gives them back: only while nothing was written that they protect.
    pub fn release(self) {
        for (tag, mode) in self.0.iter().rev() {
            // SAFETY: `add` took it, for this transaction; it was not given back before.
            unsafe { pg_sys::LockRelease(tag, *mode as i32, false) };
        }
    }
}

fn tag(object: Object) -> pg_sys::LOCKTAG {
    let (class, number) = match object {
        Object::Graph => (0, 0),
        Object::Repository(number) => (1, number),
        Object::Name(number) => (2, number),
    };
    pg_sys::LOCKTAG {
        // SAFETY: reads the session's database.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: class,
        locktag_field3: number,
        locktag_field4: FIELD_4,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

/// Begins a change of the graph. From here on every query of it sees what was committed before the query;
/// a transaction that sees one state from its beginning fails when that is not the last one, and lets
/// nobody else change the graph.
pub fn begin() -> Result<(), Error> {
    // SAFETY: a transaction is under way; with a number, queries of it are not read-only any more.
    let keeps_its_snapshot = unsafe {
        pg_sys::GetCurrentTransactionId();
        pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32
    };
    let mut wanted = Wanted::default();
    wanted.add(Object::Graph, if keeps_its_snapshot { Mode::Both } else { Mode::One });
    wanted.take();
    if keeps_its_snapshot { sees_the_last(STATES) } else { Ok(()) }
}

/// The states of all repositories.
const STATES: &CStr = c"SELECT pg_catalog.md5(pg_catalog.string_agg(
    pg_catalog.concat_ws(' ', id, state), ',' ORDER BY id)) FROM onyx.repos";

/// The same with what else strings of SQL and the catalog's nodes are brought together by. A row that was
/// written anew has another xmin.
const STATES_AND_CATALOG: &CStr = c"SELECT pg_catalog.concat_ws(' ',
    (SELECT pg_catalog.md5(pg_catalog.string_agg(
         pg_catalog.concat_ws(' ', r.id, r.state), ',' ORDER BY r.id)) FROM onyx.repos r),
    (SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*),
         pg_catalog.sum(pg_catalog.hashint8extended(n.id, n.xmin::text::bigint)))
     FROM onyx.nodes n WHERE n.origin OPERATOR(pg_catalog.=) 'catalog'),
    (SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*),
         pg_catalog.sum(pg_catalog.hashint8extended(s.file_id, s.xmin::text::bigint)))
     FROM onyx.sql_references s))";

/// Fails when the transaction sees one state of source and catalog from its beginning, and that is not the last
/// one. Whoever asks has the lock that `onyx.link_sql` and `onyx.ingest_catalog` share.
#[pg_extern(sql = false)]
fn require_last_catalog() {
    // SAFETY: reads this transaction's level.
    if unsafe { pg_sys::XactIsoLevel } >= pg_sys::XACT_REPEATABLE_READ as i32 {
        sees_the_last(STATES_AND_CATALOG).or_raise();
    }
}

/// Fails when what a query gives to the transaction is not what it gives now.
fn sees_the_last(query: &CStr) -> Result<(), Error> {
    if text(query, false)? == text(query, true)? {
        return Ok(());
    }
    Err(Error::sql(
        PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        "could not serialize access due to a concurrent change of the graph",
    )
    .with_hint("Try the transaction again."))
}

/// What a query of one row and column gives: as the transaction sees it, or as it is now.
fn text(query: &CStr, now: bool) -> Result<Option<String>, Error> {
    Spi::connect(|_| {
        // SAFETY: SPI is connected. The snapshot is given back here; an error ends it with its
        // transaction. What is read is one row of one column, copied before SPI is left.
        unsafe {
            if now {
                pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            } else {
                pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            }
            // Read-only: with the active snapshot.
            let status = pg_sys::SPI_execute(query.as_ptr(), true, 1);
            pg_sys::PopActiveSnapshot();
            let table = pg_sys::SPI_tuptable;
            if status != pg_sys::SPI_OK_SELECT as i32 || table.is_null() {
                return Err(Error::sql(
                    PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                    "the states of the repositories could not be read",
                ));
            }
            let value = pg_sys::SPI_getvalue(*(*table).vals, (*table).tupdesc, 1);
            let text =
                (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned());
            Ok(text)
        }
    })
}
