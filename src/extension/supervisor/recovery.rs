//! Where recovery ended, kept in a file until an engine has noted it.
//!
//! Entries of transactions that a crash undid are told by where the log ended. A server that crashes again
//! before an engine has heard of that ends farther on, and they would pass for committed ones. So the
//! supervisor writes the end down before it starts an engine, and what it finds there already, no engine has
//! heard of: nothing was written to the store since, and the first of the ends counts.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use onyx_protocol::codec;
use onyx_protocol::startup::RecoveryEnd;
use pgrx::prelude::*;

use super::shared::SHARED;
use crate::{access_method, paths};

/// Where recovery ended, the same during a life of the server, or `None` while it is in recovery. The
/// directory of Onyx is there.
///
/// # Errors
/// It cannot be written down.
pub fn end() -> Result<Option<RecoveryEnd>, String> {
    // SAFETY: these only read shared memory. The replay position keeps, after recovery, the end of the
    // last record replayed; it is 0 when there was nothing to recover. No session can have moved it.
    let (timeline, started, replayed, now) = unsafe {
        if pg_sys::RecoveryInProgress() {
            return Ok(None);
        }
        (
            pg_sys::GetWALInsertionTimeLine(),
            // The same server can be put back to the same position twice.
            pg_sys::PgStartTime as u64,
            pg_sys::GetXLogReplayRecPtr(std::ptr::null_mut()),
            access_method::current_lsn(),
        )
    };
    let life = u64::from(timeline) << 56 | started & ((1 << 56) - 1);
    let noted = SHARED.share().recovery_end;
    if noted != 0 {
        return Ok(Some(RecoveryEnd { life, lsn: noted }));
    }
    // After a clean start nothing can be stamped beyond the position now, before the first engine takes
    // entries, but what a later life of the server has left in a store outside the data directory.
    let own = if replayed == 0 { now } else { replayed };
    let end = note(Path::new(paths::RECOVERY), RecoveryEnd { life, lsn: own })
        .map_err(|e| format!("could not write file \"{}\": {e}", paths::RECOVERY))?;
    SHARED.exclusive().recovery_end = end.lsn;
    Ok(Some(end))
}

/// Writes an end down, durably. Returns what counts: an earlier one when no engine has heard of that.
fn note(path: &Path, own: RecoveryEnd) -> io::Result<RecoveryEnd> {
    let unheard = match fs::read(path) {
        // What cannot be read was not written to its end.
        Ok(bytes) => codec::decode::<RecoveryEnd>(&bytes).ok(),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let lsn = unheard.map_or(own.lsn, |unheard| unheard.lsn.min(own.lsn));
    let end = RecoveryEnd { lsn, ..own };
    let bytes = codec::encode(&end).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(end)
}
