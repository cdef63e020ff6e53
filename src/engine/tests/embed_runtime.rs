//! Loading ONNX Runtime: a test of its own, because a process loads it once.
//!
//! Needs `ONYX_ONNXRUNTIME` and `ONYX_MODEL_DIR`, as `embed.rs` does.

// Shared with embed.rs, which uses all of it.
#[allow(dead_code)]
#[path = "embed_support/mod.rs"]
mod support;

use std::{path::Path, sync::Arc};

use onyx_engine::embed::{Embedder, Priority, Runtime};
use onyx_protocol::ErrorKind;
use support::{MemoryCache, err, minilm, runtime_path};

/// A shared library that is surely there and is not ONNX Runtime: the C library of this process.
fn other_library() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().find_map(|line| {
        let path = line.split_whitespace().nth(5)?;
        path.contains("/libc.so").then(|| path.to_owned())
    });
    path.expect("tests are linked to the C library")
}

#[test]
fn a_missing_or_wrong_library_is_a_clear_error_until_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("libonnxruntime.so");
    let cache = Arc::new(MemoryCache::default());
    // An engine without ONNX Runtime starts, and only embedding fails.
    let embedder = Embedder::new(library.clone(), 1, cache);
    let text = ["a".to_owned()];
    let embed = || embedder.embed(&minilm(), &text, Priority::Interactive, &|| false);
    let error = err(embed());
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        error.message,
        format!(
            "could not open ONNX Runtime library \"{}\": No such file or directory",
            library.display()
        )
    );
    assert!(error.hint.contains("onyx.onnxruntime_path"), "{error:?}");
    assert_eq!(embedder.stats()[0].last_error, error.message);

    let error = err(Runtime::load(directory.path()));
    assert_eq!(error.kind, ErrorKind::WrongObject);
    std::fs::write(&library, "not a library").unwrap();
    for path in [library.as_path(), Path::new(&other_library())] {
        let error = err(Runtime::load(path));
        assert_eq!(error.kind, ErrorKind::Model);
        let expected = format!("could not load ONNX Runtime from \"{}\"", path.display());
        assert_eq!(error.message, expected);
        assert!(!error.detail.is_empty() && !error.hint.is_empty(), "{error:?}");
    }

    std::fs::remove_file(&library).unwrap();
    std::os::unix::fs::symlink(std::fs::canonicalize(runtime_path()).unwrap(), &library).unwrap();
    assert_eq!(embed().unwrap().values.len(), 384);
    let again = Runtime::load(&library).unwrap();
    assert_eq!(again.path(), library);
    let error = err(Runtime::load(&runtime_path()));
    assert!(error.detail.contains("already runs ONNX Runtime"), "{error:?}");
}
