//! The part of the graph above definitions: repository, directories, files.

use std::collections::HashMap;

use pgrx::prelude::*;

use crate::error::Error;

/// Node ids of a repository's own node (`""`) and of its directories, by path.
pub struct Places {
    nodes: HashMap<String, i64>,
}

/// A directory or repository node that has to be made.
pub struct NewPlace {
    /// Its id.
    pub id: i64,
    /// Its parent; the repository's own node has none.
    pub parent: Option<i64>,
    /// `repository` or `directory`.
    pub kind: &'static str,
    /// Last part of the path, or the repository's name.
    pub name: String,
    /// The path, or the repository's name.
    pub qualified_name: String,
}

impl Places {
    /// None.
    pub fn empty() -> Self {
        Self { nodes: HashMap::new() }
    }

    /// Those the database has.
    pub fn load(repo: i64) -> Result<Self, Error> {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT CASE kind WHEN 'repository' THEN '' ELSE qualified_name END, id
                 FROM onyx.nodes WHERE repo_id = $1 AND kind IN ('repository', 'directory')",
                None,
                &[repo.into()],
            )?;
            let mut nodes = HashMap::with_capacity(rows.len());
            for row in rows {
                if let (Some(path), Some(id)) = (row.get::<String>(1)?, row.get::<i64>(2)?) {
                    nodes.insert(path, id);
                }
            }
            Ok(Self { nodes })
        })
    }

    /// The node of the directory a file is in. What is missing above it is handed to `make`, parents
    /// first, which gives each its id.
    pub fn directory_of(
        &mut self,
        repo_name: &str,
        file: &str,
        make: &mut dyn FnMut(NewPlace) -> Result<i64, Error>,
    ) -> Result<i64, Error> {
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
        if let Some(id) = self.nodes.get(directory) {
            return Ok(*id);
        }
        let mut parent = match self.nodes.get("") {
            Some(id) => *id,
            None => {
                let id = make(NewPlace {
                    id: 0,
                    parent: None,
                    kind: "repository",
                    name: repo_name.into(),
                    qualified_name: repo_name.into(),
                })?;
                self.nodes.insert(String::new(), id);
                id
            }
        };
        let mut end = 0;
        while end < directory.len() {
            let start = if end == 0 { 0 } else { end + 1 };
            end = directory[start..].find('/').map_or(directory.len(), |at| start + at);
            let path = &directory[..end];
            parent = match self.nodes.get(path) {
                Some(id) => *id,
                None => {
                    let id = make(NewPlace {
                        id: 0,
                        parent: Some(parent),
                        kind: "directory",
                        name: directory[start..end].into(),
                        qualified_name: path.into(),
                    })?;
                    self.nodes.insert(path.into(), id);
                    id
                }
            };
        }
        Ok(parent)
    }
}
