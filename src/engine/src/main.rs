//! The engine's program: see `onyx_engine::server`. It is started by the extension's supervisor and
//! by nothing else.

fn main() {
    let code = match onyx_engine::server::run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("onyx-engine: {error}");
            1
        }
    };
    // SAFETY: ends the process at once. Everything acknowledged is on disk; waiting for threads in
    // the middle of an embedding, or running destructors under them, would gain nothing.
    unsafe { libc::_exit(code) }
}
