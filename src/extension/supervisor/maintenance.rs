//! Index maintenance: one short-lived worker a database at a time, started by the supervisor, that
//! rebuilds indexes whose generation cannot answer and deletes generations no index refers to.

use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker,
    SignalWakeFlags,
};
use pgrx::prelude::*;

use super::shared::{self, SHARED};
use crate::access_method::repair;
use crate::guc;

/// Stands for "list the databases" among database OIDs.
const ALL_DATABASES: u32 = 0;

/// The supervisor's view of maintenance.
#[derive(Default)]
pub struct Maintenance {
    worker: Option<DynamicBackgroundWorker>,
    last_look: Option<Instant>,
}

impl Maintenance {
    /// Has all databases looked at soon.
    pub fn look_everywhere(&mut self) {
        self.last_look = None;
    }

    /// Whether a worker is running.
    pub fn is_busy(&self) -> bool {
        self.worker.is_some()
    }

    /// Starts the next worker when it is time and none is running.
    pub fn run(&mut self) {
        if let Some(worker) = &self.worker {
            // Polled: a worker without a database ignores SIGUSR1, by which the postmaster would
            // wake one that waits for another to start or to stop.
            if matches!(worker.pid(), Ok(_) | Err(BackgroundWorkerStatus::NotYetStarted)) {
                return;
            }
            self.worker = None;
        }
        let nap = Duration::from_secs(guc::MAINTENANCE_NAPTIME_S.get() as u64);
        if self.last_look.is_none_or(|t| t.elapsed() >= nap) {
            self.last_look = Some(Instant::now());
            self.worker = start(ALL_DATABASES);
            return;
        }
        let next = SHARED.exclusive().next_maintenance();
        if let Some(database) = next {
            self.worker = start(database);
        }
    }
}

fn start(database: u32) -> Option<DynamicBackgroundWorker> {
    // No free worker slot: the next nap tries again.
    BackgroundWorkerBuilder::new("onyx maintenance")
        .set_type("onyx maintenance")
        .set_library("onyx")
        .set_function("onyx_maintenance_main")
        .enable_spi_access()
        .set_argument(Some(pg_sys::Datum::from(database)))
        // SAFETY: set in every server process.
        .set_notify_pid(unsafe { pg_sys::MyProcPid })
        .set_restart_time(None)
        .load_dynamic()
        .ok()
}

/// Main function of a maintenance worker; its argument is the database's OID.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn onyx_maintenance_main(argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // SAFETY: replaces the handler just attached, which would only set a flag, by one that ends the
    // worker at its next check for interrupts.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as i32, Some(terminate));
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(terminate));
    }
    let database = argument.value() as u32;
    if database == ALL_DATABASES {
        BackgroundWorker::connect_worker_to_spi_by_oid(None, None);
        for database in databases() {
            shared::request_maintenance(database);
        }
        return;
    }
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(pg_sys::Oid::from(database)), None);
    repair::maintain_database();
}

/// SIGTERM, as a backend takes it.
unsafe extern "C-unwind" fn terminate(signal: i32) {
    // SAFETY: the server's own handler, made for this place: it sets flags and the latch.
    unsafe { pg_sys::die(signal) };
}

/// Databases that can be connected to. A worker without a database can read shared catalogs only by
/// scanning them, as the autovacuum launcher does.
fn databases() -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    // SAFETY: a transaction surrounds a plain catalog scan; every opened thing is closed before it
    // ends.
    unsafe {
        pg_sys::StartTransactionCommand();
        let relation =
            pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if (*row).datallowconn && (*row).datconnlimit != -2 {
                found.push((*row).oid);
            }
        }
        let end = (*(*scan).rs_rd).rd_tableam;
        if let Some(end) = (*end).scan_end {
            end(scan);
        }
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        pg_sys::CommitTransactionCommand();
    }
    found
}
