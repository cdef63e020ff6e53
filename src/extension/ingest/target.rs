//! Where an ingest's files go: into a commit on a branch, and into the tables when they show that branch.

use std::collections::HashMap;

use onyx_protocol::ingest::{Notice, ParsedFile};

use super::batch::Writer;
use super::edges::Edges;
use super::rows::{self, Known};
use super::summary::Summary;
use crate::error::Error;
use crate::history::change::{self, About, Change, NewFile};

/// An ingest's target.
pub struct Target {
    change: Change,
    /// None when another branch is shown.
    writer: Option<Writer>,
    /// Changed files that wait to be compared with what they were.
    held: Vec<ParsedFile>,
    held_bytes: usize,
}

impl Target {
    /// On a branch of a repository. Returns its files as well, or the one at a path.
    pub fn open(
        repo: i64,
        name: &str,
        about: About,
        path: Option<&str>,
    ) -> Result<(Self, HashMap<String, Known>), Error> {
        let change = Change::begin(repo, about)?;
        let (writer, known) = if change.is_shown() {
            let known = rows::known(repo, path)?;
            (Some(Writer::new(repo, name, known.clone())?), known)
        } else {
            (None, change.known(path)?)
        };
        let target =
            Self { change, writer, held: Vec::new(), held_bytes: 0 };
        Ok((target, known))
    }

    /// Nodes written so far.
    pub fn nodes(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::nodes)
    }

    /// Takes new or changed files.
    pub fn add(&mut self, mut files: Vec<ParsedFile>) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        if self.change.is_baseline() {
            let nodes = super::with_own_memory(|| self.change.add(&mut files))?;
            for (file, nodes) in files.into_iter().zip(nodes) {
                if let Some(writer) = &mut self.writer {
                    writer.place(file, nodes)?;
                }
            }
            return Ok(());
        }
        for file in files {
            self.held_bytes += file.size as usize;
            self.held.push(file);
            // What is compared later cannot be what was compared before under another name.
            if self.held_bytes >= change::COMPARED_BYTES {
                self.compare(&[])?;
            }
        }
        Ok(())
    }

    /// Takes a file that was left out. What is noted of files is of those that are shown.
    pub fn skip(&mut self, path: &str, notice: Notice) {
        if let Some(writer) = &mut self.writer {
            writer.skip(path, notice);
        }
    }

    /// Compares the files that wait with what they were, and with files that are gone.
    fn compare(&mut self, gone: &[String]) -> Result<(), Error> {
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        if held.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let new = held.iter().map(NewFile::of).collect::<Result<Vec<_>, _>>()?;
        let mut nodes = super::with_own_memory(|| self.change.compare(new, gone))?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.expect(nodes.values().flatten().copied());
        for mut file in held {
            file.kept = None;
            let of_file = nodes.remove(&file.path).ok_or_else(|| Error::Protocol {
                detail: format!("\"{}\" was not compared.", file.path),
            })?;
            writer.place(file, of_file)?;
        }
        // Before files they came from are removed: what moved keeps its row.
        writer.flush()
    }

    /// Ends with removing files that are gone; returns how many there were.
    pub fn remove(&mut self, gone: &[String]) -> Result<u64, Error> {
        if self.change.is_baseline() {
            return Ok(0);
        }
        self.compare(gone)?;
        match &mut self.writer {
            Some(writer) => writer.remove(gone),
            None => Ok(gone.len() as u64),
        }
    }

    /// Makes the commit. `whole`: the files taken are all of the repository. Returns what is left: the edges.
    pub fn finish(mut self, whole: bool, summary: &mut Summary) -> Result<Option<Edges>, Error> {
        self.compare(&[])?;
        let edges = match self.writer {
            Some(writer) => Some(writer.finish(whole, summary)?),
            None => None,
        };
        summary.commit = self.change.finish()?;
        Ok(edges)
    }
}
