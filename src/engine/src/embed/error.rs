//! The room's errors: one place that words them and one edge that panics do not cross.

use std::{
    fs::{File, Metadata},
    io::{ErrorKind as IoKind, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use onyx_protocol::{ErrorKind, WireError};

/// Runs `work`; a panic in it, or in a library below it, becomes an error.
pub(super) fn guarded<T>(
    doing: &str,
    work: impl FnOnce() -> Result<T, WireError>,
) -> Result<T, WireError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(WireError::new(ErrorKind::Internal, format!("internal error while {doing}"))
            .detail(format!("The engine caught a panic: {said}.")))
    })
}

pub(super) fn canceled() -> WireError {
    WireError::new(ErrorKind::Canceled, "embedding was canceled")
}

/// Text of a library as a detail: one line, with a full stop.
pub(super) fn sentence(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    if line.is_empty() { String::new() } else { format!("{line}.") }
}

/// Checks that `path` names a readable regular file (opening a FIFO would block) and opens it.
/// `what` is "model file", "tokenizer file" or "ONNX Runtime library".
pub(super) fn open_regular(
    what: &str,
    path: &Path,
    hint: &str,
) -> Result<(File, Metadata), WireError> {
    let refuse = |kind: ErrorKind, why: String| {
        WireError::new(kind, format!("could not open {what} \"{}\": {why}", path.display()))
            .hint(hint)
    };
    let io = |error: std::io::Error| match error.kind() {
        IoKind::NotFound | IoKind::NotADirectory => {
            refuse(ErrorKind::NotFound, "No such file or directory".to_owned())
        }
        IoKind::PermissionDenied => {
            refuse(ErrorKind::PermissionDenied, "Permission denied".to_owned())
        }
        _ => refuse(ErrorKind::Model, error.to_string()),
    };
    let not_a_file = |metadata: &Metadata| {
        let why = if metadata.is_dir() { "Is a directory" } else { "Not a regular file" };
        refuse(ErrorKind::WrongObject, why.to_owned())
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(not_a_file(&metadata));
    }
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(not_a_file(&metadata));
    }
    Ok((file, metadata))
}

/// Reads a whole regular file.
pub(super) fn read_regular(
    what: &str,
    path: &Path,
    hint: &str,
) -> Result<(Vec<u8>, Metadata), WireError> {
    let (mut file, metadata) = open_regular(what, path, hint)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| {
        WireError::new(
            ErrorKind::Model,
            format!("could not read {what} \"{}\": {error}", path.display()),
        )
    })?;
    Ok((bytes, metadata))
}
