//! What the walking tests share: a tree to write and a walk to run.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use onyx_engine::{parse::Limits, walk::walk};
use onyx_protocol::{
    WireError,
    ingest::{KnownFile, SkipReason, WalkItem, WalkRequest, WalkSummary},
};

/// A temporary directory that every user may read.
pub struct Tree(tempfile::TempDir);

impl Tree {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let tree = Self(directory);
        for (path, content) in files {
            tree.write(path, content.as_bytes());
        }
        tree
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path(path)).unwrap();
    }

    pub fn request(&self) -> WalkRequest {
        request(self.root())
    }

    pub fn walk(&self) -> Vec<WalkItem> {
        run(&self.request()).unwrap().0
    }

    /// The walk's items in short: `a.py`, `= a.py` when unchanged, `fifo.py: not_regular`.
    pub fn short(&self) -> Vec<String> {
        short(&self.walk())
    }
}

pub fn request(root: &Path) -> WalkRequest {
    WalkRequest {
        root: root.to_str().unwrap().to_owned(),
        include: Vec::new(),
        exclude: Vec::new(),
        known: Vec::new(),
    }
}

pub fn run_with(
    request: &WalkRequest,
    workers: usize,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<WalkItem>, WalkSummary), WireError> {
    let mut items = Vec::new();
    let summary = walk(request, &Limits::default(), workers, cancelled, &mut |batch| {
        assert!(!batch.is_empty());
        items.extend(batch);
        Ok(())
    })?;
    Ok((items, summary))
}

pub fn run(request: &WalkRequest) -> Result<(Vec<WalkItem>, WalkSummary), WireError> {
    run_with(request, 2, &|| false)
}

pub fn path(item: &WalkItem) -> &str {
    match item {
        WalkItem::Parsed(file) => &file.path,
        WalkItem::Unchanged { path } | WalkItem::Skipped { path, .. } => path,
    }
}

pub fn short(items: &[WalkItem]) -> Vec<String> {
    items
        .iter()
        .map(|item| match item {
            WalkItem::Parsed(file) => file.path.clone(),
            WalkItem::Unchanged { path } => format!("= {path}"),
            WalkItem::Skipped { path, notice } => format!("{path}: {}", notice.reason.as_str()),
        })
        .collect()
}

pub fn reasons(items: &[WalkItem]) -> Vec<(&str, SkipReason)> {
    items
        .iter()
        .filter_map(|item| match item {
            WalkItem::Skipped { path, notice } => Some((path.as_str(), notice.reason)),
            _ => None,
        })
        .collect()
}

/// What a client knows after a walk.
pub fn known(items: &[WalkItem]) -> Vec<KnownFile> {
    items
        .iter()
        .filter_map(|item| match item {
            WalkItem::Parsed(file) => Some(KnownFile { path: file.path.clone(), hash: file.hash }),
            _ => None,
        })
        .collect()
}
