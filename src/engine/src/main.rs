//! The engine's program: see `onyx_engine::server`. It is started by the extension's supervisor and
//! by nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    match onyx_engine::server::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onyx-engine: {error}");
            ExitCode::FAILURE
        }
    }
}
