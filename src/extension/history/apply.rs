//! Files that are made inside the database, by a patch or a merge, to a commit.

use onyx_protocol::facts::Language;
use onyx_protocol::ingest::{Notice, SourceFile, WalkItem};

use super::change::About;
use super::head;
use crate::error::Error;
use crate::ingest::{self, Summary, Target};

/// Bytes of source parsed at once.
const BATCH_BYTES: usize = 4 << 20;

/// A file as it is to be.
pub struct Text {
    pub path: String,
    pub language: Language,
    pub text: Vec<u8>,
}

/// What an application did.
#[derive(Default)]
pub struct Applied {
    /// The commit, if anything changed.
    pub commit: Option<i32>,
    /// Files that were left out, and why.
    pub skipped: Vec<(String, Notice)>,
}

/// Makes a commit in which these files are new or other ones, and those are gone. `merged` are its parents
/// beside the branch's head.
pub fn apply(
    repo: i64,
    name: &str,
    about: About,
    merged: &[i32],
    files: Vec<Text>,
    gone: &[String],
) -> Result<Applied, Error> {
    let (mut target, known) = Target::open(repo, name, about, None)?;
    for other in merged {
        target.merge(*other)?;
    }
    let mut applied = Applied::default();
    let mut gone = gone.to_vec();
    for batch in ingest::cut(files, |file| file.text.len(), BATCH_BYTES) {
        let paths: Vec<String> = batch.iter().map(|file| file.path.clone()).collect();
        let sources = batch.into_iter().map(|file| SourceFile {
            path: file.path,
            language: file.language,
            content: file.text,
        });
        let mut parsed = Vec::with_capacity(paths.len());
        head::parse_sources(sources.collect(), |place, item| {
            match item {
                WalkItem::Parsed(file) => parsed.push(*file),
                WalkItem::Skipped { notice, .. } => {
                    let path = &paths[place];
                    target.skip(path, notice.clone());
                    // What it was is not true any more.
                    if known.contains_key(path) {
                        gone.push(path.clone());
                    }
                    applied.skipped.push((path.clone(), notice));
                }
                WalkItem::Unchanged { .. } => {}
            }
            Ok(())
        })?;
        target.add(parsed)?;
    }
    gone.retain(|path| known.contains_key(path));
    target.remove(&gone)?;
    let mut summary = Summary::default();
    if let Some(edges) = target.finish(false, &mut summary)? {
        ingest::write_edges(edges, &mut summary)?;
    }
    applied.commit = summary.commit;
    Ok(applied)
}
