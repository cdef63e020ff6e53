//! The process's ONNX Runtime.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use onyx_protocol::{ErrorKind, WireError};
use ort::{environment::Environment, logging::LogLevel};

use super::error::{guarded, open_regular, sentence};

const HINT: &str = "Set \"onyx.onnxruntime_path\" to the shared library of ONNX Runtime 1.24 or later \
                    (libonnxruntime.so), as the onnxruntime package for Python contains it.";

/// The process's ONNX Runtime, loaded once from a path.
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
}

/// A process has one ONNX Runtime and can build its environment once: it is kept for good.
static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

impl Runtime {
    /// Loads the library, or returns the one this process has already loaded from the same path.
    /// A failure is not remembered: the next call tries again.
    pub fn load(path: &Path) -> Result<Arc<Self>, WireError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            if runtime.path == path {
                return Ok(Arc::clone(runtime));
            }
            return Err(WireError::new(
                ErrorKind::Model,
                format!("could not load ONNX Runtime from \"{}\"", path.display()),
            )
            .detail(format!(
                "This engine already runs ONNX Runtime from \"{}\".",
                runtime.path.display()
            ))
            .hint("Restart the engine to use another library."));
        }
        open_regular("ONNX Runtime library", path, HINT)?;
        let failed = |why: String| {
            WireError::new(
                ErrorKind::Model,
                format!("could not load ONNX Runtime from \"{}\"", path.display()),
            )
            .detail(why)
            .hint(HINT)
        };
        let environment = guarded("loading ONNX Runtime", || {
            ort::init_from(path)
                .map_err(|error| failed(sentence(error)))?
                .with_name("onyx")
                .with_telemetry(false)
                .build()
                .map_err(|error| failed(sentence(error)))
        })?;
        // What goes wrong is returned, and worded by the caller; the server's log needs it once.
        environment.set_log_level(LogLevel::Fatal);
        let runtime = Arc::new(Self { environment, path: path.to_owned() });
        *loaded = Some(Arc::clone(&runtime));
        Ok(runtime)
    }

    /// The environment for sessions of one's own, as a benchmark's bare loop runs one: a process
    /// can have no other.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where the library was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
