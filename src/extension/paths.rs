//! Where things are: below the data directory, and where `make install` put them.

use std::ffi::CStr;

use pgrx::pg_sys;

use crate::guc;

/// Directory of the socket and the default store, relative to the data directory, which is every
/// server process's working directory: a Unix socket's path may have 107 bytes only.
/// Base backups skip names that begin with `pgsql_tmp`.
pub const ONYX_DIRECTORY: &str = "pgsql_tmp_onyx";
/// The engine's socket.
pub const SOCKET: &str = "pgsql_tmp_onyx/engine.sock";
/// Where recovery ended, while no engine has noted it in the store.
pub const RECOVERY: &str = "pgsql_tmp_onyx/recovery";
/// The store, unless `onyx.store_path` says otherwise.
const STORE: &str = "pgsql_tmp_onyx/store";

fn package_library(name: &str) -> String {
    // SAFETY: a NUL-terminated array the postmaster fills before it loads libraries.
    let directory = unsafe { CStr::from_ptr((&raw const pg_sys::pkglib_path).cast()) };
    format!("{}/onyx/{name}", directory.to_string_lossy())
}

/// The engine program.
pub fn engine() -> String {
    guc::non_empty(&guc::ENGINE_PATH).unwrap_or_else(|| package_library("onyx-engine"))
}

/// The ONNX Runtime library.
pub fn onnxruntime() -> String {
    guc::non_empty(&guc::ONNXRUNTIME_PATH).unwrap_or_else(|| package_library("libonnxruntime.so"))
}

/// The store's directory.
pub fn store() -> String {
    guc::non_empty(&guc::STORE_PATH).unwrap_or_else(|| STORE.into())
}

/// An absolute path as it is; another one below the server's shared data directory.
pub fn shared(path: &str) -> String {
    if path.starts_with('/') {
        return path.into();
    }
    let mut buffer = [0; pg_sys::MAXPGPATH as usize];
    // SAFETY: my_exec_path is set in every server process; the buffer has the length the function
    // is documented to need.
    let directory = unsafe {
        pg_sys::get_share_path((&raw const pg_sys::my_exec_path).cast(), buffer.as_mut_ptr());
        CStr::from_ptr(buffer.as_ptr())
    };
    format!("{}/{path}", directory.to_string_lossy())
}
