//! Files the client sends instead of a tree.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::bounded;
use onyx_protocol::ingest::{SourceFile, WalkItem};
use onyx_protocol::limits::STREAM_BATCH_BYTES;
use onyx_protocol::{ErrorKind, WireError};

use super::work::{parse_guarded, weight};
use super::{StopOnDrop, start};
use crate::parse::Limits;

/// Parses files with `workers` threads, and hands the items to `emit` in the order of the files, `Parsed` or
/// `Skipped`, in batches of about `STREAM_BATCH_BYTES`. An error of `emit` ends it and is returned.
pub fn parse_files(
    files: &[SourceFile],
    limits: &Limits,
    workers: usize,
    cancelled: &(dyn Fn() -> bool + Sync),
    emit: &mut dyn FnMut(Vec<WalkItem>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let workers = workers.max(1);
    let stop = AtomicBool::new(false);
    let stopped = || {
        if cancelled() {
            stop.store(true, Ordering::Relaxed);
        }
        stop.load(Ordering::Relaxed)
    };
    let next = AtomicUsize::new(0);
    let (next, stopped) = (&next, &stopped);
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let (put, done) = bounded(4 * workers);
        for _ in 0..workers {
            let put = put.clone();
            start(scope, "onyx-parse", move || {
                while let Some((number, file)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    files.get(number).map(|file| (number, file))
                } {
                    let parsed =
                        parse_guarded(&file.path, file.language, &file.content, limits, stopped);
                    let item = match parsed {
                        Ok(parsed) => WalkItem::Parsed(Box::new(parsed)),
                        Err(notice) => WalkItem::Skipped { path: file.path.clone(), notice },
                    };
                    if stopped() || put.send((number, item)).is_err() {
                        return;
                    }
                }
            })?;
        }
        drop(put);
        let mut early = BTreeMap::new();
        let (mut batch, mut bytes, mut due) = (Vec::new(), 0, 0);
        for (number, item) in done {
            early.insert(number, item);
            while let Some(item) = early.remove(&due) {
                due += 1;
                bytes += weight(&item);
                batch.push(item);
                if bytes >= STREAM_BATCH_BYTES {
                    bytes = 0;
                    emit(std::mem::take(&mut batch))?;
                }
            }
        }
        if due < files.len() {
            return Err(WireError::new(ErrorKind::Canceled, "parsing was canceled"));
        }
        if batch.is_empty() { Ok(()) } else { emit(batch) }
    })
}

#[cfg(test)]
mod tests {
    use onyx_protocol::facts::Language;

    use super::*;

    fn files(count: usize) -> Vec<SourceFile> {
        let file = |number: usize| SourceFile {
            path: format!("{number}.py"),
            language: Language::Python,
            content: if number % 7 == 3 { vec![0] } else { b"def f(): pass\n".to_vec() },
        };
        (0..count).map(file).collect()
    }

    #[test]
    fn items_come_in_the_order_asked() {
        let mut items = Vec::new();
        let mut emit = |batch| {
            items.extend(batch);
            Ok(())
        };
        parse_files(&files(100), &Limits::default(), 4, &|| false, &mut emit).unwrap();
        assert_eq!(items.len(), 100);
        for (number, item) in items.iter().enumerate() {
            let (path, is_skipped) = match item {
                WalkItem::Parsed(file) => (&file.path, false),
                WalkItem::Skipped { path, .. } => (path, true),
                WalkItem::Unchanged { path } => panic!("{path}"),
            };
            assert_eq!((path.as_str(), is_skipped), (&*format!("{number}.py"), number % 7 == 3));
        }
    }

    #[test]
    fn it_ends_when_it_is_cancelled_or_the_client_fails() {
        let run = |cancelled: bool,
                   emit: &mut dyn FnMut(Vec<WalkItem>) -> Result<(), WireError>| {
            parse_files(&files(50), &Limits::default(), 2, &|| cancelled, emit)
        };
        assert_eq!(run(true, &mut |_| Ok(())).unwrap_err().kind, ErrorKind::Canceled);
        let gone = || WireError::new(ErrorKind::InvalidRequest, "gone");
        assert_eq!(run(false, &mut |_| Err(gone())).unwrap_err(), gone());
        assert!(parse_files(&[], &Limits::default(), 2, &|| false, &mut |_| Ok(())).is_ok());
    }
}
